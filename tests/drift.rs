//! Everything generated is committed, and equals what the code generates now. To mend a failure: `make generate`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path};

use neuralops::cli::{crds, reference};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn same(path: &str, generated: &str) {
    let committed = fs::read_to_string(root().join(path)).unwrap_or_default();
    assert!(
        committed == generated,
        "{path} differs from what the code generates; run `make generate` and look at the difference"
    );
}

fn files(dir: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root().join(dir))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn crds_are_what_the_types_say() {
    let generated = crds::render().unwrap();
    for (name, yaml) in &generated {
        same(&format!("crds/{name}"), yaml);
    }
    let mut names: Vec<String> = generated.into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(
        files("crds"),
        names,
        "crds/ holds other files than are generated"
    );
}

#[test]
fn the_reference_is_what_the_code_says() {
    let generated = reference::render();
    for (name, page) in &generated {
        same(&format!("docs/reference/{name}"), page);
    }
    assert_eq!(
        files("docs/reference").len(),
        generated.len(),
        "docs/reference/ holds pages that nothing generates"
    );
}

/// What the role of this name grants: group, resource, name of the object or nothing, verb.
fn granted(path: &str, role: &str) -> BTreeSet<[String; 4]> {
    let text = fs::read_to_string(root().join(path)).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let text = |object: &Value, pointer: &str| {
        let text = object.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let found = objects.iter().find(|object| {
        text(object, "/kind").ends_with("Role") && text(object, "/metadata/name") == role
    });
    let words = |rule: &Value, field: &str| -> Vec<String> {
        let words = rule.get(field).and_then(Value::as_array);
        let words = words.into_iter().flatten();
        words
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    };
    let mut rights = BTreeSet::new();
    let rules = found.and_then(|role| role.get("rules")?.as_array());
    for rule in rules.unwrap() {
        let mut names = words(rule, "resourceNames");
        if names.is_empty() {
            names.push(String::new());
        }
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                for name in &names {
                    for verb in words(rule, "verbs") {
                        rights.insert([group.clone(), resource.clone(), name.clone(), verb]);
                    }
                }
            }
        }
    }
    rights
}

/// The rights in some namespaces and those everywhere are the same rights, divided.
#[test]
fn the_rights_in_namespaces_are_the_rights_everywhere() {
    let everywhere = granted("config/rbac/operator.yaml", "neuralops-controller");
    let mut divided = granted(
        "config/rbac/namespaced.yaml",
        "neuralops-controller-cluster",
    );
    for right in granted("config/rbac/namespaced.yaml", "neuralops-controller-runs") {
        assert!(divided.insert(right.clone()), "{right:?} is in both");
    }
    assert_eq!(everywhere, divided);
}

/// What a lock holds: each package in each of its versions.
fn locked(path: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join(path)).unwrap();
    let packages = text.split("[[package]]\n").skip(1);
    packages
        .map(|package| {
            let field = |name: &str| {
                let mut lines = package.lines();
                let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
                value.unwrap().trim_matches('"').to_owned()
            };
            (field("name"), field("version"))
        })
        .collect()
}

/// What is fuzzed is what is shipped.
#[test]
fn the_lock_of_the_fuzzer_holds_our_versions() {
    let ours = locked("Cargo.lock");
    let others: Vec<_> = locked("tests/fuzz/Cargo.lock")
        .into_iter()
        .filter(|package| !ours.contains(package))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        others,
        ["arbitrary", "libfuzzer-sys", "neuralops-fuzz"],
        "to mend: cp Cargo.lock tests/fuzz/ and cargo metadata --manifest-path tests/fuzz/Cargo.toml"
    );
}
