//! A folder in which cosign is called, with nothing of the machine around it, and the scripts of tests/sigstore.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sigstore")
        .join(name)
}

/// What a script of tests/sigstore prints.
pub fn bed(name: &str, args: &[&str]) -> String {
    let output = Command::new(script(name)).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {args:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Where a program lies that tests/sigstore/build made.
pub fn program(name: &str) -> String {
    bed("build", &[name]).trim().to_owned()
}

/// A folder in which cosign is called, with nothing of the machine around it.
pub struct Desk {
    folder: TempDir,
    cosign: String,
    /// What stands for a longer word in a command.
    words: Vec<(String, String)>,
}

impl Desk {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            cosign: program("cosign"),
            words: Vec::new(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn say(&mut self, word: &str, meaning: impl Into<String>) {
        self.words.push((word.to_owned(), meaning.into()));
    }

    /// Runs `cosign LINE`, whose words are split at spaces; `cosign2 LINE` is for the older one. What stands before as
    /// NAME=VALUE is a variable, as in a shell. Fails with what it said.
    pub fn cosign(&self, line: &str) -> Result<String, String> {
        let mut words = self.words(line);
        let at = words.iter().position(|word| !word.contains('=')).unwrap();
        if words[at] == "cosign2" {
            words[at] = program("cosign2");
        } else {
            words.insert(at, self.cosign.clone());
        }
        self.run("env", words)
    }

    /// Runs `neuralops LINE`.
    pub fn neuralops(&self, line: &str) -> Result<String, String> {
        self.run(env!("CARGO_BIN_EXE_neuralops"), self.words(line))
    }

    /// The words of a line, each with its meaning.
    fn words(&self, line: &str) -> Vec<String> {
        let words = line.split_whitespace().map(|word| {
            let long = self.words.iter().find(|(short, _)| short == word);
            long.map_or_else(|| word.to_owned(), |(_, long)| long.clone())
        });
        words.collect()
    }

    pub fn run(
        &self,
        program: &str,
        words: impl IntoIterator<Item = String>,
    ) -> Result<String, String> {
        let output = Command::new(program)
            .args(words)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("COSIGN_PASSWORD", "test")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(said)
        }
    }

    #[track_caller]
    pub fn good(&self, line: &str) -> String {
        match self.cosign(line) {
            Ok(answer) => answer,
            Err(said) => panic!("cosign {line}: {said}"),
        }
    }
}
