//! Floor 2: appending to the SQLite file, inside a transaction that its caller opened and that has compared the epoch. A
//! batch is a few statements, however many entries it has.

use std::collections::HashMap;

use serde_json::json;
use sqlx::SqliteConnection;

use super::read;
use crate::{
    adapters::store::{
        batch::{self, Batch, Edge},
        fault::failed,
        rows::{self, LogRow, damaged, nanoseconds, number},
    },
    domain::audit::{record::RecordId, tree::Frontier},
    ports::{Entry, Grown, LeafIndex, Log, LogNumber, StoreError},
};

/// Which log is to grow.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// The one that grows.
    Current,
    /// This one, which is being put back.
    Restored(LogNumber),
}

pub(super) async fn append(
    file: &mut SqliteConnection,
    target: Target,
    known: Option<Edge>,
    entries: Vec<Entry>,
) -> Result<(Grown, Edge), StoreError> {
    let log = match target {
        Target::Current => current(file).await?,
        Target::Restored(number) => restored(file, number).await?,
    };
    let frontier = read::edge(file, &log, known).await?;
    let standing = standing(file, &entries).await?;
    let batch = batch::grow(log.number, frontier, standing, entries);
    if let Target::Restored(number) = target {
        batch::at_home(number, &batch.appended)?;
    }
    if !batch.leaves.is_empty() {
        insert_leaves(file, &log, &batch).await?;
        insert_hashes(file, &log, &batch).await?;
        if !batch.payloads.is_empty() {
            insert_payloads(file, &batch).await?;
        }
        if !batch.notices.is_empty() {
            insert_notices(file, &log, &batch).await?;
        }
        resize(file, &log, &batch.frontier).await?;
    }
    let log = Log {
        size: batch.frontier.size(),
        root: batch.frontier.root(),
        ..log
    };
    let edge = (log.number, batch.frontier);
    let appended = batch.appended;
    Ok((Grown { appended, log }, edge))
}

async fn current(file: &mut SqliteConnection) -> Result<Log, StoreError> {
    let row: Option<LogRow> =
        sqlx::query_as("SELECT number, origin, state, size, root FROM log WHERE state = 'current'")
            .fetch_optional(file)
            .await
            .map_err(failed("looking for the log that grows"))?;
    row.ok_or_else(|| damaged("no log of it grows"))?.log()
}

async fn restored(file: &mut SqliteConnection, log: LogNumber) -> Result<Log, StoreError> {
    let row: Option<LogRow> = sqlx::query_as(
        "SELECT number, origin, state, size, root FROM log WHERE number = ?1 AND state = 'restored'",
    )
    .bind(log.0)
    .fetch_optional(file)
    .await
    .map_err(failed("looking for the log that is put back"))?;
    row.ok_or_else(|| damaged(format!("log {} is not being put back", log.0)))?
        .log()
}

async fn standing(
    file: &mut SqliteConnection,
    entries: &[Entry],
) -> Result<HashMap<RecordId, LeafIndex>, StoreError> {
    let ids = entries
        .iter()
        .map(|entry| entry.id.0)
        .collect::<Vec<_>>()
        .concat();
    let rows = sqlx::query_as(
        "WITH RECURSIVE wanted(n) AS (SELECT 0 WHERE ?2 > 0 UNION ALL SELECT n + 1 FROM wanted WHERE n + 1 < ?2)
         SELECT leaf.id, leaf.log, leaf.idx
         FROM wanted CROSS JOIN leaf ON leaf.id = substr(?1, 32 * wanted.n + 1, 32)",
    )
    .bind(ids)
    .bind(number(entries.len() as u64)?)
    .fetch_all(file)
    .await
    .map_err(failed("looking for leaves that stand already"))?;
    rows::standing(rows)
}

/// Ids and bodies go over as one value each, in which the rows find their pieces.
async fn insert_leaves(
    file: &mut SqliteConnection,
    log: &Log,
    batch: &Batch,
) -> Result<(), StoreError> {
    let mut ids = Vec::with_capacity(32 * batch.leaves.len());
    let mut bodies = Vec::new();
    let mut rows = Vec::with_capacity(batch.leaves.len());
    for leaf in &batch.leaves {
        rows.push(json!([
            bodies.len() + 1,
            leaf.body.len(),
            leaf.code.code(),
            leaf.actor.as_str(),
            leaf.object.as_ref().map(|object| object.as_str()),
            nanoseconds(leaf.time),
            leaf.playbook.as_ref().map(|playbook| playbook.as_str()),
        ]));
        ids.extend_from_slice(&leaf.id.0);
        bodies.extend_from_slice(&leaf.body);
    }
    sqlx::query(
        "INSERT INTO leaf (log, idx, id, body, code, actor, object, time, playbook)
         SELECT ?1, ?2 + row.key, substr(?3, 32 * row.key + 1, 32),
             substr(?4, row.value ->> 0, row.value ->> 1),
             row.value ->> 2, row.value ->> 3, row.value ->> 4, row.value ->> 5, row.value ->> 6
         FROM json_each(?5) AS row",
    )
    .bind(log.number.0)
    .bind(number(batch.first)?)
    .bind(ids)
    .bind(bodies)
    .bind(json!(rows).to_string())
    .execute(file)
    .await
    .map_err(failed("writing leaves"))?;
    Ok(())
}

async fn insert_hashes(
    file: &mut SqliteConnection,
    log: &Log,
    batch: &Batch,
) -> Result<(), StoreError> {
    let hashes = batch
        .hashes
        .iter()
        .map(|hash| hash.0)
        .collect::<Vec<_>>()
        .concat();
    sqlx::query(
        "WITH RECURSIVE new(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM new WHERE n + 1 < ?4)
         INSERT INTO node (log, pos, hash) SELECT ?1, ?2 + new.n, substr(?3, 32 * new.n + 1, 32) FROM new",
    )
    .bind(log.number.0)
    .bind(number(batch.position)?)
    .bind(hashes)
    .bind(number(batch.hashes.len() as u64)?)
    .execute(file)
    .await
    .map_err(failed("writing hashes"))?;
    Ok(())
}

/// A salted hash says what lies under it: the same one again only has to stay as long as either leaf needs it.
async fn insert_payloads(file: &mut SqliteConnection, batch: &Batch) -> Result<(), StoreError> {
    let mut salts = Vec::with_capacity(16 * batch.payloads.len());
    let mut bodies = Vec::new();
    let mut rows = Vec::with_capacity(batch.payloads.len());
    for (digest, (payload, until)) in &batch.payloads {
        rows.push(json!([
            digest.as_str(),
            bodies.len() + 1,
            payload.body.len(),
            nanoseconds(*until)
        ]));
        salts.extend_from_slice(&payload.salt);
        bodies.extend_from_slice(&payload.body);
    }
    sqlx::query(
        "INSERT INTO payload (digest, salt, body, expires)
         SELECT row.value ->> 0, substr(?1, 16 * row.key + 1, 16),
             substr(?2, row.value ->> 1, row.value ->> 2), row.value ->> 3
         FROM json_each(?3) AS row
         WHERE true -- or the conflict would be read as part of a join
         ON CONFLICT (digest) DO UPDATE SET expires = max(expires, excluded.expires)",
    )
    .bind(salts)
    .bind(bodies)
    .bind(json!(rows).to_string())
    .execute(file)
    .await
    .map_err(failed("writing texts"))?;
    Ok(())
}

async fn insert_notices(
    file: &mut SqliteConnection,
    log: &Log,
    batch: &Batch,
) -> Result<(), StoreError> {
    let mut bodies = Vec::new();
    let mut rows = Vec::with_capacity(batch.notices.len());
    for (index, body) in &batch.notices {
        rows.push(json!([index, bodies.len() + 1, body.len()]));
        bodies.extend_from_slice(body);
    }
    sqlx::query(
        "INSERT INTO notice (log, idx, body)
         SELECT ?1, row.value ->> 0, substr(?2, row.value ->> 1, row.value ->> 2)
         FROM json_each(?3) AS row ORDER BY row.key",
    )
    .bind(log.number.0)
    .bind(bodies)
    .bind(json!(rows).to_string())
    .execute(file)
    .await
    .map_err(failed("writing notices"))?;
    Ok(())
}

async fn resize(
    file: &mut SqliteConnection,
    log: &Log,
    frontier: &Frontier,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE log SET size = ?2, root = ?3 WHERE number = ?1")
        .bind(log.number.0)
        .bind(number(frontier.size())?)
        .bind(frontier.root().0.as_slice())
        .execute(file)
        .await
        .map_err(failed("writing the log's size"))?;
    Ok(())
}
