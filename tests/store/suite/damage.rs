//! A store that somebody altered.

use std::sync::Arc;

use jiff::Timestamp;
use neuralops::{
    adapters::store::Mode,
    ports::{Epoch, LogNumber, Store, StoreError},
};

use crate::{
    entries::{entries, lead, text, tree_of},
    place::Place,
};

async fn grown(place: &Place) -> (Arc<dyn Store>, Epoch, LogNumber) {
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    store.append(epoch, entries(0..10)).await.unwrap();
    (store, epoch, log)
}

#[track_caller]
fn names<T: std::fmt::Debug>(answer: Result<T, StoreError>, what: &str) {
    assert!(
        matches!(&answer, Err(StoreError::Damaged(found)) if found.contains(what)),
        "{answer:?} names no {what}"
    );
}

/// As the operator opens it: a damaged store opens, so that a new log can be begun in it, and says what is wrong.
async fn opening(place: &Place) -> Result<(), StoreError> {
    let store = place.try_open(Mode::Operator).await?;
    let findings = store.check().await?;
    if findings.is_empty() {
        Ok(())
    } else {
        Err(StoreError::Damaged(findings.join("; ")))
    }
}

pub async fn a_missing_leaf_is_found(place: &Place) {
    let (store, _, log) = grown(place).await;
    place.alter("DELETE FROM leaf WHERE idx = 4").await;
    names(store.leaves(log, 0, 10).await, "leaf 4");
    names(store.leaves(log, 4, 1).await, "leaf 4");
    assert_eq!(store.leaves(log, 5, 5).await.unwrap().len(), 5);
    assert!(store.check().await.unwrap()[0].contains("10 leaves, but 9 rows"));
    // At the end, nothing behind it shows the gap; the log's size does.
    place.alter("DELETE FROM leaf WHERE idx = 9").await;
    names(store.leaves(log, 5, 100).await, "leaf 9");
    names(store.leaves(log, 9, 1).await, "leaf 9");
}

pub async fn a_missing_or_altered_hash_is_found(place: &Place) {
    let (store, epoch, log) = grown(place).await;
    let (_, hashes) = tree_of(0..10);
    place.alter("DELETE FROM node WHERE pos = 2").await;
    names(store.hashes(log, &[0, 2, 3]).await, "position 2");
    names(store.hash_run(log, 0, 5).await, "position 2");
    assert_eq!(store.hash_run(log, 3, 5).await.unwrap(), hashes[3..8]);
    names(store.hashes(log, &[0, 18]).await, "position 18");
    names(store.hashes(log, &[u64::MAX]).await, "position");
    assert!(store.check().await.unwrap()[0].contains("needs 18 hashes, but has 17"));
    // Not one of the right edge: writing goes on.
    store.append(epoch, entries(10..11)).await.unwrap();
    // One of the right edge: whoever begins to write finds it.
    place
        .alter("UPDATE node SET hash = (SELECT root FROM log) WHERE pos = 14")
        .await;
    names(opening(place).await, "its hashes give");
    let findings = store.check().await.unwrap().join("\n");
    assert!(findings.contains("its hashes give"), "{findings}");
    place.alter("DELETE FROM node WHERE pos = 14").await;
    names(opening(place).await, "position 14");
}

pub async fn an_altered_root_or_size_is_found(place: &Place) {
    let (store, epoch, log) = grown(place).await;
    place.alter("UPDATE log SET size = 9").await;
    // It remembers what the log was; whoever comes anew compares it with the hashes.
    names(store.append(epoch, entries(10..11)).await, "earlier state");
    names(
        store.append(epoch, entries(10..11)).await,
        "its hashes give",
    );
    names(opening(place).await, "its hashes give");
    names(store.leaves(log, 5, 100).await, "a leaf 9, though it has 9");
    names(store.hash_run(log, 0, 100).await, "a hash at position 16");
    place.alter("UPDATE log SET size = 11").await;
    names(
        store.append(epoch, entries(10..11)).await,
        "no hash at position 18",
    );
    place.alter("UPDATE log SET size = 10").await;
    store.append(epoch, entries(10..11)).await.unwrap();
    place
        .alter("UPDATE log SET root = (SELECT hash FROM node WHERE pos = 0)")
        .await;
    names(store.append(epoch, entries(11..12)).await, "earlier state");
    names(
        store.append(epoch, entries(11..12)).await,
        "its hashes give",
    );
    names(opening(place).await, "its hashes give");
    // A damaged store can still be looked at.
    let reader = place.try_open(Mode::Reader).await.unwrap();
    assert_eq!(reader.check().await.unwrap().len(), 1);
    // A log that is back in a state it once had would write leaves where there are some.
    place.alter("UPDATE log SET size = 1").await;
    names(store.append(epoch, entries(20..21)).await, "writing leaves");
}

pub async fn an_altered_text_is_found(place: &Place) {
    let (store, epoch, _) = grown(place).await;
    let mut entry = crate::entries::entry(20);
    entry.payload = Some((text("because"), Timestamp::MAX));
    store.append(epoch, vec![entry]).await.unwrap();
    let digest = text("because").digest();
    assert!(store.payload(&digest).await.unwrap().is_some());
    match place {
        Place::Sqlite { .. } => place.alter("UPDATE payload SET body = x'00'").await,
        Place::Postgres { .. } => place.alter("UPDATE payload SET body = '\\x00'").await,
    }
    names(store.payload(&digest).await, "another one");
}

pub async fn values_of_another_kind_are_found(place: &Place) {
    let (store, epoch, log) = grown(place).await;
    // The tables refuse them, so the tables go first.
    match place {
        Place::Sqlite { .. } => {
            place.alter("PRAGMA ignore_check_constraints = 1; UPDATE leaf SET id = x'00' WHERE idx = 3; UPDATE node SET hash = x'00' WHERE pos = 3; UPDATE log SET root = x'00';").await;
        }
        Place::Postgres { .. } => {
            place.alter("ALTER TABLE leaf DROP CONSTRAINT leaf_id_check; UPDATE leaf SET id = '\\x00' WHERE idx = 3; ALTER TABLE node DROP CONSTRAINT node_hash_check; UPDATE node SET hash = '\\x00' WHERE pos = 3; ALTER TABLE log DROP CONSTRAINT log_root_check; UPDATE log SET root = '\\x00';").await;
        }
    }
    names(store.leaves(log, 0, 10).await, "id of a leaf");
    names(store.hashes(log, &[3]).await, "position 3");
    names(store.hash_run(log, 0, 10).await, "position 3");
    names(store.logs().await, "root of log 1");
    names(store.append(epoch, entries(10..11)).await, "root of log 1");
}

#[track_caller]
fn unusable<T>(answer: Result<T, StoreError>, what: &str) {
    let error = answer.err().unwrap();
    assert!(
        matches!(&error, StoreError::Unusable(found) if found.contains(what)),
        "{error:?}"
    );
}

pub async fn tables_of_a_newer_version_are_left_alone(place: &Place) {
    let (store, ..) = grown(place).await;
    drop(store);
    match place {
        Place::Sqlite { .. } => place.alter("PRAGMA user_version = 99").await,
        Place::Postgres { .. } => place.alter("UPDATE schema SET version = 99").await,
    }
    for mode in [Mode::Operator, Mode::Reader] {
        unusable(place.try_open(mode).await, "version 99");
    }
}

pub async fn a_reader_demands_the_tables_of_its_version(place: &Place) {
    unusable(place.try_open(Mode::Reader).await, "the operator");
    // It has not created anything either.
    unusable(place.try_open(Mode::Reader).await, "the operator");
    let (store, ..) = grown(place).await;
    drop(store);
    match place {
        Place::Sqlite { .. } => place.alter("PRAGMA user_version = 0").await,
        Place::Postgres { .. } => place.alter("UPDATE schema SET version = 0").await,
    }
    unusable(place.try_open(Mode::Reader).await, "version 0");
}

pub async fn a_lost_table_makes_it_unusable(place: &Place) {
    let (store, epoch, log) = grown(place).await;
    match place {
        Place::Sqlite { .. } => {
            place
                .alter("PRAGMA foreign_keys = 0; DROP TABLE node; DROP TABLE notice")
                .await
        }
        Place::Postgres { .. } => place.alter("DROP TABLE node; DROP TABLE notice").await,
    }
    unusable(store.hash_run(log, 0, 1).await, "node");
    unusable(store.notices(1).await, "notice");
    unusable(store.append(epoch, entries(10..11)).await, "node");
    unusable(opening(place).await, "node");
}
