//! Floor 2: the one task that writes the log: waits until this replica leads, opens the log, brings in what was spooled,
//! and writes, signs and attends until something fails; then it opens anew, with all proofs. Whatever failed, nothing is
//! written, signed or acknowledged before the log has been found whole again.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use jiff::SignedDuration;
use tokio::sync::{mpsc, watch};

use super::{
    Job, Ledger, Refusal, State, WAITING,
    anchoring::{Anchoring, AnchoringEnd},
    attendant::{self, AttendantEnd, Here},
    board::Board,
    claims::{Clerk, Order},
    opening::{NotOpened, Opened, Opener},
    own::Replica,
    spool::Spool,
    writer::{Wait, Writer, WriterEnd},
};
use crate::{
    adapters::{
        kube::{
            anchor::{Anchor, Anchored},
            events::Events,
            keys::Keys,
        },
        metrics::Metrics,
        store::{self, Mode, StoreUrl},
    },
    ports::{Epoch, Leadership, Log, Store, StoreError},
};

/// Before the second attempt to open the log; it doubles with each further one.
const SOON: Duration = Duration::from_millis(250);
/// The longest pause, and the one between two looks at a log that a person has to look into; somebody may have mended it,
/// or asked for a new origin.
const LATER: Duration = Duration::from_secs(2);
/// How long the store may take to open: a disk may hang, and a stop must come through.
const REACH: Duration = Duration::from_secs(30);
/// How long the last records may take at the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why the process has to end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Another replica writes now.
    #[error("another replica has taken the transparency log over: {0}")]
    Deposed(String),
}

/// What the writing end is made of.
pub struct Parts {
    /// Where the store is.
    pub store: StoreUrl,
    /// Where the spool lies.
    pub directory: PathBuf,
    /// The cluster's anchor.
    pub anchor: Anchor,
    /// The operator's keys.
    pub keys: Keys,
    /// For events about the anchor.
    pub events: Events,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// How long texts beside the log are kept.
    pub retention: SignedDuration,
    /// The replica's name, which no other process has.
    pub identity: String,
    /// Its configuration, without secrets.
    pub configuration: String,
    /// Whether this process may act.
    pub fence: Arc<dyn Leadership>,
}

/// The task that writes the log, before it runs.
pub struct Scribe {
    parts: Parts,
    replica: Arc<Replica>,
    opener: Opener,
    board: Arc<Board>,
    queue: mpsc::Receiver<Job>,
    orders: mpsc::Receiver<Order>,
    ledger: Ledger,
    spool: Arc<Spool>,
    store: Option<Arc<dyn Store>>,
    /// The same, for those who read.
    reach: watch::Sender<Option<Arc<dyn Store>>>,
    /// What was last acknowledged, so that a store that came back without it is found out.
    acknowledged: Option<Log>,
    /// The database has read all of itself once.
    checked: bool,
    /// The pause before the next attempt, while the store or the API server does not answer.
    pause: Duration,
    greeted: AtomicBool,
}

/// A hold on the log for everybody, and the task that writes it.
pub fn prepare(parts: Parts) -> (Ledger, Scribe) {
    let (sender, queue) = mpsc::channel(WAITING);
    let (asked, orders) = mpsc::channel(WAITING);
    let (state, shown) = watch::channel(State::Following);
    let (open, opened) = watch::channel(false);
    let (reach, store) = watch::channel(None);
    let spool = Spool::new(&parts.directory);
    parts.metrics.spool(spool.size()); // What an earlier process kept is told before this replica leads.
    let ledger = Ledger {
        queue: sender,
        orders: asked,
        state: shown,
        open: opened,
        spool: Arc::clone(&spool),
        metrics: Arc::clone(&parts.metrics),
        store,
    };
    let replica = Arc::new(Replica {
        identity: parts.identity.clone(),
        configuration: parts.configuration.clone(),
    });
    let opener = Opener {
        anchor: parts.anchor.clone(),
        keys: parts.keys.clone(),
        fence: Arc::clone(&parts.fence),
        replica: Arc::clone(&replica),
        retention: parts.retention,
    };
    let scribe = Scribe {
        board: Arc::new(Board::new(state, open, Arc::clone(&parts.metrics))),
        parts,
        replica,
        opener,
        queue,
        orders,
        ledger: ledger.clone(),
        spool,
        store: None,
        reach,
        acknowledged: None,
        checked: false,
        pause: SOON,
        greeted: AtomicBool::new(false),
    };
    (ledger, scribe)
}

/// What is next after the log was closed.
enum Next {
    Open(Duration),
    Stop,
}

impl Scribe {
    /// Writes the log while this replica leads; ends when told to, or when another replica has taken over.
    pub async fn run(
        mut self,
        mut leading: watch::Receiver<bool>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), Failure> {
        tokio::select! {
            led = leading.wait_for(|leads| *leads) => if led.is_err() { return Ok(()) },
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
        self.board.post(State::Opening);
        loop {
            let opened = tokio::select! {
                opened = self.open() => opened,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            };
            let next = match opened {
                Ok(opened) => self.write(opened, &mut stop).await?,
                Err(not) => self.not_opened(not).await?,
            };
            let Next::Open(pause) = next else {
                return Ok(());
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = refuse(&mut self.queue, &self.board, Job::refuse) => {}
                () = refuse(&mut self.orders, &self.board, Order::refuse) => {}
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            }
        }
    }

    async fn open(&mut self) -> Result<Opened, NotOpened> {
        let keyring = self.parts.keys.load().await?;
        self.spool.unlock(&keyring.spool);
        let reach = async {
            match &self.store {
                Some(store) => store.reopen().await.map(|()| Arc::clone(store)),
                None => store::open(&self.parts.store, Mode::Operator).await,
            }
        };
        let store = match tokio::time::timeout(REACH, reach).await {
            Ok(store) => store?,
            Err(_) => {
                let message = format!("the store has not opened for {} s", REACH.as_secs());
                return Err(NotOpened::Unavailable(message));
            }
        };
        self.store = Some(Arc::clone(&store));
        self.reach.send_replace(Some(Arc::clone(&store)));
        let (known, thorough) = (self.acknowledged.as_ref(), !self.checked);
        let opened = self.opener.open(&store, keyring, known, thorough).await?;
        self.checked = true;
        Ok(opened)
    }

    async fn not_opened(&mut self, not: NotOpened) -> Result<Next, Failure> {
        match not {
            NotOpened::Deposed(message) => Err(Failure::Deposed(message)),
            NotOpened::Unavailable(message) => {
                self.board.post(State::Unavailable(message));
                let pause = self.pause;
                self.pause = (pause * 2).min(LATER);
                Ok(Next::Open(pause))
            }
            NotOpened::Refused(refusal, anchored) => {
                self.refuse(refusal, anchored.as_deref()).await;
                Ok(Next::Open(LATER))
            }
        }
    }

    /// Nothing is written before a person has looked into it: said once, on the anchor too.
    async fn refuse(&self, refusal: Refusal, anchored: Option<&Anchored>) {
        if self.board.post(State::Refused(refusal.clone()))
            && let Some(anchored) = anchored
        {
            let about = anchored.reference();
            let (reason, note) = (refusal.reason, &refusal.message);
            let telling = self
                .parts
                .events
                .publish(&about, true, reason, "Open", note);
            // The API server may be what is in trouble.
            let _ = tokio::time::timeout(LATER, telling).await;
        }
    }

    /// Writes, signs and attends until one of them fails.
    async fn write(
        &mut self,
        opened: Opened,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Next, Failure> {
        let Some(store) = self.store.clone() else {
            return Ok(Next::Open(SOON));
        };
        let mut tools = self.tools(&store, opened);
        self.board.post(State::Open);
        self.pause = SOON;
        let end = self.until(&store, &mut tools, stop).await;
        let log = tools.growing.borrow().clone();
        self.acknowledged = Some(log.clone());
        match end {
            End::Deposed(message) => Err(Failure::Deposed(message)),
            End::Stop => {
                let last = tools.anchoring.finish(&log);
                if tokio::time::timeout(FAREWELL, last).await.is_err() {
                    tracing::warn!(
                        "the last checkpoint was not anchored in time; the next leader does it"
                    );
                }
                Ok(Next::Stop)
            }
            End::Follow => {
                self.board.post(State::Opening);
                Ok(Next::Open(Duration::ZERO))
            }
            End::Refused(refusal) => {
                self.refuse(refusal, Some(&tools.anchoring.anchored)).await;
                Ok(Next::Open(LATER))
            }
            End::Store(error) => self.not_opened(error.into()).await,
        }
    }

    fn tools(&self, store: &Arc<dyn Store>, opened: Opened) -> Tools {
        let Opened {
            epoch,
            log,
            anchored,
            key,
        } = opened;
        let metrics = &self.parts.metrics;
        metrics.log_size(log.size);
        metrics.anchored_size(anchored.spec().size.try_into().unwrap_or_default());
        let (grown, growing) = watch::channel(log.clone());
        let (waits, waiting) = mpsc::unbounded_channel();
        Tools {
            writer: Writer {
                store: Arc::clone(store),
                fence: Arc::clone(&self.parts.fence),
                epoch,
                board: Arc::clone(&self.board),
                log: grown,
                waits,
                metrics: Arc::clone(metrics),
                retention: self.parts.retention,
            },
            clerk: Clerk {
                store: Arc::clone(store),
                fence: Arc::clone(&self.parts.fence),
                epoch,
                board: Arc::clone(&self.board),
            },
            anchoring: Anchoring {
                store: Arc::clone(store),
                fence: Arc::clone(&self.parts.fence),
                epoch,
                key,
                anchor: self.parts.anchor.clone(),
                anchored,
                board: Arc::clone(&self.board),
                metrics: Arc::clone(metrics),
            },
            epoch,
            log,
            growing,
            waiting,
        }
    }

    async fn until(
        &mut self,
        store: &Arc<dyn Store>,
        tools: &mut Tools,
        stop: &mut watch::Receiver<bool>,
    ) -> End {
        let (ledger, replica, spool) = (&self.ledger, &self.replica, &self.spool);
        let (epoch, log, greeted) = (tools.epoch, &tools.log, &self.greeted);
        let here = Here {
            ledger,
            replica,
            spool,
            greeted,
        };
        let attending = attendant::attend(Arc::clone(store), epoch, log, here);
        let stopping = async {
            let _ = stop.wait_for(|stop| *stop).await;
            // While everybody still works: the last record takes the way of all others.
            let said = ledger.record_stop(replica.released());
            let _ = tokio::time::timeout(FAREWELL, said).await;
        };
        tokio::select! {
            ended = tools.writer.write(&mut self.queue) => match ended {
                WriterEnd::Store(error) => End::Store(error),
                WriterEnd::NobodyLeft => End::Stop,
            },
            ended = tools.anchoring.keep_up(&mut tools.growing, &mut tools.waiting) => match ended {
                AnchoringEnd::Store(error) => End::Store(error),
                AnchoringEnd::Altered(refusal) => End::Refused(refusal),
                AnchoringEnd::Deposed(message) => End::Deposed(message),
            },
            error = tools.clerk.work(&mut self.orders) => End::Store(error),
            ended = attending => match ended {
                AttendantEnd::Follow => End::Follow,
                AttendantEnd::Store(error) => End::Store(error),
            },
            () = stopping => End::Stop,
        }
    }
}

/// What one opening of the log is written with.
struct Tools {
    writer: Writer,
    clerk: Clerk,
    anchoring: Anchoring,
    epoch: Epoch,
    /// As it was opened.
    log: Log,
    growing: watch::Receiver<Log>,
    waiting: mpsc::UnboundedReceiver<Wait>,
}

/// How writing ended.
enum End {
    Stop,
    Follow,
    Refused(Refusal),
    Deposed(String),
    Store(StoreError),
}

/// Answers whoever slipped in between two states.
async fn refuse<T>(queue: &mut mpsc::Receiver<T>, board: &Board, not: impl Fn(T, Refusal)) {
    while let Some(asked) = queue.recv().await {
        let refusal = board.state().refusal();
        let refusal = refusal.unwrap_or_else(|| Refusal::unavailable("the log is being opened"));
        not(asked, refusal);
    }
    // Nobody is left to send; the pause that runs beside this is what counts.
    std::future::pending::<()>().await;
}
