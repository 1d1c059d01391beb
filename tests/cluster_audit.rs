//! The transparency log with the real operator: what the first start makes, that the record comes first, and that a log
//! which is not whole is neither written nor signed until a person asks for a new origin.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use neuralops::adapters::store::{self, Mode, StoreUrl};
use neuralops::api::v1alpha1::{AuditLog, AuditLogSpec};
use neuralops::domain::audit::checkpoint::Checkpoint;
use neuralops::domain::audit::event::Event;
use neuralops::domain::audit::record::Record;
use neuralops::domain::audit::request::Request;
use neuralops::ports::{Query, Store};
use serde_json::{Value, json};

use crate::support::{Author, Operator, OwnCluster, api, create, eventually, need};

const PATIENCE: Duration = Duration::from_secs(30);

fn database(own: &OwnCluster) -> PathBuf {
    own.data().join("audit.db")
}

async fn reader(own: &OwnCluster) -> Arc<dyn Store> {
    let url = StoreUrl::sqlite(&database(own));
    store::open(&url, Mode::Reader).await.expect("the store")
}

/// Everything but what is said of the admission guard, which comes when it comes.
async fn records(own: &OwnCluster) -> Vec<Record> {
    let mut records = all_records(own).await;
    let guard =
        |record: &Record| matches!(record.fact.code, Event::GuardWhole | Event::GuardBroken);
    records.retain(|record| !guard(record));
    records
}

async fn all_records(own: &OwnCluster) -> Vec<Record> {
    let query = Query {
        limit: 1000,
        ..Query::default()
    };
    let leaves = reader(own).await.query(query).await.expect("leaves");
    let parse = |body: &[u8]| Record::parse(body).expect("a record");
    leaves.iter().map(|leaf| parse(&leaf.body)).collect()
}

fn codes(records: &[Record]) -> Vec<&'static str> {
    records
        .iter()
        .map(|record| record.fact.code.code())
        .collect()
}

async fn anchor(client: &Client) -> AuditLogSpec {
    let logs: Api<AuditLog> = Api::all(client.clone());
    logs.get("main").await.expect("the AuditLog").spec
}

fn playbook(name: &str, revision: u32, duration: &str) -> Value {
    json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Playbook",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"revision": revision, "serviceAccountName": "a", "approval": [{"rules": [{"role": "r", "min": 1}]}],
                 "steps": [{"name": "w", "wait": {"duration": duration}}]},
    })
}

async fn condition(client: &Client, name: &str, kind: &str) -> Option<(String, String)> {
    let found = api(client, "Playbook", "default").get(name).await.ok()?;
    let conditions = found
        .data
        .pointer("/status/conditions")?
        .as_array()?
        .clone();
    let condition = conditions.into_iter().find(|c| c["type"] == kind)?;
    let word = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    Some((word("status"), word("reason")))
}

async fn says(client: &Client, name: &str, kind: &str, status: &str, reason: &str) {
    let what = format!("{name} says {kind}={status}, {reason}");
    eventually(&what, PATIENCE, async || {
        match condition(client, name, kind).await {
            Some((s, r)) if s == status && r == reason => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// Everything that was appended is under the anchor.
async fn anchored(own: &OwnCluster, client: &Client) -> AuditLogSpec {
    eventually("all leaves are anchored", PATIENCE, async || {
        let spec = anchor(client).await;
        let logs = reader(own)
            .await
            .logs()
            .await
            .map_err(|error| error.to_string())?;
        let current = logs.into_iter().find(|log| log.current).ok_or("no log")?;
        if current.origin == spec.origin && current.size == u64::try_from(spec.size).unwrap() {
            Ok(spec)
        } else {
            Err(format!("{current:?} and {spec:?}"))
        }
    })
    .await
}

async fn not_ready_because(operator: &Operator, reason: &str, said: &str) {
    eventually(
        &format!("the operator says {reason}"),
        PATIENCE,
        async || {
            let (code, body) = operator.probe("/readyz").await?;
            if code == 503 && body.contains(reason) && body.contains(said) {
                Ok(())
            } else {
                Err(format!("{code} {body}"))
            }
        },
    )
    .await;
    let (_, metrics) = operator.probe("/metrics").await.expect("metrics");
    let line = format!("neuralops_audit_refused{{reason=\"{reason}\"}} 1");
    assert!(metrics.contains(&line), "{metrics}");
    assert!(metrics.contains("neuralops_audit_open 0"), "{metrics}");
}

async fn stop(mut operator: Operator) {
    operator.signal("TERM");
    let status = operator.ended(PATIENCE).await;
    assert!(status.success(), "{status}: {}", operator.log_tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_makes_key_log_and_anchor_and_what_happens_is_recorded_once() {
    need!(Owned);
    let own = OwnCluster::start().await;
    let admin = own.cluster().admin().await;
    let operator = own.operator(&[]);
    operator.ready().await;

    let spec = anchored(&own, &admin).await;
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let system = namespaces.get("kube-system").await.expect("kube-system");
    let prefix = format!("neuralops.io/{}/", system.metadata.uid.expect("a uid"));
    assert!(spec.origin.starts_with(&prefix), "{}", spec.origin);
    let keys: Vec<_> = spec
        .keys
        .iter()
        .map(|key| key.parse().expect("a key"))
        .collect();
    let checkpoint = Checkpoint::open(&spec.checkpoint, &keys).expect("signed by its key");
    assert_eq!(checkpoint.root.to_string(), spec.root);
    let secrets: Api<Secret> = Api::namespaced(admin.clone(), "neuralops-system");
    let secret = secrets
        .get("neuralops-audit-keys")
        .await
        .expect("the Secret");
    assert_eq!(secret.data.expect("keys").len(), 2);

    let author = Author::new();
    create(&admin, author.policy("release", "default"))
        .await
        .expect("created");
    eventually("the policy is recorded", PATIENCE, async || {
        let codes = codes(&records(&own).await);
        if codes.ends_with(&["policy.ready"]) {
            Ok(())
        } else {
            Err(format!("{codes:?}"))
        }
    })
    .await;
    create(&admin, author.sign(playbook("p", 1, "1s")))
        .await
        .expect("created");
    says(&admin, "p", "Ready", "True", "Verified").await;
    let playbooks = api(&admin, "Playbook", "default");
    let change = |patch: Value| {
        let playbooks = playbooks.clone();
        async move {
            let parameters = PatchParams::default();
            playbooks
                .patch("p", &parameters, &Patch::Merge(patch))
                .await
                .expect("patched")
        }
    };
    change(json!({"spec": {"revision": 2}})).await;
    says(&admin, "p", "Ready", "False", "DigestMismatch").await;
    change(json!({"spec": {"description": "$(params.x)"}})).await;
    says(&admin, "p", "Valid", "False", "Invalid").await;
    // Labels are no transition.
    change(json!({"metadata": {"labels": {"a": "b"}}})).await;

    let spec = anchored(&own, &admin).await;
    let found = records(&own).await;
    let about: Vec<_> = codes(&found);
    assert_eq!(
        about[..3],
        ["log.opened", "leader.elected", "config.loaded"]
    );
    assert_eq!(
        about[3..],
        [
            "policy.ready",
            "playbook.accepted",
            "playbook.changed",
            "playbook.refused",
            "playbook.changed",
            "playbook.refused"
        ]
    );
    let accepted = &found[4].fact;
    assert_eq!(accepted.playbook, Some("default/p".into()));
    assert_eq!(accepted.revision, Some(1));
    let last = found.last().expect("records");
    let status = playbooks.get("p").await.expect("there").data["status"].clone();
    assert_eq!(
        last.fact
            .playbook_digest
            .as_ref()
            .map(ToString::to_string)
            .as_deref(),
        status["digest"].as_str()
    );
    let all = all_records(&own).await;
    assert_eq!(all.len(), usize::try_from(spec.size).unwrap());

    stop(operator).await;
    let after = anchored(&own, &admin).await;
    assert_eq!(after.size, spec.size + 1, "the last record is anchored too");
    assert_eq!(codes(&records(&own).await).last(), Some(&"leader.released"));

    // A second process goes on with the same log, and records nothing twice.
    let again = own.operator(&[]);
    again.ready().await;
    eventually("the second leader is recorded", PATIENCE, async || {
        let codes = codes(&records(&own).await);
        if codes.ends_with(&["leader.elected", "config.loaded"]) {
            Ok(())
        } else {
            Err(format!("{codes:?}"))
        }
    })
    .await;
    assert_eq!(anchor(&admin).await.origin, spec.origin);
    let epochs: Vec<_> = records(&own)
        .await
        .iter()
        .map(|record| record.epoch)
        .collect();
    assert!(
        epochs.is_sorted() && epochs.first() < epochs.last(),
        "{epochs:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_behind_its_anchor_is_refused_until_a_new_origin_is_asked_for() {
    need!(Owned);
    let own = OwnCluster::start().await;
    let admin = own.cluster().admin().await;
    let operator = own.operator(&[]);
    operator.ready().await;
    anchored(&own, &admin).await;
    stop(operator).await;
    let copy = own.data().with_extension("old");
    copy_dir(&own.data(), &copy);

    let operator = own.operator(&[]);
    operator.ready().await;
    create(&admin, playbook("before", 1, "1s"))
        .await
        .expect("created");
    says(&admin, "before", "Valid", "True", "Valid").await;
    stop(operator).await;
    let known = anchored(&own, &admin).await;

    std::fs::remove_dir_all(own.data()).expect("removed");
    copy_dir(&copy, &own.data());
    let operator = own.operator(&[]);
    not_ready_because(
        &operator,
        "RolledBack",
        &format!("the anchor says {}", known.size),
    )
    .await;
    create(&admin, playbook("during", 1, "1s"))
        .await
        .expect("created");
    says(&admin, "during", "Ready", "Unknown", "RolledBack").await;
    assert_eq!(condition(&admin, "during", "Valid").await, None);
    assert_eq!(
        condition(&admin, "before", "Valid").await,
        Some(("True".into(), "Valid".into()))
    );
    assert_eq!(anchor(&admin).await, known, "something was signed");

    let ask = Request::Follow {
        why: "a test put an old copy there".into(),
    };
    reader(&own)
        .await
        .ask(ask.to_bytes().expect("JSON"))
        .await
        .expect("asked");
    operator.ready().await;
    says(&admin, "during", "Valid", "True", "Valid").await;
    let followed = anchored(&own, &admin).await;
    assert_ne!(followed.origin, known.origin);
    assert_ne!(followed.keys[0], known.keys[0]);
    assert_eq!(followed.keys[1], known.keys[0]);
    let previous = followed.previous.last().expect("the old log");
    assert_eq!(
        (&previous.origin, previous.size, &previous.root),
        (&known.origin, known.size, &known.root)
    );
    let found = records(&own).await;
    let first = found
        .iter()
        .find(|record| record.fact.code == Event::LogFollowed);
    let logs = &first.expect("the first leaf of the new log").fact.logs;
    assert_eq!(logs[0].size, u64::try_from(known.size).unwrap());
    assert!(logs[1].size < logs[0].size, "the store was behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_or_a_key_that_is_not_ours_any_more_is_refused_by_its_own_name() {
    need!(Owned);
    let own = OwnCluster::start().await;
    let admin = own.cluster().admin().await;
    let operator = own.operator(&[]);
    operator.ready().await;
    stop(operator).await;
    let known = anchored(&own, &admin).await;
    let asked = Request::Follow {
        why: "a test altered the anchor".into(),
    };

    // The key is gone, or another one.
    let secrets: Api<Secret> = Api::namespaced(admin.clone(), "neuralops-system");
    secrets
        .delete("neuralops-audit-keys", &DeleteParams::default())
        .await
        .expect("deleted");
    let operator = own.operator(&[]);
    not_ready_because(&operator, "SigningKeyMissing", "is gone").await;
    assert_eq!(anchor(&admin).await, known);
    reader(&own)
        .await
        .ask(asked.to_bytes().expect("JSON"))
        .await
        .expect("asked");
    operator.ready().await;
    stop(operator).await;
    let known = anchored(&own, &admin).await;

    // Whoever may do everything lowers the anchor: the policies have to go first.
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(admin.clone());
    for policy in ["keep.neuralops.io", "operator-writes.neuralops.io"] {
        bindings
            .delete(policy, &DeleteParams::default())
            .await
            .expect("deleted");
    }
    let logs: Api<AuditLog> = Api::all(admin.clone());
    eventually(
        "the policies are out of force",
        PATIENCE,
        async || match logs.delete("main", &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        },
    )
    .await;
    let operator = own.operator(&[]);
    not_ready_because(&operator, "AnchorMissing", "is gone").await;
    stop(operator).await;
    let lowered = AuditLogSpec {
        size: 0,
        root: neuralops::domain::audit::hash::Hash::of_nothing().to_string(),
        ..known.clone()
    };
    let made = logs
        .create(&Default::default(), &AuditLog::new("main", lowered))
        .await;
    made.expect("an admin without policies may");
    let operator = own.operator(&[]);
    // Below what was published, or, if the operator was stopped before it wrote that down, not signed by itself.
    not_ready_because(&operator, "AnchorAltered", "the anchor").await;
    reader(&own)
        .await
        .ask(asked.to_bytes().expect("JSON"))
        .await
        .expect("asked");
    eventually("the log goes on", PATIENCE, async || {
        let (_, metrics) = operator.probe("/metrics").await?;
        if metrics.contains("neuralops_audit_open 1") {
            Ok(())
        } else {
            Err(operator.log_tail())
        }
    })
    .await;
    let followed = anchored(&own, &admin).await;
    assert_eq!(followed.previous.last().map(|log| log.size), Some(0));

    // While it is written: somebody else swaps the anchor.
    let forged = json!({"spec": {"size": followed.size + 100, "root": followed.root}});
    let parameters = PatchParams::default();
    logs.patch("main", &parameters, &Patch::Merge(forged))
        .await
        .expect("patched");
    create(&admin, playbook("p", 1, "1s"))
        .await
        .expect("created");
    not_ready_because(&operator, "AnchorAltered", "did not write").await;
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}
