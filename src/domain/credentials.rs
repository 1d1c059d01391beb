//! Floor 0: what a text gives away that should be in a Secret. A small, exact list with few false alarms: it finds what was
//! pasted by mistake, and is no proof that nothing is there. Admission refuses the same by the same patterns. Pure.

use std::sync::LazyLock;

use regex::Regex;

/// What it is, and how it looks.
const PATTERNS: [(&str, &str); 8] = [
    ("a private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    (
        "a key of AWS",
        r"(^|[^A-Z0-9])(AKIA|ASIA)[A-Z0-9]{16}([^A-Z0-9]|$)",
    ),
    (
        "a token of GitHub",
        r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{59}",
    ),
    ("a token of Slack", r"xox[abeprs]-[A-Za-z0-9-]{10}"),
    (
        "a signed token (JWT)",
        r"eyJ[A-Za-z0-9_-]{10,}[.]eyJ[A-Za-z0-9_-]{10,}[.][A-Za-z0-9_-]{10,}",
    ),
    (
        "a password",
        r"(?i)(password|passwd|passphrase|api_?key) *[:=] *[^ $({<*%]{4}",
    ),
    (
        "a webhook of Slack",
        r"hooks[.]slack[.]com/services/[A-Z0-9]+/[A-Z0-9]+/[A-Za-z0-9]{8}",
    ),
    (
        "a credential in an address",
        r"(?i)[?&][a-z_-]*(token|secret|password|api[_-]?key)=[^$ &({<*%]{4}",
    ),
];
/// Variables whose value is secret by their name.
const NAMES: &str = r"(?i)(^|[_-])(PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API[_-]?KEY)$";
/// Headers of a request likewise.
const HEADERS: &str =
    r"(?i)(^|[_-])(PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API[_-]?KEY|AUTHORIZATION|COOKIE)$";

static FOUND: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    let patterns = PATTERNS.iter();
    let compiled = patterns.filter_map(|(what, pattern)| Some((*what, Regex::new(pattern).ok()?)));
    compiled.collect()
});

static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(NAMES).ok());
static HEADER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(HEADERS).ok());

/// What the text gives away, if anything. The text itself is in no answer.
pub fn given_away(text: &str) -> Option<&'static str> {
    let mut found = FOUND.iter().filter(|(_, pattern)| pattern.is_match(text));
    found.next().map(|(what, _)| *what)
}

/// Whether a variable of this name holds what is secret, whatever its value looks like.
pub fn is_secret(name: &str, value: &str) -> bool {
    let named = NAMED.as_ref().is_some_and(|named| named.is_match(name));
    named && !["", "true", "false"].contains(&value)
}

/// Whether a header of this name carries what is secret, whatever its value looks like.
pub fn is_secret_header(name: &str) -> bool {
    HEADER.as_ref().is_some_and(|header| header.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing that looks like a credential stands in the repository: it is put together here.
    fn of(parts: &[&str]) -> String {
        parts.concat()
    }

    #[test]
    fn what_was_pasted_is_found_and_named() {
        let jwt = of(&[
            "eyJ",
            &"a".repeat(20),
            ".eyJ",
            &"b".repeat(20),
            ".",
            &"c".repeat(20),
        ]);
        for (text, what) in [
            (
                of(&["x\n-----BEGIN ", "PRIVATE KEY-----\ny"]),
                "a private key",
            ),
            (
                of(&["-----BEGIN RSA ", "PRIVATE KEY-----"]),
                "a private key",
            ),
            (of(&["id=AKIA", &"B7".repeat(8)]), "a key of AWS"),
            (of(&["gh", "p_", &"a1".repeat(18)]), "a token of GitHub"),
            (
                of(&["github", "_pat_", &"a1".repeat(41)]),
                "a token of GitHub",
            ),
            (of(&["xox", "b-1234567890-abc"]), "a token of Slack"),
            (of(&["Bearer ", &jwt]), "a signed token (JWT)"),
            (
                of(&["https://hooks.sl", "ack.com/services/T0A/B0A/a1b2c3d4e5"]),
                "a webhook of Slack",
            ),
            (
                of(&["https://a.example/x?to", "ken=a1b2c3"]),
                "a credential in an address",
            ),
            (
                of(&["/x?b=c&access_to", "ken=a1b2c3"]),
                "a credential in an address",
            ),
            (of(&["--pass", "word=hunter22"]), "a password"),
            (of(&["{user: a, Password", ": hunter22}"]), "a password"),
        ] {
            assert_eq!(given_away(&text), Some(what), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_let_be() {
        for text in [
            "",
            "checkout",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----",
            "AKIA",
            "ghp_short",
            "xoxb",
            "eyJ.eyJ.x",
            "password: $(params.name)",
            "password=",
            "the password is in a Secret",
            "token-bucket=fast",
            "https://a.example/?token=$(params.x)",
            "https://a.example/?page=2&tokens=many",
            "https://hooks.slack.com/services",
            "reset-password",
            "--password-file=/run/secrets/db",
        ] {
            assert_eq!(given_away(text), None, "{text}");
        }
        assert_eq!(given_away(&of(&["XAKIA", &"B7".repeat(8)])), None);
    }

    #[test]
    fn a_variable_is_secret_by_its_name() {
        for (name, value, secret) in [
            ("DB_PASSWORD", "hunter2", true),
            ("password", "$(params.password)", true),
            ("API_KEY", "x", true),
            ("APIKEY", "x", true),
            ("GITHUB_TOKEN", "x", true),
            ("USE_TOKEN", "true", false),
            ("TOKEN_URL", "https://id.example", false),
            ("PASSWORD", "", false),
            ("COMPASSWORD", "north", false),
        ] {
            assert_eq!(is_secret(name, value), secret, "{name}={value}");
        }
    }

    #[test]
    fn a_header_is_secret_by_its_name() {
        for name in [
            "Authorization",
            "proxy-authorization",
            "Cookie",
            "X-Api-Key",
            "apikey",
            "PRIVATE-TOKEN",
            "X-Vault-Token",
        ] {
            assert!(is_secret_header(name), "{name}");
        }
        for name in ["Content-Type", "X-Token-Count", "Idempotency-Key", "Accept"] {
            assert!(!is_secret_header(name), "{name}");
        }
    }

    #[test]
    fn admission_refuses_by_the_same_patterns() {
        assert_eq!((FOUND.len(), NAMED.is_some()), (PATTERNS.len(), true));
        assert!(HEADER.is_some());
        let playbook = include_str!("../../config/admission/playbook-secrets.yaml");
        let run = include_str!("../../config/admission/orchestration-secrets.yaml");
        for (what, pattern) in PATTERNS {
            for policy in [playbook, run] {
                assert!(policy.contains(&format!("r'{pattern}'")), "{what}");
                assert!(policy.contains(&format!("hold {what}:")), "{what}");
            }
        }
        for names in [NAMES, HEADERS] {
            assert!(playbook.contains(&format!("r'{names}'")));
        }
    }
}
