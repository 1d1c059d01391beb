//! Waiting for something to come true. It asks again and again, and what it was told last stands in the failure.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// Asks until the probe has an answer; panics with its last objection when the time is over.
pub async fn eventually<T>(
    what: &str,
    timeout: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let began = Instant::now();
    let mut tick = interval(Duration::from_millis(50));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = String::new();
    loop {
        tick.tick().await;
        let left = timeout
            .saturating_sub(began.elapsed())
            .max(Duration::from_secs(1));
        match tokio::time::timeout(left, probe()).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(objection)) => last = objection,
            Err(_) => last.push_str(" (and then nothing)"),
        }
        assert!(
            began.elapsed() < timeout,
            "{what}: not within {timeout:?}; last: {last}"
        );
    }
}
