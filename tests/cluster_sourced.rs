//! Playbooks in artifacts, and images that have to be signed, with the real operator, a real registry and the real cosign:
//! what is signed there is fetched once, and what was verified needs no registry any more.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster_playbook::{condition, playbook, says};
use crate::support::{Author, Namespace, api, create, eventually, need, skip};

const SOON: Duration = Duration::from_secs(60);

/// The programs that tests/sigstore built, if they are there.
#[expect(
    clippy::disallowed_methods,
    reason = "the test bed speaks through the environment"
)]
fn program(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// A registry of its own, and a key pair of cosign.
struct Desk {
    registry: Child,
    address: String,
    cosign: PathBuf,
    folder: TempDir,
}

impl Desk {
    fn new(registry: &Path, cosign: PathBuf) -> Self {
        let mut registry = Command::new(registry)
            .args(["-referrers", "spec"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the registry starts");
        let output = registry.stdout.take().expect("piped");
        let mut address = String::new();
        let mut lines = std::io::BufReader::new(output);
        lines.read_line(&mut address).expect("its address");
        let desk = Self {
            registry,
            address: address.trim().to_owned(),
            cosign,
            folder: tempfile::tempdir().expect("a folder"),
        };
        desk.cosign(&["generate-key-pair"]);
        let nothing = ["signing-config", "trusted-root"];
        for what in nothing {
            desk.cosign(&[what, "create", "--out", &format!("{what}.json")]);
        }
        desk
    }

    fn run(&self, command: &mut Command) -> String {
        let output = command
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("COSIGN_PASSWORD", "")
            .output()
            .expect("it starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {told}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn cosign(&self, arguments: &[&str]) {
        self.run(Command::new(&self.cosign).args(arguments));
    }

    fn public(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("cosign.pub")).expect("a key")
    }

    /// Pushes a Playbook; the reference by its digest.
    fn push(&self, name: &str, playbook: &Value) -> String {
        std::fs::write(self.folder.path().join("pb.json"), playbook.to_string()).expect("written");
        let target = format!("{}/pb/{name}:1", self.address);
        let mut command = Command::new(env!("CARGO_BIN_EXE_neuralops"));
        let said = self.run(command.args(["playbook", "push", &target, "-f", "pb.json"]));
        let digest = said.lines().find_map(|line| line.strip_prefix("digest: "));
        format!("{}/pb/{name}@{}", self.address, digest.expect("a digest"))
    }

    fn sign(&self, reference: &str) {
        let line = "sign --yes --key cosign.key --signing-config signing-config.json --trusted-root trusted-root.json --allow-http-registry";
        let words: Vec<&str> = line.split(' ').chain([reference]).collect();
        self.cosign(&words);
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.registry.kill();
        let _ = self.registry.wait();
    }
}

/// A namespace where this author and this desk may sign Playbooks and images.
async fn trusting(namespace: &Namespace, author: &Author, desk: &Desk) {
    namespace.also_delete("TrustPolicy", namespace.name());
    let mut policy = author.policy(namespace.name(), namespace.name());
    policy["spec"]["match"]["kinds"] = json!(["Playbook", "Image"]);
    policy["spec"]["keys"] = json!([
        {"name": "author", "publicKey": author.public},
        {"name": "desk", "publicKey": desk.public()},
    ]);
    create(namespace.admin(), policy).await.expect("created");
}

fn naming(namespace: &Namespace, name: &str, reference: &str, revision: u64) -> Value {
    json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Playbook",
        "metadata": {"name": name, "namespace": namespace.name()},
        "spec": {
            "source": {"image": reference}, "revision": revision,
            "serviceAccountName": "runbook", "match": {"priority": 10},
        },
    })
}

async fn touch(namespace: &Namespace, name: &str, what: &str) {
    let patch = json!({"metadata": {"annotations": {"touched": what}}});
    api(namespace.admin(), "Playbook", namespace.name())
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .expect("patched");
}

macro_rules! desk {
    () => {
        match (program("NEURALOPS_REGISTRY"), program("NEURALOPS_COSIGN")) {
            (Some(registry), Some(cosign)) => Desk::new(&registry, cosign),
            _ => {
                skip!("no registry and no cosign: make on-cluster builds them");
                return;
            }
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_artifact_is_verified_by_its_digest_and_its_registry_is_needed_once() {
    let cluster = need!(Owned);
    let mut desk = desk!();
    let namespace = Namespace::new(cluster, "sourced").await;
    let (admin, author) = (namespace.admin(), Author::new());
    trusting(&namespace, &author, &desk).await;
    let reference = desk.push("p", &playbook("p", namespace.name()));
    create(admin, naming(&namespace, "p", &reference, 1))
        .await
        .expect("created");
    let ready = async |name: &str, status: &str, reason: &str| {
        says(admin, namespace.name(), name, "Ready", (status, reason)).await
    };
    ready("p", "False", "NoSignatureFound").await;
    desk.sign(&reference);
    touch(&namespace, "p", "signed").await;
    let object = ready("p", "True", "Verified").await;
    assert_eq!(
        object["status"]["signers"][0]["name"],
        json!("desk"),
        "{object}"
    );
    assert_eq!(object["status"]["revision"], json!(1));

    // Object and artifact say the same about what is shown.
    create(admin, naming(&namespace, "q", &reference, 1))
        .await
        .expect("created");
    let other = ready("q", "False", "SourceMismatch").await;
    let told = condition(&other, "SignatureVerified").expect("a condition");
    assert!(told.2.contains("metadata.name"), "{}", told.2);

    // The registry is gone: what was verified is verified again under another policy, what was not is waited for.
    desk.registry.kill().expect("ours");
    let spec = json!({"spec": {"threshold": 1}});
    api(admin, "TrustPolicy", "")
        .patch(
            namespace.name(),
            &PatchParams::default(),
            &Patch::Merge(spec),
        )
        .await
        .expect("patched");
    eventually("it is verified under the new policy", SOON, async || {
        let playbooks = api(admin, "Playbook", namespace.name());
        let object = playbooks
            .get("p")
            .await
            .map_err(|error| error.to_string())?;
        let status = &object.data["status"];
        let generation = &status["trustPolicies"][0]["generation"];
        if *generation == json!(2) {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await;
    ready("p", "True", "Verified").await;
    let (name, _) = reference.split_once('@').expect("a digest");
    let elsewhere = format!("{name}@sha256:{}", "0".repeat(64));
    create(admin, naming(&namespace, "r", &elsewhere, 1))
        .await
        .expect("created");
    ready("r", "Unknown", "RegistryUnavailable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_steps_are_signed_where_the_playbook_asks_for_it() {
    let cluster = need!(Owned);
    let desk = desk!();
    let namespace = Namespace::new(cluster, "images").await;
    let (admin, author) = (namespace.admin(), Author::new());
    trusting(&namespace, &author, &desk).await;
    // Anything with a manifest is an image to a signature.
    let image = desk.push("tools", &playbook("p", namespace.name()));
    let mut object = playbook("p", namespace.name());
    object["spec"]["imagePolicy"] = json!({"requireSigned": true});
    object["spec"]["steps"] = json!([
        {"name": "j", "opaque": "Accepted", "job": {"image": image, "command": ["true"]}},
    ]);
    create(admin, author.sign(object)).await.expect("created");
    let ready = async |status: &str, reason: &str| {
        says(admin, namespace.name(), "p", "Ready", (status, reason)).await
    };
    let refused = ready("False", "NoSignatureFound").await;
    let told = condition(&refused, "SignatureVerified").expect("a condition");
    assert!(told.2.contains("spec.steps[0].job.image: "), "{}", told.2);
    desk.sign(&image);
    touch(&namespace, "p", "signed").await;
    ready("True", "Verified").await;
}
