//! The store of the transparency log: one list of tests for SQLite and for PostgreSQL, and a few that only one of them
//! can have. A PostgreSQL server comes from tests/postgres, through the environment; without it those are skipped.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "store/entries.rs"]
mod entries;
#[path = "store/place.rs"]
mod place;
#[path = "store/postgres_server.rs"]
mod postgres_server;
#[path = "support/skipping.rs"]
mod skipping;
#[path = "store/sqlite_file.rs"]
mod sqlite_file;
#[path = "store/suite.rs"]
mod suite;

/// A place in PostgreSQL; without a server the test ends here, skipped.
macro_rules! on_server {
    () => {
        match $crate::place::Place::postgres().await {
            Ok(place) => place,
            Err(reason) => {
                fn here() {}
                $crate::skipping::skipped(std::any::type_name_of_val(&here), reason);
                return;
            }
        }
    };
}

pub(crate) use on_server;

macro_rules! on_both {
    ($($room:ident: $($test:ident),+ $(,)?;)+) => {
        mod sqlite {
            $($(
                #[tokio::test]
                async fn $test() {
                    crate::suite::$room::$test(&crate::place::Place::sqlite()).await;
                }
            )+)+
        }

        mod postgres {
            $($(
                #[tokio::test]
                async fn $test() {
                    let place = crate::on_server!();
                    crate::suite::$room::$test(&place).await;
                }
            )+)+
        }
    };
}

on_both! {
    writing:
        a_fresh_store_is_empty,
        leaves_stand_in_order_under_the_root_of_their_tree,
        every_size_of_batch_grows_the_same_tree,
        a_retried_append_finds_the_old_place,
        an_id_twice_in_a_batch_stands_once,
        a_batch_is_written_whole_or_not_at_all,
        odd_values_come_back_as_they_were,
        texts_stand_beside_the_log_until_their_time_is_over,
        notices_are_committed_with_their_leaves,
        anybody_asks_and_the_leader_answers,
        checkpoints_are_kept_as_published;
    leading:
        taking_over_fences_every_write_of_the_leader_before,
        a_second_process_takes_over_and_goes_on,
        a_reader_writes_nothing_but_requests,
        an_epoch_that_went_back_is_damage;
    logs:
        a_log_grows_only_after_promotion,
        only_a_log_that_was_never_promoted_is_replaced,
        a_log_is_put_back_leaf_by_leaf,
        putting_back_goes_on_where_it_ended,
        a_store_refuses_to_put_back_what_it_has;
    reading:
        runs_pages_and_single_leaves_agree,
        every_condition_narrows_a_query,
        the_newest_leaf_that_settles_a_revision_is_found_by_name,
        tables_of_an_older_version_are_brought_up_to_date,
        the_newest_leaf_of_some_events_is_found_by_an_index,
        times_are_compared_to_the_nanosecond,
        pages_follow_each_other_over_two_logs,
        a_query_uses_the_index_of_its_condition,
        readers_see_whole_batches_while_somebody_writes,
        a_store_is_the_same_after_reopening;
    runs:
        a_claim_is_held_whole_or_not_at_all,
        the_same_claim_is_held_again,
        what_is_released_can_be_claimed,
        what_a_run_has_outlives_leader_log_and_connection,
        a_plan_has_its_limit;
    storms:
        limits_are_counted_with_the_claim,
        two_that_claim_at_once_do_not_both_slip_under_a_limit,
        an_incident_has_one_owner,
        each_who_joins_is_counted_once;
    damage:
        a_missing_leaf_is_found,
        a_missing_or_altered_hash_is_found,
        an_altered_root_or_size_is_found,
        an_altered_text_is_found,
        values_of_another_kind_are_found,
        tables_of_a_newer_version_are_left_alone,
        a_reader_demands_the_tables_of_its_version,
        a_lost_table_makes_it_unusable;
    failure:
        after_a_failed_write_only_reopening_helps,
        a_caller_that_gives_up_leaves_no_doubt_behind,
        a_damaged_log_can_be_reopened_and_followed_but_not_written;
}
