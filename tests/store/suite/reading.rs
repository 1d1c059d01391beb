//! What is read.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use neuralops::{
    domain::audit::{event::Event, tree},
    ports::{Claimed, Entry, Epoch, IncidentKey, Leaf, LogNumber, Query, Store},
};
use tokio::time::Instant;

use crate::{
    entries::{at, entries, entry, lead, second, tree_of},
    place::Place,
    suite::runs::{claim, run},
};

pub async fn runs_pages_and_single_leaves_agree(place: &Place) {
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    store.append(epoch, entries(0..70)).await.unwrap();
    let leaf = |number: u64| Leaf {
        at: at(log, number),
        id: entry(number).id,
        body: entry(number).body,
    };
    let leaves = |numbers: std::ops::Range<u64>| numbers.map(leaf).collect::<Vec<_>>();
    assert_eq!(store.leaves(log, 0, 70).await.unwrap(), leaves(0..70));
    assert_eq!(store.leaves(log, 60, 20).await.unwrap(), leaves(60..70));
    assert_eq!(store.leaves(log, 5, 3).await.unwrap(), leaves(5..8));
    assert_eq!(store.leaves(log, 70, 3).await.unwrap(), []);
    assert_eq!(store.leaves(log, 5, 0).await.unwrap(), []);
    assert_eq!(store.leaves(LogNumber(9), 0, 3).await.unwrap(), []);
    assert_eq!(store.find(entry(42).id).await.unwrap(), Some(leaf(42)));
    assert_eq!(store.find(entry(70).id).await.unwrap(), None);

    let (_, hashes) = tree_of(0..70);
    assert_eq!(store.hash_run(log, 0, 1000).await.unwrap(), hashes);
    assert_eq!(store.hash_run(log, 20, 7).await.unwrap(), hashes[20..27]);
    assert_eq!(store.hash_run(log, tree::stored(70), 7).await.unwrap(), []);
    assert_eq!(store.hash_run(LogNumber(9), 0, 7).await.unwrap(), []);
    let positions = [138, 0, 55, 0, 7];
    let expected = positions.map(|at: usize| hashes.get(at).copied());
    let present: Vec<_> = positions[1..].iter().map(|at| *at as u64).collect();
    let read = store.hashes(log, &present).await.unwrap();
    assert_eq!(
        read.into_iter().map(Some).collect::<Vec<_>>(),
        expected[1..]
    );
    assert_eq!(store.hashes(log, &[]).await.unwrap(), []);
}

async fn numbers(store: &dyn Store, query: Query) -> Vec<u64> {
    let found = store.query(query).await.unwrap();
    assert!(found.is_sorted_by_key(|leaf| leaf.at));
    found.into_iter().map(|leaf| leaf.at.index).collect()
}

fn meets(entry: &Entry, query: &Query) -> bool {
    let object = entry.object.as_ref().map(|name| name.as_str());
    (query.object.is_none() || query.object.as_deref() == object)
        && query
            .actor
            .as_deref()
            .is_none_or(|actor| entry.actor.as_str() == actor)
        && query.code.is_none_or(|code| entry.code == code)
        && query.since.is_none_or(|since| entry.time >= since)
        && query.until.is_none_or(|until| entry.time < until)
}

/// Every combination of conditions on the leaves of the test below.
fn queries(start: Timestamp) -> Vec<Query> {
    let after = |seconds| Some(start + Duration::from_secs(seconds));
    let times = [
        (None, None),
        (after(3), None),
        (None, after(12)),
        (after(3), after(12)),
        (after(12), after(3)),
    ];
    let codes = [
        None,
        Some(Event::PlaybookAccepted),
        Some(Event::BackupVerified),
    ];
    let mut queries = Vec::new();
    for object in [None, Some("uid-0"), Some("uid-2"), Some("nobody")] {
        for actor in [None, Some("bob"), Some("nobody")] {
            for code in codes {
                queries.extend(times.map(|(since, until)| Query {
                    after: None,
                    object: object.map(str::to_owned),
                    actor: actor.map(str::to_owned),
                    code,
                    since,
                    until,
                    limit: 0,
                }));
            }
        }
    }
    queries
}

pub async fn every_condition_narrows_a_query(place: &Place) {
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    let mut batch = entries(0..24);
    for (number, entry) in batch.iter_mut().enumerate() {
        entry.code = [Event::PlaybookAccepted, Event::PlaybookRefused][number % 2];
        entry.actor = ["alice", "bob", "carol"][number % 3].into();
        entry.object = (number % 4 != 3).then(|| format!("uid-{}", number % 4).as_str().into());
    }
    // A clock that went back: leaf 20 is older than leaf 19.
    batch[20].time = batch[3].time;
    store.append(epoch, batch.clone()).await.unwrap();
    for query in queries(batch[0].time) {
        let all = (0..).zip(&batch).filter(|(_, entry)| meets(entry, &query));
        let expected: Vec<u64> = all.map(|(number, _)| number).collect();
        assert_eq!(numbers(&*store, query.clone()).await, expected, "{query:?}");
        let rest = Query {
            after: expected.get(1).map(|index| at(log, *index)),
            limit: 2,
            ..query
        };
        let skipped = if rest.after.is_some() { 2 } else { 0 };
        let page: Vec<_> = expected.into_iter().skip(skipped).take(2).collect();
        assert_eq!(numbers(&*store, rest.clone()).await, page, "{rest:?}");
    }
}

pub async fn times_are_compared_to_the_nanosecond(place: &Place) {
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    let mut precise = entry(0);
    precise.time = Timestamp::new(2_000_000_000, 500).unwrap();
    store.append(epoch, vec![precise]).await.unwrap();
    for (since, until, found) in [(500, 501, 1), (501, 600, 0), (400, 500, 0)] {
        let query = Query {
            since: Some(Timestamp::new(2_000_000_000, since).unwrap()),
            until: Some(Timestamp::new(2_000_000_000, until).unwrap()),
            ..Query::default()
        };
        assert_eq!(
            numbers(&*store, query).await.len(),
            found,
            "{since} {until}"
        );
    }
}

pub async fn pages_follow_each_other_over_two_logs(place: &Place) {
    let store = place.open().await;
    let (epoch, first) = lead(&*store).await;
    store.append(epoch, entries(0..150)).await.unwrap();
    let next = store
        .begin_log(epoch, "neuralops.io/test/2")
        .await
        .unwrap()
        .number;
    store.promote(epoch, next).await.unwrap();
    store.append(epoch, entries(150..1500)).await.unwrap();
    let expected: Vec<_> = (0..150)
        .map(|index| at(first, index))
        .chain((0..1350).map(|index| at(next, index)))
        .collect();
    for query in [
        Query::default(),
        Query {
            actor: Some("neuralops-0".to_owned()),
            ..Query::default()
        },
        Query {
            code: Some(Event::PlaybookAccepted),
            since: Some(second(0)),
            ..Query::default()
        },
        Query {
            since: Some(second(0)),
            ..Query::default()
        },
    ] {
        let mut seen = Vec::new();
        let mut page = query.clone();
        loop {
            let found = store.query(page.clone()).await.unwrap();
            // Without a limit a page has a hundred leaves.
            assert!(found.len() == 100 || seen.len() + found.len() == expected.len());
            page.after = found.last().map(|leaf| leaf.at);
            seen.extend(found.into_iter().map(|leaf| leaf.at));
            if page.after.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected, "{query:?}");
        let most = Query {
            limit: u32::MAX,
            ..query
        };
        assert_eq!(store.query(most).await.unwrap().len(), 1000);
    }
}

/// An index, the query that has to use it, how it is dropped and how the server counts its scans.
fn indexed() -> [(&'static str, Query, &'static str, &'static str); 4] {
    macro_rules! index {
        ($name:literal, $query:expr) => {
            (
                $name,
                $query,
                concat!("DROP INDEX ", $name),
                concat!(
                    "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = '",
                    $name,
                    "'"
                ),
            )
        };
    }
    let mut object = Query {
        object: Some("uid-3".to_owned()),
        ..Query::default()
    };
    let mut actor = Query {
        actor: Some("actor-3".to_owned()),
        ..Query::default()
    };
    let code = Query {
        code: Some(Event::BackupVerified),
        ..Query::default()
    };
    let time = Query {
        since: Some(entry(5990).time),
        ..Query::default()
    };
    // Of several conditions the one with the fewest leaves decides.
    object.actor = actor.actor.clone();
    actor.code = code.code;
    [
        index!("leaf_object", object),
        index!("leaf_actor", actor),
        index!("leaf_code", code),
        index!("leaf_time", time),
    ]
}

pub async fn a_query_uses_the_index_of_its_condition(place: &Place) {
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    let mut batch = entries(0..6000);
    for (number, entry) in batch.iter_mut().enumerate() {
        entry.actor = format!("actor-{}", number % 500).as_str().into();
        entry.object = Some(format!("uid-{}", number % 700).as_str().into());
        entry.code =
            [Event::PlaybookAccepted, Event::BackupVerified][usize::from(number % 300 == 3)];
    }
    for chunk in batch.chunks(1000) {
        store.append(epoch, chunk.to_vec()).await.unwrap();
    }
    if matches!(place, Place::Postgres { .. }) {
        place.alter("ANALYZE leaf").await;
    }
    for (index, query, drop, scans) in indexed() {
        assert!(
            !store.query(query.clone()).await.unwrap().is_empty(),
            "{index}"
        );
        match place {
            // A statement names its index there, and cannot be prepared without it.
            Place::Sqlite { .. } => {
                place.alter(drop).await;
                let error = store.query(query).await.unwrap_err();
                assert!(format!("{error}").contains(index), "{error}");
            }
            // The server counts the scans, and tells of them some moments later.
            Place::Postgres { .. } => {
                let began = Instant::now();
                let before = place.number(scans).await;
                while place.number(scans).await == before {
                    assert!(
                        began.elapsed() < Duration::from_secs(20),
                        "{index} is not used"
                    );
                    store.query(query.clone()).await.unwrap();
                }
            }
        }
    }
}

pub async fn readers_see_whole_batches_while_somebody_writes(place: &Place) {
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    let other = place
        .try_open(neuralops::adapters::store::Mode::Reader)
        .await
        .unwrap();
    const BATCH: u64 = 40;
    const BATCHES: u64 = 25;
    let write = async {
        for batch in 0..BATCHES {
            let batch = batch * BATCH..(batch + 1) * BATCH;
            store.append(epoch, entries(batch)).await.unwrap();
        }
    };
    let read = async |reader: &dyn Store| {
        let mut sizes = BTreeSet::new();
        loop {
            let now = reader.logs().await.unwrap().remove(0);
            assert_eq!(now.size % BATCH, 0);
            sizes.insert(now.size);
            let (frontier, _) = tree_of(0..now.size);
            assert_eq!(now.root, frontier.root());
            let peaks = tree::Frontier::positions(now.size);
            let peaks = reader.hashes(log, &peaks).await.unwrap();
            assert_eq!(tree::Frontier::load(now.size, peaks), Some(frontier));
            let count = u32::try_from(now.size).unwrap();
            assert_eq!(
                reader.leaves(log, 0, count).await.unwrap().len() as u64,
                now.size
            );
            if now.size == BATCH * BATCHES {
                return sizes.len();
            }
        }
    };
    let ((), seen, by_other) = tokio::join!(write, read(&*store), read(&*other));
    assert!(seen > 1 && by_other > 1, "nobody read while somebody wrote");
}

pub async fn a_store_is_the_same_after_reopening(place: &Place) {
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    let mut batch = entries(0..500);
    batch[3].notice = Some(vec![3]);
    batch[3].payload = Some((crate::entries::text("three"), Timestamp::MAX));
    store.append(epoch, batch).await.unwrap();
    store.ask(vec![1]).await.unwrap();
    let logs = store.logs().await.unwrap();
    let leaves = store.leaves(log, 0, 1000).await.unwrap();

    store.reopen().await.unwrap();
    let grown = store.append(epoch, entries(0..500)).await.unwrap();
    assert!(grown.appended.iter().all(|leaf| leaf.before));
    drop(store);
    let store = place.open().await;
    assert_eq!(store.epoch().await.unwrap(), epoch);
    assert_eq!(store.logs().await.unwrap(), logs);
    assert_eq!(store.leaves(log, 0, 1000).await.unwrap(), leaves);
    assert_eq!(store.notices(10).await.unwrap().len(), 1);
    assert_eq!(store.requests(10).await.unwrap().len(), 1);
    assert!(
        store
            .payload(&crate::entries::text("three").digest())
            .await
            .unwrap()
            .is_some()
    );
    let epoch = store.take_over().await.unwrap();
    let grown = store.append(epoch, entries(499..503)).await.unwrap();
    assert_eq!(grown.log.root, tree_of(0..503).0.root());
}

pub async fn the_newest_leaf_that_settles_a_revision_is_found_by_name(place: &Place) {
    let store = place.open().await;
    let (epoch, first) = lead(&*store).await;
    let settling = |number: u64, playbook: &str| Entry {
        playbook: Some(playbook.into()),
        ..entry(number)
    };
    let batch = vec![
        entry(0),
        settling(1, "shop/restart"),
        settling(2, "shop/restart"),
        settling(3, "shop/drain"),
        entry(4),
    ];
    store.append(epoch, batch).await.unwrap();
    let found = async |playbook: &str| {
        let leaves = store.settled(playbook, 1).await.unwrap();
        assert!(leaves.len() <= 1);
        let newest = leaves.into_iter().next();
        newest.map(|leaf| (leaf.at.log, leaf.id, leaf.body))
    };
    let leaf = |log, number| Some((log, entry(number).id, entry(number).body));
    assert_eq!(found("shop/restart").await, leaf(first, 2));
    assert_eq!(found("shop/drain").await, leaf(first, 3));
    assert_eq!(found("shop/res").await, None);

    // A log that follows another goes on with what was known.
    let second = store.begin_log(epoch, "log.example/second").await.unwrap();
    store.promote(epoch, second.number).await.unwrap();
    assert_eq!(found("shop/restart").await, leaf(first, 2));
    let batch = vec![settling(5, "shop/restart")];
    store.append(epoch, batch).await.unwrap();
    assert_eq!(found("shop/restart").await, leaf(second.number, 5));
    let all = store.settled("shop/restart", 10).await.unwrap();
    let ids: Vec<_> = all.iter().map(|leaf| leaf.id).collect();
    assert_eq!(ids, [entry(5).id, entry(2).id, entry(1).id]);
}

async fn without_storms(place: &Place) {
    for table in [
        "DROP TABLE begun",
        "DROP TABLE incident",
        "DROP TABLE joined",
    ] {
        place.alter(table).await;
    }
}

async fn back_to_version_4(place: &Place) {
    for alter in match place {
        Place::Sqlite { .. } => [
            "CREATE TABLE before (namespace TEXT NOT NULL, key TEXT NOT NULL, run TEXT NOT NULL UNIQUE, name TEXT NOT NULL, PRIMARY KEY (namespace, key)) STRICT, WITHOUT ROWID",
            "INSERT INTO before SELECT namespace, key, run, name FROM incident",
            "DROP TABLE incident",
            "ALTER TABLE before RENAME TO incident",
            "ALTER TABLE joined DROP COLUMN namespace",
            "PRAGMA user_version = 4",
        ],
        Place::Postgres { .. } => [
            "ALTER TABLE incident DROP CONSTRAINT incident_pkey",
            "ALTER TABLE incident DROP COLUMN wish",
            "ALTER TABLE incident ADD PRIMARY KEY (namespace, key)",
            "ALTER TABLE joined DROP COLUMN namespace",
            "SELECT 1",
            "UPDATE schema SET version = 4",
        ],
    } {
        place.alter(alter).await;
    }
}

async fn a_storm_outlives_version_4(place: &Place, epoch: Epoch) {
    let store = place.open().await;
    let storm = IncidentKey {
        namespace: "shop".to_owned(),
        key: "k".to_owned(),
        wish: String::new(),
    };
    store.own(epoch, &storm, &run("one"), None).await.unwrap();
    store.join(epoch, "uid-of-two", &run("one")).await.unwrap();
    drop(store);

    back_to_version_4(place).await;
    let store = place.open().await;
    assert_eq!(store.owner(&storm).await.unwrap(), Some(run("one")));
    assert_eq!(store.tally("uid-of-one").await.unwrap().joined, 1);
    assert_eq!(store.joinable().await.unwrap(), [run("one")]);
    assert_eq!(store.runs().await.unwrap(), [run("one")]);
}

/// As version 1 left them.
pub async fn tables_of_an_older_version_are_brought_up_to_date(place: &Place) {
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    store.append(epoch, entries(0..3)).await.unwrap();
    let before = store.logs().await.unwrap();
    drop(store);
    place.alter("DROP TABLE lock").await;
    place.alter("DROP TABLE run").await;
    without_storms(place).await;
    place.alter("DROP INDEX leaf_playbook").await;
    place.alter("ALTER TABLE leaf DROP COLUMN playbook").await;
    match place {
        Place::Sqlite { .. } => place.alter("PRAGMA user_version = 1").await,
        Place::Postgres { .. } => place.alter("UPDATE schema SET version = 1").await,
    }
    let store = place.open().await;
    assert_eq!(store.logs().await.unwrap(), before);
    assert_eq!(store.leaves(log, 0, 3).await.unwrap().len(), 3);
    let epoch = store.take_over().await.unwrap();
    let settling = Entry {
        playbook: Some("shop/restart".into()),
        ..entry(3)
    };
    store.append(epoch, vec![settling]).await.unwrap();
    let found = store.settled("shop/restart", 1).await.unwrap();
    assert_eq!(found[0].id, entry(3).id);
    let held = store.claim(epoch, claim("one", &["a"])).await.unwrap();
    assert_eq!(held, Claimed::Held);
    drop(store);

    // As version 3 left them, with a run under way.
    without_storms(place).await;
    place.alter("DROP INDEX run_namespace").await;
    place.alter("ALTER TABLE run DROP COLUMN playbook").await;
    match place {
        Place::Sqlite { .. } => place.alter("PRAGMA user_version = 3").await,
        Place::Postgres { .. } => place.alter("UPDATE schema SET version = 3").await,
    }
    a_storm_outlives_version_4(place, epoch).await;
    let store = place.open().await;
    let mut limited = claim("two", &["b"]);
    limited.limits.namespace = Some(1);
    let full = store.claim(epoch, limited).await.unwrap();
    assert!(matches!(full, Claimed::Limited(_)), "{full:?}");
    drop(store);

    // As version 2 left them.
    place.alter("DROP TABLE lock").await;
    place.alter("DROP TABLE run").await;
    without_storms(place).await;
    match place {
        Place::Sqlite { .. } => place.alter("PRAGMA user_version = 2").await,
        Place::Postgres { .. } => place.alter("UPDATE schema SET version = 2").await,
    }
    let store = place.open().await;
    assert_eq!(store.runs().await.unwrap(), []);
    let held = store.claim(epoch, claim("one", &["a"])).await.unwrap();
    assert_eq!(held, Claimed::Held);
    assert_eq!(store.settled("shop/restart", 1).await.unwrap().len(), 1);
}

/// The newest is found also where the code is rare, or not there at all.
pub async fn the_newest_leaf_of_some_events_is_found_by_an_index(place: &Place) {
    let store = place.open().await;
    let (epoch, first) = lead(&*store).await;
    let coded = |number: u64, code| Entry {
        code,
        ..entry(number)
    };
    let guard = [Event::GuardWhole, Event::GuardBroken];
    assert_eq!(store.newest(&guard).await.unwrap(), None);
    let mut batch = entries(0..6000);
    batch[3] = coded(3, Event::GuardBroken);
    batch[70] = coded(70, Event::GuardWhole);
    for chunk in batch.chunks(1000) {
        store.append(epoch, chunk.to_vec()).await.unwrap();
    }
    let newest = async |codes: &[Event]| store.newest(codes).await.unwrap().map(|leaf| leaf.at);
    assert_eq!(newest(&guard).await, Some(at(first, 70)));
    assert_eq!(newest(&guard[1..]).await, Some(at(first, 3)));
    assert_eq!(
        newest(&[Event::PlaybookAccepted]).await,
        Some(at(first, 5999))
    );
    assert_eq!(newest(&[Event::FreezePlaced]).await, None);
    assert_eq!(newest(&[]).await, None);
    let leaf = store.newest(&guard).await.unwrap().unwrap();
    assert_eq!((leaf.id, leaf.body), (entry(70).id, entry(70).body));

    // The log that follows goes before the other, however few leaves it has.
    let next = store.begin_log(epoch, "log.example/next").await.unwrap();
    store.promote(epoch, next.number).await.unwrap();
    assert_eq!(newest(&guard).await, Some(at(first, 70)));
    let batch = vec![coded(6000, Event::GuardBroken)];
    store.append(epoch, batch).await.unwrap();
    assert_eq!(newest(&guard).await, Some(at(next.number, 0)));

    match place {
        Place::Sqlite { .. } => {
            place.alter("DROP INDEX leaf_code").await;
            let error = store.newest(&guard).await.unwrap_err();
            assert!(format!("{error}").contains("leaf_code"), "{error}");
        }
        Place::Postgres { .. } => {
            let scans = "SELECT COALESCE(idx_scan, 0) FROM pg_stat_user_indexes WHERE indexrelname = 'leaf_code'";
            let began = Instant::now();
            let before = place.number(scans).await;
            while place.number(scans).await == before {
                assert!(began.elapsed() < Duration::from_secs(20), "it is not used");
                newest(&guard).await;
            }
        }
    }
}
