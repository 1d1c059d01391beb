//! Floor 0: what must stand together in a Playbook and what must not. The API server holds the same rules for objects;
//! here they are held for files and artifacts, which no API server sees, in the same words.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Findings, Position};

/// The kinds of a step; exactly one of them stands in each.
pub const STEP_KINDS: [&str; 15] = [
    "apply",
    "patch",
    "scale",
    "rolloutRestart",
    "rolloutUndo",
    "delete",
    "cordon",
    "uncordon",
    "drain",
    "job",
    "http",
    "wait",
    "check",
    "gate",
    "notify",
];
/// What may stand beside a source.
const BESIDE_SOURCE: [&str; 4] = ["source", "revision", "serviceAccountName", "match"];
/// Approvals that one set of rules may ask for.
const MOST_APPROVALS: i64 = 64;

pub(super) fn check(spec: &Value, position: &Position, findings: &mut Findings) {
    let Some(spec) = spec.as_object() else {
        findings.error(position, "spec is an object");
        return;
    };
    let has = |name: &str| spec.contains_key(name);
    if has("source") == has("steps") {
        findings.error(position, "a Playbook has either steps or a source");
    }
    if !has("source") && !has("approval") {
        findings.error(
            position,
            "approval is required: who must agree before it runs",
        );
    }
    if has("source")
        && spec
            .keys()
            .any(|name| !BESIDE_SOURCE.contains(&name.as_str()) && name != "steps")
    {
        findings.error(
            position,
            "with a source, only revision, serviceAccountName and match stand here; the rest is in the artifact",
        );
    }
    let auto = spec.get("safety").and_then(Value::as_str) == Some("Auto");
    if auto && !has("auto") {
        findings.error(
            position,
            "safety Auto needs auto.expression: when may it run without a Gate",
        );
    }
    if has("auto") && !auto {
        findings.error(position, "auto is only read with safety Auto");
    }
    for (index, set) in spec
        .get("approval")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        rules(set, &position.key("approval").index(index), findings);
    }
    steps(spec, &position.key("steps"), findings);
}

fn rules(set: &Value, position: &Position, findings: &mut Findings) {
    let rules = set
        .get("rules")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let at = position.key("rules");
    let roles: BTreeSet<&str> = rules
        .iter()
        .filter_map(|rule| rule.get("role")?.as_str())
        .collect();
    if roles.len() < rules.len() {
        findings.error(&at, "a role stands once in a set of rules");
    }
    let asked: i64 = rules
        .iter()
        .filter_map(|rule| rule.get("min")?.as_i64())
        .fold(0, i64::saturating_add);
    if asked > MOST_APPROVALS {
        findings.error(&at, "at most 64 approvals in a set of rules");
    }
}

fn steps(spec: &Map<String, Value>, position: &Position, findings: &mut Findings) {
    let mut names = BTreeSet::new();
    for (index, step) in spec
        .get("steps")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        let Some(step) = step.as_object() else {
            continue;
        };
        let at = position.index(index);
        if !step
            .get("name")
            .and_then(Value::as_str)
            .is_none_or(|name| names.insert(name))
        {
            findings.error(&at.key("name"), "step names are unique");
        }
        one_kind(step, &at, findings);
        for (kind, body) in step {
            step_body(kind, body, &at.key(kind), findings);
        }
    }
}

fn step_body(kind: &str, body: &Value, position: &Position, findings: &mut Findings) {
    match kind {
        "wait" => {
            let message = "wait has either a duration or a target with an expression";
            either(
                body,
                ["duration", "expression"],
                message,
                position,
                findings,
            );
            together(body, position, findings);
        }
        "check" => {
            let message = "check has either a prometheus query or a target with an expression";
            either(
                body,
                ["prometheus", "expression"],
                message,
                position,
                findings,
            );
            together(body, position, findings);
        }
        "gate" => rules(body, position, findings),
        "job" => {
            let variables = body.get("env").and_then(Value::as_array);
            for (index, variable) in variables.into_iter().flatten().enumerate() {
                let message = "a variable has either a value or a secretKeyRef";
                let place = position.key("env").index(index);
                either(
                    variable,
                    ["value", "secretKeyRef"],
                    message,
                    &place,
                    findings,
                );
            }
        }
        _ => {}
    }
}

fn one_kind(step: &Map<String, Value>, position: &Position, findings: &mut Findings) {
    if STEP_KINDS
        .iter()
        .filter(|kind| step.contains_key(**kind))
        .count()
        != 1
    {
        let (last, others) = (
            STEP_KINDS.last().copied().unwrap_or_default(),
            STEP_KINDS.get(..STEP_KINDS.len() - 1).unwrap_or_default(),
        );
        findings.error(
            position,
            format!(
                "a step has exactly one kind: {} or {last}",
                others.join(", ")
            ),
        );
    }
    let hidden = step.contains_key("job") || step.contains_key("http");
    if hidden && !step.contains_key("opaque") {
        findings.error(
            position,
            "job and http cannot be planned inside: say opaque: Accepted",
        );
    }
    if !hidden && step.contains_key("opaque") {
        findings.error(position, "opaque is only for job and http");
    }
}

fn either(
    body: &Value,
    [one, other]: [&str; 2],
    message: &str,
    position: &Position,
    findings: &mut Findings,
) {
    if body.get(one).is_some() == body.get(other).is_some() {
        findings.error(position, message);
    }
}

fn together(body: &Value, position: &Position, findings: &mut Findings) {
    if body.get("target").is_some() != body.get("expression").is_some() {
        findings.error(position, "target and expression come together");
    }
}
