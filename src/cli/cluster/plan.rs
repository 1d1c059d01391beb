//! Floor 3: the plan as people may see it. Its ConfigMap is a copy that anybody with the right could have replaced, so
//! nothing of it is shown before its bytes have the digest that is approved, and a diff that contradicts that of the
//! Gate is never shown alone.

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
    domain::digest::Digest,
};

/// Keys of the ConfigMap.
const PLAN: &str = "plan.json";
const DIFF: &str = "diff";

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
        Ok(Some(found)) => checked(&found, digest, own)?,
        Ok(None) => {
            return Err(CommandError::Negative(format!(
                "the ConfigMap {map} with the plan of {name} is gone: nothing can be shown, so do not approve it; cancel the run and ask for a new one"
            )));
        }
        Err(kube::Error::Api(answer)) if answer.is_forbidden() && own.is_some() => format!(
            "(you may not read the ConfigMap {map} with the whole plan; this is the Gate's own diff)\n{}",
            ended(visible(own.unwrap_or_default()))
        ),
        Err(error) => return Err(refused(tried, "neuralops-viewer")(error)),
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

/// The diff of a ConfigMap whose plan has the digest.
fn checked(map: &ConfigMap, digest: &str, own: Option<&str>) -> Result<String, CommandError> {
    let name = map.name_any();
    let altered = |what: String| {
        CommandError::Negative(format!(
            "the ConfigMap {name} does not hold the plan that is asked about: {what}. Somebody replaced it: do not approve, and find out who wrote it (kubectl get configmap {name} -o yaml --show-managed-fields)"
        ))
    };
    let plan = map.data.as_ref().and_then(|data| data.get(PLAN));
    let plan = plan.ok_or_else(|| altered(format!("it has no {PLAN}")))?;
    let found = Digest::of(plan.as_bytes());
    if found.as_str() != digest {
        return Err(altered(format!(
            "its {PLAN} has the digest {found}, and the plan has {digest}"
        )));
    }
    let diff = map.data.as_ref().and_then(|data| data.get(DIFF));
    Ok(match (diff, own) {
        (Some(diff), Some(own)) if !begins(diff, own) => format!(
            "WARNING: two diffs, and they differ. The Gate's cannot be altered; believe that one.\n--- the Gate says\n{}--- the ConfigMap {name} says\n{}",
            ended(visible(own)),
            ended(visible(diff))
        ),
        (Some(diff), _) => ended(visible(diff)),
        (None, Some(own)) => ended(visible(own)),
        // The plan itself is what the digest is of.
        (None, None) => ended(visible(plan)),
    })
}

/// Whether the Gate's diff, which may have been cut in its last line, is the beginning of this one.
fn begins(diff: &str, own: &str) -> bool {
    let own = own.trim_end();
    let whole = own.rsplit_once('\n').map_or("", |(whole, _)| whole);
    diff.trim_end() == own || (!whole.is_empty() && diff.starts_with(whole))
}

fn ended(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(plan: &str, diff: Option<&str>) -> ConfigMap {
        let mut data = json!({ "plan.json": plan });
        if let Some(diff) = diff {
            data["diff"] = json!(diff);
        }
        serde_json::from_value(json!({"metadata": {"name": "m"}, "data": data})).expect("a map")
    }

    fn digest(plan: &str) -> String {
        Digest::of(plan.as_bytes()).to_string()
    }

    #[test]
    fn a_plan_with_the_digest_is_shown() {
        let text = checked(&map("{}", Some("-a\n+b")), &digest("{}"), Some("-a\n+b\n"));
        assert_eq!(text.expect("shown"), "-a\n+b\n");
    }

    #[test]
    fn a_plan_with_another_digest_is_refused() {
        let refused = checked(&map("{ }", Some("-a\n+b")), &digest("{}"), None);
        let text = refused.expect_err("refused").to_string();
        assert!(
            text.contains("do not approve") && text.contains(&digest("{ }")),
            "{text}"
        );
        let nothing = checked(&ConfigMap::default(), &digest("{}"), None);
        assert!(
            nothing
                .expect_err("refused")
                .to_string()
                .contains("no plan.json")
        );
    }

    #[test]
    fn a_diff_that_contradicts_the_gate_is_never_shown_alone() {
        let text = checked(
            &map("{}", Some("+harmless")),
            &digest("{}"),
            Some("+evil\n+b"),
        );
        let text = text.expect("shown");
        assert!(
            text.starts_with("WARNING") && text.contains("+evil") && text.contains("+harmless")
        );
    }

    #[test]
    fn a_gates_diff_may_be_cut_in_its_last_line() {
        assert!(begins("-a\n+b\n+c\n", "-a\n+b\n(2 more lines)"));
        assert!(!begins("-a\n+b\n", "-x\n+b\n"));
        assert!(!begins("anything", "cut"));
    }

    #[test]
    fn a_plan_without_a_diff_is_shown_itself() {
        assert_eq!(
            checked(&map("{}", None), &digest("{}"), None).expect("shown"),
            "{}\n"
        );
    }
}
