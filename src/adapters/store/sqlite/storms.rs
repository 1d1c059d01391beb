//! Floor 2: storms in the SQLite file: what counts against a limit, and which run those of one incident join. What is written
//! is written inside a transaction that its caller opened and that has compared the epoch.

use serde_json::json;
use sqlx::{Executor, Sqlite, SqliteConnection, SqlitePool};

use crate::{
    adapters::store::{
        fault::failed,
        limits::{BegunRow, RunningRow, hour_before, reached},
        rows::{RunKeyRow, count, nanoseconds},
    },
    ports::{Claim, Claimed, IncidentKey, RunKey, StoreError, Tally},
};

/// Which limit keeps the claim from being held; a run that holds something already is asked no more.
pub(super) async fn limited(
    file: &mut SqliteConnection,
    claim: &Claim,
) -> Result<Option<Claimed>, StoreError> {
    let failed = || failed("counting runs");
    let running: Vec<RunningRow> = sqlx::query_as(
        "SELECT uid, namespace, name, playbook FROM run WHERE namespace = ?1 ORDER BY since, uid",
    )
    .bind(&claim.run.namespace)
    .fetch_all(&mut *file)
    .await
    .map_err(failed())?;
    if running.iter().any(|row| row.is(&claim.run)) {
        return Ok(None);
    }
    let begun: Vec<BegunRow> = sqlx::query_as(
        "SELECT begun.key, begun.at, begun.run AS uid, begun.namespace, begun.name
         FROM json_each(?1) AS wanted CROSS JOIN begun ON begun.key = wanted.value
         WHERE begun.namespace = ?2 AND begun.playbook = ?3 AND begun.run <> ?4 AND begun.at > ?5
         ORDER BY begun.key, begun.at, begun.run",
    )
    .bind(json!(claim.keys).to_string())
    .bind(&claim.run.namespace)
    .bind(&claim.playbook)
    .bind(&claim.run.uid)
    .bind(hour_before(claim))
    .fetch_all(file)
    .await
    .map_err(failed())?;
    Ok(reached(claim, running, begun))
}

/// It counts on its targets from now on, and what began more than an hour ago no more.
pub(super) async fn begins(file: &mut SqliteConnection, claim: &Claim) -> Result<(), StoreError> {
    let failed = || failed("counting a run");
    sqlx::query("DELETE FROM begun WHERE at <= ?1")
        .bind(hour_before(claim))
        .execute(&mut *file)
        .await
        .map_err(failed())?;
    sqlx::query(
        "INSERT INTO begun (key, run, namespace, name, playbook, at)
         SELECT wanted.value, ?2, ?3, ?4, ?5, ?6 FROM json_each(?1) AS wanted
         WHERE true -- or the conflict would be read as part of a join
         ON CONFLICT (key, run) DO NOTHING",
    )
    .bind(json!(claim.keys).to_string())
    .bind(&claim.run.uid)
    .bind(&claim.run.namespace)
    .bind(&claim.run.name)
    .bind(&claim.playbook)
    .bind(nanoseconds(claim.since))
    .execute(file)
    .await
    .map(drop)
    .map_err(failed())
}

pub(super) async fn own(
    file: &mut SqliteConnection,
    incident: &IncidentKey,
    run: &RunKey,
    instead_of: Option<&str>,
) -> Result<RunKey, StoreError> {
    let failed = || failed("taking an incident");
    sqlx::query(
        "DELETE FROM incident WHERE namespace = ?1 AND key = ?2 AND wish = ?3 AND run = ?4",
    )
    .bind(&incident.namespace)
    .bind(&incident.key)
    .bind(&incident.wish)
    .bind(instead_of)
    .execute(&mut *file)
    .await
    .map_err(failed())?;
    // It stands for one thing, and whoever goes on has joined nobody.
    for statement in [
        "DELETE FROM incident WHERE run = ?1",
        "DELETE FROM joined WHERE run = ?1",
    ] {
        sqlx::query(statement)
            .bind(&run.uid)
            .execute(&mut *file)
            .await
            .map_err(failed())?;
    }
    sqlx::query(
        "INSERT INTO incident (namespace, key, wish, run, name) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (namespace, key, wish) DO NOTHING",
    )
    .bind(&incident.namespace)
    .bind(&incident.key)
    .bind(&incident.wish)
    .bind(&run.uid)
    .bind(&run.name)
    .execute(&mut *file)
    .await
    .map_err(failed())?;
    let owner = owner(&mut *file, incident).await?;
    Ok(owner.unwrap_or_else(|| run.clone()))
}

pub(super) async fn owner<'e>(
    file: impl Executor<'e, Database = Sqlite>,
    incident: &IncidentKey,
) -> Result<Option<RunKey>, StoreError> {
    let row: Option<RunKeyRow> = sqlx::query_as(
        "SELECT run AS uid, namespace, name FROM incident
         WHERE namespace = ?1 AND key = ?2 AND wish = ?3",
    )
    .bind(&incident.namespace)
    .bind(&incident.key)
    .bind(&incident.wish)
    .fetch_optional(file)
    .await
    .map_err(failed("reading an incident"))?;
    Ok(row.map(RunKeyRow::key))
}

pub(super) async fn join(
    file: &mut SqliteConnection,
    uid: &str,
    owner: &RunKey,
) -> Result<Option<u64>, StoreError> {
    let failed = || failed("joining a run");
    let owns: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM incident WHERE run = ?1")
        .bind(&owner.uid)
        .fetch_optional(&mut *file)
        .await
        .map_err(failed())?;
    if owns.is_none() {
        return Ok(None);
    }
    sqlx::query(
        "INSERT INTO joined (run, owner, namespace, name) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (run) DO UPDATE
         SET owner = excluded.owner, namespace = excluded.namespace, name = excluded.name",
    )
    .bind(uid)
    .bind(&owner.uid)
    .bind(&owner.namespace)
    .bind(&owner.name)
    .execute(&mut *file)
    .await
    .map_err(failed())?;
    tally(file, &owner.uid)
        .await
        .map(|tally| Some(tally.joined))
}

pub(super) async fn tally<'e>(
    file: impl Executor<'e, Database = Sqlite>,
    uid: &str,
) -> Result<Tally, StoreError> {
    let (joined, joins): (i64, Option<String>) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM joined WHERE owner = ?1), (SELECT name FROM joined WHERE run = ?1)",
    )
    .bind(uid)
    .fetch_one(file)
    .await
    .map_err(failed("counting who joined"))?;
    Ok(Tally {
        joined: count(joined)?,
        joins,
    })
}

/// The runs that others join, or have joined.
pub(super) async fn joinable(file: &SqlitePool) -> Result<Vec<RunKey>, StoreError> {
    let rows: Vec<RunKeyRow> = sqlx::query_as(
        "SELECT run AS uid, namespace, name FROM incident
         UNION SELECT owner, namespace, name FROM joined ORDER BY namespace, name, uid",
    )
    .fetch_all(file)
    .await
    .map_err(failed("reading who is joined"))?;
    Ok(rows.into_iter().map(RunKeyRow::key).collect())
}
