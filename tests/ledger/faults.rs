//! What the log needs fails, and mends: forward steps are refused within the second that the contract gives, stops are
//! kept and come late, it goes on by itself within five seconds, and nothing that was acknowledged is lost.

use std::{collections::BTreeSet, time::Duration};

use super::{
    bed::{Bed, LONG, Process, folder},
    disk::{Disk, Fault},
    orders::{Orders, Report},
    places::{Place, Server},
    proxy::Proxy,
    truth,
};
use crate::support::{eventually, need};

/// What the contract gives to a refusal.
const REFUSED: u64 = 1000;
/// What it gives to going on.
const RESUMED: Duration = Duration::from_secs(5);
const LATENCY: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_full_a_failing_and_a_slow_disk_and_a_silent_api_server_under_sqlite() {
    need!(Owned);
    let bed = Bed::sqlite().await;
    let disk = disk(&bed);
    let child = bed.start(&gentle(&bed), &disk.environment());
    child.opens().await;
    child.acknowledges(20, 0, LONG).await;
    for fault in [
        Fault::Full,
        Fault::SyncFails,
        Fault::SyncTakes {
            milliseconds: u64::try_from(LATENCY.as_millis()).expect("short"),
        },
    ] {
        let (mark, met) = (child.said(), disk.met());
        disk.set(Some(fault));
        refuses(&child, mark).await;
        assert!(disk.met() > met, "{fault:?} was never met");
        let mark = child.said();
        disk.set(None);
        resumes(&child, mark).await;
    }

    let mark = child.said();
    bed.own.ctl("pause", "kube-apiserver");
    refuses(&child, mark).await;
    let mark = child.said();
    bed.own.ctl("resume", "kube-apiserver");
    resumes(&child, mark).await;
    ends_well(bed, child).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_forgets_what_it_failed_to_sync() {
    need!(Owned);
    let mut bed = Bed::sqlite().await;
    let disk = disk(&bed);
    let child = bed.start(&gentle(&bed), &disk.environment());
    child.acknowledges(50, 0, LONG).await;
    let mark = child.said();
    disk.set(Some(Fault::SyncFails));
    refuses(&child, mark).await;
    let refused: BTreeSet<_> = child
        .since(mark)
        .into_iter()
        .filter_map(|report| match report {
            Report::Refused { name, .. } => Some(name),
            _ => None,
        })
        .collect();
    bed.note(child.kill());

    // Somebody reads, so that the file's last user does not tidy up on leaving. What the dead process wrote can be read,
    // and whoever tries those records again finds them; whether a disk has them is another question.
    disk.set(None);
    let reader = truth::reader(&bed).await;
    reader.logs().await.expect("logs");
    let again = Orders {
        again: refused.into_iter().collect(),
        ..gentle(&bed)
    };
    let child = bed.start(&again, &disk.environment());
    child.acknowledges(20, 0, LONG).await;
    bed.note(child.kill());
    let lost = disk.lose_power();
    drop(reader);
    eprintln!("{lost} pages were taken for written and were not on the disk");
    let child = bed.start(&gentle(&bed), &[]);
    child.acknowledges(20, 0, LONG).await;
    ends_well(bed, child).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_and_a_killed_postgres() {
    need!(Owned);
    let server = Server::start();
    let url = server.place().await;
    let (front, rest) = url.rsplit_once(':').expect("a URL with a port");
    let (port, database) = rest.split_once('/').expect("a database");
    let address = format!("127.0.0.1:{port}").parse().expect("an address");
    let proxy = Proxy::to(address).await;
    let place = Place::Postgres(format!("{front}:{}/{database}", proxy.port()));
    let bed = Bed::of(folder(), place).await;
    let child = bed.start(&gentle(&bed), &[]);
    child.opens().await;
    child.acknowledges(20, 0, LONG).await;

    let mark = child.said();
    proxy.delay(LATENCY);
    refuses(&child, mark).await;
    let mark = child.said();
    proxy.delay(Duration::ZERO);
    resumes(&child, mark).await;

    let mark = child.said();
    server.kill();
    refuses(&child, mark).await;
    server.again();
    resumes(&child, child.said()).await;
    ends_well(bed, child).await;
}

fn disk(bed: &Bed) -> Disk {
    match &bed.place {
        Place::Sqlite(file) => Disk::under(file),
        Place::Postgres(_) => panic!("a database has no file of ours"),
    }
}

/// A few who record now and then: what is measured is the ledger's patience, not the machine's.
fn gentle(bed: &Bed) -> Orders {
    Orders {
        durable: 2,
        anchored: 2,
        stops: 1,
        claims: 1,
        pause: 30,
        ..bed.orders()
    }
}

/// Forward steps are refused, and stops go to the spool.
async fn refuses(child: &Process, mark: usize) {
    eventually("refusals, and stops in the spool", LONG, async || {
        let said = child.since(mark);
        let refused = said
            .iter()
            .filter(|report| matches!(report, Report::Refused { .. }));
        let spooled = said
            .iter()
            .filter(|report| matches!(report, Report::Spooled { .. }));
        match (refused.count(), spooled.count()) {
            (10.., 3..) => Ok(()),
            other => Err(format!("{other:?}; {}", child.tail())),
        }
    })
    .await;
}

/// Both kinds of forward steps are recorded again.
async fn resumes(child: &Process, mark: usize) {
    for wanted in [true, false] {
        let acknowledged = |report: &Report| match report {
            Report::Acknowledged { anchored, .. } => (*anchored == wanted).then_some(()),
            _ => None,
        };
        child
            .says("the log goes on", RESUMED, mark, acknowledged)
            .await;
    }
}

/// Every stop of the outage comes into the log by itself, and all promises are kept.
async fn ends_well(mut bed: Bed, child: Process) {
    eventually("the spool is empty", LONG, async || {
        let spool = bed.folder.path().join("stops.spool");
        match spool.try_exists() {
            Ok(false) => Ok(()),
            other => Err(format!("{other:?}; {}", child.tail())),
        }
    })
    .await;
    let reports = child.stop().await;
    bed.note(reports);
    truth::whole(&bed).await;
    truth::late(&bed).await;
    let slow: Vec<_> = bed
        .diary
        .refused
        .iter()
        .filter(|(reason, _, milliseconds, late)| {
            reason != "AuditUnavailable" || *milliseconds > REFUSED + late
        })
        .collect();
    assert!(slow.is_empty(), "refused otherwise than promised: {slow:?}");
    assert!(!bed.diary.spooled.is_empty() && !bed.diary.refused.is_empty());
}
