//! Floor 2: what the controllers of Kubernetes keep of the earlier templates of a workload: a Deployment its ReplicaSets, a
//! StatefulSet and a DaemonSet their ControllerRevisions. Pure: what was listed comes in.

use serde_json::Value;

/// What a Deployment's controller adds to the template of a ReplicaSet.
const HASH: &str = "pod-template-hash";
/// Where it writes which revision a ReplicaSet is.
const NUMBER: &str = "/metadata/annotations/deployment.kubernetes.io~1revision";

/// An earlier template.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Revision {
    pub(super) number: i64,
    pub(super) template: Value,
}

/// In what the revisions of this kind are kept: kind and plural.
pub(super) fn kept_in(kind: &str) -> Option<(&'static str, &'static str)> {
    match kind {
        "Deployment" => Some(("ReplicaSet", "replicasets")),
        "StatefulSet" | "DaemonSet" => Some(("ControllerRevision", "controllerrevisions")),
        _ => None,
    }
}

/// The revisions of the workload with this uid, newest first.
pub(super) fn of(plural: &str, owner: &str, kept: &[Value]) -> Vec<Revision> {
    let mut found: Vec<Revision> = kept
        .iter()
        .filter(|one| owned(one, owner))
        .filter_map(|one| {
            let (number, template) = if plural == "replicasets" {
                let number = one.pointer(NUMBER)?.as_str()?.parse().ok()?;
                (number, one.pointer("/spec/template")?)
            } else {
                (
                    one.get("revision")?.as_i64()?,
                    one.pointer("/data/spec/template")?,
                )
            };
            Some(Revision {
                number,
                template: bare(template),
            })
        })
        .collect();
    found.sort_by_key(|one| std::cmp::Reverse(one.number));
    found
}

fn owned(one: &Value, owner: &str) -> bool {
    let owners = one.pointer("/metadata/ownerReferences");
    let mut owners = owners
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter();
    owners.any(|one| {
        let text = one.get("uid").and_then(Value::as_str);
        one.get("controller").and_then(Value::as_bool) == Some(true) && text == Some(owner)
    })
}

/// A template as its author wrote it, so that one can be told from another.
pub(super) fn bare(template: &Value) -> Value {
    let mut bare = without_nulls(template);
    if let Some(fields) = bare.as_object_mut() {
        fields.remove("$patch");
    }
    if let Some(labels) = bare.pointer_mut("/metadata/labels")
        && let Some(labels) = labels.as_object_mut()
    {
        labels.remove(HASH);
    }
    bare
}

/// Older API servers write out that a template has no time of creation.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), without_nulls(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// The workload's selector as lists take it.
pub(super) fn selector(live: &Value) -> Option<String> {
    let selector = live.pointer("/spec/selector")?;
    let mut parts = Vec::new();
    let labels = selector.get("matchLabels").and_then(Value::as_object);
    for (name, value) in labels.into_iter().flatten() {
        parts.push(format!("{name}={}", value.as_str()?));
    }
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    for expression in expressions.into_iter().flatten() {
        let name = expression.get("key")?.as_str()?;
        let values = expression.get("values").and_then(Value::as_array);
        let values = values.map(Vec::as_slice).unwrap_or_default().iter();
        let values: Vec<&str> = values.filter_map(Value::as_str).collect();
        let values = values.join(",");
        parts.push(match expression.get("operator")?.as_str()? {
            "In" => format!("{name} in ({values})"),
            "NotIn" => format!("{name} notin ({values})"),
            "Exists" => name.to_owned(),
            "DoesNotExist" => format!("!{name}"),
            _ => return None,
        });
    }
    (!parts.is_empty()).then(|| parts.join(","))
}

/// Which there are, as people say it.
pub(super) fn listed(revisions: &[Revision]) -> String {
    if revisions.is_empty() {
        return "none".to_owned();
    }
    let numbers: Vec<String> = revisions.iter().map(|one| one.number.to_string()).collect();
    numbers.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept(number: i64, owner: &str, image: &str) -> Value {
        let owners = json!([{"uid": owner, "controller": true}]);
        let labels = json!({"app": "a", HASH: "77"});
        let annotations = json!({"deployment.kubernetes.io/revision": number.to_string()});
        let spec = json!({"containers": [{"image": image}]});
        json!({
            "metadata": {"ownerReferences": owners, "annotations": annotations},
            "spec": {"template": {"metadata": {"labels": labels}, "spec": spec}},
            "revision": number,
            "data": {"spec": {"template": {
                "$patch": "replace", "metadata": {"creationTimestamp": null, "labels": {"app": "a"}}, "spec": spec,
            }}},
        })
    }

    #[test]
    fn revisions_are_those_of_the_workload_newest_first_and_as_they_were_written() {
        let all = [
            kept(2, "u", "b"),
            kept(10, "u", "c"),
            kept(11, "other", "d"),
            json!({}),
        ];
        for plural in ["replicasets", "controllerrevisions"] {
            let found = of(plural, "u", &all);
            let numbers: Vec<i64> = found.iter().map(|one| one.number).collect();
            assert_eq!(numbers, [10, 2], "{plural}");
            let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"image": "c"}]}});
            assert_eq!(found[0].template, template, "{plural}");
            assert_eq!(listed(&found), "10, 2");
        }
        assert_eq!(listed(&[]), "none");
    }

    #[test]
    fn a_selector_is_asked_for_as_it_stands() {
        let expressions = json!([
            {"key": "tier", "operator": "In", "values": ["a", "b"]},
            {"key": "old", "operator": "NotIn", "values": ["c"]},
            {"key": "is", "operator": "Exists"},
            {"key": "not", "operator": "DoesNotExist"},
        ]);
        let live = json!({"spec": {"selector": {"matchLabels": {"app": "a"}, "matchExpressions": expressions}}});
        assert_eq!(
            selector(&live).unwrap(),
            "app=a,tier in (a,b),old notin (c),is,!not"
        );
        assert_eq!(selector(&json!({"spec": {"selector": {}}})), None);
    }
}
