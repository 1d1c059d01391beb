//! Floor 3: `neuralops suggest`: which Playbooks fit the incident of a run, and why. What is shown is the operator's word in the
//! run's status; nothing is chosen here.

use kube::ResourceExt as _;
use serde_json::json;

use super::{
    CommandError,
    access::PlaceArgs,
    question::{self, run_name, standing},
    text::{OutputArgs, line, table},
};
use crate::api::v1alpha1::{Orchestration, Stage, Suggestion};

/// What `--help` ends with.
pub const HELP: &str = "\
The best match stands first: the author's priority goes before everything else, then how closely labels and expression
match. Only Playbooks that are verified and not suspended are suggested, and nothing is chosen for you.
Exits with 0 if something is suggested or taken, 1 if nothing fits, 2 if it was asked for wrongly.

Examples
  neuralops suggest -n shop checkout-crashes-x7k2p
  neuralops take -n shop checkout-crashes-x7k2p restart-after-bad-rollout --set deployment=checkout";

/// Show what fits a run.
#[derive(clap::Args, Debug)]
pub struct SuggestArgs {
    /// The run: NAME or orch/NAME
    #[arg(value_name = "RUN", value_parser = run_name)]
    run: String,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &SuggestArgs) -> Result<String, CommandError> {
    let access = args.place.open().await?;
    let run = question::run(&access, &args.run).await?;
    let found = suggestions(&run);
    if found.is_empty() && run.spec.playbook_ref.is_none() {
        return Err(CommandError::Negative(nothing(&run)));
    }
    args.output
        .print(&json!({"suggestions": found}), || told(&run, found))
}

fn suggestions(run: &Orchestration) -> &[Suggestion] {
    let status = run.status.as_ref();
    let found = status.and_then(|status| status.suggestions.as_deref());
    found.unwrap_or_default()
}

fn nothing(run: &Orchestration) -> String {
    let name = run.name_any();
    let status = run.status.as_ref();
    match status.and_then(|status| status.stage) {
        None => format!("the operator has not looked at the run {name} yet"),
        Some(Stage::Done) => format!("nothing fits the run {name} any more: {}", standing(run)),
        Some(_) => format!(
            "no Playbook of its namespace fits the incident of the run {name}; `neuralops take` takes any of them"
        ),
    }
}

fn told(run: &Orchestration, found: &[Suggestion]) -> String {
    let name = run.name_any();
    let rows: Vec<_> = found
        .iter()
        .map(|one| {
            let reasons = line(&one.reasons.join("; "));
            [one.playbook.clone(), one.score.to_string(), reasons]
        })
        .collect();
    let shown = if rows.is_empty() {
        String::new()
    } else {
        table(["PLAYBOOK", "SCORE", "WHY"], &rows)
    };
    let next = match &run.spec.playbook_ref {
        Some(taken) => format!(
            "run {name} goes by {}, taken by {}.\n",
            line(&taken.name),
            line(
                run.spec
                    .selected_by
                    .as_deref()
                    .unwrap_or("whoever asked for it")
            )
        ),
        None => format!(
            "neuralops take {name} PLAYBOOK takes one; whoever does so cannot approve it.\n"
        ),
    };
    shown + &next
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn run(spec: Value, status: Value) -> Orchestration {
        let object = json!({"apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "metadata": {"name": "r"}, "spec": spec, "status": status});
        serde_json::from_value(object).expect("a run")
    }

    #[test]
    fn reasons_are_shown_and_steer_nothing() {
        let one = json!({"playbook": "heal", "digest": "sha256:0", "score": 500_005, "reasons": ["the incident has a=\u{1b}[2Kb"]});
        let waiting = run(
            json!({"incident": {}}),
            json!({"stage": "Suggest", "suggestions": [one]}),
        );
        assert_eq!(
            told(&waiting, suggestions(&waiting)),
            "PLAYBOOK  SCORE   WHY\nheal      500005  the incident has a=\\u{1b}[2Kb\nneuralops take r PLAYBOOK takes one; whoever does so cannot approve it.\n"
        );
        let taken = json!({"incident": {}, "playbookRef": {"name": "heal"}, "selectedBy": "bob"});
        let taken = run(taken, Value::Null);
        assert_eq!(told(&taken, &[]), "run r goes by heal, taken by bob.\n");
    }

    #[test]
    fn why_there_is_nothing_is_told() {
        let early = nothing(&run(json!({"incident": {}}), Value::Null));
        assert!(early.contains("has not looked"), "{early}");
        let waiting = run(json!({"incident": {}}), json!({"stage": "Suggest"}));
        assert!(nothing(&waiting).contains("no Playbook of its namespace fits"));
    }
}
