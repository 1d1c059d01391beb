//! `neuralops audit …` as an auditor runs it: on stores, exports and backups that are sound, and on those that somebody
//! altered, each in one way. What Go's readers make of our exports is here too; tests/tlog/build compiles them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::too_many_lines,
    reason = "a list of cases, or a scene told from beginning to end"
)]

#[path = "audit/altered_files.rs"]
mod altered_files;
#[path = "audit/altered_store.rs"]
mod altered_store;
#[path = "audit/commands.rs"]
mod commands;
#[path = "audit/drill.rs"]
mod drill;
#[path = "audit/evidence.rs"]
mod evidence;
#[path = "audit/evil_backup.rs"]
mod evil_backup;
#[path = "audit/go.rs"]
mod go;
#[path = "audit/history.rs"]
mod history;
#[path = "audit/log.rs"]
mod log;
#[path = "store/place.rs"]
#[expect(dead_code, reason = "the tests of the store use all of it")]
mod place;
#[path = "audit/run.rs"]
mod run;
#[path = "audit/semantic.rs"]
mod semantic;
#[path = "support/skipping.rs"]
mod skipping;
#[path = "audit/web.rs"]
mod web;

macro_rules! on_both {
    ($($room:ident: $($test:ident),+ $(,)?;)+) => {
        mod sqlite {
            $($(
                #[tokio::test]
                async fn $test() {
                    crate::$room::$test(crate::log::Filled::sqlite().await).await;
                }
            )+)+
        }

        mod postgres {
            $($(
                #[tokio::test]
                async fn $test() {
                    match crate::log::Filled::postgres().await {
                        Ok(filled) => crate::$room::$test(filled).await,
                        Err(reason) => {
                            fn here() {}
                            crate::skipping::skipped(std::any::type_name_of_val(&here), reason);
                        }
                    }
                }
            )+)+
        }
    };
}

on_both! {
    altered_store:
        a_sound_store_is_verified,
        a_store_is_verified_while_it_grows,
        an_entry,
        an_entry_with_its_hash,
        a_hash_of_a_leaf,
        a_hash_above,
        the_root_in_the_head,
        the_size_in_the_head,
        a_text,
        a_checkpoint,
        a_checkpoint_by_another_key,
        two_entries_swapped,
        two_ids_swapped,
        the_end_cut_off,
        one_leaf_gone,
        an_id_twice,
        the_whole_log_rewritten,
        the_whole_log_rewritten_and_signed,
        a_log_that_was_followed,
        a_log_that_was_followed_rewritten;
    semantic:
        sound_runs_are_counted,
        a_run_that_nobody_approved_is_found_everywhere,
        every_leaf_that_cannot_be_is_named;
    evidence:
        a_run_is_proven_without_store_and_cluster,
        what_proves_nothing_is_not_written;
    drill:
        backup_destroy_restore_verify_append,
        a_backup_is_only_what_was_verified,
        what_is_older_than_the_anchor_is_refused;
}
