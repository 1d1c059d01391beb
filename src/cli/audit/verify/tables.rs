//! Floor 3: feeds a store to the examination: leaves and all stored hashes, checkpoints, head and texts. It only reads,
//! and a log that grows meanwhile is examined as it stood at the beginning.

use crate::{
    cli::audit::{
        AuditError,
        store::Opened,
        trust::{Beside, Sound, SoundLog, Trust},
        verify::reading::Reading,
    },
    domain::audit::{
        examine::{Claim, Claimant, Examiner, Finding, Medium},
        hash::Hash,
        record::Record,
        tree::{leaf_position, stored},
    },
    ports::{Leaf, Log, StoreError},
};

/// Leaves that are read together.
const PAGE: u32 = 2048;
/// Checkpoints that are read together.
const CHECKPOINTS: u32 = 1000;

/// Examines every log of the store once.
pub async fn pass(
    opened: &Opened,
    trust: &Trust,
    reading: &mut Reading,
) -> Result<Sound, AuditError> {
    let refuted = AuditError::refuted::<&str>;
    let what = opened.name.as_str();
    let logs = opened.logs().await?;
    let origins: Vec<&str> = logs.iter().map(|log| log.origin.as_str()).collect();
    trust.are_there(&origins).map_err(refuted(what))?;
    let newest = logs.last().map(|log| log.number);
    let mut spoken = Vec::new();
    for log in &logs {
        let mut claims = trust.claims(&log.origin);
        let mut signed = None;
        if newest == Some(log.number) || trust.knows(&log.origin) {
            signed = checkpoints(opened, log, trust, &mut claims).await?;
            if signed.is_none() && newest == Some(log.number) {
                return Err(AuditError::NotThere(format!(
                    "no checkpoint of {} was published yet: nothing signs its {} leaves",
                    log.origin, log.size
                )));
            }
        }
        spoken.push((log.number, claims, signed));
    }
    // The heads after the checkpoints: where the log grows meanwhile, no checkpoint that was read is ahead of them.
    let heads = opened.ask(|store| store.logs()).await?;
    let mut sound = Sound::default();
    for (number, mut claims, signed) in spoken {
        let Some(log) = heads.iter().find(|log| log.number == number) else {
            continue;
        };
        claims.push(Claim {
            by: Claimant::Head,
            size: log.size,
            root: log.root,
        });
        let mut feed = Feed {
            opened,
            log,
            examiner: Examiner::new(Medium::Store { log: number.0 }, claims),
        };
        reading.begin(&log.origin);
        feed.all(reading).await?;
        sound.logs.push(SoundLog {
            origin: log.origin.clone(),
            examined: feed.examiner.finish().map_err(refuted(what))?,
            signed,
        });
    }
    if let Some(damage) = opened.ask(|store| store.check()).await?.into_iter().next() {
        return Err(refuted(what)(Finding::Damaged(damage)));
    }
    sound.link(what)
}

/// Every published checkpoint of a log, as claims; the size of the newest.
async fn checkpoints(
    opened: &Opened,
    log: &Log,
    trust: &Trust,
    claims: &mut Vec<Claim>,
) -> Result<Option<u64>, AuditError> {
    let mut newest: Option<u64> = None;
    loop {
        let above = newest.unwrap_or_default();
        let page = opened
            .ask(|store| store.checkpoints(log.number, above, CHECKPOINTS))
            .await?;
        for saved in &page {
            let place = format!("log {}, checkpoint of {} leaves", log.number.0, saved.size);
            let beside = Beside {
                place: &place,
                note: &saved.note,
                origin: &log.origin,
            };
            let checkpoint = trust
                .open(&beside)
                .map_err(AuditError::refuted(&opened.name))?;
            if checkpoint.size != saved.size {
                let what = format!("{place} says {} leaves", checkpoint.size);
                return Err(AuditError::refuted(&opened.name)(Finding::Damaged(what)));
            }
            newest = Some(checkpoint.size);
            claims.push(Claim {
                by: Claimant::Saved,
                size: checkpoint.size,
                root: checkpoint.root,
            });
        }
        if page.len() < CHECKPOINTS as usize {
            break;
        }
    }
    if let Some(claim) = claims.last_mut().filter(|_| newest.is_some()) {
        claim.by = Claimant::Checkpoint;
    }
    Ok(newest)
}

/// One log's tables.
struct Feed<'a> {
    opened: &'a Opened,
    log: &'a Log,
    examiner: Examiner,
}

impl Feed<'_> {
    async fn all(&mut self, reading: &mut Reading) -> Result<(), AuditError> {
        let size = self.log.size;
        while self.examiner.size() < size && !self.examiner.is_settled() {
            let from = self.examiner.size();
            let count = u32::try_from(size - from).map_or(PAGE, |left| left.min(PAGE));
            let page = match self.page(from, count).await? {
                Ok(page) => page,
                // Which of them it is shows one by one.
                Err(_) => match self.page(from, 1).await? {
                    Ok(page) => page,
                    Err(damage) => {
                        let missing = format!("leaf {from}: {damage}");
                        self.examiner.fail(Finding::Damaged(missing));
                        return Ok(());
                    }
                },
            };
            if page.0.is_empty() {
                return Ok(());
            }
            self.examine(reading, page).await?;
        }
        // Nothing stands behind the end, unless the log has grown since.
        let beyond = self.opened.store.leaves(self.log.number, size, 1).await;
        if let Err(StoreError::Damaged(_)) = beyond {
            self.examiner.fail(Finding::HeadLowered {
                log: self.log.number.0,
                size,
            });
        }
        Ok(())
    }

    /// Some leaves and the hashes that they complete, or what is damaged about them.
    async fn page(
        &self,
        from: u64,
        count: u32,
    ) -> Result<Result<(Vec<Leaf>, Vec<Hash>), String>, AuditError> {
        let number = self.log.number;
        let leaves = match self.damage(self.opened.store.leaves(number, from, count).await)? {
            Ok(leaves) => leaves,
            Err(damage) => return Ok(Err(damage)),
        };
        let first = stored(from);
        let hashes = stored(from + leaves.len() as u64) - first;
        let hashes = u32::try_from(hashes).unwrap_or(u32::MAX);
        let hashes = self.opened.store.hash_run(number, first, hashes).await;
        Ok(self.damage(hashes)?.map(|hashes| (leaves, hashes)))
    }

    fn damage<T>(&self, answer: Result<T, StoreError>) -> Result<Result<T, String>, AuditError> {
        match answer {
            Ok(value) => Ok(Ok(value)),
            Err(StoreError::Damaged(damage)) => Ok(Err(damage)),
            Err(source) => Err(AuditError::Store {
                store: self.opened.name.clone(),
                source,
            }),
        }
    }

    async fn examine(
        &mut self,
        reading: &mut Reading,
        (leaves, hashes): (Vec<Leaf>, Vec<Hash>),
    ) -> Result<(), AuditError> {
        let first = stored(self.examiner.size());
        for leaf in leaves {
            let index = self.examiner.size();
            let at = leaf_position(index) - first;
            let record = reading.leaf(&mut self.examiner, &leaf.body, |level, _| {
                let at = usize::try_from(at + u64::from(level)).ok()?;
                hashes.get(at).copied()
            });
            if let Some(record) = record {
                self.beside(index, &leaf, &record).await?;
            }
        }
        Ok(())
    }

    /// What the store has beside the leaf.
    async fn beside(&mut self, index: u64, leaf: &Leaf, record: &Record) -> Result<(), AuditError> {
        let place = format!("log {}", self.log.number.0);
        if leaf.id != record.fact.id {
            self.examiner.fail(Finding::OtherId {
                leaf: index,
                place: place.clone(),
                found: leaf.id,
                id: record.fact.id,
            });
        }
        let Some(digest) = &record.fact.details else {
            return Ok(());
        };
        match self.damage(self.opened.store.payload(digest).await)? {
            Ok(Some(text)) => self.examiner.text(index, record, &text),
            // Its time is over.
            Ok(None) => {}
            Err(_) => self
                .examiner
                .fail(Finding::TextAltered { leaf: index, place }),
        }
        Ok(())
    }
}
