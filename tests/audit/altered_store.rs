//! A store that somebody altered who can write to the database: each alteration is found by `audit verify`, by its own
//! message and with its first bad leaf.

use neuralops::domain::audit::{
    checkpoint::Checkpoint,
    hash::Hash,
    note::SigningKey,
    tree::{leaf_position, position, root_recipe, stored},
};

use crate::{
    log::{A, B, Filled, LEAVES, key, record, sign, vkey},
    run::{audit, text, verify},
};

/// What an alteration puts in the place of what was there.
fn other() -> Vec<u8> {
    record(9_999_999).to_bytes().unwrap()
}

async fn altered(filled: &Filled, statements: &[String], says: &str) {
    filled.alter(statements).await;
    verify(&filled.url(), &vkey(A)).refuted(says);
}

pub async fn a_sound_store_is_verified(filled: Filled) {
    let said = verify(&filled.url(), &vkey(A)).good();
    assert!(
        said.starts_with(&format!("verified: 600 leaves of {A}\n")),
        "{said}"
    );
    assert!(said.contains(&filled.log.root.to_string()), "{said}");
    // What is not signed yet is said to be so.
    let epoch = filled.epoch;
    filled
        .store
        .append(epoch, vec![crate::log::entry(700)])
        .await
        .unwrap();
    let said = verify(&filled.url(), &vkey(A)).good();
    assert!(
        said.contains("1 of them came after the newest checkpoint"),
        "{said}"
    );
}

pub async fn a_store_is_verified_while_it_grows(mut filled: Filled) {
    let url = filled.url();
    let verified = tokio::task::spawn_blocking(move || {
        for _ in 0..5 {
            verify(&url, &vkey(A)).good();
        }
    });
    let grows = async {
        // As fast as it goes: a checkpoint after every few leaves.
        for first in (LEAVES..).step_by(5) {
            filled.append(first..first + 5).await;
        }
    };
    tokio::select! {
        () = grows => {}
        done = verified => done.unwrap(),
    }
}

pub async fn an_entry(filled: Filled) {
    let body = filled.blob(&other());
    let sql = format!("UPDATE leaf SET body = {body} WHERE idx = 17");
    altered(&filled, &[sql], "leaf 17 (log 1): the entry was altered").await;
}

pub async fn an_entry_with_its_hash(filled: Filled) {
    let (body, hash) = (
        filled.blob(&other()),
        filled.blob(&Hash::of_leaf(&other()).0),
    );
    let leaf = format!("UPDATE leaf SET body = {body} WHERE idx = 17");
    let node = format!(
        "UPDATE node SET hash = {hash} WHERE pos = {}",
        leaf_position(17)
    );
    let says = "leaves 16 to 17 (log 1, level 1): entries were altered and their hashes with them";
    altered(&filled, &[leaf, node], says).await;
}

pub async fn a_hash_of_a_leaf(filled: Filled) {
    let hash = filled.blob(&Hash::of_leaf(b"other").0);
    let sql = format!(
        "UPDATE node SET hash = {hash} WHERE pos = {}",
        leaf_position(40)
    );
    altered(
        &filled,
        &[sql],
        "leaf 40 (log 1, level 0): the hash was altered",
    )
    .await;
}

pub async fn a_hash_above(filled: Filled) {
    let hash = filled.blob(&Hash::of_leaf(b"other").0);
    let sql = format!(
        "UPDATE node SET hash = {hash} WHERE pos = {}",
        position(3, 5)
    );
    altered(
        &filled,
        &[sql],
        "leaves 40 to 47 (log 1, level 3): the hash was altered",
    )
    .await;
}

pub async fn the_root_in_the_head(filled: Filled) {
    let root = filled.blob(&Hash::of_leaf(b"other").0);
    let sql = format!("UPDATE log SET root = {root}");
    altered(
        &filled,
        &[sql],
        "the store's head says that 600 leaves have the root",
    )
    .await;
}

pub async fn the_size_in_the_head(filled: Filled) {
    let sql = "UPDATE log SET size = 590".to_owned();
    altered(
        &filled,
        &[sql],
        "log 1: the head was altered: it says 590 leaves, and leaf 590 is there",
    )
    .await;
}

pub async fn a_text(filled: Filled) {
    let digest = crate::log::payload(55).digest();
    let body = filled.blob(b"another text");
    let sql = format!("UPDATE payload SET body = {body} WHERE digest = '{digest}'");
    altered(
        &filled,
        &[sql],
        "leaf 55 (log 1): the text beside the log was altered",
    )
    .await;
}

pub async fn a_checkpoint(filled: Filled) {
    let note = filled.checkpoints[2].replacen("\n300\n", "\n301\n", 1);
    let sql = format!("UPDATE checkpoint SET note = '{note}' WHERE size = 300");
    altered(
        &filled,
        &[sql],
        "log 1, checkpoint of 300 leaves: the checkpoint is not signed by a given key",
    )
    .await;
}

pub async fn a_checkpoint_by_another_key(filled: Filled) {
    let stranger = SigningKey::from_seed(A, &[99; 32]).unwrap();
    let checkpoint = Checkpoint {
        origin: A.into(),
        size: LEAVES,
        root: filled.log.root,
    };
    let note = checkpoint.sign(&stranger).unwrap();
    filled
        .alter(&[format!(
            "UPDATE checkpoint SET note = '{note}' WHERE size = {LEAVES}"
        )])
        .await;
    let says = "log 1, checkpoint of 600 leaves: the checkpoint is not signed by a given key of the log: \
                the checkpoint's signature cannot be verified: no known key signed the note";
    verify(&filled.url(), &vkey(A)).refuted(says);
    // To trust that key instead does not help: the others are not by it.
    let says = "checkpoint of 100 leaves: the checkpoint is not signed by a given key";
    verify(&filled.url(), &stranger.verifier()).refuted(says);
}

async fn swap(filled: &Filled, columns: &str) {
    let read = |idx: u64| {
        let store = filled.store.clone();
        let log = filled.log.number;
        async move { store.leaves(log, idx, 1).await.unwrap().remove(0) }
    };
    let (one, other) = (read(30).await, read(33).await);
    let set = |leaf: &neuralops::ports::Leaf, idx: u64| {
        let (id, body) = (filled.blob(&leaf.id.0), filled.blob(&leaf.body));
        let values = if columns == "id" {
            format!("id = {id}")
        } else {
            format!("id = {id}, body = {body}")
        };
        format!("UPDATE leaf SET {values} WHERE idx = {idx}")
    };
    filled
        .alter(&["DROP INDEX leaf_id".into(), set(&one, 33), set(&other, 30)])
        .await;
}

pub async fn two_entries_swapped(filled: Filled) {
    swap(&filled, "id, body").await;
    let says = "leaf 30 (log 1): the entry of leaf 33 stands here: leaves were swapped";
    verify(&filled.url(), &vkey(A)).refuted(says);
}

pub async fn two_ids_swapped(filled: Filled) {
    swap(&filled, "id").await;
    verify(&filled.url(), &vkey(A)).refuted("leaf 30 (log 1): the store finds it by the id ");
}

pub async fn the_end_cut_off(filled: Filled) {
    let recipe = root_recipe(590);
    let hashes = filled.store.hashes(filled.log.number, recipe.positions());
    let root = recipe.cook(&hashes.await.unwrap()).unwrap()[0];
    let statements = [
        "DELETE FROM leaf WHERE idx >= 590".to_owned(),
        format!("DELETE FROM node WHERE pos >= {}", stored(590)),
        format!("UPDATE log SET size = 590, root = {}", filled.blob(&root.0)),
    ];
    let says =
        "leaf 590 (log 1): missing, and the checkpoint covers 600 leaves: the log was truncated";
    altered(&filled, &statements, says).await;
}

pub async fn one_leaf_gone(filled: Filled) {
    let sql = "DELETE FROM leaf WHERE idx = 300".to_owned();
    altered(&filled, &[sql], "leaf 300: log 1 has no leaf 300").await;
}

/// Rewrites the log with another body at one place, and signs it: what somebody can do who has database and key.
async fn rewritten_and_signed(filled: &Filled, at: usize, body: Vec<u8>) {
    let mut bodies = filled.bodies(&filled.log).await;
    bodies[at] = body;
    let root = filled.rewrite(&filled.log, &bodies).await;
    let note = sign(A, LEAVES, root);
    let statements = [
        format!("DELETE FROM checkpoint WHERE size < {LEAVES}"),
        format!("UPDATE checkpoint SET note = '{note}'"),
    ];
    filled.alter(&statements).await;
}

pub async fn an_id_twice(filled: Filled) {
    rewritten_and_signed(&filled, 450, record(100).to_bytes().unwrap()).await;
    let answer = verify(&filled.url(), &vkey(A));
    assert!(
        answer
            .err
            .trim_end()
            .ends_with("stands there twice, first as leaf 100 (log 1)"),
        "{}",
        answer.err
    );
    answer.refuted("leaf 450 (log 1): the id ");
}

pub async fn the_whole_log_rewritten(filled: Filled) {
    let mut bodies = filled.bodies(&filled.log).await;
    bodies[450] = other();
    filled.rewrite(&filled.log, &bodies).await;
    let answer = verify(&filled.url(), &vkey(A));
    assert!(
        answer.err.contains("leaves 400 to 499 were altered"),
        "{}",
        answer.err
    );
    answer.refuted("an earlier checkpoint says that 500 leaves have the root");
}

pub async fn the_whole_log_rewritten_and_signed(filled: Filled) {
    let kept = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(kept.path(), &filled.checkpoints[4]).unwrap();
    let (url, vkey) = (filled.url(), vkey(A).to_string());
    let args = [
        "verify",
        &url,
        "--key",
        &vkey,
        "--checkpoint",
        text(kept.path()),
    ];
    audit(&args).good();
    rewritten_and_signed(&filled, 450, other()).await;
    // The log alone is sound then; whoever kept a checkpoint knows better.
    verify(&url, &key(A).verifier()).good();
    audit(&args).refuted("the log was rewritten: its 500 leaves are not those of then");
}

pub async fn a_log_that_was_followed(mut filled: Filled) {
    filled.follow().await;
    let said = verify(&filled.url(), &vkey(B)).good();
    assert!(
        said.contains(&format!("note: no key of {A} was given")),
        "{said}"
    );
    let (url, a, b) = (filled.url(), vkey(A).to_string(), vkey(B).to_string());
    let both = ["verify", &url, "--key", &a, "--key", &b];
    let said = audit(&both).good();
    assert!(
        said.contains("verified: 51 leaves") && said.contains("verified: 600 leaves"),
        "{said}"
    );
    assert!(!said.contains("note:"), "{said}");
    let body = filled.blob(&other());
    filled
        .alter(&[format!(
            "UPDATE leaf SET body = {body} WHERE log = 1 AND idx = 17"
        )])
        .await;
    // With its key the signature says so, without it the log that follows.
    audit(&both).refuted("leaf 17 (log 1): the entry was altered");
    verify(&url, &vkey(B)).refuted("leaf 17 (log 1)");
}

pub async fn a_log_that_was_followed_rewritten(mut filled: Filled) {
    let before = filled.log.clone();
    filled.follow().await;
    let mut bodies = filled.bodies(&before).await;
    bodies[17] = other();
    filled.rewrite(&before, &bodies).await;
    let says = format!("{B} does not say in its first leaf that it follows {A} with 600 leaves");
    verify(&filled.url(), &vkey(B)).refuted(&says);
}
