//! The harness itself, with a kind made for it: a Service whose annotations say how its passes end. What is proven for
//! this kind holds for all: a panic is quarantined, a failure backs off alone, an object that fits no type stops nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::{Api, Resource, ResourceExt};
use neuralops::adapters::clock;
use neuralops::adapters::kube::error::Classified;
use neuralops::adapters::kube::events::Events;
use neuralops::adapters::kube::scope::{self, Scope};
use neuralops::adapters::metrics::Metrics;
use neuralops::api::conditions::{ConditionStatus, ConditionType, Draft, merge};
use neuralops::controllers::harness::{self, Failure, Kind, Shared};
use neuralops::controllers::pulse::Pulse;
use neuralops::domain::reason::Reason;
use neuralops::domain::verdict::{ErrorClass, Verdict};
use neuralops::ports::{Leadership, NotLeader};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;

use crate::support::{Namespace, create, eventually, need};

const SOON: Duration = Duration::from_secs(30);

/// A Service, but with a spec that can be spoiled: `ports` is never this number.
#[derive(Resource, Serialize, Deserialize, Clone, Debug)]
#[resource(inherit = "k8s_openapi::api::core::v1::Service")]
struct Subject {
    metadata: ObjectMeta,
    status: Option<SubjectStatus>,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
struct SubjectStatus {
    #[serde(default, rename = "loadBalancer")]
    load_balancer: serde_json::Value,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Debug, thiserror::Error)]
#[error("told to fail")]
struct Told(ErrorClass);

impl Classified for Told {
    fn class(&self) -> ErrorClass {
        self.0
    }

    fn reason(&self) -> Reason {
        Reason::ApiServerUnavailable
    }
}

/// Counts the passes over each object.
#[derive(Clone, Default)]
struct Passes(Arc<Mutex<BTreeMap<String, usize>>>);

impl Passes {
    fn of(&self, name: &str) -> usize {
        self.0
            .lock()
            .expect("no panic inside")
            .get(name)
            .copied()
            .unwrap_or_default()
    }

    fn count(&self, name: String) {
        *self
            .0
            .lock()
            .expect("no panic inside")
            .entry(name)
            .or_default() += 1;
    }
}

struct TestKind(Passes);

impl Kind for TestKind {
    type Object = Subject;
    type Status = SubjectStatus;
    type Facts = String;
    type Decision = String;
    type Done = ();
    type Error = Told;

    const NAME: &'static str = "test";

    fn parse(text: &str) -> Result<Subject, serde_json::Error> {
        serde_json::from_str(text)
    }

    async fn gather(&self, object: &Subject) -> Result<String, Told> {
        self.0.count(object.name_any());
        let order = object
            .annotations()
            .get("order")
            .cloned()
            .unwrap_or_default();
        match order.as_str() {
            "fail in gather" => Err(Told(ErrorClass::Transient)),
            _ => Ok(order),
        }
    }

    fn decide(&self, order: &String) -> String {
        assert_ne!(order, "panic", "told to panic");
        order.clone()
    }

    async fn act(&self, order: String, _fence: &dyn Leadership) -> Result<(), Told> {
        match order.as_str() {
            "fail for good" => Err(Told(ErrorClass::Permanent)),
            _ => Ok(()),
        }
    }

    fn status(&self, object: &Subject, pass: Result<&(), &Failure>) -> SubjectStatus {
        let before = object.status.clone().unwrap_or_default();
        let draft = match pass {
            Ok(()) => Draft::new(
                ConditionType::Ready,
                ConditionStatus::True,
                Reason::Valid,
                "well",
            ),
            Err(failure) => Draft::new(
                ConditionType::Ready,
                ConditionStatus::False,
                failure.reason,
                failure.message.as_str(),
            ),
        };
        SubjectStatus {
            conditions: merge(&before.conditions, vec![draft], None, clock::now()),
            ..before
        }
    }

    fn verdict(&self, (): &()) -> Verdict {
        Verdict::Settled
    }

    fn current(object: &Subject) -> Option<&SubjectStatus> {
        object.status.as_ref()
    }

    fn conditions(status: &SubjectStatus) -> &[Condition] {
        &status.conditions
    }
}

struct Leads(bool);

impl Leadership for Leads {
    fn holds(&self) -> Result<(), NotLeader> {
        if self.0 { Ok(()) } else { Err(NotLeader) }
    }
}

/// A running harness over the Services of one namespace.
struct Running {
    namespace: Namespace,
    passes: Passes,
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    async fn start(cluster: &'static crate::support::Cluster, leads: bool) -> Self {
        let namespace = Namespace::new(cluster, "harness").await;
        let client = namespace.admin().clone();
        let (passes, metrics, pulse) = (
            Passes::default(),
            Arc::new(Metrics::new().expect("metrics")),
            Arc::new(Pulse::new("test")),
        );
        let shared = Shared {
            client: client.clone(),
            scope: Scope::default(),
            events: Events::new(client.clone(), "test".into(), Scope::default()),
            metrics: Arc::clone(&metrics),
            fence: Arc::new(Leads(leads)),
            recording: watch::channel(true).1,
            concurrency: 2,
        };
        let watched = scope::everywhere::<Subject>(Api::namespaced(client, namespace.name()));
        let stop = watch::Sender::new(false);
        let run = harness::run(
            TestKind(passes.clone()),
            watched,
            shared,
            Arc::clone(&pulse),
            futures::stream::pending::<()>(),
            stop.subscribe(),
        );
        #[expect(
            clippy::disallowed_methods,
            reason = "the test owns this task and ends it"
        )]
        let task = tokio::spawn(run);
        Self {
            namespace,
            passes,
            metrics,
            pulse,
            stop,
            task,
        }
    }

    async fn service(&self, name: &str, order: &str) {
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": self.namespace.name(), "annotations": {"order": order}},
            "spec": {"ports": [{"port": 80}]},
        });
        create(self.namespace.admin(), service)
            .await
            .expect("created");
    }

    /// Waits until Ready of an object has this reason.
    async fn ready_says(&self, name: &str, reason: &str) {
        let services: Api<Subject> =
            Api::namespaced(self.namespace.admin().clone(), self.namespace.name());
        eventually("Ready says so", SOON, async || {
            let object = services
                .get(name)
                .await
                .map_err(|error| error.to_string())?;
            let conditions = object.status.unwrap_or_default().conditions;
            match conditions
                .iter()
                .find(|condition| condition.type_ == "Ready")
            {
                Some(ready) if ready.reason == reason => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    fn metric(&self, line: &str) -> bool {
        String::from_utf8(self.metrics.render().expect("text"))
            .expect("UTF-8")
            .contains(line)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_quarantined_and_its_neighbour_goes_on() {
    let running = Running::start(need!(), true).await;
    running.service("bad", "panic").await;
    running.service("good", "").await;
    running.ready_says("good", "Valid").await;
    running.ready_says("bad", "InternalError").await;
    // Three tries; a Service has no generation, so our own status makes it a new version with three tries of its own.
    assert!(
        (3..=6).contains(&running.passes.of("bad")),
        "{} tries",
        running.passes.of("bad")
    );
    assert!(running.metric(r#"outcome="panicked"} "#));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_in_the_status_and_tried_again_with_backoff() {
    let running = Running::start(need!(), true).await;
    running.service("bad", "fail in gather").await;
    running.ready_says("bad", "ApiServerUnavailable").await;
    eventually("it is tried again", SOON, async || {
        let passes = running.passes.of("bad");
        if passes >= 3 {
            Ok(())
        } else {
            Err(format!("{passes} passes"))
        }
    })
    .await;
    // One is the first pass, one the echo of our own status; the others came by backoff and not in a loop.
    assert!(
        running.passes.of("bad") < 8,
        "{} passes within seconds: a hot loop",
        running.passes.of("bad")
    );
    assert!(running.metric(r#"neuralops_objects_backing_off{controller="test"} 1"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_failure_is_told_and_not_tried_again() {
    let running = Running::start(need!(), true).await;
    running.service("bad", "fail for good").await;
    running.ready_says("bad", "ApiServerUnavailable").await;
    running.service("later", "").await;
    running.ready_says("later", "Valid").await;
    assert!(
        running.passes.of("bad") <= 2,
        "{} passes",
        running.passes.of("bad")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_lead_does_nothing() {
    let running = Running::start(need!(), false).await;
    running.service("one", "").await;
    eventually("the watch has seen it", SOON, async || {
        if running.pulse.filled() && running.metric(r#"outcome="settled"} 1"#) {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .await;
    assert_eq!(running.passes.of("one"), 0);
    let services: Api<Subject> =
        Api::namespaced(running.namespace.admin().clone(), running.namespace.name());
    let status = services
        .get("one")
        .await
        .expect("there")
        .status
        .unwrap_or_default();
    assert!(status.conditions.is_empty(), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_it_even_before_the_first_listing() {
    let cluster = need!();
    for wait_until_filled in [false, true] {
        let mut running = Running::start(cluster, true).await;
        if wait_until_filled {
            eventually("the cache is filled", SOON, async || {
                if running.pulse.filled() {
                    Ok(())
                } else {
                    Err("not yet".to_owned())
                }
            })
            .await;
        }
        running.stop.send_replace(true);
        let ended = tokio::time::timeout(SOON, &mut running.task).await;
        assert!(
            ended.is_ok(),
            "it goes on after a stop; filled: {wait_until_filled}"
        );
    }
}
