//! Floor 3: who suggested what a run was made from. That a Decision suggests it is looked up and held against the run that
//! was voted on: nobody is kept from a vote, or put on record, by another's word. Reads only.

use std::collections::BTreeMap;

use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde_json::Value;

use super::{Facts, Opening, run_ref};
use crate::{
    adapters::kube::error::chain,
    api::v1alpha1::{Decision, Gate, Orchestration, OrchestrationSpec},
    controllers::orchestration::{OrchestrationError, OrchestrationKind, children::is_owned_by},
    domain::{names::is_dns_name, suggested::patched},
};

/// Names in one answer.
const PAGE: u32 = 500;

/// What is there of that which a run says that it was made from.
#[derive(Clone, Debug, Default)]
struct Found {
    decision: Option<DynamicObject>,
    /// What the Decision is about.
    gate: Option<Gate>,
    /// The run that was voted on, as the new one names it.
    voted_on: Option<Orchestration>,
}

impl OrchestrationKind {
    /// Who suggested what the run was made from, if it was and that is not on record yet; or why nobody knows.
    pub(super) async fn author(
        &self,
        facts: &Facts,
    ) -> Result<Result<Option<String>, Opening>, OrchestrationError> {
        let from = facts.spec.from.as_ref();
        let Some(uid) = from.and_then(|from| from.decision_uid.as_deref()) else {
            return Ok(Ok(None));
        };
        let history = facts.history.as_ref();
        if history.is_ok_and(|history| history.author.is_some()) {
            return Ok(Ok(None));
        }
        let namespace = &facts.run.namespace;
        let mut found = Found {
            decision: self.decision(namespace, uid).await?,
            ..Found::default()
        };
        let decision = found.decision.as_ref();
        let made = decision.and_then(|decision| decision.metadata.creation_timestamp.as_ref());
        if let Some(made) = made {
            let unproven = format!(
                "the Decision {uid} that it was made from was written while the admission guard was not whole, so that nobody proved whose it is; suggest it again, or ask for a run of your own"
            );
            if let Some(distrusted) = self.distrusted(made.0, &unproven).await? {
                return Ok(Err(distrusted));
            }
        }
        let gate = decision.and_then(|decision| text(decision, "/spec/gateRef/name"));
        if let Some(gate) = named(gate) {
            let gates: Api<Gate> = Api::namespaced(self.client.clone(), namespace);
            let gate = gates.get_opt(gate).await;
            found.gate = gate.map_err(unread("the Gate of the Decision that it was made from"))?;
        }
        if let Some(name) = named(from.and_then(|from| from.orchestration.as_deref())) {
            let runs: Api<Orchestration> = Api::namespaced(self.client.clone(), namespace);
            let run = runs.get_opt(name).await;
            found.voted_on = run.map_err(unread("the run that it was made from"))?;
        }
        let author = author_of(&facts.spec, uid, &found);
        Ok(author.map(Some).map_err(|message| Opening::Distrusted {
            message,
            lasting: true,
        }))
    }

    /// The Decision with this uid, however much else stands in it, and in the others of which only names are read.
    async fn decision(
        &self,
        namespace: &str,
        uid: &str,
    ) -> Result<Option<DynamicObject>, OrchestrationError> {
        let resource = ApiResource::erase::<Decision>(&());
        let decisions: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &resource);
        let unread = || unread("the Decision that it was made from");
        let mut page = ListParams::default().limit(PAGE);
        let name = loop {
            let list = decisions.list_metadata(&page).await.map_err(unread())?;
            let mut items = list.items.iter();
            if let Some(found) = items.find(|decision| decision.uid().as_deref() == Some(uid)) {
                break found.name_any();
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(None),
            }
        };
        // A list, for the operator may get no Decision by its name.
        let one = ListParams::default().fields(&format!("metadata.name={name}"));
        let list = decisions.list(&one).await.map_err(unread())?;
        let mut items = list.items.into_iter();
        Ok(items.find(|decision| decision.uid().as_deref() == Some(uid)))
    }
}

fn unread(what: &'static str) -> impl Fn(kube::Error) -> OrchestrationError {
    move |source| OrchestrationError::Read {
        what,
        source: Box::new(source),
    }
}

/// Names become parts of paths: what is no name of an object leads nowhere.
fn named(name: Option<&str>) -> Option<&str> {
    name.filter(|name| is_dns_name(name))
}

fn text<'a>(decision: &'a DynamicObject, pointer: &str) -> Option<&'a str> {
    decision.data.pointer(pointer).and_then(Value::as_str)
}

/// Whose suggestion the run is: that of a Decision about the run that it names, by the same Playbook, and with the parameters
/// that its patch makes of that one's.
fn author_of(spec: &OrchestrationSpec, uid: &str, found: &Found) -> Result<String, String> {
    let not = |why: &str| {
        Err(format!(
            "spec.from says that it was made from what the Decision {uid} suggests, and {why}: nobody knows who shaped it; neuralops take --decision asks for what a Decision suggests, neuralops run for a run of your own"
        ))
    };
    let Some(decision) = &found.decision else {
        return not("that is not there");
    };
    let Some(user) = text(decision, "/spec/user") else {
        return not("that does not say whose it is");
    };
    let Some(patch) = text(decision, "/spec/patch") else {
        return not("that has no patch");
    };
    let Some(voted_on) = &found.voted_on else {
        return not("spec.from.orchestration names no run that is there");
    };
    let about = text(decision, "/spec/gateRef/uid");
    let run = run_ref(voted_on);
    let is_of_run = found.gate.as_ref().is_some_and(|gate| {
        let asks = is_owned_by(&gate.metadata, &run) && gate.spec.subject.uid == run.uid;
        asks && gate.uid().as_deref() == about
    });
    if !is_of_run {
        let why = format!("that is not about run {}", run.name);
        return not(&why);
    }
    if spec.playbook_ref.is_none() || spec.playbook_ref != voted_on.spec.playbook_ref {
        let why = format!("run {} goes by another Playbook", run.name);
        return not(&why);
    }
    let none = BTreeMap::new();
    let before = voted_on.spec.parameters.as_ref().unwrap_or(&none);
    match patched(before, patch) {
        Ok(suggested) if suggested == *spec.parameters.as_ref().unwrap_or(&none) => {
            Ok(user.to_owned())
        }
        Ok(_) => {
            let why = format!(
                "with its patch the parameters of run {} are others",
                run.name
            );
            not(&why)
        }
        Err(error) => not(&format!("nothing can be made of that: {}", chain(&error))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controllers::orchestration::decide::tests::{gate, spec};

    fn decision(more: &Value) -> DynamicObject {
        let mut spec = json!({
            "gateRef": {"name": "g", "uid": "g-uid"}, "planDigest": "d", "verdict": "Reject", "user": "bob",
            "patch": r#"[{"op":"replace","path":"/parameters/replicas","value":"5"}]"#,
        });
        for (name, value) in more.as_object().unwrap() {
            spec[name] = value.clone();
        }
        let object = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Decision",
            "metadata": {"name": "v", "namespace": "shop", "uid": "v-uid"}, "spec": spec,
        });
        serde_json::from_value(object).unwrap()
    }

    fn voted_on(uid: &str) -> Orchestration {
        let object = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration",
            "metadata": {"name": "r", "namespace": "shop", "uid": uid},
            "spec": spec(&json!({"parameters": {"replicas": "3", "zone": "a"}})),
        });
        serde_json::from_value(object).unwrap()
    }

    fn found() -> Found {
        Found {
            decision: Some(decision(&json!({}))),
            gate: Some(gate("Rejected")),
            voted_on: Some(voted_on("u")),
        }
    }

    fn suggested(more: &Value) -> OrchestrationSpec {
        let mut all = json!({
            "parameters": {"replicas": "5", "zone": "a"}, "from": {"orchestration": "r", "decisionUID": "v-uid"},
        });
        for (name, value) in more.as_object().unwrap() {
            all[name] = value.clone();
        }
        spec(&all)
    }

    #[test]
    fn a_name_that_is_a_path_leads_nowhere() {
        assert_eq!(named(Some("r-1.a")), Some("r-1.a"));
        for path in ["r/status", "../x", "a b", "r?watch=true", ""] {
            assert_eq!(named(Some(path)), None, "{path}");
        }
    }

    #[test]
    fn whoever_suggested_it_is_its_author() {
        let author = author_of(&suggested(&json!({})), "v-uid", &found());
        assert_eq!(author.as_deref(), Ok("bob"));
    }

    #[test]
    fn a_decision_that_does_not_suggest_this_run_makes_nobody_its_author() {
        let refused = |spec: Value, found: Found, words: &str| {
            let refused = author_of(&suggested(&spec), "v-uid", &found).unwrap_err();
            assert!(refused.contains(words), "{words}: {refused}");
        };
        let with = |alter: &dyn Fn(&mut Found)| {
            let mut found = found();
            alter(&mut found);
            found
        };
        let same = json!({});
        let absent = with(&|found| found.decision = None);
        refused(same.clone(), absent, "is not there");
        let vote = decision(&json!({"patch": null}));
        let vote = with(&|found| found.decision = Some(vote.clone()));
        refused(same.clone(), vote, "has no patch");
        let unnamed = with(&|found| found.voted_on = None);
        refused(same.clone(), unnamed, "names no run");
        let other = with(&|found| found.voted_on = Some(voted_on("another")));
        refused(same.clone(), other, "not about run r");
        let no_gate = with(&|found| found.gate = None);
        refused(same.clone(), no_gate, "not about run r");
        let later = decision(&json!({"gateRef": {"name": "g", "uid": "another"}}));
        let later = with(&|found| found.decision = Some(later.clone()));
        refused(same.clone(), later, "not about run r");
        // Anybody may make a Gate that stands alone and says this.
        let mut alone = gate("Rejected");
        alone.metadata.owner_references = None;
        let alone = with(&|found| found.gate = Some(alone.clone()));
        refused(same, alone, "not about run r");
        for playbook in [json!({"name": "another"}), json!(null)] {
            let spec = json!({"playbookRef": playbook});
            refused(spec, found(), "another Playbook");
        }
        for parameters in [
            json!({"replicas": "9", "zone": "a"}),
            json!({"replicas": "5"}),
            json!(null),
        ] {
            let spec = json!({"parameters": parameters});
            refused(spec, found(), "are others");
        }
        let elsewhere = r#"[{"op":"replace","path":"/playbookRef/name","value":"x"}]"#;
        let elsewhere = decision(&json!({"patch": elsewhere}));
        let elsewhere = with(&|found| found.decision = Some(elsewhere.clone()));
        refused(json!({}), elsewhere, "nothing can be made");
    }
}
