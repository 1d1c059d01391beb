//! Floor 3: what is recorded about a run, each transition under an id of its own, so that a pass that is repeated records
//! nothing twice. Pure; when something is recorded is decided elsewhere.

use super::gather::Facts;
use crate::{
    adapters::ledger::Draft,
    api::v1alpha1::Gate,
    controllers::{CONTROLLER, planner::Made, settling::is_by_policy},
    domain::{
        audit::{
            event::Event,
            record::{Actor, Fact, Method, Object, RecordId},
            semantics::AUTO,
        },
        digest::Digest,
        plan::{self, Plan, PlannedStep, RunRef},
        reason::Reason,
        run::Way,
        stage::{Outcome, Stage},
    },
};

/// The run as an object of a record.
pub(super) fn object(run: &RunRef, generation: Option<u64>) -> Object {
    Object {
        generation,
        kind: "Orchestration".into(),
        name: run.name.as_str().into(),
        namespace: Some(run.namespace.as_str().into()),
        uid: run.uid.as_str().into(),
    }
}

fn fact(run: &RunRef, event: Event, parts: &[&str]) -> Fact {
    let id = RecordId::of(&[&[run.uid.as_str(), event.code()], parts].concat());
    let mut fact = Fact::new(id, event, Actor::operator(CONTROLLER));
    fact.object = Some(object(run, None));
    fact
}

/// The record that says that the run with this uid was asked for.
pub(super) fn requested_id(uid: &str) -> RecordId {
    RecordId::of(&[uid, Event::RunRequested.code()])
}

fn person(name: &str) -> Actor {
    Actor {
        method: Method::ApiServer,
        ..Actor::operator(name)
    }
}

fn with(fact: Fact, details: String) -> Draft {
    Draft {
        fact,
        details: Some(details),
        notice: None,
    }
}

/// It was asked for, by whom its spec says; admission has proven that.
pub(super) fn requested(facts: &Facts) -> Draft {
    let mut fact = fact(&facts.run, Event::RunRequested, &[]);
    fact.actor = facts
        .spec
        .requested_by
        .as_deref()
        .map_or_else(|| Actor::operator(CONTROLLER), person);
    fact.object = Some(object(&facts.run, Some(facts.generation)));
    fact.stage = Some(facts.stage().as_str().into());
    let summary = facts.spec.incident.summary.clone().unwrap_or_default();
    with(fact, summary)
}

/// It is made from what somebody suggested in a Decision.
pub(super) fn suggested(facts: &Facts, author: &str) -> Draft {
    let mut fact = fact(&facts.run, Event::RunSuggested, &[]);
    fact.actor = person(author);
    let from = facts.spec.from.as_ref();
    let decision = from.and_then(|from| from.decision_uid.as_deref());
    fact.decisions = decision.into_iter().map(Into::into).collect();
    fact.into()
}

/// It was dry-run into this plan.
pub(super) fn planned(facts: &Facts, made: &Made) -> Draft {
    let mut fact = fact(&facts.run, Event::RunPlanned, &[made.digest.as_str()]);
    fact = fact.outcome(Reason::Planned);
    fact.stage = Some(Stage::DryRun.as_str().into());
    about_plan(&mut fact, made);
    with(fact, plan::summary(&made.plan))
}

fn about_plan(fact: &mut Fact, made: &Made) {
    fact.plan_digest = Some(made.digest.clone());
    fact.playbook_digest = Some(made.plan.playbook.digest.clone());
    fact.policy_digest = Some(made.plan.policy_digest.clone());
}

/// The deadline of a Gate has passed, and the next set of rules is asked about the same plan.
pub(super) fn escalated(facts: &Facts, made: &Made, expired: &Gate) -> Draft {
    let uid = expired.metadata.uid.as_deref().unwrap_or_default();
    let mut fact = fact(&facts.run, Event::RunEscalated, &[uid]).outcome(Reason::Expired);
    fact.stage = Some(Stage::Approve.as_str().into());
    about_plan(&mut fact, made);
    fact.gate = Some(uid.into());
    fact.into()
}

/// The signed Playbook allows it without a Gate: which document, and what it says that held over the incident.
pub(super) fn allowed(facts: &Facts, made: &Made, expression: &str) -> Draft {
    let mut fact = fact(&facts.run, Event::RunAllowed, &[made.digest.as_str()]);
    fact = fact.outcome(Reason::AutoAllowed);
    fact.stage = Some(Stage::DryRun.as_str().into());
    about_plan(&mut fact, made);
    fact.expression = Some(expression.into());
    with(
        fact,
        format!("it holds over the incident that {expression}"),
    )
}

/// What the Playbook allows begins, and nobody was asked.
pub(super) fn started_by_policy(facts: &Facts, made: &Made) -> Draft {
    let mut fact = fact(&facts.run, Event::RunStarted, &[]);
    fact.outcome = Some(AUTO.into());
    fact.stage = Some(Stage::Execute.as_str().into());
    about_plan(&mut fact, made);
    let allowed = [
        &facts.run.uid,
        Event::RunAllowed.code(),
        made.digest.as_str(),
    ];
    fact.cause = Some(RecordId::of(&allowed));
    match &facts.spec.released_by {
        Some(by) => with(fact, format!("released by {by}")),
        None => fact.into(),
    }
}

/// What was approved begins; by which Gate, and by whose decisions.
pub(super) fn started(facts: &Facts, made: &Made, gate: &Gate) -> Draft {
    let mut fact = fact(&facts.run, Event::RunStarted, &[]);
    fact = fact.outcome(if is_by_policy(gate) {
        Reason::ApprovedByPolicy
    } else {
        Reason::Approved
    });
    fact.stage = Some(Stage::Execute.as_str().into());
    about_plan(&mut fact, made);
    fact.gate = gate.metadata.uid.as_deref().map(Into::into);
    let counted = gate
        .status
        .as_ref()
        .and_then(|status| status.decisions.as_ref());
    fact.decisions = counted
        .into_iter()
        .flatten()
        .filter_map(|decision| decision.uid.as_deref().map(Into::into))
        .collect();
    let released = facts.spec.released_by.as_ref();
    match released {
        Some(by) => with(fact, format!("released by {by}")),
        None => fact.into(),
    }
}

/// Something keeps it from going on; recorded once for each cause.
pub(super) fn held(facts: &Facts, reason: Reason, cause: &str, message: &str) -> Draft {
    let fact = fact(&facts.run, Event::RunHeld, &[reason.as_str(), cause]).outcome(reason);
    with(fact, message.to_owned())
}

/// An effect is about to happen, or to be taken back.
pub(super) fn intended(
    run: &RunRef,
    plan: &Digest,
    step: &PlannedStep,
    (way, attempt): (Way, u32),
) -> Draft {
    let number = attempt.to_string();
    let mut fact = fact(run, way.intended(), &[&step.name, &number]);
    about_step(&mut fact, &step.name, attempt);
    fact.plan_digest = Some(plan.clone());
    fact.effect = step.digest().ok();
    fact.into()
}

/// The intent of a step that asks people: its stage says so, and its success has to name their approval.
pub(super) fn asking(mut intent: Draft) -> Draft {
    intent.fact.stage = Some(Stage::Approve.as_str().into());
    intent
}

/// What people, or a deadline, decided in the middle of a run.
pub(super) fn answered(
    run: &RunRef,
    (step, attempt): (&str, u32),
    (plan, digest, gate): (&Plan, &Digest, Option<&Gate>),
    ended: Result<(), Reason>,
    message: &str,
) -> Draft {
    let mut draft = step_ended(run, (Way::Forth, step, attempt), ended, message);
    let fact = &mut draft.fact;
    fact.stage = Some(Stage::Approve.as_str().into());
    fact.plan_digest = Some(digest.clone());
    fact.playbook_digest = Some(plan.playbook.digest.clone());
    fact.gate = gate.and_then(|gate| gate.metadata.uid.as_deref().map(Into::into));
    if ended.is_ok() {
        let by_policy = gate.is_some_and(is_by_policy);
        let reason = if by_policy {
            Reason::ApprovedByPolicy
        } else {
            Reason::Approved
        };
        fact.outcome = Some(reason.as_str().into());
    }
    draft
}

/// What an attempt was to do has begun outside.
pub(super) fn underway(run: &RunRef, step: &str, attempt: u32, message: &str) -> Draft {
    let number = attempt.to_string();
    let mut fact = fact(run, Event::StepUnderway, &[step, &number]);
    about_step(&mut fact, step, attempt);
    with(fact, message.to_owned())
}

/// It failed, and what it did is taken back.
pub(super) fn turned(facts: &Facts, plan: &Digest, reason: Reason, message: &str) -> Draft {
    let mut fact = fact(&facts.run, Event::RunTurned, &[]).outcome(reason);
    fact.stage = Some(Stage::Execute.as_str().into());
    fact.plan_digest = Some(plan.clone());
    with(fact, message.to_owned())
}

/// An attempt has come to its end.
pub(super) fn step_ended(
    run: &RunRef,
    (way, step, attempt): (Way, &str, u32),
    ended: Result<(), Reason>,
    message: &str,
) -> Draft {
    let number = attempt.to_string();
    let (event, reason) = match ended {
        Ok(()) => (way.succeeded(), Reason::Succeeded),
        Err(reason) => (way.failed(), reason),
    };
    let mut fact = fact(run, event, &[step, &number]).outcome(reason);
    about_step(&mut fact, step, attempt);
    with(fact, message.to_owned())
}

fn about_step(fact: &mut Fact, step: &str, attempt: u32) {
    fact.stage = Some(Stage::Execute.as_str().into());
    fact.step = Some(step.into());
    fact.attempt = Some(attempt);
}

/// An attempt that was begun is not gone on with; what came of it is not known.
pub(super) fn step_cut_off(facts: &Facts, attempt: (Way, &str, u32), reason: Reason) -> Draft {
    let message = "it was begun and is not gone on with; what came of it is not known";
    step_ended(&facts.run, attempt, Err(reason), message)
}

/// Somebody cancelled it; by whom its spec says, if it does.
pub(super) fn cancelled(facts: &Facts, by: Option<&str>) -> Draft {
    let mut fact = fact(&facts.run, Event::RunCancelled, &[]).outcome(Reason::Cancelled);
    if let Some(by) = by {
        fact.actor = person(by);
    }
    fact.stage = Some(facts.stage().as_str().into());
    fact.into()
}

/// It has come to its end.
pub(super) fn finished(
    facts: &Facts,
    from: Stage,
    (outcome, reason): (Outcome, Reason),
    message: &str,
) -> Draft {
    let mut fact = fact(&facts.run, Event::RunFinished, &[]);
    fact.outcome = Some(outcome.as_str().into());
    fact.reason = Some(reason.as_str().into());
    fact.stage = Some(from.as_str().into());
    let history = facts.history.as_ref().ok();
    let started = history.and_then(|history| history.started.as_ref());
    fact.plan_digest = started.map(|started| started.plan.clone());
    with(fact, message.to_owned())
}

/// Its object is gone, and nothing of it goes on.
pub(super) fn gone(run: &RunRef) -> Draft {
    fact(run, Event::RunGone, &[])
        .outcome(Reason::RunDeleted)
        .into()
}

#[cfg(test)]
mod tests;
