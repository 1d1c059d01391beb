//! Floor 2: what is read from the PostgreSQL database. Each function is one statement, and so sees one state of it.

use sqlx::{PgConnection, PgExecutor, PgPool};

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
pub(super) async fn epoch(base: impl PgExecutor<'_>) -> Result<i64, StoreError> {
    let row = sqlx::query_as("SELECT epoch FROM neuralops.writer WHERE one = 1");
    let (epoch,) = row
        .fetch_one(base)
        .await
        .map_err(failed("reading the epoch"))?;
    Ok(epoch)
}

pub(super) async fn logs(base: impl PgExecutor<'_>) -> Result<Vec<Log>, StoreError> {
    let rows: Vec<LogRow> = sqlx::query_as(
        "SELECT number, origin, state, size, root FROM neuralops.log ORDER BY number",
    )
    .fetch_all(base)
    .await
    .map_err(failed("reading the logs"))?;
    rows.into_iter().map(LogRow::log).collect()
}

pub(super) async fn hashes(
    base: impl PgExecutor<'_>,
    log: LogNumber,
    positions: &[Position],
) -> Result<Vec<Hash>, StoreError> {
    // One that no store can count to is not there either.
    let wanted: Vec<_> = positions
        .iter()
        .map(|at| i64::try_from(*at).unwrap_or(i64::MAX))
        .collect();
    let rows = sqlx::query_as(
        "SELECT node.pos, node.hash
         FROM unnest($2::bigint[]) WITH ORDINALITY AS wanted (pos, nth)
         JOIN neuralops.node ON node.log = $1 AND node.pos = wanted.pos
         ORDER BY wanted.nth",
    )
    .bind(i64::from(log.0))
    .bind(wanted)
    .fetch_all(base)
    .await
    .map_err(failed("reading hashes"))?;
    rows::hashes(log, positions, rows)
}

pub(super) async fn hash_run(base: &PgPool, run: Run) -> Result<Vec<Hash>, StoreError> {
    let rows: Vec<RunRow> = sqlx::query_as(
        "SELECT log.size, node.pos AS at, NULL::bytea AS id, node.hash AS body
         FROM neuralops.log LEFT JOIN neuralops.node ON node.log = log.number AND node.pos >= $2 AND node.pos < $3
         WHERE log.number = $1 ORDER BY node.pos",
    )
    .bind(i64::from(run.log.0))
    .bind(number(run.from)?)
    .bind(number(run.end())?)
    .fetch_all(base)
    .await
    .map_err(failed("reading hashes"))?;
    run.hashes(rows)
}

pub(super) async fn leaves(base: &PgPool, run: Run) -> Result<Vec<Leaf>, StoreError> {
    let rows: Vec<RunRow> = sqlx::query_as(
        "SELECT log.size, leaf.idx AS at, leaf.id, leaf.body
         FROM neuralops.log LEFT JOIN neuralops.leaf ON leaf.log = log.number AND leaf.idx >= $2 AND leaf.idx < $3
         WHERE log.number = $1 ORDER BY leaf.idx",
    )
    .bind(i64::from(run.log.0))
    .bind(number(run.from)?)
    .bind(number(run.end())?)
    .fetch_all(base)
    .await
    .map_err(failed("reading leaves"))?;
    run.leaves(rows)
}

pub(super) async fn find(base: &PgPool, id: RecordId) -> Result<Option<Leaf>, StoreError> {
    let row: Option<LeafRow> =
        sqlx::query_as("SELECT log, idx, id, body FROM neuralops.leaf WHERE id = $1")
            .bind(id.0.as_slice())
            .fetch_optional(base)
            .await
            .map_err(failed("looking for a leaf"))?;
    row.map(LeafRow::leaf).transpose()
}

pub(super) async fn settled(
    base: &PgPool,
    playbook: &str,
    count: u32,
) -> Result<Vec<Leaf>, StoreError> {
    let rows: Vec<LeafRow> = sqlx::query_as(
        "SELECT log, idx, id, body FROM neuralops.leaf
         WHERE playbook = $1 ORDER BY log DESC, idx DESC LIMIT $2",
    )
    .bind(playbook)
    .bind(i64::from(count))
    .fetch_all(base)
    .await
    .map_err(failed("looking for a Playbook's revision"))?;
    rows.into_iter().map(LeafRow::leaf).collect()
}

/// Between a code and itself: were it one code for the planner, the order of the places alone would seem to do, and a code
/// that is rare or not there would have all of them read.
pub(super) async fn newest(base: &PgPool, codes: &[Event]) -> Result<Option<Leaf>, StoreError> {
    let codes: Vec<_> = codes.iter().map(|code| code.code()).collect();
    let row: Option<LeafRow> = sqlx::query_as(
        "SELECT newest.log, newest.idx, newest.id, newest.body
         FROM unnest($1::text[]) AS wanted (code) CROSS JOIN LATERAL (
             SELECT log, idx, id, body FROM neuralops.leaf
             WHERE leaf.code >= wanted.code AND leaf.code <= wanted.code
             ORDER BY leaf.code DESC, log DESC, idx DESC LIMIT 1) AS newest
         ORDER BY newest.log DESC, newest.idx DESC LIMIT 1",
    )
    .bind(codes)
    .fetch_optional(base)
    .await
    .map_err(failed("looking for the newest leaf"))?;
    row.map(LeafRow::leaf).transpose()
}

macro_rules! page {
    ($condition:literal) => {
        concat!(
            "SELECT log, idx, id, body FROM neuralops.leaf WHERE ",
            $condition,
            " AND ($1::text IS NULL OR object = $1) AND ($2::text IS NULL OR actor = $2)
             AND ($3::text IS NULL OR code = $3) AND time >= $4 AND time <= $5 AND (log, idx) > ($6, $7)
             ORDER BY log, idx LIMIT $8"
        )
    };
}

/// The statement for a page, with the condition that an index is to find the leaves by.
fn page(by: By) -> &'static str {
    match by {
        By::Object => page!("object = $1"),
        By::Actor => page!("actor = $2"),
        By::Code => page!("code = $3"),
        // The sum hides the order of the places from the planner, which would read them all from the first on: it
        // takes times for spread evenly, and they are not.
        By::Time => page!(
            "(log, idx) IN (SELECT log, idx FROM neuralops.leaf
                 WHERE time >= $4 AND time <= $5 ORDER BY log + 0, idx LIMIT $8)"
        ),
        By::Place => page!("log >= $6"),
    }
}

pub(super) async fn query(base: &PgPool, asked: Conditions) -> Result<Vec<Leaf>, StoreError> {
    let rows: Vec<LeafRow> = sqlx::query_as(page(asked.by))
        .bind(asked.object)
        .bind(asked.actor)
        .bind(asked.code)
        .bind(asked.since)
        .bind(asked.until)
        .bind(asked.after_log)
        .bind(asked.after_idx)
        .bind(asked.limit)
        .fetch_all(base)
        .await
        .map_err(failed("looking for leaves"))?;
    rows.into_iter().map(LeafRow::leaf).collect()
}

pub(super) async fn checkpoint(
    base: &PgPool,
    log: LogNumber,
) -> Result<Option<SavedCheckpoint>, StoreError> {
    let row: Option<CheckpointRow> = sqlx::query_as(
        "SELECT log, size, note FROM neuralops.checkpoint WHERE log = $1 ORDER BY size DESC LIMIT 1",
    )
    .bind(i64::from(log.0))
    .fetch_optional(base)
    .await
    .map_err(failed("reading a checkpoint"))?;
    row.map(CheckpointRow::checkpoint).transpose()
}

pub(super) async fn checkpoints(
    base: &PgPool,
    log: LogNumber,
    above: u64,
    count: u32,
) -> Result<Vec<SavedCheckpoint>, StoreError> {
    let rows: Vec<CheckpointRow> = sqlx::query_as(
        "SELECT log, size, note FROM neuralops.checkpoint WHERE log = $1 AND size > $2 ORDER BY size LIMIT $3",
    )
    .bind(i64::from(log.0))
    .bind(number(above)?)
    .bind(i64::from(count))
    .fetch_all(base)
    .await
    .map_err(failed("reading checkpoints"))?;
    rows.into_iter().map(CheckpointRow::checkpoint).collect()
}

pub(super) async fn payload(base: &PgPool, digest: &Digest) -> Result<Option<Payload>, StoreError> {
    let row = sqlx::query_as("SELECT salt, body FROM neuralops.payload WHERE digest = $1")
        .bind(digest.as_str())
        .fetch_optional(base)
        .await
        .map_err(failed("reading a text"))?;
    row.map(|row| rows::payload(digest, row)).transpose()
}

pub(super) async fn notices(base: &PgPool, count: u32) -> Result<Vec<Notice>, StoreError> {
    let rows: Vec<NoticeRow> = sqlx::query_as(
        "SELECT number, log, idx, body FROM neuralops.notice ORDER BY number LIMIT $1",
    )
    .bind(i64::from(count))
    .fetch_all(base)
    .await
    .map_err(failed("reading notices"))?;
    rows.into_iter().map(NoticeRow::notice).collect()
}

pub(super) async fn requests(base: &PgPool, count: u32) -> Result<Vec<Request>, StoreError> {
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT number, body FROM neuralops.request ORDER BY number LIMIT $1")
            .bind(i64::from(count))
            .fetch_all(base)
            .await
            .map_err(failed("reading requests"))?;
    rows.into_iter().map(rows::request).collect()
}

/// What is wrong with the number of rows of each log, and with its right edge.
pub(super) async fn check(base: &PgPool) -> Result<Vec<String>, StoreError> {
    let doing = "checking the database";
    // One state of the database for all of it, and as much time as it takes.
    let mut state = base
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await
        .map_err(failed(doing))?;
    // Every row is read, which is done best from the table's first page to its last.
    for setting in [
        "SET LOCAL statement_timeout = 0",
        "SET LOCAL enable_seqscan = on",
    ] {
        sqlx::query(setting)
            .execute(&mut *state)
            .await
            .map_err(failed(doing))?;
    }
    let mut findings = Vec::new();
    for log in logs(&mut *state).await? {
        let (leaves, hashes): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM neuralops.leaf WHERE log = $1),
                 (SELECT count(*) FROM neuralops.node WHERE log = $1)",
        )
        .bind(i64::from(log.number.0))
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
    base: &mut PgConnection,
    log: &Log,
    known: Option<Edge>,
) -> Result<Frontier, StoreError> {
    if let Some(known) = batch::remembered(log, known)? {
        return Ok(known);
    }
    let peaks = hashes(base, log.number, &Frontier::positions(log.size)).await?;
    batch::frontier(log, peaks)
}
