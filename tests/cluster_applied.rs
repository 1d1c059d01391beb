//! One signed Playbook, brought in every way in which people bring manifests: what kubectl, server-side apply, Helm and a
//! GitOps tool write, the author signed. What a webhook adds on the way, nobody signed, and that is said.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kube::api::{DeleteParams, Patch, PatchParams};
use neuralops::domain::document::Document;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster_playbook::{condition, says};
use crate::support::{Author, Cluster, Namespace, api, create, eventually, need, skip};

const SOON: Duration = Duration::from_secs(30);

/// The sample as its author wrote it: comments, block texts and all.
const SAMPLE: &str = include_str!("../config/samples/playbook-restart-after-bad-rollout.yaml");
const NAME: &str = "restart-after-bad-rollout";

struct Scene {
    namespace: Namespace,
    /// The signed manifest, as `neuralops playbook sign --attach` prints it.
    signed: Value,
    folder: TempDir,
}

impl Scene {
    async fn new(cluster: &'static Cluster, purpose: &str) -> Self {
        let namespace = Namespace::new(cluster, purpose).await;
        let author = Author::new();
        namespace.also_delete("TrustPolicy", namespace.name());
        create(
            namespace.admin(),
            author.policy(namespace.name(), namespace.name()),
        )
        .await
        .expect("created");
        let mut sample: Value = serde_saphyr::from_str(SAMPLE).expect("YAML");
        sample["metadata"]["namespace"] = json!(namespace.name());
        let signed = author.sign(sample);
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            namespace,
            signed,
            folder,
        }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    }

    async fn says(&self, status: &str, reason: &str) -> Value {
        let (admin, namespace) = (self.namespace.admin(), self.namespace.name());
        says(admin, namespace, NAME, "Ready", (status, reason)).await
    }

    async fn gone(&self) {
        let playbooks = api(self.namespace.admin(), "Playbook", self.namespace.name());
        playbooks
            .delete(NAME, &DeleteParams::default())
            .await
            .expect("deleted");
        eventually("the Playbook is gone", SOON, async || {
            match playbooks.get_opt(NAME).await {
                Ok(None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
}

/// Runs a program to its end; what it printed.
fn run(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn kubectl_and_server_side_apply_keep_the_signature() {
    let cluster = need!();
    let scene = Scene::new(cluster, "applied").await;
    let manifest = scene.signed.to_string();
    run(cluster.kubectl().args(["apply", "-f", "-"]), &manifest);
    scene.says("True", "Verified").await;
    // The same again, as a tool does every few minutes, and by another manager on top of it.
    run(cluster.kubectl().args(["apply", "-f", "-"]), &manifest);
    let server_side = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    run(cluster.kubectl().args(server_side), &manifest);
    scene.says("True", "Verified").await;
    scene.gone().await;

    run(cluster.kubectl().args(server_side), &manifest);
    scene.says("True", "Verified").await;
    run(cluster.kubectl().args(["replace", "-f", "-"]), &manifest);
    scene.says("True", "Verified").await;
    scene.gone().await;
    run(cluster.kubectl().args(["create", "-f", "-"]), &manifest);
    scene.says("True", "Verified").await;
}

/// Argo CD and Flux add labels and annotations of their own and apply again and again, mended of what drifted.
#[tokio::test]
async fn a_gitops_tool_keeps_the_signature_and_puts_it_back() {
    let cluster = need!();
    let scene = Scene::new(cluster, "gitops").await;
    let playbooks = api(scene.namespace.admin(), "Playbook", scene.namespace.name());
    let mut tracked = scene.signed.clone();
    tracked["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] = json!("playbooks");
    tracked["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = json!("playbooks:x");
    let manager = PatchParams::apply("kustomize-controller").force();
    for _ in 0..2 {
        playbooks
            .patch(NAME, &manager, &Patch::Apply(&tracked))
            .await
            .expect("applied");
        scene.says("True", "Verified").await;
        // Somebody edits it by hand, and the tool puts it back.
        let drift = json!({"spec": {"timeout": "2h"}});
        playbooks
            .patch(NAME, &PatchParams::default(), &Patch::Merge(drift))
            .await
            .expect("patched");
        scene.says("False", "DigestMismatch").await;
    }
    playbooks
        .patch(NAME, &manager, &Patch::Apply(&tracked))
        .await
        .expect("applied");
    scene.says("True", "Verified").await;
}

#[tokio::test]
async fn helm_keeps_the_signature() {
    let cluster = need!();
    let Some(helm) = helm() else {
        skip!("no helm: make on-cluster builds it");
        return;
    };
    let scene = Scene::new(cluster, "helm").await;
    let chart = "apiVersion: v2\nname: playbooks\nversion: 1.0.0\n";
    let file = scene.write("chart/Chart.yaml", chart);
    // As an author keeps it beside the chart; Helm would take what stands in its templates for its own.
    scene.write(
        "chart/playbooks/restart.json",
        &serde_json::to_string_pretty(&scene.signed).expect("JSON"),
    );
    scene.write(
        "chart/templates/playbooks.yaml",
        "{{ .Files.Get \"playbooks/restart.json\" }}\n",
    );
    let folder = file.parent().expect("a folder").to_owned();
    let command = |arguments: &[&str]| {
        let mut command = Command::new(&helm);
        command
            .args(arguments)
            .arg(&folder)
            .args(["--namespace", scene.namespace.name(), "--kubeconfig"])
            .arg(cluster.kubeconfig_file())
            .env("HELM_CACHE_HOME", scene.folder.path().join("cache"))
            .env("HELM_CONFIG_HOME", scene.folder.path().join("config"))
            .env("HELM_DATA_HOME", scene.folder.path().join("data"));
        command
    };
    run(&mut command(&["install", "playbooks"]), "");
    scene.says("True", "Verified").await;
    run(&mut command(&["upgrade", "playbooks"]), "");
    let object = scene.says("True", "Verified").await;
    assert_eq!(
        object.pointer("/metadata/labels/app.kubernetes.io~1managed-by"),
        Some(&json!("Helm"))
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test bed speaks through the environment"
)]
fn helm() -> Option<PathBuf> {
    std::env::var_os("NEURALOPS_HELM").map(PathBuf::from)
}

#[tokio::test]
async fn a_webhook_that_adds_a_field_breaks_the_signature_and_the_bytes_to_sign_are_named() {
    let cluster = need!(Owned);
    let scene = Scene::new(cluster, "webhook").await;
    let admin = scene.namespace.admin();
    let webhook = Webhook::start(&scene, "/spec/historyLimit", "7").await;
    scene
        .namespace
        .also_delete("MutatingWebhookConfiguration", scene.namespace.name());
    create(admin, webhook.configuration(&scene))
        .await
        .expect("created");
    // The API server hears of it a little later.
    let object = eventually("the webhook is asked", SOON, async || {
        let created = create(admin, scene.signed.clone()).await;
        let created = created.map_err(|error| error.to_string())?;
        if created.data.pointer("/spec/historyLimit") == Some(&json!(7)) {
            return Ok(created);
        }
        scene.gone().await;
        Err("it was not asked".to_owned())
    })
    .await;
    let document = Document {
        api_version: "neuralops.io/v1alpha1".into(),
        name: NAME.into(),
        namespace: scene.namespace.name().into(),
        spec: object.data["spec"].clone(),
    };
    let told = scene.says("False", "DigestMismatch").await;
    let message = condition(&told, "SignatureVerified")
        .expect("a condition")
        .2;
    let digest = document.digest().expect("canonical bytes");
    assert!(message.contains(digest.as_str()), "{message}");
    assert!(
        message.contains("`neuralops playbook canonicalize` prints the bytes to sign"),
        "{message}"
    );
}

/// `webhook.py`; it ends with the test.
struct Webhook {
    process: Child,
    port: String,
    certificate: PathBuf,
}

impl Webhook {
    async fn start(scene: &Scene, path: &str, value: &str) -> Self {
        let file = |name: &str| scene.folder.path().join(name);
        let (certificate, key, port) = (file("cert.pem"), file("key.pem"), file("port"));
        let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=webhook -addext subjectAltName=IP:127.0.0.1";
        run(
            Command::new("openssl")
                .args(request.split(' '))
                .arg("-keyout")
                .arg(&key)
                .arg("-out")
                .arg(&certificate),
            "",
        );
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/webhook.py");
        let process = Command::new("python3")
            .arg(script)
            .args([&certificate, &key, &port])
            .args([path, value])
            .spawn()
            .expect("the webhook starts");
        let port = eventually("the webhook listens", SOON, async || {
            std::fs::read_to_string(&port).map_err(|error| error.to_string())
        })
        .await;
        Self {
            process,
            port,
            certificate,
        }
    }

    fn configuration(&self, scene: &Scene) -> Value {
        let bundle = std::fs::read(&self.certificate).expect("a certificate");
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": scene.namespace.name()},
            "webhooks": [{
                "name": "adds-a-field.example.com",
                "clientConfig": {
                    "url": format!("https://127.0.0.1:{}/", self.port),
                    "caBundle": STANDARD.encode(bundle),
                },
                "rules": [{
                    "apiGroups": ["neuralops.io"], "apiVersions": ["*"],
                    "operations": ["CREATE", "UPDATE"], "resources": ["playbooks"],
                }],
                "namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": scene.namespace.name()},
                },
                "sideEffects": "None", "admissionReviewVersions": ["v1"],
            }],
        })
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
