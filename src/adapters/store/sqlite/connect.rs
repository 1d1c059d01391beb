//! Floor 2: opening the SQLite file: whose it is, its version, its settings, and what has to be on the disk before
//! anybody builds on it. Never alters a file that is not ours.

use std::{
    fs::OpenOptions, io::ErrorKind, os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::super::Mode;
use crate::{
    adapters::store::fault::{failed, unavailable},
    ports::StoreError,
};

/// "NOps" in the file's header: it is ours.
const APPLICATION: i64 = 0x4e4f_7073;
/// Each brings the tables from the version before to its own, which it writes down; the first is version 1.
const MIGRATIONS: [&str; 5] = [
    include_str!("../migrations/sqlite/0001.sql"),
    include_str!("../migrations/sqlite/0002.sql"),
    include_str!("../migrations/sqlite/0003.sql"),
    include_str!("../migrations/sqlite/0004.sql"),
    include_str!("../migrations/sqlite/0005.sql"),
];
/// How long a lock of another process is waited for.
const BUSY: Duration = Duration::from_secs(2);
/// How long a connection for reading is waited for. Whoever has less time gives up by itself; the log's own attendant would
/// else take a storm of readers for a store that is gone, and close the log.
const ACQUIRE: Duration = Duration::from_secs(5);
/// Connections that read: each pass over a run reads its records.
const READERS: u32 = 8;
/// Rows that SQLite's thread hands on before it waits: with the driver's 50, whole logs are read at the pace at which two
/// threads wake each other.
const ROWS: usize = 2048;

/// What a file says of itself.
struct Header {
    application: i64,
    version: i64,
    tables: i64,
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .disable_statement_logging()
}

/// Connections that read and cannot write.
pub(super) fn readers(path: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(ACQUIRE)
        .connect_lazy_with(options(path).read_only(true).row_buffer_size(ROWS))
}

/// The connection that writes, to a file that was looked at before.
pub(super) async fn writer(path: &Path) -> Result<SqliteConnection, StoreError> {
    options(path)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit that was acknowledged outlives a power cut.
        .synchronous(SqliteSynchronous::Full)
        // A text that expired is overwritten, not only let go.
        .pragma("secure_delete", "ON")
        .connect()
        .await
        .map_err(failed("opening the file"))
}

/// Looks at the file, creates it and brings it up to date, as far as the mode allows.
pub(super) async fn prepare(path: &Path, mode: Mode) -> Result<(), StoreError> {
    let doing = "looking for the file";
    match (path.try_exists(), mode) {
        (Err(error), _) => return Err(unavailable(doing, error)),
        (Ok(true), _) => {}
        (Ok(false), Mode::Reader) => {
            return Err(StoreError::Unusable(format!(
                "there is no file {}: the operator creates it when it starts",
                path.display()
            )));
        }
        (Ok(false), Mode::Operator) => create(path)?,
    }
    let header = header(path, mode).await?;
    let fresh = header.application == 0 && header.version == 0 && header.tables == 0;
    if header.application != APPLICATION && !(fresh && mode == Mode::Operator) {
        return Err(StoreError::Unusable(format!(
            "{} is no store of the operator: another program's database, or none that was finished",
            path.display()
        )));
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if header.version > known {
        return Err(StoreError::Unusable(format!(
            "its tables have version {}, this binary knows {known}: use a newer binary",
            header.version
        )));
    }
    match mode {
        Mode::Operator => migrate(path).await,
        Mode::Reader if header.version < known => Err(StoreError::Unusable(format!(
            "its tables have version {}, this binary reads {known}: the operator of this version brings them up to date",
            header.version
        ))),
        Mode::Reader => Ok(()),
    }
}

/// An empty file that only its owner reads: texts lie in it that are nobody else's business.
fn create(path: &Path) -> Result<(), StoreError> {
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        // Another process may have been faster.
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(unavailable("creating the file", error))
        }
        _ => Ok(()),
    }
}

async fn header(path: &Path, mode: Mode) -> Result<Header, StoreError> {
    let failed = || failed("reading the file's header");
    let mut connection = options(path)
        .read_only(mode == Mode::Reader)
        .connect()
        .await
        .map_err(failed())?;
    let mut read = async |query: &'static str| {
        let row = sqlx::query_as::<_, (i64,)>(query);
        row.fetch_one(&mut connection).await.map(|(value,)| value)
    };
    let header = Header {
        application: read("PRAGMA application_id").await.map_err(failed())?,
        version: read("PRAGMA user_version").await.map_err(failed())?,
        tables: read("SELECT count(*) FROM sqlite_schema")
            .await
            .map_err(failed())?,
    };
    connection.close().await.map_err(failed())?;
    Ok(header)
}

async fn migrate(path: &Path) -> Result<(), StoreError> {
    let failed = || failed("bringing the tables up to date");
    let mut connection = writer(path).await?;
    let (journal,): (String,) = sqlx::query_as("PRAGMA journal_mode")
        .fetch_one(&mut connection)
        .await
        .map_err(failed())?;
    if journal != "wal" {
        return Err(StoreError::Unusable(format!(
            "{} lies where SQLite cannot keep a write-ahead log ({journal}): it needs a local file system",
            path.display()
        )));
    }
    let mut migration = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(failed())?;
    // Read again under the lock: another process may have been faster.
    let (version,): (i64,) = sqlx::query_as("PRAGMA user_version")
        .fetch_one(&mut *migration)
        .await
        .map_err(failed())?;
    for step in MIGRATIONS
        .iter()
        .skip(usize::try_from(version).unwrap_or(usize::MAX))
    {
        sqlx::raw_sql(*step)
            .execute(&mut *migration)
            .await
            .map_err(failed())?;
    }
    migration.commit().await.map_err(failed())?;
    connection.close().await.map_err(failed())
}

/// Makes sure that everything that can be read is on the disk. Whether it is what was written is told when it is read: who
/// asks for a new origin because it is not must get in.
///
/// After a failed fsync the kernel takes its pages for written, and a later process reads from them commits that no disk
/// has. Copying the whole write-ahead log into the file writes them again.
pub(super) async fn settle(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let doing = "writing the log ahead into the file";
    let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed(doing))?;
    if busy != 0 {
        return Err(unavailable(
            doing,
            "another process is reading or writing it",
        ));
    }
    Ok(())
}
