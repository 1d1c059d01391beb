//! Floor 3: `neuralops playbook attach`: a bundle goes into the next free annotation, after a look at what it is about.
//! A bundle about other bytes is refused here, where its author still sits.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{
    PlaybookFileError,
    file::{PlaybookFile, canonical, text},
};
use crate::{
    adapters::verify,
    domain::{document::Scope, reason::Reason, trust},
};

/// What `--help` ends with.
pub const HELP: &str = "\
Prints the Playbook as JSON with the bundle in neuralops.io/cosign-bundle, or in .2 to .8 for further signers; together
they have at most 48 KiB.

Examples
  neuralops playbook attach -f pb.yaml --bundle pb.sigstore.json | kubectl apply -f -
  neuralops playbook attach -f pb.yaml --bundle first.json | neuralops playbook attach -f - --bundle second.json";

/// Attach a bundle.
#[derive(clap::Args, Debug)]
pub struct AttachArgs {
    /// The Playbook, as YAML or JSON; - reads standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    file: PathBuf,
    /// What `cosign sign-blob --bundle` wrote
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
    /// The namespace, if the file names none
    #[arg(short = 'n', long)]
    namespace: Option<String>,
}

/// Runs the command; returns what is to be printed.
pub fn run(args: &AttachArgs) -> Result<String, PlaybookFileError> {
    let mut file = PlaybookFile::read(&args.file)?;
    let bundle = text(&args.bundle)?;
    check(args, &file, &bundle)?;
    let printed = attach(&args.file, &mut file, bundle.trim())?;
    Ok(printed)
}

/// The Playbook with the bundle, as JSON.
pub(super) fn attach(
    path: &Path,
    file: &mut PlaybookFile,
    bundle: &str,
) -> Result<String, PlaybookFileError> {
    let mut annotations = file.annotations();
    trust::attach(&mut annotations, bundle.to_owned()).map_err(PlaybookFileError::Attach)?;
    let unusable = |message: String| PlaybookFileError::Unusable {
        path: path.to_owned(),
        message,
    };
    let metadata = file
        .object
        .get_mut("metadata")
        .and_then(Value::as_object_mut)
        .ok_or_else(|| unusable("metadata is missing".into()))?;
    metadata.insert("annotations".into(), json!(annotations));
    let text =
        serde_json::to_string_pretty(&file.object).map_err(|error| unusable(error.to_string()))?;
    Ok(text + "\n")
}

/// Whether the bundle is one that can be accepted, and about this document in one of its forms.
fn check(args: &AttachArgs, file: &PlaybookFile, bundle: &str) -> Result<(), PlaybookFileError> {
    let namespace = file.namespace().or(args.namespace.as_deref());
    let document = file.document(namespace.unwrap_or_default());
    let mut scopes = vec![Scope::Anywhere];
    if namespace.is_some() {
        scopes.insert(0, Scope::Namespaced);
    }
    let mut refused = None;
    for scope in scopes {
        let bytes = canonical(&args.file, &document, scope)?;
        match verify::is_about(bundle, &bytes) {
            Ok(()) => return Ok(()),
            Err(attempt) => refused = refused.or(Some(attempt)),
        }
    }
    let Some(attempt) = refused else {
        return Ok(());
    };
    let hint = match (attempt.reason, namespace) {
        (Reason::DigestMismatch, None) => {
            "; the file names no namespace: give the one that was signed with -n"
        }
        (Reason::DigestMismatch, Some(_)) => {
            "; sign what `neuralops playbook canonicalize` prints for this very file"
        }
        _ => "",
    };
    Err(PlaybookFileError::Unusable {
        path: args.bundle.clone(),
        message: format!("{}: {}{hint}", attempt.reason, attempt.message),
    })
}
