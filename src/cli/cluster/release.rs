//! Floor 3: `neuralops release`: let an approved run begin, in the caller's own name.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{
    CommandError,
    access::PlaceArgs,
    error::refused,
    question::{self, run_name, standing},
    text::OutputArgs,
};
use crate::api::v1alpha1::{Orchestration, Stage, Start};

/// What `--help` ends with.
pub const HELP: &str = "\
Exits with 0 if it is released, 1 if it cannot be or was already, 2 if it was asked for wrongly.

Example
  neuralops release -n shop restart-after-bad-rollout-x7k2p";

/// Release a run.
#[derive(clap::Args, Debug)]
pub struct ReleaseArgs {
    /// The run: NAME or orch/NAME
    #[arg(value_name = "RUN", value_parser = run_name)]
    run: String,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &ReleaseArgs) -> Result<String, CommandError> {
    let access = args.place.open().await?;
    let run = question::run(&access, &args.run).await?;
    let name = &args.run;
    if run.spec.start != Some(Start::OnRelease) {
        return Err(CommandError::Negative(format!(
            "the run {name} begins as soon as it is approved: there is nothing to release"
        )));
    }
    if let Some(by) = &run.spec.released_by {
        return Err(CommandError::Negative(format!(
            "the run {name} was released already, by {by}"
        )));
    }
    let stage = run.status.as_ref().and_then(|status| status.stage);
    if stage == Some(Stage::Done) {
        return Err(CommandError::Negative(format!(
            "the run {name} cannot be released: {}",
            standing(&run)
        )));
    }
    let caller = access.caller().await?;
    let patch = Patch::Merge(json!({"spec": {"releasedBy": caller.user}}));
    let released: Orchestration = access
        .objects()
        .patch(name, &PatchParams::default(), &patch)
        .await
        .map_err(refused(
            format!("release the run {name}"),
            "neuralops-engineer",
        ))?;
    args.output.print(&released, || {
        format!(
            "run {name} released by {}: it begins once it is approved.\n",
            caller.user
        )
    })
}
