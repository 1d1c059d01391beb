//! Floor 2: what is written to the PostgreSQL database beside leaves, each function inside a transaction that its caller opened
//! and that has compared the epoch.

use jiff::Timestamp;
use sqlx::PgConnection;

use crate::{
    adapters::store::{
        fault::failed,
        rows::{self, LogRow, damaged, nanoseconds, number},
    },
    domain::audit::hash::Hash,
    ports::{Epoch, Log, LogNumber, SavedCheckpoint, StoreError},
};

/// Texts that are erased in one transaction.
pub(super) const ERASED_AT_ONCE: u64 = 1000;

pub(super) async fn take_over(base: &mut PgConnection) -> Result<Epoch, StoreError> {
    let row = sqlx::query_as(
        "UPDATE neuralops.writer SET epoch = epoch + 1 WHERE one = 1 RETURNING epoch",
    );
    let (epoch,) = row.fetch_one(base).await.map_err(failed("taking over"))?;
    rows::count(epoch).map(Epoch)
}

pub(super) async fn begin_log(base: &mut PgConnection, origin: &str) -> Result<Log, StoreError> {
    let failed = || failed("beginning a log");
    sqlx::query(
        "DELETE FROM neuralops.checkpoint WHERE log IN (SELECT number FROM neuralops.log WHERE state = 'pending')",
    )
    .execute(&mut *base)
    .await
    .map_err(failed())?;
    sqlx::query("DELETE FROM neuralops.log WHERE state = 'pending'")
        .execute(&mut *base)
        .await
        .map_err(failed())?;
    insert_log(base, origin, "pending").await
}

pub(super) async fn restore_log(
    base: &mut PgConnection,
    origin: &str,
) -> Result<LogNumber, StoreError> {
    match log_by_origin(base, origin).await? {
        None => insert_log(base, origin, "restored")
            .await
            .map(|log| log.number),
        // It was interrupted, and goes on where it ended.
        Some(row) if row.state == "restored" => row.log().map(|log| log.number),
        Some(row) => Err(StoreError::Unusable(format!(
            "it holds {origin:?} already ({}): put a log back into a store that does not have it",
            row.state
        ))),
    }
}

async fn log_by_origin(
    base: &mut PgConnection,
    origin: &str,
) -> Result<Option<LogRow>, StoreError> {
    sqlx::query_as("SELECT number, origin, state, size, root FROM neuralops.log WHERE origin = $1")
        .bind(origin)
        .fetch_optional(base)
        .await
        .map_err(failed("looking for a log"))
}

async fn insert_log(base: &mut PgConnection, origin: &str, state: &str) -> Result<Log, StoreError> {
    let row: LogRow = sqlx::query_as(
        "INSERT INTO neuralops.log (number, origin, state, size, root)
         SELECT coalesce(max(number), 0) + 1, $1, $2, 0, $3 FROM neuralops.log
         RETURNING number, origin, state, size, root",
    )
    .bind(origin)
    .bind(state)
    .bind(Hash::of_nothing().0.as_slice())
    .fetch_one(base)
    .await
    .map_err(failed("beginning a log"))?;
    row.log()
}

pub(super) async fn promote(base: &mut PgConnection, log: LogNumber) -> Result<(), StoreError> {
    let failed = || failed("promoting a log");
    let state: Option<(String,)> =
        sqlx::query_as("SELECT state FROM neuralops.log WHERE number = $1")
            .bind(i64::from(log.0))
            .fetch_optional(&mut *base)
            .await
            .map_err(failed())?;
    match state.as_ref().map(|(state,)| state.as_str()) {
        Some("current") => return Ok(()),
        Some("pending" | "restored") => {}
        Some(state) => return Err(damaged(format!("log {} cannot grow: it is {state}", log.0))),
        None => return Err(damaged(format!("there is no log {} to promote", log.0))),
    }
    sqlx::query("UPDATE neuralops.log SET state = 'closed' WHERE state = 'current'")
        .execute(&mut *base)
        .await
        .map_err(failed())?;
    sqlx::query("UPDATE neuralops.log SET state = 'current' WHERE number = $1")
        .bind(i64::from(log.0))
        .execute(base)
        .await
        .map_err(failed())?;
    Ok(())
}

pub(super) async fn save_checkpoint(
    base: &mut PgConnection,
    checkpoint: &SavedCheckpoint,
) -> Result<(), StoreError> {
    let failed = || failed("keeping a checkpoint");
    let log = i64::from(checkpoint.log.0);
    let size = number(checkpoint.size)?;
    let kept: Option<(String,)> =
        sqlx::query_as("SELECT note FROM neuralops.checkpoint WHERE log = $1 AND size = $2")
            .bind(log)
            .bind(size)
            .fetch_optional(&mut *base)
            .await
            .map_err(failed())?;
    match kept {
        Some((note,)) if note == checkpoint.note => return Ok(()),
        Some(_) => {
            return Err(damaged(format!(
                "another checkpoint of log {log} at size {size} was published before"
            )));
        }
        None => {}
    }
    sqlx::query("INSERT INTO neuralops.checkpoint (log, size, note) VALUES ($1, $2, $3)")
        .bind(log)
        .bind(size)
        .bind(checkpoint.note.as_str())
        .execute(base)
        .await
        .map_err(failed())?;
    Ok(())
}

/// Erases some of the texts whose time is over: all of them, if they are fewer than at once.
pub(super) async fn expire_payloads(
    base: &mut PgConnection,
    now: Timestamp,
) -> Result<u64, StoreError> {
    sqlx::query(
        "DELETE FROM neuralops.payload WHERE digest IN (SELECT digest FROM neuralops.payload WHERE expires <= $1 LIMIT $2)",
    )
    .bind(nanoseconds(now))
    .bind(number(ERASED_AT_ONCE)?)
    .execute(base)
    .await
    .map(|done| done.rows_affected())
    .map_err(failed("erasing texts"))
}

pub(super) async fn told(base: &mut PgConnection, notice: u64) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM neuralops.notice WHERE number = $1")
        .bind(number(notice)?)
        .execute(base)
        .await
        .map(drop)
        .map_err(failed("striking out a notice"))
}

pub(super) async fn ask(base: &mut PgConnection, body: &[u8]) -> Result<u64, StoreError> {
    let row = sqlx::query_as("INSERT INTO neuralops.request (body) VALUES ($1) RETURNING number");
    let (number,) = row
        .bind(body)
        .fetch_one(base)
        .await
        .map_err(failed("asking"))?;
    rows::count(number)
}

pub(super) async fn answered(base: &mut PgConnection, request: u64) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM neuralops.request WHERE number = $1")
        .bind(number(request)?)
        .execute(base)
        .await
        .map(drop)
        .map_err(failed("striking out a request"))
}
