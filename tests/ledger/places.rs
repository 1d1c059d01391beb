//! Where the store of a test lies: a file of its own, or a database of its own on the server that tests/postgres started.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, postgres::PgConnectOptions};

/// A store of this test alone.
pub enum Place {
    Sqlite(PathBuf),
    Postgres(String),
}

impl Place {
    pub fn sqlite(folder: &Path) -> Self {
        Self::Sqlite(folder.join("audit.db"))
    }

    /// A new database on the server of the environment, or why there can be none.
    pub async fn postgres() -> Result<Self, &'static str> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the test bed speaks through the environment"
        )]
        let server = std::env::var("NEURALOPS_TEST_POSTGRES");
        let server = server.map_err(|_| "no PostgreSQL server: make ledger starts one")?;
        Ok(Self::Postgres(database(&server).await))
    }

    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(file) => format!("sqlite://{}", file.display()),
            Self::Postgres(url) => url.clone(),
        }
    }
}

/// A new database on this server. It goes with the server.
async fn database(server: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("ledger_{}_{number}", std::process::id());
    let options: PgConnectOptions = server.parse().expect("a URL");
    let mut admin = options.connect().await.expect("the server");
    let statement = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    let made = sqlx::raw_sql(statement).execute(&mut admin).await;
    made.expect("a database");
    admin.close().await.expect("closed");
    let (server, _) = server.rsplit_once('/').expect("a URL with a database");
    format!("{server}/{name}")
}

/// A server of one test, to be killed; it ends with it.
pub struct Server {
    /// What tests/postgres exported.
    environment: BTreeMap<String, String>,
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres"))
}

impl Server {
    pub fn start() -> Self {
        let output = script().arg("start").stderr(Stdio::inherit()).output();
        let output = output.expect("tests/postgres runs");
        assert!(output.status.success(), "tests/postgres failed, see above");
        let text = String::from_utf8(output.stdout).expect("export lines");
        let environment = text
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
            .collect();
        Self { environment }
    }

    /// A new database on it.
    pub async fn place(&self) -> String {
        database(&self.environment["NEURALOPS_TEST_POSTGRES"]).await
    }

    /// kill -9, and all that it was doing ends with it.
    pub fn kill(&self) {
        self.run("kill");
    }

    /// Starts it again where it was, and waits until it has recovered.
    pub fn again(&self) {
        self.run("again");
    }

    fn run(&self, act: &str) {
        let status = script().arg(act).envs(&self.environment).status();
        assert!(
            status.expect("tests/postgres runs").success(),
            "tests/postgres {act} failed, see above"
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = script().arg("stop").envs(&self.environment).status();
    }
}
