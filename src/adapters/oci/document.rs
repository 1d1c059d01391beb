//! Floor 2: the one Playbook in a layer. Two documents would let two readers see two Playbooks under one signature.

use serde_json::Value;

use super::{LARGEST_LAYER, OciError, answer::brief, manifest::LayerForm, unpack::unpack};
use crate::{
    adapters::verify::strict,
    domain::{document::DEEPEST, trust::ArtifactDocument},
};

/// How much is told of what is wrong.
const LONGEST_PROBLEM: usize = 600;
/// Levels of a document around its spec.
const AROUND: usize = 4;

/// The document of a layer.
pub(super) fn read(layer: &[u8], form: LayerForm) -> Result<ArtifactDocument, OciError> {
    let value = match form {
        LayerForm::Json => json("layer", layer)?,
        LayerForm::Archive => only(layer)?,
    };
    document(value)
}

fn wrong(what: impl Into<String>) -> OciError {
    // It may quote what stands in the artifact.
    OciError::Document(brief(&what.into(), LONGEST_PROBLEM))
}

fn text<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, OciError> {
    std::str::from_utf8(bytes).map_err(|_| wrong(format!("has {name}, which is no text")))
}

fn json(name: &str, bytes: &[u8]) -> Result<Value, OciError> {
    strict::read_within(text(name, bytes)?, DEEPEST + AROUND).map_err(|error| {
        wrong(format!(
            "has {name}, which is no JSON of one meaning: {error}"
        ))
    })
}

/// The one document of all files that can hold one.
fn only(layer: &[u8]) -> Result<Value, OciError> {
    let mut found: Vec<(String, Value)> = Vec::new();
    for file in unpack(layer)? {
        let ending = file.name.rsplit_once('.').map(|(_, ending)| ending);
        let documents = match ending {
            Some("json") => vec![json(&file.name, &file.bytes)?],
            Some("yaml" | "yml") => yaml(&file.name, &file.bytes)?,
            _ => continue,
        };
        found.extend(documents.into_iter().map(|one| (file.name.clone(), one)));
    }
    match found.len() {
        1 => Ok(found.pop().map(|(_, value)| value).unwrap_or_default()),
        0 => Err(wrong("holds no .yaml, .yml or .json file")),
        number => {
            let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
            Err(wrong(format!(
                "holds {number} documents ({}); a Playbook's artifact holds one",
                names.join(", ")
            )))
        }
    }
}

fn yaml(name: &str, bytes: &[u8]) -> Result<Vec<Value>, OciError> {
    let text = text(name, bytes)?;
    // Aliases can repeat a text; what is read is held against its limit again below.
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)
        .map_err(|error| wrong(format!("has {name}, which is no YAML: {error}")))?;
    let size = serde_json::to_vec(&documents).map(|bytes| bytes.len());
    if size.is_ok_and(|size| size <= 2 * LARGEST_LAYER) {
        Ok(documents)
    } else {
        Err(wrong(format!("has {name}, which is too large")))
    }
}

fn document(value: Value) -> Result<ArtifactDocument, OciError> {
    let field = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    if field("/kind") != Some("Playbook") {
        let kind = field("/kind").unwrap_or("no kind");
        return Err(wrong(format!("holds {kind:?} and no Playbook")));
    }
    let text = |pointer: &str| {
        let text = field(pointer).filter(|text| !text.is_empty());
        text.map(ToOwned::to_owned)
            .ok_or_else(|| wrong(format!("holds a Playbook without {pointer}")))
    };
    let namespace = match value.pointer("/metadata/namespace") {
        None => None,
        Some(_) => Some(text("/metadata/namespace")?),
    };
    let spec = value.get("spec").filter(|spec| spec.is_object());
    Ok(ArtifactDocument {
        api_version: text("/apiVersion")?,
        name: text("/metadata/name")?,
        namespace,
        spec: spec
            .cloned()
            .ok_or_else(|| wrong("holds a Playbook without a spec"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reason::Reason;

    const GOOD: &str =
        r#"{"apiVersion":"a/v1","kind":"Playbook","metadata":{"name":"p"},"spec":{}}"#;

    #[test]
    fn a_layer_is_one_playbook() {
        let document = read(GOOD.as_bytes(), LayerForm::Json).unwrap();
        assert_eq!(document.name, "p");
        assert_eq!(document.namespace, None);
        for text in [
            GOOD.replace("Playbook", "Gate"),
            GOOD.replace(r#""name":"p""#, ""),
            GOOD.replace(r#""name":"p""#, r#""name":"p","name":"q""#),
            GOOD.replace(r#""name":"p""#, r#""name":"p","namespace":"""#),
            GOOD.replace(r#""name":"p""#, r#""name":"p","namespace":null"#),
            GOOD.replace(r#""name":"p""#, r#""name":7"#),
            GOOD.replace(r#""spec":{}"#, r#""spec":[]"#),
            format!("{GOOD}{GOOD}"),
            format!("[{GOOD}]"),
            "kind: Playbook".into(),
            String::new(),
        ] {
            let error = read(text.as_bytes(), LayerForm::Json).unwrap_err();
            assert_eq!(error.reason(), Reason::NotOnePlaybook, "{text}");
        }
    }
}
