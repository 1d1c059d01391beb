//! Floor 0: names with `*` for any run of characters, none included. Nothing else is special, and the whole name must
//! match: `team-*` is not about `my-team-a`.

/// Whether the whole text fits the pattern. Takes at most the product of both lengths, whatever the pattern.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    // The earliest place for each part in between leaves the most for those behind it.
    for part in parts {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_is_about_the_whole_name() {
        for (pattern, text, fits) in [
            ("shop", "shop", true),
            ("shop", "shop-2", false),
            ("shop", "my-shop", false),
            ("team-*", "team-", true),
            ("team-*", "team-a", true),
            ("team-*", "my-team-a", false),
            ("*-prod", "shop-prod", true),
            ("*-prod", "shop-production", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*a", "a", false),
            ("a**b", "ab", true),
            ("registry.example/*", "registry.example/a/b", true),
            ("registry.example/*", "registry.example.evil/a", false),
            ("registry.example/*", "registryxexample/a", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    /// The definition itself, in exponential time.
    fn defined(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|taken| defined(rest, &text[taken..])),
            Some((c, rest)) => text.first() == Some(c) && defined(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text), defined(&p, &t));
        }
    }
}
