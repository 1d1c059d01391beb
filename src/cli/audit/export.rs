//! Floor 3: `neuralops audit export`: the log as static files (C2SP tlog-tiles). Full files are written once; an export
//! that was interrupted goes on where it ended, and readers see the old log until the new checkpoint is in place.

use std::path::PathBuf;

use super::{
    AuditError,
    keys::KeyArgs,
    store::{Opened, StoreArgs},
    trust::{Beside, Trust},
};
use crate::{
    adapters::archive::{
        ArchiveError, CHECKPOINT, KEYS, LARGEST_TEXT, below_previous, folder::Folder, tile_bytes,
    },
    domain::audit::{
        checkpoint::Checkpoint,
        hash::Hash,
        tile::{Bundle, Tile, WIDTH, bundles, encode_entries, encode_hashes, tiles},
        tree,
    },
    ports::Log,
};

/// What `--help` ends with.
pub const HELP: &str = "\
The folder holds checkpoint, tile/… and tile/entries/… as C2SP tlog-tiles has them, keys with the keys given here, and
the logs that this one follows below previous/. Serve it with any static web server, or hand it over as it is.
Run it again to bring the folder up to date: only what is new is written.

Examples
  neuralops audit export --store sqlite:///var/lib/neuralops/audit.db --to ./export --key @keys
  neuralops audit verify ./export --key @keys";

/// Export the log.
#[derive(clap::Args, Debug)]
pub struct ExportArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// The folder; made if it is not there
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &ExportArgs) -> Result<String, AuditError> {
    let trust = Trust::new(args.keys.load()?);
    let opened = args.store.open().await?;
    let logs = opened.logs().await?;
    let mut report = String::new();
    let mut export = Export {
        opened: &opened,
        trust: &trust,
        what: args.to.display().to_string(),
        folder: Folder::new(&args.to),
        written: 0,
    };
    for (n, log) in (1..).zip(&logs) {
        let newest = n == logs.len();
        let below = if newest {
            String::new()
        } else {
            below_previous(n)
        };
        let size = export.log(log, &below, newest).await?;
        report.push_str(&format!("{size} leaves of {}\n", log.origin));
    }
    report.push_str(&format!(
        "{} files written to {}\n",
        export.written, export.what
    ));
    Ok(report)
}

struct Export<'a> {
    opened: &'a Opened,
    trust: &'a Trust,
    what: String,
    folder: Folder,
    written: usize,
}

impl Export<'_> {
    /// Brings one log up to date; the size of its checkpoint.
    async fn log(&mut self, log: &Log, below: &str, newest: bool) -> Result<u64, AuditError> {
        let saved = self
            .opened
            .ask(|store| store.checkpoint(log.number))
            .await?;
        let saved = saved.ok_or_else(|| {
            AuditError::NotThere(format!(
                "no checkpoint of {} was published: without one there is nothing to export",
                log.origin
            ))
        })?;
        let place = format!("log {}, checkpoint of {} leaves", log.number.0, saved.size);
        let beside = Beside {
            place: &place,
            note: &saved.note,
            origin: &log.origin,
        };
        if newest || self.trust.knows(&log.origin) {
            self.trust
                .open(&beside)
                .map_err(AuditError::refuted(&self.opened.name))?;
        }
        let before = self.before(log, below, saved.size).await?;
        // Of a log that was followed, all that there is; its follower vouches for the leaves behind the checkpoint.
        let mut sizes = vec![saved.size];
        if !newest && log.size > saved.size {
            sizes.push(log.size);
        }
        for size in sizes {
            self.files(log, below, size).await?;
        }
        if newest {
            let keys: String = self
                .trust
                .keys
                .iter()
                .map(|key| format!("{key}\n"))
                .collect();
            self.put(KEYS, keys.as_bytes())?;
        }
        self.folder
            .settle()
            .map_err(AuditError::archive(&self.what))?;
        self.put(&format!("{below}{CHECKPOINT}"), saved.note.as_bytes())?;
        self.folder
            .settle()
            .map_err(AuditError::archive(&self.what))?;
        self.drop_partial(below, before, saved.size)?;
        Ok(saved.size)
    }

    /// The size that was exported before, if that was of this log as it is.
    async fn before(&self, log: &Log, below: &str, size: u64) -> Result<u64, AuditError> {
        let path = format!("{below}{CHECKPOINT}");
        let note = self
            .folder
            .read(&path, LARGEST_TEXT)
            .map_err(AuditError::archive(&self.what))?;
        let Some(note) = note else { return Ok(0) };
        let note = String::from_utf8_lossy(&note).into_owned();
        let there =
            Checkpoint::read_unverified(&note).map_err(|source| AuditError::Checkpoint {
                what: format!("{}/{path}", self.what),
                source,
            })?;
        if there.origin != log.origin {
            return Err(AuditError::Usage(format!(
                "{} holds an export of {}, and the store's log is {}: export to another folder",
                self.what, there.origin, log.origin
            )));
        }
        let root = if there.size <= size {
            self.root_at(log, there.size).await?
        } else {
            None
        };
        if root != Some(there.root) {
            return Err(AuditError::Behind(format!(
                "{} holds {} leaves that the store {} does not extend: one of them was altered or put back; verify both",
                self.what, there.size, self.opened.name
            )));
        }
        Ok(there.size)
    }

    async fn root_at(&self, log: &Log, size: u64) -> Result<Option<Hash>, AuditError> {
        let recipe = tree::root_recipe(size);
        let hashes = self
            .opened
            .ask(|store| store.hashes(log.number, recipe.positions()))
            .await?;
        Ok(recipe
            .cook(&hashes)
            .and_then(|roots| roots.first().copied()))
    }

    /// Every file of a log of this size that is not there yet.
    async fn files(&mut self, log: &Log, below: &str, size: u64) -> Result<(), AuditError> {
        for bundle in bundles(size) {
            let path = format!("{below}{}", bundle.path());
            if !self.folder.exists(&path) {
                let bytes = bundle_bytes(self.opened, log, bundle).await?;
                self.put(&path, &bytes)?;
            }
        }
        for tile in tiles(size) {
            let path = format!("{below}{}", tile.path());
            if !self.folder.has(&path, tile_bytes(tile.width)) {
                let bytes = tile_content(self.opened, log, tile).await?;
                self.put(&path, &bytes)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, path: &str, bytes: &[u8]) -> Result<(), AuditError> {
        self.written += 1;
        self.folder
            .write(path, bytes)
            .map_err(AuditError::archive(&self.what))
    }

    /// Removes partial files of which there is the full one now.
    fn drop_partial(&self, below: &str, before: u64, size: u64) -> Result<(), AuditError> {
        let filled =
            |count: u64, by: u64| (by - by % u64::from(WIDTH)) > count - count % u64::from(WIDTH);
        let mut full = Vec::new();
        for tile in tiles(before).filter(|tile| tile.width < WIDTH) {
            let level = 8 * u32::from(tile.level);
            if filled(before >> level, size >> level) {
                full.push(
                    Tile {
                        width: WIDTH,
                        ..tile
                    }
                    .path(),
                );
            }
        }
        for bundle in bundles(before).filter(|bundle| bundle.width < WIDTH) {
            if filled(before, size) {
                full.push(
                    Bundle {
                        width: WIDTH,
                        ..bundle
                    }
                    .path(),
                );
            }
        }
        full.iter()
            .try_for_each(|path| self.folder.drop_partial(&format!("{below}{path}")))
            .map_err(AuditError::archive(&self.what))
    }
}

/// What a bundle holds.
pub async fn bundle_bytes(
    opened: &Opened,
    log: &Log,
    bundle: Bundle,
) -> Result<Vec<u8>, AuditError> {
    let first = bundle.n * u64::from(WIDTH);
    let leaves = opened
        .ask(|store| store.leaves(log.number, first, bundle.width.into()))
        .await?;
    let bodies: Vec<&[u8]> = leaves.iter().map(|leaf| leaf.body.as_slice()).collect();
    let whole = bodies.len() == usize::from(bundle.width);
    encode_entries(&bodies)
        .filter(|_| whole)
        .ok_or_else(|| no_form(bundle.path()))
}

/// What a tile holds.
pub async fn tile_content(opened: &Opened, log: &Log, tile: Tile) -> Result<Vec<u8>, AuditError> {
    let positions = tile.positions();
    let hashes = opened
        .ask(|store| store.hashes(log.number, &positions))
        .await?;
    Ok(encode_hashes(&hashes))
}

fn no_form(path: String) -> AuditError {
    AuditError::archive(&path)(ArchiveError::Form(path.clone()))
}
