//! Floor 0, tests: what would lose its bytes on the way to a signature, and what is too large. No rule of another file.

use serde_json::{Value, json};

use super::*;

#[test]
fn values_that_lose_their_bytes_are_refused() {
    refused(
        with("/description", Value::Null),
        "spec.description",
        "null is not allowed",
    );
    refused(
        with("/revision", json!(1.5)),
        "spec.revision",
        "not a whole number",
    );
    refused(
        with("/revision", json!(9_007_199_254_740_992_u64)),
        "spec.revision",
        "beyond 2^53-1",
    );
    refused(
        with("/revision", json!(-9_007_199_254_740_992_i64)),
        "spec.revision",
        "beyond 2^53-1",
    );
    refused(
        with_step(
            json!({"name": "p", "patch": {"target": {"apiVersion": "v1", "kind": "ConfigMap", "name": "a"}, "type": "Merge", "patch": {"data": {"x y": null}}}}),
        ),
        "spec.steps[2].patch.patch.data[\"x y\"]",
        "null is not allowed",
    );
    let deep = (0..70).fold(json!(1), |inner, _| json!([inner]));
    assert!(
        findings(with("/parameters/properties/replicas/examples", deep))
            .iter()
            .any(|f| f.contains("nested deeper"))
    );
}

#[test]
fn a_spec_over_its_size_is_refused_with_its_own_reason() {
    let large = with(
        "/parameters/properties/deployment/description",
        json!("x".repeat(LARGEST_SPEC)),
    );
    let found = lint(&document(large));
    assert_eq!(
        found.first().map(|f| f.reason),
        Some(Reason::PlaybookTooLarge)
    );
}
