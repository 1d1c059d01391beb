//! Floor 3, tests: what becomes of a run in the middle of which people are asked, by what they and their Gate say.

use super::*;
use crate::controllers::orchestration::gather::{Midway, Rest};

const INTENDED: (Event, Option<&str>) = (Event::StepIntended, Some("s0"));

/// A run whose first step asks people, and what is known of its Gate.
fn asking(steps: &[(Event, Option<&str>)], midway: Option<Midway>) -> Facts {
    let mut plan = made(2).plan;
    plan.steps[0].kind = GATE.to_owned();
    plan.steps[0].effect = json!({"rules": [{"role": "lead", "min": 1}], "onTimeout": "Approve"});
    let mut facts = working(steps, vec![]);
    facts.look = Look::Working(Working {
        plan: Ok(Arc::new(plan)),
        frozen: vec![],
        said: BTreeMap::new(),
        midway,
    });
    facts
}

fn known(state: &str, told: bool, rest: Option<Rest>) -> Facts {
    let midway = Midway {
        gate: Some(Box::new(gate(state))),
        told,
        rest,
    };
    asking(&[INTENDED], Some(midway))
}

#[test]
fn a_gate_is_opened_once_and_told_before_anything_follows_from_it() {
    starts(&asking(&[], None), "Opens 0 false");
    starts(&asking(&[INTENDED], None), "Opens 0 true");
    starts(&known("Approved", false, Some(Rest::Same)), "Opens 0 true");
    let gone = Midway {
        gate: None,
        told: true,
        rest: None,
    };
    starts(&asking(&[INTENDED], Some(gone)), "Answered GateGone");
}

#[test]
fn it_goes_on_only_as_people_say_and_only_with_what_they_approved() {
    let same = || Some(Rest::Same);
    starts(
        &known("Open", true, None),
        "Wait Approve AwaitingApproval: Gate",
    );
    starts(
        &known("Rejected", true, None),
        "Answered Rejected: rejected by bob",
    );
    starts(&known("Expired", true, None), "Answered Expired");
    starts(&known("Superseded", true, None), "Answered Superseded");
    starts(&known("Cancelled", true, None), "Answered Cancelled");
    starts(&known("Approved", true, same()), "Agreed 0: approved");
    starts(&known("Approved", true, None), "Wait Execute Running");
    let differs = Some(Rest::Differs);
    starts(
        &known("Approved", true, differs),
        "Answered Superseded: what is left",
    );
    let void = Some(Rest::Void("votes".to_owned()));
    starts(
        &known("Approved", true, void),
        "Answered Superseded: the approval does not hold",
    );
    let doubt = || {
        vec![Obstacle::unknown(
            Reason::DryRunUnavailable,
            "a webhook is away",
        )]
    };
    let doubtful = known("Approved", true, Some(Rest::Obstructed(doubt())));
    starts(
        &doubtful,
        "Wait Approve DryRunUnavailable: approved; what is left",
    );
    // However long it has waited since people approved.
    let since = |second| {
        let mut doubtful = known("Approved", true, Some(Rest::Obstructed(doubt())));
        doubtful.now = at(100 + 9 * 3600);
        in_doubt(doubtful, second)
    };
    starts(&since(101 + 8 * 3600), "Wait Approve DryRunUnavailable");
    starts(
        &since(100 + 8 * 3600),
        "Answered Superseded: what is left cannot be planned",
    );
    let refused = vec![Obstacle::fail(Reason::AccessDenied, "no")];
    let refused = known("Approved", true, Some(Rest::Obstructed(refused)));
    starts(
        &refused,
        "Answered Superseded: what is left cannot be planned",
    );
    let mut suspended = known("Approved", true, None);
    suspended.spec.suspend = Some(true);
    starts(
        &suspended,
        "Wait Execute Suspended: suspended after the Gate of step s0",
    );
}
