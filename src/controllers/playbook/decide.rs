//! Floor 3: whether a Playbook can be used, and what of that is to be recorded first. Pure and total.

use super::Facts;
use crate::{
    api::v1alpha1::PlaybookSpec,
    domain::{
        audit::{
            event::Event,
            record::{Actor, Fact, Method, Object, RecordId},
        },
        digest::Digest,
        document::DEEPEST,
        lint::{Finding, Severity, lint},
        reason::Reason,
    },
};

/// What a message shows of many findings; the command `playbook lint` shows all.
const FINDINGS_SHOWN: usize = 12;

/// What is to be done about a Playbook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it can be used.
    pub judgement: Judgement,
    /// What has to be on record before the status may say so, in this order.
    pub records: Vec<Fact>,
}

/// Whether a Playbook can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It breaks a rule.
    Refuse {
        /// In a word.
        reason: Reason,
        /// Where, why, and what to do.
        message: String,
        /// Its digest, if it has canonical bytes.
        digest: Option<Digest>,
    },
    /// It keeps all rules that can be checked without a cluster.
    Accept {
        /// What a signature is about.
        digest: Digest,
        /// What the author should look at.
        warnings: Vec<String>,
        /// Its annotation forbids new runs.
        suspended: bool,
    },
}

impl Judgement {
    /// The digest of the document, if it has one.
    pub(super) fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Refuse { digest, .. } => digest.as_ref(),
            Self::Accept { digest, .. } => Some(digest),
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Refuse { reason, .. } => *reason,
            Self::Accept { .. } => Reason::Valid,
        }
    }
}

pub(super) fn decide(facts: &Facts) -> Decision {
    let judgement = judge(facts);
    Decision {
        records: records(facts, &judgement),
        judgement,
    }
}

/// What the status does not say yet. The id names the transition with the status that it starts from: a pass that is
/// repeated records nothing twice, and going there and back again is recorded each time.
fn records(facts: &Facts, judgement: &Judgement) -> Vec<Fact> {
    let digest = judgement.digest();
    let changed = facts.recorded.digest.is_some()
        && facts.recorded.digest.as_deref() != digest.map(Digest::as_str);
    let reason = judgement.reason();
    let accepted = reason == Reason::Valid;
    let judged = facts.recorded.valid.as_ref() != Some(&(accepted, reason.as_str().to_owned()));
    let mut records = Vec::new();
    if changed {
        records.push(Event::PlaybookChanged);
    }
    if changed || judged {
        records.push(if accepted {
            Event::PlaybookAccepted
        } else {
            Event::PlaybookRefused
        });
    }
    let fact = |event| fact(facts, event, reason, digest);
    records.into_iter().map(fact).collect()
}

fn fact(facts: &Facts, event: Event, reason: Reason, digest: Option<&Digest>) -> Fact {
    let generation = facts.generation.to_string();
    let id = RecordId::of(&[
        &facts.uid,
        &generation,
        event.code(),
        reason.as_str(),
        digest.map_or("", Digest::as_str),
        facts.recorded.digest.as_deref().unwrap_or_default(),
        facts
            .recorded
            .valid
            .as_ref()
            .map_or("", |(_, reason)| reason),
        facts.recorded.since.as_deref().unwrap_or_default(),
    ]);
    let actor = Actor {
        method: Method::Operator,
        subject: "neuralops-controller".into(),
        issuer: None,
        uid: None,
        groups: None,
        credential: None,
    };
    let mut fact = Fact::new(id, event, actor).outcome(reason);
    fact.object = Some(Object {
        kind: "Playbook".into(),
        namespace: Some(facts.namespace.as_str().into()),
        name: facts.name.as_str().into(),
        uid: facts.uid.as_str().into(),
        generation: Some(facts.generation),
    });
    fact.playbook_digest = digest.cloned();
    fact
}

fn judge(facts: &Facts) -> Judgement {
    let document = match &facts.document {
        Ok(document) => document,
        Err(error) => {
            return Judgement::Refuse {
                reason: Reason::Invalid,
                message: format!(
                    "spec: {error}: nested deeper than {DEEPEST} levels? make it flatter"
                ),
                digest: None,
            };
        }
    };
    let findings = lint(document);
    let errors: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    let digest = document.digest().ok();
    if let Some(first) = errors.first() {
        return Judgement::Refuse {
            reason: first.reason,
            message: summary(&errors),
            digest,
        };
    }
    // The API server has checked the schema; what does not fit now was let in by an altered CRD.
    if let Err(error) = serde_json::from_value::<PlaybookSpec>(document.spec.clone()) {
        let message = format!("spec does not fit the kind Playbook: {error}; was the CRD altered?");
        return Judgement::Refuse {
            reason: Reason::Undecodable,
            message,
            digest,
        };
    }
    match digest {
        Some(digest) => {
            let warnings = findings.iter().map(ToString::to_string).collect();
            Judgement::Accept {
                digest,
                warnings,
                suspended: facts.suspended,
            }
        }
        None => Judgement::Refuse {
            reason: Reason::Invalid,
            message: "spec: has no canonical form".to_owned(),
            digest: None,
        },
    }
}

fn summary(errors: &[&Finding]) -> String {
    let mut parts: Vec<String> = errors
        .iter()
        .take(FINDINGS_SHOWN)
        .map(ToString::to_string)
        .collect();
    if let Some(more) = errors
        .len()
        .checked_sub(FINDINGS_SHOWN)
        .filter(|more| *more > 0)
    {
        parts.push(format!(
            "and {more} more: neuralops playbook lint shows all"
        ));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{controllers::playbook::gather::Recorded, domain::document::Document};

    fn facts(spec: Value) -> Facts {
        let document = Document {
            api_version: "neuralops.io/v1alpha1".into(),
            name: "p".into(),
            namespace: "n".into(),
            spec,
        };
        Facts {
            document: Ok(document),
            suspended: false,
            namespace: "n".into(),
            name: "p".into(),
            uid: "u".into(),
            generation: 1,
            recorded: Recorded::default(),
        }
    }

    fn good() -> Value {
        json!({
            "revision": 1, "serviceAccountName": "s",
            "approval": [{"rules": [{"role": "oncall", "min": 1}]}],
            "steps": [{"name": "w", "wait": {"duration": "1s"}}],
        })
    }

    #[test]
    fn a_good_one_is_accepted_with_its_digest() {
        let facts = facts(good());
        let Judgement::Accept {
            digest, warnings, ..
        } = judge(&facts)
        else {
            panic!("refused")
        };
        assert_eq!(digest, facts.document.as_ref().unwrap().digest().unwrap());
        assert_eq!(warnings, Vec::<String>::new());
    }

    #[test]
    fn a_bad_one_is_refused_and_still_has_its_digest() {
        let mut spec = good();
        spec["description"] = json!("$(params.x)");
        let Judgement::Refuse {
            reason,
            message,
            digest,
        } = judge(&facts(spec))
        else {
            panic!("accepted")
        };
        assert_eq!(reason, Reason::Invalid);
        assert!(message.starts_with("spec.description: "), "{message}");
        assert!(digest.is_some());
    }

    #[test]
    fn many_findings_are_cut_with_their_number() {
        let mut spec = good();
        let bad = json!({"name": "w", "wait": {"duration": "$(x"}});
        spec["steps"] = json!(vec![bad; 20]);
        for (n, step) in spec["steps"].as_array_mut().unwrap().iter_mut().enumerate() {
            step["name"] = json!(format!("w{n}"));
        }
        let Judgement::Refuse { message, .. } = judge(&facts(spec)) else {
            panic!("accepted")
        };
        assert!(message.contains("and 8 more"), "{message}");
    }

    #[test]
    fn what_fits_no_kind_is_named() {
        let mut spec = good();
        spec["steps"][0] = json!({"name": 7, "wait": {"duration": "1s"}});
        let Judgement::Refuse { reason, .. } = judge(&facts(spec)) else {
            panic!("accepted")
        };
        assert_eq!(reason, Reason::Undecodable);
    }

    fn codes(facts: &Facts) -> Vec<&'static str> {
        let records = decide(facts).records;
        records.iter().map(|fact| fact.code.code()).collect()
    }

    /// What the status says after the pass that these facts lead to.
    fn settle(facts: &mut Facts) {
        let judgement = judge(facts);
        let reason = judgement.reason();
        facts.recorded = Recorded {
            digest: judgement.digest().map(ToString::to_string),
            valid: Some((reason == Reason::Valid, reason.as_str().to_owned())),
            since: None,
        };
    }

    #[test]
    fn each_transition_is_recorded_once_and_a_settled_playbook_not_at_all() {
        let mut facts = facts(good());
        assert_eq!(codes(&facts), ["playbook.accepted"]);
        let ids = |facts: &Facts| {
            decide(facts)
                .records
                .iter()
                .map(|f| f.id)
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&facts), ids(&facts));
        settle(&mut facts);
        assert_eq!(codes(&facts), [""; 0]);
        let first = facts.document.clone();

        let mut spec = good();
        spec["revision"] = json!(2);
        facts.document.as_mut().unwrap().spec = spec;
        facts.generation = 2;
        assert_eq!(codes(&facts), ["playbook.changed", "playbook.accepted"]);
        let second = ids(&facts);
        settle(&mut facts);

        facts.document.as_mut().unwrap().spec["description"] = json!("$(params.x)");
        facts.generation = 3;
        assert_eq!(codes(&facts), ["playbook.changed", "playbook.refused"]);
        settle(&mut facts);

        // Back to what it was: another transition, under other ids.
        facts.document = first;
        facts.generation = 4;
        assert_eq!(codes(&facts), ["playbook.changed", "playbook.accepted"]);
        assert!(ids(&facts).iter().all(|id| !second.contains(id)));
    }

    #[test]
    fn a_playbook_that_is_refused_for_another_reason_is_recorded_again() {
        let mut facts = facts(good());
        facts.document = Err("deep".into());
        assert_eq!(codes(&facts), ["playbook.refused"]);
        settle(&mut facts);
        assert_eq!(codes(&facts), [""; 0]);
        facts.recorded.valid = Some((false, "Undecodable".into()));
        assert_eq!(codes(&facts), ["playbook.refused"]);
    }
}
