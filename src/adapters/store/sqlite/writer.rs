//! Floor 2: the one connection that writes to the SQLite file, and its transactions. Knows no table but the epoch's.

use std::{mem, path::Path, time::Duration};

use futures::future::BoxFuture;
use sqlx::{Connection as _, SqliteConnection};

use super::{connect, read};
use crate::{
    adapters::store::{
        batch::Edge,
        fault::{failed, lost, within},
        rows::fence,
    },
    ports::{Epoch, StoreError},
};

/// Longer than every wait for a lock, so that it only ends what hangs.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

enum Link {
    /// Not needed so far.
    Unopened,
    Open(Box<SqliteConnection>),
    /// Lost in the middle of a write, whose outcome nobody knows.
    Lost,
}

/// Who writes. Whoever uses it has it alone.
pub(super) struct Writer {
    link: Link,
    /// The right edge of the log that grew last, so that appending reads no hashes.
    pub(super) edge: Option<Edge>,
}

impl Writer {
    pub(super) fn new(connection: Option<SqliteConnection>) -> Self {
        Self {
            link: connection.map_or(Link::Unopened, |open| Link::Open(Box::new(open))),
            edge: None,
        }
    }

    /// Gives up the connection.
    pub(super) async fn close(&mut self) {
        self.edge = None;
        if let Link::Open(connection) = mem::replace(&mut self.link, Link::Lost) {
            // Whether it says goodbye makes no difference to what is opened next.
            let _ = tokio::time::timeout(LIMIT, connection.close()).await;
        }
    }

    /// Does this work in one durable transaction, if the epoch is still the newest.
    pub(super) async fn transaction<T: Send>(
        &mut self,
        path: &Path,
        doing: &'static str,
        epoch: Option<Epoch>,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>
        + Send,
    ) -> Result<T, StoreError> {
        // Until the outcome is known there is no connection: whoever gives up waiting leaves it lost.
        let mut connection = match mem::replace(&mut self.link, Link::Lost) {
            Link::Open(connection) => connection,
            Link::Unopened => Box::new(connect::writer(path).await?),
            Link::Lost => return Err(lost(doing)),
        };
        let done = within(doing, LIMIT, run(&mut connection, doing, epoch, work)).await;
        if !matches!(done, Err(StoreError::Unavailable { .. })) {
            self.link = Link::Open(connection);
        }
        done
    }
}

async fn run<T: Send>(
    connection: &mut SqliteConnection,
    doing: &'static str,
    epoch: Option<Epoch>,
    work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
) -> Result<T, StoreError> {
    let mut transaction = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(failed(doing))?;
    let fenced = match epoch {
        None => Ok(()),
        Some(ours) => read::epoch(&mut *transaction)
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
