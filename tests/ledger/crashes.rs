//! The writer dies at every named place, one after another, and the next one goes on: while a log begins, while it is
//! followed by another, and before and after each step of appending, signing, anchoring and publishing.

use std::os::unix::process::ExitStatusExt as _;

use neuralops::domain::audit::{event::Event, record::Record, request::Request};

use super::{
    bed::{Bed, LONG, folder},
    claims, failpoints,
    orders::Orders,
    places::Place,
    truth,
    world::standing,
};
use crate::support::{need, skip};

/// By it a process ends itself.
const SIGABRT: i32 = 6;
/// Where the places of the ledger are.
pub const LEDGER: &str = "src/adapters/ledger";
/// Places that only runs of one incident pass: the real operator is tried there (`tests/runs/timely.rs`).
const INCIDENTS: [&str; 2] = ["own.", "join."];
/// The places that are passed only while a log begins, which happens by itself once.
pub const BEGINNING: [&str; 6] = ["begin.", "key.", "adopt.", "answer.", "promote.", "first."];

#[test]
fn this_program_has_every_place() {
    let mut words = failpoints::names(LEDGER);
    for step in ["append", "sign", "anchor", "publish", "claim", "release"] {
        for side in ["before", "after"] {
            let name = format!("{step}.{side}");
            assert!(words.contains(&name), "{name} is not in {words:?}");
        }
    }
    words.push(failpoints::VARIABLE.to_owned());
    let program = std::env::current_exe().expect("the path of this program");
    assert_eq!(failpoints::held(&program, &words), words);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_goes_on_after_a_crash_at_every_place() {
    need!(Owned);
    everywhere(Bed::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_goes_on_after_a_crash_at_every_place() {
    need!(Owned);
    match Place::postgres().await {
        Ok(place) => everywhere(Bed::of(folder(), place).await).await,
        Err(reason) => skip!(reason),
    }
}

async fn everywhere(mut bed: Bed) {
    let names = failpoints::names(LEDGER).into_iter();
    let names = names.filter(|name| !INCIDENTS.iter().any(|step| name.starts_with(step)));
    let (beginning, writing): (Vec<_>, Vec<_>) =
        names.partition(|name| BEGINNING.iter().any(|step| name.starts_with(step)));
    for name in &beginning {
        crash(&mut bed, name, 1).await;
    }
    for name in &writing {
        // At once, and in the middle of its work.
        crash(&mut bed, name, 1).await;
        crash(&mut bed, name, 4).await;
    }
    for name in &beginning {
        ask(&bed).await;
        crash(&mut bed, name, 1).await;
    }
    let child = bed.start(&busy(&bed), &[]);
    child.acknowledges(50, 0, LONG).await;
    let reports = child.stop().await;
    bed.note(reports);
    let found = truth::whole(&bed).await;
    truth::late(&bed).await;
    claims::kept(&bed).await;

    // Whatever was interrupted, nobody asks any more, and each log begins by naming where the one before ended.
    let store = truth::reader(&bed).await;
    assert_eq!(store.requests(1).await.expect("requests"), []);
    assert!(found.len() > 1, "no log was followed");
    for (number, log) in found.iter().enumerate() {
        let first = store.leaves(log.log.number, 0, 1).await.expect("a leaf");
        let fact = Record::parse(&first[0].body).expect("a record").fact;
        let Some(before) = number.checked_sub(1).map(|before| &found[before]) else {
            assert_eq!((fact.code, fact.logs), (Event::LogOpened, Vec::new()));
            continue;
        };
        assert_eq!(fact.code, Event::LogFollowed);
        let [anchor, store] = &fact.logs[..] else {
            panic!("{:?}", fact.logs)
        };
        assert_eq!(
            store,
            &standing(&before.log.origin, before.log.size, before.log.root)
        );
        let root = before.roots[&anchor.size];
        assert_eq!(anchor, &standing(&before.log.origin, anchor.size, root));
    }
}

fn busy(bed: &Bed) -> Orders {
    Orders {
        durable: 2,
        anchored: 2,
        stops: 1,
        claims: 2,
        pause: 5,
        again: bed.diary.last.clone(),
        ..bed.orders()
    }
}

/// Has a child die there, the so-many-th time that it comes by.
async fn crash(bed: &mut Bed, name: &str, time: u32) {
    let place = format!("{name}:{time}");
    let child = bed.start(&busy(bed), &[(failpoints::VARIABLE, &place)]);
    let (status, reports) = child.ends(&format!("it dies at {place}")).await;
    assert_eq!(status.signal(), Some(SIGABRT), "at {place}");
    bed.note(reports);
    truth::anchored(bed).await;
    claims::kept(bed).await;
}

/// Asks for a new origin, as `neuralops audit new-origin` does.
pub async fn ask(bed: &Bed) {
    let request = Request::Follow {
        why: "a test".to_owned(),
    };
    let request = request.to_bytes().expect("JSON");
    truth::reader(bed).await.ask(request).await.expect("asked");
}
