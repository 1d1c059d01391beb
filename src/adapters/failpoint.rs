//! Floor 2: named places at which a test can make the process die. They exist behind the cargo feature `failpoints`
//! alone; a release build has neither the places nor their names, and a test holds that.

/// Dies here, if the test bed says so: `NEURALOPS_FAILPOINT=name` or `name:N` for the N-th time; with `pause@` before it
/// the process stops instead, as by SIGSTOP, until somebody continues it.
#[cfg(feature = "failpoints")]
pub fn reached(name: &str) {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };

    static CHOSEN: OnceLock<Option<(bool, String, u64)>> = OnceLock::new();
    static SEEN: AtomicU64 = AtomicU64::new(0);

    #[expect(
        clippy::disallowed_methods,
        reason = "the test bed speaks through the environment; the feature is never in a release"
    )]
    let chosen = CHOSEN.get_or_init(|| {
        let text = std::env::var("NEURALOPS_FAILPOINT").ok()?;
        let (pauses, place) = match text.strip_prefix("pause@") {
            Some(place) => (true, place),
            None => (false, text.as_str()),
        };
        let (name, count) = place.rsplit_once(':').unwrap_or((place, "1"));
        Some((pauses, name.to_owned(), count.parse().ok()?))
    });
    if let Some((pauses, chosen, count)) = chosen
        && chosen == name
        && SEEN.fetch_add(1, Ordering::AcqRel) + 1 == *count
    {
        if *pauses {
            // Nobody reads what became of it: a process that goes on was stopped, or the test finds that it was not.
            let _ = std::process::Command::new("kill")
                .args(["-STOP", &std::process::id().to_string()])
                .status();
            return;
        }
        // As by kill -9: nothing is flushed and nothing is unwound.
        std::process::abort();
    }
}

/// A place where a crash is tried: nothing at all without the feature.
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::adapters::failpoint::reached($name);
    };
}

pub(crate) use failpoint;
