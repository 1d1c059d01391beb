//! Floor 3: `neuralops take`: choose the Playbook of a run that waits for one, or ask for the run that somebody suggested in a
//! Decision; in the caller's own name. Whoever takes it has shaped the run, and cannot approve it.

mod suggested;

use std::collections::BTreeMap;

use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    CommandError,
    access::{Access, PlaceArgs},
    error::refused,
    question::{self, run_name, standing},
    run::{look_for_playbook, map, pair},
    text::OutputArgs,
};
use crate::api::v1alpha1::{Orchestration, Stage};

/// What `--help` ends with.
pub const HELP: &str = "\
The choice is yours and is made once: selectedBy is your name as the API server knows it, and you cannot approve the run.
What is not set comes from the Playbook's defaults, which may be the incident's own labels.
With --decision the patch that a Decision suggests is taken: it may change parameters alone, and makes another run, with a
plan and a Gate of its own; neither you nor whoever suggested it can approve that. The plan that was voted on stays as it is.
Exits with 0 if it is taken, 1 if it cannot be or was refused, 2 if it was asked for wrongly.

Examples
  neuralops take -n shop checkout-crashes-x7k2p restart-after-bad-rollout --set deployment=checkout
  neuralops take -n shop --decision vote-8wzlq";

/// Take a Playbook for a run.
#[derive(clap::Args, Debug)]
pub struct TakeArgs {
    /// The run: NAME or orch/NAME
    #[arg(value_name = "RUN", value_parser = run_name, required_unless_present = "decision")]
    run: Option<String>,
    /// The Playbook
    #[arg(value_name = "PLAYBOOK", required_unless_present = "decision")]
    playbook: Option<String>,
    /// Take what this Decision suggests instead
    #[arg(long, value_name = "NAME", conflicts_with_all = ["run", "playbook", "parameters"])]
    decision: Option<String>,
    /// A parameter of the Playbook; strings bare, everything else as JSON
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &TakeArgs) -> Result<String, CommandError> {
    let access = args.place.open().await?;
    match (&args.decision, &args.run, &args.playbook) {
        (Some(decision), _, _) => {
            let made = suggested::take(&access, decision).await?;
            args.output.print(&made, || suggested::told(&made))
        }
        (None, Some(run), Some(playbook)) => {
            let parameters = map("set", &args.parameters)?;
            let taken = take(&access, run, playbook, parameters).await?;
            args.output.print(&taken, || told(&taken))
        }
        // The command line asks for both.
        (None, _, _) => Err(CommandError::Usage(
            "name a run and a Playbook, or a Decision".to_owned(),
        )),
    }
}

async fn take(
    access: &Access,
    run: &str,
    playbook: &str,
    parameters: Option<BTreeMap<String, String>>,
) -> Result<Orchestration, CommandError> {
    let run = question::run(access, run).await?;
    waits_for_one(&run)?;
    look_for_playbook(access, playbook).await?;
    let caller = access.caller().await?;
    let mut spec = json!({"playbookRef": {"name": playbook}, "selectedBy": caller.user});
    if let (Some(parameters), Value::Object(spec)) = (parameters, &mut spec) {
        spec.insert("parameters".to_owned(), json!(parameters));
    }
    write(access, &run, spec).await
}

fn waits_for_one(run: &Orchestration) -> Result<(), CommandError> {
    let name = run.name_any();
    if let Some(playbook) = &run.spec.playbook_ref {
        return Err(CommandError::Negative(format!(
            "the run {name} goes by Playbook {} already, and that is said once; ask for another run",
            playbook.name
        )));
    }
    if run.status.as_ref().and_then(|status| status.stage) == Some(Stage::Done) {
        return Err(CommandError::Negative(format!(
            "no Playbook can be taken for the run {name}: {}",
            standing(run)
        )));
    }
    Ok(())
}

/// Against exactly the run that was looked at: who else took a Playbook meanwhile goes first.
async fn write(
    access: &Access,
    run: &Orchestration,
    spec: Value,
) -> Result<Orchestration, CommandError> {
    let name = run.name_any();
    let patch = Patch::Merge(json!({"metadata": {"uid": run.uid()}, "spec": spec}));
    let runs = access.objects::<Orchestration>();
    let taken = runs.patch(&name, &PatchParams::default(), &patch).await;
    taken.map_err(refused(
        format!("take a Playbook for the run {name}"),
        "neuralops-engineer",
    ))
}

fn told(run: &Orchestration) -> String {
    let name = run.name_any();
    let playbook = run.spec.playbook_ref.as_ref();
    format!(
        "run {name} goes by {}, taken by {}: it is planned, and others approve it.\n  neuralops tree {name}  where it stands\n  neuralops diff {name}  what it would change\n",
        playbook.map(|it| it.name.as_str()).unwrap_or_default(),
        run.spec.selected_by.as_deref().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(spec: Value, status: Value) -> Orchestration {
        let object = json!({"apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "metadata": {"name": "r"}, "spec": spec, "status": status});
        serde_json::from_value(object).expect("a run")
    }

    #[test]
    fn a_playbook_is_taken_once_and_not_after_the_end() {
        let waiting = json!({"stage": "Suggest"});
        assert!(waits_for_one(&run(json!({"incident": {}}), waiting.clone())).is_ok());
        let taken = json!({"incident": {}, "playbookRef": {"name": "heal"}});
        let told = waits_for_one(&run(taken, waiting)).expect_err("taken");
        assert!(told.to_string().contains("Playbook heal already"), "{told}");
        let over = json!({"stage": "Done", "outcome": "Expired"});
        assert!(waits_for_one(&run(json!({"incident": {}}), over)).is_err());
    }
}
