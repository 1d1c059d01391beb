//! Floor 3: `neuralops playbook sign`: with a local key, or by the cosign program. Both end in the same bundle, and a
//! bundle that is not about these bytes is never handed out.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    PlaybookFileError, attach,
    file::{SignedArgs, canonical, text},
};
use crate::adapters::{
    random,
    verify::{self, SigningKey},
};

/// What `--help` ends with.
pub const HELP: &str = "\
A local key is an unencrypted ECDSA P-256 key as PEM (PKCS#8 or SEC 1); nothing leaves this machine. With --cosign the
cosign program signs: with --key by that key, offline and without a log; without --key as your identity, which makes
digest, signature and mail address public in the log that cosign is set up for.

Examples
  neuralops playbook sign -f pb.yaml --key sre.pem > pb.sigstore.json
  neuralops playbook sign -f pb.yaml --key sre.pem --attach | kubectl apply -f -
  neuralops playbook sign -f pb.yaml --cosign --key cosign.key --attach > signed.json
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out sre.pem && openssl pkey -in sre.pem -pubout -out sre.pub";

/// Sign a Playbook.
#[derive(clap::Args, Debug)]
#[group(skip)]
pub struct SignArgs {
    #[command(flatten)]
    signed: SignedArgs,
    /// The private key
    #[arg(long, value_name = "FILE", required_unless_present = "cosign")]
    key: Option<PathBuf>,
    /// Let cosign sign; optionally where the program lies
    #[arg(long, value_name = "PROGRAM", num_args = 0..=1, require_equals = true, default_missing_value = "cosign")]
    cosign: Option<PathBuf>,
    /// Print the Playbook with the bundle attached instead of the bundle
    #[arg(long)]
    attach: bool,
}

/// Runs the command; returns what is to be printed.
pub fn run(args: &SignArgs) -> Result<String, PlaybookFileError> {
    let (mut file, document, scope) = args.signed.read()?;
    let bytes = canonical(&args.signed.file, &document, scope)?;
    let bundle = match (&args.cosign, &args.key) {
        (Some(program), key) => by_cosign(program, key.as_deref(), &bytes)?,
        (None, Some(key)) => by_key(key, &bytes)?,
        (None, None) => {
            return Err(PlaybookFileError::Cosign {
                program: "nothing".into(),
                message: "give --key, --cosign, or both".into(),
            });
        }
    };
    if args.attach {
        return attach::attach(&args.signed.file, &mut file, &bundle);
    }
    Ok(bundle + "\n")
}

fn by_key(path: &Path, bytes: &[u8]) -> Result<String, PlaybookFileError> {
    let failed = |source| PlaybookFileError::Sign {
        path: path.to_owned(),
        source,
    };
    let key = SigningKey::read(&text(path)?).map_err(failed)?;
    key.sign(bytes).map_err(failed)
}

fn by_cosign(
    program: &Path,
    key: Option<&Path>,
    bytes: &[u8],
) -> Result<String, PlaybookFileError> {
    let failed = |message: String| PlaybookFileError::Cosign {
        program: program.display().to_string(),
        message,
    };
    let nonce = random::bytes::<8>().map_err(|error| failed(error.to_string()))?;
    let folder =
        std::env::temp_dir().join(format!("neuralops-sign-{:016x}", u64::from_be_bytes(nonce)));
    let written = |path: &Path| {
        let path = path.to_owned();
        move |source| PlaybookFileError::Write { path, source }
    };
    // Nobody else may put other bytes there between writing and signing.
    DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .map_err(written(&folder))?;
    let (document, bundle) = (folder.join("document"), folder.join("bundle"));
    let signed = std::fs::write(&document, bytes)
        .map_err(written(&document))
        .and_then(|()| call(program, key, &document, &bundle))
        .and_then(|()| text(&bundle));
    // What stays behind is no secret; that cosign failed is the news.
    let _ = std::fs::remove_dir_all(&folder);
    let bundle = signed?.trim().to_owned();
    verify::is_about(&bundle, bytes)
        .map_err(|attempt| failed(format!("{}: {}", attempt.reason, attempt.message)))?;
    Ok(bundle)
}

fn call(
    program: &Path,
    key: Option<&Path>,
    document: &Path,
    bundle: &Path,
) -> Result<(), PlaybookFileError> {
    let mut command = Command::new(program);
    command.arg("sign-blob").arg("--yes");
    if let Some(key) = key {
        command
            .arg("--key")
            .arg(key)
            .args(["--use-signing-config=false", "--tlog-upload=false"]);
    }
    // Ours is for the answer alone; cosign asks for passwords on the terminal.
    let status = command
        .arg("--bundle")
        .arg(bundle)
        .arg(document)
        .stdout(Stdio::null())
        .status();
    let failed = |message: String| PlaybookFileError::Cosign {
        program: program.display().to_string(),
        message,
    };
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!(
            "it ended with {status}; its own words stand above"
        ))),
        Err(error) => Err(failed(format!(
            "{error}; is cosign 3 installed? --cosign=PROGRAM says where"
        ))),
    }
}
