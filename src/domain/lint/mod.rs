//! Floor 0: the linter of Playbooks. It reads the raw spec, so that every finding has a precise position and nothing
//! an author wrote is lost on the way. It refuses what could never be planned; what needs a cluster is the planner's.

mod parameters;
mod position;
mod secrets;
mod steps;
mod structure;
mod substitution;
mod targets;
mod values;

use serde_json::Value;

pub use position::Position;
pub use structure::STEP_KINDS;
pub use targets::forbidden;

use super::{
    document::{Document, LARGEST_SOURCED_SPEC, LARGEST_SPEC},
    reason::Reason,
};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The Playbook cannot run.
    Error,
    /// It can, but the author should look.
    Warning,
}

/// One thing that is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// The word for conditions and metrics.
    pub reason: Reason,
    /// Where in the document.
    pub position: Position,
    /// What is wrong and what to do.
    pub message: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.position, self.message)
    }
}

/// What one look can find.
const MOST_FINDINGS: usize = 100;

/// Collects findings; the rules only ever add.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn error(&mut self, position: &Position, message: impl Into<String>) {
        self.add(Severity::Error, Reason::Invalid, position, message);
    }

    fn warning(&mut self, position: &Position, message: impl Into<String>) {
        self.add(Severity::Warning, Reason::Invalid, position, message);
    }

    fn add(
        &mut self,
        severity: Severity,
        reason: Reason,
        position: &Position,
        message: impl Into<String>,
    ) {
        // Nobody reads more, and a document of nothing but mistakes must not cost more than one of none.
        if self.0.len() >= MOST_FINDINGS {
            return;
        }
        self.0.push(Finding {
            severity,
            reason,
            position: position.clone(),
            message: message.into(),
        });
    }
}

/// Everything that is wrong with a Playbook, errors first, each at its position.
pub fn lint(document: &Document) -> Vec<Finding> {
    lint_within(document, LARGEST_SPEC)
}

/// The same for a document that comes out of an artifact, which the API server need not hold.
pub fn lint_sourced(document: &Document) -> Vec<Finding> {
    lint_within(document, LARGEST_SOURCED_SPEC)
}

fn lint_within(document: &Document, largest: usize) -> Vec<Finding> {
    let mut findings = Findings::default();
    let spec = Position::root("spec");
    // First of all: everything below takes time and memory with the size of the document.
    if !check_size(document, largest, &spec, &mut findings) {
        return findings.0;
    }
    values::check(&document.spec, &spec, &mut findings);
    secrets::check(&document.spec, &spec, &mut findings);
    structure::check(&document.spec, &spec, &mut findings);
    let declared = parameters::check(
        document.spec.get("parameters"),
        &spec.key("parameters"),
        &mut findings,
    );
    let used = substitution::check(&document.spec, &declared, &mut findings);
    let steps = document.spec.get("steps").and_then(Value::as_array);
    for (name, position) in declared.positions() {
        let read = || steps.is_some_and(|steps| steps::read(steps, name));
        if !used.contains(name) && !read() {
            findings.warning(position, format!("the parameter {name} is never used"));
        }
    }
    if let Some(steps) = steps {
        secrets::variables(steps, &spec.key("steps"), &mut findings);
        steps::check(steps, document, &spec.key("steps"), &mut findings);
    }
    findings.0.sort_by_key(|finding| finding.severity);
    findings.0
}

/// What keeps the document from having canonical bytes of its own: too large, or a value with two meanings.
/// Whoever compares or verifies those bytes asks this first, whatever else the linter would say.
pub fn uncertain_bytes(document: &Document) -> Option<Finding> {
    uncertain_within(document, LARGEST_SPEC)
}

/// The same for a document that comes out of an artifact.
pub fn uncertain_sourced_bytes(document: &Document) -> Option<Finding> {
    uncertain_within(document, LARGEST_SOURCED_SPEC)
}

fn uncertain_within(document: &Document, largest: usize) -> Option<Finding> {
    let mut findings = Findings::default();
    let spec = Position::root("spec");
    if check_size(document, largest, &spec, &mut findings) {
        values::check(&document.spec, &spec, &mut findings);
    }
    findings.0.into_iter().next()
}

/// Whether the document is small enough to be looked at.
fn check_size(
    document: &Document,
    largest: usize,
    spec: &Position,
    findings: &mut Findings,
) -> bool {
    let advice = if largest == LARGEST_SPEC {
        "split it, or push it as an artifact and use source"
    } else {
        "split it"
    };
    match document.spec_size() {
        Ok(size) if size > largest => findings.add(
            Severity::Error,
            Reason::PlaybookTooLarge,
            spec,
            format!("the canonical spec has {size} bytes, {largest} are allowed; {advice}"),
        ),
        Ok(_) => return true,
        Err(error) => findings.error(spec, format!("{error}: {}", error.0)),
    }
    false
}

#[cfg(test)]
mod tests;
