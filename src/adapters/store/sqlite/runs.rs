//! Floor 2: the runs that the SQLite file knows to be under way. What is written is written inside a transaction that its
//! caller opened and that has compared the epoch.

use serde_json::json;
use sqlx::{SqliteConnection, SqlitePool};

use super::storms;
use crate::{
    adapters::store::{
        fault::failed,
        rows::{RunKeyRow, TakenRow, nanoseconds},
    },
    ports::{Claim, Claimed, RunKey, StoreError},
};

pub(super) async fn claim(
    file: &mut SqliteConnection,
    claim: &Claim,
) -> Result<Claimed, StoreError> {
    let failed = || failed("claiming for a run");
    let (run, keys) = (&claim.run, json!(claim.keys).to_string());
    if let Some(taken) = taken(file, claim).await? {
        return Ok(taken);
    }
    if let Some(limited) = storms::limited(file, claim).await? {
        return Ok(limited);
    }
    storms::begins(file, claim).await?;
    sqlx::query(
        "INSERT INTO run (uid, namespace, name, plan, since, playbook) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (uid) DO NOTHING",
    )
    .bind(&run.uid)
    .bind(&run.namespace)
    .bind(&run.name)
    .bind(&claim.plan)
    .bind(nanoseconds(claim.since))
    .bind(&claim.playbook)
    .execute(&mut *file)
    .await
    .map_err(failed())?;
    sqlx::query(
        "INSERT INTO lock (key, run) SELECT wanted.value, ?2 FROM json_each(?1) AS wanted
         WHERE true -- or the conflict would be read as part of a join
         ON CONFLICT (key) DO NOTHING",
    )
    .bind(&keys)
    .bind(&run.uid)
    .execute(file)
    .await
    .map_err(failed())?;
    Ok(Claimed::Held)
}

/// What another run has of it.
async fn taken(file: &mut SqliteConnection, claim: &Claim) -> Result<Option<Claimed>, StoreError> {
    let taken: Option<TakenRow> = sqlx::query_as(
        "SELECT lock.key, run.uid, run.namespace, run.name
         FROM json_each(?1) AS wanted
             CROSS JOIN lock ON lock.key = wanted.value
             CROSS JOIN run ON run.uid = lock.run
         WHERE lock.run <> ?2 ORDER BY lock.key LIMIT 1",
    )
    .bind(json!(claim.keys).to_string())
    .bind(&claim.run.uid)
    .fetch_optional(file)
    .await
    .map_err(failed("looking for what is taken"))?;
    Ok(taken.map(TakenRow::claimed))
}

/// What the claim would come to now.
pub(super) async fn would_claim(file: &SqlitePool, claim: &Claim) -> Result<Claimed, StoreError> {
    let mut file = file
        .acquire()
        .await
        .map_err(failed("looking for what is taken"))?;
    if let Some(taken) = taken(&mut file, claim).await? {
        return Ok(taken);
    }
    let limited = storms::limited(&mut file, claim).await?;
    Ok(limited.unwrap_or(Claimed::Held))
}

/// Lets go of all that it has; how many had joined it.
pub(super) async fn release(file: &mut SqliteConnection, uid: &str) -> Result<u64, StoreError> {
    let joined = storms::tally(&mut *file, uid).await?.joined;
    for statement in [
        "DELETE FROM incident WHERE run = ?1",
        "DELETE FROM joined WHERE owner = ?1",
        "DELETE FROM lock WHERE run = ?1",
        "DELETE FROM run WHERE uid = ?1",
    ] {
        sqlx::query(statement)
            .bind(uid)
            .execute(&mut *file)
            .await
            .map_err(failed("releasing a run"))?;
    }
    Ok(joined)
}

pub(super) async fn runs(file: &SqlitePool) -> Result<Vec<RunKey>, StoreError> {
    let rows: Vec<RunKeyRow> =
        sqlx::query_as("SELECT uid, namespace, name FROM run ORDER BY since, uid")
            .fetch_all(file)
            .await
            .map_err(failed("reading the runs"))?;
    Ok(rows.into_iter().map(RunKeyRow::key).collect())
}

pub(super) async fn plan_of(file: &SqlitePool, uid: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let row: Option<(Vec<u8>,)> = sqlx::query_as("SELECT plan FROM run WHERE uid = ?1")
        .bind(uid)
        .fetch_optional(file)
        .await
        .map_err(failed("reading a plan"))?;
    Ok(row.map(|(plan,)| plan))
}
