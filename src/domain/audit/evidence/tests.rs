//! Floor 0, tests: evidence made by hand over a log of its own, and everything that somebody could alter in it.

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::domain::{
    audit::{
        note::SigningKey,
        record::{Actor, Fact, Object, RecordId, VERSION as RECORD},
        tree::Frontier,
    },
    digest::Digest,
    document::Document,
    plan::{Coverage, OnFailure, Plan, PlannedStep, PlaybookRef, Undo},
};

const ORIGIN: &str = "log.example/one";

fn key(origin: &str) -> SigningKey {
    SigningKey::from_seed(origin, &[7; 32]).unwrap()
}

fn step(name: &str) -> PlannedStep {
    PlannedStep {
        name: name.into(),
        kind: "wait".into(),
        coverage: Coverage::SchemaOnly,
        timeout: 1000,
        retries: 0,
        on_failure: OnFailure::Stop,
        targets: Vec::new(),
        effect: json!({"of": name}),
        changes: Vec::new(),
        undo: Undo::Nothing {
            why: "nothing is changed".into(),
        },
    }
}

fn playbook() -> Value {
    json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Playbook",
        "metadata": {"name": "restart", "namespace": "shop", "annotations": {"neuralops.io/cosign-bundle": "{}"}},
        "spec": {"revision": 3},
    })
}

fn document() -> Digest {
    let object = playbook();
    let document = Document {
        api_version: "neuralops.io/v1alpha1".into(),
        name: "restart".into(),
        namespace: "shop".into(),
        spec: object["spec"].clone(),
    };
    document.digest().unwrap()
}

fn plan_of(uid: &str) -> Plan {
    Plan {
        v: crate::domain::plan::VERSION,
        run: RunRef {
            namespace: "shop".into(),
            name: "checkout".into(),
            uid: uid.into(),
        },
        playbook: PlaybookRef {
            name: "restart".into(),
            digest: document(),
            revision: 3,
        },
        policy_digest: Digest::of(b"policy"),
        service_account: "runbook".into(),
        parameters: serde_json::Map::new(),
        timeout: 1000,
        on_failure: OnFailure::Compensate,
        steps: vec![step("one"), step("two")],
    }
}

/// The plan's text, and what is digested.
fn plan_text(uid: &str) -> (String, Digest) {
    let bytes = plan_of(uid).to_bytes().unwrap();
    let digest = Digest::of(&bytes);
    (String::from_utf8(bytes).unwrap(), digest)
}

fn fact(code: Event, uid: &str) -> Fact {
    let kind = match code {
        Event::GateApproved => "Gate",
        _ => "Orchestration",
    };
    let mut fact = Fact::new(
        RecordId::of(&[code.code(), uid]),
        code,
        Actor::operator("neuralops-0"),
    );
    fact.object = Some(Object {
        generation: None,
        kind: kind.into(),
        name: "checkout".into(),
        namespace: Some("shop".into()),
        uid: uid.into(),
    });
    fact
}

/// From the request to the end, for this plan.
fn facts() -> Vec<Fact> {
    let (_, digest) = plan_text("uid-run");
    let planned = |code: Event, uid: &str| {
        let mut fact = fact(code, uid);
        fact.plan_digest = Some(digest.clone());
        fact.playbook_digest = Some(document());
        fact
    };
    let mut approved = planned(Event::GateApproved, "uid-gate");
    approved.decisions = vec!["uid-yes".into(), "uid-too".into()];
    let mut started = planned(Event::RunStarted, "uid-run");
    started.gate = Some("uid-gate".into());
    let mut finished = fact(Event::RunFinished, "uid-run");
    finished.outcome = Some("Succeeded".into());
    let mut all = vec![
        fact(Event::RunRequested, "uid-run"),
        planned(Event::RunPlanned, "uid-run"),
        approved,
        started,
    ];
    for name in ["one", "two"] {
        for code in [Event::StepIntended, Event::StepSucceeded] {
            let mut fact = fact(code, "uid-run");
            fact.id = RecordId::of(&[code.code(), name]);
            fact.step = Some(name.into());
            fact.attempt = Some(1);
            if code == Event::StepIntended {
                fact.effect = Some(step(name).digest().unwrap());
            }
            all.push(fact);
        }
    }
    all.push(finished);
    all
}

/// The records of these facts, among others, in a log that is signed as a whole.
fn logged(facts: &[Fact], origin: &str) -> LogPart {
    let body = |fact: &Fact| {
        let record = Record {
            v: RECORD,
            time: Timestamp::UNIX_EPOCH,
            epoch: 1,
            late: None,
            fact: fact.clone(),
        };
        String::from_utf8(record.to_bytes().unwrap()).unwrap()
    };
    let mut tree = Frontier::empty();
    let mut hashes = Vec::new();
    let mut bodies = Vec::new();
    for fact in facts {
        // Every other leaf is about something else.
        for body in [
            body(&self::fact(Event::RunHeld, fact.id.to_string().as_str())),
            body(fact),
        ] {
            tree.push(Hash::of_leaf(body.as_bytes()), |_, hash| hashes.push(hash));
            bodies.push(body);
        }
    }
    let checkpoint = Checkpoint {
        origin: origin.into(),
        size: tree.size(),
        root: tree.root(),
    };
    let records = (0..).zip(bodies).skip(1).step_by(2).map(|(index, record)| {
        let recipe = tree::inclusion(index, tree.size()).unwrap();
        let found: Vec<Hash> = recipe
            .positions()
            .iter()
            .map(|at| hashes[usize::try_from(*at).unwrap()])
            .collect();
        let path = recipe.cook(&found).unwrap();
        Proven {
            index,
            record,
            path: path.iter().map(ToString::to_string).collect(),
        }
    });
    LogPart {
        records: records.collect(),
        checkpoint: checkpoint.sign(&key(origin)).unwrap(),
    }
}

fn decision(uid: &str, user: &str) -> Value {
    let (_, plan) = plan_text("uid-run");
    json!({
        "metadata": {"name": uid, "uid": uid},
        "spec": {"gateRef": {"uid": "uid-gate"}, "planDigest": plan, "verdict": "Approve", "user": user},
    })
}

fn evidence_of(facts: &[Fact]) -> Evidence {
    let (plan, digest) = plan_text("uid-run");
    Evidence {
        evidence: VERSION,
        run: plan_of("uid-run").run,
        plan: Some(plan),
        playbook: Some(playbook()),
        gates: vec![json!({
            "metadata": {"name": "gate", "uid": "uid-gate"},
            "spec": {"subject": {"uid": "uid-run", "planDigest": digest}},
        })],
        decisions: vec![decision("uid-yes", "alice"), decision("uid-too", "bob")],
        logs: vec![logged(facts, ORIGIN)],
    }
}

fn keys() -> [VerifierKey; 2] {
    [key("log.example/zero").verifier(), key(ORIGIN).verifier()]
}

#[test]
fn what_proves_a_run_is_verified_and_written_the_same_each_time() {
    let evidence = evidence_of(&facts());
    let text = evidence.to_text().unwrap();
    assert!(text.starts_with(START), "{text}");
    let read = Evidence::parse(&text).unwrap();
    assert_eq!(read, evidence);
    assert_eq!(read.to_text().unwrap(), text);
    let sound = read.verify(&keys()).unwrap();
    assert_eq!((sound.logs.len(), sound.records.len()), (1, 9));
    let (_, plan) = plan_text("uid-run");
    assert_eq!(
        sound.shown,
        Shown {
            plan: Some((plan, true)),
            playbook: Some((document(), true)),
            decided: vec![Some("alice".into()), Some("bob".into())],
            outcome: Some("Succeeded".into()),
        }
    );

    // What the cluster does not have any more is missing, and known to be.
    let mut less = evidence_of(&facts());
    (less.plan, less.playbook) = (None, None);
    less.gates.clear();
    less.decisions.remove(0);
    let shown = less.verify(&keys()).unwrap().shown;
    assert_eq!(shown.decided, [None, Some("bob".to_owned())]);
    assert!(matches!(
        (shown.plan, shown.playbook),
        (Some((_, false)), Some((_, false)))
    ));
}

#[test]
fn a_run_goes_on_in_the_log_that_follows() {
    let facts = facts();
    let (before, after) = facts.split_at(5);
    let mut evidence = evidence_of(&facts);
    evidence.logs = vec![logged(before, "log.example/zero"), logged(after, ORIGIN)];
    assert_eq!(evidence.verify(&keys()).unwrap().logs.len(), 2);
    evidence.logs.reverse();
    assert!(matches!(
        evidence.verify(&keys()),
        Err(NoEvidence::Senseless(_))
    ));
    evidence.logs = vec![logged(before, ORIGIN), logged(after, ORIGIN)];
    assert!(matches!(
        evidence.verify(&keys()),
        Err(NoEvidence::LogTwice(_))
    ));
}

fn said(evidence: &Evidence) -> String {
    match evidence.verify(&keys()) {
        Ok(_) => "verified".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// What somebody could alter in the file, who has no key.
#[test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn each_alteration_of_the_file_is_found() {
    type Alter = fn(&mut Evidence);
    let (_, other) = plan_text("uid-other");
    assert_ne!(other, plan_text("uid-run").1);
    let cases: &[(&str, Alter)] = &[
        ("leaf 7 is not the one in the log", |e| {
            let record = &mut e.logs[0].records[3].record;
            *record = record.replace("uid-gate", "uid-hate");
        }),
        ("leaf 10 is not the one in the log", |e| {
            e.logs[0].records[4].index = 10
        }),
        ("is not behind that of the leaf before it", |e| {
            e.logs[0].records.swap(1, 2)
        }),
        ("is not behind that of the leaf before it", |e| {
            let again = e.logs[0].records[2].clone();
            e.logs[0].records.insert(3, again);
        }),
        ("leaf 1 is not the one in the log", |e| {
            drop(e.logs[0].records[0].path.pop())
        }),
        ("the way of leaf 1 to the root does not read", |e| {
            e.logs[0].records[0].path[0] = "nonsense".into();
        }),
        ("not signed by a given key", |e| {
            e.logs[0].checkpoint = logged(&facts(), "log.example/other").checkpoint;
        }),
        ("not signed by a given key", |e| {
            e.logs[0].checkpoint = e.logs[0].checkpoint.replacen("18", "19", 1);
        }),
        ("is not the one in the log", |e| {
            e.logs[0].checkpoint = logged(&facts()[..4], ORIGIN).checkpoint;
        }),
        ("no record in it says that the run was asked for", |e| {
            e.logs.clear();
        }),
        ("no record in it says that the run was asked for", |e| {
            drop(e.logs[0].records.remove(0));
        }),
        ("there is no run.planned before this", |e| {
            drop(e.logs[0].records.remove(1))
        }),
        ("there is no gate.approved of it before this", |e| {
            drop(e.logs[0].records.remove(2))
        }),
        ("is neither about the run nor about a Gate", |e| {
            drop(e.logs[0].records.remove(3))
        }),
        ("the step one has an outcome", |e| {
            drop(e.logs[0].records.remove(4))
        }),
        ("while one has no outcome", |e| {
            drop(e.logs[0].records.remove(5))
        }),
        // The run is another one than the records are about.
        ("is neither about the run nor about a Gate", |e| {
            e.run.uid = "uid-other".into()
        }),
        ("is not the one on record", |e| {
            e.plan = Some(plan_text("uid-other").0)
        }),
        ("is not the one on record", |e| {
            e.plan = e.plan.as_ref().map(|plan| plan.replace("1000", "9999"));
        }),
        ("the Playbook in it has the digest", |e| {
            e.playbook.as_mut().unwrap()["spec"]["revision"] = json!(4);
        }),
        ("the Playbook in it has the digest", |e| {
            e.playbook.as_mut().unwrap()["metadata"]["namespace"] = json!("other");
        }),
        ("the Playbook in it lacks /spec", |e| {
            e.playbook.as_mut().unwrap()["spec"].take();
            e.playbook
                .as_mut()
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove("spec");
        }),
        (
            "the Gate gate in it is not one that the run began by",
            |e| {
                e.gates[0]["metadata"]["uid"] = json!("uid-hate");
            },
        ),
        (
            "the Gate gate in it is about something else than the run",
            |e| {
                e.gates[0]["spec"]["subject"]["uid"] = json!("uid-other");
            },
        ),
        ("the Gate gate in it asks about another plan", |e| {
            e.gates[0]["spec"]["subject"]["planDigest"] = json!(Digest::of(b"other"));
        }),
        ("the Decision uid-no in it is not one that counted", |e| {
            e.decisions.push(decision("uid-no", "mallory"));
        }),
        ("the Decision uid-yes in it is about another Gate", |e| {
            e.decisions[0]["spec"]["gateRef"]["uid"] = json!("uid-hate");
        }),
        ("the Decision uid-yes in it is about another plan", |e| {
            e.decisions[0]["spec"]["planDigest"] = json!(Digest::of(b"other"));
        }),
        ("the Decision uid-yes in it does not approve", |e| {
            e.decisions[0]["spec"]["verdict"] = json!("Reject");
        }),
    ];
    for (number, (what, alter)) in cases.iter().enumerate() {
        let mut evidence = evidence_of(&facts());
        alter(&mut evidence);
        let said = said(&evidence);
        assert!(said.contains(what), "case {number}: {said}, not {what}");
    }
}

/// What an operator could record that does something else than its plan says.
#[test]
fn what_was_done_is_held_against_the_plan() {
    type Alter = fn(&mut Vec<Fact>);
    let cases: &[(&str, Alter)] = &[
        ("the step one on record", |facts| {
            facts[4].effect = Some(Digest::of(b"other"))
        }),
        ("the step one on record", |facts| facts[4].effect = None),
        ("the step three on record", |facts| {
            for fact in &mut facts[4..6] {
                fact.step = Some("three".into());
            }
        }),
        ("the step one on record", |facts| facts[4..8].rotate_left(2)),
        (
            "the step two of its plan is not on record as done",
            |facts| {
                facts.drain(6..8);
            },
        ),
    ];
    for (what, alter) in cases {
        let mut facts = facts();
        alter(&mut facts);
        let said = said(&evidence_of(&facts));
        assert!(said.contains(what), "{said}, not {what}");
    }
    // A run that is cut off has not done all of it.
    let mut facts = facts();
    facts.truncate(6);
    assert_eq!(said(&evidence_of(&facts)), "verified");
}

#[test]
fn what_is_no_evidence_is_told() {
    for (text, what) in [
        ("", "does not read"),
        ("{}", "does not read"),
        (
            r#"{"evidence": 2}"#,
            "it has format 2; this version reads 1",
        ),
        (r#"{"evidence": 1, "more": 1}"#, "does not read"),
    ] {
        let error = Evidence::parse(text).unwrap_err().to_string();
        assert!(error.contains(what), "{text}: {error}");
    }
    let large = " ".repeat(LARGEST + 1);
    assert!(matches!(
        Evidence::parse(&large),
        Err(NoEvidence::TooLarge(_))
    ));
}
