//! What the store knows of runs that are under way.

use neuralops::{
    domain::plan::LARGEST,
    ports::{Claim, Claimed, Epoch, Limits, RunKey, Store, StoreError},
};

use crate::{
    entries::{entries, entry, lead, second},
    place::Place,
};

pub fn run(name: &str) -> RunKey {
    RunKey {
        uid: format!("uid-of-{name}"),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    }
}

/// What this run claims.
pub fn claim(name: &str, keys: &[&str]) -> Claim {
    Claim {
        run: run(name),
        plan: format!("the plan of {name}").into_bytes(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        since: second(1_700_000_000),
        playbook: "heal".to_owned(),
        limits: Limits::default(),
    }
}

async fn claimed(store: &dyn Store, epoch: Epoch, name: &str, keys: &[&str]) -> Claimed {
    store.claim(epoch, claim(name, keys)).await.unwrap()
}

fn taken(key: &str, by: &str) -> Claimed {
    Claimed::Taken {
        key: key.to_owned(),
        by: run(by),
    }
}

const LOCKS: &str = "SELECT count(*) FROM lock";

pub async fn a_claim_is_held_whole_or_not_at_all(place: &Place) {
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    let of = async |name: &str, keys: &[&str]| claimed(&*store, epoch, name, keys).await;
    assert_eq!(of("one", &["b", "d"]).await, Claimed::Held);

    // One of four is taken: nothing of the claim is there afterwards, and the first in order is named.
    assert_eq!(of("two", &["e", "d", "a", "b"]).await, taken("b", "one"));
    assert_eq!(of("two", &["d"]).await, taken("d", "one"));
    assert_eq!(store.runs().await.unwrap(), [run("one")]);
    assert_eq!(store.plan_of("uid-of-two").await.unwrap(), None);
    assert_eq!(place.number(LOCKS).await, 2);
    assert_eq!(of("three", &["a", "e"]).await, Claimed::Held);

    // Names are told apart by every byte, and a run need not want anything.
    assert_eq!(of("two", &["B", "b ", "", "b\u{301}"]).await, Claimed::Held);
    assert_eq!(of("four", &[]).await, Claimed::Held);
    assert_eq!(
        store.runs().await.unwrap(),
        ["four", "one", "three", "two"].map(run)
    );
}

pub async fn the_same_claim_is_held_again(place: &Place) {
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    for _ in 0..3 {
        let twice = claimed(&*store, epoch, "one", &["a", "b", "a"]).await;
        assert_eq!(twice, Claimed::Held);
    }
    assert_eq!(place.number(LOCKS).await, 2);

    // More of it is taken beside what it has, and its first plan stays.
    let mut more = claim("one", &["b", "c"]);
    more.plan = b"another plan".to_vec();
    assert_eq!(store.claim(epoch, more).await.unwrap(), Claimed::Held);
    let plan = store.plan_of("uid-of-one").await.unwrap();
    assert_eq!(plan.as_deref(), Some(&b"the plan of one"[..]));
    let other = claimed(&*store, epoch, "two", &["c"]).await;
    assert_eq!(other, taken("c", "one"));

    // More that another run has changes nothing of what it has.
    assert_eq!(claimed(&*store, epoch, "two", &["x"]).await, Claimed::Held);
    let more = claimed(&*store, epoch, "one", &["y", "x"]).await;
    assert_eq!(more, taken("x", "two"));
    assert_eq!(place.number(LOCKS).await, 4);
    assert_eq!(store.runs().await.unwrap(), ["one", "two"].map(run));
}

pub async fn what_is_released_can_be_claimed(place: &Place) {
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    let of = async |name: &str, keys: &[&str]| claimed(&*store, epoch, name, keys).await;
    assert_eq!(of("one", &["a", "b"]).await, Claimed::Held);
    assert_eq!(of("two", &["c"]).await, Claimed::Held);
    // Who has nothing has nothing to let go.
    store.release(epoch, "uid-of-three").await.unwrap();
    assert_eq!(of("three", &["a"]).await, taken("a", "one"));
    for _ in 0..2 {
        store.release(epoch, "uid-of-one").await.unwrap();
        assert_eq!(store.runs().await.unwrap(), [run("two")]);
        assert_eq!(store.plan_of("uid-of-one").await.unwrap(), None);
        assert_eq!(place.number(LOCKS).await, 1);
    }
    assert_eq!(of("three", &["b", "a"]).await, Claimed::Held);
    assert_eq!(of("one", &["a"]).await, taken("a", "three"));
}

pub async fn what_a_run_has_outlives_leader_log_and_connection(place: &Place) {
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    assert_eq!(claimed(&*store, epoch, "one", &["a"]).await, Claimed::Held);
    store.reopen().await.unwrap();
    drop(store);
    let store = place.open().await;
    let newer = store.take_over().await.unwrap();
    let refused = store.claim(epoch, claim("one", &["a"])).await.unwrap_err();
    assert!(matches!(refused, StoreError::Fenced { .. }), "{refused:?}");
    // A log that follows another: the runs are the same.
    let next = store.begin_log(newer, "log.example/next").await.unwrap();
    store.promote(newer, next.number).await.unwrap();
    store.append(newer, entries(0..1)).await.unwrap();
    assert_eq!(
        claimed(&*store, newer, "two", &["a"]).await,
        taken("a", "one")
    );
    assert_eq!(claimed(&*store, newer, "one", &["a"]).await, Claimed::Held);
    assert_eq!(store.find(entry(0).id).await.unwrap().unwrap().at.index, 0);
}

pub async fn a_plan_has_its_limit(place: &Place) {
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    let mut large = claim("large", &["a"]);
    large.plan = vec![7; LARGEST];
    assert_eq!(
        store.claim(epoch, large.clone()).await.unwrap(),
        Claimed::Held
    );
    assert_eq!(
        store.plan_of("uid-of-large").await.unwrap(),
        Some(large.plan)
    );
    let mut larger = claim("larger", &["b"]);
    larger.plan = vec![7; LARGEST + 1];
    let refused = store.claim(epoch, larger).await.unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused:?}");
    assert_eq!(store.runs().await.unwrap(), [run("large")]);
}
