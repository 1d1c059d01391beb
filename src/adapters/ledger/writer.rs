//! Floor 2: group commit. One transaction takes whatever waits: at once when nothing was waiting before, else up to 256
//! records or 5 ms. It knows the store and nothing of the cluster.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout, timeout_at},
};

use super::{Ack, Draft, Job, Refusal, board::Board, recall::genuine};
use crate::{
    adapters::{clock, failpoint::failpoint, kube::error::chain, metrics::Metrics, random},
    domain::{
        audit::record::{Payload, Record, RecordId, VERSION},
        reason::Reason,
    },
    ports::{Appended, Entry, Epoch, Grown, Leadership, LeafIndex, Log, Store, StoreError},
};

/// Records in one transaction.
const LARGEST_BATCH: usize = 256;
/// How long a transaction is held up for more, when many are writing.
const GATHERING: Duration = Duration::from_millis(5);
/// A store that is silent for longer is unavailable, whatever it answers in the end.
const SILENCE: Duration = Duration::from_millis(900);

/// A record that is durable, whose caller wants it anchored.
pub(super) struct Wait {
    pub(super) at: LeafIndex,
    pub(super) answer: oneshot::Sender<Result<LeafIndex, Refusal>>,
}

/// Why the writer ended.
#[derive(Debug)]
pub(super) enum WriterEnd {
    /// Nobody can send any more.
    NobodyLeft,
    /// The store failed; whoever waited has been told.
    Store(StoreError),
}

/// The one writer of a leadership.
pub(super) struct Writer {
    pub(super) store: Arc<dyn Store>,
    pub(super) fence: Arc<dyn Leadership>,
    pub(super) epoch: Epoch,
    pub(super) board: Arc<Board>,
    pub(super) log: watch::Sender<Log>,
    pub(super) waits: mpsc::UnboundedSender<Wait>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) retention: SignedDuration,
}

impl Writer {
    /// Writes until the store fails or nobody is left.
    pub(super) async fn write(&self, queue: &mut mpsc::Receiver<Job>) -> WriterEnd {
        let mut crowded = false;
        while let Some(batch) = gather(queue, crowded).await {
            crowded = batch.len() > 1;
            if let Err(error) = self.commit(batch).await {
                return WriterEnd::Store(error);
            }
        }
        WriterEnd::NobodyLeft
    }

    /// One transaction. The jobs have their answers when this returns, whatever it returns.
    async fn commit(&self, batch: Vec<Job>) -> Result<(), StoreError> {
        let (entries, jobs) = self.prepare(batch);
        if jobs.is_empty() {
            return Ok(());
        }
        if self.fence.holds().is_err() {
            // The store would refuse it too, if another replica has begun already.
            refuse(
                jobs,
                &Refusal::unavailable("this replica does not lead any more"),
            );
            return Ok(());
        }
        failpoint!("append.before");
        let began = Instant::now();
        let grown = match self.append(entries, &jobs).await {
            Ok(grown) => grown,
            Err(error) => {
                self.metrics.append_failed(jobs.len());
                refuse(jobs, &Refusal::unavailable(chain(&error)));
                return Err(error);
            }
        };
        failpoint!("append.after");
        self.board.store(None);
        let new = grown.appended.iter().filter(|appended| !appended.before);
        self.metrics.appended(new.count(), began.elapsed());
        self.metrics.log_size(grown.log.size);
        self.log.send_replace(grown.log);
        for (job, Appended { at, .. }) in jobs.into_iter().zip(grown.appended) {
            match job.ack {
                Ack::Durable => {
                    let _ = job.answer.send(Ok(at));
                }
                Ack::Anchored => {
                    let wait = Wait {
                        at,
                        answer: job.answer,
                    };
                    // An error means that both tasks are ending; the caller hears it from the dropped channel.
                    let _ = self.waits.send(wait);
                }
            }
        }
        Ok(())
    }

    /// Appends, says so when the store is silent, and believes nothing of what it says stood there already.
    async fn append(&self, entries: Vec<Entry>, jobs: &[Job]) -> Result<Grown, StoreError> {
        let mut appending = self.store.append(self.epoch, entries);
        let appended = match timeout(SILENCE, &mut appending).await {
            Ok(appended) => appended,
            Err(_) => {
                let said = format!("the store has not answered for {} ms", SILENCE.as_millis());
                self.board.store(Some(said));
                appending.await
            }
        };
        let grown = appended?;
        for (found, job) in grown.appended.iter().zip(jobs) {
            if found.before {
                self.stands(found.at, job.draft.fact.id).await?;
            }
        }
        Ok(grown)
    }

    /// That a record stood there already is believed only of a leaf that is under the tree and says the same id: whoever
    /// can write to the database could else have a step happen without its record.
    async fn stands(&self, at: LeafIndex, id: RecordId) -> Result<(), StoreError> {
        let leaves = self.store.leaves(at.log, at.index, 1).await?;
        if let Some(leaf) = leaves.first()
            && genuine(self.store.as_ref(), leaf).await?.fact.id == id
        {
            return Ok(());
        }
        Err(StoreError::Damaged(format!(
            "the record {id} is said to be leaf {} of log {}, and is not",
            at.index, at.log.0
        )))
    }

    /// Entries for the store; a record that cannot be one is answered and left out.
    fn prepare(&self, batch: Vec<Job>) -> (Vec<Entry>, Vec<Job>) {
        let now = clock::now();
        let mut entries = Vec::with_capacity(batch.len());
        let mut jobs = Vec::with_capacity(batch.len());
        for job in batch {
            // Whoever gave up waiting was refused, and does not do what this says.
            if job.answer.is_closed() {
                continue;
            }
            match entry(&job.draft, job.late, self.epoch, now, self.retention) {
                Ok(entry) => {
                    entries.push(entry);
                    jobs.push(job);
                }
                Err(message) => {
                    tracing::error!(
                        audit.code = job.draft.fact.code.code(),
                        "a record cannot be built: {message}"
                    );
                    let refusal = Refusal {
                        reason: Reason::InternalError,
                        message,
                    };
                    let _ = job.answer.send(Err(refusal));
                }
            }
        }
        (entries, jobs)
    }
}

fn refuse(jobs: Vec<Job>, refusal: &Refusal) {
    for job in jobs {
        job.refuse(refusal.clone());
    }
}

/// The next batch; none when nobody is left.
async fn gather(queue: &mut mpsc::Receiver<Job>, crowded: bool) -> Option<Vec<Job>> {
    let mut batch = Vec::new();
    if queue.recv_many(&mut batch, LARGEST_BATCH).await == 0 {
        return None;
    }
    // Alone after alone is not held up: waiting would only cost that one its time.
    if crowded || batch.len() > 1 {
        let until = Instant::now() + GATHERING;
        while batch.len() < LARGEST_BATCH {
            let room = LARGEST_BATCH - batch.len();
            match timeout_at(until, queue.recv_many(&mut batch, room)).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    }
    Some(batch)
}

/// A record as the store takes it.
pub(super) fn entry(
    draft: &Draft,
    late: Option<Timestamp>,
    epoch: Epoch,
    now: Timestamp,
    retention: SignedDuration,
) -> Result<Entry, String> {
    let mut fact = draft.fact.clone();
    // An empty text says nothing, and a store may take it for none at all.
    let payload = match draft.details.as_ref().filter(|text| !text.is_empty()) {
        Some(text) => {
            let payload = Payload {
                salt: random::bytes().map_err(|error| error.to_string())?,
                body: text.clone().into_bytes(),
            };
            fact.details = Some(payload.digest());
            Some((
                payload,
                now.saturating_add(retention).unwrap_or(Timestamp::MAX),
            ))
        }
        None => None,
    };
    let record = Record {
        v: VERSION,
        time: now,
        epoch: epoch.0,
        late,
        fact,
    };
    let body = record.to_bytes().map_err(|error| chain(&error))?;
    Ok(Entry {
        payload,
        notice: draft.notice.clone(),
        ..Entry::of(&record, body)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::{
        event::Event,
        record::{Actor, Fact, RecordId},
    };

    #[test]
    fn an_empty_text_is_none() {
        let fact = Fact::new(
            RecordId::of(&["x"]),
            Event::RunRequested,
            Actor::operator("c"),
        );
        for (details, kept) in [(None, false), (Some(""), false), (Some("a"), true)] {
            let draft = Draft {
                details: details.map(str::to_owned),
                ..Draft::from(fact.clone())
            };
            let entry = entry(
                &draft,
                None,
                Epoch(1),
                Timestamp::UNIX_EPOCH,
                SignedDuration::ZERO,
            );
            assert_eq!(entry.unwrap().payload.is_some(), kept, "{details:?}");
        }
    }
}
