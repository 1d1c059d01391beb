//! Every sample is taken by the API server as it stands, from the person that it names, with strict field validation.
//! Only the namespace is another; the AuditLog has its case with those of operator_writes.

use serde_json::{Value, json};

use super::{Accepted, Scene, Table, merge, shipped};
use crate::support::{apply, bind, core, grant, grant_everywhere, need, ours, random};

#[tokio::test]
async fn the_samples_are_accepted() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "samples").await;
    // The roles that the samples' comments speak of.
    for (person, role) in [
        ("alice", "engineer"),
        ("bob", "approver"),
        ("carol", "admin"),
    ] {
        bind(&scene.ns, person, &format!("neuralops-{role}")).await;
    }
    grant(&scene.ns, "alice", &[ours("create patch", "gates")]).await;
    grant(&scene.ns, "bob", &[ours("patch", "decisions")]).await;
    grant_everywhere(&scene.ns, "alice", &[ours("create patch", "freezes")]).await;
    grant_everywhere(&scene.ns, "carol", &[ours("create patch", "trustpolicies")]).await;
    grant(
        &scene.ns,
        "carol",
        &[core("use", "serviceaccounts").named("runbook-shop runbook-nodes")],
    )
    .await;
    let (alice, bob, carol) = (
        cluster.person("alice").await,
        cluster.person("bob").await,
        cluster.person("carol").await,
    );

    // A vote needs a Gate in its namespace; the sample's own has another uid each time it is made.
    scene.open_gate(json!({})).await;
    let mut table = Table::of("the samples are accepted");
    let mut kinds = Vec::new();
    for mut sample in shipped("config/samples") {
        let kind = sample["kind"].as_str().expect("a kind").to_owned();
        let place = if sample["metadata"]["namespace"].is_string() {
            json!({"metadata": {"namespace": scene.name()}})
        } else {
            let name = random("t-sample");
            scene.ns.also_delete(&kind, &name);
            json!({"metadata": {"name": name}})
        };
        let caller = match kind.as_str() {
            "Orchestration" | "Gate" | "Freeze" => &alice,
            "Decision" => &bob,
            "Playbook" | "TrustPolicy" => &carol,
            _ => continue,
        };
        merge(&mut sample, place);
        if kind == "Decision" {
            merge(
                &mut sample,
                json!({"spec": {"gateRef": {"name": "of-the-sample"}}}),
            );
        }
        table.check(
            &format!("{kind} {}", sample["metadata"]["name"]),
            &Accepted,
            apply(caller, &sample.to_string()).await,
        );
        kinds.push(kind);
    }
    kinds.sort();
    kinds.dedup();
    table.check_that(
        "there is one of each kind",
        Value::from(kinds)
            == json!([
                "Decision",
                "Freeze",
                "Gate",
                "Orchestration",
                "Playbook",
                "TrustPolicy"
            ]),
    );
}
