//! The default build has no place at which it can be made to die: neither the names nor the variable that chooses one.
//! That they are found where they are is shown by the program that has them (`ledger/crashes.rs`).

#![cfg(not(feature = "failpoints"))]
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "ledger/failpoints.rs"]
mod failpoints;

use std::path::Path;

#[test]
fn the_default_build_has_none() {
    let mut words = failpoints::names("src");
    assert!(!words.is_empty());
    words.push(failpoints::VARIABLE.to_owned());
    let program = Path::new(env!("CARGO_BIN_EXE_neuralops"));
    assert_eq!(failpoints::held(program, &words), [] as [String; 0]);
}
