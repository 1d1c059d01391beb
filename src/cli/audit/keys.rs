//! Floor 3: the keys that a caller trusts, as words of the command line or lines of a file.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::AuditError;
use crate::domain::audit::note::VerifierKey;

/// A file of keys, a checkpoint or a proof is never larger.
const LARGEST: u64 = 64 * 1024;

/// The keys that the caller trusts.
#[derive(clap::Args, Debug)]
pub struct KeyArgs {
    /// A verifier key of the log, or @FILE with one a line; once for each key
    #[arg(long = "key", value_name = "VKEY|@FILE", required = true)]
    keys: Vec<String>,
}

impl KeyArgs {
    /// The keys, each once.
    pub fn load(&self) -> Result<Vec<VerifierKey>, AuditError> {
        let mut keys = Vec::new();
        for given in &self.keys {
            if let Some(path) = given.strip_prefix('@') {
                let text = read_text(Path::new(path))?;
                for (line, text) in (1..).zip(text.lines()) {
                    let text = text.trim();
                    if !text.is_empty() && !text.starts_with('#') {
                        add(&mut keys, text, || format!("line {line} of {path}"))?;
                    }
                }
            } else {
                add(&mut keys, given, || "--key".to_owned())?;
            }
        }
        if keys.is_empty() {
            return Err(AuditError::Usage(
                "the files that --key names hold no key".to_owned(),
            ));
        }
        Ok(keys)
    }
}

fn add(
    keys: &mut Vec<VerifierKey>,
    text: &str,
    what: impl Fn() -> String,
) -> Result<(), AuditError> {
    let key: VerifierKey = text.parse().map_err(|source| AuditError::Key {
        what: what(),
        source,
    })?;
    if !keys.contains(&key) {
        keys.push(key);
    }
    Ok(())
}

/// A small text file.
pub fn read_text(path: &Path) -> Result<String, AuditError> {
    let bytes = read_bytes(path, LARGEST)?;
    String::from_utf8(bytes).map_err(|error| AuditError::Read {
        path: path.to_owned(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, error.utf8_error()),
    })
}

/// A file that is not larger than this.
pub fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, AuditError> {
    let path = PathBuf::from(path);
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    match read {
        Err(source) => Err(AuditError::Read { path, source }),
        Ok(_) if bytes.len() as u64 > limit => Err(AuditError::TooLarge { path, limit }),
        Ok(_) => Ok(bytes),
    }
}
