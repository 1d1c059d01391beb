//! Components that are killed, paused and started again while the operator runs: it recovers by itself, and what was
//! asked for meanwhile is done afterwards.

use std::time::Duration;

use kube::Client;
use serde_json::json;

use crate::support::{Operator, OwnCluster, api, create, eventually, need};

/// A component that gives up after a minute is started again, and has its time then.
const LONG: Duration = Duration::from_secs(180);

async fn judged(own: &OwnCluster, client: &Client, operator: &Operator, name: &str) {
    eventually("the Playbook is made and judged", LONG, async || {
        let playbook = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Playbook",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"revision": 1, "serviceAccountName": "a", "approval": [{"rules": [{"role": "r", "min": 1}]}],
                     "steps": [{"name": "w", "wait": {"duration": "1s"}}]},
        });
        match create(client, playbook).await {
            Err(kube::Error::Api(answer)) if answer.is_already_exists() => {}
            Err(error) => return Err(format!("{error}; kube-apiserver: {}", own.last_words("kube-apiserver"))),
            Ok(_) => {}
        }
        let found = api(client, "Playbook", "default").get(name).await.map_err(|error| error.to_string())?;
        if found.data.pointer("/status/digest").is_some() { Ok(()) } else { Err(format!("no digest yet; log: {}", operator.log_tail())) }
    })
    .await;
}

/// An outage longer than the lease ends the process; what restarts it in a cluster is the kubelet, and here the test.
async fn kept_alive(own: &OwnCluster, mut operator: Operator) -> Operator {
    eventually("an operator is ready", LONG, async || {
        if let Some(code) = operator.exit_code() {
            assert_ne!(code, 0, "it must not end with success");
            operator = own.operator(&[]);
        }
        match operator.probe("/readyz").await? {
            (200, _) => Ok(()),
            (code, body) => Err(format!("{code} {body}")),
        }
    })
    .await;
    operator
}

#[tokio::test(flavor = "multi_thread")]
async fn every_component_can_be_killed_paused_and_resumed_under_the_same_operator() {
    need!(Owned, Controllers);
    let own = OwnCluster::start_with_pods("kwok").await;
    own.install();
    let admin = own.cluster().admin().await;
    // A lease that outlasts every fault here: the process itself must come through all of them.
    let mut operator = own.operator(&["--lease-duration", "120s"]);
    operator.ready().await;
    judged(&own, &admin, &operator, "before").await;

    for component in [
        "kwok",
        "kube-scheduler",
        "kube-controller-manager",
        "etcd",
        "kube-apiserver",
    ] {
        own.ctl("kill", component);
        own.ctl("start", component);
        judged(&own, &admin, &operator, &format!("after-kill-{component}")).await;
        own.ctl("pause", component);
        eventually(
            "a pause of some seconds",
            LONG,
            elapsed(Duration::from_secs(4)),
        )
        .await;
        own.ctl("resume", component);
        judged(&own, &admin, &operator, &format!("after-pause-{component}")).await;
    }
    assert_eq!(
        operator.exit_code(),
        None,
        "it ended: {}",
        operator.log_tail()
    );
    operator.ready().await;
    let (code, body) = operator.probe("/livez").await.expect("livez");
    assert_eq!(code, 200, "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_the_lease_ends_the_process_with_an_error() {
    need!(Owned);
    let own = OwnCluster::start().await;
    let mut operator = own.operator(&["--lease-duration", "6s"]);
    operator.leads(LONG).await;
    own.ctl("pause", "kube-apiserver");
    let status = operator.ended(Duration::from_secs(20)).await;
    own.ctl("resume", "kube-apiserver");
    assert!(!status.success());
    assert!(
        operator.log().contains("no renewal was seen"),
        "{}",
        operator.log()
    );
    let next = kept_alive(&own, operator).await;
    next.leads(LONG).await;
}

/// True when this time has gone: the condition that a fault lasts.
fn elapsed(time: Duration) -> impl AsyncFnMut() -> Result<(), String> {
    let began = std::time::Instant::now();
    async move || {
        if began.elapsed() >= time {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    }
}
