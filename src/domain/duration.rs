//! Floor 0: durations as people write them (`90s`, `1h30m`, `500ms`): one grammar for Playbooks, flags and files.

use std::time::Duration;

/// Text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no duration: write digits with h, m, s or ms, like 90s or 1h30m")]
pub struct NotADuration(String);

/// Parses a duration: one to four numbers of one to five digits, each with its unit.
pub fn parse(text: &str) -> Result<Duration, NotADuration> {
    let refused = || NotADuration(text.to_owned());
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, behind) = rest.split_at(digits);
        let (unit, behind) = if let Some(behind) = behind.strip_prefix("ms") {
            (Duration::from_millis(1), behind)
        } else if let Some(behind) = behind.strip_prefix('s') {
            (Duration::from_secs(1), behind)
        } else if let Some(behind) = behind.strip_prefix('m') {
            (Duration::from_secs(60), behind)
        } else if let Some(behind) = behind.strip_prefix('h') {
            (Duration::from_secs(3600), behind)
        } else {
            return Err(refused());
        };
        parts += 1;
        if number.is_empty() || number.len() > 5 || parts > 4 {
            return Err(refused());
        }
        let count: u32 = number.parse().map_err(|_| refused())?;
        total += unit * count;
        rest = behind;
    }
    if parts == 0 {
        Err(refused())
    } else {
        Ok(total)
    }
}

/// Writes a duration in the same grammar, exact to the millisecond.
pub fn render(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut text = String::new();
    for (unit, length) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        let count = left / length;
        left %= length;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(parse("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(parse("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(parse("500ms").unwrap(), Duration::from_millis(500));
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "5",
            "s",
            "1d",
            "-1s",
            "1.5s",
            "1 s",
            "123456s",
            "1h1h1h1h1h",
            "1sx",
        ] {
            assert_eq!(parse(text), Err(NotADuration(text.into())), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in 0_u64..300_000_000) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&render(duration)), Ok(duration));
        }
    }
}
