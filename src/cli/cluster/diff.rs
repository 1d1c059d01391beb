//! Floor 3: `neuralops diff`: what would change, once the plan has been checked against its digest.

use super::{
    CommandError,
    access::PlaceArgs,
    plan,
    question::{self, Found, Wanted},
};

/// What `--help` ends with.
pub const HELP: &str = "\
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
    let shown = match question::find(&access, &args.wanted).await? {
        Found::Run(run) => {
            let gate = question::newest_gate(&access, &run).await?;
            plan::of_run(&access, &run, gate.as_ref()).await?
        }
        Found::Gate(gate) => {
            let question = question::about(&access, *gate).await?;
            plan::of_question(&access, &question).await?
        }
    };
    Ok(format!("plan {}\n{}", shown.digest, shown.text))
}
