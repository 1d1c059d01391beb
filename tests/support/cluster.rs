//! The control plane that the environment offers, what it can do, and clients for those who speak to it.
//! A client belongs to the tokio runtime it was made in, so each test makes its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// The people of the test bed, each with a group of their own choosing; none has any right.
const PEOPLE: [(&str, Option<&str>); 5] = [
    ("alice", Some("team-a")),
    ("bob", Some("team-b")),
    ("carol", Some("team-a")),
    ("dave", Some("team-b")),
    ("mallory", None),
];

const NO_CLUSTER: &str = "no cluster: make test starts one";

/// What a test may need beyond an API server.
#[derive(Clone, Copy)]
pub enum Need {
    /// A cluster of ours: its audit log can be read.
    Owned,
    /// The controllers: garbage collection, the end of namespaces.
    Controllers,
    /// Pods that are scheduled and run, be it in play.
    Pods,
    /// People to speak as: tokens of their own, or an admin who may impersonate.
    Users,
}

pub struct Cluster {
    admin: Kubeconfig,
    file: PathBuf,
    /// Where the control plane's own programs lie.
    programs: Option<PathBuf>,
    dir: PathBuf,
    owned: bool,
    have: BTreeSet<String>,
}

/// The cluster, or why this test has to be skipped.
pub fn cluster(needs: &[Need]) -> Result<&'static Cluster, String> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let cluster = CLUSTER
        .get_or_init(Cluster::from_environment)
        .as_ref()
        .ok_or(NO_CLUSTER)?;
    needs.iter().try_for_each(|need| cluster.has(*need))?;
    Ok(cluster)
}

impl Cluster {
    /// A KUBECONFIG alone is deliberately not enough: it may name somebody's cluster.
    #[expect(
        clippy::disallowed_methods,
        reason = "the test bed speaks through the environment"
    )]
    fn from_environment() -> Option<Self> {
        let [kubeconfig, dir, owned] =
            ["KUBECONFIG", "E2E_DIR", "E2E_OWNED"].map(|name| std::env::var(name).ok());
        let (kubeconfig, dir, owned) = (kubeconfig?, dir?, owned?);
        // The first one wins; another test binary's choice in the same process would be the same provider.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Some(Self {
            admin: read(Path::new(&kubeconfig)),
            file: kubeconfig.into(),
            programs: std::env::var_os("E2E_BIN").map(PathBuf::from),
            dir: dir.into(),
            owned: owned == "1",
            have: std::env::var("E2E_HAVE")
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
        })
    }

    /// A control plane that a test started for itself.
    pub fn of(kubeconfig: &Path, dir: PathBuf) -> Self {
        Self {
            admin: read(kubeconfig),
            file: kubeconfig.to_owned(),
            programs: None,
            dir,
            owned: true,
            have: BTreeSet::from(["kcm".to_owned()]),
        }
    }

    fn has(&self, need: Need) -> Result<(), String> {
        let (there, reason) = match need {
            Need::Owned => (
                self.owned,
                "the cluster is not ours: its audit log cannot be read",
            ),
            Need::Controllers => (
                self.have.contains("kcm"),
                "the cluster has no controller manager",
            ),
            Need::Pods => (
                self.have.contains("scheduler"),
                "the cluster schedules no pods",
            ),
            Need::Users => (
                self.owned || self.have.contains("users"),
                "nobody to speak as: the admin may not impersonate",
            ),
        };
        if there {
            Ok(())
        } else {
            Err(reason.to_owned())
        }
    }

    /// Whoever set the cluster up: in a cluster of ours a member of system:masters, whom RBAC does not bind.
    pub async fn admin(&self) -> Client {
        client(self.admin.clone()).await
    }

    /// The admin's kubeconfig.
    pub fn kubeconfig_file(&self) -> &Path {
        &self.file
    }

    /// kubectl as the admin: the control plane's own, else the one in PATH.
    pub fn kubectl(&self) -> Command {
        let own = self.programs.as_ref().map(|folder| folder.join("kubectl"));
        let program = own.filter(|path| path.exists());
        let mut command = Command::new(program.unwrap_or_else(|| "kubectl".into()));
        command.arg("--kubeconfig").arg(&self.file);
        command.arg("--cache-dir").arg(self.dir.join("cache"));
        command
    }

    /// One of the people, by their own token where there is one.
    pub async fn person(&self, name: &str) -> Client {
        let group = PEOPLE
            .iter()
            .find(|(known, _)| *known == name)
            .expect("one of PEOPLE")
            .1;
        match self.kubeconfig(name) {
            Some(own) => client(own).await,
            None => self.impersonate(name, group.as_slice()).await,
        }
    }

    /// The operator: its own ServiceAccount, with the rights that it is shipped with.
    pub async fn operator(&self) -> Client {
        match self.kubeconfig("operator") {
            Some(own) => client(own).await,
            None => {
                self.service_account("neuralops-system", "neuralops-controller")
                    .await
            }
        }
    }

    /// The same as it speaks for accounts: what is refused is not asked again by itself.
    pub async fn operator_once(&self) -> Client {
        let Some(own) = self.kubeconfig("operator") else {
            return self.operator().await;
        };
        let mut config = Config::from_custom_kubeconfig(own, &KubeConfigOptions::default())
            .await
            .expect("a usable kubeconfig");
        config.default_retry = false;
        Client::try_from(config).expect("a client")
    }

    /// A ServiceAccount by its name; it need not exist to be granted something.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Client {
        let groups = [
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
        ];
        self.impersonate(
            &format!("system:serviceaccount:{namespace}:{name}"),
            &groups,
        )
        .await
    }

    /// Anybody of this name, in no group but that of everybody.
    pub async fn user(&self, name: &str) -> Client {
        self.impersonate(name, &[] as &[&str]).await
    }

    /// Anybody, by the admin's word.
    pub async fn impersonate(&self, user: &str, groups: &[impl ToString]) -> Client {
        let mut kubeconfig = self.admin.clone();
        for named in &mut kubeconfig.auth_infos {
            let auth = named
                .auth_info
                .as_mut()
                .expect("the admin's kubeconfig has credentials");
            auth.impersonate = Some(user.to_owned());
            auth.impersonate_groups = Some(
                groups
                    .iter()
                    .map(ToString::to_string)
                    .chain(["system:authenticated".to_owned()])
                    .collect(),
            );
        }
        client(kubeconfig).await
    }

    /// The store of the operator that runs beside the tests.
    pub fn store(&self) -> PathBuf {
        self.dir.join("data/operator/audit.db")
    }

    /// Where the operator beside the tests keeps its store.
    pub fn operator_data(&self) -> PathBuf {
        self.dir.join("data/operator")
    }

    pub(super) fn audit_log(&self) -> PathBuf {
        self.dir.join("log/audit.jsonl")
    }

    fn kubeconfig(&self, name: &str) -> Option<Kubeconfig> {
        let path = self.dir.join("kc").join(name);
        path.exists().then(|| read(&path))
    }
}

fn read(path: &Path) -> Kubeconfig {
    Kubeconfig::read_from(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

async fn client(kubeconfig: Kubeconfig) -> Client {
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("a usable kubeconfig");
    Client::try_from(config).expect("a client")
}
