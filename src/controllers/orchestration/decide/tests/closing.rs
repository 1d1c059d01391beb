//! Floor 3, tests: no end, cancellation or new question leaves anybody asked.

use super::*;

fn closed(decision: &Decision) -> Vec<Closing> {
    let Decision::Finish(end) = decision else {
        panic!("it ends: {decision:?}");
    };
    end.gates.iter().map(|(_, closing)| *closing).collect()
}

#[test]
fn a_cancelled_run_records_what_it_leaves_open() {
    let mut facts = facts(
        spec(&json!({"cancel": true, "cancelledBy": "dave"})),
        begun(&[(Event::StepIntended, Some("s0"))]),
        Look::Cancelled,
    );
    starts(
        &facts,
        "Cancelled Cancelled: cancelled by dave after it had begun: nothing new begins, and nothing is undone",
    );
    let Decision::Finish(end) = decide(&facts) else {
        panic!("it ends");
    };
    let events: Vec<Event> = end.records.iter().map(|draft| draft.fact.code).collect();
    assert_eq!(
        events,
        [Event::RunCancelled, Event::StepFailed, Event::RunFinished]
    );
    assert!(end.stop);
    facts.history = Ok(asked_about());
    facts.gates = vec![gate("Open")];
    starts(
        &facts,
        "Cancelled Cancelled: cancelled by dave before anything was changed",
    );
    let Decision::Finish(end) = decide(&facts) else {
        panic!("it ends");
    };
    assert!(matches!(&end.gates[..], [(_, Closing::Cancelled)]));
}

#[test]
fn no_end_leaves_anybody_asked() {
    // The process ended between the run's end and that of its Gate.
    let mut facts = facts(
        spec(&json!({"cancel": true})),
        asked_about(),
        Look::Ended { planned: None },
    );
    facts.gates = vec![gate("Open"), gate("Superseded")];
    let ends = |outcome: Outcome| {
        let mut history = history(&[(Event::RunPlanned, None), (Event::RunFinished, None)]);
        history.finished.as_mut().unwrap().outcome = Some(outcome);
        history
    };
    for (outcome, expected) in [
        (Outcome::Cancelled, Closing::Cancelled),
        (Outcome::Failed, Closing::Superseded),
    ] {
        facts.history = Ok(ends(outcome));
        assert_eq!(closed(&decide(&facts)), [expected], "{outcome:?}");
    }
    // It ended between its Gate and the status that would have told of it, and what was planned is not possible any more.
    let fail = Obstacle::fail(Reason::AccessDenied, "why");
    facts.spec = spec(&json!({}));
    facts.history = Ok(asked_about());
    facts.look = Look::Planning(Box::new(Opening::Planned(Err(vec![fail]))));
    assert_eq!(closed(&decide(&facts)), [Closing::Superseded]);
}

#[test]
fn who_asks_anew_takes_the_old_question_back() {
    let opening = |steps| Opening::Planned(Ok(Box::new(made(steps))));
    let mut facts = planning(opening(2));
    facts.gates = vec![gate("Open"), gate("Cancelled")];
    let outdated = |facts: &Facts| match decide(facts) {
        Decision::Ask(ask) => ask.outdated.len(),
        other => panic!("it asks: {other:?}"),
    };
    assert_eq!(outdated(&facts), 0, "it asks about the same plan");
    facts.look = Look::Planning(Box::new(opening(3)));
    assert_eq!(outdated(&facts), 1);
}
