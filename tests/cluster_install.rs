//! What is missing is named, and its return is noticed: kinds that are not served, a guard with a hole, rights.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]

use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{Operator, OwnCluster, api, create, eventually, need};

const SOON: Duration = Duration::from_secs(60);

async fn complains(operator: &Operator, reason: &str, about: &str) {
    eventually(
        "readiness names what is missing",
        SOON,
        async || match operator.probe("/readyz").await? {
            (503, body)
                if body
                    .lines()
                    .any(|line| line.starts_with(reason) && line.contains(about)) =>
            {
                Ok(())
            }
            (code, body) => Err(format!("{code} {body}")),
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_are_not_served_are_named_and_waited_for() {
    need!(Owned);
    let own = OwnCluster::start_bare().await;
    own.install_rights().await;
    let operator = own.operator(&[]);
    complains(&operator, "CrdNotServed", "playbooks").await;
    assert_eq!(
        operator.probe("/livez").await.expect("livez").0,
        200,
        "waiting is not being dead"
    );
    own.install();
    operator.ready().await;
    operator.leads(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_the_guard_is_named() {
    need!(Owned);
    let own = OwnCluster::start().await;
    let admin = own.cluster().admin().await;
    let operator = own.operator(&[]);
    operator.ready().await;

    let bindings = api(&admin, "ValidatingAdmissionPolicyBinding", "");
    let name = "decision-identity.neuralops.io";
    bindings
        .delete(name, &DeleteParams::default())
        .await
        .expect("deleted");
    complains(
        &operator,
        "AdmissionGuardMissing",
        "ValidatingAdmissionPolicyBinding/decision-identity.neuralops.io is missing",
    )
    .await;
    let (_, metrics) = operator.probe("/metrics").await.expect("metrics");
    assert!(
        metrics.contains("neuralops_admission_guard_whole 0"),
        "{metrics}"
    );
    own.install();
    operator.ready().await;

    let policies = api(&admin, "ValidatingAdmissionPolicy", "");
    let weaker = json!({"spec": {"failurePolicy": "Ignore"}});
    policies
        .patch(
            "keep.neuralops.io",
            &PatchParams::default(),
            &Patch::Merge(weaker),
        )
        .await
        .expect("patched");
    complains(
        &operator,
        "AdmissionGuardMissing",
        "keep.neuralops.io is altered at spec.failurePolicy",
    )
    .await;
    own.install();
    operator.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_fits_no_type_gets_a_condition_and_stops_nobody() {
    need!(Owned);
    let own = OwnCluster::start().await;
    let admin = own.cluster().admin().await;
    // Only an altered kind lets such objects in.
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let patch = json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": open}]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).expect("a patch"));
    let kinds = api(&admin, "CustomResourceDefinition", "");
    kinds
        .patch("playbooks.neuralops.io", &PatchParams::default(), &patch)
        .await
        .expect("patched");
    let playbook = |name: &str, spec: Value| json!({"apiVersion": "neuralops.io/v1alpha1", "kind": "Playbook", "metadata": {"name": name, "namespace": "default"}, "spec": spec});
    eventually("the open kind is served", SOON, async || {
        match create(
            &admin,
            playbook(
                "odd-spec",
                json!({"serviceAccountName": "a", "steps": "all of them"}),
            ),
        )
        .await
        {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    create(
        &admin,
        playbook("odd-status", json!({"serviceAccountName": "a"})),
    )
    .await
    .expect("created");
    let status: Patch<Value> =
        Patch::Merge(json!({"status": {"conditions": "none", "observedGeneration": "many"}}));
    let writer = own.cluster().operator().await;
    api(&writer, "Playbook", "default")
        .patch_status("odd-status", &PatchParams::default(), &status)
        .await
        .expect("patched");
    let operator = own.operator(&[]);
    operator.leads(SOON).await;
    for name in ["odd-spec", "odd-status"] {
        eventually("the condition says what is wrong", SOON, async || {
            let object = api(&admin, "Playbook", "default")
                .get(name)
                .await
                .map_err(|error| error.to_string())?;
            let conditions = object
                .data
                .pointer("/status/conditions")
                .cloned()
                .unwrap_or_default();
            let stalled = conditions
                .as_array()
                .into_iter()
                .flatten()
                .find(|condition| condition["type"] == "Stalled");
            match stalled.and_then(|condition| condition["reason"].as_str()) {
                Some("Undecodable" | "Invalid") => Ok(()),
                _ => Err(format!("{conditions}; log: {}", operator.log_tail())),
            }
        })
        .await;
    }
    create(&admin, playbook("good", json!({
        "revision": 1, "serviceAccountName": "a", "approval": [{"rules": [{"role": "r", "min": 1}]}],
        "steps": [{"name": "w", "wait": {"duration": "1s"}}],
    }))).await.expect("created");
    eventually("its neighbour is judged", SOON, async || {
        let object = api(&admin, "Playbook", "default")
            .get("good")
            .await
            .map_err(|error| error.to_string())?;
        object
            .data
            .pointer("/status/digest")
            .map(|_| ())
            .ok_or_else(|| operator.log_tail())
    })
    .await;
    let (_, metrics) = operator.probe("/metrics").await.expect("metrics");
    let undecodable = metrics.lines().find_map(|line| {
        line.strip_prefix(
            r#"neuralops_reconciliations_total{controller="playbook",outcome="undecodable"} "#,
        )
    });
    let passes: u32 = undecodable.expect("counted").parse().expect("a number");
    assert!(
        passes <= 3,
        "{passes} passes over an object that fits no type: a loop"
    );
}
