//! Floor 3: `neuralops playbook verify`: the operator's own question and answer, from files.

use std::path::PathBuf;

use super::{
    PlaybookFileError,
    file::{PlaybookFile, text},
    policies,
};
use crate::{
    adapters::clock,
    domain::{
        document::Scope,
        trust::{self, Signer, Verified, verify_playbook},
    },
};

/// What `--help` ends with.
pub const HELP: &str = "\
No network is needed, and none is used. Give every TrustPolicy of the cluster: all that are about the Playbook must be
satisfied. Keys and trusted roots that lie in ConfigMaps are read from --config-map.

Examples
  neuralops playbook verify -f signed.json --policy trustpolicy.yaml
  neuralops playbook verify -f pb.yaml -n shop --bundle pb.sigstore.json --policy trustpolicy.yaml --config-map root.yaml
  kubectl get trustpolicies -o json > policies.json
  kubectl -n shop get playbook drain -o json | neuralops playbook verify -f - --policy policies.json";

/// Verify a Playbook.
#[derive(clap::Args, Debug)]
pub struct VerifyArgs {
    /// The Playbook with its annotations, as YAML or JSON; - reads standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    file: PathBuf,
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
}

/// Runs the command; returns what is to be printed.
pub fn run(args: &VerifyArgs) -> Result<String, PlaybookFileError> {
    let file = PlaybookFile::read(&args.file)?;
    let namespace = file.namespace().or(args.namespace.as_deref());
    let Some(namespace) = namespace else {
        return Err(PlaybookFileError::Unusable {
            path: args.file.clone(),
            message: "it names no namespace, and policies are about namespaces: give -n".into(),
        });
    };
    let document = file.document(namespace);
    let mut annotations = file.annotations();
    for path in &args.bundles {
        trust::attach(&mut annotations, text(path)?.trim().to_owned())
            .map_err(PlaybookFileError::Attach)?;
    }
    let config_maps = policies::config_maps(&args.config_maps)?;
    let policies = policies::policies(&args.policies, &config_maps)?;
    let now = args.at.unwrap_or_else(clock::now);
    let verified =
        verify_playbook(&document, &annotations, &policies, None, now).map_err(|refusal| {
            PlaybookFileError::NotTrusted {
                path: args.file.clone(),
                refusal: Box::new(refusal),
            }
        })?;
    Ok(report(&verified))
}

fn report(verified: &Verified) -> String {
    let document = verified.document();
    let scope = match verified.scope() {
        Scope::Namespaced => "signed for this namespace",
        Scope::Anywhere => "signed for any namespace",
    };
    let mut text = format!(
        "verified: {}/{}, {scope}\ndigest: {}\n",
        document.namespace,
        document.name,
        verified.digest()
    );
    for policy in verified.policies() {
        let signers: Vec<String> = policy.signers.iter().map(Signer::to_string).collect();
        text.push_str(&format!(
            "policy {:?}: {}\n",
            policy.name,
            signers.join(", ")
        ));
    }
    text.push_str(&format!("policies: {}\n", verified.policy_digest()));
    for note in verified.notes() {
        text.push_str(&format!("note: {note}\n"));
    }
    text
}
