//! Floor 3: TrustPolicies and ConfigMaps from files, as `kubectl get -o yaml` or an author writes them: single objects,
//! several documents, or a List. A field that the API server would not know is an error: it would be less trust than meant.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use kube::CustomResourceExt as _;
use serde_json::Value;

use super::{PlaybookFileError, file::text};
use crate::{
    adapters::verify::{ConfigMaps, PreparedPolicy},
    api::{
        API_VERSION,
        strict::violations,
        v1alpha1::{ConfigMapKeyRef, TrustPolicy, TrustPolicySpec},
    },
    domain::lint::Position,
};

/// ConfigMaps from files, by name and key.
#[derive(Default)]
pub struct FileConfigMaps(BTreeMap<(String, String), String>);

impl ConfigMaps for FileConfigMaps {
    fn text(&self, reference: &ConfigMapKeyRef) -> Option<String> {
        let place = (reference.name.clone(), reference.key.clone());
        self.0.get(&place).cloned()
    }
}

fn unusable(path: &Path, message: impl Into<String>) -> PlaybookFileError {
    PlaybookFileError::Unusable {
        path: path.to_owned(),
        message: message.into(),
    }
}

/// Every object of a file.
fn objects(path: &Path) -> Result<Vec<Value>, PlaybookFileError> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text(path)?)
        .map_err(|error| unusable(path, error.to_string()))?;
    let mut objects = Vec::new();
    for document in documents {
        match document.get("items").and_then(Value::as_array) {
            Some(items) => objects.extend(items.iter().cloned()),
            None => objects.push(document),
        }
    }
    Ok(objects)
}

fn name(path: &Path, object: &Value) -> Result<String, PlaybookFileError> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    name.map(ToOwned::to_owned)
        .ok_or_else(|| unusable(path, "metadata.name is missing"))
}

/// Reads ConfigMaps.
pub fn config_maps(paths: &[PathBuf]) -> Result<FileConfigMaps, PlaybookFileError> {
    let mut found = FileConfigMaps::default();
    for path in paths {
        for object in objects(path)? {
            if object.get("kind").and_then(Value::as_str) != Some("ConfigMap") {
                return Err(unusable(path, "not a ConfigMap"));
            }
            let map = name(path, &object)?;
            let data = object.get("data").and_then(Value::as_object);
            for (key, value) in data.into_iter().flatten() {
                let text = value.as_str().unwrap_or_default().to_owned();
                if found.0.insert((map.clone(), key.clone()), text).is_some() {
                    let message = format!("ConfigMap {map:?} stands here a second time");
                    return Err(unusable(path, message));
                }
            }
        }
    }
    Ok(found)
}

/// Reads TrustPolicies and makes them ready.
pub fn policies(
    paths: &[PathBuf],
    config_maps: &FileConfigMaps,
) -> Result<Vec<PreparedPolicy>, PlaybookFileError> {
    let mut prepared = BTreeMap::new();
    for path in paths {
        for object in objects(path)? {
            let field = |name: &str| object.get(name).and_then(Value::as_str);
            if field("kind") != Some("TrustPolicy") || field("apiVersion") != Some(API_VERSION) {
                let message = format!("not a TrustPolicy of {API_VERSION}");
                return Err(unusable(path, message));
            }
            let name = name(path, &object)?;
            let spec = object.get("spec").cloned().unwrap_or_default();
            if let Some(violation) = violations(&TrustPolicy::crd(), &spec)
                .unwrap_or_default()
                .first()
            {
                let position = Position::root("spec").pointer(&violation.pointer);
                let message = format!("TrustPolicy {name:?}: {position}: {}", violation.message);
                return Err(unusable(path, message));
            }
            let spec: TrustPolicySpec = serde_json::from_value(spec)
                .map_err(|error| unusable(path, format!("TrustPolicy {name:?}: {error}")))?;
            let generation = object
                .pointer("/metadata/generation")
                .and_then(Value::as_i64);
            let policy = PreparedPolicy::new(&name, generation, &spec, config_maps);
            if prepared.insert(name.clone(), policy).is_some() {
                let message = format!("TrustPolicy {name:?} stands here a second time");
                return Err(unusable(path, message));
            }
        }
    }
    Ok(prepared.into_values().collect())
}
