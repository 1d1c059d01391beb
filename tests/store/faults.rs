//! Failures that tests bring about, and the tests that only one of the two databases can have.

use neuralops::ports::{Epoch, Store, StoreError};

use crate::{entries::entries, place::Place};

/// Has one write fail by something that is over afterwards.
pub async fn broken_write(place: &Place, store: &dyn Store, epoch: Epoch) {
    let failed = match place {
        Place::Sqlite { .. } => {
            let mut other = place.tamperer().await;
            other.run("BEGIN IMMEDIATE").await;
            let failed = store.append(epoch, entries(3..5)).await;
            other.run("ROLLBACK").await;
            other.close().await;
            failed
        }
        Place::Postgres { .. } => {
            place
                .alter("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'")
                .await;
            store.append(epoch, entries(3..5)).await
        }
    };
    assert!(
        matches!(failed, Err(StoreError::Unavailable { .. })),
        "{failed:?}"
    );
}
