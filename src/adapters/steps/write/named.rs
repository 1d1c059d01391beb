//! Floor 2: the places that a write names, as JSON pointers: they are what its author means, also where nothing would change.
//! Pure; what is there is found out beside it.

use serde_json::Value;

use crate::{adapters::kube::account::Body, domain::plan::pointer};

/// What says which object it is, and is no field that anybody means.
const IDENTITY: [&str; 4] = [
    "/apiVersion",
    "/kind",
    "/metadata/name",
    "/metadata/namespace",
];

/// Every place that a write names. What is in a list is named by the whole list: where it lies says nothing about which
/// item is meant.
pub(super) fn named(body: &Body) -> Vec<String> {
    let mut places = Vec::new();
    match body {
        Body::Merge(fields) | Body::Strategic(fields) => leaves("", fields, &mut places),
        Body::Apply { manifest, .. } => leaves("", manifest, &mut places),
        Body::Json(operations) => {
            let operations = operations.as_array().map(Vec::as_slice);
            let paths = operations.unwrap_or_default().iter();
            let paths = paths.filter_map(|one| one.get("path")?.as_str());
            places.extend(paths.map(str::to_owned));
        }
    }
    places.retain(|place| !IDENTITY.contains(&place.as_str()));
    places
}

fn leaves(path: &str, value: &Value, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                leaves(&pointer(path, name), field, places);
            }
        }
        _ => places.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_write_names_its_fields() {
        let fields = json!({"kind": "K", "metadata": {"name": "n", "labels": {"a/b": "c"}}, "spec": {"list": [1], "n": 0}});
        let expected = ["/metadata/labels/a~1b", "/spec/list", "/spec/n"];
        assert_eq!(named(&Body::Merge(fields.clone())), expected);
        let manifest = Body::Apply {
            manifest: fields,
            force: false,
        };
        assert_eq!(named(&manifest), expected);
        let operations = json!([{"op": "test", "path": "/spec/a", "value": 1}, {"op": "remove", "path": "/spec/b"}]);
        assert_eq!(named(&Body::Json(operations)), ["/spec/a", "/spec/b"]);
    }
}
