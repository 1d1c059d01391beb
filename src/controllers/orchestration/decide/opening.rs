//! Floor 3: what becomes of a run that has to be planned. Pure.

use std::time::Duration;

use super::{
    super::{
        gather::{Facts, Opening},
        records,
    },
    Ask, Decision, LONGEST_DOUBT, LONGEST_WAIT, Wait, again, finish, joining, told,
};
use crate::{
    adapters::ledger::Draft,
    api::v1alpha1::{Gate, Mode, PlanVerdict, Suggestion},
    controllers::{planner::Made, settling::is_open},
    domain::{
        plan::{Obstacle, Verdict},
        reason::Reason,
        stage::{Outcome, Stage},
    },
};

/// Before it is asked again which Playbooks fit.
const UNKNOWN: Duration = Duration::from_secs(5);

pub(super) fn planning(facts: &Facts, opening: &Opening) -> Decision {
    let waits = |reason, message: &str| Wait::new(Stage::DryRun, reason, message);
    let unproven = |message: &str| {
        let (outcome, reason) = (Outcome::Failed, Reason::RequesterUnknown);
        finish(facts, Stage::DryRun, outcome, reason, message)
    };
    match opening {
        Opening::Suspended => suspended(facts),
        Opening::Unowned {
            incident,
            instead_of,
        } => joining::owns(incident, instead_of.as_ref()),
        Opening::SameAs(owner) => joining::joins(facts, owner),
        Opening::NoPlaybook { suggestions, again } => {
            no_playbook(facts, suggestions.as_deref(), *again)
        }
        Opening::NoRequester => unproven(
            "spec.requestedBy does not say who asked for it: is the policy orchestration-requester installed?",
        ),
        Opening::Distrusted {
            message,
            lasting: true,
        } => unproven(message),
        Opening::Distrusted { message, .. } => waits(Reason::AdmissionGuardMissing, message)
            .after(Duration::from_secs(5))
            .into(),
        Opening::Planned(Err(obstacles)) => obstructed(facts, obstacles),
        Opening::Planned(Ok(made)) => ask(facts, made),
    }
}

/// Everybody who shaped the run is named in its Gates, and does not decide.
pub(in crate::controllers::orchestration) fn shaped_by(facts: &Facts) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let spec = &facts.spec;
    for name in [
        spec.requested_by.as_ref(),
        spec.selected_by.as_ref(),
        author(facts),
    ]
    .into_iter()
    .flatten()
    {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Whose suggestion it was made from, if it was.
fn author(facts: &Facts) -> Option<&String> {
    let history = facts.history.as_ref().ok();
    let on_record = history.and_then(|history| history.author.as_ref());
    on_record.or(facts.author.as_ref())
}

/// Mode Auto: the expression that allows it without a Gate, or why it is asked about all the same. What somebody suggested
/// while people were asked is theirs to approve, whatever the incident says.
fn auto(facts: &Facts) -> Option<Result<String, String>> {
    let auto = facts.auto.clone()?;
    Some(match author(facts) {
        Some(author) => Err(format!(
            "it is what {author} suggested in a Decision, and that is always asked about"
        )),
        None => auto,
    })
}

fn ask(facts: &Facts, made: &Made) -> Decision {
    if made.approval.is_empty() {
        let message = "the Playbook says nobody who approves";
        let (outcome, reason) = (Outcome::Failed, Reason::Invalid);
        return finish(facts, Stage::DryRun, outcome, reason, message);
    }
    Decision::Ask(Box::new(Ask {
        made: made.clone(),
        requested_by: shaped_by(facts),
        records: records_of(facts, made),
        plan_only: facts.spec.mode == Some(Mode::PlanOnly),
        auto: auto(facts),
        outdated: outdated(facts, made),
    }))
}

/// What was planned has changed since somebody was to be asked about it.
fn outdated(facts: &Facts, made: &Made) -> Vec<Gate> {
    let others = facts
        .gates
        .iter()
        .filter(|gate| is_open(gate) && gate.spec.subject.plan_digest != made.digest.as_str());
    others.cloned().collect()
}

fn records_of(facts: &Facts, made: &Made) -> Vec<Draft> {
    let mut records = vec![records::requested(facts)];
    records.extend(
        facts
            .author
            .as_deref()
            .map(|author| records::suggested(facts, author)),
    );
    records.push(records::planned(facts, made));
    if let Some(Ok(expression)) = auto(facts) {
        records.push(records::allowed(facts, made, &expression));
    }
    records
}

/// No run goes back to choosing a Playbook, so one that has none is not told to be further than that.
fn suspended(facts: &Facts) -> Decision {
    let (stage, then) = if facts.spec.playbook_ref.is_some() {
        (Stage::DryRun, "it is planned")
    } else {
        (Stage::Suggest, "a Playbook is chosen")
    };
    let message = format!("the run is suspended: {then} when suspend is taken back");
    Wait::new(stage, Reason::Suspended, message).into()
}

fn no_playbook(
    facts: &Facts,
    suggestions: Option<&[Suggestion]>,
    again: Option<Duration>,
) -> Decision {
    if facts.age() >= LONGEST_WAIT {
        let message = "nobody took a Playbook within a day";
        let (outcome, reason) = (Outcome::Expired, Reason::NoPlaybook);
        return finish(facts, Stage::Suggest, outcome, reason, message);
    }
    let left = LONGEST_WAIT.saturating_sub(facts.age()).unsigned_abs();
    let left = left.saturating_add(Duration::from_secs(1));
    let known = facts.status.suggestions.as_deref().unwrap_or_default();
    let fit = match suggestions.unwrap_or(known).len() {
        0 => "none of its namespace fits the incident: neuralops take takes one".to_owned(),
        1 => {
            "one fits the incident: neuralops suggest shows why, neuralops take takes it".to_owned()
        }
        count => format!(
            "{count} fit the incident: neuralops suggest shows why, neuralops take takes one"
        ),
    };
    let message = format!("the run names no Playbook, and {fit}");
    let wait = Wait::new(Stage::Suggest, Reason::NoPlaybook, message);
    let wait = match suggestions {
        Some(suggestions) => Wait {
            suggestions: Some(suggestions.to_vec()),
            ..wait.after(again.map_or(left, |again| again.min(left)))
        },
        None => wait.after(UNKNOWN),
    };
    wait.into()
}

/// Something stands in the way of a plan: for good, or as far as is known now.
fn obstructed(facts: &Facts, obstacles: &[Obstacle]) -> Decision {
    let Some(worst) = obstacles.iter().max_by_key(|obstacle| obstacle.verdict) else {
        return Wait::new(Stage::DryRun, Reason::InternalError, "nothing was planned").into();
    };
    let message = told(obstacles, worst.verdict);
    let end = |verdict, message: &str| {
        let (outcome, reason) = (Outcome::Failed, worst.reason);
        let mut end = finish(facts, Stage::DryRun, outcome, reason, message);
        if let Decision::Finish(finish) = &mut end {
            finish.verdict = Some(verdict);
        }
        end
    };
    if worst.verdict == Verdict::Fail {
        return end(PlanVerdict::Fail, &message);
    }
    let doubt = facts.doubt();
    if doubt >= LONGEST_DOUBT {
        let message = format!("not known for an hour: {message}");
        return end(PlanVerdict::Unknown, &message);
    }
    let mut wait = Wait::new(Stage::DryRun, worst.reason, message).after(again(doubt));
    wait.verdict = Some(PlanVerdict::Unknown);
    wait.doubted().into()
}
