//! Floor 3: the time that a plan may take. It is less than a pass has: a webhook or a registry that does not answer is an
//! obstacle like others then, told in the run's status, tried again, and given up after as long as others.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, timeout_at};

use crate::domain::{duration, plan::Obstacle, reason::Reason};

/// For all of a plan. A pass has a minute, and reads other things besides.
pub(super) const LONGEST: Duration = Duration::from_secs(40);

/// Whether a step that takes so long at least has more time than that, in milliseconds.
pub(super) fn time_enough(at_least: Option<Duration>, has: u64) -> Result<(), Obstacle> {
    let has = Duration::from_millis(has);
    match at_least {
        Some(at_least) if at_least >= has => {
            let message = format!(
                "it takes {} at least and has {}: give it a longer timeout, and the run too",
                duration::render(at_least),
                duration::render(has)
            );
            Err(Obstacle::fail(Reason::Invalid, message))
        }
        _ => Ok(()),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_only_fail_by_its_time_is_not_planned() {
        let minutes = |count: u64| Some(Duration::from_secs(60 * count));
        assert_eq!(time_enough(None, 1), Ok(()));
        assert_eq!(time_enough(minutes(4), 300_000), Ok(()));
        for at_least in [5, 10] {
            let refused = time_enough(minutes(at_least), 300_000).unwrap_err();
            assert!(refused.message.contains("has 5m"), "{}", refused.message);
        }
    }
}
