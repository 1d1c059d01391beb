//! Floor 3: `neuralops playbook lint` and `digest`: the operator's own linter and canonical form.

use std::path::Path;

use kube::CustomResourceExt as _;

use super::{
    PlaybookFileError,
    file::{FileArgs, read},
};
use crate::{
    api::{strict::violations, v1alpha1::Playbook},
    domain::{
        document::Document,
        lint::{Finding, Position, Severity, lint},
    },
};

/// Runs `lint`; returns what is to be printed.
pub fn run(args: &FileArgs) -> Result<String, PlaybookFileError> {
    let document = read(args)?;
    check(&args.file, &document)
}

/// Runs `digest`; returns what is to be printed.
pub fn digest(args: &FileArgs) -> Result<String, PlaybookFileError> {
    let document = read(args)?;
    check(&args.file, &document)?;
    let digest = document
        .digest()
        .map_err(|source| PlaybookFileError::NotCanonical {
            path: args.file.clone(),
            source,
        })?;
    Ok(format!("{digest}\n"))
}

/// Refuses what the operator would not run.
pub(super) fn check(path: &Path, document: &Document) -> Result<String, PlaybookFileError> {
    check_with(path, document, lint)
}

/// The same with one of the linter's limits.
pub(super) fn check_with(
    path: &Path,
    document: &Document,
    lint: fn(&Document) -> Vec<Finding>,
) -> Result<String, PlaybookFileError> {
    let findings = lint(document);
    let mut errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count();
    let mut report: String = findings
        .iter()
        .map(|finding| {
            let word = if finding.severity == Severity::Error {
                "error"
            } else {
                "warning"
            };
            format!("{word}: {finding}\n")
        })
        .collect();
    // An unknown field would be pruned silently by the API server, and the signature would die with it.
    for violation in violations(&Playbook::crd(), &document.spec).unwrap_or_default() {
        report.push_str(&format!(
            "error: {}: {}\n",
            Position::root("spec").pointer(&violation.pointer),
            violation.message
        ));
        errors += 1;
    }
    if errors > 0 {
        return Err(PlaybookFileError::Refused {
            path: path.to_owned(),
            report,
            errors,
        });
    }
    Ok(format!("{report}{}: good\n", path.display()))
}
