//! The command as a user runs it.

use std::{path::Path, process::Command};

use neuralops::domain::audit::note::VerifierKey;

#[derive(Debug)]
pub struct Answer {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

pub fn audit(args: &[&str]) -> Answer {
    audit_with(&[], args)
}

/// With these variables and no others.
pub fn audit_with(variables: &[(&str, &str)], args: &[&str]) -> Answer {
    let output = Command::new(env!("CARGO_BIN_EXE_neuralops"))
        .arg("audit")
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    Answer {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn verify(source: &str, key: &VerifierKey) -> Answer {
    audit(&["verify", source, "--key", &key.to_string()])
}

impl Answer {
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// The log is not what it claims to be, and this is why.
    #[track_caller]
    pub fn refuted(self, says: &str) {
        self.failed(3, says);
    }

    #[track_caller]
    pub fn failed(self, code: i32, says: &str) {
        assert!(
            self.err.contains(says),
            "{:?} says {}{}",
            self.code,
            self.err,
            self.out
        );
        assert_eq!(self.code, Some(code), "{}", self.err);
        assert!(self.out.is_empty(), "{}", self.out);
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
