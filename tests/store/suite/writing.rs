//! What is appended, and what stands beside it.

use jiff::Timestamp;
use neuralops::{
    domain::{
        audit::{hash::Hash, record::Payload},
        digest::Digest,
    },
    ports::{Appended, Epoch, LogNumber, Notice, Query, SavedCheckpoint, StoreError},
};

use crate::{
    entries::{ORIGIN, at, entries, entry, lead, second, text, tree, tree_of},
    place::Place,
};

pub async fn a_fresh_store_is_empty(place: &Place) {
    let store = place.open().await;
    assert_eq!(store.epoch().await.unwrap(), Epoch(0));
    assert_eq!(store.logs().await.unwrap(), []);
    assert_eq!(store.query(Query::default()).await.unwrap(), []);
    assert_eq!(store.notices(10).await.unwrap(), []);
    assert_eq!(store.requests(10).await.unwrap(), []);
    assert_eq!(store.find(entry(0).id).await.unwrap(), None);
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    // Without a log nothing can be appended.
    let epoch = store.take_over().await.unwrap();
    let refused = store.append(epoch, entries(0..1)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused:?}");
}

pub async fn leaves_stand_in_order_under_the_root_of_their_tree(place: &Place) {
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    let grown = store.append(epoch, entries(0..3)).await.unwrap();
    let places: Vec<_> = grown
        .appended
        .iter()
        .map(|leaf| (leaf.at, leaf.before))
        .collect();
    assert_eq!(
        places,
        [
            (at(log, 0), false),
            (at(log, 1), false),
            (at(log, 2), false)
        ]
    );
    assert_eq!(grown.log.size, 3);
    assert_eq!(grown.log.root, tree_of(0..3).0.root());
    assert!(grown.log.current);
    assert_eq!(grown.log.origin, ORIGIN);
    assert_eq!(store.logs().await.unwrap(), [grown.log]);

    let nothing = store.append(epoch, Vec::new()).await.unwrap();
    assert!(nothing.appended.is_empty());
    assert_eq!(nothing.log.size, 3);
}

pub async fn every_size_of_batch_grows_the_same_tree(place: &Place) {
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    let mut end = 0;
    for size in [1, 2, 3, 255, 256, 257, 1000, 1, 64] {
        let grown = store.append(epoch, entries(end..end + size)).await.unwrap();
        end += size;
        assert_eq!(grown.log.size, end);
        assert_eq!(grown.log.root, tree_of(0..end).0.root(), "at {end}");
    }
    let (_, hashes) = tree_of(0..end);
    let all = u32::try_from(hashes.len()).unwrap();
    assert_eq!(store.hash_run(log, 0, all + 1).await.unwrap(), hashes);
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
}

pub async fn a_retried_append_finds_the_old_place(place: &Place) {
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    store.append(epoch, entries(0..5)).await.unwrap();
    let retried = [9, 3, 8, 0].map(|number| {
        let mut retried = entry(number);
        // A retry has a new salt and a new time; neither may leave a trace.
        retried.payload = Some((text(&format!("again {number}")), Timestamp::MAX));
        retried.notice = Some(vec![1]);
        retried
    });
    let grown = store.append(epoch, retried.to_vec()).await.unwrap();
    let place = |index, before| Appended {
        at: at(log, index),
        before,
    };
    assert_eq!(
        grown.appended,
        [
            place(5, false),
            place(3, true),
            place(6, false),
            place(0, true)
        ]
    );
    assert_eq!(grown.log.size, 7);
    assert_eq!(
        grown.log.root,
        tree([0, 1, 2, 3, 4, 9, 8].map(|n| entry(n).body)).0.root()
    );
    assert_eq!(
        store.payload(&text("again 3").digest()).await.unwrap(),
        None
    );
    assert!(
        store
            .payload(&text("again 8").digest())
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(store.notices(10).await.unwrap().len(), 2);

    let again = store.append(epoch, entries(0..5)).await.unwrap();
    assert!(again.appended.iter().all(|leaf| leaf.before));
    assert_eq!(again.log, grown.log);
}

pub async fn an_id_twice_in_a_batch_stands_once(place: &Place) {
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    let batch = [1, 2, 1, 1, 3].map(entry).to_vec();
    let grown = store.append(epoch, batch).await.unwrap();
    let places: Vec<_> = grown
        .appended
        .iter()
        .map(|leaf| (leaf.at.index, leaf.before))
        .collect();
    assert_eq!(
        places,
        [(0, false), (1, false), (0, true), (0, true), (2, false)]
    );
    assert_eq!(grown.log.root, tree_of(1..4).0.root());
    assert_eq!(store.leaves(log, 0, 10).await.unwrap().len(), 3);
}

pub async fn a_batch_is_written_whole_or_not_at_all(place: &Place) {
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    let before = store.append(epoch, entries(0..3)).await.unwrap().log;
    // The last table that an append reaches refuses it.
    match place {
        Place::Sqlite { .. } => {
            place.alter("CREATE TRIGGER no BEFORE INSERT ON notice BEGIN SELECT raise(ABORT, 'no'); END").await;
        }
        Place::Postgres { .. } => {
            place
                .alter("ALTER TABLE notice ADD CONSTRAINT no CHECK (number < 0)")
                .await;
        }
    }
    let mut batch = entries(3..300);
    batch[7].payload = Some((text("seven"), Timestamp::MAX));
    batch[200].notice = Some(vec![1]);
    let refused = store.append(epoch, batch.clone()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused:?}");
    assert_eq!(store.logs().await.unwrap(), [before]);
    assert_eq!(store.leaves(log, 0, 1000).await.unwrap().len(), 3);
    assert_eq!(store.hash_run(log, 0, 1000).await.unwrap(), tree_of(0..3).1);
    assert_eq!(store.payload(&text("seven").digest()).await.unwrap(), None);
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());

    match place {
        Place::Sqlite { .. } => place.alter("DROP TRIGGER no").await,
        Place::Postgres { .. } => place.alter("ALTER TABLE notice DROP CONSTRAINT no").await,
    }
    let grown = store.append(epoch, batch).await.unwrap();
    assert!(grown.appended.iter().all(|leaf| !leaf.before));
    assert_eq!(grown.log.root, tree_of(0..300).0.root());
}

const NAMES: [&str; 6] = [
    "",
    "o'brien \"x\" \\ %s $1 ?1 {}",
    "日本語 🦀",
    "null",
    "42",
    "[1]",
];

fn odd_bodies() -> [Vec<u8>; 6] {
    [
        Vec::new(),
        vec![0; 8192],
        (0..=255).collect(),
        b"'); DROP TABLE leaf; --".to_vec(),
        vec![0xff],
        b"\0\n".to_vec(),
    ]
}

pub async fn odd_values_come_back_as_they_were(place: &Place) {
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    let bodies = odd_bodies();
    let mut batch = entries(0..6);
    for ((entry, name), body) in batch.iter_mut().zip(NAMES).zip(&bodies) {
        entry.actor = name.into();
        entry.object = Some(name.into());
        entry.body.clone_from(body);
        entry.notice = Some(body.clone());
        let payload = Payload {
            salt: [body.len().to_le_bytes()[0]; 16],
            body: body.clone(),
        };
        entry.payload = Some((payload, Timestamp::MAX));
    }
    batch[0].time = Timestamp::MIN;
    batch[1].time = Timestamp::MAX;
    let grown = store.append(epoch, batch.clone()).await.unwrap();
    assert_eq!(grown.log.root, tree(&bodies).0.root());
    let leaves = store.leaves(log, 0, 10).await.unwrap().into_iter();
    assert_eq!(leaves.map(|leaf| leaf.body).collect::<Vec<_>>(), bodies);
    let notices = store.notices(10).await.unwrap().into_iter();
    assert_eq!(
        notices.map(|notice| notice.body).collect::<Vec<_>>(),
        bodies
    );
    for (entry, name) in batch.into_iter().zip(NAMES) {
        let (payload, _) = entry.payload.unwrap();
        assert_eq!(
            store.payload(&payload.digest()).await.unwrap(),
            Some(payload)
        );
        let by_actor = Query {
            actor: Some(name.to_owned()),
            ..Query::default()
        };
        let by_object = Query {
            object: Some(name.to_owned()),
            ..Query::default()
        };
        for query in [by_actor, by_object] {
            let found = store.query(query).await.unwrap();
            assert_eq!(found.len(), 1, "{name}");
            assert_eq!(found[0].id, entry.id);
        }
    }
}

pub async fn texts_stand_beside_the_log_until_their_time_is_over(place: &Place) {
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    let mut batch = entries(0..4);
    for (entry, (body, until)) in batch.iter_mut().zip([
        ("short", 100),
        ("long", 300),
        ("twice", 100),
        ("twice", 200),
    ]) {
        entry.payload = Some((text(body), second(until)));
    }
    store.append(epoch, batch).await.unwrap();
    // The same text under a later leaf stays as long as that one needs it, and never shorter.
    for (number, until) in [(4, 150), (5, 250), (6, 50)] {
        let mut entry = entry(number);
        entry.payload = Some((text("twice"), second(until)));
        store.append(epoch, vec![entry]).await.unwrap();
    }
    let there = async |body: &str| store.payload(&text(body).digest()).await.unwrap();
    assert_eq!(there("short").await, Some(text("short")));
    assert_eq!(store.expire_payloads(epoch, second(99)).await.unwrap(), 0);
    assert_eq!(store.expire_payloads(epoch, second(100)).await.unwrap(), 1);
    assert_eq!(there("short").await, None);
    assert_eq!(there("long").await, Some(text("long")));
    assert_eq!(store.expire_payloads(epoch, second(249)).await.unwrap(), 0);
    assert_eq!(there("twice").await, Some(text("twice")));
    assert_eq!(store.expire_payloads(epoch, second(1000)).await.unwrap(), 2);
    assert_eq!(store.payload(&Digest::of(b"")).await.unwrap(), None);

    // More than are erased in one transaction.
    let mut many = entries(10..2510);
    for entry in &mut many {
        entry.payload = Some((text(&entry.id.to_string()), second(5)));
    }
    store.append(epoch, many).await.unwrap();
    assert_eq!(store.expire_payloads(epoch, second(5)).await.unwrap(), 2500);
    assert_eq!(place.number("SELECT count(*) FROM payload").await, 0);
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
}

pub async fn notices_are_committed_with_their_leaves(place: &Place) {
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    let mut batch = entries(0..4);
    batch[1].notice = Some(b"one".to_vec());
    batch[3].notice = Some(b"three".to_vec());
    store.append(epoch, batch).await.unwrap();
    let mut late = entry(4);
    late.notice = Some(b"four".to_vec());
    store.append(epoch, vec![late]).await.unwrap();

    let notices = store.notices(10).await.unwrap();
    let told: Vec<_> = notices
        .iter()
        .map(|notice| (notice.at, notice.body.as_slice()))
        .collect();
    assert_eq!(
        told,
        [
            (at(log, 1), b"one".as_slice()),
            (at(log, 3), b"three"),
            (at(log, 4), b"four")
        ]
    );
    assert!(notices.is_sorted_by_key(|notice| notice.number));
    assert_eq!(store.notices(2).await.unwrap(), notices[..2]);
    store.told(epoch, notices[1].number).await.unwrap();
    // Told twice is told.
    store.told(epoch, notices[1].number).await.unwrap();
    assert_eq!(
        store.notices(10).await.unwrap(),
        [notices[0].clone(), notices[2].clone()]
    );

    // A number never comes again, even after the last one is gone.
    store.told(epoch, notices[2].number).await.unwrap();
    let mut next = entry(5);
    next.notice = Some(b"five".to_vec());
    store.append(epoch, vec![next]).await.unwrap();
    let Notice { number, .. } = store.notices(10).await.unwrap()[1];
    assert!(number > notices[2].number);
}

pub async fn anybody_asks_and_the_leader_answers(place: &Place) {
    let store = place.open().await;
    let epoch = store.take_over().await.unwrap();
    let other = place
        .try_open(neuralops::adapters::store::Mode::Reader)
        .await
        .unwrap();
    let first = other.ask(b"backup".to_vec()).await.unwrap();
    let second = store.ask(Vec::new()).await.unwrap();
    assert!(second > first);
    let asked = store.requests(10).await.unwrap();
    let bodies: Vec<_> = asked
        .iter()
        .map(|asked| (asked.number, asked.body.as_slice()))
        .collect();
    assert_eq!(bodies, [(first, b"backup".as_slice()), (second, b"")]);
    assert_eq!(store.requests(1).await.unwrap(), asked[..1]);
    store.answered(epoch, first).await.unwrap();
    store.answered(epoch, first).await.unwrap();
    assert_eq!(other.requests(10).await.unwrap(), asked[1..]);
    store.answered(epoch, second).await.unwrap();
    assert!(other.ask(vec![1]).await.unwrap() > second);
}

fn checkpoint(log: LogNumber, size: u64) -> SavedCheckpoint {
    SavedCheckpoint {
        log,
        size,
        note: format!("origin\n{size}\n{}\n\n— sig\n", Hash::of_nothing()),
    }
}

pub async fn checkpoints_are_kept_as_published(place: &Place) {
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    let next = store
        .begin_log(epoch, "neuralops.io/test/2")
        .await
        .unwrap()
        .number;
    for size in [5, 0, 300, 40] {
        store
            .save_checkpoint(epoch, checkpoint(log, size))
            .await
            .unwrap();
    }
    store
        .save_checkpoint(epoch, checkpoint(next, 1000))
        .await
        .unwrap();
    // The same one again changes nothing; another one at the same size cannot have been published.
    store
        .save_checkpoint(epoch, checkpoint(log, 40))
        .await
        .unwrap();
    let other = SavedCheckpoint {
        note: "another".to_owned(),
        ..checkpoint(log, 40)
    };
    let refused = store.save_checkpoint(epoch, other).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::Damaged(what) if what.contains("size 40")),
        "{refused:?}"
    );
    let nowhere = checkpoint(LogNumber(9), 1);
    let refused = store.save_checkpoint(epoch, nowhere).await.unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused:?}");

    assert_eq!(
        store.checkpoint(log).await.unwrap(),
        Some(checkpoint(log, 300))
    );
    let all = store.checkpoints(log, 0, 10).await.unwrap();
    assert_eq!(all, [5, 40, 300].map(|size| checkpoint(log, size)));
    assert_eq!(
        store.checkpoints(log, 5, 1).await.unwrap(),
        [checkpoint(log, 40)]
    );
    assert_eq!(store.checkpoints(log, 300, 10).await.unwrap(), []);
    assert_eq!(
        store.checkpoint(next).await.unwrap(),
        Some(checkpoint(next, 1000))
    );
    assert_eq!(store.checkpoint(LogNumber(9)).await.unwrap(), None);
}
