//! Floor 3: the votes about a Gate, counted now: Decisions are listed anew and never taken from a cache, each voter's rights
//! are asked at this moment, and the admission guard is looked at after the list. What follows is decided by the callers.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde_json::Value;

use super::guard::{GuardWatch, Standing, Unknown};
use crate::{
    adapters::{
        clock,
        kube::{
            access::{self, AccessError},
            error::{Classified, classify},
        },
        ledger::Refusal,
    },
    api::v1alpha1::{self as api, Decision, Gate},
    domain::{
        gate::{Evidence, GUARD_MARGIN, Outcome, Question, Rule, Sifted, Tally, Vote, Voted},
        reason::Reason,
        verdict::ErrorClass,
    },
};

/// Decisions in one answer: each may carry long texts that counting has no use for.
const PAGE: u32 = 200;
/// Voters whose rights are asked about at the same time.
const VOTERS: usize = 8;

/// The votes could not be counted.
#[derive(Debug, thiserror::Error)]
pub enum CountingError {
    /// The Decisions were not listed.
    #[error("could not list the Decisions of the Gate")]
    List(#[source] kube::Error),
    /// Which of two votes is the newer one cannot be told.
    #[error("the resourceVersion {0:?} is no number")]
    Order(String),
    /// How the guard stands is not known.
    #[error("could not learn whether votes can be trusted")]
    Guard(#[source] Unknown),
    /// A voter's rights are not known.
    #[error("could not learn who holds the roles")]
    Access(#[source] AccessError),
}

impl CountingError {
    /// The log's refusal, if it is the log that is in the way.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Guard(Unknown::Log(refusal)) => Some(refusal),
            _ => None,
        }
    }
}

impl Classified for CountingError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::List(error) => classify(error).0,
            Self::Order(_) => ErrorClass::Bug,
            Self::Guard(Unknown::Look(error)) => error.class(),
            Self::Guard(Unknown::Log(_)) => ErrorClass::Transient,
            Self::Access(error) => error.class(),
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::List(error) => classify(error).1,
            Self::Order(_) => Reason::InternalError,
            Self::Guard(Unknown::Look(error)) => error.reason(),
            Self::Guard(Unknown::Log(refusal)) => refusal.reason,
            Self::Access(error) => error.reason(),
        }
    }
}

/// A count.
#[derive(Clone, Debug, PartialEq)]
pub struct Count {
    /// What it comes to.
    pub tally: Tally,
    /// There are votes, and none of them counts, because the admission guard is not whole.
    pub guard_missing: bool,
}

impl Count {
    /// Whether the votes still approve.
    pub fn approves(&self) -> bool {
        self.tally.outcome == Outcome::Approved
    }
}

/// Counts.
#[derive(Clone)]
pub struct Counting {
    client: Client,
    guard: Arc<GuardWatch>,
}

impl Counting {
    /// One that asks this API server and trusts by this guard.
    pub fn new(client: Client, guard: Arc<GuardWatch>) -> Self {
        Self { client, guard }
    }

    /// Counts all votes about the Gate.
    pub async fn count(&self, gate: &Gate, now: Timestamp) -> Result<Count, CountingError> {
        let votes = self.votes(gate).await?;
        self.tally(gate, votes, now).await
    }

    /// Counts again what was there when the Gate was settled: the votes that are older than this version of the Gate. Whoever
    /// settled it may have listed them a moment too early.
    pub async fn recount(&self, gate: &Gate) -> Result<Count, CountingError> {
        let settled = order(gate.resource_version())?;
        let mut votes = self.votes(gate).await?;
        votes.retain(|vote| vote.order < settled);
        self.tally(gate, votes, clock::now()).await
    }

    /// Whether the guard was whole all the time since the Gate was opened, so that whoever was against it could say so, and
    /// nobody else in their name. To be asked after the votes were counted.
    pub async fn was_guarded(&self, gate: &Gate) -> Result<bool, CountingError> {
        let standing = self.guard.standing().await.map_err(CountingError::Guard)?;
        let opened = gate.metadata.creation_timestamp.as_ref();
        Ok(standing.whole().is_some_and(|since| {
            opened.is_some_and(|opened| opened.0.duration_since(since) > GUARD_MARGIN)
        }))
    }

    async fn tally(
        &self,
        gate: &Gate,
        votes: Vec<Vote>,
        now: Timestamp,
    ) -> Result<Count, CountingError> {
        // After the list: what a whole guard says of itself now, it says of all that came in before.
        let (whole, guard_missing) = if votes.is_empty() {
            (None, false)
        } else {
            let standing = self.guard.standing().await.map_err(CountingError::Guard)?;
            (standing.whole(), standing == Standing::Broken)
        };
        let question = question(gate);
        let Sifted { standing, ignored } = question.sift(votes, whole);
        let namespace = gate.namespace().unwrap_or_default();
        let (namespace, question_of, client) = (&namespace, &question, &self.client);
        let weighed = stream::iter(standing.into_iter().map(async move |vote| {
            let roles = question_of.rules.iter().map(|rule| rule.role.as_str());
            let held = access::held(client, namespace, &vote, roles).await?;
            Ok((vote, held))
        }));
        let weighed = weighed.buffered(VOTERS).try_collect().await;
        let weighed = weighed.map_err(CountingError::Access)?;
        Ok(Count {
            tally: question.count(weighed, ignored, now),
            guard_missing,
        })
    }

    /// Every vote that names the uid of the Gate, as the API server holds them now.
    async fn votes(&self, gate: &Gate) -> Result<Vec<Vote>, CountingError> {
        let namespace = gate.namespace().unwrap_or_default();
        let resource = ApiResource::erase::<Decision>(&());
        let decisions: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &namespace, &resource);
        let uid = gate.uid().unwrap_or_default();
        let mut page = ListParams::default()
            .limit(PAGE)
            .fields(&format!("spec.gateRef.uid={uid}"));
        let mut votes = Vec::new();
        loop {
            let list = decisions.list(&page).await.map_err(CountingError::List)?;
            for decision in list.items {
                votes.push(vote(decision)?);
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(votes),
            }
        }
    }
}

/// What a Decision says. One that an altered kind let in is read as far as it goes: it may stand in nobody's way, and what it
/// says against its voter's earlier votes must not be lost.
fn vote(decision: DynamicObject) -> Result<Vote, CountingError> {
    let text = |pointer: &str| {
        let found = decision.data.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let groups = decision
        .data
        .pointer("/spec/groups")
        .and_then(Value::as_array);
    let groups = groups.into_iter().flatten().filter_map(Value::as_str);
    let attested = decision.data.pointer("/spec/attestation").is_some();
    let created = decision.metadata.creation_timestamp.as_ref();
    let (voted, plan_digest) = match text("/spec/verdict").as_str() {
        "Approve" => (Voted::Approve, text("/spec/planDigest")),
        "Reject" => (Voted::Reject, text("/spec/planDigest")),
        "Withdraw" => (Voted::Withdraw, text("/spec/planDigest")),
        // About no plan: it cannot be believed.
        _ => (Voted::Withdraw, String::new()),
    };
    Ok(Vote {
        name: decision.name_any(),
        uid: decision.uid().unwrap_or_default(),
        gate: text("/spec/gateRef/uid"),
        plan_digest,
        user: text("/spec/user"),
        groups: groups.map(str::to_owned).collect(),
        voted,
        order: order(decision.resource_version())?,
        created: created.map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        evidence: if attested {
            Evidence::Attested
        } else {
            Evidence::ApiServer
        },
    })
}

/// Versions of one store can be compared as numbers.
fn order(version: Option<String>) -> Result<u128, CountingError> {
    let version = version.unwrap_or_default();
    version.parse().map_err(|_| CountingError::Order(version))
}

/// What a Gate asks.
pub fn question(gate: &Gate) -> Question {
    let spec = &gate.spec;
    let rules = spec.rules.iter().map(|rule| Rule {
        role: rule.role.clone(),
        min: usize::try_from(rule.min).unwrap_or_default(),
        evidence: match rule.evidence {
            Some(api::Evidence::ApiServer) => Evidence::ApiServer,
            Some(api::Evidence::Attested) | None => Evidence::Attested,
        },
    });
    Question {
        uid: gate.uid().unwrap_or_default(),
        plan_digest: spec.subject.plan_digest.clone(),
        rules: rules.collect(),
        requested_by: spec.requested_by.clone(),
        deadline: spec.deadline.as_ref().map(|deadline| deadline.0),
    }
}
