//! Floor 3: `neuralops playbook push`: the canonical document becomes an artifact. It is checked first; what the operator
//! would not run is not worth a place in a registry.

use super::{
    PlaybookFileError,
    file::{SignedArgs, canonical},
    registry::{RegistryArgs, failed},
};
use crate::adapters::oci::Tagged;

/// What `--help` ends with.
pub const HELP: &str = "\
The artifact holds the bytes that `playbook canonicalize` prints. Sign its digest, then name it in a Playbook:
  spec:
    source: {image: REGISTRY/REPOSITORY@sha256:…}
    revision: and serviceAccountName: as in the artifact

Examples
  neuralops playbook push registry.example/pb/drain:1.4.0 -f pb.yaml
  neuralops playbook push localhost:5000/pb/drain:dev -f pb.yaml --any-namespace
  neuralops playbook push registry.example/pb/drain:1.4.0 -f pb.yaml --registry-config robot.json";

/// Push a Playbook.
#[derive(clap::Args, Debug)]
pub struct PushArgs {
    /// Where to: REGISTRY/REPOSITORY:TAG
    #[arg(value_name = "REF")]
    reference: Tagged,
    #[command(flatten)]
    signed: SignedArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &PushArgs) -> Result<String, PlaybookFileError> {
    let (_, document, scope) = args.signed.read_sourced()?;
    if document.spec.get("source").is_some() {
        return Err(PlaybookFileError::Unusable {
            path: args.signed.file.clone(),
            message: "it names a source itself: push the Playbook with its steps".into(),
        });
    }
    let bytes = canonical(&args.signed.file, &document, scope)?;
    let registry = args.registry.registry()?;
    let pushed = registry.push(&args.reference, &bytes).await;
    let image = pushed
        .map_err(failed(format!("push to {}", args.reference)))?
        .image;
    let plain = if registry.is_plain(&image.name) {
        " --allow-http-registry"
    } else {
        ""
    };
    Ok(format!(
        "pushed: {}\ndigest: {}\nsign it: cosign sign --key cosign.key --use-signing-config=false --tlog-upload=false{plain} {image}\nname it: source: {{image: {image}}}\n",
        args.reference, image.digest
    ))
}
