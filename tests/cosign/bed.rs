//! The test bed: everything is signed once, while the services run; then they are stopped, and only then any test looks
//! at what was signed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use neuralops::domain::document::Document;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    blobs::BLOBS,
    images,
    made::{bytes, document},
    registry::Found,
};

/// What was signed, all of it read back into memory.
pub struct Signed {
    /// By the name that BLOBS gives it.
    pub blobs: BTreeMap<&'static str, String>,
    pub images: Vec<Found>,
    /// Public keys, by the name of the pair.
    pub keys: BTreeMap<&'static str, String>,
    pub root: String,
    pub issuers: String,
}

/// Everything, signed by services that have ended.
pub fn signed() -> &'static Signed {
    static SIGNED: OnceLock<Option<Signed>> = OnceLock::new();
    // What failed once would fail again; it is said once.
    let signed = SIGNED.get_or_init(|| std::panic::catch_unwind(sign_everything).ok());
    signed
        .as_ref()
        .unwrap_or_else(|| panic!("not everything could be signed; another test says why"))
}

/// The document that is signed.
pub fn playbook() -> Document {
    document()
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sigstore")
        .join(name)
}

/// What a script of tests/sigstore prints.
fn bed(name: &str, args: &[&str]) -> String {
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

    /// Runs `cosign LINE`, whose words are split at spaces; one NAME=VALUE may stand before them. Fails with what it said.
    pub fn cosign(&self, line: &str) -> Result<String, String> {
        let words = line.split_whitespace().map(|word| {
            let long = self.words.iter().find(|(short, _)| short == word);
            long.map_or_else(|| word.to_owned(), |(_, long)| long.clone())
        });
        let mut words: Vec<String> = words.collect();
        // What is set before a command is a variable, as in a shell.
        if words[0].contains('=') {
            words.insert(1, self.cosign.clone());
            self.run("env", words)
        } else {
            self.run(&self.cosign, words)
        }
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

/// The services and registries of this process; they end when it does, whatever happens.
struct Services {
    folder: TempDir,
    /// What `up` and `registries` said.
    env: BTreeMap<String, String>,
}

impl Services {
    fn start() -> Self {
        let mut services = Self {
            folder: tempfile::tempdir().unwrap(),
            env: BTreeMap::new(),
        };
        let until = std::process::id().to_string();
        for part in ["up", "registries"] {
            let said = bed(part, &["--until", &until, &services.at(part)]);
            for line in said.lines() {
                let (name, value) = line
                    .strip_prefix("export ")
                    .unwrap()
                    .split_once('=')
                    .unwrap();
                services.env.insert(name.to_owned(), value.to_owned());
            }
        }
        services
    }

    fn at(&self, part: &str) -> String {
        self.folder.path().join(part).display().to_string()
    }

    fn token(&self, issuer: &str, claims: &[&str]) -> String {
        let place = self.at("up");
        let args = [&[place.as_str(), issuer], claims].concat();
        bed("token", &args)
    }

    /// Ends one of the two.
    fn stop(&self, part: &str) {
        bed("down", &[&self.at(part)]);
        assert!(!Path::new(&self.at(part)).exists());
        for (name, value) in &self.env {
            // SIGNING_BED_REGISTRY_* are the registries, the rest are the services.
            if name.contains("_REGISTRY_") == (part == "registries")
                && let Some(address) = address(value)
            {
                let refused = std::net::TcpStream::connect(&address);
                assert!(refused.is_err(), "{name} still answers at {address}");
            }
        }
    }
}

impl Drop for Services {
    /// Before the folder, which says what runs, is removed.
    fn drop(&mut self) {
        for part in ["up", "registries"] {
            if Path::new(&self.at(part)).exists() {
                bed("down", &[&self.at(part)]);
            }
        }
    }
}

/// Host and port of an address or URL.
fn address(value: &str) -> Option<String> {
    let rest = value.strip_prefix("http://").unwrap_or(value);
    let address = rest.split('/').next()?;
    address.starts_with("127.").then(|| address.to_owned())
}

/// The three identities, as cosign is given them.
fn introduce(desk: &mut Desk, services: &Services) {
    let mail = services.token("mail", &["email=alice@shop.example"]);
    desk.say("MAIL_TOKEN", mail);
    let workflow = services.token(
        "workflow",
        &[
            "sub=repo:shop/playbooks:ref:refs/heads/main",
            "job_workflow_ref=shop/playbooks/.github/workflows/release.yaml@refs/heads/main",
            "repository=shop/playbooks",
            "ref=refs/heads/main",
            "event_name=push",
            "workflow=release",
            "sha=8f3c1d0a5b7e49f2a6d4c8b1e0f793a2d5c6b4e8",
        ],
    );
    desk.say("WORKFLOW_TOKEN", workflow);
    let account = services.token(
        "account",
        &[
            "sub=system:serviceaccount:ci:signer",
            r#"kubernetes.io={"namespace":"ci","serviceaccount":{"name":"signer","uid":"0b1f6c8e-5d5c-4c52-9b0f-4f0f3a8d7e21"}}"#,
        ],
    );
    desk.say("ACCOUNT_TOKEN", account);
}

/// Key pairs by cosign, and of other kinds by openssl, imported.
fn make_keys(desk: &Desk) -> BTreeMap<&'static str, String> {
    for name in ["key", "second"] {
        desk.good(&format!("generate-key-pair --output-key-prefix {name}"));
    }
    for (name, kind) in [
        ("p384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384"),
        ("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
    ] {
        let line = format!("genpkey {kind} -out {name}.pem");
        let words = line.split_whitespace().map(ToOwned::to_owned);
        desk.run("openssl", words).unwrap();
        desk.good(&format!(
            "import-key-pair --key {name}.pem --output-key-prefix {name}"
        ));
    }
    ["key", "second", "p384", "rsa"]
        .map(|name| (name, desk.read(&format!("{name}.pub"))))
        .into()
}

fn sign_everything() -> Signed {
    let mut desk = Desk::new();
    let services = Services::start();
    for file in [
        "empty_config",
        "empty_root",
        "signing_config",
        "trusted_root",
    ] {
        let file = format!("{file}.json");
        fs::copy(
            services.folder.path().join("up").join(&file),
            desk.path(&file),
        )
        .unwrap();
    }
    desk.write("playbook.jcs", bytes(&playbook()));
    introduce(&mut desk, &services);
    let keys = make_keys(&desk);
    let mut blobs = BTreeMap::new();
    for blob in BLOBS {
        desk.good(&blob.sign.replace("OUT", "out"));
        blobs.insert(blob.name, desk.read("out"));
    }
    images::push(&mut desk, &services.env);
    images::sign(&desk);
    let root = desk.read("trusted_root.json");
    // From here on there is no authority, no log and no clock to ask.
    services.stop("up");
    images::verify_with_cosign(&desk);
    let images = images::read_back(&desk);
    services.stop("registries");
    let issuers = services.env["SIGNING_BED_ISSUERS"].clone();
    Signed {
        blobs,
        images,
        keys,
        root,
        issuers,
    }
}

fn list<'a>(spec: &'a mut Value, name: &str) -> impl Iterator<Item = &'a mut Value> {
    let entries = spec.get_mut(name).and_then(Value::as_array_mut);
    entries.into_iter().flatten()
}

impl Signed {
    /// The policy of a test: the key of this name, the issuer of this name, the root of these services.
    pub fn spec(&self, text: &str) -> Value {
        let mut spec: Value = serde_json::from_str(text).unwrap();
        for key in list(&mut spec, "keys") {
            let name = key["name"].as_str().unwrap();
            let public = self.keys[name].clone();
            key["publicKey"] = public.into();
        }
        for identity in list(&mut spec, "keyless") {
            let issuer = identity["issuer"].as_str().unwrap();
            identity["issuer"] = format!("{}/{issuer}", self.issuers).into();
        }
        if spec.get("trustedRoot").is_some() {
            spec["trustedRoot"] =
                serde_json::json!({"configMapRef": {"name": "root", "key": "json"}});
        }
        spec
    }
}
