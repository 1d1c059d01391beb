//! Floor 3: whether anything changes what people write on its way: a vote that is altered after its author sent it is still in
//! their name, and policies see only what came of it. It reads what is configured; what a webhook does nobody can read.

use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams},
};
use serde_json::Value;

use super::checks::{Check, State, check};
use crate::{adapters::kube::error::chain, api::GROUP};

const WHAT: &str = "nothing changes what people write";
/// What people write that others go by.
const WRITTEN: [&str; 6] = [
    "decisions",
    "orchestrations",
    "gates",
    "playbooks",
    "trustpolicies",
    "freezes",
];
/// What changes requests: the kind, its plural, its versions with the newest first, and where its rules are.
const KINDS: [(&str, &str, &[&str], Place); 2] = [
    (
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        &["v1"],
        Place::Webhooks,
    ),
    (
        "MutatingAdmissionPolicy",
        "mutatingadmissionpolicies",
        &["v1", "v1beta1", "v1alpha1"],
        Place::Constraints,
    ),
];

#[derive(Clone, Copy)]
enum Place {
    Webhooks,
    Constraints,
}

/// Whether something that is not among the trusted ones may change our objects on their way.
pub async fn mutators(client: &Client, trusted: &[String]) -> Vec<Check> {
    let mut checks = Vec::new();
    for (kind, plural, versions, place) in KINDS {
        match list(client, kind, plural, versions).await {
            Ok(found) => checks.extend(
                found
                    .iter()
                    .filter(|one| concerns(one, place) && !trusted.contains(&one.name_any()))
                    .map(|one| check(WHAT, State::Bad, said(kind, &one.name_any()))),
            ),
            Err(error) => checks.push(check(
                WHAT,
                State::Unknown,
                format!("{kind}s: {}", chain(&error)),
            )),
        }
    }
    if checks.is_empty() {
        checks.push(check(
            WHAT,
            State::Good,
            "no mutating admission is about it",
        ));
    }
    checks
}

fn said(kind: &str, name: &str) -> String {
    format!(
        "{kind}/{name} may change votes and runs after their authors sent them, and in their names; limit its rules to other groups than {GROUP}, or, if whoever runs it is trusted with every vote, say --mutator {name}"
    )
}

/// All of a kind, in the newest version that is served; none where none is.
async fn list(
    client: &Client,
    kind: &str,
    plural: &str,
    versions: &[&str],
) -> Result<Vec<DynamicObject>, kube::Error> {
    for version in versions {
        let group = "admissionregistration.k8s.io";
        let kind = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, plural);
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        match api.list(&ListParams::default()).await {
            Ok(found) => return Ok(found.items),
            Err(kube::Error::Api(answer)) if answer.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Vec::new())
}

/// Whether a rule of it is about what people write. What limits it further, a selector or a condition, can be altered by
/// whoever may alter it, and does not count.
fn concerns(mutator: &DynamicObject, place: Place) -> bool {
    let rules: Vec<&Value> = match place {
        Place::Webhooks => {
            let webhooks = mutator.data.get("webhooks").and_then(Value::as_array);
            let webhooks = webhooks.into_iter().flatten();
            webhooks
                .filter_map(|webhook| webhook.get("rules"))
                .collect()
        }
        Place::Constraints => mutator
            .data
            .pointer("/spec/matchConstraints/resourceRules")
            .into_iter()
            .collect(),
    };
    let rules = rules.into_iter().filter_map(Value::as_array).flatten();
    rules.into_iter().any(is_about_ours)
}

fn is_about_ours(rule: &Value) -> bool {
    let has = |field: &str, is: &dyn Fn(&str) -> bool| {
        let values = rule.get(field).and_then(Value::as_array);
        let mut values = values.into_iter().flatten().filter_map(Value::as_str);
        values.any(is)
    };
    has("apiGroups", &|group| group == GROUP || group == "*")
        && has("operations", &|operation| {
            ["CREATE", "UPDATE", "*"].contains(&operation)
        })
        && has("resources", &|resource| {
            let whole = resource.split('/').next().unwrap_or_default();
            whole == "*" || WRITTEN.contains(&whole)
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(groups: &[&str], resources: &[&str], operations: &[&str]) -> Value {
        json!({"apiGroups": groups, "apiVersions": ["*"], "resources": resources, "operations": operations})
    }

    fn of(data: Value) -> DynamicObject {
        let mut object = json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "m"}});
        for (name, value) in data.as_object().unwrap() {
            object[name] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_is_about_votes_and_runs_is_named_and_nothing_else() {
        for (about, groups, resources, operations) in [
            (true, ["neuralops.io"], ["decisions"], ["CREATE"]),
            (true, ["*"], ["*"], ["*"]),
            (true, ["neuralops.io"], ["*/*"], ["UPDATE"]),
            (
                true,
                ["neuralops.io"],
                ["orchestrations/status"],
                ["UPDATE"],
            ),
            (false, [""], ["pods"], ["CREATE"]),
            (false, ["neuralops.io"], ["decisions"], ["DELETE"]),
            (false, ["neuralops.io"], ["auditlogs"], ["CREATE"]),
        ] {
            let rules = [
                rule(&[""], &["pods"], &["CREATE"]),
                rule(&groups, &resources, &operations),
            ];
            let webhook = of(json!({"webhooks": [{"name": "w", "rules": rules}]}));
            assert_eq!(concerns(&webhook, Place::Webhooks), about, "{rules:?}");
            let policy = of(json!({"spec": {"matchConstraints": {"resourceRules": rules}}}));
            assert_eq!(concerns(&policy, Place::Constraints), about, "{rules:?}");
        }
        assert!(!concerns(&of(json!({})), Place::Webhooks));
        assert!(!concerns(&of(json!({"spec": {}})), Place::Constraints));
    }
}
