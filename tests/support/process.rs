//! Processes that a test starts, stops and breaks: an operator of its own, and a control plane of its own, because
//! what is broken must not be anybody else's.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use kube::config::{AuthInfo, Kubeconfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Cluster, create, eventually, manifests, random};

/// Control planes at the same time: each wants a core while it starts.
static ROOM: Semaphore = Semaphore::const_new(2);

fn script(name: &str) -> Command {
    Command::new(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/cluster")
            .join(name),
    )
}

/// A control plane for one test; it ends with it.
pub struct OwnCluster {
    cluster: &'static Cluster,
    dir: PathBuf,
    /// What tests/cluster/up exported.
    environment: BTreeMap<String, String>,
    _room: SemaphorePermit<'static>,
}

impl OwnCluster {
    /// A control plane with everything of ours installed.
    pub async fn start() -> Self {
        let own = Self::start_bare().await;
        own.install();
        own
    }

    /// A control plane that has never heard of us.
    pub async fn start_bare() -> Self {
        Self::start_with_pods("none").await
    }

    /// The same with pods of this kind: none or kwok.
    pub async fn start_with_pods(pods: &str) -> Self {
        Self::start_with(&[("E2E_PODS", pods)]).await
    }

    /// The same, as tests/cluster/up is told by this environment.
    pub async fn start_with(told: &[(&str, &str)]) -> Self {
        let room = ROOM.acquire().await.expect("never closed");
        let output = script("up")
            // What the shared cluster exports must not decide about this one.
            .env_remove("KUBECONFIG")
            .env_remove("E2E_DIR")
            .envs(told.iter().copied())
            .stderr(Stdio::inherit())
            .output()
            .expect("tests/cluster/up runs");
        assert!(
            output.status.success(),
            "tests/cluster/up failed, see above"
        );
        let text = String::from_utf8(output.stdout).expect("export lines");
        let environment: BTreeMap<String, String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
            .collect();
        let dir = PathBuf::from(&environment["E2E_DIR"]);
        let kubeconfig = PathBuf::from(&environment["KUBECONFIG"]);
        // Tests are few and processes short: a cluster's few bytes are not worth a lifetime.
        let cluster = Box::leak(Box::new(Cluster::of(&kubeconfig, dir.clone())));
        Self {
            cluster,
            dir,
            environment,
            _room: room,
        }
    }

    /// Kinds, policies, rights, and the operator's own credential.
    pub fn install(&self) {
        let status = script("install")
            .envs(&self.environment)
            .stdout(Stdio::null())
            .status()
            .expect("tests/cluster/install runs");
        assert!(status.success(), "tests/cluster/install failed, see above");
    }

    /// Rights and credential, but neither kinds nor policies.
    pub async fn install_rights(&self) {
        let admin = self.cluster.admin().await;
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rbac/operator.yaml");
        for object in manifests(&std::fs::read_to_string(file).expect("the operator's rights")) {
            create(&admin, object).await.expect("created");
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(admin, "neuralops-system");
        let request =
            serde_json::from_value(json!({"spec": {"audiences": [], "expirationSeconds": 3600}}));
        let token = accounts
            .create_token_request(
                "neuralops-controller",
                &PostParams::default(),
                &request.expect("a TokenRequest"),
            )
            .await
            .expect("a token");
        let mut kubeconfig = Kubeconfig::read_from(self.dir.join("kc/admin")).expect("the admin's");
        for named in &mut kubeconfig.auth_infos {
            let token = token
                .status
                .as_ref()
                .map(|status| status.token.clone().into());
            named.auth_info = Some(AuthInfo {
                token,
                ..AuthInfo::default()
            });
        }
        let text = serde_json::to_vec(&kubeconfig).expect("JSON");
        std::fs::write(self.dir.join("kc/operator"), text).expect("written");
    }

    pub fn cluster(&self) -> &'static Cluster {
        self.cluster
    }

    /// The credential of the operator, for a process that is not the operator itself.
    pub fn operator_kubeconfig(&self) -> PathBuf {
        self.dir.join("kc/operator")
    }

    /// start, stop, kill, pause or resume a component, or restart it.
    pub fn ctl(&self, act: &str, component: &str) {
        let status = script("ctl")
            .arg(&self.dir)
            .args([act, component])
            .status()
            .expect("ctl runs");
        assert!(status.success(), "ctl {act} {component} failed");
    }

    /// The end of what a component has said.
    pub fn last_words(&self, component: &str) -> String {
        let log = self.dir.join("log").join(component).with_extension("log");
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Where the operators of this cluster keep their store.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data/operator")
    }

    /// Starts an operator with these further flags.
    pub fn operator(&self, flags: &[&str]) -> Operator {
        self.operator_in(&[], flags)
    }

    /// The same in this environment.
    pub fn operator_in(&self, environment: &[(&str, &str)], flags: &[&str]) -> Operator {
        Operator::start(&self.dir, &self.operator_kubeconfig(), environment, flags)
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        let _ = script("ctl").arg(&self.dir).arg("down").status();
    }
}

/// An operator of one test, as its own ServiceAccount; killed with the test.
pub struct Operator {
    child: Child,
    log: PathBuf,
}

impl Operator {
    fn start(dir: &Path, kubeconfig: &Path, environment: &[(&str, &str)], flags: &[&str]) -> Self {
        let log = dir
            .join("log")
            .join(random("operator"))
            .with_extension("log");
        let file = File::create(&log).expect("a log file");
        let child = Command::new(env!("CARGO_BIN_EXE_neuralops"))
            .args([
                "operator",
                "--log-level",
                "info,neuralops=debug",
                "--kubeconfig",
            ])
            .arg(kubeconfig)
            .args(["--probe-address", "127.0.0.1:0", "--data-dir"])
            // Replicas of one cluster have one store.
            .arg(dir.join("data/operator"))
            .args(flags)
            .envs(environment.iter().copied())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("the operator starts");
        Self { child, log }
    }

    /// Waits until readiness has nothing to complain about.
    pub async fn ready(&self) {
        eventually(
            "the operator is ready",
            Duration::from_secs(60),
            async || match self.probe("/readyz").await {
                Ok((200, _)) => Ok(()),
                Ok((code, body)) => Err(format!("{code} {body}")),
                Err(error) => Err(format!("{error}; log: {}", self.log_tail())),
            },
        )
        .await;
    }

    /// Waits until this operator leads.
    pub async fn leads(&self, within: Duration) {
        eventually("the operator leads", within, async || {
            let (_, metrics) = self.probe("/metrics").await?;
            if metrics.lines().any(|line| line == "neuralops_leader 1") {
                Ok(())
            } else {
                Err(self.log_tail())
            }
        })
        .await;
    }

    /// Waits until what is asked for and voted now counts: the guard is known to be whole for longer than its margin.
    pub async fn trusts(&self) {
        eventually(
            "the operator trusts votes",
            Duration::from_secs(120),
            async || {
                let (_, metrics) = self.probe("/metrics").await?;
                let since = metrics
                    .lines()
                    .find_map(|line| line.strip_prefix("neuralops_votes_trusted_since_seconds "));
                let since: i64 = since.and_then(|text| text.parse().ok()).unwrap_or_default();
                // The API server's time is this machine's, and it is told in whole seconds.
                let now = neuralops::adapters::clock::now().as_second();
                if since > 0 && now > since + 6 {
                    Ok(())
                } else {
                    Err(format!("since {since}, now {now}"))
                }
            },
        )
        .await;
    }

    /// Status and body of a path on the probe port.
    pub async fn probe(&self, path: &str) -> Result<(u16, String), String> {
        self.probe_with(path, None).await
    }

    /// The same with a bearer token.
    pub async fn probe_with(
        &self,
        path: &str,
        token: Option<&str>,
    ) -> Result<(u16, String), String> {
        let token = token.map_or_else(String::new, |token| {
            format!("Authorization: Bearer {token}\r\n")
        });
        let address = self
            .address()
            .ok_or_else(|| format!("it serves no probes: {}", self.log()))?;
        let exchange = async {
            let mut stream = TcpStream::connect(address).await?;
            stream
                .write_all(
                    format!(
                        "GET {path} HTTP/1.1\r\nHost: probes\r\n{token}Connection: close\r\n\r\n"
                    )
                    .as_bytes(),
                )
                .await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = tokio::time::timeout(Duration::from_secs(10), exchange)
            .await
            .map_err(|_| "no answer within 10 s".to_owned())?
            .map_err(|error| error.to_string())?;
        let code = answer
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .ok_or("no status line")?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok((code, body.to_owned()))
    }

    /// Sends a signal by its name: TERM, KILL, STOP, CONT.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(
            status.expect("kill runs").success(),
            "no such process: {}",
            self.log_tail()
        );
        // A signal is on its way for a moment; whoever stops a process means that it does nothing from here on.
        while name == "STOP" && !self.is_stopped() {
            std::thread::yield_now();
        }
    }

    /// Whether it sleeps, as by SIGSTOP.
    pub fn is_stopped(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        status.is_ok_and(|status| status.lines().any(|line| line.starts_with("State:\tT")))
    }

    /// How it ended, if it has; 128 for an end by a signal.
    pub fn exit_code(&mut self) -> Option<i32> {
        let status = self.child.try_wait().expect("a child of ours");
        status.map(|status| status.code().unwrap_or(128))
    }

    /// Waits for its end.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        eventually("the operator ends", within, async || {
            match self.child.try_wait() {
                Ok(Some(status)) => Ok(status),
                Ok(None) => Err(self.log_tail()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    /// Where it says that it serves probes.
    pub fn address(&self) -> Option<String> {
        let log = self.log();
        let line = log
            .lines()
            .find(|line| line.contains("serving probes and metrics"))?;
        let line: Value = serde_json::from_str(line).ok()?;
        line["address"].as_str().map(str::to_owned)
    }

    pub fn log(&self) -> String {
        let mut text = String::new();
        let _ = File::open(&self.log).and_then(|mut file| file.read_to_string(&mut text));
        text
    }

    /// Its last lines.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().rev().take(4).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
