//! Floor 3: feeds an export to the examination: tiles and bundles side by side, in order, some ahead where they come from
//! a server.

use std::collections::HashMap;

use futures::future::try_join_all;

use crate::{
    adapters::archive::{CHECKPOINT, Files, Found, LARGEST_TEXT, MOST_LOGS, below_previous},
    cli::audit::{
        AuditError,
        trust::{Beside, Sound, SoundLog, Trust},
        verify::reading::Reading,
    },
    domain::audit::{
        checkpoint::Checkpoint,
        examine::{Claim, Claimant, Examiner, Finding, Leaves, Medium},
        hash::Hash,
        record::{Record, Standing},
        tile::{Bundle, Tile, TileError, WIDTH, bundles, decode_entries, decode_hashes, tiles},
    },
};

/// One log of an export.
struct LogThere {
    below: String,
    origin: String,
    size: u64,
    claims: Vec<Claim>,
    signed: Option<u64>,
}

/// Examines every log of the export once.
pub async fn pass(
    files: &Files,
    what: &str,
    trust: &Trust,
    reading: &mut Reading,
) -> Result<Sound, AuditError> {
    let logs = survey(files, what, trust).await?;
    let origins: Vec<&str> = logs.iter().map(|log| log.origin.as_str()).collect();
    trust
        .are_there(&origins)
        .map_err(AuditError::refuted(what))?;
    let mut sound = Sound::default();
    for log in logs {
        let medium = Medium::Files {
            below: log.below.clone(),
            size: log.size,
        };
        let mut examiner = Examiner::new(medium, log.claims);
        reading.begin(&log.origin);
        let feed = Feed {
            files,
            below: &log.below,
            size: log.size,
        };
        feed.all(&mut examiner, reading)
            .await
            .map_err(AuditError::archive(what))?;
        sound.logs.push(SoundLog {
            examined: examiner.finish().map_err(AuditError::refuted(what))?,
            origin: log.origin,
            signed: log.signed,
        });
    }
    sound.link(what)
}

/// Which logs there are, oldest first, and what speaks for each.
async fn survey(files: &Files, what: &str, trust: &Trust) -> Result<Vec<LogThere>, AuditError> {
    let mut notes = Vec::new();
    for n in 1..MOST_LOGS {
        let below = below_previous(n);
        match checkpoint_note(files, what, &below).await? {
            Some(note) => notes.push((below, note)),
            None => break,
        }
    }
    let newest = checkpoint_note(files, what, "").await?.ok_or_else(|| {
        AuditError::NotThere(format!(
            "{what} holds no checkpoint: it is no export of a log"
        ))
    })?;
    notes.push((String::new(), newest));
    let mut logs = Vec::new();
    // From the newest on, because each says how its predecessor ended.
    let mut follower: Option<(String, Vec<Standing>)> = None;
    for (below, note) in notes.into_iter().rev() {
        let place = format!("{below}{CHECKPOINT}");
        let unverified = Checkpoint::read_unverified(&note).map_err(|source| {
            AuditError::refuted(what)(Finding::NotSigned {
                place: place.clone(),
                source,
            })
        })?;
        let beside = Beside {
            place: &place,
            note: &note,
            origin: &unverified.origin,
        };
        let log = claimed(below, &beside, &unverified, follower.take(), trust)
            .map_err(AuditError::refuted(what))?;
        let follows = first_leaf(files, &log)
            .await
            .map_err(AuditError::archive(what))?;
        follower = Some((log.origin.clone(), follows));
        logs.push(log);
    }
    logs.reverse();
    Ok(logs)
}

fn claimed(
    below: String,
    beside: &Beside,
    unverified: &Checkpoint,
    follower: Option<(String, Vec<Standing>)>,
    trust: &Trust,
) -> Result<LogThere, Finding> {
    let mut claims = trust.claims(&unverified.origin);
    let mut size = unverified.size;
    let mut signed = None;
    // Of a log that was followed, the log that follows vouches for what no given key does.
    if follower.is_none() || trust.knows(&unverified.origin) {
        let checkpoint = trust.open(beside)?;
        signed = Some(checkpoint.size);
        claims.push(Claim {
            by: Claimant::Checkpoint,
            size: checkpoint.size,
            root: checkpoint.root,
        });
    }
    if let Some((origin, follows)) = follower
        && let Some(end) = follows
            .iter()
            .rev()
            .find(|end| end.origin.as_str() == unverified.origin)
        && end.size >= size
    {
        size = end.size;
        claims.push(Claim {
            by: Claimant::Follower(origin),
            size,
            root: end.root.0,
        });
    }
    Ok(LogThere {
        below,
        origin: unverified.origin.clone(),
        size,
        claims,
        signed,
    })
}

async fn checkpoint_note(
    files: &Files,
    what: &str,
    below: &str,
) -> Result<Option<String>, AuditError> {
    let read = files
        .read(&format!("{below}{CHECKPOINT}"), LARGEST_TEXT)
        .await;
    let bytes = read.map_err(AuditError::archive(what))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// What the first leaf says that the log follows; nothing if it does not read, which the examination will find.
async fn first_leaf(
    files: &Files,
    log: &LogThere,
) -> Result<Vec<Standing>, crate::adapters::archive::ArchiveError> {
    let Some(first) = bundles(log.size).next() else {
        return Ok(Vec::new());
    };
    let found = files.bundle(&log.below, first).await?;
    let record = found.and_then(|found| {
        let entries = decode_entries(&found.bytes, found.width).ok()?;
        Record::parse(entries.first()?).ok()
    });
    Ok(record.map(|record| record.fact.logs).unwrap_or_default())
}

/// The hashes above the leaves, by level of tiles and number of the tile.
pub type Upper = HashMap<(u8, u64), Vec<Hash>>;

/// The tiles above those of the leaves. A tile of a level is to a log what one of the level below is to a log of as many
/// leaves as that has full tiles: nothing goes through the tiles of the leaves, of which somebody may claim any number.
pub fn above_leaves(size: u64) -> impl Iterator<Item = Tile> {
    tiles(size / u64::from(WIDTH)).map(|tile| Tile {
        level: tile.level.saturating_add(1),
        ..tile
    })
}

/// The stored hash of this level and number, from one tile of leaf hashes and those above.
pub fn stored(leaves: &[Hash], upper: &Upper, level: u32, n: u64) -> Option<Hash> {
    let width = u64::from(WIDTH);
    let at = usize::try_from(n % width).ok()?;
    match level {
        0 => leaves.get(at).copied(),
        _ if level.is_multiple_of(8) => {
            let tile = (u8::try_from(level / 8).ok()?, n / width);
            upper.get(&tile)?.get(at).copied()
        }
        _ => None,
    }
}

/// What a tile is over.
pub fn under(tile: Tile) -> Leaves {
    let first = tile.n << (8 * (u32::from(tile.level) + 1));
    let count = u64::from(tile.width) << (8 * u32::from(tile.level));
    Leaves {
        first,
        last: first + count.saturating_sub(1),
    }
}

/// One log's files.
struct Feed<'a> {
    files: &'a Files,
    below: &'a str,
    size: u64,
}

impl Feed<'_> {
    async fn all(
        &self,
        examiner: &mut Examiner,
        reading: &mut Reading,
    ) -> Result<(), crate::adapters::archive::ArchiveError> {
        let mut upper = Upper::new();
        for tile in above_leaves(self.size) {
            let found = self.files.tile(self.below, tile).await?;
            let hashes = self.hashes(examiner, tile, found);
            if examiner.is_settled() {
                return Ok(());
            }
            upper.insert((tile.level, tile.n), hashes);
        }
        let mut all = bundles(self.size);
        loop {
            let some: Vec<Bundle> = all.by_ref().take(self.files.at_once()).collect();
            if some.is_empty() {
                return Ok(());
            }
            let fetched = some.iter().map(async |bundle| {
                let tile = Tile {
                    level: 0,
                    n: bundle.n,
                    width: bundle.width,
                };
                let hashes = self.files.tile(self.below, tile).await?;
                let entries = self.files.bundle(self.below, *bundle).await?;
                Ok((*bundle, tile, hashes, entries))
            });
            for (bundle, tile, hashes, entries) in try_join_all(fetched).await? {
                let Some(entries) = entries else {
                    // Nothing after it has its place; whoever claims that there are more leaves is named at the end.
                    return Ok(());
                };
                let hashes = self.hashes(examiner, tile, hashes);
                self.entries(examiner, reading, bundle, entries, |level, n| {
                    stored(&hashes, &upper, level, n)
                });
                if examiner.is_settled() {
                    return Ok(());
                }
            }
        }
    }

    /// The hashes of a tile; what is wrong with it is told to the examiner.
    fn hashes(&self, examiner: &mut Examiner, tile: Tile, found: Option<Found>) -> Vec<Hash> {
        let leaves = under(tile);
        let place = format!("{}{}", self.below, tile.path());
        let Some(found) = found else {
            examiner.fail(Finding::TileMissing { leaves, place });
            return Vec::new();
        };
        match decode_hashes(&found.bytes, found.width) {
            Ok(hashes) => hashes,
            Err(source) => {
                examiner.fail(Finding::BadFile {
                    leaf: leaves.first,
                    place,
                    source,
                });
                Vec::new()
            }
        }
    }

    fn entries(
        &self,
        examiner: &mut Examiner,
        reading: &mut Reading,
        bundle: Bundle,
        found: Found,
        stored: impl Fn(u32, u64) -> Option<Hash>,
    ) {
        match decode_entries(&found.bytes, found.width) {
            Ok(entries) => {
                for entry in entries.into_iter().take(bundle.width.into()) {
                    reading.leaf(examiner, entry, &stored);
                }
            }
            Err(source) => examiner.fail(bad_bundle(self.below, bundle, found.width, source)),
        }
    }
}

/// What is wrong with a bundle, by the first leaf that it spoils.
pub fn bad_bundle(below: &str, bundle: Bundle, width: u16, source: TileError) -> Finding {
    let first = bundle.n * u64::from(WIDTH);
    let leaf = match source {
        TileError::Short(at) => first + u64::from(at),
        TileError::Long(_) => first + u64::from(width),
        TileError::Hashes { .. } => first,
    };
    Finding::BadFile {
        leaf,
        place: format!("{below}{}", bundle.path()),
        source,
    }
}
