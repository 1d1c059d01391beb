//! `neuralops verify-install` against a control plane with an operator: what it says of an installation that is whole, of one
//! without each of its policies in turn, and to those who may not try; and that it leaves nothing behind.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::cluster_playbook::playbook;
use crate::support::{
    Cluster, Namespace, OwnCluster, api, bind_everywhere, core, create, eventually, grant,
    grant_everywhere, manifests, need, ours,
};

const SOON: Duration = Duration::from_secs(60);
const PLAN: &str = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
const ADMISSION: [&str; 2] = [
    "ValidatingAdmissionPolicyBinding",
    "ValidatingAdmissionPolicy",
];

/// Each policy, and the forgeries that nothing refuses without it.
const REFUSES: [(&str, &[&str]); 11] = [
    ("decision-identity", &["anothers-decision"]),
    (
        "decision-gate",
        &[
            "digest-swap",
            "expired-gate",
            "replay",
            "self-approval",
            "settled-gate",
        ],
    ),
    ("decision-record", &["decision-delete", "decision-edit"]),
    ("freeze-by", &["anothers-freeze"]),
    ("gate-origin", &["anothers-gate", "gate-of-a-run"]),
    ("keep", &["anchor-delete"]),
    (
        "operator-writes",
        &[
            "anchor-edit",
            "gate-status",
            "playbook-status",
            "run-status",
            "trustpolicy-status",
        ],
    ),
    ("orchestration-requester", &["anothers-run"]),
    ("orchestration-secrets", &["secret-in-run"]),
    ("playbook-account", &["borrowed-account"]),
    ("playbook-secrets", &["secret-in-playbook"]),
];

struct Bed {
    cluster: &'static Cluster,
    ns: Namespace,
}

/// What the command answered: its code, and its report.
struct Answer {
    code: Option<i32>,
    report: Value,
    text: String,
}

impl Answer {
    /// The forgeries with this verdict.
    fn with(&self, verdict: &str) -> BTreeSet<String> {
        let all = self.report["forgeries"].as_array().into_iter().flatten();
        all.filter(|row| row["verdict"] == verdict)
            .map(|row| row["forgery"].as_str().expect("a name").to_owned())
            .collect()
    }

    fn of(&self, forgery: &str) -> &Value {
        let mut all = self.report["forgeries"].as_array().into_iter().flatten();
        all.find(|row| row["forgery"] == forgery)
            .unwrap_or_else(|| panic!("{forgery} was not tried: {}", self.text))
    }

    /// The powers of a subject, and whether they are by a wildcard.
    fn powers(&self, subject: &str) -> Vec<(String, bool)> {
        let all = self.report["powers"]["holders"]
            .as_array()
            .into_iter()
            .flatten();
        let powers = all
            .filter(|holder| holder["subject"] == subject)
            .flat_map(|holder| holder["powers"].as_array().expect("powers").clone());
        powers
            .map(|power| {
                let name = power["power"].as_str().expect("a power").to_owned();
                (name, power["wildcard"] == true)
            })
            .collect()
    }

    #[track_caller]
    fn ended(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.text);
        self
    }
}

impl Bed {
    /// alice may verify; what she can try it on comes later.
    async fn set(cluster: &'static Cluster) -> Self {
        let ns = Namespace::new(cluster, "verify").await;
        for role in ["neuralops-verifier", "neuralops-forger"] {
            bind_everywhere(&ns, "alice", role).await;
        }
        Self { cluster, ns }
    }

    /// The command, by somebody with a kubeconfig.
    fn verify(&self, person: &str, more: &[&str]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_neuralops"))
            .args(["verify-install", "-n", self.ns.name(), "-o", "json"])
            .args(more)
            .arg("--kubeconfig")
            .arg(self.cluster.kubeconfig_file().with_file_name(person))
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .expect("neuralops runs");
        let out = String::from_utf8(output.stdout).expect("text");
        let err = String::from_utf8(output.stderr).expect("text");
        Answer {
            code: output.status.code(),
            report: serde_json::from_str(&out).unwrap_or_default(),
            text: format!("{out}{err}"),
        }
    }

    /// The answer, once it is as it has to be: rights and policies act a moment after they were written.
    async fn until(&self, what: &str, more: &[&str], is: impl Fn(&Answer) -> bool) -> Answer {
        eventually(what, SOON, async || {
            let answer = self.verify("alice", more);
            if is(&answer) {
                Ok(answer)
            } else {
                Err(answer.text)
            }
        })
        .await
    }

    async fn gate(&self, name: &str, more: Value) -> Value {
        let alice = self.cluster.person("alice").await;
        let mut gate = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate",
            "metadata": {"name": name, "namespace": self.ns.name()},
            "spec": {
                "subject": {"uid": "5b0c7d5e-0b4a-4a53-8f3f-3f0f1b6a7c11", "planDigest": PLAN},
                "rules": [{"role": "oncall", "min": 16}],
                "requestedBy": ["alice"],
            },
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            gate["spec"][field] = value.clone();
        }
        let made = create(&alice, gate).await.expect("a gate");
        serde_json::to_value(made).expect("JSON")
    }

    /// Something of each kind: an open Gate of alice's, one that has expired, a vote, a run, a Playbook, a TrustPolicy.
    async fn furnish(&self) {
        let (ns, admin) = (&self.ns, self.ns.admin());
        let open = self.gate("open", json!({})).await;
        self.gate("late", json!({"deadline": "2026-01-01T00:00:00Z"}))
            .await;
        let rules = [
            ours("create", "decisions"),
            ours("approve", "approverroles").named("oncall"),
        ];
        grant(ns, "bob", &rules).await;
        let bob = self.cluster.person("bob").await;
        let vote = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Decision",
            "metadata": {"name": "vote", "namespace": ns.name()},
            "spec": {
                "gateRef": {"name": "open", "uid": open["metadata"]["uid"]},
                "planDigest": PLAN, "verdict": "Approve", "user": "bob",
            },
        });
        eventually("the policy knows the Gate", SOON, async || {
            let made = create(&bob, vote.clone()).await;
            made.map(drop).map_err(|error| error.to_string())
        })
        .await;
        let run = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration",
            "metadata": {"name": "run", "namespace": ns.name()},
            "spec": {"incident": {"summary": "test"}, "requestedBy": "alice"},
        });
        let alice = self.cluster.person("alice").await;
        create(&alice, run).await.expect("a run");
        create(admin, playbook("restart", ns.name()))
            .await
            .expect("a playbook");
        let sample = include_str!("../config/samples/trustpolicy.yaml");
        for mut policy in manifests(sample) {
            if policy["kind"] == "TrustPolicy" {
                policy["metadata"]["name"] = json!(ns.name());
                ns.also_delete("TrustPolicy", ns.name());
                create(admin, policy).await.expect("a trust policy");
            }
        }
        eventually("the operator settles the Gate", SOON, async || {
            let gate = api(admin, "Gate", ns.name()).get("late").await;
            let state = gate.expect("a gate").data["status"]["state"].clone();
            if state == "Expired" {
                Ok(())
            } else {
                Err(state.to_string())
            }
        })
        .await;
    }

    /// Takes a policy and its binding away, and returns what brings them back.
    async fn remove(&self, policy: &str) -> Vec<Value> {
        let mut taken = Vec::new();
        for kind in ADMISSION {
            let objects = api(self.ns.admin(), kind, "");
            let name = format!("{policy}.neuralops.io");
            let object = objects.get(&name).await.expect("a policy");
            objects
                .delete(&name, &DeleteParams::default())
                .await
                .expect("deleted");
            taken.push(json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
                "metadata": {"name": name, "labels": object.metadata.labels},
                "spec": object.data["spec"],
            }));
        }
        taken
    }

    async fn bring_back(&self, taken: Vec<Value>) {
        for object in taken.into_iter().rev() {
            create(self.ns.admin(), object).await.expect("made again");
        }
    }

    /// Everything of ours, by kind, name and uid.
    async fn everything(&self) -> Vec<String> {
        let mut all = Vec::new();
        for kind in [
            "AuditLog",
            "Decision",
            "Freeze",
            "Gate",
            "Orchestration",
            "Playbook",
            "TrustPolicy",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "CustomResourceDefinition",
        ] {
            let objects = api(self.ns.admin(), kind, self.ns.name());
            let list = objects.list(&ListParams::default()).await.expect("a list");
            for object in list.items {
                let meta = object.metadata;
                let ends = meta.deletion_timestamp.is_some();
                all.push(format!(
                    "{kind} {:?} {:?} {ends} {:?}",
                    meta.name, meta.uid, meta.labels
                ));
            }
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_is_whole_or_the_report_names_what_is_not() {
    need!(Owned);
    let own = OwnCluster::start().await;
    let operator = own.operator(&[]);
    operator.ready().await;
    let bed = Bed::set(own.cluster()).await;
    fresh(&bed).await;
    bed.furnish().await;
    whole(&bed).await;
    nothing_is_left_behind(&bed).await;
    without_rights(&bed);
    with_every_right(&bed);
    as_an_account(&bed).await;
    powers(&bed).await;
    without_each_policy(&bed).await;
    left_out_by_choice(&bed).await;
    altered(&bed).await;
    changed_on_the_way(&bed).await;
    nobody_leads(&bed);
}

/// Right after the installation there is nothing to try votes on: that is said, and is no failure.
async fn fresh(bed: &Bed) {
    let answer = bed
        .until("rights act", &[], |answer| answer.code == Some(0))
        .await;
    for forgery in [
        "self-approval",
        "digest-swap",
        "replay",
        "settled-gate",
        "decision-edit",
    ] {
        let row = answer.of(forgery);
        assert_eq!(row["verdict"], "implied", "{row}");
        let said = row["answer"].as_str().expect("words");
        assert!(said.starts_with("not tried: "), "{said}");
    }
    // Both policies of votes refuse; which of them answers is the API server's choice, so one hides the other.
    let shown =
        ["anothers-decision", "vote-without-gate"].map(|name| answer.of(name)["verdict"].clone());
    assert!(
        shown.iter().any(|verdict| verdict == "refused")
            && shown.iter().all(|verdict| verdict != "unknown"),
        "{}",
        answer.text
    );
    for forgery in [
        "anothers-run",
        "anothers-gate",
        "anchor-edit",
        "anchor-delete",
    ] {
        assert_eq!(answer.of(forgery)["verdict"], "refused", "{}", answer.text);
    }
    let people = Command::new(env!("CARGO_BIN_EXE_neuralops"))
        .args(["verify-install", "-n", bed.ns.name(), "--kubeconfig"])
        .arg(bed.cluster.kubeconfig_file().with_file_name("alice"))
        .env_clear()
        .output()
        .expect("neuralops runs");
    let text = String::from_utf8(people.stdout).expect("text");
    for part in ["VERDICT", "WHO", "system:masters", "whole: ", "implied"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// With something of each kind to try it on, every forgery is refused for its own reason.
async fn whole(bed: &Bed) {
    let answer = bed
        .until("all is refused", &[], |answer| {
            answer.code == Some(0) && answer.with("implied").is_empty()
        })
        .await;
    let all: BTreeSet<String> = REFUSES
        .iter()
        .flat_map(|(_, forgeries)| forgeries.iter().map(ToString::to_string))
        .chain(["kind-delete", "policy-delete", "binding-delete"].map(str::to_owned))
        .collect();
    assert_eq!(answer.with("refused"), all, "{}", answer.text);
    assert_eq!(answer.report["outcome"], "whole");
    let replay = answer.of("replay");
    assert_eq!(replay["policy"], "decision-gate.neuralops.io");
    assert_eq!(replay["answer"], "this is another Gate of that name");
    let named = format!("{}/open", bed.ns.name());
    let answer = bed.verify("alice", &["--gate", &named]);
    answer.ended(0);
    assert_eq!(answer.of("self-approval")["verdict"], "refused");
    assert_eq!(
        answer.of("expired-gate")["verdict"],
        "implied",
        "that Gate has not expired"
    );
}

/// Every write is a dry run, and everything is afterwards as it was.
async fn nothing_is_left_behind(bed: &Bed) {
    let before = bed.everything().await;
    let mark = bed.cluster.audit_mark();
    bed.verify("alice", &[]).ended(0);
    assert_eq!(bed.everything().await, before);
    let writes = eventually("the requests are on record", SOON, async || {
        let events = bed.cluster.audit_since(mark);
        let of_alice = events.into_iter().filter(|event| event.user == "alice");
        let writes: Vec<_> = of_alice
            .filter(|event| ["create", "update", "patch"].contains(&event.verb.as_str()))
            .filter(|event| !event.resource.starts_with("selfsubject"))
            .collect();
        if writes.len() >= 18 {
            Ok(writes)
        } else {
            Err(format!("{writes:?}"))
        }
    })
    .await;
    for write in writes {
        assert!(write.uri.contains("dryRun=All"), "{write:?}");
    }
}

/// Who may not try is told so: what RBAC refuses shows nothing.
fn without_rights(bed: &Bed) {
    let mallory = bed.verify("mallory", &[]);
    mallory.ended(1);
    assert_eq!(
        mallory.with("refused"),
        BTreeSet::from(["binding-delete", "kind-delete", "policy-delete"].map(str::to_owned)),
        "{}",
        mallory.text
    );
    assert!(mallory.with("implied").is_empty() && mallory.with("accepted").is_empty());
    assert!(
        !mallory.report["powers"]["unread"]
            .as_array()
            .expect("a list")
            .is_empty()
    );

    // The reader may read everything; the one in whose name is forged may do nothing.
    let powerless = bed.verify("admin", &["--as", "nobody-at-all"]);
    powerless.ended(1);
    let run = powerless.of("anothers-run");
    assert_eq!(run["verdict"], "unknown", "{run}");
    assert!(
        run["answer"]
            .as_str()
            .expect("words")
            .contains("no policy was asked"),
        "{run}"
    );
}

/// An admin may remove policies, and is told that; all else is refused to an admin, too.
fn with_every_right(bed: &Bed) {
    let admin = bed.verify("admin", &[]);
    admin.ended(0);
    assert_eq!(
        admin.with("allowed"),
        BTreeSet::from(["binding-delete", "policy-delete"].map(str::to_owned)),
        "{}",
        admin.text
    );
    assert_eq!(admin.of("kind-delete")["verdict"], "refused");
    assert_eq!(admin.of("borrowed-account")["verdict"], "implied");
}

/// As in a pod: no vote of an account is taken, and what that hides is said to be hidden. The operator forges nothing.
async fn as_an_account(bed: &Bed) {
    let ns = &bed.ns;
    let account = format!("system:serviceaccount:{}:tester", ns.name());
    for role in ["neuralops-verifier", "neuralops-forger"] {
        bind_everywhere(ns, &account, role).await;
    }
    let tester = eventually("the account's rights act", SOON, async || {
        let answer = bed.verify("admin", &["--as", &account]);
        if answer.code == Some(0) {
            Ok(answer)
        } else {
            Err(answer.text)
        }
    })
    .await;
    assert_eq!(tester.of("anothers-decision")["verdict"], "refused");
    for forgery in ["digest-swap", "replay", "settled-gate", "expired-gate"] {
        let row = tester.of(forgery);
        let said = row["answer"].as_str().expect("words");
        let hidden = row["verdict"] == "implied"
            && said.starts_with("hidden by decision-identity.neuralops.io");
        assert!(hidden || row["verdict"] == "refused", "{row}");
    }

    let operator = "system:serviceaccount:neuralops-system:neuralops-controller";
    let itself = bed.verify("admin", &["--as", operator]);
    itself.ended(2);
    assert!(
        itself.text.contains("you hold the verb operate"),
        "{}",
        itself.text
    );
}

/// Who could get around it.
async fn powers(bed: &Bed) {
    let rules = [core("impersonate", "users").named("alice")];
    grant_everywhere(&bed.ns, "dave", &rules).await;
    let runner = [core("impersonate", "serviceaccounts").named("runbook")];
    grant(&bed.ns, "carol", &runner).await;
    let answer = bed.verify("alice", &[]);
    answer.ended(0);
    let held = |name: &str| vec![(name.to_owned(), false)];
    assert_eq!(answer.powers("User dave"), held("impersonate users"));
    assert_eq!(
        answer.powers("User carol"),
        held("impersonate serviceaccounts")
    );
    assert_eq!(
        answer.powers("ServiceAccount neuralops-system/neuralops-controller"),
        held("operate")
    );
    assert_eq!(
        answer.powers("User alice"),
        [],
        "what she tries is no power"
    );
    let masters = answer.powers("Group system:masters");
    assert_eq!(masters.len(), 11, "{masters:?}");
    assert!(masters.iter().all(|(_, wildcard)| *wildcard));
}

/// Without a policy exactly its forgeries go through, and it is named as missing.
async fn without_each_policy(bed: &Bed) {
    for (policy, forgeries) in REFUSES {
        let wanted: BTreeSet<String> = forgeries.iter().map(ToString::to_string).collect();
        let taken = bed.remove(policy).await;
        let answer = bed
            .until(&format!("{policy} is gone"), &[], |answer| {
                answer.with("accepted") == wanted
            })
            .await;
        answer.ended(8);
        assert_eq!(answer.report["outcome"], "broken");
        let missing = format!("ValidatingAdmissionPolicy/{policy}.neuralops.io is missing");
        assert!(answer.text.contains(&missing), "{}", answer.text);
        assert!(answer.with("unknown").is_empty(), "{}", answer.text);
        bed.bring_back(taken).await;
    }
    bed.until("all policies are back", &[], |answer| {
        answer.code == Some(0)
    })
    .await;
}

/// What an installation may leave out is no failure if it says so.
async fn left_out_by_choice(bed: &Bed) {
    let taken = bed.remove("decision-gate").await;
    let answer = bed
        .until(
            "it is left out",
            &["--without", "decision-gate"],
            |answer| answer.code == Some(0),
        )
        .await;
    assert_eq!(answer.of("replay")["verdict"], "left-out");
    assert_eq!(answer.of("anothers-decision")["verdict"], "refused");
    bed.bring_back(taken).await;
    bed.until("it is back", &[], |answer| answer.code == Some(0))
        .await;
}

/// A binding that only watches refuses nothing.
async fn altered(bed: &Bed) {
    let bindings = api(bed.ns.admin(), ADMISSION[0], "");
    let set = async |actions: Value| {
        let change = json!({"spec": {"validationActions": actions}});
        bindings
            .patch(
                "freeze-by.neuralops.io",
                &PatchParams::default(),
                &Patch::Merge(change),
            )
            .await
            .expect("patched");
    };
    set(json!(["Audit"])).await;
    let answer = bed
        .until("it refuses nothing", &[], |answer| {
            answer.with("accepted") == BTreeSet::from(["anothers-freeze".to_owned()])
        })
        .await;
    answer.ended(8);
    let place = "ValidatingAdmissionPolicyBinding/freeze-by.neuralops.io is altered at spec.validationActions";
    assert!(answer.text.contains(place), "{}", answer.text);
    set(json!(["Deny", "Audit"])).await;
    bed.until("it refuses again", &[], |answer| answer.code == Some(0))
        .await;
}

/// What could change a vote after it was sent is named, until somebody says that they trust it.
async fn changed_on_the_way(bed: &Bed) {
    let client = json!({"url": "https://127.0.0.1:1/"});
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "injector"},
        "webhooks": [{
            "name": "injector.example.com", "clientConfig": client, "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "failurePolicy": "Ignore", "matchConditions": [{"name": "never", "expression": "false"}],
            "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["CREATE"]}],
        }],
    });
    create(bed.ns.admin(), webhook).await.expect("a webhook");
    let named = |answer: &Answer| {
        answer
            .text
            .contains("MutatingWebhookConfiguration/injector")
    };
    let answer = bed.until("it is named", &[], named).await;
    answer.ended(8);
    bed.until("it is trusted", &["--mutator", "injector"], |answer| {
        answer.code == Some(0)
    })
    .await;
    let webhooks = api(bed.ns.admin(), "MutatingWebhookConfiguration", "");
    let params = DeleteParams::default();
    webhooks.delete("injector", &params).await.expect("deleted");
}

/// Nor is it whole without an operator.
fn nobody_leads(bed: &Bed) {
    let answer = bed.verify("admin", &["--lease", "neuralops-system/none"]);
    answer.ended(8);
    let missing = "there is no Lease neuralops-system/none";
    assert!(answer.text.contains(missing), "{}", answer.text);
}
