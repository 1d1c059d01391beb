//! The numbers of the transparency log, each beside what this machine can do at all in the same run: a disk that is asked
//! for more is slower, and only the ratio says anything about us. `make bench` runs it; `--quick` takes a few seconds. It
//! asserts that the work was done, and nothing about time.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that cannot be made ends; what was measured is printed"
)]

#[expect(dead_code, reason = "the store's tests need more of it")]
#[path = "../tests/store/entries.rs"]
mod entries;
#[expect(dead_code, reason = "the store's tests need more of it")]
#[path = "../tests/store/place.rs"]
mod place;

#[path = "audit/databases.rs"]
mod databases;
#[path = "audit/processor.rs"]
mod processor;

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use neuralops::{
    domain::{
        audit::{
            event::Event,
            record::{Actor, Fact, Method, Object, Record, RecordId, VERSION},
        },
        digest::Digest,
        reason::Reason,
    },
    ports::Entry,
};
use place::Place;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long each of many took, the shortest first.
struct Spread(Vec<Duration>);

impl Spread {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        Self(took)
    }

    fn percentile(&self, percent: usize) -> f64 {
        self.0[(self.0.len() - 1) * percent / 100].as_secs_f64()
    }

    /// In a second, one after the other.
    fn rate(&self) -> f64 {
        self.0.len() as f64 / self.0.iter().sum::<Duration>().as_secs_f64()
    }

    /// `unit` is 1e3 for milliseconds, 1e6 for microseconds.
    fn percentiles(&self, unit: f64) -> String {
        let (half, most) = (self.percentile(50) * unit, self.percentile(99) * unit);
        format!("p50 {half:.2}, p99 {most:.2}")
    }
}

fn line(what: &str, figure: &str, ratio: &str, goal: &str) {
    println!("{what:<46}  {figure:<42}  {ratio:>15}  {goal}");
}

fn goal(text: &str, met: bool) -> String {
    format!("{text}: {}", if met { "met" } else { "missed" })
}

/// With a comma before every three digits.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A record as the operator writes it, and the leaf it makes.
fn entry(number: u64) -> Entry {
    let uid = format!("3f0d2f6e-6b1c-4c53-9a53-{number:012x}");
    let id = RecordId::of(&["bench", &uid]);
    let actor = Actor {
        credential: None,
        groups: None,
        issuer: None,
        method: Method::Operator,
        subject: "neuralops-6d5f9c7b8-x2x4q".into(),
        uid: None,
    };
    let time = entries::second(1_700_000_000 + i64::try_from(number / 200).unwrap());
    let mut fact = Fact::new(id, Event::PlaybookAccepted, actor).outcome(Reason::Valid);
    fact.playbook_digest = Some(Digest::of(uid.as_bytes()));
    fact.object = Some(Object {
        generation: Some(7),
        kind: "Playbook".into(),
        name: "restart-checkout".into(),
        namespace: Some("shop".into()),
        uid: uid.as_str().into(),
    });
    let record = Record {
        v: VERSION,
        time,
        epoch: 1,
        late: None,
        fact,
    };
    Entry::of(&record, record.to_bytes().unwrap())
}

/// What no database can outdo that keeps what it acknowledges: 512 bytes more in a file, down to the disk.
fn disk(folder: &Path, lasting: Duration) -> Spread {
    let mut file = File::create(folder.join("limit")).unwrap();
    let mut took = Vec::new();
    let until = Instant::now() + lasting;
    while Instant::now() < until || took.len() < 100 {
        let began = Instant::now();
        file.write_all(&[7; 512]).unwrap();
        file.sync_data().unwrap();
        took.push(began.elapsed());
    }
    Spread::of(took)
}

fn disk_line(what: &str, disk: &Spread, ratio: &str) {
    let (rate, spread) = (thousands(disk.rate()), disk.percentiles(1e3));
    line(what, &format!("{rate}/s, {spread} ms"), ratio, "");
}

/// Leaves all over the tree, the same in every run.
fn scattered(proof: u64, size: u64) -> u64 {
    proof.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let lasting = Duration::from_secs(if quick { 1 } else { 10 });
    // Beside what was compiled: a folder for temporary files may lie in memory.
    let place = Place::Sqlite {
        dir: TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
    };
    let file = place.file();
    let folder = file.parent().unwrap();
    let bytes = entry(0).body.len();
    println!("records of {bytes} bytes; a sync is the disk's limit, measured in the same folder");
    line("", "figure", "ratio to limit", "goal");
    let runtime = Runtime::new().unwrap();
    let before = disk(folder, lasting);
    disk_line("limit: 512 bytes more, and fdatasync", &before, "1");
    runtime.block_on(databases::measure("SQLite", &place, &before, lasting));
    match runtime.block_on(Place::postgres()) {
        Ok(place) => runtime.block_on(databases::measure("PostgreSQL", &place, &before, lasting)),
        Err(reason) => line("PostgreSQL", "not measured", "", reason),
    }
    // Whoever else uses the disk moves the limit: far from 1, the ratios above say little.
    let after = disk(folder, lasting);
    let moved = format!("{:.2}", after.rate() / before.rate());
    disk_line("limit: the same, at the end", &after, &moved);
    processor::measure();
}
