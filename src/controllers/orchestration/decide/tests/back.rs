//! Floor 3, tests: what a run that failed takes back, and with how much time.

use super::*;

const TWO: [(Event, Option<&str>, Reason); 5] = [
    (Event::RunRequested, None, Reason::Succeeded),
    (Event::RunPlanned, None, Reason::Succeeded),
    (Event::RunStarted, None, Reason::Succeeded),
    (Event::StepIntended, Some("s0"), Reason::Succeeded),
    (Event::StepSucceeded, Some("s0"), Reason::Succeeded),
];

/// A run whose second step failed with this reason, and that has turned.
fn failed(reason: Reason) -> Facts {
    let mut records = TWO.to_vec();
    records.push((Event::StepIntended, Some("s1"), Reason::Succeeded));
    records.push((Event::StepFailed, Some("s1"), reason));
    records.push((Event::RunTurned, None, Reason::StepFailed));
    let mut facts = working(&[], vec![]);
    facts.history = Ok(history_with(&records));
    facts
}

#[test]
fn what_others_have_done_is_not_taken_back() {
    let which = |reason| match decide(&failed(reason)) {
        Decision::Step(step) => (step.index, step.way),
        other => panic!("{}", told(&other)),
    };
    assert_eq!(which(Reason::DeadlineExceeded), (1, Way::Back));
    assert_eq!(which(Reason::TargetDrifted), (1, Way::Back));
    assert_eq!(which(Reason::DoneByOthers), (0, Way::Back));
}

#[test]
fn a_short_step_has_more_time_to_be_taken_back() {
    let time = |facts: &Facts| match decide(facts) {
        Decision::Step(step) => step.time,
        other => panic!("{}", told(&other)),
    };
    assert_eq!(time(&failed(Reason::DeadlineExceeded)), 300_000);
}
