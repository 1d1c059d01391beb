//! Floor 2: answers of registries: read to their limit and no further, and told to people without the query of an address
//! and without words that are not the registry's own codes.

use reqwest::{Response, StatusCode, Url, header::HeaderMap};

use super::OciError;
use crate::domain::digest::Digest;

/// What is answered.
pub(super) struct Answer {
    pub url: Url,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

/// All of the answer, or none if it is larger.
pub(super) async fn read_within(
    response: &mut Response,
    limit: usize,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    if response
        .content_length()
        .is_some_and(|length| length > limit as u64)
    {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// That these are the bytes that were asked for.
pub(super) fn same(
    actual: &Digest,
    expected: &Digest,
    what: impl Fn() -> String,
) -> Result<(), OciError> {
    if actual == expected {
        return Ok(());
    }
    Err(OciError::Mismatch {
        what: what(),
        expected: expected.clone(),
        actual: actual.to_string(),
    })
}

/// An answer with a status that means nothing here.
pub(super) fn unexpected(answer: &Answer) -> OciError {
    strange(
        &answer.url,
        &format!("answers {}{}", answer.status, code(&answer.bytes)),
    )
}

/// An answer that makes no sense.
pub(super) fn strange(url: &Url, what: &str) -> OciError {
    OciError::Answer {
        url: shown(url),
        what: what.to_owned(),
    }
}

/// No answer.
pub(super) fn unreachable(url: &Url, source: reqwest::Error) -> OciError {
    OciError::Unreachable {
        url: shown(url),
        source: source.without_url(),
    }
}

/// An address without its query, which may hold a signature of its own.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Only fails for addresses that have no such part.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.to_string()
}

/// The registry's own word for an error in brackets, if it has one.
pub(super) fn code(words: &[u8]) -> String {
    let answer: serde_json::Value = serde_json::from_slice(words).unwrap_or_default();
    let code = answer
        .pointer("/errors/0/code")
        .and_then(|code| code.as_str());
    match code.map(|code| printable(code, 40)) {
        Some(code) if !code.is_empty() => format!(" ({code})"),
        _ => String::new(),
    }
}

/// The beginning of a text that somebody else wrote.
pub(super) fn brief(text: &str, most: usize) -> String {
    let mut brief: String = text.chars().take(most).collect();
    if brief.len() < text.len() {
        brief.push('…');
    }
    brief
}

pub(super) fn printable(text: &str, most: usize) -> String {
    let plain = |c: &char| c.is_ascii_graphic();
    text.chars().filter(plain).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_without_what_signs_them() {
        let url = Url::parse("https://u:p@a.example/b?X-Signature=hush#hush").unwrap();
        assert_eq!(shown(&url), "https://a.example/b");
    }

    #[test]
    fn codes_are_told_and_nothing_else() {
        let words = br#"{"errors":[{"code":"DENIED","message":"token hush"}]}"#;
        assert_eq!(code(words), " (DENIED)");
        assert_eq!(code(b"<html>"), "");
        let long = format!(r#"{{"errors":[{{"code":"\u001b[2J{}"}}]}}"#, "A".repeat(99));
        assert_eq!(code(long.as_bytes()).len(), 43);
    }
}
