//! Floor 3: whether a Gate is one that the run opened. That the run's status names it does not prove it: status and Gate may
//! have been written while no policy kept others from it. Pure.

use super::{
    super::{
        children::{is_owned_by, rule_set},
        gather::{Beginning, Facts},
    },
    opening::shaped_by,
};
use crate::{
    api::v1alpha1::{Gate, OnTimeout},
    controllers::planner::Made,
    domain::digest::Digest,
};

/// Whether it is not. It would be the run's object, bear the name of a set of rules, ask about what is on record as planned, and
/// count nobody who shaped the run. That others are asked than the first is on record too, each time. And where it is known
/// what would run now, it asks by the rules of the Playbook that this is made of.
pub(in crate::controllers::orchestration) fn is_foreign(
    facts: &Facts,
    gate: &Gate,
    beginning: Option<&Beginning>,
) -> bool {
    let subject = &gate.spec.subject;
    let history = facts.history.as_ref().ok();
    let planned = history.and_then(|history| history.planned.as_ref());
    let ours = is_owned_by(&gate.metadata, &facts.run)
        && subject.uid == facts.run.uid
        && planned.is_some_and(|planned| {
            planned.plan.as_str() == subject.plan_digest
                && rule_set(gate, &facts.run, &planned.plan)
                    .is_some_and(|set| is_on_record(facts, set, &planned.plan))
        })
        && gate.spec.requested_by == shaped_by(facts);
    let made = beginning.and_then(|beginning| beginning.made.as_ref()?.as_ref().ok());
    // Of another plan other rules may be right, and it does not run.
    let same = made.filter(|made| made.digest.as_str() == subject.plan_digest);
    !ours || same.is_some_and(|made| !asks_as(facts, gate, made))
}

/// Whether so many sets of rules were asked before.
fn is_on_record(facts: &Facts, set: u32, plan: &Digest) -> bool {
    let history = facts.history.as_ref().ok();
    let escalated = history.into_iter().flat_map(|history| &history.escalated);
    let times = escalated.filter(|about| *about == plan).count();
    usize::try_from(set).is_ok_and(|set| times >= set)
}

/// Whether it asks whom the Playbook names, and does what the Playbook says when nobody answers. Each set of rules has a
/// Gate of its own name.
fn asks_as(facts: &Facts, gate: &Gate, made: &Made) -> bool {
    let set = rule_set(gate, &facts.run, &made.digest).and_then(|set| usize::try_from(set).ok());
    let rules = set.and_then(|set| made.approval.get(set));
    rules.is_some_and(|rules| {
        gate.spec.rules == rules.rules
            && gate.spec.on_timeout == Some(rules.on_timeout.unwrap_or(OnTimeout::Reject))
    })
}
