//! Floor 0: the rules of single steps that a schema cannot hold: what a manifest may be, what a patch must look like,
//! which workloads can be restarted, whether a query's variables are all there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Findings, Position, targets};
use crate::domain::{credentials::is_secret_header, document::Document, promql};

const WORKLOADS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

pub(super) fn check(
    steps: &[Value],
    document: &Document,
    position: &Position,
    findings: &mut Findings,
) {
    let mut applied: BTreeMap<String, usize> = BTreeMap::new();
    for (index, step) in steps.iter().enumerate() {
        let at = position.index(index);
        let Some(fields) = step.as_object() else {
            continue;
        };
        for (kind, body) in fields {
            let inside = at.key(kind);
            if let Some(target) = body.get("target") {
                targets::check(target, &inside.key("target"), findings);
            }
            match kind.as_str() {
                "apply" => apply(body, document, index, &mut applied, &inside, findings),
                "patch" => patch(body, &inside, findings),
                "rolloutRestart" | "rolloutUndo" => workload(body, &inside, findings),
                "job" => job(body, document, &inside, findings),
                "http" => http(body, &inside, findings),
                "check" => prometheus(body, &inside, findings),
                _ => {}
            }
        }
    }
}

/// Whether an expression of these steps reads this parameter.
pub(super) fn read(steps: &[Value], name: &str) -> bool {
    let places = ["/wait", "/check", "/check/prometheus"];
    let texts = steps.iter().flat_map(|step| {
        let bodies = places.iter().filter_map(|place| step.pointer(place));
        bodies.filter_map(|body| body.get("expression")?.as_str())
    });
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut texts = texts;
    texts.any(|text| {
        let mut behind = text.split("params.").skip(1);
        let indexed = ['"', '\''].map(|mark| format!("params[{mark}{name}{mark}]"));
        behind.any(|rest| {
            rest.strip_prefix(name)
                .is_some_and(|rest| !rest.starts_with(word))
        }) || indexed.iter().any(|form| text.contains(form))
    })
}

fn apply(
    body: &Value,
    document: &Document,
    index: usize,
    applied: &mut BTreeMap<String, usize>,
    position: &Position,
    findings: &mut Findings,
) {
    let Some(manifest) = body.get("manifest").filter(|manifest| manifest.is_object()) else {
        return;
    };
    let at = position.key("manifest");
    for field in ["apiVersion", "kind"] {
        if manifest
            .get(field)
            .and_then(Value::as_str)
            .is_none_or(str::is_empty)
        {
            findings.error(&at, format!("the manifest has no {field}"));
        }
    }
    let metadata = manifest
        .get("metadata")
        .cloned()
        .unwrap_or_else(|| json!({}));
    if metadata
        .get("name")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        findings.error(&at.key("metadata"), "the manifest has no metadata.name; a generated name would be another object at every attempt");
    }
    if let Some(namespace) = metadata.get("namespace")
        && namespace.as_str() != Some(document.namespace.as_str())
    {
        findings.error(
            &at.key("metadata").key("namespace"),
            format!(
                "{namespace} is not the Playbook's own namespace, {}; leave it out",
                document.namespace
            ),
        );
    }
    for field in [
        "managedFields",
        "resourceVersion",
        "uid",
        "ownerReferences",
        "finalizers",
    ] {
        if metadata.get(field).is_some() {
            findings.error(
                &at.key("metadata").key(field),
                format!("{field} is not an author's to set; leave it out"),
            );
        }
    }
    if manifest.get("status").is_some() {
        findings.warning(&at.key("status"), "status is not applied; leave it out");
    }
    let target = json!({ "apiVersion": manifest.get("apiVersion"), "kind": manifest.get("kind"), "name": metadata.get("name") });
    targets::check(&target, &at, findings);
    if let Some(literal) = targets::literal(&target)
        && let Some(earlier) = applied.insert(literal, index)
    {
        findings.error(&at, format!("TargetTwice: step {earlier} applies the same object; the second apply would drop the first one's fields. Make it one step"));
    }
}

fn patch(body: &Value, position: &Position, findings: &mut Findings) {
    let at = position.key("patch");
    match (body.get("type").and_then(Value::as_str), body.get("patch")) {
        (Some("Json"), Some(Value::Array(operations))) => {
            for (index, operation) in operations.iter().enumerate() {
                json_operation(operation, &at.index(index), findings);
            }
        }
        (Some("Json"), Some(_)) => findings.error(&at, "a Json patch is a list of operations"),
        (Some(kind @ ("Merge" | "Strategic")), Some(patch)) if !patch.is_object() => {
            findings.error(&at, format!("a {kind} patch is an object"));
        }
        (Some("Merge" | "Strategic"), Some(patch)) => {
            for field in ["apiVersion", "kind", "status"] {
                if patch.get(field).is_some() {
                    findings.error(&at.key(field), format!("{field} is not patched by a step"));
                }
            }
        }
        _ => {}
    }
}

fn json_operation(operation: &Value, position: &Position, findings: &mut Findings) {
    let verb = operation
        .get("op")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !matches!(
        verb,
        "add" | "remove" | "replace" | "move" | "copy" | "test"
    ) {
        findings.error(
            &position.key("op"),
            format!(
                "{verb:?} is no operation of a Json patch: add, remove, replace, move, copy or test"
            ),
        );
    }
    if !operation
        .get("path")
        .and_then(Value::as_str)
        .is_some_and(|path| path.starts_with('/'))
    {
        findings.error(
            &position.key("path"),
            "an operation needs a path that begins with /",
        );
    }
    for field in ["path", "from"] {
        let pointer = operation
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default();
        let first = pointer.split('/').nth(1).unwrap_or_default();
        if verb != "test" && matches!(first, "apiVersion" | "kind" | "status") {
            findings.error(
                &position.key(field),
                format!("{first} is not patched by a step"),
            );
        }
    }
    if matches!(verb, "add" | "replace" | "test") && operation.get("value").is_none() {
        findings.error(&position.key("value"), format!("{verb} needs a value"));
    }
    if matches!(verb, "move" | "copy") && operation.get("from").and_then(Value::as_str).is_none() {
        findings.error(&position.key("from"), format!("{verb} needs a from"));
    }
}

fn workload(body: &Value, position: &Position, findings: &mut Findings) {
    let at = position.key("target");
    let kind = body
        .pointer("/target/kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !kind.contains("$(") && !WORKLOADS.contains(&kind) {
        findings.error(
            &at.key("kind"),
            format!("{kind:?} has no rollouts: Deployment, StatefulSet or DaemonSet"),
        );
    }
    let api_version = body
        .pointer("/target/apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !api_version.contains("$(") && api_version != "apps/v1" {
        findings.error(
            &at.key("apiVersion"),
            format!("{api_version:?} has no rollouts: apps/v1"),
        );
    }
}

fn job(body: &Value, document: &Document, position: &Position, findings: &mut Findings) {
    let signed = document
        .spec
        .pointer("/imagePolicy/requireSigned")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let image = body
        .get("image")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !image.contains("@sha256:") {
        let at = position.key("image");
        if signed {
            findings.error(
                &at,
                format!("imagePolicy.requireSigned needs the image by digest: {image}@sha256:…"),
            );
        } else {
            findings.warning(&at, format!("{image} is a tag: what runs can change without a new signature; name it by digest"));
        }
    }
    let mut seen = BTreeSet::new();
    for (index, variable) in body
        .get("env")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        if let Some(name) = variable.get("name").and_then(Value::as_str)
            && !seen.insert(name)
        {
            findings.error(
                &position.key("env").index(index).key("name"),
                format!("{name} is set twice; leave one of them out"),
            );
        }
    }
}

fn http(body: &Value, position: &Position, findings: &mut Findings) {
    let url = body.get("url").and_then(Value::as_str).unwrap_or_default();
    let at = position.key("url");
    if !url.contains("$(") && !url.starts_with("https://") && !url.starts_with("http://") {
        findings.error(&at, format!("{url:?} is no http or https address"));
    }
    let host = url.split_once("://").map_or("", |(_, rest)| {
        rest.split(['/', '?', '#']).next().unwrap_or_default()
    });
    if host.contains('@') {
        findings.error(
            &at,
            "no credentials in an address: they would stand in the plan; use secretRef",
        );
    }
    for (name, _) in body
        .get("headers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        if is_secret_header(name) {
            findings.error(
                &position.key("headers").key(name),
                "no credentials in a header: they would stand in the plan; use secretRef, which sends Authorization, or a job with secretKeyRef",
            );
        }
    }
}

fn prometheus(body: &Value, position: &Position, findings: &mut Findings) {
    let Some(check) = body.get("prometheus") else {
        return;
    };
    let at = position.key("prometheus");
    let query = check.get("query").and_then(Value::as_str);
    let query = query.unwrap_or_default();
    let given = check.get("vars").and_then(Value::as_object);
    let given: BTreeSet<&str> = given
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    for name in given.iter().filter(|name| !promql::is_name(name)) {
        findings.error(
            &at.key("vars").key(name),
            format!("{name:?} is no name: a letter or _, then letters, digits or _"),
        );
    }
    // What the values are makes no difference to where they may stand.
    let values = given
        .iter()
        .map(|name| ((*name).to_owned(), "any".to_owned()));
    if let Err(error) = promql::filled(query, &values.collect()) {
        findings.error(&at.key("query"), error.to_string());
    }
    let wanted = promql::wanted(query).unwrap_or_default();
    for name in given.iter().filter(|name| !wanted.contains(name)) {
        findings.warning(
            &at.key("vars").key(name),
            format!("${name} is not used in the query"),
        );
    }
}
