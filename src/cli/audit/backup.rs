//! Floor 3: `neuralops audit backup`: everything in one archive. It is called a backup only after the very code of `verify`
//! has read it back from the disk; until then it has another name.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{
    AuditError,
    export::{bundle_bytes, tile_content},
    keys::KeyArgs,
    leaf::record,
    request,
    store::{Opened, StoreArgs},
    trust::Trust,
    verify,
};
use crate::{
    adapters::archive::{
        CHECKPOINT, KEYS, MANIFEST,
        backup::{Reader, Writer},
        manifest::{LogInBackup, Manifest},
        texts, texts_path,
    },
    domain::{
        audit::{
            checkpoint::Checkpoint,
            hash::Hash,
            record::Root,
            request::Request,
            tile::{Bundle, Tile, WIDTH, bundles},
        },
        digest::Digest,
    },
    ports::{Log, SavedCheckpoint},
};

/// What `--help` ends with.
pub const HELP: &str = "\
The archive holds the tiles of every log of the store up to its newest checkpoint, the texts beside them, and the keys
given here. The same content gives the same bytes. It is verified before it gets its name, and the leader is asked to
record its digest (backup.verified).

Exit codes are those of `verify`: 3 says that the store is not what it claims to be, and then there is no archive.

Example
  neuralops audit backup --store sqlite:///var/lib/neuralops/audit.db --to audit-2026-03-01.tar.gz --key @keys";

/// Make a backup.
#[derive(clap::Args, Debug)]
pub struct BackupArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// The archive; nothing may be there yet
    #[arg(long, value_name = "FILE.tar.gz")]
    to: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
}

/// One log, as far as it goes into the archive.
struct Part {
    log: Log,
    saved: Option<SavedCheckpoint>,
    entry: LogInBackup,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &BackupArgs) -> Result<String, AuditError> {
    let trust = Trust::new(args.keys.load()?);
    let opened = args.store.open().await?;
    let failed = |source| AuditError::Write {
        path: args.to.clone(),
        source,
    };
    if args.to.exists() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let mut name = args.to.file_name().unwrap_or_default().to_owned();
    name.push(".unverified");
    let temporary = args.to.with_file_name(name);
    // Left by a run that was ended; it was never a backup.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let made = make(&opened, &temporary, &trust).await;
    let (digest, size, root) = match made {
        Ok(made) => made,
        Err(error) => {
            // It is no backup, and what is wrong is said already.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
    };
    fs::rename(&temporary, &args.to)
        .and_then(|()| sync_folder(&args.to))
        .map_err(failed)?;
    let request = Request::BackupVerified {
        archive: digest.clone(),
        size,
        root: Root(root),
    };
    let number = request::ask(&opened, &request).await?;
    Ok(format!(
        "{}: {size} leaves, root {root}, verified\n{digest}\nthe leader is asked to record it as backup.verified (request {number})\n",
        args.to.display()
    ))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Writes the archive and verifies it.
async fn make(
    opened: &Opened,
    path: &Path,
    trust: &Trust,
) -> Result<(Digest, u64, Hash), AuditError> {
    write(opened, path, trust).await?;
    let what = path.display().to_string();
    let reader = Reader::open(path).map_err(AuditError::archive(&what))?;
    let verified = verify::archive(reader, &what, trust, verify::Reading::default()).await?;
    let newest = verified.sound.logs.last().map(|log| &log.examined);
    let (size, root) = newest
        .map(|examined| (examined.size, examined.root))
        .ok_or_else(|| AuditError::NotThere(format!("{what} holds no log")))?;
    Ok((verified.digest, size, root))
}

async fn write(opened: &Opened, path: &Path, trust: &Trust) -> Result<(), AuditError> {
    let parts = parts(opened).await?;
    let manifest = Manifest::new(parts.iter().map(|part| part.entry.clone()).collect());
    let what = path.display().to_string();
    let mut archive = Writer::create(path).map_err(AuditError::archive(&what))?;
    let mut add =
        |name: &str, bytes: &[u8]| archive.add(name, bytes).map_err(AuditError::archive(&what));
    add(
        MANIFEST,
        &manifest.to_bytes().map_err(AuditError::archive(&what))?,
    )?;
    let keys: String = trust.keys.iter().map(|key| format!("{key}\n")).collect();
    add(KEYS, keys.as_bytes())?;
    for ((below, entry), part) in manifest.placed().iter().zip(&parts) {
        if let Some(saved) = &part.saved {
            add(&format!("{below}{CHECKPOINT}"), saved.note.as_bytes())?;
        }
        for tile in verify::above_leaves(entry.size) {
            let bytes = tile_content(opened, &part.log, tile).await?;
            add(&format!("{below}{}", tile.path()), &bytes)?;
        }
        for bundle in bundles(entry.size) {
            let Bundle { n, width } = bundle;
            let tile = Tile { level: 0, n, width };
            let bytes = tile_content(opened, &part.log, tile).await?;
            add(&format!("{below}{}", tile.path()), &bytes)?;
            let bytes = bundle_bytes(opened, &part.log, bundle).await?;
            add(&format!("{below}{}", bundle.path()), &bytes)?;
            let texts = texts_of(opened, &part.log, bundle).await?;
            if !texts.is_empty() {
                add(&format!("{below}{}", texts_path(n)), &texts)?;
            }
        }
    }
    archive.finish().map_err(AuditError::archive(&what))
}

/// What goes into the archive: the newest log up to its newest checkpoint, those before it whole.
async fn parts(opened: &Opened) -> Result<Vec<Part>, AuditError> {
    let logs = opened.logs().await?;
    let newest = logs.last().map(|log| log.number);
    let mut parts = Vec::new();
    for log in logs {
        let saved = opened.ask(|store| store.checkpoint(log.number)).await?;
        let (size, root) = match &saved {
            Some(saved) if newest == Some(log.number) => {
                let checkpoint = Checkpoint::read_unverified(&saved.note);
                let checkpoint = checkpoint.map_err(|source| AuditError::Checkpoint {
                    what: format!("the store {}", opened.name),
                    source,
                })?;
                (checkpoint.size, checkpoint.root)
            }
            None if newest == Some(log.number) => {
                return Err(AuditError::NotThere(format!(
                    "no checkpoint of {} was published yet: there is nothing to back up",
                    log.origin
                )));
            }
            _ => (log.size, log.root),
        };
        parts.push(Part {
            entry: LogInBackup {
                origin: log.origin.clone(),
                size,
                root: Root(root),
            },
            log,
            saved,
        });
    }
    Ok(parts)
}

/// The texts beside the leaves of a bundle, as far as their time is not over.
async fn texts_of(opened: &Opened, log: &Log, bundle: Bundle) -> Result<Vec<u8>, AuditError> {
    let first = bundle.n * u64::from(WIDTH);
    let leaves = opened
        .ask(|store| store.leaves(log.number, first, bundle.width.into()))
        .await?;
    let mut found = Vec::new();
    for leaf in &leaves {
        if let Some(digest) = &record(leaf)?.fact.details
            && let Some(text) = opened.ask(|store| store.payload(digest)).await?
        {
            found.push((leaf.at.index, text));
        }
    }
    Ok(texts::encode(&found))
}
