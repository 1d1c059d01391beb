//! Floor 2: the one connection that writes to the PostgreSQL database, and its transactions. Knows no table but the
//! epoch's.

use std::{mem, time::Duration};

use futures::future::BoxFuture;
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::time::Instant;

use super::connect;
use crate::{
    adapters::store::{
        batch::Edge,
        fault::{failed, lost, within},
        rows::fence,
    },
    ports::{Epoch, StoreError},
};

/// Longer than the server works on a statement, so that it only ends what hangs.
pub(super) const LIMIT: Duration = Duration::from_secs(15);
/// After so long without use a connection is asked whether it lives: one that was cut off silently would keep a write
/// waiting to the limit.
const STALE: Duration = Duration::from_secs(5);
/// How long the answer to that may take.
pub(super) const PING: Duration = Duration::from_secs(1);

enum Link {
    /// Not needed so far.
    Unopened,
    Open {
        connection: Box<PgConnection>,
        used: Instant,
    },
    /// Lost in the middle of a write, whose outcome nobody knows, or while nobody looked. A new one is not taken up
    /// silently: behind it may be a server that has lost the last commits, which whoever reopens has to find out.
    Lost,
}

/// Who writes. Whoever uses it has it alone.
pub(super) struct Writer {
    link: Link,
    /// The right edge of the log that grew last, so that appending reads no hashes.
    pub(super) edge: Option<Edge>,
}

impl Writer {
    pub(super) fn new(connection: Option<PgConnection>) -> Self {
        Self {
            link: connection.map_or(Link::Unopened, |connection| Link::Open {
                connection: Box::new(connection),
                used: Instant::now(),
            }),
            edge: None,
        }
    }

    /// Gives up the connection.
    pub(super) async fn close(&mut self) {
        self.edge = None;
        if let Link::Open { connection, .. } = mem::replace(&mut self.link, Link::Lost) {
            // Whether it says goodbye makes no difference to what is opened next.
            let _ = tokio::time::timeout(PING, connection.close()).await;
        }
    }

    /// Does this work in one durable transaction, if the epoch is still the newest.
    pub(super) async fn transaction<T: Send>(
        &mut self,
        server: &PgConnectOptions,
        doing: &'static str,
        epoch: Option<Epoch>,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        // Until the outcome is known there is no connection: whoever gives up waiting leaves it lost.
        let mut connection = match mem::replace(&mut self.link, Link::Lost) {
            Link::Open { connection, used } => alive(connection, used, doing).await?,
            Link::Unopened => Box::new(connect::writer(server).await?),
            Link::Lost => return Err(lost(doing)),
        };
        let done = within(doing, LIMIT, run(&mut connection, doing, epoch, work)).await;
        if !matches!(done, Err(StoreError::Unavailable { .. })) {
            self.link = Link::Open {
                connection,
                used: Instant::now(),
            };
        }
        done
    }
}

async fn alive(
    mut connection: Box<PgConnection>,
    used: Instant,
    doing: &'static str,
) -> Result<Box<PgConnection>, StoreError> {
    if used.elapsed() > STALE {
        let ping = async { connection.ping().await.map_err(failed(doing)) };
        within(doing, PING, ping).await?;
    }
    Ok(connection)
}

async fn run<T: Send>(
    connection: &mut PgConnection,
    doing: &'static str,
    epoch: Option<Epoch>,
    work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
) -> Result<T, StoreError> {
    let mut transaction = connection.begin().await.map_err(failed(doing))?;
    let fenced = match epoch {
        None => Ok(()),
        Some(ours) => hold(&mut transaction)
            .await
            .and_then(|newest| fence(ours, newest)),
    };
    let done = match fenced {
        Ok(()) => work(&mut transaction).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(done) => transaction
            .commit()
            .await
            .map(|()| done)
            .map_err(failed(doing)),
        Err(error @ StoreError::Unavailable { .. }) => Err(error),
        Err(error) => transaction
            .rollback()
            .await
            .map_err(failed(doing))
            .and(Err(error)),
    }
}

/// The newest epoch, which nobody raises before this transaction ends; every later statement sees what was committed
/// until then.
async fn hold(base: &mut PgConnection) -> Result<i64, StoreError> {
    let row = sqlx::query_as("SELECT epoch FROM neuralops.writer WHERE one = 1 FOR UPDATE");
    let (epoch,) = row
        .fetch_one(base)
        .await
        .map_err(failed("reading the epoch"))?;
    Ok(epoch)
}
