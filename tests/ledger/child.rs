//! The child: the writing end of the log as the operator runs it, with nobody else in the process but those who record as
//! fast as they may. It decides nothing about what is right; it says what it was told.

use std::{
    io::{self, Read as _, Write as _},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use neuralops::{
    adapters::{
        clock,
        kube::{anchor::Anchor, client, events::Events, keys::Keys, scope::Scope},
        ledger::{self, Ack, Draft, Ledger, Refusal, State, Stop},
        metrics::Metrics,
    },
    domain::audit::{
        event::Event,
        record::{Actor, Fact, Method, Object},
    },
    ports::{Leadership, NotLeader},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    claims::Contender,
    orders::{self, Orders, Report},
};

/// As patient with the API server as the operator is.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two stops of one task.
const STOPS: Duration = Duration::from_millis(50);
/// After a refusal.
const BREATH: Duration = Duration::from_millis(20);

/// Without orders it is a test of its own: that it takes none but those that it understands.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the test bed speaks through the environment"
)]
fn a_child_obeys_its_orders_and_refuses_what_it_does_not_understand() {
    if let Ok(text) = std::env::var(orders::VARIABLE) {
        return obey(serde_json::from_str(&text).expect("orders"));
    }
    let output = command().env(orders::VARIABLE, "{}").output();
    let output = output.expect("this program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("missing field `kubeconfig`"), "{said}");
}

/// This program as a child; its orders are still to be given.
pub fn command() -> Command {
    let program = std::env::current_exe().expect("the path of this program");
    let mut command = Command::new(program);
    let test = "ledger::child::a_child_obeys_its_orders_and_refuses_what_it_does_not_understand";
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command
}

fn obey(orders: Orders) {
    // A second one would be a second test in this process, which there is not.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_env_filter("info,neuralops=debug")
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(work(orders));
    // Whoever waits for the end of the input would be waited for.
    runtime.shutdown_background();
}

async fn work(orders: Orders) {
    let (ledger, scribe) = ledger::prepare(parts(&orders).await);
    let (stop, stopping) = watch::channel(false);
    let leading = watch::Sender::new(true);
    let orders = Arc::new(orders);

    let mut writing = JoinSet::new();
    writing.spawn(scribe.run(leading.subscribe(), stopping.clone()));
    let mut others = JoinSet::new();
    let lateness = Arc::new(Lateness::default());
    others.spawn(Arc::clone(&lateness).measure());
    others.spawn(states(ledger.clone()));
    let mut recording = JoinSet::new();
    for (kind, tasks) in [
        (Kind::Durable, orders.durable),
        (Kind::Anchored, orders.anchored),
        (Kind::Stop, orders.stops),
    ] {
        for task in 0..tasks {
            let recorder = Recorder {
                orders: Arc::clone(&orders),
                ledger: ledger.clone(),
                lateness: Arc::clone(&lateness),
                kind,
                task,
            };
            recording.spawn(recorder.run(stopping.clone()));
        }
    }
    for task in 0..orders.claims {
        let contender = Contender {
            ledger: ledger.clone(),
            identity: orders.identity.clone(),
            task,
            say,
        };
        recording.spawn(contender.run(stopping.clone()));
    }

    let ended = tokio::select! {
        ended = writing.join_next() => ended,
        () = end_of_input() => {
            // As the operator does: first whoever records, then the log.
            recording.abort_all();
            while recording.join_next().await.is_some() {}
            stop.send_replace(true);
            writing.join_next().await
        }
    };
    let ended = ended.expect("one task").expect("it does not panic");
    let failure = ended.map_or_else(|failure| failure.to_string(), |()| String::new());
    say(&Report::Ended { failure });
}

async fn parts(orders: &Orders) -> ledger::Parts {
    let cluster = client::configure(Some(&orders.kubeconfig)).await;
    let client = client::connect_impatient(cluster.expect("a kubeconfig"), PATIENCE);
    let client = client.expect("a client");
    ledger::Parts {
        store: orders.store.parse().expect("a store's URL"),
        directory: orders.directory.clone(),
        anchor: Anchor::new(client.clone()),
        keys: Keys::new(client.clone(), "neuralops-system", "neuralops-audit-keys"),
        events: Events::new(client, orders.identity.clone(), Scope::default()),
        metrics: Arc::new(Metrics::new().expect("metrics")),
        retention: SignedDuration::from_hours(24),
        identity: orders.identity.clone(),
        configuration: "test: true\n".to_owned(),
        fence: Arc::new(Leads),
    }
}

/// Nobody takes the Lease here: it is the store that tells the newest writer.
struct Leads;

impl Leadership for Leads {
    fn holds(&self) -> Result<(), NotLeader> {
        Ok(())
    }
}

/// The parent closes the pipe, or dies.
async fn end_of_input() {
    let read = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()));
    let _ = read.await;
}

/// One write for each report, so that a kill leaves whole ones but for the last.
fn say(report: &Report) {
    let mut out = io::stdout().lock();
    // An error means that the parent is gone, and its pipe says so to the other end as well.
    let _ = out.write_all(report.to_line().as_bytes());
    let _ = out.flush();
}

async fn states(ledger: Ledger) {
    let mut said = None;
    let mut look = every(Duration::from_millis(10));
    loop {
        look.tick().await;
        let state = ledger.state();
        if said.as_ref() != Some(&state) {
            let refusal = state.refusal();
            say(&Report::State {
                reason: refusal
                    .as_ref()
                    .map_or(String::new(), |refusal| refusal.reason.as_str().to_owned()),
                message: match &state {
                    State::Following | State::Opening => format!("{state:?}"),
                    _ => refusal.map_or(String::new(), |refusal| refusal.message),
                },
            });
            said = Some(state);
        }
    }
}

/// At once, and then as often; who comes late is not hurried.
pub fn every(time: Duration) -> Interval {
    let mut ticks = interval(time);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// By how much this process gets its turn too late: on a busy machine that is not the ledger's doing.
#[derive(Default)]
struct Lateness {
    now: AtomicU64,
    before: AtomicU64,
}

impl Lateness {
    async fn measure(self: Arc<Self>) {
        let mut turns = every(Duration::from_millis(20));
        loop {
            self.before
                .store(self.now.swap(0, Ordering::AcqRel), Ordering::Release);
            let until = Instant::now() + Duration::from_secs(1);
            while Instant::now() < until {
                let due = turns.tick().await;
                self.now
                    .fetch_max(milliseconds(due.elapsed()), Ordering::AcqRel);
            }
        }
    }

    fn milliseconds(&self) -> u64 {
        let (now, before) = (&self.now, &self.before);
        now.load(Ordering::Acquire)
            .max(before.load(Ordering::Acquire))
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Clone, Copy)]
enum Kind {
    Durable,
    Anchored,
    Stop,
}

struct Recorder {
    orders: Arc<Orders>,
    ledger: Ledger,
    lateness: Arc<Lateness>,
    kind: Kind,
    task: usize,
}

impl Recorder {
    async fn run(self, stopping: watch::Receiver<bool>) {
        // As the controllers do.
        self.ledger.settled().await;
        if matches!(self.kind, Kind::Durable) && self.task == 0 {
            for name in &self.orders.again {
                self.once(name, &stopping).await;
            }
        }
        let pause = match self.kind {
            Kind::Durable | Kind::Anchored => Duration::from_millis(self.orders.pause),
            // Nobody stops things as fast as they can.
            Kind::Stop => Duration::from_millis(self.orders.pause).max(STOPS),
        };
        let mut pace = (!pause.is_zero()).then(|| every(pause));
        let mut number = 0;
        let end = self.orders.records.unwrap_or(u64::MAX);
        while number < end && !*stopping.borrow() {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            self.once(&self.name(number), &stopping).await;
            // Some are recorded a second time, which must not give them a second place.
            if number % 16 == 9 && !matches!(self.kind, Kind::Stop) {
                self.once(&self.name(number - 8), &stopping).await;
            }
            number += 1;
        }
    }

    fn name(&self, number: u64) -> String {
        let kind = match self.kind {
            Kind::Durable => "durable",
            Kind::Anchored => "anchored",
            Kind::Stop => "stop",
        };
        format!("{}/{kind}-{}/{number}", self.orders.identity, self.task)
    }

    /// A forward step is tried until it is recorded, a stop happens once.
    async fn once(&self, name: &str, stopping: &watch::Receiver<bool>) {
        let mut tries = every(BREATH);
        while !*stopping.borrow() {
            tries.tick().await;
            let began = Instant::now();
            let ack = match self.kind {
                Kind::Durable => Ack::Durable,
                Kind::Anchored => Ack::Anchored,
                Kind::Stop => {
                    let at = clock::now();
                    let stop = self.ledger.record_stop(draft(name)).await;
                    return say(&stopped(name.to_owned(), at, stop));
                }
            };
            match self.ledger.record(draft(name), ack).await {
                Ok(at) => {
                    return say(&Report::Acknowledged {
                        name: name.to_owned(),
                        log: at.log.0,
                        index: at.index,
                        anchored: ack == Ack::Anchored,
                    });
                }
                Err(refusal) => {
                    self.refused(name.to_owned(), &refusal, began.elapsed());
                }
            }
        }
    }

    fn refused(&self, name: String, refusal: &Refusal, after: Duration) {
        say(&Report::Refused {
            name,
            reason: refusal.reason.as_str().to_owned(),
            message: refusal.message.clone(),
            milliseconds: milliseconds(after),
            late: self.lateness.milliseconds(),
        });
    }
}

fn stopped(name: String, at: Timestamp, stop: Stop) -> Report {
    match stop {
        Stop::Recorded(at) => Report::Recorded {
            name,
            log: at.log.0,
            index: at.index,
        },
        Stop::Spooled => Report::Spooled { name, at },
        Stop::Unrecorded => Report::Unrecorded { name },
    }
}

/// What is recorded under this name.
pub fn draft(name: &str) -> Draft {
    let actor = Actor {
        method: Method::ApiServer,
        subject: "alice".into(),
        issuer: None,
        uid: Some("8a0f6c9e-5e0f-4f0e-9d6a-0b6c3a1f2e4d".into()),
        groups: None,
        credential: None,
    };
    let id = orders::id(name);
    let mut fact = Fact::new(id, Event::PlaybookAccepted, actor);
    fact.object = Some(Object {
        kind: "Playbook".into(),
        namespace: Some("shop".into()),
        name: "restart-after-bad-rollout".into(),
        uid: name.split('/').next().unwrap_or(name).into(),
        generation: Some(1),
    });
    let wordy = id.0[0].is_multiple_of(8);
    Draft {
        fact,
        details: wordy.then(|| format!("what was said about {name}")),
        notice: wordy.then(|| name.as_bytes().to_vec()),
    }
}
