//! Floor 3: `neuralops audit …`: what auditors and operators do with the transparency log. Verifying needs neither server
//! nor cluster. Each command says what it did, or what was wrong, where, and what to do about it.

mod backup;
mod error;
mod evidence;
mod export;
mod keygen;
mod keys;
mod leaf;
mod list;
mod prove;
mod reconcile;
mod request;
mod restore;
mod show;
mod source;
mod store;
mod trust;
mod verify;

pub use error::{AuditError, Missteps};
pub use evidence::{EvidenceArgs, HELP as EVIDENCE_HELP, run as evidence};

/// Work with the transparency log.
#[derive(clap::Subcommand, Debug)]
pub enum AuditCommand {
    /// Verify a log: an export, a backup, a proof or a store; needs no server and no cluster
    #[command(after_help = verify::HELP)]
    Verify(verify::VerifyArgs),
    /// Print a proof that one record is in the log, to be verified without it
    #[command(after_help = prove::HELP)]
    Prove(prove::ProveArgs),
    /// Show one record and the text beside it
    #[command(after_help = show::HELP)]
    Show(show::ShowArgs),
    /// List records, oldest first
    #[command(after_help = list::HELP)]
    List(list::ListArgs),
    /// Hold the cluster's objects against the records: what is not on record, and what no status tells of
    #[command(after_help = reconcile::HELP)]
    Reconcile(reconcile::ReconcileArgs),
    /// Write the log as files that any reader of C2SP tlog-tiles takes; again to bring them up to date
    #[command(after_help = export::HELP)]
    Export(export::ExportArgs),
    /// Write everything into one archive, verify it, and have that recorded
    #[command(after_help = backup::HELP)]
    Backup(backup::BackupArgs),
    /// Put a backup into an empty store
    #[command(after_help = restore::HELP)]
    Restore(restore::RestoreArgs),
    /// Ask for a new key, which means a new origin that follows the present one
    #[command(after_help = request::ROTATE_HELP)]
    Rotate(request::AskArgs),
    /// Ask for a new origin: the way out when the operator refuses the store
    #[command(after_help = request::NEW_ORIGIN_HELP)]
    NewOrigin(request::AskArgs),
    /// Make a key that signs checkpoints
    #[command(after_help = keygen::HELP)]
    Keygen(keygen::KeygenArgs),
}

/// Runs the command; returns what is to be printed.
pub async fn run(command: &AuditCommand) -> Result<String, AuditError> {
    match command {
        AuditCommand::Verify(args) => verify::run(args).await,
        AuditCommand::Prove(args) => prove::run(args).await,
        AuditCommand::Show(args) => show::run(args).await,
        AuditCommand::List(args) => list::run(args).await,
        AuditCommand::Reconcile(args) => reconcile::run(args).await,
        AuditCommand::Export(args) => export::run(args).await,
        AuditCommand::Backup(args) => backup::run(args).await,
        AuditCommand::Restore(args) => restore::run(args).await,
        AuditCommand::Rotate(args) => request::rotate(args).await,
        AuditCommand::NewOrigin(args) => request::new_origin(args).await,
        AuditCommand::Keygen(args) => keygen::run(args),
    }
}
