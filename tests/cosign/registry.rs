//! What lies in a registry beside an image, read as it is given out: by the referrers API, else under the tag that takes
//! its place. What the product itself makes of registries is tested elsewhere.

use neuralops::domain::digest::Digest;
use serde_json::Value;

use crate::desk::Desk;

/// The types of manifests that are asked for.
const ACCEPT: &str = "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// One thing beside an image.
pub struct Piece {
    /// What the list of referrers calls it; nothing for a tag.
    pub listed: Option<String>,
    /// The type of its layer, and the layer.
    pub media_type: String,
    pub text: String,
    /// The annotations of the layer.
    pub annotations: Value,
}

/// Everything beside an image.
pub struct Found {
    pub registry: &'static str,
    pub form: &'static str,
    pub image: Digest,
    /// Whether the registry answered the referrers API.
    pub has_api: bool,
    pub pieces: Vec<Piece>,
}

/// What the registry answers to GET; nothing for 404.
pub fn get(desk: &Desk, address: &str, path: &str) -> Option<String> {
    let url = format!("http://{address}/v2/{path}");
    let line = [
        "-sS",
        "--noproxy",
        "*",
        "-m",
        "10",
        "-H",
        ACCEPT,
        "-o",
        "answer",
        "-w",
        "%{http_code}",
        &url,
    ];
    let status = desk.run("curl", line.map(ToOwned::to_owned)).unwrap();
    match status.as_str() {
        "200" => Some(desk.read("answer")),
        "404" => None,
        other => panic!("{url}: {other}: {}", desk.read("answer")),
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn piece(desk: &Desk, address: &str, form: &str, manifest: &Value, listed: Option<&str>) -> Piece {
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1, "{manifest}");
    let layer = &layers[0];
    let digest = layer["digest"].as_str().unwrap();
    let text = get(desk, address, &format!("{form}/blobs/{digest}")).unwrap();
    assert_eq!(Digest::of(text.as_bytes()).as_str(), digest);
    Piece {
        listed: listed.map(ToOwned::to_owned),
        media_type: layer["mediaType"].as_str().unwrap().to_owned(),
        text,
        annotations: layer["annotations"].clone(),
    }
}

/// Reads it all; repositories are named after the form of what was signed there.
pub fn read(
    desk: &Desk,
    registry: &'static str,
    address: &str,
    form: &'static str,
    image: &Digest,
) -> Found {
    let manifest = |reference: &str| get(desk, address, &format!("{form}/manifests/{reference}"));
    let api = get(desk, address, &format!("{form}/referrers/{image}"));
    let has_api = api.is_some();
    let tag = image.as_str().replace(':', "-");
    let listing = if has_api { api } else { manifest(&tag) }.map(|text| parsed(&text));
    let mut pieces = Vec::new();
    if let Some(listing) = &listing {
        match &listing["manifests"] {
            Value::Array(entries) => {
                for entry in entries {
                    let referrer = manifest(entry["digest"].as_str().unwrap());
                    let nothing = || panic!("nothing behind {entry}");
                    let referrer = parsed(&referrer.unwrap_or_else(nothing));
                    assert_eq!(referrer["subject"]["digest"], image.as_str());
                    let listed = entry["artifactType"].as_str().unwrap_or_default();
                    pieces.push(piece(desk, address, form, &referrer, Some(listed)));
                }
            }
            // The tag that stands for a list may hold a signature of the old kind itself.
            Value::Null if listing["layers"].is_array() => {
                pieces.push(piece(desk, address, form, listing, None));
            }
            // One registry library says null where it means an empty list.
            other => assert!(other.is_null() && has_api, "{form}: {listing}"),
        }
    }
    if let Some(old) = manifest(&format!("{tag}.sig")) {
        pieces.push(piece(desk, address, form, &parsed(&old), None));
    }
    Found {
        registry,
        form,
        image: image.clone(),
        has_api,
        pieces,
    }
}
