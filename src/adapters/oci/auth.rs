//! Floor 2: what a registry asks for when it says 401, and the answer: a password for itself, or a token of the service
//! that it names. Credentials go to nobody before they are asked for.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::credentials::{Login, Secret};

/// What a registry wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password.
    Basic,
    /// A token of this service.
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

/// The answer of a token service.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// What the answer asks for; a token rather than a password.
pub(super) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let values = headers.get_all("www-authenticate").iter();
    let challenges: Vec<Challenge> = values
        .filter_map(|value| read(value.to_str().ok()?))
        .collect();
    let bearer = challenges
        .iter()
        .find(|one| matches!(one, Challenge::Bearer { .. }));
    bearer.or(challenges.first()).cloned()
}

fn read(value: &str) -> Option<Challenge> {
    let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let parameters = parameters(rest);
    let parameter = |name: &str| {
        let found = parameters
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    };
    Some(Challenge::Bearer {
        realm: parameter("realm")?,
        service: parameter("service"),
    })
}

/// `key="value"` or `key=value`, with commas in between; a comma may stand inside the quotes.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while let Some((key, after)) = rest.split_once('=') {
        let (value, behind) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.push((key.trim().to_owned(), value.trim().to_owned()));
        rest = behind.trim_start_matches([' ', ',']);
    }
    found
}

/// The header that proves a password.
pub(super) fn basic(login: &Login) -> Secret {
    let pair = format!("{}:{}", login.user, login.password.reveal());
    Secret::new(format!("Basic {}", STANDARD.encode(pair)))
}

/// The header that shows a token, out of the service's answer.
pub(super) fn bearer(answer: &[u8]) -> Option<Secret> {
    let answer: Token = serde_json::from_slice(answer).ok()?;
    let token = answer.token.or(answer.access_token)?;
    let plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    plain.then(|| Secret::new(format!("Bearer {token}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_challenge_is_read_or_not(text in r#"(Bearer|Basic|[a-z]*)[ -~]{0,80}"#) {
            let _ = of(&[&text]);
        }
    }

    fn of(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("www-authenticate", value.parse().unwrap());
        }
        challenge(&headers)
    }

    fn asks(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: realm.into(),
            service: service.map(ToOwned::to_owned),
        })
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let usual = r#"Bearer realm="https://auth.example/token",service="r",scope="repository:a:pull,push""#;
        assert_eq!(of(&[usual]), asks("https://auth.example/token", Some("r")));
        assert_eq!(of(&["Basic realm=x", usual]), of(&[usual]));
        assert_eq!(
            of(&[r#"bearer scope="a,b", realm=https://auth.example/t"#]),
            asks("https://auth.example/t", None)
        );
        assert_eq!(of(&[r#"Basic realm="r""#]), Some(Challenge::Basic));
        assert_eq!(of(&["Basic"]), Some(Challenge::Basic));
        for nothing in [
            "Negotiate",
            "Bearer service=\"r\"",
            "Bearer",
            "Bearer realm",
            "",
        ] {
            assert_eq!(of(&[nothing]), None, "{nothing}");
        }
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_token_is_one_word() {
        let header = |text: &str| bearer(text.as_bytes()).map(|one| one.reveal().to_owned());
        assert_eq!(header(r#"{"token":"a"}"#).as_deref(), Some("Bearer a"));
        assert_eq!(
            header(r#"{"access_token":"b"}"#).as_deref(),
            Some("Bearer b")
        );
        for nothing in [r#"{"token":""}"#, r#"{"token":"a\r\nb"}"#, "{}", "[]", ""] {
            assert_eq!(header(nothing), None, "{nothing}");
        }
    }
}
