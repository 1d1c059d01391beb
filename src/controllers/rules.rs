//! Floor 3: whether a document keeps the rules that can be checked without a cluster, as conditions and plans tell it. Pure.

use crate::{
    api::v1alpha1::PlaybookSpec,
    domain::{
        document::Document,
        lint::{Finding, Severity},
        reason::Reason,
        trust::Refusal,
    },
};

/// What a message shows of many findings; the command `playbook lint` shows all.
const FINDINGS_SHOWN: usize = 12;

/// What the author should look at.
pub type Warnings = Vec<String>;

/// Whether a document keeps them, with what its author should look at; or what it breaks.
pub fn keeps(
    document: &Document,
    lint: fn(&Document) -> Vec<Finding>,
) -> Result<Warnings, Refusal> {
    let findings = lint(document);
    let errors: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    if let Some(first) = errors.first() {
        return Err(Refusal::new(first.reason, summary(&errors)));
    }
    // The API server has checked the schema; what does not fit now was let in by an altered CRD.
    if let Err(error) = serde_json::from_value::<PlaybookSpec>(document.spec.clone()) {
        let message = format!("spec does not fit the kind Playbook: {error}; was the CRD altered?");
        return Err(Refusal::new(Reason::Undecodable, message));
    }
    Ok(findings.iter().map(ToString::to_string).collect())
}

fn summary(errors: &[&Finding]) -> String {
    let mut parts: Vec<String> = errors
        .iter()
        .take(FINDINGS_SHOWN)
        .map(ToString::to_string)
        .collect();
    if let Some(more) = errors
        .len()
        .checked_sub(FINDINGS_SHOWN)
        .filter(|more| *more > 0)
    {
        parts.push(format!(
            "and {more} more: neuralops playbook lint shows all"
        ));
    }
    parts.join("; ")
}
