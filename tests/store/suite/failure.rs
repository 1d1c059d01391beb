//! Writes that fail half-way.

use futures::FutureExt as _;
use neuralops::ports::{Epoch, Store, StoreError};

use crate::{
    entries::{entries, entry, lead, tree_of},
    place::Place,
};

/// Has one write fail by something that is over afterwards.
async fn broken_write(place: &Place, store: &dyn Store, epoch: Epoch) {
    let failed = match place {
        Place::Sqlite { .. } => {
            let mut other = place.tamperer().await;
            other.run("BEGIN IMMEDIATE").await;
            let failed = store.append(epoch, entries(3..5)).await;
            other.run("ROLLBACK").await;
            other.close().await;
            failed
        }
        Place::Postgres { .. } => {
            place.alter(END_OTHERS).await;
            store.append(epoch, entries(3..5)).await
        }
    };
    assert!(
        matches!(failed, Err(StoreError::Unavailable { .. })),
        "{failed:?}"
    );
}

/// The server ends every connection to this database but the one that asks.
const END_OTHERS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

pub async fn after_a_failed_write_only_reopening_helps(place: &Place) {
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    store.append(epoch, entries(0..3)).await.unwrap();
    broken_write(place, &*store, epoch).await;

    // The cause is gone, and still nothing is written by the connection that failed.
    for answer in [
        store.append(epoch, entries(3..4)).await.map(drop),
        store.told(epoch, 1).await,
        store.ask(vec![1]).await.map(drop),
        store.take_over().await.map(drop),
    ] {
        assert!(
            matches!(answer, Err(StoreError::Unavailable { .. })),
            "{answer:?}"
        );
    }
    // What is there can be read meanwhile.
    assert_eq!(store.leaves(log, 0, 10).await.unwrap().len(), 3);

    store.reopen().await.unwrap();
    assert_eq!(store.epoch().await.unwrap(), epoch);
    let grown = store.append(epoch, entries(1..6)).await.unwrap();
    assert_eq!(grown.log.size, 6);
    assert_eq!(grown.log.root, tree_of(0..6).0.root());
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
}

pub async fn a_caller_that_gives_up_leaves_no_doubt_behind(place: &Place) {
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    store.append(epoch, entries(0..3)).await.unwrap();
    assert!(store.append(epoch, entries(3..9)).now_or_never().is_none());
    let refused = store.append(epoch, entries(3..9)).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::Unavailable { .. }),
        "{refused:?}"
    );

    store.reopen().await.unwrap();
    let grown = store.append(epoch, entries(0..10)).await.unwrap();
    assert_eq!(grown.log.root, tree_of(0..10).0.root());
    assert!(grown.appended[..3].iter().all(|leaf| leaf.before));
    assert_eq!(store.find(entry(9).id).await.unwrap().unwrap().at.index, 9);
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
}

pub async fn a_damaged_log_can_be_reopened_and_followed_but_not_written(place: &Place) {
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    store.append(epoch, entries(0..3)).await.unwrap();
    place.alter("UPDATE log SET size = 2").await;
    store.reopen().await.unwrap();
    assert_eq!(store.leaves(log, 0, 2).await.unwrap().len(), 2);
    let refused = store.append(epoch, entries(3..4)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused:?}");
    store.reopen().await.unwrap();
    let next = store.begin_log(epoch, "example.com/next").await.unwrap();
    store.promote(epoch, next.number).await.unwrap();
    let grown = store.append(epoch, entries(3..4)).await.unwrap();
    assert_eq!((grown.log.number, grown.log.size), (next.number, 1));
}
