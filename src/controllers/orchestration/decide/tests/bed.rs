//! Floor 3, tests: what runs, their records and what was found about them are made of. It checks nothing.

use super::*;
use crate::api::conditions::{self, ConditionStatus, ConditionType};

pub(in super::super::super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(in super::super::super) fn spec(more: &Value) -> OrchestrationSpec {
    let mut spec = json!({
        "incident": {"summary": "checkout crash loops"}, "playbookRef": {"name": "heal"}, "requestedBy": "alice",
    });
    for (name, value) in more.as_object().unwrap() {
        spec[name] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

pub(in super::super::super) fn made(steps: usize) -> Made {
    let steps: Vec<Value> = (0..steps)
        .map(|number| {
            let target = json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "resource": "deployments", "namespace": "shop",
                "name": format!("{}{number}", "n".repeat(200)), "uid": "t", "access": "Writes",
            });
            json!({
                "name": format!("s{number}"), "kind": "scale", "coverage": "ServerDryRun", "timeout": 1000, "retries": 0,
                "targets": [target], "effect": {}, "changes": [], "undo": {"by": "restore"},
            })
        })
        .collect();
    let digest = Digest::of(b"of something");
    let plan: Plan = serde_json::from_value(json!({
        "v": 1, "run": {"namespace": "shop", "name": "r", "uid": "u"},
        "playbook": {"name": "heal", "digest": digest, "revision": 1}, "policyDigest": digest,
        "serviceAccount": "runbook", "parameters": {}, "timeout": 60_000, "steps": steps,
    }))
    .unwrap();
    let bytes = plan.to_bytes().unwrap();
    let rules = json!({"rules": rules()});
    Made {
        digest: Digest::of(&bytes),
        plan,
        bytes,
        steps: Vec::new(),
        approval: vec![serde_json::from_value(rules).unwrap()],
        limits: crate::ports::Limits::default(),
        auto: None,
        seen: Vec::new(),
    }
}

pub(super) fn rules() -> Value {
    json!([{"role": "oncall", "min": 2}, {"role": "owner", "min": 1}])
}

pub(super) fn gate_name(digest: &Digest) -> String {
    names::child(&made(2).plan.run, "Gate", "", 0, digest)
}

pub(in super::super::super) fn gate(state: &str) -> Gate {
    let digest = made(2).digest;
    let owner = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "name": "r", "uid": "u", "controller": true,
    });
    let counted =
        json!([{"user": "bob", "verdict": if state == "Rejected" { "Reject" } else { "Approve" }}]);
    let gate = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate",
        "metadata": {"name": gate_name(&digest), "namespace": "shop", "uid": "g-uid", "ownerReferences": [owner]},
        "spec": {"subject": {"uid": "u", "planDigest": digest}, "rules": rules(),
                 "requestedBy": ["alice"], "deadline": "1970-01-01T00:16:40Z", "onTimeout": "Reject"},
        "status": {"state": state, "observedGeneration": 1, "decisions": counted},
    });
    serde_json::from_value(gate).unwrap()
}

/// The records of a run, a second after another from 100 on.
pub(in super::super::super) fn history(records: &[(Event, Option<&str>)]) -> History {
    let records: Vec<_> = records
        .iter()
        .map(|(event, step)| (*event, *step, Reason::Succeeded))
        .collect();
    history_with(&records)
}

/// The same with how each came out.
pub(super) fn history_with(records: &[(Event, Option<&str>, Reason)]) -> History {
    let records: Vec<Record> = records
        .iter()
        .zip(100..)
        .map(|((event, step, reason), second)| {
            let id = RecordId::of(&["a", event.code()]);
            let mut fact = Fact::new(id, *event, Actor::operator("c")).outcome(*reason);
            fact.plan_digest = Some(made(2).digest);
            fact.step = step.map(Into::into);
            fact.attempt = step.map(|_| 1);
            Record {
                v: VERSION,
                time: at(second),
                epoch: 1,
                late: None,
                fact,
            }
        })
        .collect();
    History::of((7..).zip(&records))
}

pub(in super::super::super) fn asked_about() -> History {
    history(&[(Event::RunRequested, None), (Event::RunPlanned, None)])
}

pub(in super::super::super) fn begun(steps: &[(Event, Option<&str>)]) -> History {
    let first = [
        (Event::RunRequested, None),
        (Event::RunPlanned, None),
        (Event::RunStarted, None),
    ];
    history(&[&first[..], steps].concat())
}

pub(in super::super::super) fn facts(
    spec: OrchestrationSpec,
    history: History,
    look: Look,
) -> Facts {
    Facts {
        now: at(110),
        run: RunRef {
            namespace: "shop".into(),
            name: "r".into(),
            uid: "u".into(),
        },
        generation: 1,
        version: "7".to_owned(),
        too_many: false,
        created: at(100),
        spec,
        status: OrchestrationStatus::default(),
        history: Ok(history),
        joins: None,
        author: None,
        auto: None,
        gates: Vec::new(),
        look,
    }
}

pub(in super::super::super) fn planning(opening: Opening) -> Facts {
    facts(
        spec(&json!({})),
        History::default(),
        Look::Planning(Box::new(opening)),
    )
}

pub(super) fn asked(state: &str, beginning: Option<Beginning>) -> Facts {
    let look = Look::Asked {
        gate: Some(Box::new(gate(state))),
        beginning: beginning.map(Box::new),
        escalation: None,
    };
    let mut facts = facts(spec(&json!({})), asked_about(), look);
    facts.status.stage = Some(crate::api::v1alpha1::Stage::Approve);
    facts
}

pub(in super::super::super) fn working(
    steps: &[(Event, Option<&str>)],
    frozen: Vec<Frozen>,
) -> Facts {
    let look = Look::Working(Working {
        plan: Ok(Arc::new(made(2).plan)),
        frozen,
        said: BTreeMap::from([("s0".to_owned(), "said".to_owned())]),
        midway: None,
    });
    facts(spec(&json!({})), begun(steps), look)
}

/// Its status says that it has not been known what would be done since then.
pub(super) fn in_doubt(mut facts: Facts, since: i64) -> Facts {
    let (kind, status) = (ConditionType::PlanUnknown, ConditionStatus::True);
    let doubt = conditions::Draft::new(kind, status, Reason::DryRunUnavailable, "why");
    let told = conditions::merge(&[], vec![doubt], Some(1), at(since));
    facts.status.conditions.get_or_insert_default().extend(told);
    facts
}

pub(super) fn whole() -> Beginning {
    Beginning {
        recount: Some(Ok(())),
        made: Some(Ok(made(2))),
        ..Beginning::default()
    }
}

/// In a line: what it does, and its words.
pub(super) fn told(decision: &Decision) -> String {
    match decision {
        Decision::Settled => "Settled".to_owned(),
        Decision::Retire(_) => "Retire".to_owned(),
        Decision::Midway(asks) => match &asks.next {
            Turned::Opens { intended } => format!("Opens {} {intended}", asks.index),
            Turned::Answered { ended, message, .. } => match ended {
                Ok(()) => format!("Agreed {}: {message}", asks.index),
                Err(reason) => format!("Answered {reason}: {message}"),
            },
        },
        Decision::Hold(refusal) => format!("Hold {}", refusal.reason),
        Decision::Wait(wait) => {
            format!(
                "Wait {} {}: {}",
                wait.stage.as_str(),
                wait.reason,
                wait.message
            )
        }
        Decision::Own(own) => format!("Own {:?}", own.instead_of),
        Decision::Join(join) => format!("Join {}: {}", join.owner.name, join.end.message),
        Decision::Ask(ask) => format!("Ask {}", if ask.plan_only { "nobody" } else { "people" }),
        Decision::Escalate(escalate) => match &escalate.next {
            Next::Opened(gate) => format!("Tells of {}", gate.metadata.name.as_deref().unwrap()),
            Next::Asks { ordinal, .. } => format!("Asks set {ordinal}"),
        },
        Decision::Begin(begin) => {
            let by = begin.record.fact.outcome.as_ref().unwrap().as_str();
            format!("Begin {by}")
        }
        Decision::Step(step) => {
            format!(
                "Step {} {} {}",
                step.index,
                step.attempt,
                step.stopped.is_some()
            )
        }
        Decision::Turn(turn) => format!(
            "Turn {}",
            turn.record.details.as_deref().unwrap_or_default()
        ),
        Decision::Finish(end) => {
            format!("{} {}: {}", end.outcome.as_str(), end.reason, end.message)
        }
    }
}

pub(super) fn starts(facts: &Facts, expected: &str) {
    let found = told(&decide(facts));
    assert!(
        found.starts_with(expected),
        "{found:?} does not start with {expected:?}"
    );
}

pub(in super::super::super) fn freeze() -> Frozen {
    Frozen::of("f", "carol", "a fair", "f-uid")
}
