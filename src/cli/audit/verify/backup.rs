//! Floor 3: feeds a backup to the examination, in the order of its files, and hands what was good on to whoever puts it
//! back.

use super::files::{Upper, above_leaves, bad_bundle, stored, under};
use crate::{
    adapters::archive::{
        ArchiveError, CHECKPOINT, LARGEST_TEXT, LARGEST_TEXTS, backup::Reader, largest_bundle,
        manifest::LogInBackup, texts, texts_path, tile_bytes,
    },
    cli::audit::{
        AuditError,
        trust::{Beside, Sound, SoundLog, Trust},
        verify::reading::Reading,
    },
    domain::{
        audit::{
            checkpoint::Checkpoint,
            examine::{Claim, Claimant, Examiner, Finding, Medium},
            hash::Hash,
            record::{Payload, Record},
            tile::{Bundle, Tile, WIDTH, bundles, decode_entries, decode_hashes},
        },
        digest::Digest,
    },
};

/// A leaf that was examined.
pub struct Taken {
    /// Its body.
    pub body: Vec<u8>,
    /// What that says.
    pub record: Record,
    /// The text beside it.
    pub text: Option<Payload>,
}

/// Takes what was examined, log after log.
pub trait Receiver {
    /// A log begins.
    async fn begin(&mut self, log: &LogInBackup) -> Result<(), AuditError>;
    /// Its next leaves.
    async fn leaves(&mut self, leaves: Vec<Taken>) -> Result<(), AuditError>;
    /// It ends; this is its checkpoint.
    async fn end(&mut self, checkpoint: Option<(Checkpoint, String)>) -> Result<(), AuditError>;
}

/// Wants nothing.
pub struct Nobody;

impl Receiver for Nobody {
    async fn begin(&mut self, _: &LogInBackup) -> Result<(), AuditError> {
        Ok(())
    }

    async fn leaves(&mut self, _: Vec<Taken>) -> Result<(), AuditError> {
        Ok(())
    }

    async fn end(&mut self, _: Option<(Checkpoint, String)>) -> Result<(), AuditError> {
        Ok(())
    }
}

/// Examines every log of the backup once; with its digest.
pub async fn pass(
    reader: &mut Reader,
    what: &str,
    trust: &Trust,
    reading: &mut Reading,
    receiver: &mut impl Receiver,
) -> Result<(Sound, Digest), AuditError> {
    let refuted = AuditError::refuted::<&str>;
    let placed = reader.manifest.placed();
    let origins: Vec<&str> = placed.iter().map(|(_, log)| log.origin.as_str()).collect();
    trust.are_there(&origins).map_err(refuted(what))?;
    let mut sound = Sound::default();
    for (below, log) in &placed {
        let place = format!("{below}{CHECKPOINT}");
        let note = reader
            .take(&place, LARGEST_TEXT)
            .map_err(AuditError::archive(what))?;
        let note = note.map(|note| String::from_utf8_lossy(&note).into_owned());
        let checkpoint = match &note {
            // Of a log that was followed, the log that follows vouches for what no given key does.
            Some(_) if !below.is_empty() && !trust.knows(&log.origin) => None,
            Some(note) => {
                let beside = Beside {
                    place: &place,
                    note,
                    origin: &log.origin,
                };
                Some(trust.open(&beside).map_err(refuted(what))?)
            }
            None if below.is_empty() => {
                return Err(AuditError::archive(what)(ArchiveError::Unexpected {
                    found: "no checkpoint".to_owned(),
                    expected: place,
                }));
            }
            None => None,
        };
        receiver.begin(log).await?;
        reading.begin(&log.origin);
        let mut feed = Feed {
            reader,
            what,
            below,
            log,
            examiner: Examiner::new(
                Medium::Files {
                    below: below.clone(),
                    size: log.size,
                },
                claims(log, checkpoint.as_ref(), trust),
            ),
        };
        feed.all(reading, receiver).await?;
        sound.logs.push(SoundLog {
            origin: log.origin.clone(),
            examined: feed.examiner.finish().map_err(refuted(what))?,
            signed: checkpoint.as_ref().map(|checkpoint| checkpoint.size),
        });
        receiver.end(checkpoint.zip(note)).await?;
    }
    let digest = reader.end().map_err(AuditError::archive(what))?;
    Ok((sound.link(what)?, digest))
}

fn claims(log: &LogInBackup, checkpoint: Option<&Checkpoint>, trust: &Trust) -> Vec<Claim> {
    let mut claims = trust.claims(&log.origin);
    claims.extend(checkpoint.map(|checkpoint| Claim {
        by: Claimant::Checkpoint,
        size: checkpoint.size,
        root: checkpoint.root,
    }));
    claims.push(Claim {
        by: Claimant::Manifest,
        size: log.size,
        root: log.root.0,
    });
    claims
}

/// One log's files.
struct Feed<'a> {
    reader: &'a mut Reader,
    what: &'a str,
    below: &'a str,
    log: &'a LogInBackup,
    examiner: Examiner,
}

impl Feed<'_> {
    async fn all(
        &mut self,
        reading: &mut Reading,
        receiver: &mut impl Receiver,
    ) -> Result<(), AuditError> {
        let size = self.log.size;
        let mut upper = Upper::new();
        for tile in above_leaves(size) {
            let hashes = self.tile(tile)?;
            upper.insert((tile.level, tile.n), hashes);
        }
        for bundle in bundles(size) {
            let hashes = self.tile(Tile {
                level: 0,
                n: bundle.n,
                width: bundle.width,
            })?;
            let taken = self.bundle(reading, bundle, &hashes, &upper)?;
            if self.examiner.is_settled() {
                // What is behind it is of no use any more, and may be made to take for ever.
                return Ok(());
            }
            receiver.leaves(taken).await?;
        }
        Ok(())
    }

    fn tile(&mut self, tile: Tile) -> Result<Vec<Hash>, AuditError> {
        let place = format!("{}{}", self.below, tile.path());
        let bytes = self.expect(&place, tile_bytes(tile.width))?;
        match decode_hashes(&bytes, tile.width) {
            Ok(hashes) => Ok(hashes),
            Err(source) => {
                let leaf = under(tile).first;
                self.examiner.fail(Finding::BadFile {
                    leaf,
                    place,
                    source,
                });
                Ok(Vec::new())
            }
        }
    }

    fn bundle(
        &mut self,
        reading: &mut Reading,
        bundle: Bundle,
        hashes: &[Hash],
        upper: &Upper,
    ) -> Result<Vec<Taken>, AuditError> {
        let place = format!("{}{}", self.below, bundle.path());
        let bytes = self.expect(&place, largest_bundle(bundle.width))?;
        let mut texts = self.texts(bundle)?.into_iter().peekable();
        let entries = match decode_entries(&bytes, bundle.width) {
            Ok(entries) => entries,
            Err(source) => {
                let finding = bad_bundle(self.below, bundle, bundle.width, source);
                self.examiner.fail(finding);
                return Ok(Vec::new());
            }
        };
        let mut taken = Vec::new();
        for (leaf, entry) in (bundle.n * u64::from(WIDTH)..).zip(entries) {
            let record = reading.leaf(&mut self.examiner, entry, |level, n| {
                stored(hashes, upper, level, n)
            });
            let text = texts.next_if(|(of, _)| *of == leaf).map(|(_, text)| text);
            let Some(record) = record else { continue };
            if let Some(text) = &text {
                self.examiner.text(leaf, &record, text);
            }
            taken.push(Taken {
                body: entry.to_vec(),
                record,
                text,
            });
        }
        if let Some((leaf, _)) = texts.next() {
            let place = texts_path(bundle.n);
            let what = format!("there is one for leaf {leaf}, which is not beside them");
            self.unreadable(bundle, place, what);
        }
        Ok(taken)
    }

    fn texts(&mut self, bundle: Bundle) -> Result<Vec<(u64, Payload)>, AuditError> {
        let place = format!("{}{}", self.below, texts_path(bundle.n));
        let bytes = self.reader.take(&place, LARGEST_TEXTS);
        let Some(bytes) = bytes.map_err(AuditError::archive(self.what))? else {
            return Ok(Vec::new());
        };
        Ok(texts::decode(&bytes).unwrap_or_else(|what| {
            self.unreadable(bundle, place, what);
            Vec::new()
        }))
    }

    fn unreadable(&mut self, bundle: Bundle, place: String, what: String) {
        self.examiner.fail(Finding::TextUnreadable {
            leaf: bundle.n * u64::from(WIDTH),
            place,
            what,
        });
    }

    fn expect(&mut self, place: &str, limit: u64) -> Result<Vec<u8>, AuditError> {
        self.reader
            .expect(place, limit)
            .map_err(AuditError::archive(self.what))
    }
}
