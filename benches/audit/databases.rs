//! What the store does with a database: transactions of several sizes, the wait of those who are answered when their
//! record is durable, and proofs out of its tables.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use neuralops::{
    domain::audit::tree,
    ports::{Entry, Epoch, LogNumber, Store},
};
use tokio::time;

use super::{Spread, entries, entry, goal, line, place::Place, scattered, thousands};

const PROOFS: u64 = 500;
/// Between two records of those who wait for each: 200 in a second.
const EVERY: Duration = Duration::from_millis(5);
/// As the operator's writer gathers: so long, when many are writing, and so many at most.
const GATHERING: Duration = Duration::from_millis(5);
const LARGEST_BATCH: u64 = 256;

/// One leadership over a store, and the number of its next record.
struct Leading {
    store: Arc<dyn Store>,
    epoch: Epoch,
    log: LogNumber,
    next: u64,
}

impl Leading {
    async fn of(place: &Place) -> Self {
        let store = place.open().await;
        let (epoch, log) = entries::lead(store.as_ref()).await;
        Self {
            store,
            epoch,
            log,
            next: 0,
        }
    }

    fn prepare(&mut self, count: u64) -> Vec<Entry> {
        self.next += count;
        (self.next - count..self.next).map(entry).collect()
    }

    async fn append(&self, batch: Vec<Entry>) {
        let grown = self.store.append(self.epoch, batch).await.unwrap();
        assert_eq!(grown.log.size, self.next);
    }

    /// One transaction after the other.
    async fn batches(&mut self, size: u64, lasting: Duration) -> Spread {
        let mut took = Vec::new();
        let until = Instant::now() + lasting;
        while Instant::now() < until || took.len() < 20 {
            let batch = self.prepare(size);
            let began = Instant::now();
            self.append(batch).await;
            took.push(began.elapsed());
        }
        Spread::of(took)
    }

    /// From when each record was due, not from when there was time for it: whoever waits longer because others wait is
    /// counted as waiting.
    async fn waits(&mut self, lasting: Duration) -> Spread {
        let count = u64::try_from(lasting.as_micros() / EVERY.as_micros()).unwrap();
        let began = time::Instant::now();
        let due = |record: u64| began + EVERY * u32::try_from(record).unwrap();
        let arrived = || {
            let arrived = began.elapsed().as_micros() / EVERY.as_micros() + 1;
            u64::try_from(arrived).unwrap().min(count)
        };
        let (mut done, mut crowded) = (0, false);
        let mut took = Vec::new();
        while done < count {
            time::sleep_until(due(done)).await;
            if crowded || arrived() - done > 1 {
                time::sleep(GATHERING).await;
            }
            let until = arrived().min(done + LARGEST_BATCH);
            let batch = self.prepare(until - done);
            crowded = batch.len() > 1;
            self.append(batch).await;
            took.extend((done..until).map(|record| due(record).elapsed()));
            done = until;
        }
        Spread::of(took)
    }

    /// Proofs out of the database, read and put together.
    async fn proofs(&self) -> Spread {
        let mut took = Vec::new();
        for proof in 0..PROOFS {
            let began = Instant::now();
            let recipe = tree::inclusion(scattered(proof, self.next), self.next).unwrap();
            let read = self.store.hashes(self.log, recipe.positions());
            black_box(recipe.cook(&read.await.unwrap()).unwrap());
            took.push(began.elapsed());
        }
        Spread::of(took)
    }
}

pub async fn measure(name: &str, place: &Place, disk: &Spread, lasting: Duration) {
    let mut leading = Leading::of(place).await;
    for size in [1, 32, LARGEST_BATCH] {
        let took = leading.batches(size, lasting).await;
        let rate = took.rate() * size as f64;
        let what = format!("{name}, append, {size} a batch");
        let figure = format!("{}/s, {} ms", thousands(rate), took.percentiles(1e3));
        let ratio = format!("{:.2} a sync", rate / disk.rate());
        let goals = [("5,000/s now", 5_000.0), ("20,000/s", 20_000.0)];
        let goal = match size {
            LARGEST_BATCH => goals
                .map(|(text, least)| goal(text, rate >= least))
                .join(", "),
            _ => String::new(),
        };
        line(&what, &figure, &ratio, &goal);
    }
    let waits = leading.waits(2 * lasting).await;
    let most = waits.percentile(99);
    line(
        &format!("{name}, until durable, at 200/s"),
        &format!("{} ms", waits.percentiles(1e3)),
        &format!("{:.2} sync p99", most / disk.percentile(99)),
        &goal("p99 50 ms", most <= 0.050),
    );
    let proofs = leading.proofs().await;
    line(
        &format!("{name}, proof, {} leaves", thousands(leading.next as f64)),
        &format!("{} µs", proofs.percentiles(1e6)),
        &format!(
            "{:.2} sync p50",
            proofs.percentile(50) / disk.percentile(50)
        ),
        &goal("p50 1 ms", proofs.percentile(50) < 0.001),
    );
}
