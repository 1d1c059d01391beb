//! Floor 2: the store of the transparency log, in an SQLite file or a PostgreSQL database. Both keep the same tables and
//! the same promises, held by one list of tests (`tests/store.rs`). What a leaf means is nobody's business here.
//!
//! - One connection writes. Every transaction first compares the epoch, so that a deposed leader writes nothing.
//! - A write whose outcome is unknown (an I/O error, a lost connection, a caller that gave up) ends writing: what the
//!   kernel or the server holds may differ from the disk. Only [`reopen`](crate::ports::Store::reopen) begins again.
//! - A log put back from a backup has a state of its own, `restored`: nothing replaces it, and only promotion makes it
//!   grow. Putting back a log again that is in this state goes on where it ended.

mod batch;
mod fault;
mod limits;
mod page;
mod postgres;
mod rows;
mod sqlite;
mod url;

use std::sync::Arc;

pub use url::{NoStoreUrl, StoreUrl};

use crate::ports::{Store, StoreError};

/// What the store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To write: creates the store, and brings its tables up to date.
    Operator,
    /// To read, and to ask: the store must be there, in the version that this binary knows.
    Reader,
}

/// Opens the store.
pub async fn open(url: &StoreUrl, mode: Mode) -> Result<Arc<dyn Store>, StoreError> {
    match url.place() {
        url::Place::Sqlite(path) => Ok(Arc::new(sqlite::SqliteStore::open(path, mode).await?)),
        url::Place::Postgres { options, .. } => Ok(Arc::new(
            postgres::PostgresStore::open(options, mode).await?,
        )),
    }
}
