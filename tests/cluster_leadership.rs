//! Leadership: one leads; who is killed is followed, who was paused past the lease writes nothing more and goes.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;

use crate::support::{AuditEvent, Cluster, OwnCluster, api, create, eventually, need};

/// Short, so that a test can outlast it; a leader renews at a third of it.
const LEASE: Duration = Duration::from_secs(6);
const FLAGS: [&str; 4] = ["--lease-duration", "6s", "--roles", "controller"];
const OPERATOR: &str = "system:serviceaccount:neuralops-system:neuralops-controller";

async fn holder(cluster: &Cluster) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(cluster.admin().await, "neuralops-system");
    leases
        .get("neuralops-controller")
        .await
        .ok()?
        .spec?
        .holder_identity
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_a_killed_leader_is_followed_within_the_lease_time() {
    need!(Owned);
    let own = OwnCluster::start().await;
    let mut first = own.operator(&FLAGS);
    first.leads(Duration::from_secs(30)).await;
    let leader = holder(own.cluster()).await;
    let second = own.operator(&FLAGS);
    second.ready().await;
    let (_, metrics) = second.probe("/metrics").await.expect("metrics");
    assert!(metrics.contains("neuralops_leader 0"), "two lead at once");

    first.signal("KILL");
    first.ended(Duration::from_secs(5)).await;
    // The lease time, and up to a second of the manager's own jitter before it takes a lease that ran out.
    second.leads(LEASE + Duration::from_secs(3)).await;
    assert_ne!(holder(own.cluster()).await, leader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_paused_past_its_lease_exits_without_another_write() {
    need!(Owned);
    let own = OwnCluster::start().await;
    let admin = own.cluster().admin().await;
    let mut first = own.operator(&FLAGS);
    first.leads(Duration::from_secs(30)).await;
    let second = own.operator(&FLAGS);
    second.ready().await;
    let leader = holder(own.cluster()).await.expect("a holder");

    first.signal("STOP");
    // Work for it, so that it has something to write when it wakes up.
    let namespace =
        serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    create(&admin, namespace).await.expect("a namespace");
    second.leads(LEASE * 3).await;
    for n in 0..20 {
        let playbook = serde_json::json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Playbook",
            "metadata": {"name": format!("p{n}"), "namespace": "shop"},
            "spec": {"revision": 1, "serviceAccountName": "a", "approval": [{"rules": [{"role": "r", "min": 1}]}],
                     "steps": [{"name": "w", "wait": {"duration": "1s"}}]},
        });
        create(&admin, playbook).await.expect("created");
    }
    eventually(
        "the second operator judged all",
        Duration::from_secs(30),
        async || {
            let list = api(&admin, "Playbook", "shop")
                .list(&Default::default())
                .await
                .map_err(|error| error.to_string())?;
            let open = list
                .items
                .iter()
                .filter(|playbook| playbook.data.pointer("/status/digest").is_none())
                .count();
            if open == 0 {
                Ok(())
            } else {
                Err(format!("{open} are open"))
            }
        },
    )
    .await;

    // An event follows its status; the second operator's last one must not be taken for the first one's.
    eventually(
        "the second operator told all",
        Duration::from_secs(30),
        async || {
            let told = writes(&own, 0)
                .iter()
                .filter(|event| event.resource == "events")
                .count();
            if told == 20 {
                Ok(())
            } else {
                Err(format!("{told} events"))
            }
        },
    )
    .await;

    let mark = own.cluster().audit_mark();
    first.signal("CONT");
    let status = first.ended(Duration::from_secs(20)).await;
    assert!(!status.success(), "losing the lease is no success");
    assert!(
        first.log().contains("stopping because leadership ended"),
        "{}",
        first.log()
    );
    // The second one renews; whatever else was written by the operator's account was the first one's.
    let foreign = writes(&own, mark);
    assert!(foreign.is_empty(), "written after the pause: {foreign:?}");
    assert_ne!(holder(own.cluster()).await, Some(leader));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_leader_releases_the_lease_and_exits_with_success() {
    need!(Owned);
    let own = OwnCluster::start().await;
    let mut only = own.operator(&FLAGS);
    only.leads(Duration::from_secs(30)).await;
    only.signal("TERM");
    let status = only.ended(Duration::from_secs(10)).await;
    assert!(status.success(), "{}", only.log());
    assert_eq!(holder(own.cluster()).await, None, "{}", only.log());
    // A released lease is taken at once, not when it would have run out.
    let next = own.operator(&FLAGS);
    next.leads(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_lease_is_taken_away_exits() {
    need!(Owned);
    let own = OwnCluster::start().await;
    let mut only = own.operator(&FLAGS);
    only.leads(Duration::from_secs(30)).await;
    let leases: Api<Lease> = Api::namespaced(own.cluster().admin().await, "neuralops-system");
    let theft = serde_json::json!({"spec": {"holderIdentity": "somebody-else"}});
    leases
        .patch(
            "neuralops-controller",
            &Default::default(),
            &kube::api::Patch::Merge(theft),
        )
        .await
        .expect("patched");
    let status = only.ended(Duration::from_secs(5)).await;
    assert!(!status.success(), "{}", only.log());
    assert!(
        only.log().contains("somebody-else holds it"),
        "{}",
        only.log()
    );
}

/// What the operator's account has written since the mark, but for the Lease.
fn writes(own: &OwnCluster, mark: u64) -> Vec<AuditEvent> {
    let is_write = |verb: &str| {
        matches!(
            verb,
            "create" | "update" | "patch" | "delete" | "deletecollection"
        )
    };
    let all = own.cluster().audit_since(mark).into_iter();
    all.filter(|event| {
        event.user == OPERATOR && is_write(&event.verb) && event.resource != "leases"
    })
    .collect()
}
