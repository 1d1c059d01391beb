//! Floor 0: what a leaf says. A record is canonical JSON (RFC 8785) of bounded identifiers, numbers and digests: no free
//! text and no secret fits in. Texts lie beside the log under a salted hash ([`Payload`]), so that they can be
//! erased without touching a proof.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::id::{NoRecordId, RecordId};

use self::canonical::Sorted;
use super::{event::Event, hash::Hash};
use crate::domain::{digest::Digest, reason::Reason};

mod canonical;
mod id;

/// The format of records that this version writes.
pub const VERSION: u32 = 1;
/// A leaf is never larger.
pub const LARGEST: usize = 8 * 1024;
/// An identifier is never longer in bytes; a longer one stands there by its digest.
const LONGEST: usize = 256;

/// A name that somebody else chose: at most 256 bytes and without control characters; any other stands here by its digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// As it stands in the record.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        if text.len() <= LONGEST && !text.chars().any(char::is_control) {
            Self(text)
        } else {
            Self(Digest::of(text.as_bytes()).to_string())
        }
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// How an actor's identity is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Method {
    /// The operator itself, of its own accord.
    Operator,
    /// The API server authenticated the caller.
    ApiServer,
    /// The API's account attested the caller.
    Attested,
    /// Whoever could write to the store; nobody authenticated them.
    StoreAccess,
    /// Nobody acted: a signed Playbook says beforehand what happens then.
    Policy,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Actor {
    /// Which credential was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<Name>,
    /// The digest over the user's groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Digest>,
    /// Who vouches for the name, where that is not the API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Name>,
    /// How the identity is known.
    pub method: Method,
    /// The user's name, or the name of the replica.
    pub subject: Name,
    /// The user's uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<Name>,
}

impl Actor {
    /// The operator, of its own accord.
    pub fn operator(subject: &str) -> Self {
        Self {
            credential: None,
            groups: None,
            issuer: None,
            method: Method::Operator,
            subject: subject.into(),
            uid: None,
        }
    }

    /// What the signed Playbook with this digest says beforehand.
    pub fn policy(playbook: &Digest) -> Self {
        Self {
            method: Method::Policy,
            ..Self::operator(playbook.as_str())
        }
    }
}

/// Which object it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Object {
    /// Its generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Its kind.
    pub kind: Name,
    /// Its name.
    pub name: Name,
    /// Its namespace, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
    /// Its uid: a name can come again.
    pub uid: Name,
}

/// Where another log stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Standing {
    /// Which log.
    pub origin: Name,
    /// Its root.
    pub root: Root,
    /// Its leaves.
    pub size: u64,
}

/// A root hash in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Root(pub Hash);

impl From<Root> for String {
    fn from(root: Root) -> Self {
        root.0.to_string()
    }
}

impl TryFrom<String> for Root {
    type Error = super::hash::NoHash;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// What happened, without when and under whom: those are added when it is appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Fact {
    /// Which transition this is.
    pub id: RecordId,
    /// What happened.
    #[serde(with = "code")]
    pub code: Event,
    /// Who did it.
    pub actor: Actor,
    /// To what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Object>,
    /// The stage of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Name>,
    /// The step of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Name>,
    /// Which attempt at that step, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// What a step writes, or has found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Digest>,
    /// The expression of a Playbook that held over an incident; a long one stands here by its digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<Name>,
    /// The uid of the Gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<Name>,
    /// The uids of the Decisions that counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Name>,
    /// What it came to, in the word that condition, event and metric use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Name>,
    /// Why it came to that, where the outcome is no reason itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Name>,
    /// The plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_digest: Option<Digest>,
    /// The policies that applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_digest: Option<Digest>,
    /// The Playbook's document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playbook_digest: Option<Digest>,
    /// The Playbook whose revision this settles, as `namespace/name`: a name outlives the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playbook: Option<Name>,
    /// The highest revision of that Playbook from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The earlier record that led to this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<RecordId>,
    /// The salted hash of the text beside the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Digest>,
    /// Where other logs stood: of `log.followed` the anchor first, then the store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<Standing>,
}

impl Fact {
    /// A fact that only says who did what; the rest is added by the caller.
    pub fn new(id: RecordId, code: Event, actor: Actor) -> Self {
        Self {
            id,
            code,
            actor,
            object: None,
            stage: None,
            step: None,
            attempt: None,
            effect: None,
            expression: None,
            gate: None,
            decisions: Vec::new(),
            outcome: None,
            reason: None,
            plan_digest: None,
            policy_digest: None,
            playbook_digest: None,
            playbook: None,
            revision: None,
            cause: None,
            details: None,
            logs: Vec::new(),
        }
    }

    /// With what it came to.
    pub fn outcome(mut self, reason: Reason) -> Self {
        self.outcome = Some(reason.as_str().into());
        self
    }
}

/// A leaf's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The format.
    pub v: u32,
    /// When it was appended.
    pub time: Timestamp,
    /// The leadership under which it was appended.
    pub epoch: u64,
    /// When it happened, if that was earlier, while the log could not be written: a stop waits for nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<Timestamp>,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}

/// Bytes that are no record of this format.
#[derive(Debug, thiserror::Error)]
pub enum NoRecord {
    /// They do not read.
    #[error("the leaf is no record")]
    Unreadable(#[source] serde_json::Error),
    /// A later version wrote them.
    #[error("the leaf has format {0}; this version reads {VERSION}")]
    Version(u32),
    /// They say the same in other bytes than the operator writes.
    #[error("the leaf is not in canonical form")]
    NotCanonical,
    /// They are too many.
    #[error("a record has {0} bytes; {LARGEST} are allowed")]
    TooLarge(usize),
}

impl Record {
    /// The leaf's body.
    pub fn to_bytes(&self) -> Result<Vec<u8>, NoRecord> {
        let bytes = serde_json::to_vec(&Sorted::from(self)).map_err(NoRecord::Unreadable)?;
        if bytes.len() > LARGEST {
            return Err(NoRecord::TooLarge(bytes.len()));
        }
        Ok(bytes)
    }

    /// Reads a leaf's body, and nothing but what [`Record::to_bytes`] writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoRecord> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u32,
        }
        if bytes.len() > LARGEST {
            return Err(NoRecord::TooLarge(bytes.len()));
        }
        let record = match serde_json::from_slice::<Sorted<'_>>(bytes) {
            Ok(read) if read.version() == VERSION => Self::from(read),
            read => {
                // Of another version it does not matter how well it reads.
                return match (serde_json::from_slice::<Versioned>(bytes), read) {
                    (Ok(Versioned { v }), _) if v != VERSION => Err(NoRecord::Version(v)),
                    (Err(error), _) | (_, Err(error)) => Err(NoRecord::Unreadable(error)),
                    (Ok(Versioned { v }), Ok(_)) => Err(NoRecord::Version(v)),
                };
            }
        };
        if record.to_bytes()? != bytes {
            return Err(NoRecord::NotCanonical);
        }
        Ok(record)
    }
}

/// A text beside the log. Who has neither salt nor text learns nothing from the hash in the leaf, not even by guessing.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// Random.
    pub salt: [u8; 16],
    /// The text.
    pub body: Vec<u8>,
}

impl Payload {
    /// What the leaf says of it.
    pub fn digest(&self) -> Digest {
        Digest::of(&[self.salt.as_slice(), &self.body].concat())
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text is beside the log so that it does not get into others.
        write!(f, "Payload({} bytes)", self.body.len())
    }
}

mod code {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::Event;

    pub(super) fn serialize<S: Serializer>(
        event: &Event,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(event.code())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Event, D::Error> {
        let code = String::deserialize(deserializer)?;
        Event::parse(&code).ok_or_else(|| D::Error::custom(format!("{code:?} is no event code")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let actor = Actor {
            method: Method::Operator,
            subject: "neuralops-0".into(),
            issuer: None,
            uid: None,
            groups: None,
            credential: None,
        };
        Record {
            v: VERSION,
            time: Timestamp::from_microsecond(1_700_000_000_123_456).unwrap(),
            epoch: 3,
            late: None,
            fact: Fact::new(RecordId::of(&["uid", "1"]), Event::PlaybookAccepted, actor)
                .outcome(Reason::Valid),
        }
    }

    #[test]
    fn a_record_reads_back_from_its_canonical_bytes() {
        let bytes = record().to_bytes().unwrap();
        assert_eq!(Record::parse(&bytes).unwrap(), record());
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.starts_with(r#"{"actor":{"method":"operator""#),
            "{text}"
        );
        assert!(!text.contains("late"), "{text}");
    }

    /// Everything that a record can hold.
    fn full() -> Record {
        let digest = |text: &str| Some(Digest::of(text.as_bytes()));
        let mut record = record();
        record.late = Some(Timestamp::from_microsecond(1_699_999_999_000_000).unwrap());
        record.fact.actor = Actor {
            credential: Some("token \"1\"".into()),
            groups: digest("groups"),
            issuer: Some("https://issuer.example/\u{e9}\u{1f511}".into()),
            method: Method::ApiServer,
            subject: "alice\\\u{fffd}\u{2028}".into(),
            uid: Some("7".into()),
        };
        record.fact.object = Some(Object {
            generation: Some(u64::from(u32::MAX)),
            kind: "Playbook".into(),
            name: "restart".into(),
            namespace: Some("shop".into()),
            uid: "u".into(),
        });
        record.fact.stage = Some("Execute".into());
        record.fact.step = Some("restart".into());
        record.fact.attempt = Some(2);
        record.fact.effect = digest("effect");
        record.fact.gate = Some("g".into());
        record.fact.decisions = vec!["d".into(), "e".into()];
        record.fact.reason = Some("StepFailed".into());
        record.fact.plan_digest = digest("plan");
        record.fact.policy_digest = digest("policy");
        record.fact.playbook_digest = digest("playbook");
        record.fact.playbook = Some("shop/restart".into());
        record.fact.revision = Some(14);
        record.fact.cause = Some(RecordId::of(&["cause"]));
        record.fact.details = digest("details");
        record.fact.logs = vec![Standing {
            origin: "neuralops.io/1/2".into(),
            root: Root(Hash::of_nothing()),
            size: 9,
        }];
        record
    }

    #[test]
    fn the_bytes_are_those_of_the_canonical_form() {
        for record in [record(), full()] {
            let bytes = record.to_bytes().unwrap();
            assert_eq!(bytes, serde_json_canonicalizer::to_vec(&record).unwrap());
            assert_eq!(Record::parse(&bytes).unwrap(), record);
        }
    }

    #[test]
    fn other_bytes_with_the_same_meaning_are_refused() {
        let text = String::from_utf8(record().to_bytes().unwrap()).unwrap();
        let spaced = text.replacen(':', ": ", 1);
        assert!(matches!(
            Record::parse(spaced.as_bytes()),
            Err(NoRecord::NotCanonical)
        ));
        let later = text.replace(r#""v":1"#, r#""v":2"#);
        assert!(matches!(
            Record::parse(later.as_bytes()),
            Err(NoRecord::Version(2))
        ));
        let more = text.replace(r#""v":1"#, r#""v":1,"w":2"#);
        assert!(Record::parse(more.as_bytes()).is_err(), "{more}");
    }

    #[test]
    fn a_long_or_odd_name_stands_there_by_its_digest() {
        for odd in ["x".repeat(257), "line\nbreak".to_owned()] {
            let name = Name::from(odd.clone());
            assert_eq!(name.as_str(), Digest::of(odd.as_bytes()).as_str());
        }
        assert_eq!(Name::from("alice").as_str(), "alice");
    }

    #[test]
    fn no_two_lists_of_parts_have_one_id() {
        assert_ne!(RecordId::of(&["ab", "c"]), RecordId::of(&["a", "bc"]));
        assert_ne!(RecordId::of(&["a", ""]), RecordId::of(&["a"]));
    }
}
