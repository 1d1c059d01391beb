//! Floor 2: `patch`: fields of one object, as a merge patch, a JSON patch or the API server's own. It makes nothing, and
//! writes no status.

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{
    Forecast, Planning, Progress, Running, StepKind,
    veil::Cover,
    write::{self, Wish, Write},
};
use crate::{
    adapters::kube::account::{AccountError, Body},
    api::v1alpha1::{PatchType, Step},
    domain::{
        plan::{Obstacle, RunRef, unplannable},
        reason::Reason,
    },
};

/// The kind.
pub(super) struct Patch;

impl Write for Patch {
    fn wish(&self, step: &Step, _run: &RunRef) -> Result<Wish, Obstacle> {
        let Some(patch) = &step.patch else {
            return Err(Obstacle::fail(Reason::Invalid, "the step patches nothing"));
        };
        let secret = patch.target.kind == "Secret";
        match patch.patch_type {
            PatchType::Json => check_operations(&patch.patch, secret)?,
            PatchType::Merge | PatchType::Strategic => check_fields(&patch.patch)?,
        }
        Ok(Wish {
            aim: patch.target.clone(),
            effect: json!({"type": patch.patch_type, "patch": patch.patch}),
        })
    }

    fn body(&self, effect: &Value) -> Option<Body> {
        let patch = effect.get("patch")?.clone();
        match effect.get("type")?.as_str()? {
            "Merge" => Some(Body::Merge(patch)),
            "Json" => Some(Body::Json(patch)),
            "Strategic" => Some(Body::Strategic(patch)),
            _ => None,
        }
    }

    fn hidden(&self, effect: &Value, cover: Cover<'_>) -> Value {
        let mut hidden = effect.clone();
        let json = effect.get("type").and_then(Value::as_str) == Some("Json");
        if let Some(patch) = hidden.get_mut("patch") {
            *patch = if json {
                cover.operations(patch)
            } else {
                cover.object(patch)
            };
        }
        hidden
    }
}

fn invalid(message: impl Into<String>) -> Obstacle {
    Obstacle::fail(Reason::Invalid, message)
}

fn check_fields(patch: &Value) -> Result<(), Obstacle> {
    let metadata = patch.get("metadata");
    if !patch.is_object() || metadata.is_some_and(|metadata| !metadata.is_object()) {
        return Err(invalid(
            "a Merge or Strategic patch is an object, and so is its metadata",
        ));
    }
    match unplannable(patch) {
        Some(field) => Err(invalid(format!(
            "a patch does not set {field}: it is not the author's"
        ))),
        None => Ok(()),
    }
}

fn check_operations(patch: &Value, secret: bool) -> Result<(), Obstacle> {
    let Some(operations) = patch.as_array() else {
        return Err(invalid("a Json patch is a list of operations"));
    };
    for operation in operations {
        let text = |name| operation.get(name).and_then(Value::as_str);
        let (Some(name), Some(path)) = (text("op"), text("path")) else {
            return Err(invalid("an operation of a Json patch has op and path"));
        };
        // A value would turn up where nothing hides it.
        if secret && matches!(name, "copy" | "move") {
            return Err(invalid(format!(
                "a Secret is not patched by {name}: its values could be seen then"
            )));
        }
        let whole = matches!(path, "" | "/" | "/metadata");
        let aside = nested(path).is_some_and(|part| unplannable(&part).is_some());
        if whole || aside {
            return Err(invalid(format!(
                "a patch does not write {path:?}: it is not the author's, or more than a field"
            )));
        }
    }
    Ok(())
}

/// An object with nothing but the place of this pointer, two names deep.
fn nested(path: &str) -> Option<Value> {
    let mut parts = path.split('/').skip(1);
    let first = parts.next()?;
    Some(match parts.next() {
        Some(second) => json!({ first: { second: {} } }),
        None => json!({ first: {} }),
    })
}

impl StepKind for Patch {
    fn name(&self) -> &'static str {
        "patch"
    }

    fn is(&self, step: &Step) -> bool {
        step.patch.is_some()
    }

    fn plan<'a>(
        &'a self,
        step: &'a Step,
        planning: &'a Planning<'a>,
    ) -> BoxFuture<'a, Result<Forecast, Obstacle>> {
        Box::pin(write::plan(self, step, planning))
    }

    fn run<'a>(
        &'a self,
        running: &'a Running<'a>,
    ) -> BoxFuture<'a, Result<Progress, AccountError>> {
        Box::pin(write::run(self, running))
    }

    fn undo<'a>(
        &'a self,
        running: &'a Running<'a>,
    ) -> BoxFuture<'a, Result<Progress, AccountError>> {
        Box::pin(write::undo(self, running))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_authors_is_not_patched() {
        for bad in [
            json!({"status": {"replicas": 1}}),
            json!({"metadata": {"managedFields": []}}),
            json!({"metadata": {"resourceVersion": "1"}}),
            json!({"metadata": 1}),
            json!([]),
        ] {
            assert!(check_fields(&bad).is_err(), "{bad}");
        }
        assert_eq!(
            check_fields(&json!({"spec": {"a": 1}, "metadata": {"labels": {}}})),
            Ok(())
        );
    }

    #[test]
    fn operations_write_fields_and_nothing_else() {
        let one = |op: &str, path: &str, secret| {
            check_operations(&json!([{"op": op, "path": path, "value": 1}]), secret)
        };
        for bad in [
            "",
            "/",
            "/metadata",
            "/status",
            "/status/a",
            "/metadata/uid",
            "/metadata/managedFields/0",
        ] {
            assert!(one("replace", bad, false).is_err(), "{bad}");
        }
        assert_eq!(one("add", "/metadata/labels/a", true), Ok(()));
        assert_eq!(one("copy", "/spec/a", false), Ok(()));
        assert!(one("copy", "/metadata/labels/a", true).is_err());
        assert!(check_operations(&json!({}), false).is_err());
        assert!(check_operations(&json!([{"op": "add"}]), false).is_err());
    }
}
