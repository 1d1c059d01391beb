//! `neuralops playbook push`, `pull` and `verify` against a registry, as people and scripts call them.

use std::{fs, path::Path, process::Command};

use neuralops::domain::digest::Digest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    made::{Key, p256},
    server::{Gate, REPOSITORY, Server, USER, WORD},
    shelf::bundle,
};

const SAMPLE: &str = "config/samples/playbook-restart-after-bad-rollout.yaml";

/// A folder with a policy, and the commands that are called in it.
struct Desk {
    folder: TempDir,
    key: Key,
}

impl Desk {
    fn new() -> Self {
        let desk = Self {
            folder: tempfile::tempdir().unwrap(),
            key: p256(),
        };
        desk.trust("policy.json", &desk.key, &["*"]);
        desk
    }

    fn trust(&self, file: &str, key: &Key, registries: &[&str]) {
        let policy = json!({
            "apiVersion": "neuralops.io/v1alpha1",
            "kind": "TrustPolicy",
            "metadata": {"name": "sre"},
            "spec": {
                "match": {"registries": registries},
                "keys": [{"name": "sre", "publicKey": key.public}],
            },
        });
        fs::write(self.at(file), policy.to_string()).unwrap();
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// What is printed, or else the error.
    fn call(&self, args: &[&str]) -> Result<String, String> {
        let output = Command::new(env!("CARGO_BIN_EXE_neuralops"))
            .arg("playbook")
            .args(args)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_clear()
            .env("HOME", self.folder.path())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if output.status.success() {
            return Ok(text(output.stdout));
        }
        // 2 says that the command was called in a wrong way.
        assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
        assert!(
            output.stdout.is_empty(),
            "nothing is printed that is not trusted"
        );
        Err(text(output.stderr))
    }

    /// Signs a digest, as cosign would.
    fn sign(&self, server: &Server, digest: &Digest) {
        let bundle = bundle(&self.key, digest);
        server.inside().shelf.refer(digest, &bundle);
    }
}

fn digest_in(said: &str) -> Digest {
    let line = said.lines().find_map(|line| line.strip_prefix("digest: "));
    Digest::try_from(line.unwrap().to_owned()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_is_pushed_signed_and_pulled() {
    let (server, desk) = (Server::start().await, Desk::new());
    let reference = format!("{}:1.4.0", server.name());
    let said = desk.call(&["push", &reference, "-f", SAMPLE]).unwrap();
    let digest = digest_in(&said);
    let image = server.image(&digest).to_string();
    let command = format!(
        "cosign sign --key cosign.key --use-signing-config=false --tlog-upload=false --allow-http-registry {image}"
    );
    assert!(said.contains(&command), "{said}");
    let again = desk.call(&["push", &reference, "-f", SAMPLE]).unwrap();
    assert_eq!(said, again, "the same document is the same artifact");

    let policy = desk.at("policy.json");
    let pull = ["pull", &image, "--policy", &policy];
    let error = desk.call(&pull).unwrap_err();
    assert!(error.contains("NoSignatureFound"), "{error}");
    desk.sign(&server, &digest);
    let pulled = desk.call(&pull).unwrap();
    let pulled: Value = serde_json::from_str(&pulled).unwrap();
    fs::write(desk.at("pulled.json"), pulled.to_string()).unwrap();
    let canonical = |file: &str| desk.call(&["canonicalize", "-f", file]).unwrap();
    assert_eq!(canonical(SAMPLE), canonical(&desk.at("pulled.json")));

    // A tag is told for what it is, and nothing is printed.
    let error = desk
        .call(&["pull", &reference, "--policy", &policy])
        .unwrap_err();
    assert!(
        error.contains("a tag can change") && error.contains(&image),
        "{error}"
    );
    let error = desk.call(&["pull", &image]).unwrap_err();
    assert!(error.contains("--policy"), "{error}");
    desk.trust("strangers.json", &p256(), &["*"]);
    let strangers = desk.at("strangers.json");
    let error = desk
        .call(&["pull", &image, "--policy", &strangers])
        .unwrap_err();
    assert!(error.contains("UntrustedKey"), "{error}");
    desk.trust("elsewhere.json", &desk.key, &["registry.example/*"]);
    let elsewhere = desk.at("elsewhere.json");
    let error = desk
        .call(&["pull", &image, "--policy", &elsewhere])
        .unwrap_err();
    assert!(error.contains("NoPolicy"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_with_a_source_is_verified_with_its_artifact() {
    let (server, desk) = (Server::start().await, Desk::new());
    let reference = format!("{}:1.4.0", server.name());
    let said = desk.call(&["push", &reference, "-f", SAMPLE]).unwrap();
    let digest = digest_in(&said);
    desk.sign(&server, &digest);
    let inside = desk.call(&["canonicalize", "-f", SAMPLE]).unwrap();
    let mut object: Value = serde_json::from_str(&inside).unwrap();
    let image = server.image(&digest).to_string();
    let (revision, account) = (
        object["spec"]["revision"].clone(),
        object["spec"]["serviceAccountName"].clone(),
    );
    object["spec"] = json!({
        "source": {"image": image},
        "revision": revision,
        "serviceAccountName": account,
    });
    let policy = desk.at("policy.json");
    let verify = |object: &Value| {
        fs::write(desk.at("object.json"), object.to_string()).unwrap();
        desk.call(&["verify", "-f", &desk.at("object.json"), "--policy", &policy])
    };
    let said = verify(&object).unwrap();
    assert!(said.contains(&format!("artifact: {digest}")), "{said}");
    let inline = desk.call(&["digest", "-f", SAMPLE]).unwrap();
    assert!(said.contains(inline.trim()), "{said}");
    let with_bundle = ["verify", "-f", &desk.at("object.json"), "--policy", &policy];
    let with_bundle = [&with_bundle[..], &["--bundle", &policy]].concat();
    let error = desk.call(&with_bundle).unwrap_err();
    assert!(error.contains("leave --bundle out"), "{error}");
    object["spec"]["serviceAccountName"] = json!("admin");
    let error = verify(&object).unwrap_err();
    assert!(error.contains("SourceMismatch"), "{error}");
    let error = desk.call(&["push", &reference, "-f", &desk.at("object.json")]);
    assert!(error.unwrap_err().contains("a source itself"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_verified_by_its_digest() {
    let (server, desk) = (Server::start().await, Desk::new());
    let digest = server
        .inside()
        .shelf
        .artifact("application/vnd.oci.image.layer.v1.tar+gzip", b"a step");
    let image = server.image(&digest).to_string();
    let policy = desk.at("policy.json");
    let verify = [
        "verify", "--image", &image, "-n", "shop", "--policy", &policy,
    ];
    let error = desk.call(&verify).unwrap_err();
    assert!(error.contains("NoSignatureFound"), "{error}");
    desk.sign(&server, &digest);
    let said = desk.call(&verify).unwrap();
    assert!(said.contains(&format!("verified: {image}\n")), "{said}");
    assert!(said.contains("key \"sre\""), "{said}");
    let error = desk.call(&verify[..3]).unwrap_err();
    assert!(error.contains("--policy"), "{error}");
    let nowhere = ["verify", "--image", &image, "--policy", &policy];
    let error = desk.call(&nowhere).unwrap_err();
    assert!(error.contains("-n"), "{error}");
    let absent = server.image(&Digest::of(b"absent")).to_string();
    let error = desk.call(&[
        "verify", "--image", &absent, "-n", "shop", "--policy", &policy,
    ]);
    assert!(error.unwrap_err().contains("ArtifactNotFound"));
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_come_from_a_docker_config() {
    let (server, desk) = (Server::start().await, Desk::new());
    server.inside().gate = Gate::Token;
    let reference = format!("{}:1.4.0", server.name());
    let push = ["push", &reference, "-f", SAMPLE];
    let error = desk.call(&push).unwrap_err();
    assert!(error.contains("RegistryDenied"), "{error}");
    let config = json!({"auths": {&server.address: {"username": USER, "password": WORD}}});
    let write = |path: &Path, text: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let usual = desk.folder.path().join(".docker/config.json");
    write(&usual, &config.to_string());
    desk.call(&push).unwrap();
    assert!(server.asked(&format!("/v2/{REPOSITORY}/manifests/1.4.0")) > 0);
    write(&usual, "{");
    let error = desk.call(&push).unwrap_err();
    assert!(error.contains("config.json"), "{error}");
    let given = desk.folder.path().join("robot.json");
    write(&given, &config.to_string());
    let given = given.display().to_string();
    let with = [&push[..], &["--registry-config", &given]].concat();
    desk.call(&with).unwrap();
    write(Path::new(&given), r#"{"auths": {"a": "open-sesame"}}"#);
    let error = desk.call(&with).unwrap_err();
    assert!(!error.contains(WORD), "{error}");
    let missing = [&push[..], &["--registry-config", "nowhere.json"]].concat();
    assert!(desk.call(&missing).unwrap_err().contains("nowhere.json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_is_not_pushed() {
    let (server, desk) = (Server::start().await, Desk::new());
    let bad = fs::read_to_string(SAMPLE)
        .unwrap()
        .replace("revision:", "revisions:");
    fs::write(desk.at("bad.yaml"), bad).unwrap();
    let reference = format!("{}:1.4.0", server.name());
    let error = desk
        .call(&["push", &reference, "-f", &desk.at("bad.yaml")])
        .unwrap_err();
    assert!(error.contains("revision"), "{error}");
    assert!(server.inside().log.is_empty());
    let error = desk.call(&["push", "registry.example/a", "-f", SAMPLE]);
    let Err(error) = error else { panic!("pushed") };
    assert!(error.contains("has no tag"), "{error}");
}

#[test]
fn every_command_has_help_with_an_example() {
    let desk = Desk::new();
    for command in ["push", "pull", "verify"] {
        let help = desk.call(&[command, "--help"]).unwrap();
        assert!(help.contains("Examples\n"), "{help}");
        assert!(help.contains("--registry-config"), "{help}");
    }
}
