//! Floor 2: a page of leaves: its conditions as both databases take them, and which index is to find it. No SQL here.

use super::rows::{nanoseconds, number};
use crate::ports::{Query, StoreError};

/// Leaves on a page when nothing else is asked for.
const PAGE: u32 = 100;
/// Leaves on a page at most.
const LARGEST_PAGE: u32 = 1000;

/// The conditions of a query as both databases take them.
pub(super) struct Conditions {
    pub(super) by: By,
    pub(super) object: Option<String>,
    pub(super) actor: Option<String>,
    pub(super) code: Option<&'static str>,
    pub(super) since: i64,
    /// The last moment, for the end of time is a time too.
    pub(super) until: i64,
    pub(super) after_log: i64,
    pub(super) after_idx: i64,
    pub(super) limit: i64,
}

/// Which index finds the leaves: that of the condition which leaves the fewest.
#[derive(Clone, Copy)]
pub(super) enum By {
    /// The object.
    Object,
    /// The actor.
    Actor,
    /// The code.
    Code,
    /// The time from which on.
    Time,
    /// The place in the logs.
    Place,
}

impl Conditions {
    pub(super) fn of(query: Query) -> Result<Self, StoreError> {
        let by = match &query {
            Query {
                object: Some(_), ..
            } => By::Object,
            Query { actor: Some(_), .. } => By::Actor,
            Query { code: Some(_), .. } => By::Code,
            // Behind a page the leaves follow in the order of their places, which is nearly that of their times.
            Query {
                since: Some(_),
                after: None,
                ..
            } => By::Time,
            _ => By::Place,
        };
        let (after_log, after_idx) = match query.after {
            Some(after) => (after.log.0.into(), number(after.index)?),
            None => (0, 0),
        };
        let limit = if query.limit == 0 { PAGE } else { query.limit };
        Ok(Self {
            by,
            object: query.object,
            actor: query.actor,
            code: query.code.map(|code| code.code()),
            since: query.since.map_or(i64::MIN, nanoseconds),
            until: query
                .until
                .map_or(i64::MAX, |until| nanoseconds(until).saturating_sub(1)),
            after_log,
            after_idx,
            limit: limit.min(LARGEST_PAGE).into(),
        })
    }
}
