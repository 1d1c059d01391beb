//! Logs that follow each other, and logs that are put back.

use neuralops::ports::{LogNumber, SavedCheckpoint, StoreError};

use crate::{
    entries::{ORIGIN, at, entries, entry, lead, tree_of},
    place::Place,
};

const NEXT: &str = "neuralops.io/test/2";

pub async fn a_log_grows_only_after_promotion(place: &Place) {
    let store = place.open().await;
    let (epoch, first) = lead(&*store).await;
    store.append(epoch, entries(0..4)).await.unwrap();
    let next = store.begin_log(epoch, NEXT).await.unwrap();
    assert_eq!(
        (next.size, next.current, next.origin.as_str()),
        (0, false, NEXT)
    );
    assert!(next.number > first);
    assert_eq!(
        store.append(epoch, entries(4..5)).await.unwrap().log.number,
        first
    );

    store.promote(epoch, next.number).await.unwrap();
    store.promote(epoch, next.number).await.unwrap();
    let grown = store.append(epoch, entries(5..7)).await.unwrap();
    assert_eq!(grown.appended[1].at, at(next.number, 1));
    assert_eq!(grown.log.root, tree_of(5..7).0.root());
    // An id of the log before keeps its place there.
    let old = store.append(epoch, vec![entry(2)]).await.unwrap();
    assert_eq!(old.appended[0].at, at(first, 2));
    assert!(old.appended[0].before);
    assert_eq!(old.log.number, next.number);

    let logs = store.logs().await.unwrap();
    let logs: Vec<_> = logs
        .iter()
        .map(|log| (log.number, log.size, log.current))
        .collect();
    assert_eq!(logs, [(first, 5, false), (next.number, 2, true)]);
    // What has ended does not begin again.
    for (log, word) in [(first, "closed"), (LogNumber(9), "no log 9")] {
        let refused = store.promote(epoch, log).await.unwrap_err();
        assert!(
            matches!(&refused, StoreError::Damaged(what) if what.contains(word)),
            "{refused:?}"
        );
    }
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
}

pub async fn only_a_log_that_was_never_promoted_is_replaced(place: &Place) {
    let store = place.open().await;
    let (epoch, first) = lead(&*store).await;
    let checkpoint = |log| SavedCheckpoint {
        log,
        size: 0,
        note: "note".to_owned(),
    };
    for origin in [NEXT, NEXT, "neuralops.io/test/3"] {
        let begun = store.begin_log(epoch, origin).await.unwrap();
        assert_eq!(store.checkpoint(begun.number).await.unwrap(), None);
        store
            .save_checkpoint(epoch, checkpoint(begun.number))
            .await
            .unwrap();
        let origins: Vec<_> = store
            .logs()
            .await
            .unwrap()
            .into_iter()
            .map(|log| log.origin)
            .collect();
        assert_eq!(origins, [ORIGIN, origin]);
    }
    // One that grows, one that ended and one that was put back are left alone.
    let second = store.begin_log(epoch, NEXT).await.unwrap();
    store.promote(epoch, second.number).await.unwrap();
    let restored = store.restore_log(epoch, "restored").await.unwrap();
    for _ in 0..2 {
        store.begin_log(epoch, "pending").await.unwrap();
    }
    let logs = store.logs().await.unwrap();
    let numbers: Vec<_> = logs.iter().map(|log| log.number).collect();
    assert_eq!(numbers[..3], [first, second.number, restored]);
    let mut origins: Vec<_> = logs.iter().map(|log| log.origin.as_str()).collect();
    origins.sort_unstable();
    assert_eq!(origins, [ORIGIN, NEXT, "pending", "restored"]);
    let refused = store.begin_log(epoch, ORIGIN).await.unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused:?}");
    // A refusal does not even replace.
    assert_eq!(store.logs().await.unwrap(), logs);
}

pub async fn a_log_is_put_back_leaf_by_leaf(place: &Place) {
    let store = place.open().await;
    let epoch = store.take_over().await.unwrap();
    let closed = store.restore_log(epoch, ORIGIN).await.unwrap();
    let last = store.restore_log(epoch, NEXT).await.unwrap();
    let mut batch = entries(0..300);
    batch[5].payload = Some((crate::entries::text("five"), jiff::Timestamp::MAX));
    let log = store.restore_leaves(epoch, closed, batch).await.unwrap();
    assert_eq!((log.size, log.current), (300, false));
    let log = store
        .restore_leaves(epoch, closed, entries(300..321))
        .await
        .unwrap();
    assert_eq!(log.root, tree_of(0..321).0.root());
    store
        .restore_leaves(epoch, last, entries(400..410))
        .await
        .unwrap();
    assert!(
        store
            .payload(&crate::entries::text("five").digest())
            .await
            .unwrap()
            .is_some()
    );

    // None of them grows by itself, and none is replaced.
    let refused = store.append(epoch, entries(500..501)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused:?}");
    let begun = store.begin_log(epoch, "begun").await.unwrap();
    assert_eq!(store.logs().await.unwrap().len(), 3);

    store.promote(epoch, last).await.unwrap();
    let grown = store.append(epoch, entries(410..411)).await.unwrap();
    assert_eq!(grown.log.root, tree_of(400..411).0.root());
    assert_eq!(
        store.find(entry(7).id).await.unwrap().unwrap().at,
        at(closed, 7)
    );
    // What grows, ended or was begun is nothing to put leaves back into.
    for log in [last, begun.number, LogNumber(9)] {
        let refused = store
            .restore_leaves(epoch, log, entries(600..601))
            .await
            .unwrap_err();
        assert!(matches!(refused, StoreError::Damaged(_)), "{refused:?}");
    }
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
}

pub async fn putting_back_goes_on_where_it_ended(place: &Place) {
    let store = place.open().await;
    let epoch = store.take_over().await.unwrap();
    let log = store.restore_log(epoch, ORIGIN).await.unwrap();
    store
        .restore_leaves(epoch, log, entries(0..10))
        .await
        .unwrap();
    drop(store);

    let store = place.open().await;
    let epoch = store.take_over().await.unwrap();
    assert_eq!(store.restore_log(epoch, ORIGIN).await.unwrap(), log);
    for batch in [0..7, 7..14, 14..20] {
        store
            .restore_leaves(epoch, log, entries(batch))
            .await
            .unwrap();
    }
    let logs = store.logs().await.unwrap();
    assert_eq!((logs[0].size, logs[0].root), (20, tree_of(0..20).0.root()));
}

pub async fn a_store_refuses_to_put_back_what_it_has(place: &Place) {
    let store = place.open().await;
    let (epoch, first) = lead(&*store).await;
    store.append(epoch, entries(0..3)).await.unwrap();
    let refused = store.restore_log(epoch, ORIGIN).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::Unusable(what) if what.contains(ORIGIN)),
        "{refused:?}"
    );
    // A leaf of another log cannot be a leaf of this one as well.
    let log = store.restore_log(epoch, NEXT).await.unwrap();
    let refused = store
        .restore_leaves(epoch, log, entries(2..5))
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, StoreError::Damaged(what) if what.contains("log 1")),
        "{refused:?}"
    );
    let logs = store.logs().await.unwrap();
    assert_eq!((logs[1].number, logs[1].size), (log, 0));
    assert_eq!(store.leaves(first, 0, 10).await.unwrap().len(), 3);
}
