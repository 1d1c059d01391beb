//! Signatures with the real operator: who may sign is read from TrustPolicies as they stand, what was signed from the
//! object as the API server holds it, and neither an older revision nor another name passes.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]

use std::time::Duration;

use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams};
use neuralops::domain::document::Scope;
use neuralops::domain::trust::ANNOTATION;
use serde_json::{Value, json};

use crate::cluster_playbook::{condition, playbook, says};
use crate::support::{Author, Namespace, api, create, eventually, need};

const SOON: Duration = Duration::from_secs(30);
const OPERATOR_NAMESPACE: &str = "neuralops-system";

/// A namespace whose Playbooks this author signs.
async fn trusted(purpose: &str, cluster: &'static crate::support::Cluster) -> (Namespace, Author) {
    let namespace = Namespace::new(cluster, purpose).await;
    let author = Author::new();
    namespace.also_delete("TrustPolicy", namespace.name());
    create(
        namespace.admin(),
        author.policy(namespace.name(), namespace.name()),
    )
    .await
    .expect("created");
    (namespace, author)
}

fn at_revision(namespace: &Namespace, revision: u64) -> Value {
    let mut object = playbook("p", namespace.name());
    object["spec"]["revision"] = json!(revision);
    object
}

/// Replaces spec and bundle in one write, as `kubectl apply` does.
async fn replace(client: &Client, object: &Value) {
    let namespace = object["metadata"]["namespace"].as_str().expect("a text");
    let name = object["metadata"]["name"].as_str().expect("a text");
    // A merge would keep what the new spec leaves out.
    let patch = json!([
        {"op": "add", "path": "/metadata/annotations", "value": object["metadata"]["annotations"]},
        {"op": "replace", "path": "/spec", "value": object["spec"]},
    ]);
    let patch = serde_json::from_value(patch).expect("a patch");
    api(client, "Playbook", namespace)
        .patch(name, &PatchParams::default(), &Patch::<Value>::Json(patch))
        .await
        .expect("patched");
}

async fn change_policy(namespace: &Namespace, spec: Value) {
    api(namespace.admin(), "TrustPolicy", "")
        .patch(
            namespace.name(),
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": spec})),
        )
        .await
        .expect("patched");
}

async fn policy_says(client: &Client, name: &str, expected: (&str, &str)) -> Value {
    eventually("the TrustPolicy is judged", SOON, async || {
        let object = api(client, "TrustPolicy", "").get(name).await;
        let object = object.map_err(|error| error.to_string())?;
        let object = serde_json::to_value(object).map_err(|error| error.to_string())?;
        match condition(&object, "Ready") {
            Some((status, reason, _)) if (status, reason) == expected => Ok(object),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

#[tokio::test]
async fn a_playbook_signed_by_whom_its_policy_trusts_is_ready() {
    let cluster = need!();
    let (namespace, author) = trusted("signed", cluster).await;
    let admin = namespace.admin();
    create(admin, author.sign(playbook("p", namespace.name())))
        .await
        .expect("created");
    let object = says(admin, namespace.name(), "p", "Ready", ("True", "Verified")).await;
    let told = condition(&object, "SignatureVerified").expect("a condition");
    assert_eq!((told.0, told.1), ("True", "Verified"));
    assert!(told.2.contains("key \"author\" (sha256:"), "{}", told.2);
    assert_eq!(condition(&object, "Stalled"), None);
    let status = &object["status"];
    assert_eq!(status["revision"], json!(1));
    assert_eq!(
        status["signers"],
        json!([{"kind": "Key", "name": "author", "policy": namespace.name()}])
    );
    assert_eq!(status["trustPolicies"][0]["name"], json!(namespace.name()));
    let policy = policy_says(admin, namespace.name(), ("True", "Valid")).await;
    assert_eq!(
        policy["status"]["keys"][0]["algorithm"],
        json!("ECDSA P-256")
    );

    // Signed for any namespace, it is as good in this one.
    let mut anywhere = playbook("q", namespace.name());
    let bundle = author.bundle(&anywhere, Scope::Anywhere);
    anywhere["metadata"]["annotations"][ANNOTATION] = json!(bundle);
    create(admin, anywhere).await.expect("created");
    let object = says(admin, namespace.name(), "q", "Ready", ("True", "Verified")).await;
    let told = condition(&object, "SignatureVerified").expect("a condition");
    assert!(told.2.contains("for any namespace"), "{}", told.2);
}

#[tokio::test]
async fn another_name_another_namespace_other_bytes_and_another_signer_are_refused() {
    let cluster = need!();
    let (namespace, author) = trusted("refused", cluster).await;
    let admin = namespace.admin();
    let signed = author.sign(playbook("p", namespace.name()));
    let mut renamed = signed.clone();
    renamed["metadata"]["name"] = json!("renamed");
    let mut altered = signed.clone();
    altered["metadata"]["name"] = json!("altered");
    let bundle = author.bundle(&altered, Scope::Namespaced);
    altered["metadata"]["annotations"][ANNOTATION] = json!(bundle);
    altered["spec"]["timeout"] = json!("10m");
    let mut stranger = playbook("stranger", namespace.name());
    stranger = Author::new().sign(stranger);
    for object in [&renamed, &altered, &stranger] {
        create(admin, object.clone()).await.expect("created");
    }
    for (name, reason) in [
        ("renamed", "DigestMismatch"),
        ("altered", "DigestMismatch"),
        ("stranger", "UntrustedKey"),
    ] {
        let object = says(admin, namespace.name(), name, "Ready", ("False", reason)).await;
        let digest = object["status"]["digest"].as_str().expect("a digest");
        let told = condition(&object, "SignatureVerified").expect("a condition");
        assert!(told.2.contains(digest), "which bytes to sign: {}", told.2);
    }

    // The same bytes elsewhere: another policy trusts the same author, and the signature is for this namespace.
    let elsewhere = Namespace::new(cluster, "elsewhere").await;
    elsewhere.also_delete("TrustPolicy", elsewhere.name());
    create(admin, author.policy(elsewhere.name(), elsewhere.name()))
        .await
        .expect("created");
    let mut replayed = signed.clone();
    replayed["metadata"]["namespace"] = json!(elsewhere.name());
    create(admin, replayed).await.expect("created");
    says(
        admin,
        elsewhere.name(),
        "p",
        "Ready",
        ("False", "DigestMismatch"),
    )
    .await;
}

#[tokio::test]
async fn whoever_is_trusted_now_counts_and_a_change_is_heard_at_once() {
    let cluster = need!();
    let namespace = Namespace::new(cluster, "trust").await;
    let (admin, author) = (namespace.admin(), Author::new());
    let ready = async |expected| {
        says(admin, namespace.name(), "p", "Ready", expected).await;
    };
    create(admin, author.sign(playbook("p", namespace.name())))
        .await
        .expect("created");
    ready(("False", "NoPolicy")).await;

    // Its key lies in a ConfigMap, which is not there yet.
    let config_map = namespace.name();
    namespace.also_delete("TrustPolicy", namespace.name());
    namespace.also_delete_in(OPERATOR_NAMESPACE, "ConfigMap", config_map);
    let reference = json!({"name": config_map, "key": "cosign.pub"});
    let mut policy = author.policy(namespace.name(), namespace.name());
    policy["spec"]["keys"] = json!([{"name": "author", "configMapRef": reference}]);
    create(admin, policy).await.expect("created");
    ready(("False", "PolicyNotReady")).await;
    policy_says(admin, namespace.name(), ("False", "PolicyNotReady")).await;

    let key = |public: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": config_map, "namespace": OPERATOR_NAMESPACE},
            "data": {"cosign.pub": public},
        })
    };
    create(admin, key(&author.public)).await.expect("created");
    ready(("True", "Verified")).await;
    policy_says(admin, namespace.name(), ("True", "Valid")).await;

    // Another key in the same ConfigMap; no generation moves.
    let config_maps = api(admin, "ConfigMap", OPERATOR_NAMESPACE);
    let other = json!({"data": {"cosign.pub": Author::new().public}});
    config_maps
        .patch(config_map, &PatchParams::default(), &Patch::Merge(other))
        .await
        .expect("patched");
    ready(("False", "UntrustedKey")).await;

    // Two have to sign, and one did.
    let second = Author::new();
    let keys = json!([
        {"name": "author", "publicKey": author.public, "configMapRef": null},
        {"name": "second", "publicKey": second.public},
    ]);
    change_policy(&namespace, json!({"keys": keys, "threshold": 2})).await;
    ready(("False", "TooFewSigners")).await;
    let bundle = second.bundle(&playbook("p", namespace.name()), Scope::Namespaced);
    let annotations = json!({format!("{ANNOTATION}.2"): bundle});
    api(admin, "Playbook", namespace.name())
        .patch(
            "p",
            &PatchParams::default(),
            &Patch::Merge(json!({"metadata": {"annotations": annotations}})),
        )
        .await
        .expect("patched");
    ready(("True", "Verified")).await;

    // A policy that is not ready refuses, however many others are satisfied.
    let further = format!("{}-further", namespace.name());
    namespace.also_delete("TrustPolicy", &further);
    let mut unready = author.policy(&further, namespace.name());
    unready["spec"]["keys"] = json!([{"name": "broken", "publicKey": "no key at all"}]);
    create(admin, unready).await.expect("created");
    ready(("False", "PolicyNotReady")).await;
    let policies = api(admin, "TrustPolicy", "");
    for policy in [further.as_str(), namespace.name()] {
        policies
            .delete(policy, &DeleteParams::default())
            .await
            .expect("deleted");
    }
    ready(("False", "NoPolicy")).await;
}

#[tokio::test]
async fn a_key_is_not_trusted_after_its_time_though_nobody_touches_anything() {
    let cluster = need!();
    let (namespace, author) = trusted("time", cluster).await;
    let admin = namespace.admin();
    create(admin, author.sign(playbook("p", namespace.name())))
        .await
        .expect("created");
    says(admin, namespace.name(), "p", "Ready", ("True", "Verified")).await;
    let end = neuralops::adapters::clock::now() + k8s_openapi::jiff::SignedDuration::from_secs(5);
    let key = json!({"name": "author", "publicKey": author.public, "notAfter": end.to_string()});
    change_policy(&namespace, json!({"keys": [key]})).await;
    let object = says(
        admin,
        namespace.name(),
        "p",
        "Ready",
        ("False", "UntrustedKey"),
    )
    .await;
    let told = condition(&object, "SignatureVerified").expect("a condition");
    assert!(told.2.contains("not trusted after"), "{}", told.2);
}

#[tokio::test]
async fn revisions_never_go_back_unless_a_policy_sets_them_back_once() {
    let cluster = need!();
    let (namespace, author) = trusted("revision", cluster).await;
    let admin = namespace.admin();
    let playbooks = api(admin, "Playbook", namespace.name());
    let ready = async |expected| {
        says(admin, namespace.name(), "p", "Ready", expected).await;
    };
    create(admin, author.sign(at_revision(&namespace, 2)))
        .await
        .expect("created");
    ready(("True", "Verified")).await;
    let mut other = at_revision(&namespace, 2);
    other["spec"]["timeout"] = json!("10m");
    replace(admin, &author.sign(other)).await;
    ready(("False", "RevisionReused")).await;
    replace(admin, &author.sign(at_revision(&namespace, 3))).await;
    ready(("True", "Verified")).await;
    replace(admin, &author.sign(at_revision(&namespace, 2))).await;
    ready(("False", "RevisionTooOld")).await;

    // The name outlives the object.
    playbooks
        .delete("p", &DeleteParams::default())
        .await
        .expect("deleted");
    eventually("the Playbook is gone", SOON, async || {
        match playbooks.get_opt("p").await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    create(admin, author.sign(at_revision(&namespace, 2)))
        .await
        .expect("created");
    ready(("False", "RevisionTooOld")).await;

    let reset = json!([{"playbook": format!("{}/p", namespace.name()), "revision": 1}]);
    change_policy(&namespace, json!({"resetRevisions": reset})).await;
    ready(("True", "Verified")).await;
    // What was waiting for it has settled its revision: neither another document nor an older one comes after it.
    let mut other = at_revision(&namespace, 2);
    other["spec"]["timeout"] = json!("10m");
    replace(admin, &author.sign(other)).await;
    ready(("False", "RevisionReused")).await;
    replace(admin, &author.sign(at_revision(&namespace, 1))).await;
    ready(("False", "RevisionTooOld")).await;
    replace(admin, &author.sign(at_revision(&namespace, 5))).await;
    says(admin, namespace.name(), "p", "Ready", ("True", "Verified")).await;
    eventually("revision 5 is accepted", SOON, async || {
        let object = playbooks
            .get("p")
            .await
            .map_err(|error| error.to_string())?;
        match object.data.pointer("/status/revision") {
            Some(revision) if *revision == json!(5) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    // Once: the same entry does not count again.
    replace(admin, &author.sign(at_revision(&namespace, 4))).await;
    ready(("False", "RevisionTooOld")).await;
}
