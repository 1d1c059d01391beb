//! Floor 3: `neuralops audit verify`: holds a log against the keys that the caller trusts, wherever it is read from. The
//! examination is the domain's; here it is fed.

mod backup;
mod evidence;
mod files;
mod proof;
mod reading;
mod tables;

use std::path::PathBuf;

use super::{
    AuditError, Missteps,
    keys::{KeyArgs, read_text},
    source::Source,
    store::Opened,
    trust::{Kept, Sound, Trust},
};
use crate::{
    adapters::{
        archive::{Files, backup::Reader},
        store::Mode,
    },
    domain::{
        audit::{
            checkpoint::Checkpoint,
            examine::Claimant,
            semantics::{Semantics, Verdict},
        },
        digest::Digest,
    },
};

pub use backup::{Nobody, Receiver, Taken};
pub use evidence::told as told_evidence;
pub use files::above_leaves;
pub use reading::Reading;

/// What `--help` ends with.
pub const HELP: &str = "\
SOURCE is one of
  a folder or an http(s) address with an export (neuralops audit export)
  a backup (neuralops audit backup)
  a proof (neuralops audit prove), with its record in it or by --leaf
  evidence of a run (neuralops evidence)
  a store: sqlite:///path/audit.db, postgres://user@host/database, or the path of an SQLite file

Exit codes
  0  verified
  1  it could not be carried out: a file is missing, a server does not answer
  2  usage
  3  the log is not what it claims to be; the first bad leaf is named. With --semantic also: what is recorded of a run
     makes no sense; every leaf is named that cannot stand where it stands

Examples
  neuralops audit verify ./export --key @keys
  neuralops audit verify https://audit.example/log --key neuralops.io/…+1234abcd+AbCd… --checkpoint kept-in-march";

/// Verify a log.
#[derive(clap::Args, Debug)]
pub struct VerifyArgs {
    /// What to verify
    #[arg(value_name = "SOURCE")]
    source: String,
    #[command(flatten)]
    keys: KeyArgs,
    /// An older checkpoint that somebody kept: the log must extend it; once for each
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The record that a proof is about, if the proof does not carry it
    #[arg(long, value_name = "FILE")]
    leaf: Option<PathBuf>,
    /// Also whether what is recorded of runs makes sense: nothing began unplanned or unapproved, what ended is complete
    #[arg(long)]
    semantic: bool,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &VerifyArgs) -> Result<String, AuditError> {
    let mut trust = Trust::new(args.keys.load()?);
    for path in &args.checkpoint {
        trust.kept.push(kept(path, &trust)?);
    }
    let source = Source::parse(&args.source)?;
    if args.leaf.is_some() && !matches!(source, Source::Proof(_)) {
        return Err(AuditError::Usage(
            "--leaf belongs to a proof, and SOURCE is none".to_owned(),
        ));
    }
    if args.semantic && matches!(source, Source::Proof(_) | Source::Evidence(_)) {
        return Err(AuditError::Usage(
            "--semantic is about whole logs, and a proof is about one record; what evidence tells of its run is always looked at".to_owned(),
        ));
    }
    let reading = match args.semantic {
        true => Reading::semantic(),
        false => Reading::default(),
    };
    let mut sound = match source {
        Source::Proof(path) => return proof::verify(&path, args.leaf.as_deref(), &trust),
        Source::Evidence(path) => return evidence::verify(&path, &trust),
        Source::Files(files) => files_of(&files, &args.source, &trust, reading).await?,
        Source::Backup(path) => {
            let reader = Reader::open(&path).map_err(AuditError::archive(path.display()))?;
            archive(reader, &args.source, &trust, reading).await?.sound
        }
        Source::Store(url) => {
            let opened = Opened::open(&url, Mode::Reader).await?;
            tables_of(&opened, &trust, reading).await?
        }
    };
    let runs = sound.runs.take();
    let told = runs.map(|runs| told(&args.source, runs)).transpose()?;
    Ok(report(&sound) + &told.unwrap_or_default())
}

fn kept(path: &std::path::Path, trust: &Trust) -> Result<Kept, AuditError> {
    let note = read_text(path)?;
    let what = path.display().to_string();
    match Checkpoint::open(&note, &trust.keys) {
        Ok(checkpoint) => Ok(Kept {
            by: Claimant::Kept(what),
            origin: checkpoint.origin,
            size: checkpoint.size,
            root: checkpoint.root,
        }),
        Err(source) => Err(AuditError::Checkpoint { what, source }),
    }
}

/// Verifies an export.
async fn files_of(
    files: &Files,
    what: &str,
    trust: &Trust,
    mut reading: Reading,
) -> Result<Sound, AuditError> {
    let mut sound = files::pass(files, what, trust, &mut reading).await?;
    let runs = reading.semantics.take();
    if let Some(mut again) = reading.again() {
        sound = files::pass(files, what, trust, &mut again).await?;
    }
    sound.runs = runs.map(Semantics::finish);
    Ok(sound)
}

/// A backup that was verified.
pub struct VerifiedBackup {
    /// What is in it.
    pub sound: Sound,
    /// The archive's own.
    pub digest: Digest,
    /// To read the very same file again.
    pub reader: Reader,
}

/// Verifies a backup.
pub async fn archive(
    mut reader: Reader,
    what: &str,
    trust: &Trust,
    mut reading: Reading,
) -> Result<VerifiedBackup, AuditError> {
    let (mut sound, mut digest) =
        backup::pass(&mut reader, what, trust, &mut reading, &mut Nobody).await?;
    let runs = reading.semantics.take();
    reader = reader.again().map_err(AuditError::archive(what))?;
    if let Some(mut again) = reading.again() {
        (sound, digest) = backup::pass(&mut reader, what, trust, &mut again, &mut Nobody).await?;
        reader = reader.again().map_err(AuditError::archive(what))?;
    }
    sound.runs = runs.map(Semantics::finish);
    Ok(VerifiedBackup {
        sound,
        digest,
        reader,
    })
}

/// Reads a verified backup once more and hands everything on.
pub async fn hand_on(
    reader: &mut Reader,
    what: &str,
    trust: &Trust,
    receiver: &mut impl Receiver,
) -> Result<Digest, AuditError> {
    let passed = backup::pass(reader, what, trust, &mut Reading::default(), receiver).await?;
    Ok(passed.1)
}

/// Verifies a store.
pub async fn tables_of(
    opened: &Opened,
    trust: &Trust,
    mut reading: Reading,
) -> Result<Sound, AuditError> {
    let mut sound = tables::pass(opened, trust, &mut reading).await?;
    let runs = reading.semantics.take();
    if let Some(mut again) = reading.again() {
        sound = tables::pass(opened, trust, &mut again).await?;
    }
    sound.runs = runs.map(Semantics::finish);
    Ok(sound)
}

/// What the records say of runs, if it makes sense.
fn told(what: &str, runs: Verdict) -> Result<String, AuditError> {
    if !runs.missteps.is_empty() {
        return Err(AuditError::Senseless {
            what: what.to_owned(),
            missteps: Missteps(runs.missteps),
        });
    }
    let (ended, going_on) = (runs.ended, runs.going_on);
    let mut text =
        format!("runs: {ended} ended, {going_on} go on; nothing began unplanned or unapproved\n");
    if runs.doubtful > 0 {
        let doubtful = runs.doubtful;
        text.push_str(&format!(
            "note: of {doubtful} more runs records were lost with a log that is not here whole: nothing is said of them\n"
        ));
    }
    Ok(text)
}

/// What was verified, in words.
pub fn report(sound: &Sound) -> String {
    let mut text = String::new();
    for log in sound.logs.iter().rev() {
        let examined = &log.examined;
        text.push_str(&format!(
            "verified: {} leaves of {}\n  root {}\n",
            examined.size, log.origin, examined.root
        ));
        if let Some(unsigned) = log
            .signed
            .map(|signed| examined.size.saturating_sub(signed))
            && unsigned > 0
        {
            text.push_str(&format!(
                "  {unsigned} of them came after the newest checkpoint and are not signed\n"
            ));
        }
    }
    text.extend(sound.notes.iter().map(|note| format!("note: {note}\n")));
    text
}
