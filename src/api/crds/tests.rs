//! The CRDs without a cluster: every CEL rule by the table that also goes to an API server, and facts about the schemas
//! that no rule can hold.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    AuditLog, CustomResourceDefinition, Decision, Freeze, Gate, Orchestration, Playbook,
    TrustPolicy, all,
};
use crate::api::strict;
use table::{Case, Rule, Write, cases, schema_place};

#[path = "../../../tests/data/crd_rules.rs"]
mod table;

fn crds() -> BTreeMap<String, CustomResourceDefinition> {
    all()
        .into_iter()
        .map(|crd| (crd.spec.names.kind.clone(), crd))
        .collect()
}

fn schema(crd: &CustomResourceDefinition) -> Value {
    let version = serde_json::to_value(&crd.spec.versions[0]).unwrap();
    version["schema"]["openAPIV3Schema"].clone()
}

/// Every node of the schema by its place: `.items` is `[]`, `.additionalProperties` is `{}`.
fn nodes(crd: &CustomResourceDefinition) -> Vec<(String, Value)> {
    fn walk(place: String, node: &Value, nodes: &mut Vec<(String, Value)>) {
        let dot = if place.is_empty() { "" } else { "." };
        for (name, property) in node["properties"].as_object().into_iter().flatten() {
            walk(format!("{place}{dot}{name}"), property, nodes);
        }
        for (inner, sign) in [("items", "[]"), ("additionalProperties", "{}")] {
            if let Some(inner) = node.get(inner) {
                assert!(inner.is_object(), "{place}: {inner} is not one schema");
                walk(format!("{place}{sign}"), inner, nodes);
            }
        }
        nodes.push((place, node.clone()));
    }
    let mut found = Vec::new();
    walk(String::new(), &schema(crd), &mut found);
    found
}

/// Every rule of a CRD, as it stands there.
fn rules(crd: &CustomResourceDefinition) -> Vec<(String, Value)> {
    let rules_of = |(place, node): (String, Value)| {
        let rules = node["x-kubernetes-validations"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        rules.into_iter().map(move |rule| (place.clone(), rule))
    };
    nodes(crd).into_iter().flat_map(rules_of).collect()
}

#[track_caller]
fn none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

/// Why the case does not end as the table says.
fn difference(
    case: &Case,
    crd: &CustomResourceDefinition,
    schema: &CompiledSchema,
) -> Result<(), String> {
    let (old, new) = case.write.objects();
    // What the schema refuses, the API server refuses before it asks a rule.
    for object in old.iter().chain([&new]) {
        let violations = strict::violations(crd, &object["spec"]).expect("a readable schema");
        if !violations.is_empty() {
            return Err(format!("the schema itself refuses it: {violations:?}"));
        }
    }
    if let Some(old) = &old {
        let good = Validator::new().validate_compiled(schema, old, None);
        good.map_err(|errors| format!("it is not good before the edit: {errors}"))?;
    }
    let got: Vec<Rule> = Validator::new()
        .validate_compiled(schema, &new, old.as_ref())
        .err()
        .into_iter()
        .flatten()
        .map(|error| Rule {
            at: schema_place(&error.field_path),
            message: error.message,
        })
        .collect();
    if got.iter().eq(&case.refused_by) {
        Ok(())
    } else {
        Err(format!("refused by {got:?}"))
    }
}

#[test]
fn every_rule_accepts_and_refuses_as_the_table_says() {
    let (crds, mut wrong) = (crds(), Vec::new());
    let schemas: BTreeMap<&String, CompiledSchema> = crds
        .iter()
        .map(|(kind, crd)| (kind, compile_schema(&schema(crd))))
        .collect();
    for case in cases() {
        if let Err(difference) = difference(&case, &crds[&case.kind], &schemas[&case.kind]) {
            wrong.push(format!("  {}: {difference}", case.name));
        }
    }
    none("cases that end otherwise", &wrong);
}

/// And one that goes to an API server too.
#[test]
fn every_rule_has_a_case_that_it_refuses() {
    let ruled: BTreeSet<(String, Rule)> = cases()
        .into_iter()
        .filter(|case| case.offline.is_none())
        .filter_map(|case| Some((case.kind, case.refused_by?)))
        .collect();
    let mut all = BTreeSet::new();
    for (kind, crd) in crds() {
        for (at, rule) in rules(&crd) {
            let message = rule["message"].as_str().unwrap_or_default().to_owned();
            let new = all.insert((kind.clone(), Rule { at, message }));
            assert!(new, "{kind}: two rules at one place say the same: {rule}");
        }
    }
    let without: Vec<_> = all.difference(&ruled).collect();
    assert!(without.is_empty(), "rules without a case: {without:#?}");
}

/// A message by expression could fail where the rule does, and no table could know it.
#[test]
fn every_rule_says_in_one_line_what_is_wrong() {
    let mut wrong = Vec::new();
    for (kind, crd) in crds() {
        for (at, rule) in rules(&crd) {
            let message = rule["message"].as_str().unwrap_or_default();
            let good = !message.trim().is_empty()
                && !message.contains('\n')
                && rule["messageExpression"].is_null();
            if !good {
                wrong.push(format!("  {kind} {at}: {rule}"));
            }
        }
    }
    none("rules without a plain message", &wrong);
}

/// A field that is added later must not be free by oversight.
#[test]
fn every_field_is_guarded_or_free_by_intention() {
    // What each field of the spec has to be named as in some rule, and the fields that need none.
    let intended = [
        (
            "Playbook",
            "has(self.{})",
            // `steps` by the rule that has either of them.
            "revision serviceAccountName match",
        ),
        (
            "Orchestration",
            "oldSelf.{}",
            "suspend ttlSecondsAfterFinished",
        ),
        ("AuditLog", "oldSelf.{}", "checkpoint"),
        ("Freeze", "oldSelf.{}", ""),
    ];
    let crds = crds();
    for (kind, form, free) in intended {
        let rules: String = rules(&crds[kind])
            .into_iter()
            .filter(|(at, _)| at == "spec")
            .map(|(_, rule)| rule["rule"].as_str().unwrap_or_default().to_owned() + " ")
            .collect();
        let spec = schema(&crds[kind])["properties"]["spec"]["properties"].clone();
        for field in spec.as_object().unwrap().keys() {
            let named = rules.contains(&form.replace("{}", field));
            let free = free.split(' ').any(|free| free == field);
            assert_ne!(named, free, "{kind} spec.{field}");
        }
    }
    for kind in ["Gate", "Decision"] {
        let all = rules(&crds[kind]);
        let whole =
            |(at, rule): &(String, Value)| at == "spec" && rule["rule"] == "self == oldSelf";
        assert!(all.iter().any(whole), "{kind} is immutable");
    }
}

/// What the types do not know they would lose on the way through the operator.
#[test]
fn the_types_keep_every_field_of_the_bases() {
    fn through<K: DeserializeOwned + Serialize>(object: &Value) -> Value {
        serde_json::to_value(serde_json::from_value::<K>(object.clone()).unwrap()).unwrap()
    }
    for case in cases() {
        let Write::Creation(object) = &case.write else {
            continue;
        };
        let kept = match case.kind.as_str() {
            "Playbook" => through::<Playbook>(object),
            "TrustPolicy" => through::<TrustPolicy>(object),
            "Orchestration" => through::<Orchestration>(object),
            "Gate" => through::<Gate>(object),
            "Decision" => through::<Decision>(object),
            "AuditLog" => through::<AuditLog>(object),
            "Freeze" => through::<Freeze>(object),
            kind => panic!("no type for {kind}"),
        };
        assert_eq!(&kept, object, "{}", case.name);
    }
}

/// An unbounded value makes CEL rules too costly to install, and objects too large to keep.
#[test]
fn everything_has_a_limit() {
    let mut wrong = Vec::new();
    for (kind, crd) in crds() {
        for (place, node) in nodes(&crd) {
            let has = |word: &str| !node[word].is_null();
            let is = |name: &str| node["type"] == name;
            let either = node["x-kubernetes-int-or-string"] == true;
            let open = node["x-kubernetes-preserve-unknown-fields"] == true;
            let bounded = [
                !(is("string") || either) || has("maxLength") || has("enum"),
                !is("array") || (has("maxItems") && has("items")),
                !is("object") || open || has("properties") || has("maxProperties"),
                !has("additionalProperties") || has("maxProperties"),
                has("type") || either || open,
                // A float would be signed in one form and stored in another.
                !is("number"),
            ];
            if bounded.contains(&false) {
                wrong.push(format!("  {kind} {place}: {node}"));
            }
        }
    }
    none("schemas without a limit", &wrong);
}

#[test]
fn every_field_is_described() {
    let mut wrong = Vec::new();
    for (kind, crd) in crds() {
        for (place, node) in nodes(&crd) {
            let field = !place.ends_with(['[', ']', '{', '}']);
            let text = node["description"].as_str().unwrap_or_default();
            if field && text.trim().is_empty() {
                wrong.push(format!("  {kind} {place}"));
            }
        }
    }
    none("fields without a description", &wrong);
}

/// Nothing stands in an object that nobody wrote: a Playbook is signed, a Decision and a Gate are evidence.
#[test]
fn the_api_server_adds_nothing() {
    let mut wrong = Vec::new();
    let mut defaults = Vec::new();
    for (kind, crd) in crds() {
        for (place, node) in nodes(&crd) {
            let null = node["enum"]
                .as_array()
                .is_some_and(|e| e.contains(&Value::Null));
            let embedded = !node["x-kubernetes-embedded-resource"].is_null();
            if null || embedded || !node["nullable"].is_null() {
                wrong.push(format!("  {kind} {place}: {node}"));
            }
            if !node["default"].is_null() {
                defaults.push((kind.clone(), place, node["default"].clone()));
            }
        }
    }
    none(
        "null is dropped by the next patch, and embedded objects are pruned",
        &wrong,
    );
    let open = json!({"state": "Open", "observedGeneration": -1});
    assert_eq!(
        defaults,
        [("Gate".to_owned(), "status".to_owned(), open)],
        "the state of a new Gate is the only default"
    );
}

/// A spec that is merged from two authors is neither's.
#[test]
fn a_playbook_is_one_piece() {
    let playbook = &crds()["Playbook"];
    let nodes = nodes(playbook);
    let spec = nodes.iter().find(|(place, _)| place == "spec").unwrap();
    assert_eq!(spec.1["x-kubernetes-map-type"], "atomic");
    let merged: Vec<_> = nodes
        .iter()
        .filter(|(place, node)| {
            let list = &node["x-kubernetes-list-type"];
            place.starts_with("spec") && !list.is_null() && list != "atomic"
        })
        .collect();
    assert!(merged.is_empty(), "lists that are merged: {merged:#?}");
    let open: Vec<&str> = nodes
        .iter()
        .filter(|(_, node)| node["x-kubernetes-preserve-unknown-fields"] == true)
        .map(|(place, _)| place.as_str())
        .collect();
    assert_eq!(
        open,
        [
            "spec.parameters",
            "spec.steps[].apply.manifest",
            "spec.steps[].patch.patch"
        ]
    );
}

#[test]
fn every_kind_is_found_by_its_names_and_in_its_scope() {
    let found: Vec<_> = all()
        .into_iter()
        .map(|crd| {
            let (names, versions) = (crd.spec.names, crd.spec.versions);
            assert_eq!(names.categories, Some(vec!["neuralops".to_owned()]));
            assert_eq!(
                crd.metadata.name,
                Some(format!("{}.neuralops.io", names.plural))
            );
            let version = (versions.len(), versions[0].name.as_str());
            assert_eq!(version, (1, "v1alpha1"));
            assert!(versions[0].served && versions[0].storage);
            let status = versions[0]
                .subresources
                .as_ref()
                .is_some_and(|found| found.status.is_some());
            let short = names.short_names.unwrap_or_default().join(" ");
            (names.kind, crd.spec.scope, short, status)
        })
        .collect();
    let expected = [
        ("Playbook", "Namespaced", "pb", true),
        ("TrustPolicy", "Cluster", "tp", true),
        ("Orchestration", "Namespaced", "orch", true),
        ("Gate", "Namespaced", "", true),
        ("Decision", "Namespaced", "dec", false),
        ("AuditLog", "Cluster", "al", false),
        ("Freeze", "Cluster", "", false),
    ]
    .map(|(kind, scope, short, status)| (kind.into(), scope.into(), short.into(), status));
    assert_eq!(found, expected);
}

/// `kubectl get` shows nothing for a column whose path is wrong, and `<invalid>` for a time that lies ahead.
#[test]
fn columns_show_fields_that_exist_and_the_age() {
    for (kind, crd) in crds() {
        let columns = crd.spec.versions[0].additional_printer_columns.clone();
        let mut columns = columns.unwrap_or_default();
        let age = columns.pop().expect("columns");
        assert_eq!(
            (age.name.as_str(), age.type_.as_str(), &*age.json_path),
            ("Age", "date", ".metadata.creationTimestamp"),
            "{kind}: the last column"
        );
        let nodes: BTreeMap<String, Value> = nodes(&crd).into_iter().collect();
        for column in columns {
            let place = column
                .json_path
                .trim_start_matches('.')
                .replace("[*]", "[]")
                .replace(r#"[?(@.type=="Ready")]"#, "[]");
            assert!(nodes.contains_key(&place), "{kind}: no field {place}");
            assert_ne!(column.type_, "date", "{kind}: {}", column.name);
            assert!(column.description.is_some(), "{kind}: {}", column.name);
        }
    }
}

/// The admission policies, the controllers and the tools that count votes select by these.
#[test]
fn votes_can_be_selected_by_gate_and_user() {
    let selectable = crds()["Decision"].spec.versions[0]
        .selectable_fields
        .clone();
    let paths: Vec<String> = selectable
        .into_iter()
        .flatten()
        .map(|field| field.json_path)
        .collect();
    assert_eq!(paths, [".spec.gateRef.uid", ".spec.user"]);
}
