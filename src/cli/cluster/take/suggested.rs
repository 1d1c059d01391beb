//! Floor 3: the run that a Decision suggests: the one that was voted on, with other parameters. It is a run of its own, asked
//! for by whoever takes it, and says where it comes from.

use kube::{
    ResourceExt as _,
    api::{ObjectMeta, PostParams},
};

use crate::{
    adapters::kube::error::chain,
    api::v1alpha1::{Decision, Gate, Orchestration, OrchestrationSpec, Origin},
    cli::cluster::{CommandError, access::Access, error::refused},
    domain::suggested::patched,
};

/// Asks for it.
pub(super) async fn take(access: &Access, name: &str) -> Result<Orchestration, CommandError> {
    let decision: Decision = found(access, "Decision", name).await?;
    let Some(patch) = &decision.spec.patch else {
        return Err(CommandError::Negative(format!(
            "the Decision {name} suggests nothing: it has no patch"
        )));
    };
    let run = of(access, &decision).await?;
    let none = std::collections::BTreeMap::new();
    let parameters = run.spec.parameters.as_ref().unwrap_or(&none);
    let parameters = patched(parameters, patch).map_err(|error| {
        CommandError::Negative(format!(
            "nothing can be made of what the Decision {name} suggests: {}",
            chain(&error)
        ))
    })?;
    let caller = access.caller().await?;
    let wanted = wanted(&run, &decision, &caller.user, parameters);
    let made = access
        .objects::<Orchestration>()
        .create(&PostParams::default(), &wanted)
        .await;
    made.map_err(refused(
        format!("ask for the run that the Decision {name} suggests"),
        "neuralops-engineer",
    ))
}

/// The run that the Decision is about, by the uids in Decision and Gate.
async fn of(access: &Access, decision: &Decision) -> Result<Orchestration, CommandError> {
    let of_gate = &decision.spec.gate_ref;
    let gate: Gate = found(access, "Gate", &of_gate.name).await?;
    let subject = &gate.spec.subject;
    let stray = || {
        CommandError::Negative(format!(
            "what the Decision {} is about is not there any more",
            decision.name_any()
        ))
    };
    if gate.uid().as_ref() != Some(&of_gate.uid) {
        return Err(stray());
    }
    let name = subject.name.as_deref().ok_or_else(stray)?;
    let run: Orchestration = found(access, "run", name).await?;
    if run.uid().as_ref() != Some(&subject.uid) {
        return Err(stray());
    }
    Ok(run)
}

async fn found<K>(access: &Access, what: &str, name: &str) -> Result<K, CommandError>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let read = access.objects::<K>().get_opt(name).await;
    let read = read.map_err(refused(
        format!("read the {what} {name}"),
        "neuralops-engineer",
    ))?;
    read.ok_or_else(|| {
        let namespace = access.namespace();
        CommandError::Negative(format!(
            "there is no {what} {name} in namespace {namespace}"
        ))
    })
}

fn wanted(
    run: &Orchestration,
    decision: &Decision,
    user: &str,
    parameters: std::collections::BTreeMap<String, String>,
) -> Orchestration {
    let before = &run.spec;
    let spec = OrchestrationSpec {
        parameters: (!parameters.is_empty()).then_some(parameters),
        requested_by: Some(user.to_owned()),
        selected_by: None,
        // Whatever the first run was allowed: people are asked about this one.
        mode: None,
        released_by: None,
        cancel: None,
        cancelled_by: None,
        suspend: None,
        from: Some(Origin {
            orchestration: Some(run.name_any()),
            decision_uid: decision.uid(),
        }),
        ..before.clone()
    };
    let stem = before.playbook_ref.as_ref();
    let stem = stem.map_or_else(|| run.name_any(), |playbook| playbook.name.clone());
    Orchestration {
        metadata: ObjectMeta {
            generate_name: Some(format!("{stem}-")),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}

pub(super) fn told(run: &Orchestration) -> String {
    let name = run.name_any();
    let from = run.spec.from.as_ref();
    let from = from.and_then(|from| from.orchestration.as_deref());
    format!(
        "run {name} asked for by {}, made from run {}: it has a plan and a Gate of its own.\n  neuralops diff {name}  what it would change\n",
        run.spec.requested_by.as_deref().unwrap_or_default(),
        from.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_asked_for_by_whoever_takes_it_and_never_without_a_gate() {
        let run = serde_json::from_value(json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "metadata": {"name": "r", "uid": "u"},
            "spec": {
                "incident": {"key": "k"}, "playbookRef": {"name": "heal"}, "mode": "Auto", "start": "OnRelease",
                "requestedBy": "alice", "selectedBy": "dave", "releasedBy": "dave", "suspend": true,
            },
        }));
        let decision = serde_json::from_value(json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Decision", "metadata": {"name": "v", "uid": "v-uid"},
            "spec": {"gateRef": {"name": "g", "uid": "g"}, "planDigest": "d", "verdict": "Reject", "user": "bob"},
        }));
        let (run, decision) = (run.expect("a run"), decision.expect("a vote"));
        let parameters = [("replicas".to_owned(), "5".to_owned())].into();
        let wanted = wanted(&run, &decision, "carol", parameters);
        assert_eq!(
            serde_json::to_value(&wanted.spec).expect("a spec"),
            json!({
                "incident": {"key": "k"}, "playbookRef": {"name": "heal"}, "start": "OnRelease",
                "requestedBy": "carol", "parameters": {"replicas": "5"},
                "from": {"orchestration": "r", "decisionUID": "v-uid"},
            })
        );
    }
}
