//! Floor 2: manifests and indexes, read from their bytes: what they are is what they hold, whatever a list or a header
//! called them. Both at once is refused: readers would differ in which one they see.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{ARTIFACT_TYPE, FLUX_CONFIG, FLUX_LAYER, OciError, PLAYBOOK_LAYER, answer::brief};
use crate::{adapters::verify::strict, domain::digest::Digest};

/// An index of manifests.
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// A manifest.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Everything that can stand behind a reference.
pub(super) const MANIFESTS: [&str; 4] = [
    MANIFEST,
    INDEX,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// How much is told of what is wrong: it may quote what somebody wrote.
const LONGEST_PROBLEM: usize = 600;
/// How deep a manifest nests; real ones have less than six levels.
const DEEPEST: usize = 16;

/// A thing in a registry, by its digest.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    #[serde(default)]
    pub size: u64,
    pub artifact_type: Option<String>,
    pub annotations: Option<BTreeMap<String, String>>,
}

/// A manifest with layers.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    pub artifact_type: Option<String>,
    pub config: Option<Value>,
    pub layers: Vec<Descriptor>,
    pub subject: Option<Digest>,
    pub annotations: BTreeMap<String, String>,
}

/// What stands behind a reference.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// One thing.
    Image(Manifest),
    /// Several.
    Index(Index),
}

/// What an index lists.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub manifests: Vec<Descriptor>,
    /// Digests of other kinds: they are somebody's, and none that we can hold anything against.
    pub foreign: Vec<String>,
}

/// Everything that either kind can hold. What else stands there is of no use to us.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Everything {
    artifact_type: Option<String>,
    config: Option<Value>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Value>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

/// How the document stands in its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LayerForm {
    /// As it is.
    Json,
    /// Somewhere in an archive.
    Archive,
}

/// The layer that holds a Playbook.
pub(super) struct PlaybookLayer {
    pub descriptor: Descriptor,
    pub form: LayerForm,
}

/// Reads what was asked for as `what`.
pub(super) fn read(bytes: &[u8], what: &str) -> Result<Kind, OciError> {
    let wrong = |problem: String| OciError::MediaType {
        what: what.to_owned(),
        problem: brief(&problem, LONGEST_PROBLEM),
    };
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("is no manifest: no text".into()))?;
    let value = strict::read_within(text, DEEPEST)
        .map_err(|error| wrong(format!("is no manifest: {error}")))?;
    let index = value.get("mediaType").and_then(Value::as_str) == Some(INDEX);
    let all: Everything =
        serde_json::from_value(value).map_err(|error| wrong(format!("is no manifest: {error}")))?;
    match (all.layers, all.manifests) {
        (Some(_), Some(_)) => Err(wrong("is a manifest and an index at once".into())),
        (None, None) if !index => Err(wrong("is neither a manifest nor an index".into())),
        (Some(layers), None) => Ok(Kind::Image(Manifest {
            artifact_type: all.artifact_type,
            config: all.config,
            layers,
            subject: all.subject.map(|subject| subject.digest),
            annotations: all.annotations.unwrap_or_default(),
        })),
        // Some registries write null for an empty list.
        (None, None | Some(Value::Null)) => Ok(Kind::Index(Index::default())),
        (None, Some(Value::Array(list))) => entries(list)
            .map(Kind::Index)
            .map_err(|error| wrong(format!("is no index: {error}"))),
        (None, Some(_)) => Err(wrong("is no index: its manifests are no list".into())),
    }
}

fn entries(list: Vec<Value>) -> Result<Index, serde_json::Error> {
    let mut index = Index::default();
    for entry in list {
        let digest = entry.get("digest").and_then(Value::as_str);
        let known = |digest: &str| digest.starts_with("sha256:") || !digest.contains(':');
        match digest.filter(|digest| !known(digest)) {
            Some(foreign) => index.foreign.push(brief(foreign, 80)),
            None => index.manifests.push(serde_json::from_value(entry)?),
        }
    }
    Ok(index)
}

/// The layer of a Playbook's artifact: there is exactly one, in one of two forms.
pub(super) fn playbook_layer(kind: &Kind, what: &str) -> Result<PlaybookLayer, OciError> {
    let wrong = |problem: String| OciError::MediaType {
        what: what.to_owned(),
        problem: brief(&problem, LONGEST_PROBLEM),
    };
    let manifest = match kind {
        Kind::Image(manifest) => manifest,
        Kind::Index(_) => {
            return Err(wrong(
                "is an index: name the digest of the Playbook's own manifest".into(),
            ));
        }
    };
    let [layer] = manifest.layers.as_slice() else {
        let number = manifest.layers.len();
        return Err(wrong(format!("has {number} layers, a Playbook has one")));
    };
    let config = manifest.config.as_ref();
    let config = config.and_then(|config| config.get("mediaType")?.as_str());
    let form = match layer.media_type.as_str() {
        PLAYBOOK_LAYER => LayerForm::Json,
        FLUX_LAYER if config == Some(FLUX_CONFIG) => LayerForm::Archive,
        other => {
            let other = brief(other, 100);
            return Err(wrong(format!(
                "holds {other:?}; a Playbook is {PLAYBOOK_LAYER:?} (as `neuralops playbook push` makes it), or {FLUX_LAYER:?} with the config {FLUX_CONFIG:?}"
            )));
        }
    };
    if let Some(artifact_type) = &manifest.artifact_type
        && form == LayerForm::Json
        && artifact_type != ARTIFACT_TYPE
    {
        let artifact_type = brief(artifact_type, 100);
        return Err(wrong(format!(
            "says that it is {artifact_type:?}, a Playbook is {ARTIFACT_TYPE:?}"
        )));
    }
    Ok(PlaybookLayer {
        descriptor: layer.clone(),
        form,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::domain::reason::Reason;

    proptest! {
        /// Whatever a registry sends: it is read or refused, and a good one with one other byte is no other good one
        /// with more layers.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..500usize, byte in any::<u8>()) {
            let _ = read(&bytes, "it");
            let good = json!({"layers": [layer(PLAYBOOK_LAYER)], "subject": layer("a"), "annotations": {"a": "b"}});
            let mut changed = good.to_string().into_bytes();
            let at = at % changed.len();
            changed[at] = byte;
            if let Ok(Kind::Image(manifest)) = read(&changed, "it") {
                prop_assert!(manifest.layers.len() <= 1);
            }
        }
    }

    fn layer(media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": Digest::of(b"a"), "size": 1})
    }

    fn of(value: &Value) -> Result<PlaybookLayer, OciError> {
        let kind = read(value.to_string().as_bytes(), "it")?;
        playbook_layer(&kind, "it")
    }

    #[test]
    fn a_playbook_has_one_layer_of_a_known_form() {
        let plain = json!({"layers": [layer(PLAYBOOK_LAYER)]});
        assert_eq!(of(&plain).unwrap().form, LayerForm::Json);
        let flux = json!({"config": {"mediaType": FLUX_CONFIG}, "layers": [layer(FLUX_LAYER)]});
        assert_eq!(of(&flux).unwrap().form, LayerForm::Archive);
        for other in [
            json!({"layers": []}),
            json!({"layers": [layer(PLAYBOOK_LAYER), layer(PLAYBOOK_LAYER)]}),
            json!({"layers": [layer("application/json")]}),
            json!({"layers": [layer(FLUX_LAYER)]}),
            json!({"artifactType": "application/vnd.x", "layers": [layer(PLAYBOOK_LAYER)]}),
            json!({"manifests": [layer(PLAYBOOK_LAYER)]}),
            json!({"manifests": [], "layers": [layer(PLAYBOOK_LAYER)]}),
            json!({"layers": [{"mediaType": PLAYBOOK_LAYER, "digest": "sha512:0", "size": 1}]}),
            json!({"mediaType": MANIFEST}),
            json!([]),
        ] {
            let reason = of(&other).map(|_| ()).unwrap_err().reason();
            assert_eq!(reason, Reason::UnexpectedMediaType, "{other}");
        }
    }

    #[test]
    fn what_is_told_of_a_manifest_has_an_end() {
        let long = "x".repeat(500_000);
        let twice = format!(r#"{{"{long}":1,"{long}":2}}"#);
        let error = read(twice.as_bytes(), "it").unwrap_err();
        assert!(error.to_string().len() < 700, "{}", error.to_string().len());
        let error = of(&json!({"layers": [layer(&long)]})).err().unwrap();
        let text = error.to_string();
        assert!(text.len() < 700 && text.contains(PLAYBOOK_LAYER), "{text}");
    }

    #[test]
    fn a_digest_of_another_kind_is_in_nobodys_way() {
        let list = json!({"manifests": [
            {"digest": "sha512:00", "size": 1},
            {"digest": Digest::of(b"a"), "size": 1},
        ]});
        let Ok(Kind::Index(index)) = read(list.to_string().as_bytes(), "it") else {
            panic!("no index")
        };
        assert_eq!(index.manifests.len(), 1);
        assert_eq!(index.foreign, ["sha512:00"]);
        for digest in [json!("sha256:00"), json!("00"), json!(7)] {
            let list = json!({"manifests": [{"digest": digest, "size": 1}]});
            assert!(read(list.to_string().as_bytes(), "it").is_err(), "{digest}");
        }
    }

    #[test]
    fn what_readers_could_see_in_two_ways_is_none() {
        for text in [
            r#"{"layers":[],"layers":[]}"#,
            "[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]",
            "",
            "<html>",
        ] {
            assert!(read(text.as_bytes(), "it").is_err(), "{text}");
        }
        assert!(read(b"\xff", "it").is_err());
        let null = json!({"mediaType": INDEX, "manifests": null});
        let read = read(null.to_string().as_bytes(), "it").unwrap();
        assert!(matches!(read, Kind::Index(index) if index.manifests.is_empty()));
    }
}
