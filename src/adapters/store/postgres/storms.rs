//! Floor 2: storms in the PostgreSQL database: what counts against a limit, and which run those of one incident join. What is written
//! is written inside a transaction that its caller opened and that has compared the epoch.

use sqlx::{Executor, PgConnection, PgPool, Postgres};

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
    base: &mut PgConnection,
    claim: &Claim,
) -> Result<Option<Claimed>, StoreError> {
    let failed = || failed("counting runs");
    let running: Vec<RunningRow> = sqlx::query_as(
        "SELECT uid, namespace, name, playbook FROM neuralops.run WHERE namespace = $1 ORDER BY since, uid",
    )
    .bind(&claim.run.namespace)
    .fetch_all(&mut *base)
    .await
    .map_err(failed())?;
    if running.iter().any(|row| row.is(&claim.run)) {
        return Ok(None);
    }
    let begun: Vec<BegunRow> = sqlx::query_as(
        "SELECT begun.key, begun.at, begun.run AS uid, begun.namespace, begun.name
         FROM neuralops.begun WHERE begun.key = ANY($1)
             AND begun.namespace = $2 AND begun.playbook = $3 AND begun.run <> $4 AND begun.at > $5
         ORDER BY begun.key, begun.at, begun.run",
    )
    .bind(&claim.keys)
    .bind(&claim.run.namespace)
    .bind(&claim.playbook)
    .bind(&claim.run.uid)
    .bind(hour_before(claim))
    .fetch_all(base)
    .await
    .map_err(failed())?;
    Ok(reached(claim, running, begun))
}

/// It counts on its targets from now on, and what began more than an hour ago no more.
pub(super) async fn begins(base: &mut PgConnection, claim: &Claim) -> Result<(), StoreError> {
    let failed = || failed("counting a run");
    sqlx::query("DELETE FROM neuralops.begun WHERE at <= $1")
        .bind(hour_before(claim))
        .execute(&mut *base)
        .await
        .map_err(failed())?;
    sqlx::query(
        "INSERT INTO neuralops.begun (key, run, namespace, name, playbook, at)
         SELECT wanted, $2, $3, $4, $5, $6 FROM unnest($1::text[]) AS wanted
         ON CONFLICT (key, run) DO NOTHING",
    )
    .bind(&claim.keys)
    .bind(&claim.run.uid)
    .bind(&claim.run.namespace)
    .bind(&claim.run.name)
    .bind(&claim.playbook)
    .bind(nanoseconds(claim.since))
    .execute(base)
    .await
    .map(drop)
    .map_err(failed())
}

pub(super) async fn own(
    base: &mut PgConnection,
    incident: &IncidentKey,
    run: &RunKey,
    instead_of: Option<&str>,
) -> Result<RunKey, StoreError> {
    let failed = || failed("taking an incident");
    sqlx::query(
        "DELETE FROM neuralops.incident WHERE namespace = $1 AND key = $2 AND wish = $3 AND run = $4",
    )
    .bind(&incident.namespace)
    .bind(&incident.key)
    .bind(&incident.wish)
    .bind(instead_of)
    .execute(&mut *base)
    .await
    .map_err(failed())?;
    // It stands for one thing, and whoever goes on has joined nobody.
    for statement in [
        "DELETE FROM neuralops.incident WHERE run = $1",
        "DELETE FROM neuralops.joined WHERE run = $1",
    ] {
        sqlx::query(statement)
            .bind(&run.uid)
            .execute(&mut *base)
            .await
            .map_err(failed())?;
    }
    sqlx::query(
        "INSERT INTO neuralops.incident (namespace, key, wish, run, name) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (namespace, key, wish) DO NOTHING",
    )
    .bind(&incident.namespace)
    .bind(&incident.key)
    .bind(&incident.wish)
    .bind(&run.uid)
    .bind(&run.name)
    .execute(&mut *base)
    .await
    .map_err(failed())?;
    let owner = owner(&mut *base, incident).await?;
    Ok(owner.unwrap_or_else(|| run.clone()))
}

pub(super) async fn owner<'e>(
    base: impl Executor<'e, Database = Postgres>,
    incident: &IncidentKey,
) -> Result<Option<RunKey>, StoreError> {
    let row: Option<RunKeyRow> = sqlx::query_as(
        "SELECT run AS uid, namespace, name FROM neuralops.incident
         WHERE namespace = $1 AND key = $2 AND wish = $3",
    )
    .bind(&incident.namespace)
    .bind(&incident.key)
    .bind(&incident.wish)
    .fetch_optional(base)
    .await
    .map_err(failed("reading an incident"))?;
    Ok(row.map(RunKeyRow::key))
}

pub(super) async fn join(
    base: &mut PgConnection,
    uid: &str,
    owner: &RunKey,
) -> Result<Option<u64>, StoreError> {
    let failed = || failed("joining a run");
    let owns: Option<(i64,)> =
        sqlx::query_as("SELECT 1::bigint FROM neuralops.incident WHERE run = $1")
            .bind(&owner.uid)
            .fetch_optional(&mut *base)
            .await
            .map_err(failed())?;
    if owns.is_none() {
        return Ok(None);
    }
    sqlx::query(
        "INSERT INTO neuralops.joined (run, owner, namespace, name) VALUES ($1, $2, $3, $4)
         ON CONFLICT (run) DO UPDATE
         SET owner = excluded.owner, namespace = excluded.namespace, name = excluded.name",
    )
    .bind(uid)
    .bind(&owner.uid)
    .bind(&owner.namespace)
    .bind(&owner.name)
    .execute(&mut *base)
    .await
    .map_err(failed())?;
    tally(base, &owner.uid)
        .await
        .map(|tally| Some(tally.joined))
}

pub(super) async fn tally<'e>(
    base: impl Executor<'e, Database = Postgres>,
    uid: &str,
) -> Result<Tally, StoreError> {
    let (joined, joins): (i64, Option<String>) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM neuralops.joined WHERE owner = $1), (SELECT name FROM neuralops.joined WHERE run = $1)",
    )
    .bind(uid)
    .fetch_one(base)
    .await
    .map_err(failed("counting who joined"))?;
    Ok(Tally {
        joined: count(joined)?,
        joins,
    })
}

/// The runs that others join, or have joined.
pub(super) async fn joinable(base: &PgPool) -> Result<Vec<RunKey>, StoreError> {
    let rows: Vec<RunKeyRow> = sqlx::query_as(
        "SELECT run AS uid, namespace, name FROM neuralops.incident
         UNION SELECT owner, namespace, name FROM neuralops.joined ORDER BY namespace, name, uid",
    )
    .fetch_all(base)
    .await
    .map_err(failed("reading who is joined"))?;
    Ok(rows.into_iter().map(RunKeyRow::key).collect())
}
