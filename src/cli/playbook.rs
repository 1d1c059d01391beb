//! Floor 3: `neuralops playbook …`: what an author does before a cluster sees a Playbook. It runs the very linter and
//! canonicaliser of the operator; nothing here needs a network.

use std::path::{Path, PathBuf};

use kube::CustomResourceExt as _;
use serde_json::Value;

use crate::{
    api::{API_VERSION, strict::violations, v1alpha1::Playbook},
    domain::{
        document::{Document, NotCanonical},
        lint::{Position, Severity, lint},
    },
};

/// Work on a Playbook file.
#[derive(clap::Subcommand, Debug)]
pub enum PlaybookCommand {
    /// Check a Playbook as the operator does; exits with 1 if it cannot run
    Lint(FileArgs),
    /// Print the digest that a signature is about and that the status shows
    Digest(FileArgs),
}

/// A file and where it is going to be applied.
#[derive(clap::Args, Debug)]
pub struct FileArgs {
    /// The Playbook, as YAML or JSON
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    file: PathBuf,
    /// The namespace, if the file names none
    #[arg(short = 'n', long, default_value = "default")]
    namespace: String,
}

/// A Playbook that cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum PlaybookFileError {
    /// The file is not there.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no YAML.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What and where.
        message: String,
    },
    /// The file is something else.
    #[error("{}: {what}", path.display())]
    NotAPlaybook {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// The linter found errors; they are in the message.
    #[error("{path} cannot run; errors: {errors}\n{report}", path = path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Every finding.
        report: String,
        /// How many of them are errors.
        errors: usize,
    },
    /// The document has no canonical bytes.
    #[error("{}", path.display())]
    NotCanonical {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: NotCanonical,
    },
}

/// Runs the command; returns what is to be printed.
pub fn run(command: &PlaybookCommand) -> Result<String, PlaybookFileError> {
    match command {
        PlaybookCommand::Lint(args) => {
            let document = read(args)?;
            check(&args.file, &document)
        }
        PlaybookCommand::Digest(args) => {
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
    }
}

fn check(path: &Path, document: &Document) -> Result<String, PlaybookFileError> {
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

fn read(args: &FileArgs) -> Result<Document, PlaybookFileError> {
    let path = args.file.clone();
    let text = std::fs::read_to_string(&path).map_err(|source| PlaybookFileError::Read {
        path: path.clone(),
        source,
    })?;
    let object: Value =
        serde_saphyr::from_str(&text).map_err(|error| PlaybookFileError::Parse {
            path: path.clone(),
            message: error.to_string(),
        })?;
    let field = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    if field("/apiVersion") != Some(API_VERSION) || field("/kind") != Some("Playbook") {
        let what = format!(
            "not a Playbook of {API_VERSION} but {} {}",
            field("/apiVersion").unwrap_or("?"),
            field("/kind").unwrap_or("?")
        );
        return Err(PlaybookFileError::NotAPlaybook { path, what });
    }
    let Some(name) = field("/metadata/name") else {
        return Err(PlaybookFileError::NotAPlaybook {
            path,
            what: "metadata.name is missing".into(),
        });
    };
    Ok(Document {
        api_version: API_VERSION.to_owned(),
        name: name.to_owned(),
        namespace: field("/metadata/namespace")
            .unwrap_or(&args.namespace)
            .to_owned(),
        spec: object.get("spec").cloned().unwrap_or_default(),
    })
}
