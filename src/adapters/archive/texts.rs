//! Floor 2: the texts beside the leaves of one bundle, in a backup: a JSON object a line, in the order of the leaves.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::domain::audit::record::Payload;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    leaf: u64,
    salt: String,
    /// For people, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Else.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// The lines for these texts; nothing if there are none.
pub fn encode(texts: &[(u64, Payload)]) -> Vec<u8> {
    let lines = texts.iter().filter_map(|(leaf, payload)| {
        let text = String::from_utf8(payload.body.clone()).ok();
        let line = Line {
            leaf: *leaf,
            salt: STANDARD.encode(payload.salt),
            base64: text.is_none().then(|| STANDARD.encode(&payload.body)),
            text,
        };
        // Strings and a number: this cannot fail.
        serde_json::to_string(&line).ok()
    });
    lines
        .flat_map(|line| [line.into_bytes(), b"\n".to_vec()])
        .flatten()
        .collect()
}

/// The texts in these lines, by leaf; what is wrong, if they are not what [`encode`] writes.
pub fn decode(bytes: &[u8]) -> Result<Vec<(u64, Payload)>, String> {
    let body = bytes
        .strip_suffix(b"\n")
        .ok_or("the last line has no end")?;
    let mut texts: Vec<(u64, Payload)> = Vec::new();
    for (number, line) in (1..).zip(body.split(|byte| *byte == b'\n')) {
        let (leaf, payload) =
            text(line).ok_or_else(|| format!("line {number} is no text with its salt"))?;
        if texts.last().is_some_and(|(before, _)| *before >= leaf) {
            return Err(format!("line {number} is not in the order of the leaves"));
        }
        texts.push((leaf, payload));
    }
    Ok(texts)
}

fn text(line: &[u8]) -> Option<(u64, Payload)> {
    let line: Line = serde_json::from_slice(line).ok()?;
    let body = match (line.text, line.base64) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(coded)) => STANDARD.decode(coded).ok()?,
        _ => return None,
    };
    let salt = STANDARD.decode(line.salt).ok()?.try_into().ok()?;
    Some((line.leaf, Payload { salt, body }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_kind_read_back() {
        let payload = |body: &[u8]| Payload {
            salt: [7; 16],
            body: body.to_vec(),
        };
        let texts = vec![
            (3, payload(b"line\nbreak \"quoted\"")),
            (9, payload(b"\xff\x00")),
            (10, payload(b"")),
        ];
        let bytes = encode(&texts);
        assert_eq!(decode(&bytes).unwrap(), texts);
        assert!(encode(&[]).is_empty());

        let swapped = encode(&[texts[1].clone(), texts[0].clone()]);
        assert!(decode(&swapped).unwrap_err().contains("order"));
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(decode(b"{}\n").unwrap_err().contains("line 1"));
    }
}
