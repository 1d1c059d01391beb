//! Floor 2: the only writer of statuses: a JSON merge patch of exactly what differs, bound to the resourceVersion
//! that was read, so that two writers can never mix and an unchanged status is never written.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Client, Resource,
    api::{Patch, PatchParams},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    STATUS_MANAGER,
    error::{Classified, classify},
    raw,
};
use crate::domain::{reason::Reason, verdict::ErrorClass};

/// A status that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Our own type does not serialize.
    #[error("could not put the status into JSON")]
    Serialize(#[source] serde_json::Error),
    /// The API server did not take it.
    #[error("could not write the status of {name}")]
    Patch {
        /// The object.
        name: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Classified for StatusError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Serialize(_) => ErrorClass::Bug,
            Self::Patch { source, .. } => classify(source).0,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Serialize(_) => Reason::InternalError,
            Self::Patch { source, .. } => classify(source).1,
        }
    }
}

/// Writes `wanted` over `current`, if they differ. Returns whether it wrote.
pub async fn write<K, S>(
    client: &Client,
    object: &K,
    current: Option<&S>,
    wanted: &S,
) -> Result<bool, StatusError>
where
    K: Resource<DynamicType = ()>,
    S: Serialize,
{
    let current = serde_json::to_value(current).map_err(StatusError::Serialize)?;
    let wanted = serde_json::to_value(wanted).map_err(StatusError::Serialize)?;
    write_value::<K>(client, object.meta(), &current, &wanted).await
}

/// The same for a status that fits no type.
pub async fn write_value<K>(
    client: &Client,
    meta: &ObjectMeta,
    current: &Value,
    wanted: &Value,
) -> Result<bool, StatusError>
where
    K: Resource<DynamicType = ()>,
{
    let Some(difference) = difference(current, wanted) else {
        return Ok(false);
    };
    let name = meta.name.clone().unwrap_or_default();
    // The uid keeps a new object of the same name out, the version keeps out what we have not read.
    let patch = json!({
        "metadata": { "resourceVersion": meta.resource_version, "uid": meta.uid },
        "status": difference,
    });
    let params = PatchParams {
        field_manager: Some(STATUS_MANAGER.into()),
        ..PatchParams::default()
    };
    match raw::patch_status::<K>(
        client,
        meta.namespace.as_deref(),
        &name,
        &params,
        &Patch::Merge(patch),
    )
    .await
    {
        Ok(()) => Ok(true),
        Err(source) => Err(StatusError::Patch {
            name,
            source: Box::new(source),
        }),
    }
}

/// The JSON merge patch that makes `wanted` of `current`; none if they are equal.
fn difference(current: &Value, wanted: &Value) -> Option<Value> {
    if current == wanted {
        return None;
    }
    let (Value::Object(before), Value::Object(after)) = (current, wanted) else {
        return Some(wanted.clone());
    };
    let mut patch = Map::new();
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in after {
        match before.get(name) {
            Some(old) => patch.extend(difference(old, value).map(|value| (name.clone(), value))),
            None => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 7386, as the API server applies it.
    fn merged(target: Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else {
            return patch.clone();
        };
        let mut fields = match target {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        for (name, value) in patch {
            if value.is_null() {
                fields.remove(name);
            } else {
                let old = fields.remove(name).unwrap_or(Value::Null);
                fields.insert(name.clone(), merged(old, value));
            }
        }
        Value::Object(fields)
    }

    fn statuses() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i8>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from)
        ];
        let value = leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-d]", value, 0..4)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn the_patch_makes_one_of_the_other(current in statuses(), wanted in statuses()) {
            match difference(&current, &wanted) {
                None => prop_assert_eq!(current, wanted),
                Some(patch) => prop_assert_eq!(merged(current, &patch), wanted),
            }
        }

        #[test]
        fn equal_statuses_have_no_difference(status in statuses()) {
            prop_assert_eq!(difference(&status, &status), None);
        }
    }
}
