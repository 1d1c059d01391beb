//! Any text as a Playbook: an object of the API server, a document in JSON, a file in YAML. Nothing panics, and canonical
//! bytes are the canonical form of what they read back to, which is the same document wherever the linter is content.
#![no_main]

use std::{path::Path, sync::LazyLock};

use kube::CustomResourceExt as _;
use libfuzzer_sys::fuzz_target;
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
use serde_json::Value;

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
