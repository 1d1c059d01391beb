//! A game against the log: records, crashes, old copies put back, other databases, an anchor lowered or gone, two writers,
//! new origins, in an order that chance decides. What may be opened is worked out beside the operator (`world.rs`);
//! whatever it opens keeps its promises, and no two roots are ever anchored at one size of one log.
//!
//! Known and allowed: a copy that is older than the store and not older than the anchor cannot be told from the store, so
//! that records which were durable and not anchored go with it.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use neuralops::{
    adapters::store::{self, Mode},
    api::v1alpha1::{AuditLog, AuditLogSpec},
    domain::audit::{
        checkpoint::Checkpoint,
        hash::Hash,
        record::{Record, RecordId, VERSION},
    },
    ports::Entry,
};
use tempfile::TempDir;

use super::{
    bed::{Bed, LONG, Process, folder},
    chance::Chance,
    child,
    crashes::{BEGINNING, LEDGER, ask},
    diary::Diary,
    failpoints,
    orders::{Orders, Report},
    places::Place,
    torture::told,
    world::{Expected, Held, anchored, expected, root},
};
use crate::support::{api, eventually, need};

/// The seed and the length of `make test`.
const SEED: u64 = 7;
const MOVES: u64 = 20;
/// The CRD keeps sixteen logs before the present one; some are left for what a crash begins in vain.
const FOLLOWED: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn no_order_of_accidents_breaks_a_promise_unnoticed() {
    need!(Owned);
    let seed = told("NEURALOPS_MODEL_SEED", SEED);
    let moves = told("NEURALOPS_MODEL_MOVES", MOVES);
    eprintln!("model: NEURALOPS_MODEL_SEED={seed} NEURALOPS_MODEL_MOVES={moves}");
    let mut game = Game::begin(seed).await;
    game.record().await;
    for number in 0..moves {
        let chosen = *game.chance.one(&ALL);
        game.said.push(format!("{number} {chosen:?}"));
        game.play(chosen).await;
    }
    // At the end it is made to work, whatever has happened.
    game.record().await;
    eprintln!("model: {}", game.said.join(", "));
}

/// What can happen; what happens most stands there most.
const ALL: [Move; 13] = [
    Move::Record,
    Move::Record,
    Move::Crash,
    Move::Crash,
    Move::TwoWriters,
    Move::KeepCopy,
    Move::PutCopyBack,
    Move::PutCopyBack,
    Move::EmptyStore,
    Move::OtherStore,
    Move::LowerAnchor,
    Move::RemoveAnchor,
    Move::NewOrigin,
];

#[derive(Clone, Copy, Debug)]
enum Move {
    Record,
    Crash,
    TwoWriters,
    KeepCopy,
    PutCopyBack,
    EmptyStore,
    OtherStore,
    LowerAnchor,
    RemoveAnchor,
    NewOrigin,
}

struct Game {
    bed: Bed,
    anchor: Api<AuditLog>,
    chance: Chance,
    copies: Vec<TempDir>,
    /// In which log a record was acknowledged, and where.
    promises: HashMap<RecordId, (String, u64)>,
    /// Roots of all that was ever anchored or published, by log and size.
    notes: BTreeMap<(String, u64), Hash>,
    /// The leaves of each log as they were last found.
    logs: BTreeMap<String, Vec<Hash>>,
    /// What happened.
    said: Vec<String>,
}

impl Game {
    async fn begin(seed: u64) -> Self {
        let bed = Bed::sqlite().await;
        let admin = bed.own.cluster().admin().await;
        // Whoever lowers an anchor is past the policies.
        for policy in ["keep.neuralops.io", "operator-writes.neuralops.io"] {
            let bindings = api(&admin, "ValidatingAdmissionPolicyBinding", "");
            let gone = bindings.delete(policy, &DeleteParams::default()).await;
            gone.expect("the policy's binding");
        }
        Self {
            anchor: Api::all(admin),
            bed,
            chance: Chance::new(seed),
            copies: Vec::new(),
            promises: HashMap::new(),
            notes: BTreeMap::new(),
            logs: BTreeMap::new(),
            said: Vec::new(),
        }
    }

    async fn play(&mut self, chosen: Move) {
        let anchor = self.bed.anchors.now().await;
        let room = anchor.is_none_or(|anchor| anchor.previous.len() < FOLLOWED);
        match chosen {
            Move::Crash => self.crash().await,
            Move::TwoWriters => self.two_writers().await,
            Move::KeepCopy => self.keep_copy(),
            Move::PutCopyBack if room => self.put_copy_back(),
            Move::EmptyStore if room => self.remove_files(),
            Move::OtherStore if room => self.other_store().await,
            Move::LowerAnchor if room => self.lower_anchor().await,
            Move::RemoveAnchor if room => self.remove_anchor().await,
            Move::NewOrigin if room => self.new_origin().await,
            _ => self.record().await,
        }
    }

    // --- what the operator does

    /// Some records, if the log opens; else a new origin, and then some records.
    async fn record(&mut self) {
        if self.opens().await {
            let child = self.start(&[]);
            self.work(child).await;
        }
    }

    async fn work(&mut self, child: Process) {
        let count = self.chance.within(10..150);
        let count = usize::try_from(count).expect("a few");
        child.acknowledges(count, 0, LONG).await;
        let reports = if self.chance.once_in(2) {
            child.kill()
        } else {
            child.stop().await
        };
        self.account(vec![reports]).await;
    }

    async fn crash(&mut self) {
        if !self.opens().await {
            return;
        }
        let writing: Vec<_> = failpoints::names(LEDGER)
            .into_iter()
            // Nobody claims anything in this game, and there are no incidents.
            .filter(|name| {
                !["claim.", "release.", "own.", "join."]
                    .iter()
                    .any(|step| name.starts_with(step))
            })
            .filter(|name| !BEGINNING.iter().any(|step| name.starts_with(step)))
            .collect();
        let place = format!("{}:{}", self.chance.one(&writing), self.chance.within(1..9));
        self.die_at(&place).await;
    }

    async fn die_at(&mut self, place: &str) {
        self.said.push(format!("dies at {place}"));
        let child = self.start(&[(failpoints::VARIABLE, place)]);
        let (status, reports) = child.ends(&format!("it dies at {place}")).await;
        assert!(!status.success(), "at {place}");
        self.account(vec![reports]).await;
    }

    async fn two_writers(&mut self) {
        if !self.opens().await {
            return;
        }
        let older = self.start(&[]);
        older.acknowledges(20, 0, LONG).await;
        let newer = self.start(&[]);
        newer.acknowledges(20, 0, LONG).await;
        let (_, reports) = older.ends("the older writer ends").await;
        // Not its last word: others may still have been waiting for an answer.
        let said =
            |report: &Report| matches!(report, Report::Ended { failure } if !failure.is_empty());
        assert!(reports.iter().any(said), "{:?}", reports.last());
        self.account(vec![reports, newer.kill()]).await;
    }

    async fn new_origin(&mut self) {
        if !self.opens().await || Held::read(&self.bed).await.current().is_none() {
            return;
        }
        ask(&self.bed).await;
        if self.chance.once_in(2) {
            let place = *self.chance.one(&BEGINNING);
            self.die_at(&format!("{place}after")).await;
        }
        let child = self.start(&[]);
        self.work(child).await;
    }

    fn start(&self, environment: &[(&str, &str)]) -> Process {
        let orders = Orders {
            durable: 4,
            anchored: 2,
            ..self.bed.orders()
        };
        self.bed.start(&orders, environment)
    }

    // --- what others do

    fn file(&self) -> PathBuf {
        match &self.bed.place {
            Place::Sqlite(file) => file.clone(),
            Place::Postgres(_) => unreachable!("the game is played with files"),
        }
    }

    fn keep_copy(&mut self) {
        let copy = folder();
        copy_files(&self.file(), &copy.path().join("audit.db"));
        self.copies.push(copy);
    }

    fn put_copy_back(&mut self) {
        if self.copies.is_empty() {
            return;
        }
        self.remove_files();
        let copy = self.chance.one(&self.copies).path().join("audit.db");
        copy_files(&copy, &self.file());
    }

    fn remove_files(&self) {
        for file in files(&self.file()) {
            let _ = fs::remove_file(file);
        }
    }

    /// A database of ours with a log of ours, but of another installation.
    async fn other_store(&mut self) {
        let other = folder();
        let file = other.path().join("audit.db");
        let url = format!("sqlite://{}", file.display());
        let opened = store::open(&url.parse().expect("a URL"), Mode::Operator).await;
        let store = opened.expect("a store");
        let epoch = store.take_over().await.expect("an epoch");
        let origin = format!(
            "neuralops.io/elsewhere/{:016x}",
            self.chance.within(0..u64::MAX)
        );
        let log = store.begin_log(epoch, &origin).await.expect("a log");
        store.promote(epoch, log.number).await.expect("promoted");
        let entries =
            (0..self.chance.within(1..300)).map(|number| entry(&format!("{origin}/{number}")));
        store
            .append(epoch, entries.collect())
            .await
            .expect("appended");
        drop(store);
        self.remove_files();
        copy_files(&file, &self.file());
    }

    /// To something that it said before, where the store knows of more: who has the store put back as well is not found out
    /// by anything that lies in one cluster.
    async fn lower_anchor(&mut self) {
        if !self.opens().await {
            return;
        }
        let Some(anchor) = self.bed.anchors.now().await else {
            return;
        };
        let held = Held::read(&self.bed).await;
        let published = held
            .published
            .get(&anchor.origin)
            .and_then(|all| all.last());
        let published = published.map_or(0, |last| last.size);
        let lower: Vec<_> = self
            .bed
            .anchors
            .seen()
            .into_iter()
            .filter(|seen| seen.origin == anchor.origin && anchored(seen).size < published)
            .collect();
        if lower.is_empty() || held.asked {
            return;
        }
        let lower = self.chance.one(&lower).clone();
        self.delete_anchor().await;
        let lower = AuditLog::new("main", lower);
        let made = self.anchor.create(&PostParams::default(), &lower).await;
        made.expect("the anchor, lowered");
        // At once: see above.
        self.record().await;
    }

    async fn remove_anchor(&mut self) {
        if Held::read(&self.bed).await.current().is_none() {
            return;
        }
        self.delete_anchor().await;
        // At once: with the store gone as well nothing is left to remember.
        self.record().await;
    }

    async fn delete_anchor(&self) {
        // The API server learns of a policy that is gone a moment later.
        eventually("the anchor can be deleted", LONG, async || {
            match self.anchor.delete("main", &DeleteParams::default()).await {
                Ok(_) => Ok(()),
                Err(kube::Error::Api(answer)) if answer.is_not_found() => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    // --- what must hold

    /// Whether the log opens as it lies. If not, the operator refuses it with the right reason, writes nothing, and goes on
    /// with a new origin as soon as somebody asks for that.
    async fn opens(&mut self) -> bool {
        let anchor = self.bed.anchors.now().await;
        let held = Held::read(&self.bed).await;
        let Expected::Refuses(expected) = expected(anchor.as_ref(), &held) else {
            // What was durable and not anchored may be lost with a copy; what somebody asks to leave behind, may be.
            let size = anchor.map_or(0, |anchor| anchored(&anchor).size);
            let lost = |(origin, index): &(String, u64)| {
                held.asked
                    || held
                        .current()
                        .is_some_and(|log| log.origin == *origin && *index >= size)
            };
            self.promises
                .retain(|id, promise| holds(&held, id, promise) || !lost(promise));
            return true;
        };
        self.said.push(format!("refused by {expected}"));
        let child = self.start(&[]);
        let refusal = |report: &Report| match report {
            Report::State { reason, .. } if !reason.is_empty() && reason != "AuditUnavailable" => {
                Some(reason.clone())
            }
            _ => None,
        };
        let reason = child.says("the log is refused", LONG, 0, refusal).await;
        assert_eq!(reason, expected);
        let reports = child.kill();
        let acknowledged = |report: &Report| matches!(report, Report::Acknowledged { .. });
        assert!(!reports.iter().any(acknowledged), "{reports:?}");
        let after = Held::read(&self.bed).await;
        assert_eq!(
            after.leaves, held.leaves,
            "it wrote to a log that it refused"
        );
        assert_eq!(
            self.bed.anchors.now().await,
            anchor,
            "it wrote an anchor that it refused"
        );
        // Whoever was promised what is gone has been told by this.
        self.promises
            .retain(|id, promise| holds(&held, id, promise));
        self.follow(anchor, &held).await;
        false
    }

    async fn follow(&mut self, anchor: Option<AuditLogSpec>, before: &Held) {
        ask(&self.bed).await;
        let child = self.start(&[]);
        self.work(child).await;
        let held = Held::read(&self.bed).await;
        let origin = held.current().expect("a log").origin.clone();
        assert_ne!(Some(&origin), anchor.as_ref().map(|anchor| &anchor.origin));
        let names: Vec<_> = anchor
            .as_ref()
            .map(anchored)
            .or_else(|| before.standing())
            .into_iter()
            .chain(before.standing())
            .collect();
        assert_eq!(held.names(&origin), names, "what the first leaf names");
    }

    /// After children that opened the log: what they were told, and everything that was ever told or anchored.
    async fn account(&mut self, children: Vec<Vec<Report>>) {
        let held = Held::read(&self.bed).await;
        let origins: BTreeMap<u32, &String> = held
            .logs
            .iter()
            .map(|log| (log.number.0, &log.origin))
            .collect();
        let anchor = self.bed.anchors.now().await;
        for reports in children {
            let mut diary = Diary::default();
            diary.take(reports);
            for (id, (log, index)) in diary.acknowledged {
                self.promises.insert(id, (origins[&log].clone(), index));
            }
            for (log, promised) in diary.anchored {
                let anchor = anchor.as_ref().expect("something was anchored");
                let size = anchored(anchor).size;
                assert!(
                    anchor.origin != *origins[&log] || promised <= size,
                    "{promised} leaves were acknowledged as anchored; the anchor says {size}"
                );
            }
        }
        for (id, promise) in &self.promises {
            let there = !held.leaves.contains_key(&promise.0) || holds(&held, id, promise);
            assert!(
                there,
                "{id} was acknowledged at {promise:?}; {}",
                self.said.join(", ")
            );
        }
        self.take_notes(&held);
        self.compare(&held);
    }

    fn take_notes(&mut self, held: &Held) {
        for anchor in self.bed.anchors.seen() {
            let keys: Vec<_> = anchor
                .keys
                .iter()
                .map(|key| key.parse().expect("a key"))
                .collect();
            let said = Checkpoint::open(&anchor.checkpoint, &keys).expect("a signed checkpoint");
            self.take_note(said);
        }
        for saved in held.published.values().flatten() {
            self.take_note(Checkpoint::read_unverified(&saved.note).expect("a checkpoint"));
        }
    }

    fn take_note(&mut self, said: Checkpoint) {
        let at = (said.origin, said.size);
        let before = self.notes.insert(at.clone(), said.root);
        assert!(
            before.is_none_or(|before| before == said.root),
            "two roots at {at:?}; {}",
            self.said.join(", ")
        );
    }

    /// Every note is a state of one and the same log, also where the store has lost that log since.
    fn compare(&mut self, held: &Held) {
        for log in &held.logs {
            let found = held.hashes(&log.origin);
            let newest = self
                .notes
                .range((log.origin.clone(), 0)..=(log.origin.clone(), u64::MAX));
            let newest = newest.last().map_or(0, |((_, size), _)| *size);
            let newest = usize::try_from(newest).expect("a small log");
            if found.len() < newest {
                continue;
            }
            let known = self.logs.entry(log.origin.clone()).or_default();
            let common = newest.min(known.len());
            assert!(
                known[..common] == found[..common],
                "{} was rewritten",
                log.origin
            );
            *known = found;
        }
        for ((origin, size), said) in &self.notes {
            let found = self.logs.get(origin).and_then(|log| root(log, *size));
            assert_eq!(found, Some(*said), "the root at {size} of {origin}");
        }
    }
}

fn holds(held: &Held, id: &RecordId, (origin, index): &(String, u64)) -> bool {
    let at = usize::try_from(*index).expect("a small log");
    let leaf = held.leaves.get(origin).and_then(|leaves| leaves.get(at));
    leaf.is_some_and(|leaf| leaf.id == *id)
}

fn files(file: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|ending| PathBuf::from(format!("{}{ending}", file.display())))
}

/// The file and the log that is written ahead of it; the third is no more than memory.
fn copy_files(from: &Path, to: &Path) {
    let [file, ahead, _] = files(from);
    let [to_file, to_ahead, _] = files(to);
    for (from, to) in [(file, to_file), (ahead, to_ahead)] {
        if from.exists() {
            fs::copy(from, to).expect("copied");
        }
    }
}

fn entry(name: &str) -> Entry {
    let fact = child::draft(name).fact;
    let record = Record {
        v: VERSION,
        time: neuralops::adapters::clock::now(),
        epoch: 1,
        late: None,
        fact,
    };
    Entry::of(&record, record.to_bytes().expect("a record"))
}
