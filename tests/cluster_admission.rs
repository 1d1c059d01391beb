//! The admission policies of config/admission, on a real API server: every rule, with acts that it permits and acts
//! that it refuses, and what a person reads then. One file for each policy; what they share stands here.
//! A case says only how its act differs from a good one. Of two policies that refuse the same act either may answer
//! first, so a case breaks one policy only.

#![expect(
    clippy::too_many_lines,
    reason = "a table of cases is as long as it is"
)]

use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Duration;

use futures::FutureExt;
use kube::Client;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::{Cluster, Namespace, api, create, eventually, grant, manifests, need, ours};

mod decision_gate;
mod decision_identity;
mod decision_record;
mod freeze_by;
mod gate_origin;
mod keep;
mod operator_writes;
mod orchestration_requester;
mod playbook_account;
mod rights;
mod samples;
mod secrets;

const PLAN: &str = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
const OTHER_PLAN: &str = "sha256:fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9";

/// Who asks the policies what they know, and is in no case.
const PROBE: &str = "probe";

/// How an act is expected to end.
enum Expected {
    Accepted,
    /// Refused by this policy, in these words.
    Denied(&'static str, String),
    /// Refused by the schema or the rules of the kind.
    Invalid(&'static str),
}
use Expected::{Accepted, Denied, Invalid};

/// The cases of one test: all are tried, and all that went wrong stand in the failure.
struct Table {
    rule: &'static str,
    cases: usize,
    wrong: Vec<String>,
}

impl Table {
    fn of(rule: &'static str) -> Self {
        Self {
            rule,
            cases: 0,
            wrong: Vec::new(),
        }
    }

    fn check<T: Debug>(&mut self, case: &str, expected: &Expected, got: Result<T, kube::Error>) {
        self.cases += 1;
        if let Err(difference) = compare(expected, &got) {
            self.wrong.push(format!("  {case}: {difference}"));
        }
    }

    fn check_that(&mut self, case: &str, holds: bool) {
        self.cases += 1;
        if !holds {
            self.wrong.push(format!("  {case}: does not hold"));
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        eprintln!(
            "{}: {} cases, {} wrong",
            self.rule,
            self.cases,
            self.wrong.len()
        );
        if !std::thread::panicking() {
            assert!(
                self.wrong.is_empty(),
                "{}:\n{}",
                self.rule,
                self.wrong.join("\n")
            );
        }
    }
}

fn compare<T: Debug>(expected: &Expected, got: &Result<T, kube::Error>) -> Result<(), String> {
    let (told, as_expected) = match (expected, got) {
        (Accepted, Ok(_)) => return Ok(()),
        (Accepted, Err(error)) => return Err(format!("refused: {error}")),
        (Denied(..) | Invalid(_), Ok(_)) => return Err("accepted".to_owned()),
        (Denied(policy, message), Err(kube::Error::Api(status))) => {
            let answer = format!(
                "ValidatingAdmissionPolicy '{policy}.neuralops.io' with binding '{policy}.neuralops.io' denied request: {message}"
            );
            (&status.message, status.message.ends_with(&answer))
        }
        (Invalid(message), Err(kube::Error::Api(status))) => {
            let by_policy = status.message.contains("ValidatingAdmissionPolicy");
            (
                &status.message,
                status.code == 422 && !by_policy && status.message.contains(message),
            )
        }
        (Denied(..) | Invalid(_), Err(error)) => {
            return Err(format!("not an answer of the API server: {error}"));
        }
    };
    if as_expected {
        Ok(())
    } else {
        Err(format!("refused in other words: {told}"))
    }
}

/// A namespace in which the policies are in force, and an operator of its own: an account that holds the operator's
/// verb by name and, other than the shipped operator of today, the rights to write every kind.
struct Scene {
    cluster: &'static Cluster,
    ns: Namespace,
    operator: Client,
    operator_name: String,
    probe: Client,
}

impl Scene {
    async fn set(cluster: &'static Cluster, purpose: &str) -> Self {
        policies_act(cluster).await;
        let ns = Namespace::new(cluster, purpose).await;
        let operator = cluster.service_account(ns.name(), "operator").await;
        let operator_name = format!("system:serviceaccount:{}:operator", ns.name());
        let rules = [
            ours("operate", "gates decisions"),
            ours(
                "get list create update patch delete deletecollection",
                "gates decisions orchestrations playbooks",
            ),
            ours(
                "get update patch",
                "gates/status orchestrations/status playbooks/status",
            ),
        ];
        grant(&ns, &operator_name, &rules).await;
        grant(&ns, PROBE, &[ours("create", "decisions")]).await;
        let probe = cluster.user(PROBE).await;
        Self {
            cluster,
            ns,
            operator,
            operator_name,
            probe,
        }
    }

    fn name(&self) -> &str {
        self.ns.name()
    }

    fn admin(&self) -> &Client {
        self.ns.admin()
    }

    /// One of the people, with the right to write votes and to hold these approver roles.
    async fn approver(&self, person: &str, roles: &str) -> Client {
        let rules = [
            ours("create", "decisions"),
            ours("approve reject", "approverroles").named(roles),
        ];
        grant(&self.ns, person, &rules).await;
        self.cluster.person(person).await
    }

    /// A ServiceAccount of this namespace and its name as a user.
    async fn account(&self, name: &str) -> (Client, String) {
        (
            self.cluster.service_account(self.name(), name).await,
            format!("system:serviceaccount:{}:{name}", self.name()),
        )
    }

    /// An object in this namespace: the parts that every such object has, and what the case adds.
    fn object(&self, kind: &str, change: Value) -> Value {
        let mut object = json!({
            "apiVersion": "neuralops.io/v1alpha1",
            "kind": kind,
            "metadata": {"namespace": self.name(), "generateName": "t-"},
        });
        merge(&mut object, change);
        object
    }

    /// A Gate as the operator opens it: for the role oncall, for more people than there are, so
    /// that no test settles it by its votes; requested by somebody who is in no case.
    fn gate(&self, change: Value) -> Value {
        let mut gate = self.object(
            "Gate",
            json!({"spec": {
                "subject": {"uid": "5b0c7d5e-0b4a-4a53-8f3f-3f0f1b6a7c11", "planDigest": PLAN},
                "rules": [{"role": "oncall", "min": 16}],
                "requestedBy": ["requester"],
            }}),
        );
        merge(&mut gate, change);
        gate
    }

    /// Opens a Gate, and waits until the policies know it: until then a vote on it is none of their business.
    async fn open_gate(&self, change: Value) -> DynamicObject {
        let gate = create(&self.operator, self.gate(change))
            .await
            .expect("a gate");
        if gate
            .metadata
            .labels
            .as_ref()
            .is_some_and(|labels| labels.contains_key("neuralops.io/settled"))
        {
            return gate;
        }
        let probe = json!({"spec": {"user": PROBE, "gateRef": {"uid": "probe"}}});
        let probe: DynamicObject =
            serde_json::from_value(self.decision(&gate, probe)).expect("an object");
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let known = Denied(
            "decision-gate",
            "this is another Gate of that name".to_owned(),
        );
        eventually(
            "the policies know the Gate",
            Duration::from_secs(20),
            async || compare(&known, &of(&self.probe, &probe).create(&dry, &probe).await),
        )
        .await;
        gate
    }

    /// Settles the Gate as the operator does.
    async fn settle(&self, gate: &DynamicObject, state: &str) {
        let status = Patch::Merge(json!({"status": {"state": state, "observedGeneration": 1}}));
        let gates = api(&self.operator, "Gate", self.name());
        gates
            .patch_status(&name(gate), &PatchParams::default(), &status)
            .await
            .expect("a status");
    }

    /// A good vote of alice on the Gate.
    fn decision(&self, gate: &DynamicObject, change: Value) -> Value {
        let mut decision = self.object(
            "Decision",
            json!({"spec": {
                "gateRef": {"name": name(gate), "uid": uid(gate)},
                "planDigest": gate.data["spec"]["subject"]["planDigest"],
                "verdict": "Approve",
                "user": "alice",
            }}),
        );
        merge(&mut decision, change);
        decision
    }

    async fn vote(
        &self,
        by: &Client,
        gate: &DynamicObject,
        change: Value,
    ) -> Result<DynamicObject, kube::Error> {
        create(by, self.decision(gate, change)).await
    }
}

/// Tries until it is refused as expected: what a policy knows of another object is a moment old.
async fn soon<T: Debug>(
    table: &mut Table,
    case: &str,
    expected: Expected,
    mut act: impl AsyncFnMut() -> Result<T, kube::Error>,
) {
    let got = eventually(case, Duration::from_secs(10), async || {
        let got = act().await;
        compare(&expected, &got).map(|()| got)
    });
    table.check(case, &expected, got.await);
}

/// A merge patch (RFC 7386): null takes a field away.
fn merge(target: &mut Value, change: Value) {
    match change {
        Value::Object(fields) => {
            if !target.is_object() {
                *target = json!({});
            }
            for (key, value) in fields {
                if value.is_null() {
                    target.as_object_mut().expect("an object").remove(&key);
                } else {
                    merge(&mut target[key], value);
                }
            }
        }
        other => *target = other,
    }
}

fn name(object: &DynamicObject) -> String {
    object
        .metadata
        .name
        .clone()
        .expect("a stored object has a name")
}

fn uid(object: &DynamicObject) -> String {
    object
        .metadata
        .uid
        .clone()
        .expect("a stored object has a uid")
}

/// An owner reference to the object.
fn owner(object: &DynamicObject) -> Value {
    let types = object.types.clone().expect("a kind");
    json!({"apiVersion": types.api_version, "kind": types.kind, "name": name(object), "uid": uid(object)})
}

async fn edit(
    by: &Client,
    object: &DynamicObject,
    change: Value,
) -> Result<DynamicObject, kube::Error> {
    of(by, object)
        .patch(
            &name(object),
            &PatchParams::default(),
            &Patch::Merge(change),
        )
        .await
}

async fn edit_status(
    by: &Client,
    object: &DynamicObject,
    change: Value,
) -> Result<DynamicObject, kube::Error> {
    of(by, object)
        .patch_status(
            &name(object),
            &PatchParams::default(),
            &Patch::Merge(change),
        )
        .await
}

async fn delete(
    by: &Client,
    object: &DynamicObject,
    params: &DeleteParams,
) -> Result<(), kube::Error> {
    of(by, object)
        .delete(&name(object), params)
        .await
        .map(|_| ())
}

fn of(by: &Client, object: &DynamicObject) -> kube::Api<DynamicObject> {
    let kind = &object.types.as_ref().expect("a kind").kind;
    api(
        by,
        kind,
        object.metadata.namespace.as_deref().unwrap_or_default(),
    )
}

/// A policy acts a moment after it was stored: waited for once per run, and not again by every test if that was in vain.
async fn policies_act(cluster: &'static Cluster) {
    static ACT: OnceCell<bool> = OnceCell::const_new();
    let wait = async || {
        AssertUnwindSafe(first_refusals(cluster))
            .catch_unwind()
            .await
            .is_ok()
    };
    assert!(
        *ACT.get_or_init(wait).await,
        "the policies are not in force; the test that waited for them says how that showed"
    );
}

/// One refusal of each kind of request, as dry runs that leave nothing behind.
async fn first_refusals(cluster: &Cluster) {
    let admin = cluster.admin().await;
    let object = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "neuralops.io/v1alpha1",
            "kind": kind,
            "metadata": {"name": "canary", "namespace": "default"},
            "spec": spec,
        })
    };
    let canaries = [
        object(
            "Freeze",
            json!({"reason": "canary", "frozenBy": "canary", "namespaces": ["canary"]}),
        ),
        object(
            "Orchestration",
            json!({"incident": {"summary": "canary"}, "requestedBy": "canary"}),
        ),
        object(
            "Gate",
            json!({
                "subject": {"uid": "canary", "planDigest": PLAN},
                "rules": [{"role": "canary", "min": 1}],
                "requestedBy": ["canary"],
            }),
        ),
        object(
            "Decision",
            json!({
                "gateRef": {"name": "canary", "uid": "canary"},
                "planDigest": PLAN,
                "verdict": "Approve",
                "user": "canary",
            }),
        ),
    ];
    let dry = PostParams {
        dry_run: true,
        ..Default::default()
    };
    for canary in canaries {
        let object: DynamicObject = serde_json::from_value(canary).expect("an object");
        eventually(
            "the policies are in force",
            Duration::from_secs(30),
            async || match of(&admin, &object).create(&dry, &object).await {
                Err(error) if error.to_string().contains("ValidatingAdmissionPolicy") => Ok(()),
                answer => Err(format!("{answer:?}")),
            },
        )
        .await;
    }
}

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Every document of the YAML files of a folder.
fn shipped(folder: &str) -> Vec<Value> {
    let files = std::fs::read_dir(repository(folder))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path());
    let texts = files.filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    texts
        .flat_map(|path| manifests(&std::fs::read_to_string(path).expect("a file")))
        .collect()
}

/// What a policy says, and which of its words no caller of the API server can ever read.
const UNREACHABLE: [&str; 2] = [
    "the caller has no name", // whoever is not authenticated is called system:anonymous
    "without a state",        // the kind's default gives every Gate one
];

/// A rule that is added without a case fails here, also where there is no cluster.
#[test]
fn every_message_of_the_policies_stands_in_a_case() {
    let cases: String = std::fs::read_dir(repository("tests/cluster_admission"))
        .expect("the cases")
        .map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("a file"))
        .collect();
    let mut missing = Vec::new();
    for policy in shipped("config/admission") {
        for validation in policy["spec"]["validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let words = match (
                validation["message"].as_str(),
                validation["messageExpression"].as_str(),
            ) {
                (Some(message), None) => vec![message],
                // The literals of a CEL expression stand in single quotes.
                (None, Some(expression)) => expression
                    .split('\'')
                    .skip(1)
                    .step_by(2)
                    .filter(|text| text.len() > 4)
                    .collect(),
                _ => panic!("a rule with one of message and messageExpression: {validation}"),
            };
            missing.extend(
                words
                    .into_iter()
                    .filter(|text| !UNREACHABLE.contains(text) && !cases.contains(text))
                    .map(str::to_owned),
            );
        }
    }
    assert!(
        missing.is_empty(),
        "no case expects these words of a policy: {missing:#?}"
    );
}

/// The operator compares what it finds with what was shipped, field by field. So the shipped files spell out whatever
/// the API server would fill in, and nothing is lost or added on the way.
#[tokio::test]
async fn policies_read_back_as_they_are_written() {
    let cluster = need!();
    let admin = cluster.admin().await;
    let mut table = Table::of("policies read back as written");
    for written in shipped("config/admission") {
        let (kind, name) = (
            written["kind"].as_str().expect("a kind"),
            written["metadata"]["name"].as_str().expect("a name"),
        );
        let stored = api(&admin, kind, "")
            .get(name)
            .await
            .expect("an installed policy");
        table.check_that(
            &format!("{kind} {name}"),
            stored.data["spec"] == written["spec"],
        );
        let labels = serde_json::to_value(&stored.metadata.labels).expect("labels");
        table.check_that(
            &format!("{kind} {name}, labels"),
            labels == written["metadata"]["labels"],
        );
    }
}

/// The API server checks the expressions against the schemas of the kinds; a misspelt field is only a warning there.
#[tokio::test]
async fn policies_have_no_type_warnings() {
    let cluster = need!(Controllers);
    let admin = cluster.admin().await;
    let mut table = Table::of("policies have no type warnings");
    for policy in shipped("config/admission")
        .iter()
        .filter(|object| object["kind"] == "ValidatingAdmissionPolicy")
    {
        let name = policy["metadata"]["name"].as_str().expect("a name");
        let checked = eventually(
            "the expressions are checked",
            Duration::from_secs(60),
            async || {
                let stored = api(&admin, "ValidatingAdmissionPolicy", "")
                    .get(name)
                    .await
                    .map_err(|error| error.to_string())?;
                if stored.data["status"]["typeChecking"].is_object() {
                    Ok(stored)
                } else {
                    Err(stored.data["status"].to_string())
                }
            },
        )
        .await;
        table.check_that(
            name,
            checked.data["status"]["typeChecking"]["expressionWarnings"].is_null(),
        );
    }
}
