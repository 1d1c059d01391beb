//! Floor 3: `neuralops trust …`: TrustPolicies from what cosign leaves on the disk.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{
    adapters::verify::{KeyError, PublicKey},
    api::API_VERSION,
};

/// What `--help` of `import` ends with.
const IMPORT_HELP: &str = "\
Each key is named by its file, or by NAME=FILE. Fingerprints go into a comment, so that a second person can compare them.

Examples
  neuralops trust import cosign.pub --name shop-playbooks --namespace shop | kubectl apply -f -
  neuralops trust import sre=sre.pub lead=lead.pub --name two-people --threshold 2 --namespace 'team-*'";

/// Work with trust.
#[derive(clap::Subcommand, Debug)]
pub enum TrustCommand {
    /// Print a TrustPolicy that trusts these public keys
    #[command(after_help = IMPORT_HELP)]
    Import(ImportArgs),
}

/// Keys and what they are for.
#[derive(clap::Args, Debug)]
pub struct ImportArgs {
    /// Public keys as PEM, such as cosign.pub
    #[arg(value_name = "[NAME=]FILE", required = true)]
    keys: Vec<String>,
    /// The name of the TrustPolicy
    #[arg(long)]
    name: String,
    /// Namespaces that it is about, with * for any characters; absent: all
    #[arg(long = "namespace", value_name = "PATTERN")]
    namespaces: Vec<String>,
    /// How many distinct keys must have signed
    #[arg(long, default_value_t = 1)]
    threshold: usize,
    /// Do not trust the keys after this, such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    not_after: Option<jiff::Timestamp>,
}

/// A TrustPolicy that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file is not there.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It holds no key that can be used.
    #[error("could not import {}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// The same key or name twice.
    #[error("{0} stands here twice; distinct signers have distinct keys and names")]
    Twice(String),
    /// Nobody could satisfy it.
    #[error("the threshold is {threshold}, and there are {keys} keys")]
    Threshold {
        /// What was asked for.
        threshold: usize,
        /// What there is.
        keys: usize,
    },
    /// The policy cannot be written as YAML.
    #[error("could not render the TrustPolicy")]
    Render(#[source] serde_saphyr::SerializeError),
}

/// Runs the command; returns what is to be printed.
pub fn run(command: &TrustCommand) -> Result<String, TrustError> {
    match command {
        TrustCommand::Import(args) => import(args),
    }
}

fn import(args: &ImportArgs) -> Result<String, TrustError> {
    if args.threshold == 0 || args.threshold > args.keys.len() {
        return Err(TrustError::Threshold {
            threshold: args.threshold,
            keys: args.keys.len(),
        });
    }
    let (mut keys, mut comments, mut seen) = (Vec::new(), String::new(), Vec::new());
    for given in &args.keys {
        let (name, path) = named(given);
        let pem = std::fs::read_to_string(&path).map_err(|source| TrustError::Read {
            path: path.clone(),
            source,
        })?;
        let key = PublicKey::read(&pem).map_err(|source| TrustError::Key { path, source })?;
        let fingerprint = key.fingerprint().to_string();
        for word in [&name, &fingerprint] {
            if seen.contains(word) {
                return Err(TrustError::Twice(word.clone()));
            }
            seen.push(word.clone());
        }
        comments.push_str(&format!(
            "# {name}: {} {fingerprint}\n",
            key.algorithm().as_str()
        ));
        keys.push(entry(&name, &pem, args.not_after));
    }
    let mut spec = json!({ "keys": keys });
    if let Value::Object(fields) = &mut spec {
        if !args.namespaces.is_empty() {
            fields.insert("match".into(), json!({ "namespaces": args.namespaces }));
        }
        if args.threshold > 1 {
            fields.insert("threshold".into(), json!(args.threshold));
        }
    }
    let policy = json!({
        "apiVersion": API_VERSION,
        "kind": "TrustPolicy",
        "metadata": { "name": args.name },
        "spec": spec,
    });
    let yaml = serde_saphyr::to_string(&policy).map_err(TrustError::Render)?;
    Ok(comments + &yaml)
}

fn entry(name: &str, pem: &str, not_after: Option<jiff::Timestamp>) -> Value {
    let mut key = json!({ "name": name, "publicKey": format!("{}\n", pem.trim()) });
    if let (Some(time), Value::Object(fields)) = (not_after, &mut key) {
        fields.insert("notAfter".into(), json!(time.to_string()));
    }
    key
}

/// `NAME=FILE`, or the file's own name without its ending.
fn named(given: &str) -> (String, PathBuf) {
    if let Some((name, path)) = given.split_once('=') {
        return (name.to_owned(), PathBuf::from(path));
    }
    let path = Path::new(given);
    let name = path.file_stem().unwrap_or(path.as_os_str());
    (name.to_string_lossy().into_owned(), path.to_owned())
}
