//! Floor 3: `neuralops diff`: what would change, once the plan has been checked against its digest.

use kube::{ResourceExt as _, api::ListParams};

use super::{
    CommandError,
    access::{Access, PlaceArgs},
    error::refused,
    plan,
    question::{self, Found, Wanted},
    text::line,
    tree::suggestion,
};
use crate::api::v1alpha1::{Decision, Gate};

/// What `--help` ends with.
pub const HELP: &str = "\
What people suggested in their votes is shown below it, each with the name by which `neuralops take --decision` takes it.
The plan's bytes are hashed first: if they do not have the digest that people approve, nothing is shown.
Exits with 0 if it is shown, 1 if there is no plan or it was altered, 2 if it was asked for wrongly.

Examples
  neuralops diff -n shop restart-after-bad-rollout-x7k2p
  neuralops diff -n shop gate/release-checkout-2-8-2";

/// Show a plan.
#[derive(clap::Args, Debug)]
pub struct DiffArgs {
    /// The run or Gate: NAME, orch/NAME or gate/NAME
    #[arg(value_name = "RUN|GATE")]
    wanted: Wanted,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &DiffArgs) -> Result<String, CommandError> {
    let access = args.place.open().await?;
    let (gate, shown) = match question::find(&access, &args.wanted).await? {
        Found::Run(run) => {
            let gate = question::newest_gate(&access, &run).await?;
            let shown = plan::of_run(&access, &run, gate.as_ref()).await?;
            (gate, shown)
        }
        Found::Gate(gate) => {
            let question = question::about(&access, *gate).await?;
            let shown = plan::of_question(&access, &question).await?;
            (Some(question.gate), shown)
        }
    };
    let suggested = match &gate {
        Some(gate) => suggestions(&access, gate).await?,
        None => String::new(),
    };
    Ok(format!("plan {}\n{}{suggested}", shown.digest, shown.text))
}

/// What those who voted would rather see; nothing where one may not read votes, because the plan is what is asked for.
async fn suggestions(access: &Access, gate: &Gate) -> Result<String, CommandError> {
    let uid = gate.uid().unwrap_or_default();
    let selector = ListParams::default().fields(&format!("spec.gateRef.uid={uid}"));
    let votes = match access.objects::<Decision>().list(&selector).await {
        Ok(votes) => votes.items,
        Err(kube::Error::Api(answer)) if answer.is_forbidden() => Vec::new(),
        Err(error) => return Err(refused("list the Decisions", "neuralops-viewer")(error)),
    };
    let mut text = String::new();
    for vote in &votes {
        if let Some(suggested) = suggestion(vote) {
            text.push_str(&line(&format!("{} {suggested}", vote.spec.user)));
            text.push('\n');
        }
    }
    Ok(text)
}
