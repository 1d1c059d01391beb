//! Floor 0, tests: histories that are good as they stand, and each with one thing wrong.

mod added;
mod defects;
mod endings;
mod lapses;

use jiff::Timestamp;

use self::{added::ADDED, defects::DEFECTS, endings::ENDINGS, lapses::LAPSES};
use super::*;
use crate::domain::audit::{
    hash::Hash,
    record::{Actor, Object, RecordId, Root, Standing, VERSION},
};

const ORIGIN: &str = "log.example/one";

/// A record in a line: what happened, to whom, and words that say more:
/// `plan=P`, `pb=B`, `expr=E`, `gate=G`, `by=D,E`, `step=S`, `try=N`, `came=O`, `joins=R`,
/// `book=B`, `policy=B`, `late`.
fn record(line: &str) -> Record {
    let mut words = line.split_whitespace();
    let code = Event::parse(words.next().unwrap()).unwrap();
    let about = words.next().unwrap();
    let kind = if code.code().starts_with("gate.") {
        "Gate"
    } else {
        "Orchestration"
    };
    let id = RecordId::of(&[line]);
    let mut fact = Fact::new(id, code, Actor::operator("neuralops-0"));
    fact.object = (about != "-").then(|| Object {
        generation: None,
        kind: kind.into(),
        name: about.into(),
        namespace: Some("shop".into()),
        uid: format!("uid-{about}").into(),
    });
    let mut late = None;
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "plan" => fact.plan_digest = Some(Digest::of(value.as_bytes())),
            "pb" => fact.playbook_digest = Some(Digest::of(value.as_bytes())),
            "expr" => fact.expression = Some(value.into()),
            "gate" => fact.gate = Some(format!("uid-{value}").into()),
            "by" => fact.decisions = value.split(',').map(Name::from).collect(),
            "step" => fact.step = Some(value.into()),
            "try" => fact.attempt = Some(value.parse().unwrap()),
            "book" => fact.playbook_digest = Some(Digest::of(value.as_bytes())),
            "policy" => {
                let playbook = Digest::of(value.as_bytes());
                fact.actor = Actor::policy(&playbook);
                fact.playbook_digest = Some(playbook);
            }
            "stage" => fact.stage = Some(value.into()),
            "joins" => {
                let uid = format!("uid-{value}");
                fact.cause = Some(RecordId::of(&[&uid, Event::RunRequested.code()]));
            }
            "came" => fact.outcome = Some(value.into()),
            "after" => {
                let (origin, size) = value.split_once(':').unwrap();
                fact.logs.push(Standing {
                    origin: origin.into(),
                    root: Root(Hash::of_nothing()),
                    size: size.parse().unwrap(),
                });
            }
            "late" => late = Some(Timestamp::UNIX_EPOCH),
            _ => panic!("{line}"),
        }
    }
    Record {
        v: VERSION,
        time: Timestamp::UNIX_EPOCH,
        epoch: 1,
        late,
        fact,
    }
}

fn lines(history: &str) -> Vec<&str> {
    let lines = history.lines().map(str::trim);
    lines.filter(|line| !line.is_empty()).collect()
}

fn read(lines: &[&str]) -> Verdict {
    let mut semantics = Semantics::default();
    semantics.begin(ORIGIN);
    let mut leaf = 0;
    for line in lines {
        if let Some(origin) = line.strip_prefix("begin ") {
            semantics.begin(origin);
            leaf = 0;
        } else {
            semantics.record(leaf, &record(line));
            leaf += 1;
        }
    }
    semantics.finish()
}

/// What is wrong, each with its leaf.
fn wrongs(lines: &[&str]) -> Vec<(u64, String)> {
    let found = read(lines).missteps.into_iter();
    found
        .map(|misstep| (misstep.leaf, misstep.wrong.to_string()))
        .collect()
}

/// Two steps, the first of them at the second attempt.
const HEALED: &str = "
    run.requested a
    run.planned a plan=p
    gate.approved g plan=p by=d,e
    run.started a plan=p gate=g
    step.intended a plan=p step=one try=1
    step.failed a step=one try=1
    step.intended a plan=p step=one try=2
    step.succeeded a step=one try=2
    step.intended a plan=p step=two try=1
    step.succeeded a step=two try=1
    run.finished a came=Succeeded";

const FAILED: &str = "
    run.requested a
    run.planned a plan=p
    gate.approved g plan=p by=d
    run.held a
    run.started a plan=p gate=g
    step.intended a step=one try=1
    step.failed a step=one try=1
    run.finished a came=Failed";

const COMPENSATED: &str = "
    run.requested a
    run.planned a plan=p
    gate.approved g plan=p by=d
    run.started a plan=p gate=g
    step.intended a plan=p step=one try=1
    step.succeeded a step=one try=1
    step.intended a plan=p step=two try=1
    step.underway a step=two try=1
    step.failed a step=two try=1
    run.turned a plan=p came=StepFailed
    undo.intended a plan=p step=two try=1
    undo.succeeded a step=two try=1
    undo.intended a plan=p step=one try=1
    undo.succeeded a step=one try=1
    run.finished a came=Compensated";

const LEFT: &str = "
    run.requested a
    run.planned a plan=p
    gate.approved g plan=p by=d
    run.started a plan=p gate=g
    step.intended a plan=p step=one try=1
    step.succeeded a step=one try=1
    run.turned a plan=p came=DeadlineExceeded
    undo.intended a plan=p step=one try=1
    undo.failed a step=one try=1
    run.finished a came=CompensationFailed";

const CANCELLED: &str = "
    run.requested a
    run.planned a plan=p
    gate.approved g plan=p by=d
    run.started a plan=p gate=g
    step.intended a step=one try=1
    run.cancelled a
    step.succeeded a step=one try=1
    run.finished a came=Cancelled";

/// Nobody of the first set of rules decided, nobody of the second, and the signed Playbook lets that suffice.
const LAPSED: &str = "
    run.requested a
    run.planned a plan=p book=b
    gate.expired f plan=p
    run.escalated a plan=p gate=f
    gate.allowed g plan=p by=d policy=b
    run.started a plan=p gate=g came=ApprovedByPolicy book=b
    step.intended a step=one try=1
    step.succeeded a step=one try=1
    run.finished a came=Succeeded";

/// People are asked in its middle.
const ASKED: &str = "
    run.requested a
    run.planned a plan=p
    gate.approved g plan=p by=d
    run.started a plan=p gate=g
    step.intended a plan=p step=one try=1 stage=Approve
    gate.approved h plan=p by=e
    step.succeeded a plan=p step=one try=1 gate=h came=Approved
    step.intended a plan=p step=two try=1
    step.succeeded a step=two try=1
    run.finished a came=Succeeded";

#[test]
fn good_histories_are_good() {
    let others = [
        "leader.elected - \n config.loaded - \n playbook.accepted p",
        "run.requested a",
        "run.requested a \n run.finished a came=Failed",
        "run.requested a \n run.requested b \n run.finished b came=Joined joins=a",
        // The other one is not on record before it is planned.
        "run.requested b \n run.finished b came=Joined joins=a \n run.requested a",
        "run.requested a \n run.planned a plan=p \n run.finished a came=Planned",
        "run.requested a \n run.planned a plan=p \n gate.rejected g by=d \n run.finished a came=Rejected",
        "run.requested a \n run.planned a plan=p \n gate.expired g \n run.finished a came=Expired",
        "run.requested a \n run.planned a plan=p \n gate.approved g plan=p by=d \n run.finished a came=Superseded",
        // Nobody was asked: the signed Playbook allows it.
        "run.requested a \n run.planned a plan=p \n run.allowed a plan=p pb=b expr=true
         run.started a plan=p pb=b came=Auto \n run.finished a came=Succeeded",
        // While nothing could be recorded it was stopped.
        "run.requested a \n run.finished a came=Cancelled \n run.cancelled a late",
        "run.cancelled a late \n run.finished a came=Cancelled late",
        // Its object is gone while it acts.
        "run.requested a \n run.planned a plan=p \n gate.approved g plan=p by=d \n run.started a plan=p gate=g
         step.intended a step=one try=1 \n run.gone a \n step.succeeded a step=one try=1",
        // Two runs at a time.
        "run.requested a \n run.requested b \n run.planned b plan=q \n run.planned a plan=p \n gate.approved h plan=q by=d
         gate.approved g plan=p by=d \n run.started b plan=q gate=h \n run.started a plan=p gate=g
         step.intended a step=one try=1 \n step.intended b step=one try=1 \n step.succeeded b step=one try=1
         run.finished b came=Succeeded \n step.succeeded a step=one try=1 \n run.finished a came=Succeeded",
        // Another vote came between the record and the status, and what it came to was counted anew.
        "run.requested a \n run.planned a plan=p \n gate.approved g plan=p by=d \n gate.rejected g plan=p by=e
         run.finished a came=Rejected",
        "run.requested a \n run.planned a plan=p \n gate.rejected g plan=p by=e \n gate.approved g plan=p by=d
         gate.approved g plan=p by=d,f \n run.started a plan=p gate=g \n run.finished a came=Succeeded",
        "run.requested a \n run.planned a plan=p \n gate.approved g plan=p by=d \n run.cancelled a
         run.finished a came=Cancelled \n gate.cancelled g plan=p",
    ];
    for history in [HEALED, FAILED, COMPENSATED, LEFT, CANCELLED, LAPSED, ASKED]
        .iter()
        .chain(&others)
    {
        assert_eq!(wrongs(&lines(history)), [], "{history}");
        // Whatever is not at its end yet is good as well.
        let all = lines(history);
        for end in 0..all.len() {
            assert_eq!(wrongs(&all[..end]), [], "{history} up to {end}");
        }
    }
    let verdict = read(&lines(others[13]));
    assert_eq!((verdict.ended, verdict.going_on), (2, 0));
}

#[test]
fn each_single_defect_is_found_where_it_is() {
    for case in DEFECTS.iter().chain(ENDINGS).chain(LAPSES) {
        let mut history = lines(case.history);
        if case.instead.is_empty() {
            history.remove(case.at);
        } else {
            history[case.at] = case.instead;
        }
        let found = wrongs(&history);
        let first = found.first();
        assert!(
            first.is_some_and(|(leaf, said)| *leaf == case.leaf && said.contains(case.said)),
            "{history:#?}\nwanted: {} {}\nfound: {found:#?}",
            case.leaf,
            case.said
        );
    }
}

#[test]
fn one_record_too_many_is_found_where_it_is() {
    for case in ADDED {
        let mut history = lines(case.history);
        let tail = history.split_off(case.at);
        history.extend(lines(case.instead));
        history.extend(tail);
        let found = wrongs(&history);
        let first = found.first();
        assert!(
            first.is_some_and(|(leaf, said)| *leaf == case.leaf && said.contains(case.said)),
            "{history:#?}\nwanted: {} {}\nfound: {found:#?}",
            case.leaf,
            case.said
        );
    }
}

#[test]
fn a_finding_says_leaf_and_run_and_what_is_wrong() {
    let verdict = read(&["run.requested a", "run.finished a came=Planned"]);
    let said: Vec<_> = verdict.missteps.iter().map(Misstep::to_string).collect();
    assert_eq!(
        said[..1],
        [
            "leaf 1 of log.example/one: Orchestration shop/a (uid-a): the run ends as Planned, and it was \
             never planned"
        ]
    );
}

#[test]
fn a_run_goes_on_in_the_log_that_follows() {
    let history = lines(HEALED);
    for cut in 0..history.len() {
        let mut all = history.clone();
        let follows = format!("log.followed - after={ORIGIN}:{cut} after={ORIGIN}:{cut}");
        all.splice(cut..cut, ["begin log.example/two", &follows]);
        let verdict = read(&all);
        assert_eq!(verdict.missteps, []);
        assert_eq!((verdict.ended, verdict.doubtful), (1, 0));
    }
}

/// What was recorded in the lost part may have been anything; what begins afterwards is held to the rules again.
#[test]
fn where_records_were_lost_nothing_is_said_of_the_runs_they_may_be_about() {
    let mut all = lines(
        "run.requested a \n run.requested c \n run.finished c came=Failed \n begin log.example/two",
    );
    let follows = format!("log.followed - after={ORIGIN}:9 after={ORIGIN}:3");
    all.push(&follows);
    all.extend(lines(
        "run.finished a came=Succeeded \n run.finished b came=Succeeded",
    ));
    let verdict = read(&all);
    assert_eq!(verdict.missteps, []);
    assert_eq!((verdict.ended, verdict.doubtful), (1, 2));
    all.extend(lines(
        "run.requested d \n run.finished d came=Succeeded \n run.held c",
    ));
    let found: Vec<_> = wrongs(&all).into_iter().map(|(leaf, _)| leaf).collect();
    assert_eq!(found, [4, 5]);

    // Without the log before it there is as little to say.
    let all = lines("log.followed - after=log.example/zero:9 \n run.finished a came=Succeeded");
    assert_eq!(wrongs(&all), []);
}

#[test]
fn without_a_gate_only_what_the_playbook_allows_begins() {
    let begins = "run.started a plan=p pb=b came=Auto";
    for allowed in [
        "run.held a",
        "run.allowed a pb=b expr=true",
        "run.allowed a plan=p expr=true",
        "run.allowed a plan=p pb=b",
        "run.allowed a plan=q pb=b expr=true",
        "run.allowed a plan=p pb=c expr=true",
        "run.allowed b plan=p pb=b expr=true",
    ] {
        let history = [
            "run.requested a",
            "run.requested b",
            "run.planned b plan=p",
            "run.planned a plan=p",
            allowed,
            begins,
        ];
        let found = wrongs(&history);
        assert!(
            matches!(&found[..], [(5, said)] if said.contains("no run.allowed before this")),
            "{allowed}: {found:?}"
        );
    }
    // Nor does it stand for a Gate, or come late.
    let asked = [
        "run.requested a",
        "run.planned a plan=p",
        "run.allowed a plan=p pb=b expr=true",
        "run.started a plan=p pb=b",
    ];
    assert_eq!(wrongs(&asked).len(), 1);
    let late = [
        "run.requested a",
        "run.planned a plan=p",
        "run.allowed a plan=p pb=b expr=true late",
        begins,
    ];
    assert!(!wrongs(&late).is_empty());
}
