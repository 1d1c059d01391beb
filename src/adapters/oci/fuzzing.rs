//! Floor 2: what a registry sends, out of any bytes, for tests/fuzz alone: the readers themselves stay private. It says
//! what holds of everything that is read; what is refused is not its business.

use reqwest::{
    StatusCode, Url,
    header::{HeaderMap, HeaderValue, LINK, WWW_AUTHENTICATE},
};

use super::{
    LARGEST_LAYER,
    answer::{Answer, code},
    auth,
    discover::{self, Layer},
    document,
    manifest::{self, Kind, LayerForm},
    unpack::unpack,
};
use crate::domain::trust::ArtifactDocument;

/// How many layers of one manifest are looked at.
const MOST_LAYERS: usize = 4;

/// A manifest, an index or a list of referrers, and the signatures that it names.
pub fn manifest(bytes: &[u8]) {
    let Ok(kind) = manifest::read(bytes, "it") else {
        return;
    };
    let playbook = manifest::playbook_layer(&kind, "it").is_ok();
    let listed = match kind {
        Kind::Image(manifest) => manifest.layers,
        Kind::Index(listed) => listed,
    };
    assert!(!playbook || listed.len() == 1, "a Playbook has one layer");
    for descriptor in listed.into_iter().take(MOST_LAYERS) {
        let hex = descriptor.digest.as_str().strip_prefix("sha256:");
        assert_eq!(hex.map(str::len), Some(64), "{}", descriptor.digest);
        let layer = Layer {
            place: "it".to_owned(),
            descriptor,
            likely: true,
        };
        let _ = discover::form(&layer, bytes.to_vec());
    }
}

/// The layer of a Playbook, in either form.
pub fn layer(bytes: &[u8]) -> Option<ArtifactDocument> {
    for file in unpack(bytes).unwrap_or_default() {
        assert!(file.bytes.len() <= LARGEST_LAYER, "{}", file.bytes.len());
        assert!(!file.name.starts_with('/'), "{}", file.name);
        assert!(!file.name.split('/').any(|part| part == ".."));
        assert!(!file.name.chars().any(char::is_control), "{}", file.name);
    }
    let forms = [LayerForm::Json, LayerForm::Archive];
    let document = forms
        .into_iter()
        .find_map(|form| document::read(bytes, form).ok())?;
    assert!(!document.name.is_empty() && !document.api_version.is_empty());
    assert!(
        document
            .namespace
            .as_ref()
            .is_none_or(|name| !name.is_empty())
    );
    assert!(document.spec.is_object());
    Some(document)
}

/// A challenge, a token, an error, the address of a next page.
pub fn words(bytes: &[u8]) {
    assert!(
        code(bytes)
            .chars()
            .all(|one| one == ' ' || one.is_ascii_graphic())
    );
    if let Some(secret) = auth::bearer(bytes) {
        assert!(HeaderValue::from_str(secret.reveal()).is_ok());
    }
    let (Ok(value), Ok(url)) = (
        HeaderValue::from_bytes(bytes),
        Url::parse("https://registry.example/v2/a/referrers/sha256:0"),
    ) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.append(WWW_AUTHENTICATE, value.clone());
    headers.append(LINK, value);
    let _ = auth::challenge(&headers);
    let answer = Answer {
        url: url.clone(),
        status: StatusCode::OK,
        headers,
        bytes: Vec::new(),
    };
    if let Ok(Some(next)) = discover::next_page(&answer, &url) {
        assert_eq!(next.origin(), url.origin(), "{next}");
    }
}
