//! Floor 3: `neuralops audit rotate` and `new-origin`: what only the leader can do is asked of it, through the store.

use super::{
    AuditError,
    store::{Opened, StoreArgs},
};
use crate::domain::audit::request::Request;

/// What `--help` of rotate ends with.
pub const ROTATE_HELP: &str = "\
A key belongs to one origin. The leader begins a new log with a new key; its first record names the log before it, with
size and root. Old proofs stay good under the old key: keep it, and give both to `verify`.

Example
  neuralops audit rotate --store sqlite:///var/lib/neuralops/audit.db --why 'the yearly rotation'";

/// What `--help` of new-origin ends with.
pub const NEW_ORIGIN_HELP: &str = "\
When the operator says RolledBack, StoreAltered or AnchorMissing, find out why first: restoring a newer backup loses
nothing. A new origin goes on with the store as it is; its first record names the anchor and the store, so that what was
lost stays visible for ever.

Example
  neuralops audit new-origin --store postgres://neuralops@db/audit --why 'the disk was lost; incident 4711'";

/// Ask for a new origin.
#[derive(clap::Args, Debug)]
pub struct AskArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Why, for the leader's own log; no secrets
    #[arg(long, value_name = "TEXT")]
    why: String,
}

/// Asks for a new key.
pub async fn rotate(args: &AskArgs) -> Result<String, AuditError> {
    follow(args, "a new key").await
}

/// Asks for a new origin.
pub async fn new_origin(args: &AskArgs) -> Result<String, AuditError> {
    follow(args, "a new origin").await
}

async fn follow(args: &AskArgs, what: &str) -> Result<String, AuditError> {
    let opened = args.store.open().await?;
    let why = args.why.clone();
    let number = ask(&opened, &Request::Follow { why }).await?;
    Ok(format!(
        "asked for {what} (request {number}): the leader begins a log that follows the present one, within seconds if it is up.\n{WATCH}"
    ))
}

/// How to see it happen.
pub const WATCH: &str = "To watch it: kubectl get auditlog main -o yaml; spec.origin changes, spec.previous grows by one, and spec.keys begins with the new key.\n";

/// Asks the leader for something; the number of the request.
pub async fn ask(opened: &Opened, request: &Request) -> Result<u64, AuditError> {
    let body = request.to_bytes().map_err(AuditError::Request)?;
    opened.ask(|store| store.ask(body)).await
}
