//! Floor 3: the plan as people may see it. Its ConfigMap is a copy that anybody with the right could have replaced: what
//! is shown is made anew from its bytes, once they have the digest that is approved, and never taken from the text beside.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;

use super::{
    CommandError,
    access::Access,
    error::refused,
    question::{Question, standing},
    text::visible,
};
use crate::{
    api::v1alpha1::{Gate, Orchestration, PlanSummary},
    domain::{
        digest::Digest,
        plan::{NoPlan, Plan, SEEN, diff, seen},
    },
};

/// The key of the ConfigMap.
const PLAN: &str = "plan.json";

/// What would change.
pub struct Shown {
    /// The digest that is approved.
    pub digest: String,
    /// The diff and what is to be known about it.
    pub text: String,
}

/// What a Gate asks about.
pub async fn of_question(access: &Access, question: &Question) -> Result<Shown, CommandError> {
    match &question.run {
        Some(run) => of_run(access, run, Some(&question.gate)).await,
        None => Ok(of_gate(&question.gate)),
    }
}

/// What a Gate that stands alone says.
fn of_gate(gate: &Gate) -> Shown {
    let subject = &gate.spec.subject;
    let text = match &subject.diff {
        Some(diff) => ended(visible(diff)),
        None => "(the Gate shows no diff: ask its maker what the digest is of)\n".to_owned(),
    };
    Shown {
        digest: subject.plan_digest.clone(),
        text,
    }
}

/// What a run would change.
pub async fn of_run(
    access: &Access,
    run: &Orchestration,
    gate: Option<&Gate>,
) -> Result<Shown, CommandError> {
    let name = run.name_any();
    let Some((digest, map)) = planned(run) else {
        return Err(CommandError::Negative(format!(
            "the run {name} has no plan: {}",
            standing(run)
        )));
    };
    let asked = gate.map_or(digest, |gate| &gate.spec.subject.plan_digest);
    if asked != digest {
        return Err(CommandError::Negative(format!(
            "the Gate of {name} asks about plan {asked}, and the run has plan {digest}: do not approve it; look again, and cancel the run if this stays"
        )));
    }
    let own = gate.and_then(|gate| gate.spec.subject.diff.as_deref());
    let tried = format!("read the plan of {name}, ConfigMap {map}");
    let text = match access.objects::<ConfigMap>().get_opt(map).await {
        Ok(Some(found)) => checked(&found, digest, run)?,
        Ok(None) => {
            return Err(CommandError::Negative(format!(
                "the ConfigMap {map} with the plan of {name} is gone: nothing can be shown, so do not approve it; cancel the run and ask for a new one"
            )));
        }
        Err(kube::Error::Api(answer)) if answer.is_forbidden() && own.is_some() => format!(
            "(you may not read the ConfigMap {map} with the whole plan; this is the Gate's own diff)\n{}",
            ended(visible(own.unwrap_or_default()))
        ),
        Err(error) => return Err(refused(tried, "neuralops-engineer")(error)),
    };
    Ok(Shown {
        digest: digest.to_owned(),
        text,
    })
}

/// Digest and ConfigMap of the run's plan.
fn planned(run: &Orchestration) -> Option<(&str, &str)> {
    let PlanSummary {
        digest, config_map, ..
    } = run.status.as_ref()?.plan.as_ref()?;
    Some((digest.as_deref()?, config_map.as_deref()?))
}

/// The diff that the ConfigMap's plan makes, if it is the one with the digest and of this run.
fn checked(map: &ConfigMap, digest: &str, run: &Orchestration) -> Result<String, CommandError> {
    let name = map.name_any();
    let altered = |what: String| {
        CommandError::Negative(format!(
            "the ConfigMap {name} does not hold the plan that is asked about: {what}. Somebody replaced it: do not approve, and find out who wrote it (kubectl get configmap {name} -o yaml --show-managed-fields)"
        ))
    };
    let wanted = Digest::try_from(digest.to_owned())
        .map_err(|error| altered(format!("the run's own status names no digest, {error}")))?;
    let bytes = map.data.as_ref().and_then(|data| data.get(PLAN));
    let bytes = bytes.ok_or_else(|| altered(format!("it has no {PLAN}")))?;
    let plan = Plan::parse(bytes.as_bytes(), &wanted).map_err(|error| match error {
        NoPlan::Other { .. } => altered(error.to_string()),
        // These are the right bytes, so another version wrote them.
        NoPlan::Unreadable(_) | NoPlan::Version(_) => CommandError::Negative(format!(
            "this neuralops cannot read the plan {digest} ({error}): use the version that the operator has"
        )),
    })?;
    if Some(&plan.run.uid) != run.metadata.uid.as_ref() {
        return Err(altered(format!(
            "the plan is that of the run {} with the uid {}",
            plan.run.name, plan.run.uid
        )));
    }
    Ok(ended(visible(&diff(&plan))) + &beside(map))
}

/// What the operator saw beside the plan. No digest covers it, and its heading says so: it is for people who look, and
/// whoever could replace it gains no more than that.
fn beside(map: &ConfigMap) -> String {
    let lines = map.data.as_ref().and_then(|data| data.get(SEEN));
    let lines: Vec<String> = lines
        .iter()
        .flat_map(|text| text.lines())
        .map(visible)
        .collect();
    seen(&lines)
}

fn ended(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn map(plan: &str) -> ConfigMap {
        let object =
            json!({"metadata": {"name": "m"}, "data": {"plan.json": plan, "diff": "harmless"}});
        serde_json::from_value(object).expect("a map")
    }

    fn run() -> Orchestration {
        let object = json!({"apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "metadata": {"name": "r", "uid": "u"}, "spec": {"incident": {}}});
        serde_json::from_value(object).expect("a run")
    }

    fn plan(change: Value) -> String {
        let digest = Digest::of(b"x");
        let mut plan = json!({
            "v": 1,
            "run": {"namespace": "shop", "name": "r", "uid": "u"},
            "playbook": {"name": "restart", "digest": digest, "revision": 3},
            "policyDigest": digest,
            "serviceAccount": "runbook",
            "parameters": {"deployment": "check\u{202e}out"},
            "timeout": 1000,
            "steps": [],
        });
        for (name, value) in change.as_object().expect("fields") {
            plan[name] = value.clone();
        }
        plan.to_string()
    }

    fn digest(plan: &str) -> String {
        Digest::of(plan.as_bytes()).to_string()
    }

    fn refusal(map: &ConfigMap, digest: &str) -> String {
        let refused = checked(map, digest, &run());
        refused.expect_err("refused").to_string()
    }

    #[test]
    fn what_is_shown_is_made_from_the_bytes_with_the_digest() {
        let plan = plan(json!({}));
        let text = checked(&map(&plan), &digest(&plan), &run()).expect("shown");
        assert!(text.contains("Playbook restart revision 3"), "{text}");
        // Neither the text beside the plan nor what steers a terminal.
        assert!(
            !text.contains("harmless") && !text.contains("Seen when"),
            "{text}"
        );
        assert!(text.contains("check\\u{202e}out"), "{text}");
    }

    #[test]
    fn what_was_seen_is_shown_as_what_it_is() {
        let plan = plan(json!({}));
        let mut map = map(&plan);
        if let Some(data) = &mut map.data {
            data.insert("seen".into(), "evicts shop/web\u{202e}\nand more".into());
        }
        let text = checked(&map, &digest(&plan), &run()).expect("shown");
        let (_, beside) = text.split_once("no part of the plan:").expect("a heading");
        assert_eq!(
            beside.lines().skip(1).collect::<Vec<_>>(),
            ["   . evicts shop/web\\u{202e}", "   . and more"]
        );
    }

    #[test]
    fn a_plan_with_another_digest_is_refused() {
        let (approved, other) = (plan(json!({})), plan(json!({"timeout": 1001})));
        let text = refusal(&map(&other), &digest(&approved));
        assert!(
            text.contains("do not approve") && text.contains(&digest(&other)),
            "{text}"
        );
        let text = refusal(&ConfigMap::default(), &digest(&approved));
        assert!(text.contains("no plan.json"), "{text}");
    }

    #[test]
    fn the_plan_of_another_run_is_refused() {
        let other = plan(json!({"run": {"namespace": "shop", "name": "r", "uid": "earlier"}}));
        let text = refusal(&map(&other), &digest(&other));
        assert!(text.contains("with the uid earlier"), "{text}");
    }

    #[test]
    fn a_plan_of_another_version_is_not_called_altered() {
        let newer = plan(json!({"v": 2}));
        let text = refusal(&map(&newer), &digest(&newer));
        assert!(
            text.contains("format 2") && !text.contains("replaced"),
            "{text}"
        );
    }
}
