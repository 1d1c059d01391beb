//! What is tried, against what is shipped: each policy has a forgery, and the shipped roles hold just what is needed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    ask::{Absent, Place, Request, Trial},
    writes::{self, Sample, Samples},
};
use crate::api::v1alpha1::{Decision, Gate, Orchestration, Playbook, TrustPolicy};

/// Every forgery that is no vote, with something there to try it on.
fn trials() -> Vec<Trial> {
    let there = |place: Place| -> Sample { Ok((place, "a".to_owned())) };
    let samples = Samples {
        decision: there(Place::inside::<Decision>("shop")),
        gate: there(Place::inside::<Gate>("shop")),
        run: there(Place::inside::<Orchestration>("shop")),
        playbook: there(Place::inside::<Playbook>("shop")),
        trust_policy: there(Place::outside::<TrustPolicy>()),
    };
    writes::trials("bob", "shop", samples)
}

/// The names of the files of a folder, with another ending.
fn files(folder: &str) -> BTreeSet<String> {
    let folder = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .map(|file| file.replace(".yaml", ".neuralops.io"))
        .collect()
}

/// A policy that is added without a forgery fails here.
#[test]
fn each_policy_has_a_forgery_that_it_has_to_refuse() {
    // Those about votes stand in votes.rs.
    let votes = ["decision-identity", "decision-gate"].map(|name| format!("{name}.neuralops.io"));
    let trials = trials();
    let tried = trials.iter().filter_map(|trial| trial.expected.policy);
    let tried: BTreeSet<String> = tried.map(str::to_owned).chain(votes).collect();
    assert_eq!(tried, files("config/admission"));
}

/// `patch neuralops.io auditlogs main`
fn rights(role: &str) -> BTreeSet<String> {
    let file = include_str!("../../../../config/rbac/verifier.yaml");
    let roles: Vec<Value> = serde_saphyr::from_multiple(file).unwrap();
    let role = roles.iter().find(|one| one["metadata"]["name"] == role);
    let words = |rule: &Value, field: &str| -> Vec<String> {
        let list = rule[field].as_array().into_iter().flatten();
        list.map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let mut all = BTreeSet::new();
    for rule in role.unwrap()["rules"].as_array().unwrap() {
        let mut names = words(rule, "resourceNames");
        if names.is_empty() {
            names.push("any".to_owned());
        }
        for verb in words(rule, "verbs") {
            for resource in words(rule, "resources") {
                for name in &names {
                    let group = &words(rule, "apiGroups")[0];
                    all.insert(format!("{verb} {group} {resource} {name}"));
                }
            }
        }
    }
    all
}

/// Without a right the verdict would be unknown; one too many is one that a policy may not refuse.
#[test]
fn the_forger_may_try_everything_and_nothing_else() {
    let own = ["policy-delete", "binding-delete", "kind-delete"];
    let mut needed = BTreeSet::from([
        "create neuralops.io decisions any".to_owned(),
        format!("use  serviceaccounts {}", writes::ACCOUNT),
    ]);
    for trial in trials() {
        let (verb, place, beneath) = match &trial.request {
            Request::Create(place, _) => ("create", place, ""),
            Request::Patch(place, ..) => ("patch", place, ""),
            Request::PatchStatus(place, ..) => ("patch", place, "/status"),
            Request::Delete(place, _) => ("delete", place, ""),
            Request::None(Absent::Nothing(why) | Absent::Unsure(why)) => panic!("{why}"),
        };
        let (group, resource) = (&place.resource.group, &place.resource.plural);
        let name = if resource == "auditlogs" {
            "main"
        } else {
            "any"
        };
        // Nobody needs the right to remove the guard, to be told that they have none.
        if !own.contains(&trial.forgery) {
            needed.insert(format!("{verb} {group} {resource}{beneath} {name}"));
        }
    }
    assert_eq!(rights("neuralops-forger"), needed);
}

/// A policy or a kind that is added, and that nobody may look at, fails here.
#[test]
fn the_verifier_may_look_at_all_that_is_shipped() {
    let all = rights("neuralops-verifier");
    let names = |resource: &str| -> BTreeSet<String> {
        let of = all
            .iter()
            .filter(|right| right.split(' ').nth(2) == Some(resource));
        of.map(|right| right.rsplit(' ').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names("validatingadmissionpolicies"),
        files("config/admission")
    );
    assert_eq!(
        names("validatingadmissionpolicybindings"),
        files("config/admission")
    );
    assert_eq!(names("customresourcedefinitions"), files("crds"));
    for right in &all {
        let verb = right.split(' ').next().unwrap();
        assert!(["get", "list"].contains(&verb), "{right}");
    }
}
