//! Floor 3: the end of a run, whoever brought it about: what is recorded of it then, and who need not answer any more. Pure.

use super::{
    super::{
        gather::{Facts, Planned},
        records,
    },
    Decision, Finish,
};
use crate::{
    adapters::ledger::Draft,
    api::v1alpha1::Gate,
    controllers::settling::{Closing, is_open},
    domain::{
        reason::Reason,
        run::{History, Way},
        stage::{Outcome, Stage},
    },
};

/// An end that goes on record before anything follows from it.
pub(super) fn finish(
    facts: &Facts,
    from: Stage,
    outcome: Outcome,
    reason: Reason,
    message: &str,
) -> Decision {
    let mut records = first(facts);
    records.push(records::finished(facts, from, (outcome, reason), message));
    Decision::Finish(Box::new(Finish {
        from,
        outcome,
        reason,
        message: message.to_owned(),
        records,
        stop: false,
        gates: unanswered(facts, outcome),
        verdict: None,
        planned: None,
    }))
}

/// Who asked for it comes before whatever else is recorded of it.
fn first(facts: &Facts) -> Vec<Draft> {
    let history = facts.history.as_ref();
    if history.is_ok_and(|history| !history.requested) {
        vec![records::requested(facts)]
    } else {
        Vec::new()
    }
}

fn reason_of(outcome: Outcome) -> Reason {
    match outcome {
        Outcome::Succeeded => Reason::Succeeded,
        Outcome::Failed | Outcome::Compensated | Outcome::CompensationFailed => Reason::StepFailed,
        Outcome::Rejected => Reason::Rejected,
        Outcome::Expired => Reason::Expired,
        Outcome::Cancelled => Reason::Cancelled,
        Outcome::Superseded => Reason::Superseded,
        Outcome::Joined => Reason::Joined,
        Outcome::Planned => Reason::Planned,
    }
}

/// The records tell of the end; what they came to is all that is known of it.
pub(super) fn ended(facts: &Facts, history: &History, planned: Option<&Planned>) -> Decision {
    let finished = history.finished.as_ref();
    let outcome = finished.and_then(|finished| finished.outcome);
    let outcome = outcome.unwrap_or(Outcome::Failed);
    let reason = finished.and_then(|finished| finished.reason);
    Decision::Finish(Box::new(Finish {
        from: facts.stage(),
        outcome,
        reason: reason.unwrap_or_else(|| reason_of(outcome)),
        message: format!(
            "{}; the operator was interrupted when it came to its end, its records tell the rest",
            outcome.as_str()
        ),
        records: Vec::new(),
        stop: true,
        gates: unanswered(facts, outcome),
        verdict: None,
        planned: planned.cloned(),
    }))
}

/// Somebody stopped it: what was begun is cut off, and says so.
pub(super) fn cancelled(facts: &Facts, history: &History) -> Decision {
    let forth = history.open_attempts().map(|open| (Way::Forth, open));
    let back = history.open_undos().map(|open| (Way::Back, open));
    let open = forth.chain(back);
    let open = open.map(|(way, (step, attempt))| (way, step, attempt.number));
    let by = facts.spec.cancelled_by.as_deref();
    let who = by.map_or_else(|| "somebody".to_owned(), ToOwned::to_owned);
    let message = if history.turned.is_some() {
        format!("cancelled by {who} on the way back: nothing else is taken back")
    } else if facts.has_effects() {
        format!("cancelled by {who} after it had begun: nothing new begins, and nothing is undone")
    } else {
        format!("cancelled by {who} before anything was changed")
    };
    let mut records = first(facts);
    if !history.cancelled {
        records.push(records::cancelled(facts, by));
    }
    records.extend(open.map(|open| records::step_cut_off(facts, open, Reason::Cancelled)));
    let from = facts.stage();
    records.push(records::finished(
        facts,
        from,
        (Outcome::Cancelled, Reason::Cancelled),
        &message,
    ));
    Decision::Finish(Box::new(Finish {
        from,
        outcome: Outcome::Cancelled,
        reason: Reason::Cancelled,
        message,
        records,
        stop: true,
        gates: unanswered(facts, Outcome::Cancelled),
        verdict: None,
        planned: None,
    }))
}

/// The Gates that still ask when the run comes to this end: whoever answers them would answer for nothing.
fn unanswered(facts: &Facts, outcome: Outcome) -> Vec<(Gate, Closing)> {
    let closing = match outcome {
        Outcome::Cancelled => Closing::Cancelled,
        _ => Closing::Superseded,
    };
    let open = facts.gates.iter().filter(|gate| is_open(gate));
    open.map(|gate| (gate.clone(), closing)).collect()
}
