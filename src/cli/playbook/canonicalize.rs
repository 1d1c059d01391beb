//! Floor 3: `neuralops playbook canonicalize`: the bytes that a signature is about, and nothing else.

use super::{
    PlaybookFileError,
    file::{SignedArgs, canonical},
};

/// What `--help` ends with.
pub const HELP: &str = "\
The Playbook is checked first: what the operator would not run is not worth a signature. The output has no newline at its
end; redirect it, do not copy it.

Examples
  neuralops playbook canonicalize -f pb.yaml > pb.jcs
  kubectl create --dry-run=client -o json -f pb.yaml | neuralops playbook canonicalize -n shop > pb.jcs
  cosign sign-blob --key cosign.key --use-signing-config=false --tlog-upload=false --bundle pb.sigstore.json pb.jcs";

/// Runs the command; returns what is to be printed.
pub fn run(args: &SignedArgs) -> Result<String, PlaybookFileError> {
    let (_, document, scope) = args.read()?;
    let bytes = canonical(&args.file, &document, scope)?;
    String::from_utf8(bytes).map_err(|error| PlaybookFileError::Unusable {
        path: args.file.clone(),
        message: error.to_string(),
    })
}
