//! Floor 0: a plan as people read it: in a sentence, in a screen, and in full. What is shown is made from the plan alone,
//! whose digest is what a decision names; nothing is looked up.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Change, Coverage, OnFailure, Plan, PlannedStep, Undo};

/// What a Gate shows; the whole of it is in the ConfigMap of the plan.
const SHORT: usize = 2048;
/// A value that is longer is cut, and says so.
const LONGEST_VALUE: usize = 240;

/// In a sentence: what is touched, and how much of it is known.
pub fn summary(plan: &Plan) -> String {
    let mut touched: Vec<String> = Vec::new();
    for step in plan.steps.iter().filter(|step| step.writes()) {
        for target in &step.targets {
            let shown = target.shown();
            if !touched.contains(&shown) {
                touched.push(shown);
            }
        }
    }
    let count = plan.steps.len();
    let steps = if count == 1 { "step" } else { "steps" };
    let opaque = plan
        .steps
        .iter()
        .filter(|step| step.coverage == Coverage::Opaque);
    let opaque: Vec<&str> = opaque.map(|step| step.name.as_str()).collect();
    let mut text = format!("{count} {steps}");
    if touched.is_empty() {
        text.push_str(", nothing is changed");
    } else {
        let _ = write!(text, ", changes {}", touched.join(", "));
    }
    if !opaque.is_empty() {
        let _ = write!(
            text,
            "; what {} does inside is not known",
            opaque.join(", ")
        );
    }
    cut(&text, 1000)
}

/// The whole of it.
pub fn diff(plan: &Plan) -> String {
    let mut text = format!(
        "Playbook {} revision {} ({})\nas ServiceAccount {} in namespace {}\n",
        plan.playbook.name,
        plan.playbook.revision,
        plan.playbook.digest,
        plan.service_account,
        plan.run.namespace
    );
    for (name, value) in &plan.parameters {
        let _ = writeln!(text, "  {name} = {}", shown(value));
    }
    let _ = writeln!(text, "if it fails, {}", on_failure(plan.on_failure));
    for (index, step) in plan.steps.iter().enumerate() {
        text.push('\n');
        show(&mut text, index + 1, step);
        if step.on_failure != plan.on_failure {
            let _ = writeln!(text, "   if it fails, {}", on_failure(step.on_failure));
        }
    }
    text
}

fn on_failure(then: OnFailure) -> &'static str {
    match then {
        OnFailure::Compensate => "what was done is taken back in reverse order",
        OnFailure::Stop => "what was done stays as it is",
    }
}

/// What was seen while the plan was made, under words that say what it is worth; nothing, if nothing was.
pub fn seen(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut text =
        "\nSeen when it was planned; it may have changed since, and is no part of the plan:\n"
            .to_owned();
    for line in lines {
        let _ = writeln!(text, "   . {line}");
    }
    text
}

/// As much of it as fits into a Gate, with what was seen beside it.
pub fn short_diff(plan: &Plan, beside: &[String]) -> String {
    let whole = diff(plan) + &seen(beside);
    if whole.len() <= SHORT {
        return whole;
    }
    let rest = "\n… the rest is in the plan: neuralops diff shows all of it\n";
    let mut text = cut(&whole, SHORT - rest.len());
    text.push_str(rest);
    text
}

fn show(text: &mut String, number: usize, step: &PlannedStep) {
    let known = match step.coverage {
        Coverage::ServerDryRun => "the API server said what changes",
        Coverage::SchemaOnly => "looks only",
        Coverage::Opaque => "what it does inside is NOT known",
        Coverage::Unplannable => "NOT planned",
    };
    let targets: Vec<String> = step.targets.iter().map(super::Target::shown).collect();
    let _ = writeln!(
        text,
        "{number}. {} ({}) {} [{known}]",
        step.name,
        step.kind,
        targets.join(", ")
    );
    for target in &step.targets {
        if let Some(owner) = &target.owner {
            let _ = writeln!(
                text,
                "   ! {} is owned by {owner}, which may put it back",
                target.shown()
            );
        }
    }
    for change in step.changes.iter().filter(|change| change.alters()) {
        show_change(text, change);
    }
    let already: Vec<&Change> = step.changes.iter().filter(|one| !one.alters()).collect();
    match already.as_slice() {
        [] => {}
        [one] => {
            let value = one.from.as_ref().map(shown).unwrap_or_default();
            let _ = writeln!(text, "   = {}: {value} already", one.path);
        }
        many => {
            let _ = writeln!(text, "   = {} fields are so already", many.len());
        }
    }
    // What has no list of changes is told by what it does.
    if step.changes.is_empty()
        && let Some(effect) = step.effect.as_object()
    {
        for (name, value) in effect {
            // Whoever approves a program sees all of its arguments.
            let _ = writeln!(text, "   {name}: {value}");
        }
    }
    if step.writes() || step.coverage == Coverage::Opaque {
        let undo = match &step.undo {
            Undo::Restore => "put back as it was",
            Undo::Delete => "delete what was made",
            Undo::Recreate { .. } => "make it again as it was",
            Undo::Nothing { why } => why,
        };
        let _ = writeln!(text, "   undo: {undo}");
    }
}

fn show_change(text: &mut String, change: &Change) {
    let path = if change.path.is_empty() {
        "the object"
    } else {
        &change.path
    };
    let _ = match (&change.from, &change.to) {
        (Some(from), Some(to)) => {
            writeln!(text, "   ~ {path}: {} -> {}", shown(from), shown(to))
        }
        (None, Some(to)) => writeln!(text, "   + {path}: {}", shown(to)),
        (Some(from), None) => writeln!(text, "   - {path}: {}", shown(from)),
        (None, None) => Ok(()),
    };
}

fn shown(value: &Value) -> String {
    if value.get("$hmac").is_some() {
        return "(secret)".to_owned();
    }
    cut(&value.to_string(), LONGEST_VALUE)
}

fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = (0..=longest.saturating_sub(4))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    format!("{} …", text.get(..end).unwrap_or_default())
}
