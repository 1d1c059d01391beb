//! Any text as a Playbook: an object of the API server, a document in JSON, a file in YAML. Nothing panics, and canonical
//! bytes are the canonical form of what they read back to, which is the same document wherever the linter is content.
#![no_main]

use std::{path::Path, sync::LazyLock};

use kube::CustomResourceExt as _;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use neuralops::{
    api::{
        strict::violations,
        v1alpha1::{Playbook, RawPlaybook},
    },
    cli::playbook::PlaybookFile,
    controllers::verification,
    domain::{
        document::{Document, Scope},
        lint::{lint, lint_sourced, uncertain_sourced_bytes},
    },
};
use serde_json::{Value, json};

static CRD: LazyLock<
    k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
> = LazyLock::new(Playbook::crd);

fn check(document: &Document) {
    lint(document);
    lint_sourced(document);
    let certain = uncertain_sourced_bytes(document).is_none();
    if certain {
        let _ = violations(&CRD, &document.spec);
    }
    for scope in [Scope::Namespaced, Scope::Anywhere] {
        let Ok(bytes) = document.canonical_in(scope) else {
            assert!(!certain, "what the linter lets pass has canonical bytes");
            continue;
        };
        let back: Value = match serde_json::from_slice(&bytes) {
            Ok(back) => back,
            Err(error) => {
                assert!(!certain, "canonical bytes are JSON: {error}");
                continue;
            }
        };
        let again = Document {
            spec: back["spec"].clone(),
            ..document.clone()
        };
        assert_eq!(again.canonical_in(scope).unwrap(), bytes);
        if certain {
            assert_eq!(again.spec, document.spec);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(object) = RawPlaybook::parse(text)
        && let Ok(document) = verification::document(&object)
    {
        check(&document);
    }
    if let Ok(file) = PlaybookFile::parse(Path::new("playbook.yaml"), text) {
        check(&file.document("default"));
        file.annotations();
    }
});

/// Every value in a value that holds no others.
fn leaves(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(items) => items.iter_mut().flat_map(leaves).collect(),
        Value::Object(fields) => fields.values_mut().flat_map(leaves).collect(),
        leaf => vec![leaf],
    }
}

/// The same document with another value in one place: near the ends of what is exact, or of another kind.
fn elsewhere(bytes: &[u8], seed: usize) -> Option<Vec<u8>> {
    let others = json!([
        9_007_199_254_740_991_u64,
        9_007_199_254_740_993_u64,
        -9_007_199_254_740_993_i64,
        u64::MAX,
        i64::MIN,
        0.5,
        -0.0,
        1e300,
        1.0,
        null,
        true,
        "",
        "\u{10000}\u{e000}",
        "$(params.a)",
        [],
        {},
    ]);
    let others = others.as_array()?;
    let mut document: Value = serde_json::from_slice(bytes).ok()?;
    let mut leaves = leaves(&mut document);
    let at = seed.checked_rem(leaves.len())?;
    let other = seed / leaves.len() % others.len();
    **leaves.get_mut(at)? = others.get(other)?.clone();
    serde_json::to_vec(&document).ok()
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let seed = seed as usize;
    let changed = data.get(..size).filter(|_| seed % 4 == 0);
    let changed = changed.and_then(|bytes| elsewhere(bytes, seed / 4));
    if let Some(changed) = changed.filter(|bytes| bytes.len() <= max_size) {
        data[..changed.len()].copy_from_slice(&changed);
        return changed.len();
    }
    fuzzer_mutate(data, size, max_size)
});
