//! Floor 3: `neuralops playbook pull`: the Playbook of an artifact, printed only if it is trusted. There is no way around
//! the policies: what is printed here gets applied.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{PlaybookFileError, policies, registry};
use crate::{
    adapters::{
        clock,
        oci::{Fetched, Reference},
    },
    domain::{
        document::{Document, Scope},
        lint::lint_sourced,
        reason::Reason,
        trust::{
            Examiner as _, Image, Refusal, SignedKind, Verified, accepts_legacy, verify_sourced,
        },
    },
};

/// What `--help` ends with.
pub const HELP: &str = "\
Give every TrustPolicy of the cluster: all that are about the Playbook must be satisfied. Keys and trusted roots that lie
in ConfigMaps are read from --config-map. An artifact is named by its digest; for a tag, the answer is its digest.

Examples
  neuralops playbook pull registry.example/pb/drain@sha256:… --policy trustpolicy.yaml
  neuralops playbook pull registry.example/pb/drain@sha256:… -n shop --policy policies.json > pb.json";

/// Pull a Playbook.
#[derive(clap::Args, Debug)]
pub struct PullArgs {
    /// Which one: REGISTRY/REPOSITORY@DIGEST
    #[arg(value_name = "REF")]
    reference: Reference,
    /// The namespace, if the artifact names none
    #[arg(short = 'n', long)]
    namespace: Option<String>,
    /// TrustPolicies; may be given several times
    #[arg(long = "policy", value_name = "FILE", required = true)]
    policies: Vec<PathBuf>,
    /// ConfigMaps that the policies refer to; may be given several times
    #[arg(long = "config-map", value_name = "FILE")]
    config_maps: Vec<PathBuf>,
    #[command(flatten)]
    registry: registry::RegistryArgs,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &PullArgs) -> Result<String, PlaybookFileError> {
    let config_maps = policies::config_maps(&args.config_maps)?;
    let policies = policies::policies(&args.policies, &config_maps)?;
    let registry = args.registry.registry()?;
    let image = registry::pinned(&registry, &args.reference).await?;
    let kind = SignedKind::Playbook;
    let legacy = match args.namespace.as_deref() {
        Some(namespace) => accepts_legacy(kind, &image, namespace, &policies),
        // It comes out of the artifact, so that any policy may be about it.
        None => policies.iter().any(|one| one.policy().formats.legacy),
    };
    let fetched = registry::fetch(&registry, &image, legacy).await?;
    let refused = |refusal: Refusal| PlaybookFileError::NotTrusted {
        path: image.to_string().into(),
        refusal: Box::new(refusal),
    };
    let object = object(args, &image, &fetched).map_err(refused)?;
    let verified = verify_sourced(&object, &fetched, &policies, None, clock::now());
    let verified = verified.map_err(refused)?;
    let path = image.to_string();
    super::lint::check_with(Path::new(&path), verified.document(), lint_sourced)?;
    Ok(print(&verified))
}

/// The Playbook that would name this artifact in this namespace.
fn object(args: &PullArgs, image: &Image, fetched: &Fetched) -> Result<Document, Refusal> {
    let inside = fetched.open()?;
    let field = |name: &str| inside.spec.get(name).cloned().unwrap_or_default();
    let namespace = args.namespace.clone().or(inside.namespace);
    let namespace = namespace.ok_or_else(|| {
        let message = "the artifact names no namespace, and policies are about namespaces: give -n";
        Refusal::new(Reason::Invalid, message)
    })?;
    Ok(Document {
        spec: json!({
            "source": {"image": image.to_string()},
            "revision": field("revision"),
            "serviceAccountName": field("serviceAccountName"),
        }),
        api_version: inside.api_version,
        name: inside.name,
        namespace,
    })
}

/// The Playbook as its author wrote it.
fn print(verified: &Verified) -> String {
    let document = verified.document();
    let mut metadata = json!({ "name": document.name });
    if let (Scope::Namespaced, Some(fields)) = (verified.scope(), metadata.as_object_mut()) {
        let namespace = Value::from(document.namespace.as_str());
        fields.insert("namespace".to_owned(), namespace);
    }
    let object = json!({
        "apiVersion": document.api_version,
        "kind": "Playbook",
        "metadata": metadata,
        "spec": document.spec,
    });
    format!("{object:#}\n")
}
