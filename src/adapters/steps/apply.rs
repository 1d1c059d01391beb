//! Floor 2: `apply`: server-side apply of one object, under a name of the Playbook's own. An object that is not there is
//! made; whose it is afterwards is told by that name.

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{
    Forecast, Planning, Progress, Running, StepKind,
    veil::Cover,
    write::{self, Wish, Write},
};
use crate::{
    adapters::kube::account::{AccountError, Body},
    api::v1alpha1::{Step, Target as Aim},
    domain::{
        plan::{Obstacle, RunRef, unplannable},
        reason::Reason,
    },
};

/// The kind.
pub(super) struct Apply;

impl Write for Apply {
    fn wish(&self, step: &Step, run: &RunRef) -> Result<Wish, Obstacle> {
        let Some(apply) = &step.apply else {
            return Err(Obstacle::fail(Reason::Invalid, "the step applies nothing"));
        };
        let mut manifest = apply.manifest.clone();
        let aim = aim(&manifest)?;
        if let Some(field) = unplannable(&manifest) {
            let message = format!("a manifest does not set {field}: it is not the author's");
            return Err(Obstacle::fail(Reason::Invalid, message));
        }
        let namespace = manifest.pointer("/metadata/namespace");
        if namespace.is_some_and(|namespace| namespace.as_str() != Some(&run.namespace)) {
            let message = format!(
                "{}/{} lies in another namespace; a Playbook acts in its own, {}",
                aim.kind, aim.name, run.namespace
            );
            return Err(Obstacle::fail(Reason::TargetNotAllowed, message));
        }
        if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("namespace".to_owned(), json!(run.namespace));
        }
        let force = apply.force == Some(true);
        Ok(Wish {
            aim,
            effect: json!({"manifest": manifest, "force": force}),
        })
    }

    fn body(&self, effect: &Value) -> Option<Body> {
        Some(Body::Apply {
            manifest: effect.get("manifest")?.clone(),
            force: effect.get("force")?.as_bool()?,
        })
    }

    fn hidden(&self, effect: &Value, cover: Cover<'_>) -> Value {
        let mut hidden = effect.clone();
        if let Some(manifest) = hidden.get_mut("manifest") {
            *manifest = cover.object(manifest);
        }
        hidden
    }

    fn makes(&self) -> bool {
        true
    }
}

fn aim(manifest: &Value) -> Result<Aim, Obstacle> {
    let text = |pointer: &str| {
        let found = manifest.pointer(pointer).and_then(Value::as_str);
        found.map(str::to_owned).ok_or_else(|| {
            let field = pointer.replace('/', ".");
            let message = format!("the manifest has no {}", field.trim_start_matches('.'));
            Obstacle::fail(Reason::Invalid, message)
        })
    };
    Ok(Aim {
        api_version: text("/apiVersion")?,
        kind: text("/kind")?,
        name: text("/metadata/name")?,
    })
}

impl StepKind for Apply {
    fn name(&self) -> &'static str {
        "apply"
    }

    fn is(&self, step: &Step) -> bool {
        step.apply.is_some()
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
