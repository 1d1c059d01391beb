//! Floor 3: the forgeries about votes, and on which Gates they can be tried. Each vote differs from a good one in one thing
//! only, since of two policies that refuse the same request either may answer.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::ask::{Absent, Place, Request, Trial};
use crate::{
    api::v1alpha1::{Decision, Gate, GateState},
    cli::cluster::{
        access::Caller,
        question::{is_open, state},
    },
    domain::forgery::Expected,
};

/// Clocks differ: what is nearer to its deadline is tried as neither.
const MARGIN: Duration = Duration::from_secs(60);
const IDENTITY: &str = "decision-identity.neuralops.io";
const GATE: &str = "decision-gate.neuralops.io";
/// Takes a Gate out of what decision-gate looks at.
const SETTLED: &str = "neuralops.io/settled";
/// A plan that nobody made: all zeros.
const OTHER_PLAN: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
const OTHER_UID: &str = "00000000-0000-0000-0000-000000000000";

/// The Gates that can be tried on.
pub struct Gates {
    /// Those of the caller's namespace first.
    pub known: Vec<Gate>,
    /// Whether the Gates of the caller's namespace are all among them.
    pub complete: bool,
    /// Why none is known, if that could not be found out.
    pub unread: Option<String>,
}

/// Who tries, where and when.
pub struct Stage<'a> {
    /// As the API server knows them.
    pub caller: &'a Caller,
    /// Where new objects are tried.
    pub namespace: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// A Gate to try something on, or why there is none.
type Chosen<'a> = Result<&'a Gate, Absent>;

/// Every forgery about votes.
pub fn trials(stage: &Stage<'_>, gates: &Gates) -> Vec<Trial> {
    let seen: Vec<&Gate> = gates.known.iter().filter(|gate| is_seen(gate)).collect();
    let mut all = vec![anothers(stage, &seen, gates)];
    all.extend(on_open_gates(stage, gates, &seen));
    all.extend(on_ended_gates(stage, gates, &seen));
    let is_here = |gate: &&Gate| gate.namespace().as_deref() == Some(stage.namespace);
    if gates.complete && !seen.iter().any(is_here) {
        all.push(without_gate(stage));
    }
    all
}

fn choose<'a>(
    gates: &Gates,
    seen: &[&'a Gate],
    missing: &str,
    is: impl Fn(&Gate) -> bool,
) -> Chosen<'a> {
    let found = seen.iter().copied().find(|gate| is(gate));
    found.ok_or_else(|| match &gates.unread {
        Some(why) => Absent::Unsure(why.clone()),
        None => Absent::Nothing(missing.to_owned()),
    })
}

fn on_open_gates(stage: &Stage<'_>, gates: &Gates, seen: &[&Gate]) -> [Trial; 3] {
    let open = choose(gates, seen, "there is no open Gate", is_open);
    let own = choose(
        gates,
        seen,
        "there is no open Gate that you requested",
        |gate| is_open(gate) && !is_near(gate, stage.now) && is_asked_by(gate, stage.caller),
    );
    [
        on(stage, "self-approval", "as who requested it", own, |_| {
            ("who requested this may not decide it", json!({}))
        }),
        on(
            stage,
            "digest-swap",
            "for another plan",
            open.clone(),
            |_| ("the Gate is about plan", json!({"planDigest": OTHER_PLAN})),
        ),
        on(
            stage,
            "replay",
            "of an earlier Gate of that name",
            open,
            |gate| {
                let reference = json!({"name": gate.name_any(), "uid": OTHER_UID});
                (
                    "this is another Gate of that name",
                    json!({"gateRef": reference}),
                )
            },
        ),
    ]
}

fn on_ended_gates(stage: &Stage<'_>, gates: &Gates, seen: &[&Gate]) -> [Trial; 2] {
    let settled = choose(gates, seen, "no Gate is settled", |gate| {
        state(gate) != GateState::Open
    });
    let late = choose(gates, seen, "no Gate is past its deadline", |gate| {
        (is_open(gate) && is_late(gate, stage.now)) || state(gate) == GateState::Expired
    });
    [
        on(
            stage,
            "settled-gate",
            "after it was settled",
            settled,
            |_| ("the Gate is not open but", json!({})),
        ),
        on(stage, "expired-gate", "after its deadline", late, |gate| {
            if is_open(gate) {
                ("the deadline was", json!({}))
            } else {
                ("the Gate is not open but Expired", json!({}))
            }
        }),
    ]
}

/// A vote in somebody else's name. It names a Gate that is not there, so that in a namespace with other Gates no policy but
/// the one under test has anything against it.
fn anothers(stage: &Stage<'_>, seen: &[&Gate], gates: &Gates) -> Trial {
    let place = seen.first().and_then(|gate| gate.namespace());
    let place = place.unwrap_or_else(|| stage.namespace.to_owned());
    let mut spec = vote(
        "verify-install-nowhere",
        OTHER_UID,
        OTHER_PLAN,
        &stage.caller.user,
    );
    merge(
        &mut spec,
        json!({"user": format!("not-{}", short(&stage.caller.user))}),
    );
    let beside = if gates.known.is_empty() {
        ", where no Gate is known"
    } else {
        ""
    };
    Trial {
        forgery: "anothers-decision",
        tried: format!("a vote in somebody else's name in {place}{beside}"),
        expected: expected(IDENTITY, "spec.user must be your own name"),
        request: Request::Create(Place::inside::<Decision>(&place), json!({"spec": spec})),
    }
}

/// Where there is no Gate at all the binding refuses every vote: that proves no rule of the policy, but that it is in force.
fn without_gate(stage: &Stage<'_>) -> Trial {
    let spec = vote(
        "verify-install-nowhere",
        OTHER_UID,
        OTHER_PLAN,
        &stage.caller.user,
    );
    Trial {
        forgery: "vote-without-gate",
        tried: format!(
            "a vote in {}, where there is no Gate: shows that the binding acts, and none of its rules",
            stage.namespace
        ),
        expected: expected(GATE, "no params found"),
        request: Request::Create(
            Place::inside::<Decision>(stage.namespace),
            json!({"spec": spec}),
        ),
    }
}

/// A vote on a Gate that is there, and otherwise good.
fn on(
    stage: &Stage<'_>,
    forgery: &'static str,
    how: &str,
    gate: Chosen<'_>,
    forge: impl Fn(&Gate) -> (&'static str, Value),
) -> Trial {
    let gate = match gate {
        Ok(gate) => gate,
        Err(absent) => {
            return Trial {
                forgery,
                tried: format!("a vote {how}"),
                expected: expected(GATE, ""),
                request: Request::None(absent),
            };
        }
    };
    let (words, change) = forge(gate);
    let (namespace, name) = (gate.namespace().unwrap_or_default(), gate.name_any());
    let uid = gate.uid().unwrap_or_default();
    let mut spec = vote(
        &name,
        &uid,
        &gate.spec.subject.plan_digest,
        &stage.caller.user,
    );
    merge(&mut spec, change);
    Trial {
        forgery,
        tried: format!("a vote on Gate {namespace}/{name} {how}"),
        expected: expected(GATE, words),
        request: Request::Create(Place::inside::<Decision>(&namespace), json!({"spec": spec})),
    }
}

fn expected(policy: &'static str, words: &str) -> Expected {
    Expected {
        policy: Some(policy),
        words: words.to_owned(),
        rights_suffice: false,
    }
}

fn vote(gate: &str, uid: &str, plan: &str, user: &str) -> Value {
    json!({
        "gateRef": {"name": gate, "uid": uid},
        "planDigest": plan,
        "verdict": "Approve",
        "user": user,
        "justification": "a dry run of neuralops verify-install",
    })
}

fn merge(spec: &mut Value, change: Value) {
    if let (Some(spec), Value::Object(change)) = (spec.as_object_mut(), change) {
        spec.extend(change);
    }
}

/// What fits into a name with something before it.
fn short(user: &str) -> String {
    user.chars().take(200).collect()
}

/// Whether decision-gate looks at it.
fn is_seen(gate: &Gate) -> bool {
    !gate.labels().contains_key(SETTLED) && gate.metadata.deletion_timestamp.is_none()
}

fn is_asked_by(gate: &Gate, caller: &Caller) -> bool {
    gate.spec.requested_by.iter().any(|user| caller.is(user))
}

fn is_late(gate: &Gate, now: Timestamp) -> bool {
    let deadline = gate.spec.deadline.as_ref();
    deadline.is_some_and(|deadline| deadline.0 + MARGIN < now)
}

/// Past its deadline, or so soon that nobody knows.
fn is_near(gate: &Gate, now: Timestamp) -> bool {
    let deadline = gate.spec.deadline.as_ref();
    deadline.is_some_and(|deadline| deadline.0 < now + MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(name: &str, change: Value) -> Gate {
        let mut gate = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")},
            "spec": {
                "subject": {"uid": "u", "planDigest": "sha256:1"},
                "rules": [{"role": "oncall", "min": 1}],
                "requestedBy": ["alice"],
            },
        });
        json_patch::merge(&mut gate, &change);
        serde_json::from_value(gate).unwrap()
    }

    fn tried(user: &str, namespace: &str, known: Vec<Gate>) -> Vec<(String, String, String)> {
        let caller = Caller {
            user: user.to_owned(),
            groups: Vec::new(),
        };
        let stage = Stage {
            caller: &caller,
            namespace,
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        let gates = Gates {
            known,
            complete: true,
            unread: None,
        };
        let all = trials(&stage, &gates).into_iter();
        all.map(|trial| {
            let sent = match trial.request {
                Request::Create(_, object) => {
                    let reference = &object["spec"]["gateRef"];
                    format!("{} {}", reference["name"], object["spec"]["user"])
                }
                Request::None(Absent::Nothing(why)) => why,
                _ => "?".to_owned(),
            };
            (trial.forgery.to_owned(), trial.expected.words, sent)
        })
        .collect()
    }

    fn sent(all: &[(String, String, String)], forgery: &str) -> String {
        let found = all.iter().find(|(name, _, _)| name == forgery);
        found
            .map(|(_, _, sent)| sent.replace('"', ""))
            .unwrap_or_default()
    }

    #[test]
    fn each_forgery_finds_the_gate_that_shows_it() {
        let all = tried(
            "Alice",
            "shop",
            vec![
                gate(
                    "marked",
                    json!({"metadata": {"labels": {SETTLED: "true"}}, "status": {"state": "Approved"}}),
                ),
                gate("others", json!({"spec": {"requestedBy": ["bob"]}})),
                gate(
                    "soon",
                    json!({"spec": {"deadline": "2026-01-01T00:00:30Z"}}),
                ),
                gate("own", json!({"spec": {"deadline": "2026-01-01T01:00:00Z"}})),
                gate("done", json!({"status": {"state": "Rejected"}})),
                gate(
                    "late",
                    json!({"spec": {"deadline": "2025-12-31T00:00:00Z"}}),
                ),
            ],
        );
        assert_eq!(
            sent(&all, "anothers-decision"),
            "verify-install-nowhere not-Alice"
        );
        assert_eq!(sent(&all, "self-approval"), "own Alice");
        assert_eq!(sent(&all, "digest-swap"), "others Alice");
        assert_eq!(sent(&all, "replay"), "others Alice");
        assert_eq!(sent(&all, "settled-gate"), "done Alice");
        assert_eq!(sent(&all, "expired-gate"), "late Alice");
        assert_eq!(sent(&all, "vote-without-gate"), "", "there are Gates");
    }

    #[test]
    fn a_settled_gate_shows_its_deadline_only_if_it_ended_by_it() {
        let expired = gate("g", json!({"status": {"state": "Expired"}}));
        let all = tried("bob", "shop", vec![expired]);
        let (_, words, _) = all
            .iter()
            .find(|(name, _, _)| name == "expired-gate")
            .unwrap();
        assert_eq!(words, "the Gate is not open but Expired");
        let rejected = gate("g", json!({"status": {"state": "Rejected"}}));
        let all = tried("bob", "shop", vec![rejected]);
        assert_eq!(sent(&all, "expired-gate"), "no Gate is past its deadline");
    }

    #[test]
    fn without_gates_only_the_binding_is_shown_and_that_is_said() {
        let all = tried("bob", "shop", Vec::new());
        assert_eq!(sent(&all, "digest-swap"), "there is no open Gate");
        assert_eq!(
            sent(&all, "vote-without-gate"),
            "verify-install-nowhere bob"
        );
        // Gates elsewhere do not help a vote here.
        let all = tried("bob", "other", vec![gate("g", json!({}))]);
        assert_eq!(
            sent(&all, "vote-without-gate"),
            "verify-install-nowhere bob"
        );
    }

    #[test]
    fn what_could_not_be_listed_is_not_taken_for_absent() {
        let caller = Caller::default();
        let stage = Stage {
            caller: &caller,
            namespace: "shop",
            now: Timestamp::UNIX_EPOCH,
        };
        let gates = Gates {
            known: Vec::new(),
            complete: false,
            unread: Some("forbidden".to_owned()),
        };
        let all = trials(&stage, &gates);
        let unsure = all
            .iter()
            .filter(|trial| matches!(trial.request, Request::None(Absent::Unsure(_))));
        assert_eq!((all.len(), unsure.count()), (6, 5));
    }
}
