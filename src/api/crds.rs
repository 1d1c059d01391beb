//! Floor 1: all seven kinds as CustomResourceDefinitions, in the order in which they are installed.
//! The one source of `crds/`, of the drift test and of the admission guard.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use super::v1alpha1::{AuditLog, Decision, Freeze, Gate, Orchestration, Playbook, TrustPolicy};

/// Every CustomResourceDefinition of ours.
pub fn all() -> Vec<CustomResourceDefinition> {
    [
        Playbook::crd(),
        TrustPolicy::crd(),
        Orchestration::crd(),
        Gate::crd(),
        Decision::crd(),
        AuditLog::crd(),
        Freeze::crd(),
    ]
    .map(finished)
    .into()
}

fn finished(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    crd.metadata.labels = Some(BTreeMap::from([
        label("app.kubernetes.io/name", "neuralops"),
        label("app.kubernetes.io/part-of", "neuralops"),
    ]));
    // Spelled out, because the API server would fill it in and the guard compares.
    crd.spec.names.list_kind = Some(format!("{}List", crd.spec.names.kind));
    for version in &mut crd.spec.versions {
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
        {
            without_nullable(schema);
        }
    }
    crd
}

/// An `Option` may be left out; it may not be null: null would be stored, signed, and dropped by the next merge patch.
fn without_nullable(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| !value.0.is_null());
    }
    for property in schema.properties.iter_mut().flat_map(BTreeMap::values_mut) {
        without_nullable(property);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => without_nullable(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(without_nullable),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        without_nullable(values);
    }
}

#[cfg(test)]
mod tests;
