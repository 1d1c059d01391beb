//! At full speed, killed at random again and again: whatever was acknowledged is there, once and where it was said.

use std::time::{Duration, Instant};

use super::{
    bed::{Bed, LONG, folder},
    chance::Chance,
    claims,
    orders::Report,
    places::Place,
    truth,
};
use crate::support::{need, skip};

/// The seed of `make test`; `make long` takes one of the moment.
const SEED: u64 = 20_260_901;
const SECONDS: u64 = 20;

/// A number from the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the test bed speaks through the environment"
)]
pub fn told(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_every_promise_when_killed_at_random() {
    need!(Owned);
    survives(Bed::sqlite().await, "sqlite").await;
}

async fn survives(mut bed: Bed, name: &str) {
    let seed = told("NEURALOPS_TORTURE_SEED", SEED);
    let seconds = told("NEURALOPS_TORTURE_SECONDS", SECONDS);
    eprintln!("torture {name}: NEURALOPS_TORTURE_SEED={seed} NEURALOPS_TORTURE_SECONDS={seconds}");
    let mut chance = Chance::new(seed);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut kills = 0;
    while Instant::now() < until {
        let mut orders = bed.orders();
        orders.durable = 48;
        orders.anchored = 16;
        orders.stops = 1;
        orders.claims = 4;
        orders.again = std::mem::take(&mut bed.diary.last);
        let child = bed.start(&orders, &[]);
        if chance.once_in(5) {
            // While it opens the log, or shortly before.
            moment(&mut chance, 0..600).await;
        } else {
            child.opens().await;
            moment(&mut chance, 100..2500).await;
        }
        bed.note(child.kill());
        kills += 1;
        truth::anchored(&bed).await;
        claims::kept(&bed).await;
    }
    let mut orders = bed.orders();
    orders.durable = 4;
    orders.anchored = 4;
    orders.again = std::mem::take(&mut bed.diary.last);
    let child = bed.start(&orders, &[]);
    child.acknowledges(100, 0, LONG).await;
    let reports = child.stop().await;
    assert_eq!(
        reports.last(),
        Some(&Report::Ended {
            failure: String::new()
        })
    );
    bed.note(reports);
    truth::whole(&bed).await;
    truth::late(&bed).await;
    eprintln!(
        "torture {name}: {} records and {} stops were acknowledged, {} stops spooled, {} times refused; {kills} kills, {} anchors seen",
        bed.diary.acknowledged.len(),
        bed.diary.recorded,
        bed.diary.spooled.len(),
        bed.diary.refused.len(),
        bed.anchors.seen().len(),
    );
}

/// The kill comes at no particular point: that is what is tested.
async fn moment(chance: &mut Chance, milliseconds: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(chance.within(milliseconds))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_every_promise_when_its_writer_is_killed_at_random() {
    need!(Owned);
    match Place::postgres().await {
        Ok(place) => survives(Bed::of(folder(), place).await, "postgres").await,
        Err(reason) => skip!(reason),
    }
}
