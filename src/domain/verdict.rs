//! Floor 0: what a pass over an object came to. Waiting and being stuck are values, not errors:
//! an error means only "transient, try again with backoff".

use std::time::Duration;

use jiff::Timestamp;

use super::reason::Reason;

/// What a pass over an object came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is left to do until the object changes.
    Settled,
    /// Something outside must happen; look again after this time, or when woken.
    Waiting {
        /// What is waited for.
        reason: Reason,
        /// When to look again; none: a watch event will wake us.
        after: Option<Duration>,
    },
    /// It cannot be recorded now, so it did not happen; look again as soon as it can.
    Held {
        /// Why it cannot be recorded.
        reason: Reason,
    },
    /// Nothing will change until a person changes the object.
    Stalled {
        /// Why.
        reason: Reason,
    },
}

/// A timer need not be right to the second a year ahead.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Verdict {
    /// Good until just after this moment, if nothing else happens.
    pub fn until(moment: Option<Timestamp>, reason: Reason, now: Timestamp) -> Self {
        let Some(moment) = moment else {
            return Self::Settled;
        };
        let left = moment.duration_since(now).unsigned_abs() + Duration::from_secs(1);
        let left = if moment < now {
            Duration::from_secs(1)
        } else {
            left
        };
        Self::Waiting {
            reason,
            after: Some(left.min(LONGEST)),
        }
    }
}

/// How a failure is to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// It may pass: try again with backoff.
    Transient,
    /// It will not pass by trying again.
    Permanent,
    /// It must not happen at all: our defect.
    Bug,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(moment: i64) -> Option<Duration> {
        let moment = Timestamp::from_second(moment).unwrap();
        let now = Timestamp::from_second(1_000_000).unwrap();
        match Verdict::until(Some(moment), Reason::Valid, now) {
            Verdict::Waiting { after, .. } => after,
            _ => None,
        }
    }

    #[test]
    fn what_lasts_until_a_moment_is_looked_at_just_after_it() {
        assert_eq!(after(1_000_010), Some(Duration::from_secs(11)));
        assert_eq!(after(1_000_000), Some(Duration::from_secs(1)));
        assert_eq!(after(999_000), Some(Duration::from_secs(1)));
        assert_eq!(after(9_000_000), Some(LONGEST));
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(Verdict::until(None, Reason::Valid, now), Verdict::Settled);
    }
}
