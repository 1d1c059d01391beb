//! Floor 2: connections to the PostgreSQL database: their settings, the version of its tables, and what has to fit before
//! anybody builds on it. All of ours lies in the schema `neuralops`; nothing else is touched.

use std::time::Duration;

use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::super::Mode;
use crate::{
    adapters::store::fault::{failed, within},
    ports::StoreError,
};

/// Each brings the tables from the version before to its own, which it writes down; the first is version 1.
const MIGRATIONS: [&str; 5] = [
    include_str!("../migrations/postgres/0001.sql"),
    include_str!("../migrations/postgres/0002.sql"),
    include_str!("../migrations/postgres/0003.sql"),
    include_str!("../migrations/postgres/0004.sql"),
    include_str!("../migrations/postgres/0005.sql"),
];
/// How long a new connection is waited for.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a connection for reading is waited for. Whoever has less time gives up by itself; the log's own attendant would
/// else take a storm of readers for a store that is gone, and close the log.
const ACQUIRE: Duration = Duration::from_secs(5);
/// Connections that read: each pass over a run reads its records.
const READERS: u32 = 8;

/// Statements are planned while the tables are small, and the plans are kept as long as the connection: without the last
/// option they would go on reading whole tables, until the server happens to look at their sizes.
fn options(options: &PgConnectOptions) -> PgConnectOptions {
    options
        .clone()
        .application_name("neuralops")
        .options([
            // A commit that was acknowledged outlives a power cut.
            ("synchronous_commit", "on"),
            ("statement_timeout", "10s"),
            // A leader that was stopped in the middle of a write must not keep the next one waiting.
            ("idle_in_transaction_session_timeout", "10s"),
            ("enable_seqscan", "off"),
        ])
        .disable_statement_logging()
}

/// Connections that read and cannot write.
pub(super) fn readers(server: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(ACQUIRE)
        .connect_lazy_with(options(server).options([("default_transaction_read_only", "on")]))
}

/// The connection that writes.
pub(super) async fn writer(server: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let doing = "connecting";
    let connecting = async { options(server).connect().await.map_err(failed(doing)) };
    within(doing, CONNECT, connecting).await
}

/// Looks at the tables and brings them up to date, as far as the mode allows.
pub(super) async fn prepare(base: &mut PgConnection, mode: Mode) -> Result<(), StoreError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    match (version(base).await?, mode) {
        (Some(version), _) if version == known => Ok(()),
        (Some(newer), _) if newer > known => Err(StoreError::Unusable(format!(
            "its tables have version {newer}, this binary knows {known}: use a newer binary"
        ))),
        (_, Mode::Operator) => migrate(base).await,
        (None, Mode::Reader) => Err(StoreError::Unusable(
            "the database has no schema neuralops: the operator creates it when it starts"
                .to_owned(),
        )),
        (Some(older), Mode::Reader) => Err(StoreError::Unusable(format!(
            "its tables have version {older}, this binary reads {known}: the operator of this version brings them up to date"
        ))),
    }
}

async fn version(base: &mut PgConnection) -> Result<Option<i64>, StoreError> {
    let failed = || failed("reading the version of the tables");
    // Not `to_regclass`: it answers from a cache that does not hear what another replica has just made.
    let (there,): (bool,) = sqlx::query_as(
        "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'neuralops' AND tablename = 'schema')",
    )
    .fetch_one(&mut *base)
    .await
    .map_err(failed())?;
    if !there {
        return Ok(None);
    }
    let row = sqlx::query_as("SELECT version FROM neuralops.schema WHERE one = 1");
    let (version,) = row.fetch_one(base).await.map_err(failed())?;
    Ok(Some(version))
}

async fn migrate(base: &mut PgConnection) -> Result<(), StoreError> {
    let failed = || failed("bringing the tables up to date");
    let mut migration = base.begin().await.map_err(failed())?;
    // One replica does it; the others wait, and find it done. The number is "NOps".
    sqlx::query("SELECT pg_advisory_xact_lock(1313828979)")
        .execute(&mut *migration)
        .await
        .map_err(failed())?;
    let version = version(&mut migration).await?.unwrap_or_default();
    // Only if it is missing: a database administrator may have made it, for an account that must not.
    sqlx::raw_sql(
        "DO $$ BEGIN
             IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'neuralops') THEN
                 CREATE SCHEMA neuralops;
             END IF;
         END $$",
    )
    .execute(&mut *migration)
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
    migration.commit().await.map_err(failed())
}
