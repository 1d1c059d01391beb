//! The named places at which the writer can be made to die, read from its source, so that none is forgotten.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// The variable that chooses one.
pub const VARIABLE: &str = "NEURALOPS_FAILPOINT";

/// Every one of this folder or file, by file and in the order in which they stand there.
pub fn names(place: &str) -> Vec<String> {
    let mut names = Vec::new();
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
    collect(&place, &mut names);
    names
}

fn collect(place: &Path, names: &mut Vec<String>) {
    if !place.is_dir() {
        if place.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(place).expect("a source");
            let found = text.split("failpoint!(\"").skip(1);
            names.extend(found.map(|rest| {
                let (name, _) = rest.split_once('"').expect("the end of a name");
                name.to_owned()
            }));
        }
        return;
    }
    let mut entries: Vec<_> = fs::read_dir(place)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        collect(&path, names);
    }
}

/// Those of these words that this program holds. By grep: a program without optimization takes a minute for it.
pub fn held(program: &Path, words: &[String]) -> Vec<String> {
    let mut grep = Command::new("grep");
    grep.args(["--text", "--only-matching", "--fixed-strings"]);
    for word in words {
        grep.arg("-e").arg(word);
    }
    let output = grep
        .env("LC_ALL", "C")
        .arg(program)
        .output()
        .expect("grep runs");
    assert_eq!(output.stderr, b"", "grep complains");
    let found: BTreeSet<_> = output.stdout.split(|byte| *byte == b'\n').collect();
    let held = |word: &&String| found.contains(word.as_bytes());
    words.iter().filter(held).cloned().collect()
}
