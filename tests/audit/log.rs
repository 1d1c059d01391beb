//! A store with a log in it, written through the store itself, with keys that the tests have.

use std::sync::Arc;

use jiff::Timestamp;
use neuralops::{
    domain::audit::{
        checkpoint::Checkpoint,
        event::Event,
        hash::Hash,
        note::{SigningKey, VerifierKey},
        record::{Actor, Fact, Method, Object, Payload, Record, RecordId, Root, Standing, VERSION},
        tree::Frontier,
    },
    ports::{Entry, Epoch, Log, SavedCheckpoint, Store},
};
use sqlx::AssertSqlSafe;

use crate::place::{Place, Tamperer};

/// The log that grows first, and the one that follows it.
pub const A: &str = "neuralops.io/test/a";
pub const B: &str = "neuralops.io/test/b";
/// Three bundles and two tile levels, none of them full.
pub const LEAVES: u64 = 600;
/// Every so many leaves a checkpoint is published.
pub const STRETCH: u64 = 100;

pub fn key(origin: &str) -> SigningKey {
    let seed = *origin.as_bytes().last().unwrap();
    SigningKey::from_seed(origin, &[seed; 32]).unwrap()
}

pub fn vkey(origin: &str) -> VerifierKey {
    key(origin).verifier()
}

pub fn second(number: u64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + i64::try_from(number).unwrap()).unwrap()
}

pub fn payload(number: u64) -> Payload {
    Payload {
        salt: [u8::try_from(number % 251).unwrap(); 16],
        body: format!("text of {number}").into_bytes(),
    }
}

/// Every fifth has a text beside it.
pub fn has_text(number: u64) -> bool {
    number.is_multiple_of(5)
}

pub fn record(number: u64) -> Record {
    let alice = number.is_multiple_of(3);
    let actor = Actor {
        credential: None,
        groups: None,
        issuer: None,
        method: if alice {
            Method::ApiServer
        } else {
            Method::Operator
        },
        subject: if alice { "alice" } else { "neuralops-0" }.into(),
        uid: None,
    };
    let event = if alice {
        Event::PlaybookAccepted
    } else {
        Event::LeaderElected
    };
    let mut fact = Fact::new(RecordId::of(&["leaf", &number.to_string()]), event, actor);
    fact.object = Some(Object {
        generation: None,
        kind: "Playbook".into(),
        name: format!("p{}", number % 7).into(),
        namespace: Some("shop".into()),
        uid: format!("uid-{}", number % 7).into(),
    });
    fact.details = has_text(number).then(|| payload(number).digest());
    Record {
        v: VERSION,
        time: second(number),
        epoch: 1,
        late: None,
        fact,
    }
}

pub fn entry_of(record: &Record, text: Option<Payload>) -> Entry {
    Entry {
        payload: text.map(|text| (text, second(1_000_000_000))),
        ..Entry::of(record, record.to_bytes().unwrap())
    }
}

pub fn entry(number: u64) -> Entry {
    entry_of(&record(number), has_text(number).then(|| payload(number)))
}

pub fn sign(origin: &str, size: u64, root: Hash) -> String {
    let checkpoint = Checkpoint {
        origin: origin.into(),
        size,
        root,
    };
    checkpoint.sign(&key(origin)).unwrap()
}

/// A store with the log A in it.
pub struct Filled {
    pub place: Place,
    pub store: Arc<dyn Store>,
    pub epoch: Epoch,
    pub log: Log,
    /// Every published checkpoint, smallest first.
    pub checkpoints: Vec<String>,
}

impl Filled {
    pub async fn sqlite() -> Self {
        Self::new(Place::sqlite()).await
    }

    pub async fn postgres() -> Result<Self, &'static str> {
        Ok(Self::new(Place::postgres().await?).await)
    }

    async fn new(place: Place) -> Self {
        let store = place.open().await;
        let epoch = store.take_over().await.unwrap();
        let log = store.begin_log(epoch, A).await.unwrap();
        store.promote(epoch, log.number).await.unwrap();
        let mut filled = Self {
            place,
            store,
            epoch,
            log,
            checkpoints: Vec::new(),
        };
        filled.append(0..LEAVES).await;
        filled
    }

    /// A store whose log is there already.
    pub async fn at(place: Place) -> Self {
        let store = place.open().await;
        let epoch = store.take_over().await.unwrap();
        let logs = store.logs().await.unwrap();
        let log = logs.into_iter().find(|log| log.current).unwrap();
        Self {
            place,
            store,
            epoch,
            log,
            checkpoints: Vec::new(),
        }
    }

    pub async fn append(&mut self, numbers: std::ops::Range<u64>) {
        let all: Vec<u64> = numbers.collect();
        for some in all.chunks(usize::try_from(STRETCH).unwrap()) {
            self.add(some.iter().map(|number| entry(*number)).collect())
                .await;
        }
    }

    /// Appends these and publishes a checkpoint.
    pub async fn add(&mut self, entries: Vec<Entry>) {
        self.log = self.store.append(self.epoch, entries).await.unwrap().log;
        let note = sign(&self.log.origin, self.log.size, self.log.root);
        let saved = SavedCheckpoint {
            log: self.log.number,
            size: self.log.size,
            note: note.clone(),
        };
        self.store.save_checkpoint(self.epoch, saved).await.unwrap();
        self.checkpoints.push(note);
    }

    /// The log B begins and follows A.
    pub async fn follow(&mut self) {
        let before = self.log.clone();
        let log = self.store.begin_log(self.epoch, B).await.unwrap();
        self.store.promote(self.epoch, log.number).await.unwrap();
        let mut first = record(1_000_000);
        first.fact.code = Event::LogFollowed;
        first.fact.details = None;
        let standing = Standing {
            origin: before.origin.as_str().into(),
            root: Root(before.root),
            size: before.size,
        };
        first.fact.logs = vec![standing.clone(), standing];
        self.add(vec![entry_of(&first, None)]).await;
        self.append(1_000_100..1_000_150).await;
    }

    pub fn url(&self) -> String {
        match &self.place {
            Place::Sqlite { .. } => self.place.url().to_string(),
            Place::Postgres { server, database } => crate::place::of_server(server, database),
        }
    }

    /// Alters what the store holds, past the store.
    pub async fn alter(&self, statements: &[String]) {
        let mut tamperer = self.place.tamperer().await;
        for statement in statements {
            let sql = sqlx::raw_sql(AssertSqlSafe(statement.clone()));
            match &mut tamperer {
                Tamperer::Sqlite(file) => sql.execute(file).await.map(drop),
                Tamperer::Postgres(base) => sql.execute(base).await.map(drop),
            }
            .unwrap();
        }
        tamperer.close().await;
    }

    /// Bytes as the database's SQL has them.
    pub fn blob(&self, bytes: &[u8]) -> String {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self.place {
            Place::Sqlite { .. } => format!("X'{hex}'"),
            Place::Postgres { .. } => format!("'\\x{hex}'::bytea"),
        }
    }

    pub async fn bodies(&self, log: &Log) -> Vec<Vec<u8>> {
        let leaves = self
            .store
            .leaves(log.number, 0, u32::try_from(log.size).unwrap());
        leaves
            .await
            .unwrap()
            .into_iter()
            .map(|leaf| leaf.body)
            .collect()
    }

    /// Makes the store hold these bodies instead, with every hash and the head as they should be then: what somebody can do
    /// who writes to the database and has no key.
    pub async fn rewrite(&self, log: &Log, bodies: &[Vec<u8>]) -> Hash {
        let number = log.number.0;
        let mut statements = vec!["DROP INDEX leaf_id".to_owned()];
        let mut tree = Frontier::empty();
        for (idx, body) in bodies.iter().enumerate() {
            let id = Record::parse(body).unwrap().fact.id;
            let (id, body_sql) = (self.blob(&id.0), self.blob(body));
            statements.push(format!(
                "UPDATE leaf SET body = {body_sql}, id = {id} WHERE log = {number} AND idx = {idx}"
            ));
            tree.push(Hash::of_leaf(body), |pos, hash| {
                let hash = self.blob(&hash.0);
                statements.push(format!(
                    "UPDATE node SET hash = {hash} WHERE log = {number} AND pos = {pos}"
                ));
            });
        }
        let root = self.blob(&tree.root().0);
        statements.push(format!(
            "UPDATE log SET root = {root} WHERE number = {number}"
        ));
        // In one transaction, or every statement waits for the disk.
        self.alter(&[format!("BEGIN; {}; COMMIT", statements.join("; "))])
            .await;
        tree.root()
    }
}
