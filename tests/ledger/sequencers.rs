//! Two who both believe that they write: the store has one writer, and it is the one that took it over last.

use std::time::Duration;

use super::{
    bed::{Bed, LONG, Process, folder},
    orders::{Orders, Report},
    places::Place,
    truth,
};
use crate::support::{eventually, need, skip};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_of_one_file_the_older_one_ends() {
    need!(Owned);
    let mut bed = Bed::sqlite().await;
    let newer = overtaken(&mut bed).await;
    ended(bed, newer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_of_one_database_the_older_one_ends() {
    need!(Owned);
    match Place::postgres().await {
        Ok(place) => {
            let mut bed = Bed::of(folder(), place).await;
            let newer = overtaken(&mut bed).await;
            let newest = woken(&mut bed, newer).await;
            ended(bed, newest).await;
        }
        Err(reason) => skip!(reason),
    }
}

/// Both write as fast as they can when the second one comes.
async fn overtaken(bed: &mut Bed) -> Process {
    let first = bed.start(&fast(bed), &[]);
    first.acknowledges(50, 0, LONG).await;
    let second = bed.start(&fast(bed), &[]);
    second.acknowledges(50, 0, LONG).await;
    deposed(bed, first).await;
    second
}

/// The older one sleeps while the newer one comes, and wakes up in the middle of what it was doing. Not with a file: who
/// sleeps in a transaction keeps its lock, and whoever comes waits for it.
///
/// A server hangs up on whoever sleeps in a transaction. Who wakes up to that knows only that it has no connection, and
/// takes the log over again: no Lease tells it here that it leads no longer. Then it is the newer one that ends.
async fn woken(bed: &mut Bed, mut older: Process) -> Process {
    older.signal("STOP");
    let mut newer = bed.start(&fast(bed), &[]);
    newer.acknowledges(50, 0, LONG).await;
    older.signal("CONT");
    let the_newer_one = eventually("one of the two ends", LONG, async || {
        match (older.ended(), newer.ended()) {
            (true, _) => Ok(false),
            (_, true) => Ok(true),
            _ => Err(format!("{}\n{}", older.tail(), newer.tail())),
        }
    })
    .await;
    let (gone, stays) = if the_newer_one {
        (newer, older)
    } else {
        (older, newer)
    };
    deposed(bed, gone).await;
    stays
}

async fn ended(mut bed: Bed, newest: Process) {
    newest.acknowledges(50, newest.said(), LONG).await;
    let reports = newest.stop().await;
    bed.note(reports);
    truth::whole(&bed).await;
}

/// It ends by itself and says why; what it was told before is a promise like any other.
pub async fn deposed(bed: &mut Bed, older: Process) {
    let (status, reports) = older.ends("the overtaken writer ends").await;
    assert!(status.success(), "{status}");
    // Whoever was still waiting for an answer may have the last word.
    let why = reports.iter().rev().find_map(|report| match report {
        Report::Ended { failure } => Some(failure),
        _ => None,
    });
    let Some(failure) = why else {
        panic!("it did not say why: {:?}", reports.last())
    };
    assert!(
        failure.contains("has taken the transparency log over"),
        "{failure}"
    );
    bed.note(reports);
}

fn fast(bed: &Bed) -> Orders {
    Orders {
        durable: 8,
        anchored: 4,
        ..bed.orders()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steady_load_is_anchored_once_a_second_and_to_its_last_leaf() {
    need!(Owned);
    let mut bed = Bed::sqlite().await;
    let orders = Orders {
        durable: 2,
        pause: 20,
        records: Some(150),
        ..bed.orders()
    };
    let child = bed.start(&orders, &[]);
    child.opens().await;
    let (began, before) = (std::time::Instant::now(), bed.anchors.seen().len());
    child.acknowledges(300, 0, LONG).await;
    // One to begin with, one for each second or 256 leaves, and one that is under way.
    let most = began.elapsed().as_secs() + 300 / 256 + 3;
    let seen = bed.anchors.seen().len() - before;
    assert!(
        seen as u64 <= most,
        "{seen} checkpoints where {most} are enough"
    );
    eventually(
        "the last leaf is anchored",
        Duration::from_secs(5),
        async || {
            let logs = truth::reader(&bed).await.logs().await;
            let size = logs.expect("logs")[0].size;
            match bed.anchors.now().await {
                Some(anchor) if u64::try_from(anchor.size) == Ok(size) => Ok(()),
                other => Err(format!("{size} leaves, {other:?}")),
            }
        },
    )
    .await;
    bed.note(child.kill());
    truth::whole(&bed).await;
}
