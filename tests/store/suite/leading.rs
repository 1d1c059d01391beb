//! Who may write.

use jiff::Timestamp;
use neuralops::{
    adapters::store::Mode,
    ports::{Epoch, SavedCheckpoint, Store, StoreError},
};

use crate::{
    entries::{entries, entry, lead, tree_of},
    place::Place,
    suite::runs::claim,
};

/// Every method that names an epoch, with the answer of each.
async fn every_write(
    store: &dyn Store,
    epoch: Epoch,
) -> Vec<(&'static str, Result<(), StoreError>)> {
    let log = store.logs().await.unwrap()[0].number;
    let checkpoint = SavedCheckpoint {
        log,
        size: 1,
        note: "note".to_owned(),
    };
    vec![
        ("begin_log", store.begin_log(epoch, "other").await.map(drop)),
        ("promote", store.promote(epoch, log).await),
        (
            "append",
            store.append(epoch, entries(90..91)).await.map(drop),
        ),
        (
            "append of nothing",
            store.append(epoch, Vec::new()).await.map(drop),
        ),
        (
            "append of an old id",
            store.append(epoch, entries(0..1)).await.map(drop),
        ),
        (
            "save_checkpoint",
            store.save_checkpoint(epoch, checkpoint).await,
        ),
        (
            "expire_payloads",
            store.expire_payloads(epoch, Timestamp::MAX).await.map(drop),
        ),
        ("told", store.told(epoch, 1).await),
        ("answered", store.answered(epoch, 1).await),
        (
            "claim",
            store.claim(epoch, claim("two", &["b"])).await.map(drop),
        ),
        (
            "release",
            store.release(epoch, "uid-of-one").await.map(drop),
        ),
        (
            "restore_log",
            store.restore_log(epoch, "restored").await.map(drop),
        ),
        (
            "restore_leaves",
            store
                .restore_leaves(epoch, log, entries(91..92))
                .await
                .map(drop),
        ),
    ]
}

async fn with_one_of_everything(store: &dyn Store) -> Epoch {
    let (epoch, _) = lead(store).await;
    let mut first = entry(0);
    first.payload = Some((crate::entries::text("text"), Timestamp::MIN));
    first.notice = Some(vec![1]);
    store.append(epoch, vec![first]).await.unwrap();
    store.ask(vec![1]).await.unwrap();
    store.claim(epoch, claim("one", &["a"])).await.unwrap();
    epoch
}

const EVERYTHING: &str = "SELECT (SELECT count(*) FROM log) + 10 * (SELECT count(*) FROM leaf)
    + 100 * (SELECT count(*) FROM node) + 1000 * (SELECT count(*) FROM checkpoint)
    + 10000 * (SELECT count(*) FROM payload) + 100000 * (SELECT count(*) FROM notice)
    + 1000000 * (SELECT count(*) FROM request) + 10000000 * (SELECT count(*) FROM run)
    + 100000000 * (SELECT count(*) FROM lock)";

pub async fn taking_over_fences_every_write_of_the_leader_before(place: &Place) {
    let store = place.open().await;
    let old = with_one_of_everything(&*store).await;
    let everything = place.number(EVERYTHING).await;
    assert_eq!(everything, 111_110_111);
    let new = store.take_over().await.unwrap();
    assert_eq!((old, new), (Epoch(1), Epoch(2)));
    for (method, answer) in every_write(&*store, old).await {
        assert!(
            matches!(answer, Err(StoreError::Fenced { ours, newest }) if ours == old && newest == new),
            "{method}: {answer:?}"
        );
    }
    assert_eq!(place.number(EVERYTHING).await, everything);
    // A refusal costs the store nothing: the newest goes on, and to ask takes no epoch.
    store.append(new, entries(1..2)).await.unwrap();
    store.ask(vec![2]).await.unwrap();
}

pub async fn a_second_process_takes_over_and_goes_on(place: &Place) {
    let first = place.open().await;
    let (old, log) = lead(&*first).await;
    first.append(old, entries(0..5)).await.unwrap();

    let second = place.open().await;
    assert_eq!(second.epoch().await.unwrap(), old);
    let new = second.take_over().await.unwrap();
    assert!(new > old);
    assert_eq!(first.epoch().await.unwrap(), new);
    let refused = first.append(old, entries(5..6)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Fenced { .. }), "{refused:?}");
    let grown = second.append(new, entries(3..8)).await.unwrap();
    assert_eq!(grown.log.size, 8);
    assert_eq!(grown.log.root, tree_of(0..8).0.root());

    // What the first one remembers of the tree is old now; it must notice.
    let newest = first.take_over().await.unwrap();
    let grown = first.append(newest, entries(8..9)).await.unwrap();
    assert_eq!(grown.log.root, tree_of(0..9).0.root());
    assert_eq!(second.leaves(log, 0, 100).await.unwrap().len(), 9);
}

pub async fn a_reader_writes_nothing_but_requests(place: &Place) {
    let store = place.open().await;
    let epoch = with_one_of_everything(&*store).await;
    let reader = place.try_open(Mode::Reader).await.unwrap();
    assert_eq!(reader.epoch().await.unwrap(), epoch);
    for (method, answer) in every_write(&*reader, epoch).await {
        assert!(
            matches!(answer, Err(StoreError::Unusable(_))),
            "{method}: {answer:?}"
        );
    }
    let refused = reader.take_over().await.unwrap_err();
    assert!(matches!(refused, StoreError::Unusable(_)), "{refused:?}");
    assert_eq!(store.epoch().await.unwrap(), epoch);
    reader.ask(vec![2]).await.unwrap();
    assert_eq!(store.requests(10).await.unwrap().len(), 2);
    reader.reopen().await.unwrap();
    reader.ask(vec![3]).await.unwrap();
    assert_eq!(reader.requests(10).await.unwrap().len(), 3);
}

pub async fn an_epoch_that_went_back_is_damage(place: &Place) {
    let store = place.open().await;
    lead(&*store).await;
    let epoch = store.take_over().await.unwrap();
    place.alter("UPDATE writer SET epoch = 1").await;
    let refused = store.append(epoch, entries(0..1)).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::Damaged(what) if what.contains("earlier state")),
        "{refused:?}"
    );
}
