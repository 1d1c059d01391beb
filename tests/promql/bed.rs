//! What the tests have in common: the Prometheus of the environment and further ones of their own, a metric that a test
//! sets, and a step of the kind `check` that is planned and looked at, at whatever time the test says.

use std::{
    io::Write as _,
    net::TcpListener as Port,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::State, routing::get};
use jiff::Timestamp;
use neuralops::{
    adapters::{
        cel::Cel,
        kube::account::{Account, AccountError},
        prometheus::{Answer, Prometheus, PrometheusError, Settings},
        steps::{Forecast, Installation, Planning, Progress, Running, Veil, kind_of},
    },
    api::v1alpha1::Step,
    domain::{
        digest::Digest,
        plan::{Obstacle, OnFailure, Plan, PlannedStep, PlaybookRef, RunRef, VERSION},
    },
    ports::{Leadership, NotLeader},
};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::wait::eventually;

const SOON: Duration = Duration::from_secs(60);

/// What tests/prometheus has started.
pub struct Offered {
    pub url: String,
    targets: PathBuf,
    program: PathBuf,
}

impl Offered {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test bed speaks through the environment"
    )]
    pub fn from_environment() -> Result<Self, &'static str> {
        let [url, targets, program] = ["", "_TARGETS", "_PROGRAM"]
            .map(|part| std::env::var(format!("NEURALOPS_TEST_PROMETHEUS{part}")).ok());
        match (url, targets, program) {
            (Some(url), Some(targets), Some(program)) => Ok(Self {
                url,
                targets: targets.into(),
                program: program.into(),
            }),
            _ => Err("no Prometheus: make promql starts one"),
        }
    }

    pub fn settings(&self) -> Settings {
        settings(&self.url)
    }
}

pub fn settings(url: &str) -> Settings {
    Settings {
        url: url.parse().expect("an address"),
        token: None,
        authorities: None,
        within: Duration::from_secs(20),
    }
}

/// A port that nobody listens on at this moment.
pub fn closed_port() -> u16 {
    let port = Port::bind("127.0.0.1:0").expect("a port");
    port.local_addr().expect("an address").port()
}

/// A Prometheus of one test.
pub struct Own {
    child: Child,
    folder: PathBuf,
    program: PathBuf,
    pub port: u16,
    more: Vec<String>,
}

impl Own {
    /// One with these further flags; whoever starts it waits until it answers.
    pub fn start(offered: &Offered, folder: &Path, more: &[String]) -> Self {
        let port = closed_port();
        std::fs::write(folder.join("prometheus.yaml"), "{}").expect("written");
        let (program, folder) = (offered.program.clone(), folder.to_owned());
        let child = Self::child(&program, &folder, port, more);
        Self {
            child,
            folder,
            program,
            port,
            more: more.to_vec(),
        }
    }

    fn child(program: &Path, folder: &Path, port: u16, more: &[String]) -> Child {
        Command::new(program)
            .arg(format!(
                "--config.file={}",
                folder.join("prometheus.yaml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts")
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it ends");
    }

    pub fn again(&mut self) {
        self.child = Self::child(&self.program, &self.folder, self.port, &self.more);
    }

    /// Stops it where it stands: it keeps its port and says nothing; `CONT` lets it go on.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Metrics that Prometheus reads from the test, as the test sets them.
pub struct Metrics {
    text: Arc<Mutex<String>>,
    target: PathBuf,
    _tasks: JoinSet<()>,
}

impl Metrics {
    pub async fn serve(offered: &Offered, name: &str, first: &str) -> Self {
        let text = Arc::new(Mutex::new(format!("{first}\n")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let say = async |State(text): State<Arc<Mutex<String>>>| text.lock().unwrap().clone();
        let router = Router::new()
            .route("/metrics", get(say))
            .with_state(Arc::clone(&text));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let target = offered.targets.join(format!("{name}.json"));
        let mut file = tempfile::NamedTempFile::new_in(&offered.targets).expect("a file");
        let targets = json!([{ "targets": [address] }]).to_string();
        file.write_all(targets.as_bytes()).expect("written");
        file.persist(&target).expect("renamed");
        Self {
            text,
            target,
            _tasks: tasks,
        }
    }

    pub fn set(&self, text: &str) {
        *self.text.lock().unwrap() = format!("{text}\n");
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.target);
    }
}

/// Waits until the query gives these values.
pub async fn until(settings: &Settings, query: &str, values: &[f64]) {
    let prometheus = Prometheus::new(settings.clone());
    eventually(query, SOON, async || {
        let answer = prometheus.query(query).await;
        let answer = answer.map_err(|error| format!("{error:?}"))?;
        let found = answer.series.iter().map(|series| series["value"].as_f64());
        if found.eq(values.iter().map(|value| Some(*value))) {
            Ok(())
        } else {
            Err(format!("{answer:?}"))
        }
    })
    .await;
}

/// What a query comes to there.
pub async fn asked(settings: Settings, query: &str) -> Result<Answer, PrometheusError> {
    Prometheus::new(settings).query(query).await
}

/// A check of what a query gives.
pub fn check(query: &str, expression: &str) -> Value {
    json!({"name": "c", "check": {"prometheus": {"query": query, "expression": expression}}})
}

/// The same, which must hold for ten seconds.
pub fn stable(query: &str, expression: &str) -> Value {
    let mut step = check(query, expression);
    step["check"]["stableFor"] = json!("10s");
    step
}

struct Leads;

impl Leadership for Leads {
    fn holds(&self) -> Result<(), NotLeader> {
        Ok(())
    }
}

/// An installation, and a playbook's account that nothing is asked of.
pub struct Bed {
    account: Account,
    run: RunRef,
    veil: Veil,
    cel: Cel,
    parameters: Map<String, Value>,
    installation: Installation,
}

impl Bed {
    pub fn with(settings: Option<Settings>) -> Self {
        // The first one wins; it is the same everywhere.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let nowhere = format!("http://127.0.0.1:{}", closed_port());
        let nowhere = kube::Config::new(nowhere.parse().expect("an address"));
        let client = kube::Client::try_from(nowhere).expect("a client");
        let parameters = json!({"limit": 2});
        Self {
            account: Account::new(client, "shop", "runbook").expect("names"),
            run: RunRef {
                namespace: "shop".to_owned(),
                name: "run".to_owned(),
                uid: "u".to_owned(),
            },
            veil: Veil::new(b"of this installation"),
            cel: Cel::default(),
            parameters: parameters.as_object().expect("fields").clone(),
            installation: Installation {
                prometheus: settings.map(Prometheus::new),
                image: None,
            },
        }
    }

    pub async fn plan(&self, step: &Value) -> Result<Forecast, Obstacle> {
        let step: Step = serde_json::from_value(step.clone()).expect("a step");
        let planning = Planning {
            account: &self.account,
            run: &self.run,
            playbook: "mend",
            parameters: &self.parameters,
            veil: &self.veil,
            cel: &self.cel,
            installation: &self.installation,
            earlier: &[],
        };
        kind_of(&step).expect("a kind").plan(&step, &planning).await
    }

    /// The verdict, the reason and the message of what stands in the way.
    pub async fn refused(&self, step: &Value) -> (String, String, String) {
        let obstacle = self.plan(step).await.expect_err("refused");
        let verdict = format!("{:?}", obstacle.verdict);
        (verdict, obstacle.reason.to_string(), obstacle.message)
    }

    /// Looks once, as of this second of an attempt that began at 0.
    pub async fn look(&self, effect: &Value, second: i64, last: Last) -> Progress {
        let looked = self.try_look(effect, second, last).await;
        looked.expect("an answer")
    }

    /// The same; what is asked of the API server does not come about, since there is none.
    pub async fn try_look(
        &self,
        effect: &Value,
        second: i64,
        last: Last,
    ) -> Result<Progress, AccountError> {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let step = PlannedStep {
            effect: effect.clone(),
            ..step()
        };
        let plan = Plan {
            v: VERSION,
            run: self.run.clone(),
            playbook: PlaybookRef {
                name: "mend".to_owned(),
                digest: Digest::of(b"playbook"),
                revision: 1,
            },
            policy_digest: Digest::of(b"policy"),
            service_account: "runbook".to_owned(),
            parameters: self.parameters.clone(),
            timeout: 300_000,
            on_failure: OnFailure::default(),
            steps: vec![step],
        };
        let running = Running {
            account: &self.account,
            plan: &plan,
            digest: &Digest::of(b"plan"),
            step: &plan.steps[0],
            attempt: 1,
            underway: last.is_some(),
            ever: last.is_some(),
            refused: false,
            began: at(0),
            now: at(second),
            memory: last.map(|(memory, _)| at(memory)),
            fresh: false,
            looked: last.map(|(_, looked)| at(looked)),
            rendered: None,
            veil: &self.veil,
            cel: &self.cel,
            installation: &self.installation,
            fence: &Leads,
        };
        let kind = neuralops::adapters::steps::kind_named("check").expect("the kind");
        kind.run(&running).await
    }
}

/// What the last look left: since when it has held, and when that look was.
pub type Last = Option<(i64, i64)>;

fn step() -> PlannedStep {
    serde_json::from_value(json!({
        "name": "c", "kind": "check", "coverage": "SchemaOnly", "timeout": 300_000, "retries": 0,
        "targets": [{"apiVersion": "v1", "kind": "ConfigMap", "resource": "configmaps", "namespace": "shop", "name": "a", "access": "Reads"}],
        "effect": {}, "changes": [], "undo": {"by": "nothing", "why": "it changes nothing"},
    }))
    .expect("a step")
}

/// What a look that waits remembers, in seconds, and says.
pub fn waits(progress: Progress) -> (Option<i64>, String) {
    match progress {
        Progress::Pending {
            memory, message, ..
        } => (memory.map(|memory| memory.as_second()), message),
        other => panic!("{other:?}"),
    }
}
