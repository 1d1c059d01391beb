//! The Playbook controller against a real API server: digest, conditions, events, odd objects. The operator beside
//! these tests runs as its own ServiceAccount with the rights of config/rbac.

use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::api::{GetParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use neuralops::domain::document::Document;
use serde_json::{Value, json};

use crate::support::{Author, Namespace, api, create, eventually, need};

const SOON: Duration = Duration::from_secs(30);

pub fn playbook(name: &str, namespace: &str) -> Value {
    json!({
        "apiVersion": "neuralops.io/v1alpha1",
        "kind": "Playbook",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "revision": 1,
            "serviceAccountName": "runbook",
            "approval": [{"rules": [{"role": "oncall", "min": 1}]}],
            "parameters": {"type": "object", "properties": {"deployment": {"type": "string"}}},
            "steps": [{"name": "restart", "rolloutRestart": {"target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "$(params.deployment)"}}}],
        },
    })
}

/// The object, once its status speaks about its spec.
async fn judged(client: &Client, namespace: &str, name: &str) -> Value {
    eventually("the Playbook is judged", SOON, async || {
        let object = api(client, "Playbook", namespace)
            .get(name)
            .await
            .map_err(|error| error.to_string())?;
        let object = serde_json::to_value(object).map_err(|error| error.to_string())?;
        let observed = object.pointer("/status/observedGeneration");
        if observed.is_some() && observed == object.pointer("/metadata/generation") {
            Ok(object)
        } else {
            Err(object
                .get("status")
                .map(ToString::to_string)
                .unwrap_or_default())
        }
    })
    .await
}

/// The object, once a condition of it says this.
pub async fn says(
    client: &Client,
    namespace: &str,
    name: &str,
    kind: &str,
    expected: (&str, &str),
) -> Value {
    let what = format!("{name} says {kind} {expected:?}");
    eventually(&what, SOON, async || {
        let objects = api(client, "Playbook", namespace);
        let object = objects.get(name).await.map_err(|error| error.to_string())?;
        let object = serde_json::to_value(object).map_err(|error| error.to_string())?;
        match condition(&object, kind) {
            Some((status, reason, _)) if (status, reason) == expected => Ok(object),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

/// Status, reason and message of a condition.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == kind)?;
    Some((
        found["status"].as_str()?,
        found["reason"].as_str()?,
        found["message"].as_str()?,
    ))
}

#[tokio::test]
async fn an_unsigned_playbook_has_its_digest_and_is_not_ready() {
    let cluster = need!();
    let namespace = Namespace::new(cluster, "valid").await;
    let admin = namespace.admin();
    create(admin, playbook("p", namespace.name()))
        .await
        .expect("created");
    let object = judged(admin, namespace.name(), "p").await;

    let document = Document {
        api_version: "neuralops.io/v1alpha1".into(),
        name: "p".into(),
        namespace: namespace.name().into(),
        spec: object["spec"].clone(),
    };
    let digest = document.digest().expect("canonical");
    assert_eq!(
        object.pointer("/status/digest"),
        Some(&json!(digest.as_str()))
    );
    assert_eq!(
        condition(&object, "Valid").map(|c| (c.0, c.1)),
        Some(("True", "Valid"))
    );
    assert_eq!(
        condition(&object, "SignatureVerified").map(|c| (c.0, c.1)),
        Some(("False", "Unsigned"))
    );
    assert_eq!(
        condition(&object, "Ready").map(|c| (c.0, c.1)),
        Some(("False", "Unsigned"))
    );
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_place_and_mended_by_an_edit() {
    let cluster = need!();
    let namespace = Namespace::new(cluster, "invalid").await;
    let admin = namespace.admin();
    let mut bad = playbook("p", namespace.name());
    bad["spec"]["steps"][0]["rolloutRestart"]["target"]["name"] = json!("$(params.deploy)");
    create(admin, bad).await.expect("the schema takes it");
    let object = judged(admin, namespace.name(), "p").await;
    let (status, reason, message) = condition(&object, "Valid").expect("Valid");
    assert_eq!((status, reason), ("False", "Invalid"));
    assert!(
        message.contains(
            "spec.steps[0].rolloutRestart.target.name: the parameter deploy is not declared"
        ),
        "{message}"
    );
    assert_eq!(condition(&object, "Stalled").map(|c| c.0), Some("True"));

    let mend = json!({"spec": playbook("p", "x")["spec"]});
    api(admin, "Playbook", namespace.name())
        .patch("p", &PatchParams::default(), &Patch::Merge(mend))
        .await
        .expect("patched");
    let object = judged(admin, namespace.name(), "p").await;
    assert_eq!(condition(&object, "Valid").map(|c| c.0), Some("True"));
    assert_eq!(condition(&object, "Stalled").map(|c| c.1), Some("Unsigned"));
}

#[tokio::test]
async fn a_second_pass_writes_nothing() {
    let cluster = need!();
    let namespace = Namespace::new(cluster, "settled").await;
    let admin = namespace.admin();
    create(admin, playbook("p", namespace.name()))
        .await
        .expect("created");
    let before = judged(admin, namespace.name(), "p").await;
    // An annotation makes another pass; the other object proves that the pass is over.
    let touch = json!({"metadata": {"annotations": {"touched": "yes"}}});
    let touched = api(admin, "Playbook", namespace.name())
        .patch("p", &PatchParams::default(), &Patch::Merge(touch))
        .await
        .expect("patched");
    create(admin, playbook("q", namespace.name()))
        .await
        .expect("created");
    judged(admin, namespace.name(), "q").await;
    let after = api(admin, "Playbook", namespace.name())
        .get("p")
        .await
        .expect("there");
    assert_eq!(
        after.metadata.resource_version, touched.metadata.resource_version,
        "something was written after our own write"
    );
    assert_eq!(after.data.get("status"), before.get("status"));
}

#[tokio::test]
async fn the_suspend_annotation_is_told() {
    let cluster = need!();
    let namespace = Namespace::new(cluster, "suspend").await;
    let admin = namespace.admin();
    let author = Author::new();
    namespace.also_delete("TrustPolicy", namespace.name());
    create(admin, author.policy(namespace.name(), namespace.name()))
        .await
        .expect("created");
    let mut object = author.sign(playbook("p", namespace.name()));
    object["metadata"]["annotations"]["neuralops.io/suspend"] = json!("true");
    create(admin, object).await.expect("created");
    says(
        admin,
        namespace.name(),
        "p",
        "Ready",
        ("False", "Suspended"),
    )
    .await;
}

#[tokio::test]
async fn a_changed_ready_is_an_event() {
    let cluster = need!();
    let namespace = Namespace::new(cluster, "event").await;
    let admin = namespace.admin();
    create(admin, playbook("p", namespace.name()))
        .await
        .expect("created");
    judged(admin, namespace.name(), "p").await;
    let events: Api<Event> = Api::namespaced(admin.clone(), namespace.name());
    let event = eventually("an event about the Playbook", SOON, async || {
        let list = events
            .list(&ListParams::default())
            .await
            .map_err(|error| error.to_string())?;
        let about = |event: &Event| {
            event
                .regarding
                .as_ref()
                .is_some_and(|object| object.name.as_deref() == Some("p"))
        };
        list.items
            .into_iter()
            .find(about)
            .ok_or_else(|| "none".to_owned())
    })
    .await;
    assert_eq!(event.reason.as_deref(), Some("Unsigned"));
    assert_eq!(
        event.reporting_controller.as_deref(),
        Some("neuralops-controller")
    );
}

#[tokio::test]
async fn a_playbook_of_a_megabyte_is_too_large_and_says_so() {
    let cluster = need!();
    let namespace = Namespace::new(cluster, "large").await;
    let admin = namespace.admin();
    let mut object = playbook("p", namespace.name());
    let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "y".repeat(1_000_000)}});
    object["spec"]["steps"] = json!([{"name": "apply", "apply": {"manifest": manifest}}]);
    create(admin, object)
        .await
        .expect("the API server takes a megabyte");
    let object = judged(admin, namespace.name(), "p").await;
    let (status, reason, message) = condition(&object, "Valid").expect("Valid");
    assert_eq!((status, reason), ("False", "PlaybookTooLarge"));
    assert!(message.contains("131072 are allowed"), "{message}");
}

#[tokio::test]
async fn a_playbook_of_a_thousand_steps_is_refused_by_the_api_server() {
    let cluster = need!();
    let namespace = Namespace::new(cluster, "steps").await;
    let mut object = playbook("p", namespace.name());
    let steps: Vec<Value> = (0..1000)
        .map(|n| json!({"name": format!("s{n}"), "wait": {"duration": "1s"}}))
        .collect();
    object["spec"]["steps"] = json!(steps);
    let refused = create(namespace.admin(), object)
        .await
        .expect_err("too many steps")
        .to_string();
    assert!(
        refused.contains("spec.steps") && refused.contains("must have at most 64 items"),
        "{refused}"
    );
}

/// A list that holds such an object would not read at all; it must be this object's trouble alone.
#[tokio::test]
async fn a_playbook_that_nests_deeper_than_a_reader_goes_is_told_so_and_stops_nobody() {
    let cluster = need!();
    let namespace = Namespace::new(cluster, "deep").await;
    let admin = namespace.admin();
    let mut deep = playbook("deep", namespace.name());
    deep["spec"]["parameters"]["examples"] = (0..200).fold(json!(1), |inner, _| json!([inner]));
    let path = format!(
        "/apis/neuralops.io/v1alpha1/namespaces/{}/playbooks",
        namespace.name()
    );
    let request = kube::core::Request::new(path.as_str());
    let body = serde_json::to_vec(&deep).expect("JSON");
    let post = request
        .create(&PostParams::default(), body)
        .expect("a request");
    admin
        .request_text(post)
        .await
        .expect("the API server takes it");
    create(admin, playbook("beside", namespace.name()))
        .await
        .expect("created");
    judged(admin, namespace.name(), "beside").await;
    let text = eventually("the deep one is told", SOON, async || {
        let get = request
            .get("deep", &GetParams::default())
            .map_err(|error| error.to_string())?;
        let text = admin
            .request_text(get)
            .await
            .map_err(|error| error.to_string())?;
        // In managedFields the same words stand escaped.
        if text.contains(r#""type":"Stalled""#) {
            Ok(text)
        } else {
            Err(text)
        }
    })
    .await;
    assert!(
        text.contains("recursion limit exceeded") && text.contains("make it flatter"),
        "{text}"
    );
}
