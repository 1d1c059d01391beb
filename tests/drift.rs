//! Everything generated is committed, and equals what the code generates now. To mend a failure: `make generate`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use neuralops::cli::{crds, reference};

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
