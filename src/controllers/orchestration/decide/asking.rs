//! Floor 3: what becomes of a run that people are asked about: it waits for them, ends as they say, or begins if what they
//! approved is what would run now. Pure.

use std::time::Duration;

use jiff::SignedDuration;

use super::{
    super::{
        children::rule_set,
        gather::{Beginning, Facts},
        records,
        status::waited_for,
    },
    Begin, Decision, LONGEST_DOUBT, LONGEST_WAIT, Wait, again, finish, frozen, told,
};
use crate::{
    api::v1alpha1::{CountedVerdict, Gate, GateState, Mode, OnTimeout, OrchestrationSpec, Start},
    controllers::{planner::Made, settling::is_by_policy},
    domain::{
        plan::{Obstacle, Verdict},
        reason::Reason,
        run::{History, PlannedAs},
        stage::{Outcome, Stage},
    },
    ports::{Limit, Limited},
};

/// Whoever waits in line is called; the time is for the case that nobody does.
const UNHEARD: Duration = Duration::from_secs(60);

pub(super) fn asked(facts: &Facts, gate: &Gate, beginning: Option<&Beginning>) -> Decision {
    let end =
        |outcome, reason, message: &str| finish(facts, Stage::Approve, outcome, reason, message);
    let state = gate.status.as_ref().and_then(|status| status.state);
    match state.unwrap_or(GateState::Open) {
        GateState::Open => {
            let (reason, message) = awaits(facts, gate);
            Wait::new(Stage::Approve, reason, message).into()
        }
        GateState::Rejected => end(Outcome::Rejected, Reason::Rejected, &rejected(gate)),
        GateState::Expired => nobody_decided(facts, ""),
        GateState::Superseded => end(
            Outcome::Superseded,
            Reason::Superseded,
            "the Gate was superseded",
        ),
        GateState::Cancelled => end(
            Outcome::Cancelled,
            Reason::Cancelled,
            "the Gate was cancelled",
        ),
        GateState::Approved => match beginning {
            None => approved_but_waiting(facts),
            Some(beginning) => begin(facts, Approval::Gate(gate), beginning),
        },
    }
}

/// The deadline has passed, and there is nothing that follows from it.
pub(super) fn nobody_decided(facts: &Facts, more: &str) -> Decision {
    let message = format!("not enough people approved before the deadline{more}");
    let (outcome, reason) = (Outcome::Expired, Reason::Expired);
    finish(facts, Stage::Approve, outcome, reason, &message)
}

/// What the signed Playbook allows without a Gate waits for its release, or begins.
pub(super) fn allowed(facts: &Facts, history: &History, beginning: Option<&Beginning>) -> Decision {
    match (beginning, &history.allowed) {
        (Some(beginning), Some(allowed)) => begin(facts, Approval::Policy(allowed), beginning),
        _ => approved_but_waiting(facts),
    }
}

/// By what something may begin.
#[derive(Clone, Copy)]
enum Approval<'a> {
    /// People approved it.
    Gate(&'a Gate),
    /// The signed Playbook allows it, and that is on record.
    Policy(&'a PlannedAs),
}

impl Approval<'_> {
    fn plan(&self) -> &str {
        match self {
            Self::Gate(gate) => &gate.spec.subject.plan_digest,
            Self::Policy(allowed) => allowed.plan.as_str(),
        }
    }

    /// Whether a Gate that its deadline approved asks rules of which the verified Playbook says so.
    fn holds(&self, facts: &Facts, made: &Made) -> bool {
        match self {
            Self::Gate(gate) => !is_by_policy(gate) || lets_lapse(facts, gate, made),
            Self::Policy(_) => true,
        }
    }
}

/// Who is asked; in the words that were written when the Gate was opened, or there would be another write.
fn awaits(facts: &Facts, gate: &Gate) -> (Reason, String) {
    let mut conditions = facts.status.conditions.iter().flatten();
    let refused = conditions
        .find(|one| one.type_ == "Reconciling" && one.reason == Reason::AutoNotAllowed.as_str());
    match refused {
        Some(told) if facts.spec.mode == Some(Mode::Auto) => {
            (Reason::AutoNotAllowed, told.message.clone())
        }
        _ => (Reason::AwaitingApproval, waited_for(gate)),
    }
}

pub(super) fn rejected(gate: &Gate) -> String {
    let counted = gate.status.as_ref();
    let counted = counted.and_then(|status| status.decisions.as_ref());
    let users: Vec<&str> = counted
        .into_iter()
        .flatten()
        .filter(|one| one.verdict == CountedVerdict::Reject)
        .map(|one| one.user.as_str())
        .collect();
    if users.is_empty() {
        "rejected".to_owned()
    } else {
        format!("rejected by {}", users.join(", "))
    }
}

/// Whether an approved run waits for its own people before anything else is looked at.
pub(in crate::controllers::orchestration) fn waits_for_people(
    spec: &OrchestrationSpec,
) -> Option<Reason> {
    if spec.suspend == Some(true) {
        return Some(Reason::Suspended);
    }
    let released = spec.start != Some(Start::OnRelease) || spec.released_by.is_some();
    (!released).then_some(Reason::AwaitingRelease)
}

fn approved_but_waiting(facts: &Facts) -> Decision {
    if waits_for_people(&facts.spec) != Some(Reason::AwaitingRelease) {
        let message = "approved; it begins when suspend is taken back";
        return Wait::approved(Stage::Approve, Reason::Suspended, message).into();
    }
    let age = facts.now.duration_since(facts.status_since_approval());
    if age >= LONGEST_WAIT {
        let message = "approved, but nobody released it within a day";
        let (outcome, reason) = (Outcome::Expired, Reason::AwaitingRelease);
        return finish(facts, Stage::Approve, outcome, reason, message);
    }
    let left = LONGEST_WAIT.saturating_sub(age).unsigned_abs();
    let message = "approved; it begins when somebody sets spec.releasedBy to their own name";
    Wait::approved(Stage::Approve, Reason::AwaitingRelease, message)
        .after(left.saturating_add(Duration::from_secs(1)))
        .into()
}

/// Everything was read live: it begins only if all of it is as it was when people approved.
fn begin(facts: &Facts, approval: Approval<'_>, beginning: &Beginning) -> Decision {
    if let Some(other) = &beginning.successor {
        let message = format!(
            "approved; run {} has taken its place while it was suspended, and wants the same: it begins when that one has ended, if what was approved is still to be done",
            other.name
        );
        // Its end wakes this one; that it is suspended in its turn does not.
        let wait = Wait::approved(Stage::Approve, Reason::IncidentTaken, message);
        return wait.after(UNHEARD).into();
    }
    if let Some(limit) = &beginning.limited {
        return limited(facts, limit).into();
    }
    if let Some(freeze) = beginning.frozen.first() {
        return frozen(facts, Stage::Approve, freeze);
    }
    if let Some(message) = &beginning.release_distrusted {
        let reason = Reason::RequesterUnknown;
        return Wait::approved(Stage::Approve, reason, message.as_str()).into();
    }
    if let Some(Err(why)) = &beginning.recount {
        let message = format!("the approval does not hold any more: {why}");
        return superseded(facts, &message);
    }
    match &beginning.made {
        None => Wait::approved(Stage::Approve, Reason::Running, "it is about to begin")
            .after(Duration::from_secs(1))
            .into(),
        Some(Err(obstacles)) => unplannable_now(
            facts,
            obstacles,
            true,
            "approved; planned again before it begins",
        ),
        Some(Ok(made)) if made.digest.as_str() != approval.plan() => superseded(
            facts,
            "what was approved is not what would run now: Playbook, parameters, policies or targets have changed; nothing was written, ask again",
        ),
        Some(Ok(made)) if !approval.holds(facts, made) => superseded(
            facts,
            "the signed Playbook does not say that the deadline approves it; nothing was written, ask again",
        ),
        Some(Ok(made)) => Decision::Begin(Box::new(Begin {
            record: match approval {
                Approval::Gate(gate) => records::started(facts, made, gate),
                Approval::Policy(_) => records::started_by_policy(facts, made),
            },
            made: made.clone(),
        })),
    }
}

/// Whether the verified Playbook says of the rules that this Gate asks that their deadline approves.
fn lets_lapse(facts: &Facts, gate: &Gate, made: &Made) -> bool {
    let set = rule_set(gate, &facts.run, &made.digest);
    let set = set.and_then(|set| usize::try_from(set).ok());
    let rules = set.and_then(|set| made.approval.get(set));
    rules.is_some_and(|rules| rules.on_timeout == Some(OnTimeout::Approve))
}

/// What is told already of the same limit; where it is known until when, that is told.
fn told_before(facts: &Facts, limited: &Limited, message: &str) -> Option<String> {
    let (limit_words, _) = message
        .split_once(": run ")
        .filter(|_| limited.until.is_none())?;
    let mut conditions = facts.status.conditions.iter().flatten();
    let told = conditions
        .find(|one| one.type_ == "Reconciling" && one.reason == Reason::LimitReached.as_str())?;
    let same = told.message.split_once(": run ");
    same.is_some_and(|(words, _)| words == limit_words)
        .then(|| told.message.clone())
}

/// As many run as may: it waits in line, and says for whom.
pub(in crate::controllers::orchestration) fn limited(facts: &Facts, limited: &Limited) -> Wait {
    let now = facts.now;
    let (allowed, ahead) = (limited.allowed, &limited.by.name);
    let message = match (&limited.limit, limited.until) {
        (Limit::Namespace, _) => format!(
            "approved; {allowed} runs of this namespace run, and the operator allows no more at the same time: run {ahead} goes first, until it ends"
        ),
        (Limit::Playbook, _) => format!(
            "approved; {allowed} runs of its Playbook run, and limits.concurrentRuns allows no more: run {ahead} goes first, until it ends"
        ),
        (Limit::TargetHour(target), until) => {
            let until = until.map_or_else(
                || "goes first".to_owned(),
                |until| format!("is an hour old at {until:.0}"),
            );
            format!(
                "approved; {allowed} runs of its Playbook began on {target} within an hour, and limits.runsPerTargetPerHour allows no more: run {ahead} {until}"
            )
        }
    };
    // Whoever ends is another one for everybody in the line: that is not written to each of them.
    let message = told_before(facts, limited, &message).unwrap_or(message);
    let left = limited.until.map(|until| until.duration_since(now));
    let after = left.map_or(UNHEARD, |left| {
        let left = left.max(SignedDuration::ZERO).unsigned_abs();
        left.saturating_add(Duration::from_secs(1))
    });
    Wait::approved(Stage::Approve, Reason::LimitReached, message).after(after)
}

pub(super) fn superseded(facts: &Facts, message: &str) -> Decision {
    let (outcome, reason) = (Outcome::Superseded, Reason::Superseded);
    finish(facts, Stage::Approve, outcome, reason, message)
}

/// What was asked about cannot be planned again: for good, or as far as is known now, and that for a time.
pub(super) fn unplannable_now(
    facts: &Facts,
    obstacles: &[Obstacle],
    approved: bool,
    when: &str,
) -> Decision {
    let worst = obstacles.iter().max_by_key(|obstacle| obstacle.verdict);
    let verdict = worst.map_or(Verdict::Unknown, |worst| worst.verdict);
    let reason = worst.map_or(Reason::DryRunUnavailable, |worst| worst.reason);
    let message = told(obstacles, verdict);
    let doubt = facts.doubt();
    if verdict == Verdict::Fail || doubt >= LONGEST_DOUBT {
        let message = format!("it cannot be planned any more as it was asked about: {message}");
        return superseded(facts, &message);
    }
    let message = format!("{when}, and that is not possible now: {message}");
    let mut wait = Wait::new(Stage::Approve, reason, message).after(again(doubt));
    wait.approved = approved;
    wait.doubted().into()
}
