//! Floor 3: the time that a plan may take. It is less than a pass has: a webhook or a registry that does not answer is an
//! obstacle like others then, told in the run's status, tried again, and given up after as long as others.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, timeout_at};

use crate::domain::{plan::Obstacle, reason::Reason};

/// For all of a plan. A pass has a minute, and reads other things besides.
pub(super) const LONGEST: Duration = Duration::from_secs(40);

/// What this comes to, if it does so in time.
pub(super) async fn in_time<T>(
    until: Instant,
    work: impl Future<Output = Result<T, Obstacle>>,
) -> Result<T, Obstacle> {
    timeout_at(until, work).await.unwrap_or_else(|_elapsed| {
        let message = format!(
            "not known within {} s, the time for a whole plan: the API server, a webhook or a registry is slow or does not answer",
            LONGEST.as_secs()
        );
        Err(Obstacle::unknown(Reason::TimedOut, message))
    })
}
