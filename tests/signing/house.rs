//! Where trust is made: one folder knows sigstore, one type answers for signatures.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Files of `src/` that hold this word, tests left out.
fn holding(word: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let mut holding: Vec<String> = files
        .iter()
        .filter(|path| !path.ends_with("tests.rs"))
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            text.split("#[cfg(test)]").next().unwrap().contains(word)
        })
        .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
        .collect();
    holding.sort();
    holding
}

#[test]
fn sigstore_is_known_to_one_folder() {
    for word in ["sigstore_verify", "sigstore_types", "sigstore_trust_root"] {
        let files = holding(word);
        assert!(!files.is_empty(), "{word}");
        assert!(
            files
                .iter()
                .all(|path| path.starts_with("adapters/verify/")),
            "{files:?}"
        );
    }
}

#[test]
fn there_is_one_examiner_and_one_maker_of_what_is_verified() {
    // The second one is a reference to the first.
    assert_eq!(
        holding("Examiner for "),
        ["adapters/verify/policy.rs", "domain/trust/examiner.rs"]
    );
    assert_eq!(
        holding("Ok(Verified {"),
        [
            "domain/trust/verified.rs",
            "domain/trust/verified/sourced.rs"
        ]
    );
    assert_eq!(holding("-> Verified"), Vec::<String>::new());
    // One way to it in the operator, and one on the command line; the word stands where it is defined as well.
    assert_eq!(
        holding("verify_playbook("),
        ["cli/playbook/verify.rs", "controllers/verification.rs"]
    );
}
