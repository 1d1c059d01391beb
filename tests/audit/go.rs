//! The readers that are not ours: Go's checksum database and Tessera's fsck.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::run::Answer;

fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tlog/build");
        let output = Command::new(script).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        said.trim().into()
    })
}

pub fn tlog(args: &[&str]) -> Answer {
    let output = Command::new(program()).args(args).output().unwrap();
    Answer {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn the_readers_know_how_they_are_called() {
    let answer = tlog(&["sumdb"]);
    assert_eq!(answer.code, Some(2), "{}", answer.err);
}
