//! Floor 2: what an answer of a database driver means for the caller: try later, damage, or not to be used at all.
//! Takes no decision beyond that.

use std::time::Duration;

use sqlx::{error::DatabaseError, postgres::PgDatabaseError, sqlite::SqliteError};

use crate::ports::StoreError;

/// Says what was tried when the driver's error came.
pub(super) fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |error| match error {
        sqlx::Error::Database(error) => answered(doing, error),
        // The row is there and is not what our own tables hold.
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::RowNotFound => StoreError::Damaged(format!("{doing}: {error}")),
        sqlx::Error::Configuration(error) => StoreError::Unusable(format!("{doing}: {error}")),
        sqlx::Error::Io(error) => unavailable(doing, error),
        error => unavailable(doing, error),
    }
}

/// It cannot be had now.
pub(super) fn unavailable(
    doing: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Unavailable {
        doing,
        source: source.into(),
    }
}

/// The connection that writes was lost.
pub(super) fn lost(doing: &'static str) -> StoreError {
    unavailable(
        doing,
        "an earlier write failed, and the store was not opened anew since",
    )
}

/// Waits for an answer, but not longer than this.
pub(super) async fn within<T>(
    doing: &'static str,
    limit: Duration,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, answer)
        .await
        .unwrap_or_else(|_| Err(unavailable(doing, format!("no answer within {limit:?}"))))
}

enum Meaning {
    Unavailable,
    Damaged,
    Unusable,
}

fn answered(doing: &'static str, error: Box<dyn DatabaseError>) -> StoreError {
    let meaning = if error.try_downcast_ref::<SqliteError>().is_some() {
        let code = error.code().and_then(|code| code.parse().ok());
        sqlite(code.unwrap_or_default(), error.message())
    } else if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        postgres(error.code())
    } else {
        Meaning::Unavailable
    };
    match meaning {
        Meaning::Unavailable => unavailable(doing, error.into_error()),
        Meaning::Damaged => StoreError::Damaged(format!("{doing}: {}", error.message())),
        Meaning::Unusable => StoreError::Unusable(format!("{doing}: {}", error.message())),
    }
}

/// By the primary result code, which is the lowest byte of the extended one.
fn sqlite(code: i32, message: &str) -> Meaning {
    match code & 0xff {
        // SQLITE_ERROR: our statements are fixed, so that a wrong one means another schema. Others (a failed rollback,
        // a lost savepoint) say nothing about the file.
        1 if message.contains("no such") => Meaning::Unusable,
        // CORRUPT, TOOBIG, CONSTRAINT, MISMATCH, RANGE, NOTADB: nothing that our own writes can lead to.
        11 | 18 | 19 | 20 | 25 | 26 => Meaning::Damaged,
        // BUSY, LOCKED, NOMEM, READONLY, IOERR, FULL, CANTOPEN and whatever else is about the moment or the disk.
        _ => Meaning::Unavailable,
    }
}

/// By SQLSTATE: its first two letters are the class.
fn postgres(code: &str) -> Meaning {
    match code.get(..2).unwrap_or_default() {
        // Values and constraints that our own writes cannot break.
        "22" | "23" => Meaning::Damaged,
        // Corrupted data, corrupted index.
        "XX" if code != "XX000" => Meaning::Damaged,
        // Account or password refused, no such database, no right, no such table or column: a person has to act.
        "28" | "3D" | "3F" | "42" => Meaning::Unusable,
        // Connections, resources, timeouts, shutdowns, failovers, disks.
        _ => Meaning::Unavailable,
    }
}
