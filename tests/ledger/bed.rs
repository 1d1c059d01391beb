//! A control plane, a store, and children that write the log of both, one after another.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use tempfile::TempDir;

use super::{
    anchors::Anchors,
    child,
    claims::Reached,
    diary::Diary,
    orders::{Orders, Report, VARIABLE},
    places::Place,
};
use crate::support::{OwnCluster, eventually};

/// Long enough for anything on a busy machine, where no promise of the contract is measured.
pub const LONG: Duration = Duration::from_secs(60);

/// Where the children of one test work.
pub struct Bed {
    /// Before the API server, which waits for whoever watches when it ends.
    pub anchors: Anchors,
    pub own: OwnCluster,
    pub place: Place,
    pub diary: Diary,
    /// On a disk, where syncing means something.
    pub folder: TempDir,
    children: AtomicU32,
}

impl Bed {
    pub async fn sqlite() -> Self {
        let folder = folder();
        let place = Place::sqlite(folder.path());
        Self::of(folder, place).await
    }

    pub async fn of(folder: TempDir, place: Place) -> Self {
        let own = OwnCluster::start().await;
        Self {
            anchors: Anchors::watch(own.cluster().admin().await),
            own,
            place,
            diary: Diary::default(),
            folder,
            children: AtomicU32::new(1),
        }
    }

    /// Orders for a child of its own name: nothing to record, until the test says what.
    pub fn orders(&self) -> Orders {
        let number = self.children.fetch_add(1, Ordering::Relaxed);
        Orders {
            kubeconfig: self.own.operator_kubeconfig(),
            store: self.place.url(),
            directory: self.folder.path().to_owned(),
            identity: format!("child-{number}"),
            durable: 0,
            anchored: 0,
            stops: 0,
            claims: 0,
            pause: 0,
            records: None,
            again: Vec::new(),
        }
    }

    pub fn start(&self, orders: &Orders, environment: &[(&str, &str)]) -> Process {
        let log = self.folder.path().join(format!("{}.log", orders.identity));
        Process::start(orders, environment, log)
    }

    /// Takes down what a child said that has ended.
    pub fn note(&mut self, reports: Vec<Report>) {
        self.diary.take(reports);
    }
}

/// A folder that goes with the test.
pub fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

/// A child that runs; killed with the test.
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    reports: Arc<Mutex<Vec<Report>>>,
    reader: Option<JoinHandle<()>>,
    log: PathBuf,
}

impl Process {
    fn start(orders: &Orders, environment: &[(&str, &str)], log: PathBuf) -> Self {
        let mut child = child::command()
            .env(VARIABLE, serde_json::to_string(orders).expect("JSON"))
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("a log file"))
            .spawn()
            .expect("the child starts");
        let reports: Arc<Mutex<Vec<Report>>> = Arc::default();
        let (output, into) = (child.stdout.take().expect("piped"), Arc::clone(&reports));
        let reader = std::thread::Builder::new().spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            while output.read_line(&mut line).is_ok_and(|count| count > 0) {
                if let Some(report) = Report::parse(&line) {
                    locked(&into).push(report);
                }
                line.clear();
            }
        });
        Self {
            input: child.stdin.take(),
            child,
            reports,
            reader: Some(reader.expect("a thread")),
            log,
        }
    }

    /// How much it has said so far.
    pub fn said(&self) -> usize {
        locked(&self.reports).len()
    }

    /// What it has said, from there on.
    pub fn since(&self, mark: usize) -> Vec<Report> {
        locked(&self.reports)[mark..].to_vec()
    }

    /// Waits until something that it says after the mark makes an answer.
    pub async fn says<T>(
        &self,
        what: &str,
        within: Duration,
        mark: usize,
        answer: impl Fn(&Report) -> Option<T>,
    ) -> T {
        let mut at = mark;
        eventually(what, within, async || {
            let reports = locked(&self.reports);
            let found = reports[at..].iter().find_map(&answer);
            at = reports.len();
            let last = reports.last().cloned();
            drop(reports);
            found.ok_or_else(|| format!("{last:?}; its log: {}", self.tail()))
        })
        .await
    }

    /// Waits until the log is open.
    pub async fn opens(&self) {
        let open = |report: &Report| match report {
            Report::State { reason, .. } => reason.is_empty().then_some(()),
            _ => None,
        };
        self.says("the log opens", LONG, 0, open).await;
    }

    /// Waits until so many records were acknowledged after the mark.
    pub async fn acknowledges(&self, count: usize, mark: usize, within: Duration) {
        eventually("records are acknowledged", within, async || {
            let reports = locked(&self.reports);
            let acknowledged = |report: &&Report| matches!(report, Report::Acknowledged { .. });
            let found = reports[mark..].iter().filter(acknowledged).count();
            let last = reports.last().cloned();
            drop(reports);
            if found >= count {
                Ok(())
            } else {
                Err(format!("{found}; {last:?}; its log: {}", self.tail()))
            }
        })
        .await;
    }

    /// Waits until so many runs hold what they claimed, after the mark.
    pub async fn holds(&self, count: usize, mark: usize) {
        eventually("runs hold what they claimed", LONG, async || {
            let reports = locked(&self.reports);
            let held = |report: &&Report| {
                matches!(
                    report,
                    Report::Run {
                        reached: Reached::Held,
                        ..
                    }
                )
            };
            let found = reports[mark..].iter().filter(held).count();
            let last = reports.last().cloned();
            drop(reports);
            if found >= count {
                Ok(())
            } else {
                Err(format!("{found}; {last:?}; its log: {}", self.tail()))
            }
        })
        .await;
    }

    /// Sends a signal by its name: STOP, CONT.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(status.expect("kill runs").success(), "{}", self.tail());
    }

    /// kill -9; what it has said until then.
    pub fn kill(mut self) -> Vec<Report> {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("a child of ours");
        self.all()
    }

    /// In good order; what it has said.
    pub async fn stop(mut self) -> Vec<Report> {
        self.input = None;
        let status = self.exit("the child ends in good order").await;
        assert!(status.success(), "{status}: {}", self.tail());
        self.all()
    }

    /// Waits until it has ended by itself; how, and what it has said.
    pub async fn ends(mut self, why: &str) -> (ExitStatus, Vec<Report>) {
        let status = self.exit(why).await;
        (status, self.all())
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    async fn exit(&mut self, why: &str) -> ExitStatus {
        let log = self.log.clone();
        eventually(why, LONG, async || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(tail(&log)),
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    fn all(&mut self) -> Vec<Report> {
        // The pipe has ended with the process: what was in it is read to its end.
        let reader = self.reader.take().expect("read once");
        reader.join().expect("the child's own words");
        std::mem::take(&mut *locked(&self.reports))
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tail(log: &Path) -> String {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = log.lines().rev().take(6).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn locked(reports: &Mutex<Vec<Report>>) -> MutexGuard<'_, Vec<Report>> {
    reports.lock().unwrap_or_else(PoisonError::into_inner)
}
