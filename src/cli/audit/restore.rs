//! Floor 3: `neuralops audit restore`: a backup into an empty store. All of it is verified, and held against the anchor,
//! before the first byte is written; what was written is verified once more.

mod anchor;

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

use super::{
    AuditError,
    keys::KeyArgs,
    request,
    store::{Opened, StoreArgs},
    trust::{Sound, Trust},
    verify::{self, Receiver, Taken},
};
use crate::{
    adapters::archive::{backup::Reader, manifest::LogInBackup},
    domain::{
        audit::{
            checkpoint::Checkpoint,
            examine::{Claimant, Finding},
            record::Root,
            request::Request,
        },
        digest::Digest,
    },
    ports::{Entry, Epoch, Log, LogNumber, SavedCheckpoint},
};

/// What `--help` ends with.
pub const HELP: &str = "\
The store must be empty, and the operator must not be running on it. The anchor says how long the log was at least: the
AuditLog main of the cluster (--anchor-from-cluster), or a copy of it or of a checkpoint in a file (--anchor). A backup
that is older is refused: look for a newer one. With --new-origin it is put back all the same, and the operator is asked
to begin a new log, whose first record names the anchor and the backup.

Exit codes are those of `verify`: 3 says that the backup is not what it claims to be, or older than the anchor.

Example
  neuralops audit restore audit-2026-03-01.tar.gz --store sqlite:///var/lib/neuralops/audit.db --key @keys --anchor-from-cluster";

/// Restore a backup.
#[derive(clap::Args, Debug)]
pub struct RestoreArgs {
    /// The archive
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    anchor: anchor::AnchorArgs,
    /// Put it back though it is older than the anchor, and ask for a new origin
    #[arg(long)]
    new_origin: bool,
    /// How many days texts are kept from when they were recorded: the operator's auditRetention
    #[arg(long, value_name = "DAYS", default_value_t = 400, value_parser = clap::value_parser!(u32).range(183..=36_500))]
    retention: u32,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &RestoreArgs) -> Result<String, AuditError> {
    let mut trust = Trust::new(args.keys.load()?);
    let anchor = args.anchor.read(&trust.keys).await?;
    let what = args.file.display().to_string();
    let reader = Reader::open(&args.file).map_err(AuditError::archive(&what))?;
    // With a new origin the anchor is named, not kept to.
    if !args.new_origin {
        trust.kept.push(anchor);
    }
    let verified = verify::archive(reader, &what, &trust, verify::Reading::default())
        .await
        .map_err(older)?;
    let opened = args.store.create().await?;
    let logs = opened.ask(|store| store.logs()).await?;
    if logs.iter().any(|log| log.size > 0 || log.current) {
        return Err(AuditError::NotThere(format!(
            "the store {} is not empty: a backup is put back into an empty one; move the old one aside",
            opened.name
        )));
    }
    let epoch = opened.ask(|store| store.take_over()).await?;
    let mut putting = Putting {
        opened: &opened,
        epoch,
        retention: SignedDuration::from_hours(24 * i64::from(args.retention)),
        log: None,
        last: None,
    };
    let mut reader = verified.reader;
    let archive = verify::hand_on(&mut reader, &what, &trust, &mut putting).await?;
    if archive != verified.digest {
        return Err(putting.changed("it"));
    }
    if let Some(last) = putting.last {
        opened.ask(|store| store.promote(epoch, last)).await?;
    }
    let restored = verify::tables_of(&opened, &trust, verify::Reading::default()).await?;
    let asked = ask(args, &opened, &restored, archive).await?;
    Ok(format!("{}{asked}", verify::report(&restored)))
}

/// Says what can be done about a backup that is older than the anchor.
fn older(error: AuditError) -> AuditError {
    let AuditError::Refuted { what, finding } = error else {
        return error;
    };
    match *finding {
        Finding::Truncated {
            by: by @ Claimant::Anchor(_),
            leaf,
            size,
            ..
        } => AuditError::Behind(format!(
            "{what} has {leaf} leaves, and {by} says {size}: it is older; look for a newer backup, or put it back with --new-origin, which records what is lost"
        )),
        finding if is_by_anchor(&finding) => AuditError::Behind(format!(
            "{what}: {finding}; a backup of another log, or from before it was followed, is put back only with --new-origin, which records both"
        )),
        finding => AuditError::refuted(what)(finding),
    }
}

fn is_by_anchor(finding: &Finding) -> bool {
    match finding {
        Finding::NoSuchLog { by, .. } => matches!(by, Claimant::Anchor(_)),
        Finding::Claim { claim, .. } => matches!(claim.by, Claimant::Anchor(_)),
        _ => false,
    }
}

async fn ask(
    args: &RestoreArgs,
    opened: &Opened,
    restored: &Sound,
    archive: Digest,
) -> Result<String, AuditError> {
    let mut asked = String::new();
    if let Some(log) = restored.logs.last() {
        let request = Request::BackupRestored {
            archive,
            size: log.examined.size,
            root: Root(log.examined.root),
        };
        let number = request::ask(opened, &request).await?;
        asked.push_str(&format!(
            "restored into {}\nthe operator will record it as backup.restored (request {number})\n",
            opened.name
        ));
    }
    if args.new_origin {
        let why = "a backup was restored that may be older than the anchor".to_owned();
        let number = request::ask(opened, &Request::Follow { why }).await?;
        asked.push_str(&format!(
            "it will begin a new origin (request {number})\n{}",
            request::WATCH
        ));
    }
    Ok(asked)
}

/// Writes what was examined into the store.
struct Putting<'a> {
    opened: &'a Opened,
    epoch: Epoch,
    retention: SignedDuration,
    /// The log that is being put back, and how it is to end.
    log: Option<(LogNumber, LogInBackup)>,
    last: Option<LogNumber>,
}

impl Putting<'_> {
    fn entry(&self, leaf: Taken) -> Entry {
        let Taken { body, record, text } = leaf;
        let expires = |time: Timestamp| time.checked_add(self.retention).unwrap_or(Timestamp::MAX);
        Entry {
            payload: text.map(|text| (text, expires(record.time))),
            ..Entry::of(&record, body)
        }
    }

    fn changed(&self, log: &str) -> AuditError {
        AuditError::Behind(format!(
            "the archive changed while it was read: {log} ended otherwise than it was verified; remove the store {} and begin again",
            self.opened.name
        ))
    }
}

impl Receiver for Putting<'_> {
    async fn begin(&mut self, log: &LogInBackup) -> Result<(), AuditError> {
        let epoch = self.epoch;
        let number = self
            .opened
            .ask(|store| store.restore_log(epoch, &log.origin))
            .await?;
        self.log = Some((number, log.clone()));
        self.last = Some(number);
        Ok(())
    }

    async fn leaves(&mut self, leaves: Vec<Taken>) -> Result<(), AuditError> {
        let Some((number, _)) = self.log else {
            return Ok(());
        };
        let entries = leaves.into_iter().map(|leaf| self.entry(leaf)).collect();
        let epoch = self.epoch;
        self.opened
            .ask(|store| store.restore_leaves(epoch, number, entries))
            .await?;
        Ok(())
    }

    async fn end(&mut self, checkpoint: Option<(Checkpoint, String)>) -> Result<(), AuditError> {
        let Some((number, expected)) = self.log.take() else {
            return Ok(());
        };
        let logs = self.opened.ask(|store| store.logs()).await?;
        let as_expected = |log: &Log| {
            log.number == number && log.size == expected.size && log.root == expected.root.0
        };
        if !logs.iter().any(as_expected) {
            return Err(self.changed(&expected.origin));
        }
        let Some((checkpoint, note)) = checkpoint else {
            return Ok(());
        };
        let saved = SavedCheckpoint {
            log: number,
            size: checkpoint.size,
            note,
        };
        let epoch = self.epoch;
        self.opened
            .ask(|store| store.save_checkpoint(epoch, saved))
            .await
    }
}
