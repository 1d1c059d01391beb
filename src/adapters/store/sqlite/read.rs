//! Floor 2: what is read from the SQLite file. Each function is one statement, and so sees one state of the file.

use serde_json::json;
use sqlx::{SqliteConnection, SqliteExecutor, SqlitePool};

use crate::{
    adapters::store::{
        batch::{self, Edge},
        fault::failed,
        page::{By, Conditions},
        rows::{self, CheckpointRow, LeafRow, LogRow, NoticeRow, Run, RunRow, number},
    },
    domain::{
        audit::{
            event::Event,
            hash::Hash,
            record::{Payload, RecordId},
            tree::{Frontier, Position},
        },
        digest::Digest,
    },
    ports::{Leaf, Log, LogNumber, Notice, Request, SavedCheckpoint, StoreError},
};

/// The newest epoch.
pub(super) async fn epoch(file: impl SqliteExecutor<'_>) -> Result<i64, StoreError> {
    let row = sqlx::query_as("SELECT epoch FROM writer WHERE one = 1");
    let (epoch,) = row
        .fetch_one(file)
        .await
        .map_err(failed("reading the epoch"))?;
    Ok(epoch)
}

pub(super) async fn logs(file: impl SqliteExecutor<'_>) -> Result<Vec<Log>, StoreError> {
    let rows: Vec<LogRow> =
        sqlx::query_as("SELECT number, origin, state, size, root FROM log ORDER BY number")
            .fetch_all(file)
            .await
            .map_err(failed("reading the logs"))?;
    rows.into_iter().map(LogRow::log).collect()
}

pub(super) async fn hashes(
    file: impl SqliteExecutor<'_>,
    log: LogNumber,
    positions: &[Position],
) -> Result<Vec<Hash>, StoreError> {
    let rows = sqlx::query_as(
        "SELECT node.pos, node.hash
         FROM json_each(?2) AS wanted CROSS JOIN node ON node.log = ?1 AND node.pos = wanted.value
         ORDER BY wanted.key",
    )
    .bind(log.0)
    .bind(json!(positions).to_string())
    .fetch_all(file)
    .await
    .map_err(failed("reading hashes"))?;
    rows::hashes(log, positions, rows)
}

pub(super) async fn hash_run(file: &SqlitePool, run: Run) -> Result<Vec<Hash>, StoreError> {
    let rows: Vec<RunRow> = sqlx::query_as(
        "SELECT log.size, node.pos AS at, NULL AS id, node.hash AS body
         FROM log LEFT JOIN node ON node.log = log.number AND node.pos >= ?2 AND node.pos < ?3
         WHERE log.number = ?1 ORDER BY node.pos",
    )
    .bind(run.log.0)
    .bind(number(run.from)?)
    .bind(number(run.end())?)
    .fetch_all(file)
    .await
    .map_err(failed("reading hashes"))?;
    run.hashes(rows)
}

pub(super) async fn leaves(file: &SqlitePool, run: Run) -> Result<Vec<Leaf>, StoreError> {
    let rows: Vec<RunRow> = sqlx::query_as(
        "SELECT log.size, leaf.idx AS at, leaf.id, leaf.body
         FROM log LEFT JOIN leaf ON leaf.log = log.number AND leaf.idx >= ?2 AND leaf.idx < ?3
         WHERE log.number = ?1 ORDER BY leaf.idx",
    )
    .bind(run.log.0)
    .bind(number(run.from)?)
    .bind(number(run.end())?)
    .fetch_all(file)
    .await
    .map_err(failed("reading leaves"))?;
    run.leaves(rows)
}

pub(super) async fn find(file: &SqlitePool, id: RecordId) -> Result<Option<Leaf>, StoreError> {
    let row: Option<LeafRow> = sqlx::query_as("SELECT log, idx, id, body FROM leaf WHERE id = ?1")
        .bind(id.0.as_slice())
        .fetch_optional(file)
        .await
        .map_err(failed("looking for a leaf"))?;
    row.map(LeafRow::leaf).transpose()
}

pub(super) async fn settled(
    file: &SqlitePool,
    playbook: &str,
    count: u32,
) -> Result<Vec<Leaf>, StoreError> {
    let rows: Vec<LeafRow> = sqlx::query_as(
        "SELECT log, idx, id, body FROM leaf INDEXED BY leaf_playbook
         WHERE playbook = ?1 ORDER BY log DESC, idx DESC LIMIT ?2",
    )
    .bind(playbook)
    .bind(count)
    .fetch_all(file)
    .await
    .map_err(failed("looking for a Playbook's revision"))?;
    rows.into_iter().map(LeafRow::leaf).collect()
}

pub(super) async fn newest(file: &SqlitePool, codes: &[Event]) -> Result<Option<Leaf>, StoreError> {
    let codes: Vec<_> = codes.iter().map(|code| code.code()).collect();
    let row: Option<LeafRow> = sqlx::query_as(
        "SELECT leaf.log, leaf.idx, leaf.id, leaf.body
         FROM json_each(?1) AS wanted CROSS JOIN leaf ON leaf.rowid = (
             SELECT newest.rowid FROM leaf AS newest INDEXED BY leaf_code
             WHERE newest.code = wanted.value ORDER BY newest.log DESC, newest.idx DESC LIMIT 1)
         ORDER BY leaf.log DESC, leaf.idx DESC LIMIT 1",
    )
    .bind(json!(codes).to_string())
    .fetch_optional(file)
    .await
    .map_err(failed("looking for the newest leaf"))?;
    row.map(LeafRow::leaf).transpose()
}

macro_rules! page {
    ($index:literal, $condition:literal) => {
        concat!(
            "SELECT log, idx, id, body FROM leaf ",
            $index,
            " WHERE ",
            $condition,
            " AND (?1 IS NULL OR object = ?1) AND (?2 IS NULL OR actor = ?2)
             AND (?3 IS NULL OR code = ?3) AND time >= ?4 AND time <= ?5 AND (log, idx) > (?6, ?7)
             ORDER BY log, idx LIMIT ?8"
        )
    };
}

/// The statement for a page, by an index that is named: with other statistics the planner would choose another.
fn page(by: By) -> &'static str {
    match by {
        By::Object => page!("INDEXED BY leaf_object", "object = ?1"),
        By::Actor => page!("INDEXED BY leaf_actor", "actor = ?2"),
        By::Code => page!("INDEXED BY leaf_code", "code = ?3"),
        // From the index alone, because it orders by time and all that it finds has to be ordered anew.
        By::Time => page!(
            "",
            "(log, idx) IN (SELECT log, idx FROM leaf INDEXED BY leaf_time
                 WHERE time >= ?4 AND time <= ?5 ORDER BY log, idx LIMIT ?8)"
        ),
        By::Place => page!("INDEXED BY sqlite_autoindex_leaf_1", "log >= ?6"),
    }
}

pub(super) async fn query(file: &SqlitePool, asked: Conditions) -> Result<Vec<Leaf>, StoreError> {
    let rows: Vec<LeafRow> = sqlx::query_as(page(asked.by))
        .bind(asked.object)
        .bind(asked.actor)
        .bind(asked.code)
        .bind(asked.since)
        .bind(asked.until)
        .bind(asked.after_log)
        .bind(asked.after_idx)
        .bind(asked.limit)
        .fetch_all(file)
        .await
        .map_err(failed("looking for leaves"))?;
    rows.into_iter().map(LeafRow::leaf).collect()
}

pub(super) async fn checkpoint(
    file: &SqlitePool,
    log: LogNumber,
) -> Result<Option<SavedCheckpoint>, StoreError> {
    let row: Option<CheckpointRow> = sqlx::query_as(
        "SELECT log, size, note FROM checkpoint WHERE log = ?1 ORDER BY size DESC LIMIT 1",
    )
    .bind(log.0)
    .fetch_optional(file)
    .await
    .map_err(failed("reading a checkpoint"))?;
    row.map(CheckpointRow::checkpoint).transpose()
}

pub(super) async fn checkpoints(
    file: &SqlitePool,
    log: LogNumber,
    above: u64,
    count: u32,
) -> Result<Vec<SavedCheckpoint>, StoreError> {
    let rows: Vec<CheckpointRow> = sqlx::query_as(
        "SELECT log, size, note FROM checkpoint WHERE log = ?1 AND size > ?2 ORDER BY size LIMIT ?3",
    )
    .bind(log.0)
    .bind(number(above)?)
    .bind(count)
    .fetch_all(file)
    .await
    .map_err(failed("reading checkpoints"))?;
    rows.into_iter().map(CheckpointRow::checkpoint).collect()
}

pub(super) async fn payload(
    file: &SqlitePool,
    digest: &Digest,
) -> Result<Option<Payload>, StoreError> {
    let row = sqlx::query_as("SELECT salt, body FROM payload WHERE digest = ?1")
        .bind(digest.as_str())
        .fetch_optional(file)
        .await
        .map_err(failed("reading a text"))?;
    row.map(|row| rows::payload(digest, row)).transpose()
}

pub(super) async fn notices(file: &SqlitePool, count: u32) -> Result<Vec<Notice>, StoreError> {
    let rows: Vec<NoticeRow> =
        sqlx::query_as("SELECT number, log, idx, body FROM notice ORDER BY number LIMIT ?1")
            .bind(count)
            .fetch_all(file)
            .await
            .map_err(failed("reading notices"))?;
    rows.into_iter().map(NoticeRow::notice).collect()
}

pub(super) async fn requests(file: &SqlitePool, count: u32) -> Result<Vec<Request>, StoreError> {
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT number, body FROM request ORDER BY number LIMIT ?1")
            .bind(count)
            .fetch_all(file)
            .await
            .map_err(failed("reading requests"))?;
    rows.into_iter().map(rows::request).collect()
}

/// What is wrong with the file's pages, and with the number of rows of each log.
pub(super) async fn check(file: &SqlitePool) -> Result<Vec<String>, StoreError> {
    let doing = "checking the file";
    // One state of the file for all of it.
    let mut state = file.begin().await.map_err(failed(doing))?;
    let pages: Vec<(String,)> = sqlx::query_as("PRAGMA quick_check")
        .fetch_all(&mut *state)
        .await
        .map_err(failed(doing))?;
    let mut findings: Vec<_> = pages
        .into_iter()
        .map(|(line,)| line)
        .filter(|line| line != "ok")
        .collect();
    for log in logs(&mut *state).await? {
        let (leaves, hashes): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM leaf WHERE log = ?1), (SELECT count(*) FROM node WHERE log = ?1)",
        )
        .bind(log.number.0)
        .fetch_one(&mut *state)
        .await
        .map_err(failed(doing))?;
        findings.extend(rows::miscounts(&log, leaves, hashes)?);
        match edge(&mut state, &log, None).await {
            Ok(_) => {}
            Err(StoreError::Damaged(finding)) => findings.push(finding),
            Err(error) => return Err(error),
        }
    }
    Ok(findings)
}

/// The right edge of a log: the one that is remembered, else from its hashes.
pub(super) async fn edge(
    file: &mut SqliteConnection,
    log: &Log,
    known: Option<Edge>,
) -> Result<Frontier, StoreError> {
    if let Some(known) = batch::remembered(log, known)? {
        return Ok(known);
    }
    let peaks = hashes(file, log.number, &Frontier::positions(log.size)).await?;
    batch::frontier(log, peaks)
}
