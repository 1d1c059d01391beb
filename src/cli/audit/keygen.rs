//! Floor 3: `neuralops audit keygen`: a note key pair. The private text goes to a file that only its owner reads, or to
//! standard output if that is asked for in so many words; the verifier key is for everybody.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::AuditError;
use crate::{
    adapters::random,
    domain::audit::note::{SigningKey, VerifierKey},
};

/// What `--help` ends with.
pub const HELP: &str = "\
The operator makes its own keys. This is for logs of your own, for tests, and for keys made on another machine.

Example
  neuralops audit keygen --origin example.com/log --out log.key > log.vkey";

/// Make a key.
#[derive(clap::Args, Debug)]
pub struct KeygenArgs {
    /// The origin of the log, which is the key's name
    #[arg(long, value_name = "NAME")]
    origin: String,
    /// Where the private text goes: a file that is not there yet, or - for standard output
    #[arg(long, value_name = "FILE|-")]
    out: PathBuf,
}

/// Runs the command; returns what is to be printed.
pub fn run(args: &KeygenArgs) -> Result<String, AuditError> {
    let seed = random::bytes::<32>().map_err(AuditError::Random)?;
    let key = SigningKey::from_seed(&args.origin, &seed).map_err(|source| AuditError::Keygen {
        origin: args.origin.clone(),
        source,
    })?;
    let verifier: VerifierKey = key.verifier();
    if args.out == Path::new("-") {
        return Ok(format!("{}\n{verifier}\n", key.to_private_text()));
    }
    write(&args.out, &key).map_err(|source| AuditError::Write {
        path: args.out.clone(),
        source,
    })?;
    Ok(format!("{verifier}\n"))
}

fn write(path: &Path, key: &SigningKey) -> std::io::Result<()> {
    // Never over another key, and never readable by others, not even for a moment.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{}", key.to_private_text())?;
    file.sync_all()
}
