//! Idle means idle: with a hundred Playbooks and nothing to do, the operator writes its Lease and nothing else, and
//! asks for none of our kinds again.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;

use crate::support::{Author, OwnCluster, api, create, eventually, need};

const OPERATOR: &str = "system:serviceaccount:neuralops-system:neuralops-controller";
const PLAYBOOKS: usize = 100;
/// How long nothing may happen.
const QUIET: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_settled_playbooks_cost_nothing_but_the_lease() {
    need!(Owned);
    let own = OwnCluster::start().await;
    let admin = own.cluster().admin().await;
    let operator = own.operator(&[]);
    operator.ready().await;
    let author = Author::new();
    create(&admin, author.policy("release", "default"))
        .await
        .expect("created");
    for n in 0..PLAYBOOKS {
        let playbook = author.sign(json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Playbook",
            "metadata": {"name": format!("p{n}"), "namespace": "default"},
            "spec": {"revision": 1, "serviceAccountName": "a", "approval": [{"rules": [{"role": "r", "min": 1}]}],
                     "steps": [{"name": "w", "wait": {"duration": "1s"}}]},
        }));
        create(&admin, playbook).await.expect("created");
    }
    eventually("all are judged", Duration::from_secs(60), async || {
        let list = api(&admin, "Playbook", "default")
            .list(&Default::default())
            .await
            .map_err(|error| error.to_string())?;
        let judged = list
            .items
            .iter()
            .filter(|playbook| playbook.data.pointer("/status/revision").is_some())
            .count();
        if judged == PLAYBOOKS {
            Ok(())
        } else {
            Err(format!("{judged} of {PLAYBOOKS}"))
        }
    })
    .await;
    let events = |cluster: &crate::support::Cluster, mark| -> Vec<_> {
        cluster
            .audit_since(mark)
            .into_iter()
            .filter(|event| event.user == OPERATOR)
            .collect()
    };
    eventually(
        "the last event is published",
        Duration::from_secs(30),
        async || {
            let published = events(own.cluster(), 0)
                .iter()
                .filter(|event| event.resource == "events" && event.verb == "create")
                .count();
            // One about the TrustPolicy, and at least one about each Playbook.
            if published > PLAYBOOKS {
                Ok(())
            } else {
                Err(format!("{published} of {PLAYBOOKS}"))
            }
        },
    )
    .await;

    eventually(
        "all records are anchored",
        Duration::from_secs(30),
        async || {
            let (_, metrics) = operator.probe("/metrics").await?;
            let value = |name: &str| {
                metrics
                    .lines()
                    .find_map(|line| line.strip_prefix(name))
                    .map(str::to_owned)
            };
            match (
                value("neuralops_audit_leaves "),
                value("neuralops_audit_anchored_leaves "),
            ) {
                (Some(leaves), Some(anchored)) if leaves == anchored => Ok(()),
                other => Err(format!("{other:?}")),
            }
        },
    )
    .await;

    let mark = own.cluster().audit_mark();
    let before = renewals(own.cluster()).await;
    let began = std::time::Instant::now();
    eventually("a minute goes by", QUIET * 2, async || {
        if began.elapsed() >= QUIET {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .await;

    let all = events(own.cluster(), mark);
    let unexpected: Vec<_> = all
        .iter()
        .filter(|event| {
            !matches!(event.verb.as_str(), "get" | "list" | "watch") && event.resource != "leases"
        })
        .collect();
    assert!(unexpected.is_empty(), "written while idle: {unexpected:?}");
    let read: Vec<_> = all
        .iter()
        .filter(|event| {
            event.verb == "get" && event.uri.starts_with("/apis/neuralops.io/v1alpha1/")
        })
        .collect();
    assert!(read.is_empty(), "read while idle: {read:?}");
    assert_ne!(
        renewals(own.cluster()).await,
        before,
        "the operator was not even alive"
    );
    assert!(
        all.iter().any(|event| event.resource == "leases"),
        "the audit log counts nothing"
    );
}

async fn renewals(cluster: &crate::support::Cluster) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(cluster.admin().await, "neuralops-system");
    let spec = leases.get("neuralops-controller").await.ok()?.spec?;
    spec.renew_time.map(|time| time.0.to_string())
}
