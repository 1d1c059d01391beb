//! Floor 2: appending to the PostgreSQL database, inside a transaction that its caller opened and that has compared the epoch. A
//! batch is a few statements, however many entries it has.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::read;
use crate::{
    adapters::store::{
        batch::{self, Batch, Edge},
        fault::failed,
        rows::{self, LogRow, damaged, nanoseconds, number},
    },
    domain::{
        audit::{
            record::{Name, RecordId},
            tree::Frontier,
        },
        digest::Digest,
    },
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
    base: &mut PgConnection,
    target: Target,
    known: Option<Edge>,
    entries: Vec<Entry>,
) -> Result<(Grown, Edge), StoreError> {
    let log = match target {
        Target::Current => current(base).await?,
        Target::Restored(number) => restored(base, number).await?,
    };
    let frontier = read::edge(base, &log, known).await?;
    let standing = standing(base, &entries).await?;
    let batch = batch::grow(log.number, frontier, standing, entries);
    if let Target::Restored(number) = target {
        batch::at_home(number, &batch.appended)?;
    }
    if !batch.leaves.is_empty() {
        insert_leaves(base, &log, &batch).await?;
        insert_hashes(base, &log, &batch).await?;
        if !batch.payloads.is_empty() {
            insert_payloads(base, &batch).await?;
        }
        if !batch.notices.is_empty() {
            insert_notices(base, &log, &batch).await?;
        }
        resize(base, &log, &batch.frontier).await?;
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

async fn current(base: &mut PgConnection) -> Result<Log, StoreError> {
    let row: Option<LogRow> = sqlx::query_as(
        "SELECT number, origin, state, size, root FROM neuralops.log WHERE state = 'current'",
    )
    .fetch_optional(base)
    .await
    .map_err(failed("looking for the log that grows"))?;
    row.ok_or_else(|| damaged("no log of it grows"))?.log()
}

async fn restored(base: &mut PgConnection, log: LogNumber) -> Result<Log, StoreError> {
    let row: Option<LogRow> = sqlx::query_as(
        "SELECT number, origin, state, size, root FROM neuralops.log WHERE number = $1 AND state = 'restored'",
    )
    .bind(i64::from(log.0))
    .fetch_optional(base)
    .await
    .map_err(failed("looking for the log that is put back"))?;
    row.ok_or_else(|| damaged(format!("log {} is not being put back", log.0)))?
        .log()
}

async fn standing(
    base: &mut PgConnection,
    entries: &[Entry],
) -> Result<HashMap<RecordId, LeafIndex>, StoreError> {
    let ids: Vec<_> = entries.iter().map(|entry| entry.id.0.as_slice()).collect();
    let rows = sqlx::query_as("SELECT id, log, idx FROM neuralops.leaf WHERE id = ANY($1)")
        .bind(ids)
        .fetch_all(base)
        .await
        .map_err(failed("looking for leaves that stand already"))?;
    rows::standing(rows)
}

async fn insert_leaves(
    base: &mut PgConnection,
    log: &Log,
    batch: &Batch,
) -> Result<(), StoreError> {
    let leaves = &batch.leaves;
    let ids: Vec<_> = leaves.iter().map(|leaf| leaf.id.0.as_slice()).collect();
    let bodies: Vec<_> = leaves.iter().map(|leaf| leaf.body.as_slice()).collect();
    let codes: Vec<_> = leaves.iter().map(|leaf| leaf.code.code()).collect();
    let actors: Vec<_> = leaves.iter().map(|leaf| leaf.actor.as_str()).collect();
    let objects: Vec<_> = leaves
        .iter()
        .map(|leaf| leaf.object.as_ref().map(Name::as_str))
        .collect();
    let playbooks: Vec<_> = leaves
        .iter()
        .map(|leaf| leaf.playbook.as_ref().map(Name::as_str))
        .collect();
    let times: Vec<_> = leaves.iter().map(|leaf| nanoseconds(leaf.time)).collect();
    sqlx::query(
        "INSERT INTO neuralops.leaf (log, idx, id, body, code, actor, object, time, playbook)
         SELECT $1, $2 + new.nth - 1, new.id, new.body, new.code, new.actor, new.object, new.time, new.playbook
         FROM unnest($3::bytea[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[])
             WITH ORDINALITY AS new (id, body, code, actor, object, time, playbook, nth)",
    )
    .bind(i64::from(log.number.0))
    .bind(number(batch.first)?)
    .bind(ids)
    .bind(bodies)
    .bind(codes)
    .bind(actors)
    .bind(objects)
    .bind(times)
    .bind(playbooks)
    .execute(base)
    .await
    .map_err(failed("writing leaves"))?;
    Ok(())
}

async fn insert_hashes(
    base: &mut PgConnection,
    log: &Log,
    batch: &Batch,
) -> Result<(), StoreError> {
    let hashes: Vec<_> = batch.hashes.iter().map(|hash| hash.0.as_slice()).collect();
    sqlx::query(
        "INSERT INTO neuralops.node (log, pos, hash)
         SELECT $1, $2 + new.nth - 1, new.hash FROM unnest($3::bytea[]) WITH ORDINALITY AS new (hash, nth)",
    )
    .bind(i64::from(log.number.0))
    .bind(number(batch.position)?)
    .bind(hashes)
    .execute(base)
    .await
    .map_err(failed("writing hashes"))?;
    Ok(())
}

/// A salted hash says what lies under it: the same one again only has to stay as long as either leaf needs it.
async fn insert_payloads(base: &mut PgConnection, batch: &Batch) -> Result<(), StoreError> {
    let payloads = batch.payloads.values();
    let digests: Vec<_> = batch.payloads.keys().map(Digest::as_str).collect();
    let salts: Vec<_> = payloads
        .clone()
        .map(|(payload, _)| payload.salt.as_slice())
        .collect();
    let bodies: Vec<_> = payloads
        .clone()
        .map(|(payload, _)| payload.body.as_slice())
        .collect();
    let times: Vec<_> = payloads.map(|(_, until)| nanoseconds(*until)).collect();
    sqlx::query(
        "INSERT INTO neuralops.payload (digest, salt, body, expires)
         SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bigint[])
         ON CONFLICT (digest) DO UPDATE SET expires = greatest(payload.expires, excluded.expires)",
    )
    .bind(digests)
    .bind(salts)
    .bind(bodies)
    .bind(times)
    .execute(base)
    .await
    .map_err(failed("writing texts"))?;
    Ok(())
}

async fn insert_notices(
    base: &mut PgConnection,
    log: &Log,
    batch: &Batch,
) -> Result<(), StoreError> {
    let indices: Result<Vec<_>, _> = batch
        .notices
        .iter()
        .map(|(index, _)| number(*index))
        .collect();
    let bodies: Vec<_> = batch
        .notices
        .iter()
        .map(|(_, body)| body.as_slice())
        .collect();
    sqlx::query(
        "INSERT INTO neuralops.notice (log, idx, body)
         SELECT $1, new.idx, new.body
         FROM unnest($2::bigint[], $3::bytea[]) WITH ORDINALITY AS new (idx, body, nth) ORDER BY new.nth",
    )
    .bind(i64::from(log.number.0))
    .bind(indices?)
    .bind(bodies)
    .execute(base)
    .await
    .map_err(failed("writing notices"))?;
    Ok(())
}

async fn resize(base: &mut PgConnection, log: &Log, frontier: &Frontier) -> Result<(), StoreError> {
    sqlx::query("UPDATE neuralops.log SET size = $2, root = $3 WHERE number = $1")
        .bind(i64::from(log.number.0))
        .bind(number(frontier.size())?)
        .bind(frontier.root().0.as_slice())
        .execute(base)
        .await
        .map_err(failed("writing the log's size"))?;
    Ok(())
}
