//! Floor 0: what is left of a plan, planned again in the middle of its run, beside what was approved. Steps before it have been
//! done, and what they made is there now.

use std::collections::BTreeSet;

use super::{Access, Plan, PlannedStep, Target};

impl Plan {
    /// The same plan with the steps from there on as they would be done now. What an earlier step was to make has a uid now and
    /// had none when the plan was made: that is no difference.
    pub fn with_rest(&self, from: usize, again: Vec<PlannedStep>) -> Vec<PlannedStep> {
        let done = self.steps.get(..from).unwrap_or_default();
        let made: BTreeSet<String> = done
            .iter()
            .flat_map(|step| &step.targets)
            .filter(|target| target.access == Access::Writes && target.uid.is_none())
            .map(Target::key)
            .collect();
        let rest = again.into_iter().map(|mut step| {
            for target in &mut step.targets {
                if made.contains(&target.key()) {
                    target.uid = None;
                }
            }
            step
        });
        done.iter().cloned().chain(rest).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::domain::plan::Plan;

    fn step(name: &str, object: &str, uid: Option<&str>) -> Value {
        json!({
            "name": name, "kind": "apply", "coverage": "ServerDryRun", "timeout": 1, "retries": 0,
            "targets": [{"apiVersion": "v1", "kind": "ConfigMap", "resource": "configmaps", "namespace": "shop",
                         "name": object, "uid": uid, "access": "Writes"}],
            "effect": {}, "changes": [], "undo": {"by": "delete"},
        })
    }

    fn plan(steps: Value) -> Plan {
        let digest = format!("sha256:{}", "0".repeat(64));
        serde_json::from_value(json!({
            "v": 1, "run": {"namespace": "shop", "name": "r", "uid": "u"},
            "playbook": {"name": "p", "digest": digest, "revision": 1}, "policyDigest": digest,
            "serviceAccount": "runbook", "parameters": {}, "timeout": 1, "steps": steps,
        }))
        .unwrap()
    }

    #[test]
    fn what_an_earlier_step_made_is_no_difference_and_anything_else_is() {
        let approved = plan(json!([
            step("a", "new", None),
            step("b", "new", None),
            step("c", "old", Some("1"))
        ]));
        let again = |made: Option<&str>, old: &str| {
            let now = plan(json!([step("b", "new", made), step("c", "old", Some(old))]));
            approved.with_rest(1, now.steps) == approved.steps
        };
        assert!(again(Some("7"), "1"));
        assert!(again(None, "1"));
        assert!(!again(Some("7"), "2"), "another object of that name");
        let later = plan(json!([step("b", "new", Some("7"))]));
        assert_ne!(
            approved.with_rest(2, later.steps),
            approved.steps,
            "nobody made it"
        );
    }
}
