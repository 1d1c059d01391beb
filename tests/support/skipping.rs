//! Skipping: a test that lacks something says so, where tests/report counts it.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Appends `test<TAB>reason` to the file that NEURALOPS_SKIPS names, so that whoever ran the tests can hold the skips
/// against a list; `here` is the type name of a function inside the test.
#[expect(
    clippy::disallowed_methods,
    reason = "the test bed speaks through the environment"
)]
pub fn skipped(here: &str, reason: &str) {
    let test = here.trim_end_matches("::here").replace("::{{closure}}", "");
    let test = test
        .split_once("::")
        .map_or(test.as_str(), |(_, path)| path);
    eprintln!("skipped {test}: {reason}");
    if let Some(path) = std::env::var_os("NEURALOPS_SKIPS") {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("NEURALOPS_SKIPS can be written");
        file.write_all(format!("{test}\t{reason}\n").as_bytes())
            .expect("NEURALOPS_SKIPS can be written");
    }
}
