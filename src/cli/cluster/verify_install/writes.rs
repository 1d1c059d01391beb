//! Floor 3: the forgeries that are no votes: names that are not the caller's, what only the operator writes, records and
//! kinds that are kept, and the policies themselves.

use k8s_openapi::{
    api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use serde_json::{Value, json};

use super::ask::{Absent, Place, Request, Trial};
use crate::{
    adapters::kube::anchor,
    api::v1alpha1::{AuditLog, Freeze, Gate, Orchestration, Playbook},
    domain::forgery::Expected,
};

/// Nobody has this name.
pub const NOBODY: &str = "verify-install-nobody";
/// The forgery that is none for whoever may use every account.
pub const BORROWED: &str = "borrowed-account";
/// The account that the shipped role may use; there need not be one.
pub const ACCOUNT: &str = "neuralops-verify-install";
const PLAN: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// What every scanner takes for a credential, and is none.
const CREDENTIAL: &str = "password: none-at-all";

/// An object that is there, or why there is none.
pub type Sample = Result<(Place, String), Absent>;

/// What is there to be tried on.
pub struct Samples {
    /// A vote.
    pub decision: Sample,
    /// A Gate.
    pub gate: Sample,
    /// A run.
    pub run: Sample,
    /// A Playbook.
    pub playbook: Sample,
    /// A TrustPolicy.
    pub trust_policy: Sample,
}

/// Every forgery that is no vote.
pub fn trials(user: &str, namespace: &str, samples: Samples) -> Vec<Trial> {
    let mut all = Vec::from(names(user, namespace));
    all.extend(contents(user, namespace));
    all.extend(records(samples.decision));
    all.extend(statuses([
        ("gate-status", "a Gate", samples.gate),
        ("run-status", "an Orchestration", samples.run),
        ("playbook-status", "a Playbook", samples.playbook),
        ("trustpolicy-status", "a TrustPolicy", samples.trust_policy),
    ]));
    all.extend(anchor_and_kinds());
    all.extend(policies());
    all
}

fn trial(
    forgery: &'static str,
    tried: impl Into<String>,
    policy: &'static str,
    words: &str,
    request: Request,
) -> Trial {
    Trial {
        forgery,
        tried: tried.into(),
        expected: Expected {
            policy: Some(policy),
            words: words.to_owned(),
            rights_suffice: false,
        },
        request,
    }
}

/// Objects in names that are not the caller's.
fn names(user: &str, namespace: &str) -> [Trial; 4] {
    let gate = |requester: &str| {
        json!({
            "subject": {"uid": NOBODY, "planDigest": PLAN},
            "rules": [{"role": NOBODY, "min": 1}],
            "requestedBy": [requester],
        })
    };
    let owner = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "name": NOBODY, "uid": NOBODY,
    });
    let gates = Place::inside::<Gate>(namespace);
    let run = json!({"spec": {"incident": {"summary": "verify-install"}, "requestedBy": NOBODY}});
    let freeze =
        json!({"spec": {"reason": "verify-install", "frozenBy": NOBODY, "namespaces": [NOBODY]}});
    [
        trial(
            "anothers-gate",
            "a Gate that does not name its maker among the requesters",
            "gate-origin.neuralops.io",
            "spec.requestedBy must contain your own name",
            Request::Create(gates.clone(), json!({"spec": gate(NOBODY)})),
        ),
        trial(
            "gate-of-a-run",
            "a Gate that pretends to belong to a run",
            "gate-origin.neuralops.io",
            "only the operator makes a Gate belong to a run",
            Request::Create(
                gates,
                json!({"metadata": {"ownerReferences": [owner]}, "spec": gate(user)}),
            ),
        ),
        trial(
            "anothers-run",
            "a run in somebody else's name",
            "orchestration-requester.neuralops.io",
            "spec.requestedBy must be your own name",
            Request::Create(Place::inside::<Orchestration>(namespace), run),
        ),
        trial(
            "anothers-freeze",
            "a Freeze in somebody else's name",
            "freeze-by.neuralops.io",
            "spec.frozenBy must be your own name",
            Request::Create(Place::outside::<Freeze>(), freeze),
        ),
    ]
}

fn playbook(account: &str, step: Value) -> Value {
    json!({"spec": {
        "revision": 1,
        "serviceAccountName": account,
        "approval": [{"rules": [{"role": NOBODY, "min": 1}]}],
        "steps": [step],
    }})
}

/// What a Playbook or a run must not hold.
fn contents(user: &str, namespace: &str) -> [Trial; 3] {
    let harmless = json!({"name": "tell", "notify": {"message": "verify-install"}});
    let telling = json!({"name": "tell", "opaque": "Accepted", "job": {
        "image": "registry.example/none:1", "env": [{"name": "NOTE", "value": CREDENTIAL}],
    }});
    let run = json!({"spec": {
        "incident": {"summary": "verify-install"},
        "requestedBy": user,
        "playbookRef": {"name": NOBODY},
        "parameters": {"note": CREDENTIAL},
    }});
    let playbooks = Place::inside::<Playbook>(namespace);
    [
        trial(
            BORROWED,
            "a Playbook that acts as an account which its author may not use",
            "playbook-account.neuralops.io",
            "needs the verb use on serviceaccounts/",
            Request::Create(playbooks.clone(), playbook(NOBODY, harmless)),
        ),
        trial(
            "secret-in-playbook",
            "a Playbook with a password in it",
            "playbook-secrets.neuralops.io",
            "the steps hold a password",
            Request::Create(playbooks, playbook(ACCOUNT, telling)),
        ),
        trial(
            "secret-in-run",
            "a run with a password among its parameters",
            "orchestration-secrets.neuralops.io",
            "the parameters hold a password",
            Request::Create(Place::inside::<Orchestration>(namespace), run),
        ),
    ]
}

/// A vote that is stored is evidence.
fn records(decision: Sample) -> [Trial; 2] {
    let policy = "decision-record.neuralops.io";
    let (edit, delete) = match decision {
        Ok((place, name)) => (
            Request::Patch(place.clone(), name.clone(), label()),
            Request::Delete(place, name),
        ),
        Err(why) => (Request::None(why.clone()), Request::None(why)),
    };
    [
        trial(
            "decision-edit",
            "an edit of a vote",
            policy,
            "a Decision is evidence",
            edit,
        ),
        trial(
            "decision-delete",
            "the end of a vote",
            policy,
            "a Decision is evidence",
            delete,
        ),
    ]
}

fn label() -> Value {
    json!({"metadata": {"labels": {"neuralops.io/verify-install": "true"}}})
}

const OPERATOR_WRITES: &str = "operator-writes.neuralops.io";
const ONLY_THE_OPERATOR: &str = "only the operator writes this";

fn statuses(samples: [(&'static str, &str, Sample); 4]) -> [Trial; 4] {
    samples.map(|(forgery, what, sample)| {
        let (request, of) = match sample {
            Ok((place, name)) => {
                let of = format!(", {name}");
                let status = json!({"status": {"observedGeneration": 1_000_000}});
                (Request::PatchStatus(place, name, status), of)
            }
            Err(why) => (Request::None(why), String::new()),
        };
        trial(
            forgery,
            format!("the status of {what}{of}, written by somebody else than the operator"),
            OPERATOR_WRITES,
            ONLY_THE_OPERATOR,
            request,
        )
    })
}

/// The anchor of the log, and the kinds with which everything would go.
fn anchor_and_kinds() -> [Trial; 3] {
    let keep = "keep.neuralops.io";
    let words = "set the annotation neuralops.io/allow-deletion";
    let log = Place::outside::<AuditLog>;
    let forged = json!({"spec": {"checkpoint": "forged by verify-install"}});
    let mut kind = trial(
        "kind-delete",
        "the end of the kind AuditLog, and of the anchor with it",
        keep,
        words,
        Request::Delete(
            Place::outside::<CustomResourceDefinition>(),
            "auditlogs.neuralops.io".to_owned(),
        ),
    );
    kind.expected.rights_suffice = true;
    [
        trial(
            "anchor-edit",
            "another checkpoint in the AuditLog main",
            OPERATOR_WRITES,
            ONLY_THE_OPERATOR,
            Request::Patch(log(), anchor::NAME.to_owned(), forged),
        ),
        trial(
            "anchor-delete",
            "the end of the AuditLog main",
            keep,
            words,
            Request::Delete(log(), anchor::NAME.to_owned()),
        ),
        kind,
    ]
}

/// Admission is never asked about its own policies: only rights keep anybody from removing them.
fn policies() -> [Trial; 2] {
    let name = "decision-identity.neuralops.io";
    let removal = |forgery, what: &str, place| Trial {
        forgery,
        tried: format!("the end of {what} {name}"),
        expected: Expected {
            policy: None,
            words: String::new(),
            rights_suffice: true,
        },
        request: Request::Delete(place, name.to_owned()),
    };
    [
        removal(
            "policy-delete",
            "the policy",
            Place::outside::<ValidatingAdmissionPolicy>(),
        ),
        removal(
            "binding-delete",
            "the binding",
            Place::outside::<ValidatingAdmissionPolicyBinding>(),
        ),
    ]
}
