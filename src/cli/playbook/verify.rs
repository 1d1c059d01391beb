//! Floor 3: `neuralops playbook verify`: the operator's own question and answer, from files and, for artifacts and images,
//! from the registry that holds them.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    PlaybookFileError,
    file::{PlaybookFile, text},
    policies, registry,
};
use crate::{
    adapters::{clock, oci::Reference, verify::PreparedPolicy},
    domain::{
        document::{Document, Scope},
        trust::{
            self, AppliedPolicy, Refusal, SignedKind, Signer, Verified, VerifiedImage,
            accepts_legacy, source_image, verify_image, verify_playbook, verify_sourced,
        },
    },
};

/// What `--help` ends with.
pub const HELP: &str = "\
No network is needed, and none is used, but for --image and for a Playbook with a source: the signatures of those lie in a
registry. Give every TrustPolicy of the cluster: all that are about the Playbook must be satisfied. Keys and trusted roots
that lie in ConfigMaps are read from --config-map.

Examples
  neuralops playbook verify -f signed.json --policy trustpolicy.yaml
  neuralops playbook verify -f pb.yaml -n shop --bundle pb.sigstore.json --policy trustpolicy.yaml --config-map root.yaml
  neuralops playbook verify --image registry.example/tools@sha256:… -n shop --policy trustpolicy.yaml
  kubectl get trustpolicies -o json > policies.json
  kubectl -n shop get playbook drain -o json | neuralops playbook verify -f - --policy policies.json";

/// Verify a Playbook.
#[derive(clap::Args, Debug)]
pub struct VerifyArgs {
    /// The Playbook with its annotations, as YAML or JSON; - reads standard input
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "FILE",
        required_unless_present = "image"
    )]
    file: Option<PathBuf>,
    /// An image of a step instead, by its digest: REGISTRY/REPOSITORY@DIGEST
    #[arg(long, value_name = "REF", conflicts_with_all = ["file", "bundles"])]
    image: Option<Reference>,
    /// The namespace, if the file names none
    #[arg(short = 'n', long)]
    namespace: Option<String>,
    /// TrustPolicies; may be given several times
    #[arg(long = "policy", value_name = "FILE", required = true)]
    policies: Vec<PathBuf>,
    /// ConfigMaps that the policies refer to; may be given several times
    #[arg(long = "config-map", value_name = "FILE")]
    config_maps: Vec<PathBuf>,
    /// A bundle that is not attached yet; may be given several times
    #[arg(long = "bundle", value_name = "FILE")]
    bundles: Vec<PathBuf>,
    /// Ask as of another moment, such as 2027-01-01T00:00:00Z; keys have ends
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
    #[command(flatten)]
    registry: registry::RegistryArgs,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &VerifyArgs) -> Result<String, PlaybookFileError> {
    let config_maps = policies::config_maps(&args.config_maps)?;
    let policies = policies::policies(&args.policies, &config_maps)?;
    match (&args.file, &args.image) {
        (Some(path), _) => {
            let verified = playbook(args, path, &policies).await?;
            Ok(report(&verified))
        }
        (None, Some(reference)) => {
            let verified = image(args, reference, &policies).await?;
            Ok(report_image(&verified))
        }
        (None, None) => Err(unusable("-", "give -f FILE or --image REF")),
    }
}

fn unusable(path: &str, message: &str) -> PlaybookFileError {
    PlaybookFileError::Unusable {
        path: path.into(),
        message: message.into(),
    }
}

fn refused(path: impl Into<PathBuf>) -> impl FnOnce(Refusal) -> PlaybookFileError {
    let path = path.into();
    move |refusal| PlaybookFileError::NotTrusted {
        path,
        refusal: Box::new(refusal),
    }
}

async fn playbook(
    args: &VerifyArgs,
    path: &PathBuf,
    policies: &[PreparedPolicy],
) -> Result<Verified, PlaybookFileError> {
    let file = PlaybookFile::read(path)?;
    let namespace = file.namespace().or(args.namespace.as_deref());
    let Some(namespace) = namespace else {
        let message = "it names no namespace, and policies are about namespaces: give -n";
        return Err(unusable(&path.display().to_string(), message));
    };
    let document = file.document(namespace);
    let now = args.at.unwrap_or_else(clock::now);
    if let Some(source) = source_image(&document) {
        let image = source.map_err(refused(path))?;
        if !args.bundles.is_empty() {
            let message =
                "it names a source, whose signatures lie in the registry: leave --bundle out";
            return Err(unusable(&path.display().to_string(), message));
        }
        let registry = args.registry.registry()?;
        let legacy = accepts_legacy(SignedKind::Playbook, &image, namespace, policies);
        let fetched = registry::fetch(&registry, &image, legacy).await?;
        let verified = verify_sourced(&document, &fetched, policies, None, now);
        return verified.map_err(refused(path));
    }
    let annotations = annotations(args, &file)?;
    verify_playbook(&document, &annotations, policies, None, now).map_err(refused(path))
}

fn annotations(
    args: &VerifyArgs,
    file: &PlaybookFile,
) -> Result<BTreeMap<String, String>, PlaybookFileError> {
    let mut annotations = file.annotations();
    for path in &args.bundles {
        trust::attach(&mut annotations, text(path)?.trim().to_owned())
            .map_err(PlaybookFileError::Attach)?;
    }
    Ok(annotations)
}

async fn image(
    args: &VerifyArgs,
    reference: &Reference,
    policies: &[PreparedPolicy],
) -> Result<VerifiedImage, PlaybookFileError> {
    let Some(namespace) = args.namespace.as_deref() else {
        let message =
            "policies are about namespaces: give the one where the image is used, with -n";
        return Err(unusable(&reference.to_string(), message));
    };
    let registry = args.registry.registry()?;
    let image = registry::pinned(&registry, reference).await?;
    let legacy = accepts_legacy(SignedKind::Image, &image, namespace, policies);
    let signatures = registry::signatures(&registry, &image, legacy).await?;
    let now = args.at.unwrap_or_else(clock::now);
    verify_image(&image, namespace, &signatures, policies, now).map_err(refused(image.to_string()))
}

fn report(verified: &Verified) -> String {
    let Document {
        namespace, name, ..
    } = verified.document();
    let scope = match verified.scope() {
        Scope::Namespaced => "signed for this namespace",
        Scope::Anywhere => "signed for any namespace",
    };
    let mut text = format!(
        "verified: {namespace}/{name}, {scope}\ndigest: {}\n",
        verified.digest()
    );
    if let Some(artifact) = verified.artifact() {
        text.push_str(&format!("artifact: {artifact}\n"));
    }
    text + &applied(verified.policies())
        + &format!("policies: {}\n", verified.policy_digest())
        + &said(verified.notes())
}

fn report_image(verified: &VerifiedImage) -> String {
    format!("verified: {}\n", verified.image())
        + &applied(verified.policies())
        + &format!("policies: {}\n", verified.policy_digest())
        + &said(verified.notes())
}

fn applied(policies: &[AppliedPolicy]) -> String {
    let line = |policy: &AppliedPolicy| {
        let signers: Vec<String> = policy.signers.iter().map(Signer::to_string).collect();
        format!("policy {:?}: {}\n", policy.name, signers.join(", "))
    };
    policies.iter().map(line).collect()
}

fn said(notes: &[String]) -> String {
    notes.iter().map(|note| format!("note: {note}\n")).collect()
}
