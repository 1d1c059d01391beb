//! Floor 3: `neuralops audit prove`: a proof to take away, with the record in it. Whoever has the log's key needs nothing
//! else to check it.

use super::{
    AuditError,
    leaf::WhichArgs,
    store::{Opened, StoreArgs},
};
use crate::{
    domain::audit::{checkpoint::Checkpoint, proof::TlogProof, tree},
    ports::{Leaf, Log},
};

/// What `--help` ends with.
pub const HELP: &str = "\
The proof is a C2SP tlog-proof with the record in its extra line. To check it:
  neuralops audit verify FILE --key VKEY

Example
  neuralops audit prove --store sqlite:///var/lib/neuralops/audit.db --index 17 > 17.tlog-proof";

/// Print a proof.
#[derive(clap::Args, Debug)]
pub struct ProveArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    which: WhichArgs,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &ProveArgs) -> Result<String, AuditError> {
    let opened = args.store.open().await?;
    let (leaf, log) = args.which.find(&opened).await?;
    Ok(proof(&opened, &leaf, &log).await?.to_string())
}

/// That this leaf is in its log, by the newest checkpoint.
async fn proof(opened: &Opened, leaf: &Leaf, log: &Log) -> Result<TlogProof, AuditError> {
    let index = leaf.at.index;
    let saved = opened.ask(|store| store.checkpoint(log.number)).await?;
    let Some(saved) = saved.filter(|saved| saved.size > index) else {
        return Err(AuditError::NotThere(format!(
            "no checkpoint covers leaf {index} of {} yet; the operator publishes one within a second while it leads",
            log.origin
        )));
    };
    // Not believed here: whoever gets the proof has the key.
    let checkpoint = Checkpoint::read_unverified(&saved.note);
    let checkpoint = checkpoint.map_err(|source| AuditError::Checkpoint {
        what: format!("the store {}", opened.name),
        source,
    })?;
    let recipe = tree::inclusion(index, checkpoint.size).unwrap_or_default();
    let hashes = opened
        .ask(|store| store.hashes(log.number, recipe.positions()))
        .await?;
    Ok(TlogProof {
        extra: Some(leaf.body.clone()),
        index,
        hashes: recipe.cook(&hashes).unwrap_or_default(),
        checkpoint: saved.note,
    })
}
