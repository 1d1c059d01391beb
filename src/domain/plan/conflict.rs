//! Floor 0: steps of one plan that stand in each other's way. Each was planned against the object as it is now, so two
//! that write the same field would not do what was shown; but one that begins where the other ends was planned on top of
//! it. Pure.

use super::{Access, Change, Obstacle, PlannedStep, Target};
use crate::domain::reason::Reason;

/// Two steps that write the same, each pair once.
pub fn conflicts(steps: &[PlannedStep]) -> Vec<Obstacle> {
    let mut found = Vec::new();
    for (index, later) in steps.iter().enumerate() {
        for earlier in steps.iter().take(index) {
            if let Some(what) = overlap(earlier, later) {
                let message = format!(
                    "steps {} and {} {what}: each was planned against the object as it is now; make one step of them",
                    earlier.name, later.name
                );
                found.push(Obstacle::fail(Reason::TargetTwice, message));
            }
        }
    }
    found
}

fn written(step: &PlannedStep) -> impl Iterator<Item = &Target> {
    step.targets
        .iter()
        .filter(|target| target.access == Access::Writes)
}

fn overlap(earlier: &PlannedStep, later: &PlannedStep) -> Option<String> {
    let shared =
        written(earlier).find(|one| written(later).any(|other| one.key() == other.key()))?;
    if earlier.kind == "apply" && later.kind == "apply" {
        return Some(format!("both apply {}", shared.shown()));
    }
    let both = earlier.changes.iter().find_map(|one| {
        let mut others = later.changes.iter();
        let other = others.find(|other| covers(&one.path, &other.path) && !goes_on(one, other))?;
        Some(if one.path.len() > other.path.len() {
            &one.path
        } else {
            &other.path
        })
    });
    both.map(|path| format!("both write {path} of {}", shared.shown()))
}

/// Whether the later change begins with what the earlier one leaves. Two that were both planned against the object as it
/// is begin alike, so this cannot be so by accident.
fn goes_on(earlier: &Change, later: &Change) -> bool {
    earlier.alters() && earlier.path == later.path && earlier.to == later.from
}

/// Whether one place lies in the other, or is the same.
fn covers(one: &str, other: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    within(one, other) || within(other, one)
}
