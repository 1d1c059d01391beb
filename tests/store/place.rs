//! Where a test keeps its store: a file of its own, or a database of its own on the server that tests/postgres started.

use std::{path::PathBuf, sync::Arc, sync::atomic::AtomicU32};

use neuralops::{
    adapters::store::{Mode, StoreUrl, open},
    ports::{Store, StoreError},
};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection,
    postgres::PgConnectOptions, sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;

pub enum Place {
    Sqlite { dir: TempDir },
    Postgres { server: String, database: String },
}

impl Place {
    pub fn sqlite() -> Self {
        Self::Sqlite {
            dir: TempDir::new().unwrap(),
        }
    }

    /// A new database, or why there can be none.
    pub async fn postgres() -> Result<Self, &'static str> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = environment("NEURALOPS_TEST_POSTGRES")
            .ok_or("no PostgreSQL server: make stores starts one")?;
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let database = format!("store_{}_{number}", std::process::id());
        // It stays when the test ends: the server goes as a whole, and to drop one makes it write everything down.
        let options: PgConnectOptions = server.parse().unwrap();
        let mut admin = options.connect().await.unwrap();
        let statement = AssertSqlSafe(format!("CREATE DATABASE {database}"));
        sqlx::raw_sql(statement).execute(&mut admin).await.unwrap();
        admin.close().await.unwrap();
        Ok(Self::Postgres { server, database })
    }

    pub fn url(&self) -> StoreUrl {
        let text = match self {
            Self::Sqlite { .. } => format!("sqlite://{}", self.file().display()),
            Self::Postgres { server, database } => of_server(server, database),
        };
        text.parse().unwrap()
    }

    pub fn file(&self) -> PathBuf {
        match self {
            Self::Sqlite { dir } => dir.path().join("audit.db"),
            Self::Postgres { .. } => panic!("a database has no file"),
        }
    }

    /// The store, to write.
    pub async fn open(&self) -> Arc<dyn Store> {
        self.try_open(Mode::Operator).await.unwrap()
    }

    pub async fn try_open(&self, mode: Mode) -> Result<Arc<dyn Store>, StoreError> {
        open(&self.url(), mode).await
    }

    /// A connection past the store.
    pub async fn tamperer(&self) -> Tamperer {
        match self {
            Self::Sqlite { .. } => {
                let options = SqliteConnectOptions::new().filename(self.file());
                Tamperer::Sqlite(options.connect().await.unwrap())
            }
            Self::Postgres { server, database } => {
                let options: PgConnectOptions = of_server(server, database).parse().unwrap();
                let options = options.options([("search_path", "neuralops")]);
                Tamperer::Postgres(options.connect().await.unwrap())
            }
        }
    }

    /// Alters what the store holds.
    pub async fn alter(&self, statement: &'static str) {
        let mut tamperer = self.tamperer().await;
        tamperer.run(statement).await;
        tamperer.close().await;
    }

    /// Reads a number past the store.
    pub async fn number(&self, query: &'static str) -> i64 {
        let mut tamperer = self.tamperer().await;
        let (number,): (i64,) = match &mut tamperer {
            Tamperer::Sqlite(file) => sqlx::query_as(query).fetch_one(file).await.unwrap(),
            Tamperer::Postgres(base) => sqlx::query_as(query).fetch_one(base).await.unwrap(),
        };
        tamperer.close().await;
        number
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test bed speaks through the environment"
)]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The server's URL names a database of its own; ours takes its place.
pub fn of_server(server: &str, database: &str) -> String {
    let (server, _) = server.rsplit_once('/').unwrap();
    format!("{server}/{database}")
}

pub enum Tamperer {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Tamperer {
    pub async fn run(&mut self, statement: &'static str) {
        match self {
            Self::Sqlite(file) => sqlx::raw_sql(statement).execute(file).await.map(drop),
            Self::Postgres(base) => sqlx::raw_sql(statement).execute(base).await.map(drop),
        }
        .unwrap();
    }

    pub async fn close(self) {
        match self {
            Self::Sqlite(file) => file.close().await,
            Self::Postgres(base) => base.close().await,
        }
        .unwrap();
    }
}
