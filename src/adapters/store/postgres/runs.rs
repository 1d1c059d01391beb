//! Floor 2: the runs that the PostgreSQL database knows to be under way. What is written is written inside a transaction that
//! its caller opened and that has compared the epoch.

use sqlx::{PgConnection, PgPool};

use super::storms;
use crate::{
    adapters::store::{
        fault::failed,
        rows::{RunKeyRow, TakenRow, nanoseconds},
    },
    ports::{Claim, Claimed, RunKey, StoreError},
};

pub(super) async fn claim(base: &mut PgConnection, claim: &Claim) -> Result<Claimed, StoreError> {
    let failed = || failed("claiming for a run");
    let run = &claim.run;
    if let Some(taken) = taken(base, claim).await? {
        return Ok(taken);
    }
    if let Some(limited) = storms::limited(base, claim).await? {
        return Ok(limited);
    }
    storms::begins(base, claim).await?;
    sqlx::query(
        "INSERT INTO neuralops.run (uid, namespace, name, plan, since, playbook)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (uid) DO NOTHING",
    )
    .bind(&run.uid)
    .bind(&run.namespace)
    .bind(&run.name)
    .bind(&claim.plan)
    .bind(nanoseconds(claim.since))
    .bind(&claim.playbook)
    .execute(&mut *base)
    .await
    .map_err(failed())?;
    sqlx::query(
        "INSERT INTO neuralops.lock (key, run) SELECT wanted, $2 FROM unnest($1::text[]) AS wanted
         ON CONFLICT (key) DO NOTHING",
    )
    .bind(&claim.keys)
    .bind(&run.uid)
    .execute(base)
    .await
    .map_err(failed())?;
    Ok(Claimed::Held)
}

/// What another run has of it.
async fn taken(base: &mut PgConnection, claim: &Claim) -> Result<Option<Claimed>, StoreError> {
    let taken: Option<TakenRow> = sqlx::query_as(
        "SELECT lock.key, run.uid, run.namespace, run.name
         FROM neuralops.lock JOIN neuralops.run ON run.uid = lock.run
         WHERE lock.key = ANY($1) AND lock.run <> $2 ORDER BY lock.key LIMIT 1",
    )
    .bind(&claim.keys)
    .bind(&claim.run.uid)
    .fetch_optional(base)
    .await
    .map_err(failed("looking for what is taken"))?;
    Ok(taken.map(TakenRow::claimed))
}

/// What the claim would come to now.
pub(super) async fn would_claim(base: &PgPool, claim: &Claim) -> Result<Claimed, StoreError> {
    let mut base = base
        .acquire()
        .await
        .map_err(failed("looking for what is taken"))?;
    if let Some(taken) = taken(&mut base, claim).await? {
        return Ok(taken);
    }
    let limited = storms::limited(&mut base, claim).await?;
    Ok(limited.unwrap_or(Claimed::Held))
}

/// Lets go of all that it has; how many had joined it.
pub(super) async fn release(base: &mut PgConnection, uid: &str) -> Result<u64, StoreError> {
    let joined = storms::tally(&mut *base, uid).await?.joined;
    for statement in [
        "DELETE FROM neuralops.incident WHERE run = $1",
        "DELETE FROM neuralops.joined WHERE owner = $1",
        "DELETE FROM neuralops.lock WHERE run = $1",
        "DELETE FROM neuralops.run WHERE uid = $1",
    ] {
        sqlx::query(statement)
            .bind(uid)
            .execute(&mut *base)
            .await
            .map_err(failed("releasing a run"))?;
    }
    Ok(joined)
}

pub(super) async fn runs(base: &PgPool) -> Result<Vec<RunKey>, StoreError> {
    let rows: Vec<RunKeyRow> =
        sqlx::query_as("SELECT uid, namespace, name FROM neuralops.run ORDER BY since, uid")
            .fetch_all(base)
            .await
            .map_err(failed("reading the runs"))?;
    Ok(rows.into_iter().map(RunKeyRow::key).collect())
}

pub(super) async fn plan_of(base: &PgPool, uid: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let row: Option<(Vec<u8>,)> = sqlx::query_as("SELECT plan FROM neuralops.run WHERE uid = $1")
        .bind(uid)
        .fetch_optional(base)
        .await
        .map_err(failed("reading a plan"))?;
    Ok(row.map(|(plan,)| plan))
}
