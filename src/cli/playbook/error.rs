//! Floor 3: what can go wrong with a Playbook's file, each with the file's name and what to do.

use std::path::PathBuf;

use crate::{
    adapters::{
        oci::{CredentialsError, OciError},
        verify::SignError,
    },
    domain::{
        document::NotCanonical,
        reason::Reason,
        trust::{AttachError, Refusal},
    },
};

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
    /// A key, a bundle or a policy cannot be used; the message says why.
    #[error("{}: {message}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        message: String,
    },
    /// The file names no namespace, and nobody else does.
    #[error("{} names no namespace: give -n NAMESPACE for a signature that is good there alone, or --any-namespace", .0.display())]
    NoNamespace(PathBuf),
    /// The local key did not sign.
    #[error("could not sign with {}", path.display())]
    Sign {
        /// The key.
        path: PathBuf,
        /// Why.
        #[source]
        source: SignError,
    },
    /// cosign did not sign.
    #[error("could not sign with {program}: {message}")]
    Cosign {
        /// The program.
        program: String,
        /// What went wrong.
        message: String,
    },
    /// A file cannot be written.
    #[error("could not write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no place for a further bundle.
    #[error("could not attach the bundle")]
    Attach(#[source] AttachError),
    /// The file with passwords for registries cannot be used.
    #[error("could not take the passwords for registries")]
    Credentials(#[source] CredentialsError),
    /// A registry, or what lies in it.
    #[error("{reason}: could not {tried}")]
    Registry {
        /// What was tried.
        tried: String,
        /// In a word.
        reason: Reason,
        /// Why.
        #[source]
        source: OciError,
    },
    /// A tag where nothing but a digest can be trusted.
    #[error(
        "{tag} is a tag, and a tag can change; now it names {image}: look at that, and ask for it by its digest"
    )]
    Tag {
        /// What was asked for.
        tag: String,
        /// What it names.
        image: String,
    },
    /// Not trusted.
    #[error("{} is not trusted: {refusal}", path.display())]
    NotTrusted {
        /// The Playbook.
        path: PathBuf,
        /// Why, and everything that was tried.
        refusal: Box<Refusal>,
    },
}
