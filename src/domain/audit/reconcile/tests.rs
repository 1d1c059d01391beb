//! Floor 0, tests: what each kind of object may say, with each history that it can have.

use jiff::Timestamp;

use super::*;
use crate::domain::audit::record::{Actor, Fact, Object, RecordId, VERSION};

/// Records about the object `a`, each `event`, `event=Outcome` or `event@plan`.
fn on_record(history: &[&str]) -> OnRecord {
    let mut all = OnRecord::default();
    for line in history {
        let (line, plan) = line.split_once('@').unwrap_or((line, ""));
        let (code, outcome) = line.split_once('=').unwrap_or((line, ""));
        let code = Event::parse(code).unwrap();
        let mut fact = Fact::new(RecordId::of(&[line]), code, Actor::operator("neuralops-0"));
        fact.object = Some(Object {
            generation: None,
            kind: "any".into(),
            namespace: Some("shop".into()),
            name: "a".into(),
            uid: "uid-a".into(),
        });
        fact.outcome = (!outcome.is_empty()).then(|| outcome.into());
        let digest = (!plan.is_empty()).then(|| Digest::of(plan.as_bytes()));
        fact.plan_digest.clone_from(&digest);
        fact.playbook_digest = digest;
        all.take(&Record {
            v: VERSION,
            time: Timestamp::UNIX_EPOCH,
            epoch: 1,
            late: None,
            fact,
        });
    }
    all
}

fn named(kind: &'static str) -> Named {
    Named {
        kind,
        namespace: "shop".into(),
        name: "a".into(),
        uid: "uid-a".into(),
    }
}

/// What is told of an object that says this; stage and outcome, or state and plan.
fn told(history: &[&str], kind: &'static str, one: &str, other: &str) -> Option<(Weight, String)> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let digest = |text: &str| some(text).map(|text| Digest::of(text.as_bytes()).to_string());
    let says = match kind {
        "Orchestration" => Says::Run {
            stage: some(one),
            outcome: some(other),
        },
        "Gate" => Says::Gate {
            state: one.to_owned(),
            plan: digest(other),
        },
        _ => Says::Playbook {
            ready: one == "Ready",
            digest: digest(other),
        },
    };
    let all = on_record(history);
    let object = named(kind);
    let found = all
        .lacks(&object, &says)
        .or_else(|| all.adds(&object, &says));
    found.map(|found| (found.weight, found.what))
}

#[test]
fn what_agrees_is_not_told() {
    const RUN: &str = "Orchestration";
    let requested = &["run.requested"][..];
    let planned = &["run.requested", "run.planned"][..];
    let held = &["run.requested", "run.planned", "run.held"][..];
    let started = &["run.requested", "run.planned", "run.started"][..];
    let failed = &["run.requested", "run.finished=Failed"][..];
    for (history, kind, one, other) in [
        (&[][..], RUN, "", ""),
        (requested, RUN, "", ""),
        (requested, RUN, "Suggest", ""),
        (requested, RUN, "DryRun", ""),
        (planned, RUN, "Approve", ""),
        // The record comes first.
        (started, RUN, "Approve", ""),
        (started, RUN, "Execute", ""),
        (held, RUN, "Execute", ""),
        (failed, RUN, "Done", "Failed"),
        (&["run.finished=Cancelled"], RUN, "Done", "Cancelled"),
        (&[], "Gate", "Open", "p"),
        (&["gate.approved@p"], "Gate", "Approved", "p"),
        (&["gate.rejected@p"], "Gate", "Rejected", "p"),
        (&["gate.expired"], "Gate", "Expired", "p"),
        (&["gate.superseded"], "Gate", "Superseded", "p"),
        (&["gate.cancelled"], "Gate", "Cancelled", "p"),
        (&[], "Playbook", "", "p"),
        (&["playbook.accepted@p"], "Playbook", "Ready", "p"),
        (
            &["playbook.accepted@p", "playbook.accepted@q"],
            "Playbook",
            "Ready",
            "p",
        ),
    ] {
        assert_eq!(
            told(history, kind, one, other),
            None,
            "{history:?} {one} {other}"
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn what_differs_is_told_with_both_sides() {
    use Weight::{NotInStatus, NotOnRecord};
    const RUN: &str = "Orchestration";
    let requested = &["run.requested"][..];
    let planned = &["run.requested", "run.planned"][..];
    let healed = &[
        "run.requested",
        "run.planned",
        "run.started",
        "run.finished=Succeeded",
    ][..];
    for (history, kind, one, other, weight, what) in [
        (
            &[][..],
            RUN,
            "DryRun",
            "",
            NotOnRecord,
            "it says DryRun, and there is no run.requested",
        ),
        (
            requested,
            RUN,
            "Approve",
            "",
            NotOnRecord,
            "it says Approve, and there is no run.planned",
        ),
        (
            planned,
            RUN,
            "Execute",
            "",
            NotOnRecord,
            "it says Execute, and there is no run.started",
        ),
        (
            planned,
            RUN,
            "Done",
            "Succeeded",
            NotOnRecord,
            "it says Done, Succeeded, and there is no run.finished",
        ),
        (
            healed,
            RUN,
            "Done",
            "Failed",
            NotOnRecord,
            "it says Done, Failed, and ended as Succeeded by its record",
        ),
        (
            healed,
            RUN,
            "Execute",
            "",
            NotInStatus,
            "it ended as Succeeded by its record, and says Execute",
        ),
        (
            healed,
            RUN,
            "",
            "",
            NotInStatus,
            "it ended as Succeeded by its record, and says nothing",
        ),
        (
            &[],
            "Gate",
            "Approved",
            "p",
            NotOnRecord,
            "it says Approved, and there is no gate.approved",
        ),
        (
            &["gate.rejected"],
            "Gate",
            "Approved",
            "p",
            NotOnRecord,
            "it says Approved, and gate.rejected is on record",
        ),
        (
            &["gate.approved@p"],
            "Gate",
            "Open",
            "p",
            NotInStatus,
            "gate.approved is on record, and it says Open",
        ),
    ] {
        assert_eq!(
            told(history, kind, one, other),
            Some((weight, what.to_owned())),
            "{history:?} {one} {other}"
        );
    }
    let (weight, what) = told(&["gate.approved@q"], "Gate", "Approved", "p").unwrap();
    assert!(
        weight == NotOnRecord && what.ends_with("is recorded as approved"),
        "{what}"
    );
    for history in [&["playbook.accepted@q"][..], &["playbook.refused@p"], &[]] {
        let (weight, what) = told(history, "Playbook", "Ready", "p").unwrap();
        assert!(
            weight == NotOnRecord && what.contains("no playbook.accepted"),
            "{what}"
        );
    }
}

#[test]
fn what_is_gone_is_told_with_its_end() {
    for (history, what) in [
        (
            &["run.requested", "run.finished=Failed"][..],
            "it ended as Failed",
        ),
        (
            &["run.requested", "run.gone"],
            "it was deleted before its end, which is on record",
        ),
        (
            &["run.requested"],
            "it was deleted before its end, which is not on record yet",
        ),
    ] {
        let all = on_record(history);
        let gone = all.gone(&BTreeSet::new());
        assert_eq!(gone.len(), 1);
        assert_eq!(
            (gone[0].weight, gone[0].what.as_str()),
            (Weight::Gone, what)
        );
        assert_eq!(gone[0].object, named("Orchestration"));
        assert!(!gone[0].weight.is_wrong());
        assert_eq!(all.gone(&BTreeSet::from(["uid-a".to_owned()])), []);
    }
}
