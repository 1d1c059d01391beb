//! Floor 3: unquoted scalars that YAML readers read differently: `yes`, `012`, `1_000`. What is signed must be what the API
//! server gets, whoever turns the YAML into JSON; so the author says which by quoting, or by writing it plainly.

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle};

/// The first one, with its line, if there is any. A text that is no YAML has none: its reader says so better.
pub fn find(text: &str) -> Option<String> {
    Parser::new_from_str(text).map_while(Result::ok).find_map(|(event, span)| match event {
        Event::Scalar(value, ScalarStyle::Plain, _, None) => meanings(&value).map(|meanings| {
            format!(
                "line {}: `{value}` without quotes is {meanings}, as different readers read it: write it in quotes if it is text, or plainly if it is not",
                span.start.line()
            )
        }),
        _ => None,
    })
}

/// What different readers take it for, if they differ.
fn meanings(scalar: &str) -> Option<&'static str> {
    const WORDS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];
    if WORDS.iter().any(|word| scalar.eq_ignore_ascii_case(word)) {
        return Some("a truth value or a text");
    }
    let number = scalar.strip_prefix(['+', '-']).unwrap_or(scalar);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if scalar.starts_with('+') && digits(number) {
        return Some("a number or a text");
    }
    if number.len() > 1 && number.starts_with('0') && digits(number) {
        return Some("an octal number, a decimal one or a text");
    }
    let based = ["0o", "0x", "0b"].iter().any(|base| {
        let rest = number.strip_prefix(base);
        rest.is_some_and(|rest| {
            !rest.is_empty()
                && rest
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit() || byte == b'_')
        })
    });
    if based {
        return Some("a number or a text");
    }
    let starts = number.starts_with(|first: char| first.is_ascii_digit());
    if starts && number.contains('_') && digits(&number.replace('_', "")) {
        return Some("a number or a text");
    }
    let mut parts = number.split(':');
    let sexagesimal = parts.clone().count() > 1
        && parts.next().is_some_and(digits)
        && parts.all(|part| digits(part) && part.len() <= 2);
    sexagesimal.then_some("a number to the base 60 or a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_differ_about_is_named_with_its_line() {
        let told = find("a: 1\nb:\n  - yes\n").unwrap();
        assert!(told.starts_with("line 3: `yes` without quotes"), "{told}");
        for scalar in [
            "Yes", "NO", "on", "Off", "y", "012", "-07", "1_000", "0o17", "0x1F", "0b11", "+5",
            "1:30", "10:20:30",
        ] {
            assert!(find(&format!("a: {scalar}")).is_some(), "{scalar}");
            assert!(find(&format!("{scalar}: a")).is_some(), "{scalar} as a key");
            for quoted in [format!("a: '{scalar}'"), format!("a: \"{scalar}\"")] {
                assert_eq!(find(&quoted), None, "{quoted}");
            }
        }
    }

    #[test]
    fn what_everybody_reads_alike_is_nothing() {
        for scalar in [
            "true",
            "false",
            "0",
            "10",
            "-5",
            "1h30m",
            "0s",
            "a_b",
            "1_a",
            "12:a",
            "10:200",
            "sha256:012",
            "$(params.x)",
            "2026-01-01",
            "v1.4.0",
            "registry:5000/a",
            "nobody",
        ] {
            assert_eq!(find(&format!("a: {scalar}")), None, "{scalar}");
        }
        assert_eq!(find("a: |\n  yes\n"), None);
        assert_eq!(find("{\"a\": \"yes\", \"b\": 10}"), None);
        assert_eq!(find("a: [unclosed"), None);
    }
}
