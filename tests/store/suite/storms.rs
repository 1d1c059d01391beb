//! What the store knows of storms: limits that are counted with the claim, and the one run that those of an incident join.

use futures::future::join_all;
use jiff::SignedDuration;
use neuralops::ports::{
    Claim, Claimed, Epoch, IncidentKey, Limit, Limited, Limits, Store, StoreError, Tally,
};

use super::runs::{claim, run};
use crate::{
    entries::{lead, second},
    place::Place,
};

fn incident(key: &str) -> IncidentKey {
    IncidentKey {
        namespace: "shop".to_owned(),
        key: key.to_owned(),
        wish: String::new(),
    }
}

/// A claim under these limits, so many seconds after the others.
fn limited(name: &str, keys: &[&str], limits: Limits, later: i64) -> Claim {
    let claim = claim(name, keys);
    let since = claim.since + SignedDuration::from_secs(later);
    Claim {
        limits,
        since,
        ..claim
    }
}

fn full(limit: Limit, allowed: u32, by: &str, until: Option<i64>) -> Claimed {
    Claimed::Limited(Limited {
        limit,
        allowed,
        by: run(by),
        until: until.map(|until| second(1_700_000_000 + until)),
    })
}

async fn claimed(store: &dyn Store, epoch: Epoch, claim: Claim) -> Claimed {
    let would = store.would_claim(&claim).await.unwrap();
    let came = store.claim(epoch, claim).await.unwrap();
    assert_eq!(would, came);
    came
}

pub async fn limits_are_counted_with_the_claim(place: &Place) {
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    let of = async |claim: Claim| claimed(&*store, epoch, claim).await;
    let none = Limits::default();
    let two = Limits {
        playbook: Some(2),
        ..none
    };
    assert_eq!(of(limited("one", &["a"], two, 0)).await, Claimed::Held);
    let mut other = limited("other", &["b"], two, 1);
    other.playbook = "drain".to_owned();
    assert_eq!(of(other).await, Claimed::Held);
    assert_eq!(of(limited("two", &["c"], two, 2)).await, Claimed::Held);
    // Who is ahead is the one of the Playbook that began first; nothing of the claim is there afterwards.
    let third = full(Limit::Playbook, 2, "one", None);
    assert_eq!(of(limited("three", &["d"], two, 3)).await, third);
    assert_eq!(store.plan_of("uid-of-three").await.unwrap(), None);
    // A run that holds something is not asked again, and another namespace is not counted.
    assert_eq!(of(limited("two", &["c"], two, 4)).await, Claimed::Held);
    let mut elsewhere = limited("elsewhere", &["z"], two, 4);
    elsewhere.run.namespace = "till".to_owned();
    assert_eq!(of(elsewhere).await, Claimed::Held);
    let three = Limits {
        namespace: Some(3),
        ..none
    };
    let fourth = full(Limit::Namespace, 3, "one", None);
    assert_eq!(of(limited("four", &["d"], three, 5)).await, fourth);
    store.release(epoch, "uid-of-one").await.unwrap();
    assert_eq!(of(limited("three", &["d"], two, 6)).await, Claimed::Held);

    // What ended counts on its target until it is an hour old, and locks are told before limits.
    let once = Limits {
        target_hour: Some(1),
        ..none
    };
    let until = full(Limit::TargetHour("a".to_owned()), 1, "one", Some(3600));
    assert_eq!(of(limited("five", &["a"], once, 3599)).await, until);
    let locked = of(limited("five", &["a", "c"], once, 3599)).await;
    assert!(matches!(locked, Claimed::Taken { .. }), "{locked:?}");
    // Another Playbook on the same target is another matter.
    let mut drain = limited("drain", &["a"], once, 3599);
    drain.playbook = "drain".to_owned();
    assert_eq!(of(drain).await, Claimed::Held);
    store.release(epoch, "uid-of-drain").await.unwrap();
    assert_eq!(of(limited("five", &["a"], once, 3600)).await, Claimed::Held);
    assert_eq!(
        place
            .number("SELECT count(*) FROM begun WHERE run = 'uid-of-one'")
            .await,
        0,
        "what is an hour old is not kept"
    );
    // All of it outlives the connection, and a leader that is deposed takes nothing.
    drop(store);
    let store = place.open().await;
    let newer = store.take_over().await.unwrap();
    let until = full(Limit::TargetHour("d".to_owned()), 1, "three", Some(3606));
    store.release(newer, "uid-of-three").await.unwrap();
    let seven = limited("seven", &["d"], once, 3601);
    assert_eq!(store.claim(newer, seven.clone()).await.unwrap(), until);
    let refused = store.claim(epoch, seven).await.unwrap_err();
    assert!(matches!(refused, StoreError::Fenced { .. }), "{refused:?}");
}

pub async fn two_that_claim_at_once_do_not_both_slip_under_a_limit(place: &Place) {
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    let limits = Limits {
        playbook: Some(3),
        namespace: Some(5),
        target_hour: None,
    };
    let names: Vec<String> = (0..20).map(|number| format!("run-{number}")).collect();
    let claims = names.iter().map(|name| {
        let mut claim = limited(name, &[name], limits, 0);
        if name.len() % 2 == 0 {
            claim.playbook = "drain".to_owned();
        }
        store.claim(epoch, claim)
    });
    let came: Vec<Claimed> = join_all(claims)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let held = came.iter().filter(|one| **one == Claimed::Held);
    assert_eq!(held.count(), 5, "{came:?}");
    assert_eq!(store.runs().await.unwrap().len(), 5);
    assert_eq!(
        place
            .number("SELECT count(*) FROM run WHERE playbook = 'heal'")
            .await,
        3
    );
}

/// Beside the owner each other wish has one, and whoever wants something else from now on stands for that alone.
async fn each_wish_has_one(store: &dyn Store, epoch: Epoch, shop: &IncidentKey) {
    let for_wish = |wish: &str| IncidentKey {
        wish: wish.to_owned(),
        ..shop.clone()
    };
    let own = async |wish: &str, name: &str| {
        let owned = store.own(epoch, &for_wish(wish), &run(name), None).await;
        owned.unwrap()
    };
    assert_eq!(own("more", "other").await, run("other"));
    assert_eq!(own("more", "third").await, run("other"));
    assert_eq!(own("most", "other").await, run("other"));
    assert_eq!(store.owner(&for_wish("more")).await.unwrap(), None);
    assert_eq!(own("more", "third").await, run("third"));
    for name in ["other", "third"] {
        let uid = format!("uid-of-{name}");
        store.release(epoch, &uid).await.unwrap();
    }
    assert_eq!(store.owner(&for_wish("most")).await.unwrap(), None);
}

pub async fn an_incident_has_one_owner(place: &Place) {
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    let names: Vec<_> = (0..10)
        .map(|number| run(&format!("run-{number}")))
        .collect();
    let shop = incident("checkout/CrashLoop");
    assert_eq!(store.owner(&shop).await.unwrap(), None);
    let owners = join_all(names.iter().map(|run| store.own(epoch, &shop, run, None))).await;
    let owners: Vec<_> = owners.into_iter().map(Result::unwrap).collect();
    assert!(owners.iter().all(|owner| *owner == owners[0]), "{owners:?}");
    assert_eq!(store.owner(&shop).await.unwrap().as_ref(), Some(&owners[0]));
    // The key is told apart by every byte, and by its namespace.
    let mut other = incident("checkout/crashloop");
    assert_eq!(
        store.own(epoch, &other, &run("x"), None).await.unwrap(),
        run("x")
    );
    other.key.clone_from(&shop.key);
    other.namespace = "till".to_owned();
    let mut till = run("y");
    till.namespace = "till".to_owned();
    assert_eq!(store.own(epoch, &other, &till, None).await.unwrap(), till);

    each_wish_has_one(&*store, epoch, &shop).await;
    assert_eq!(store.owner(&shop).await.unwrap().as_ref(), Some(&owners[0]));

    // In the place of one that collects nothing; whoever takes another for the owner takes nothing.
    let next = store
        .own(epoch, &shop, &run("next"), Some("uid-of-nobody"))
        .await;
    assert_eq!(next.unwrap(), owners[0]);
    let next = store
        .own(epoch, &shop, &run("next"), Some(&owners[0].uid))
        .await;
    assert_eq!(next.unwrap(), run("next"));
    // What the one before lets go is not the next one's.
    store.release(epoch, &owners[0].uid).await.unwrap();
    assert_eq!(store.owner(&shop).await.unwrap(), Some(run("next")));
    store.release(epoch, "uid-of-next").await.unwrap();
    assert_eq!(store.owner(&shop).await.unwrap(), None);

    let newer = store.take_over().await.unwrap();
    let refused = store
        .own(epoch, &shop, &run("late"), None)
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::Fenced { .. }), "{refused:?}");
    assert_eq!(
        store.own(newer, &shop, &run("z"), None).await.unwrap(),
        run("z")
    );
}

pub async fn each_who_joins_is_counted_once(place: &Place) {
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    let shop = incident("k");
    let join = async |name: &str| {
        let uid = format!("uid-of-{name}");
        store.join(epoch, &uid, &run("owner")).await.unwrap()
    };
    assert_eq!(join("one").await, None, "nobody is joined who owns nothing");
    store.own(epoch, &shop, &run("owner"), None).await.unwrap();
    assert_eq!(join("one").await, Some(1));
    assert_eq!(join("one").await, Some(1));
    assert_eq!(join("two").await, Some(2));
    let tally = async |uid: &str| store.tally(uid).await.unwrap();
    let of = |joined, joins: Option<&str>| Tally {
        joined,
        joins: joins.map(str::to_owned),
    };
    assert_eq!(tally("uid-of-owner").await, of(2, None));
    assert_eq!(tally("uid-of-two").await, of(0, Some("owner")));
    assert_eq!(tally("uid-of-nobody").await, of(0, None));
    // Who was counted and goes on all the same has not joined.
    assert_eq!(join("three").await, Some(3));
    let other = incident("other");
    store.own(epoch, &other, &run("three"), None).await.unwrap();
    assert_eq!(tally("uid-of-owner").await, of(2, None));
    assert_eq!(tally("uid-of-three").await, of(0, None));
    // Whoever is joined can be found, also where another stands for the key by now.
    let next = run("next");
    let next = store.own(epoch, &shop, &next, Some("uid-of-owner"));
    next.await.unwrap();
    let joinable = store.joinable().await.unwrap();
    assert_eq!(joinable, ["next", "owner", "three"].map(run));
    let back = run("owner");
    let back = store.own(epoch, &shop, &back, Some("uid-of-next"));
    back.await.unwrap();
    store.release(epoch, "uid-of-three").await.unwrap();
    assert_eq!(
        store.joinable().await.unwrap(),
        [run("owner")],
        "nothing is left of who has ended"
    );
    drop(store);
    let store = place.open().await;
    let newer = store.take_over().await.unwrap();
    let refused = store.join(epoch, "uid-of-three", &run("owner")).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })));
    // Whoever releases the owner hears how many there were; then nobody joins it any more.
    assert_eq!(store.release(newer, "uid-of-owner").await.unwrap(), 2);
    assert_eq!(store.release(newer, "uid-of-owner").await.unwrap(), 0);
    let three = store.join(newer, "uid-of-three", &run("owner")).await;
    assert_eq!(three.unwrap(), None);
    assert_eq!(store.joinable().await.unwrap(), []);
    assert_eq!(place.number("SELECT count(*) FROM joined").await, 0);
}
