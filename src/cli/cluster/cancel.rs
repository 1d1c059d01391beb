//! Floor 3: `neuralops cancel`: the stop that always works, in the caller's own name.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{
    CommandError,
    access::PlaceArgs,
    error::refused,
    question::{self, run_name, standing},
    text::OutputArgs,
};
use crate::api::v1alpha1::{Orchestration, Stage};

/// What `--help` ends with.
pub const HELP: &str = "\
A cancel works in every stage and is never taken back: no further effect begins. What has been done is not undone.
Exits with 0 if the run is told to stop, 1 if it has ended already or the cancel was refused, 2 if it was asked for
wrongly.

Example
  neuralops cancel -n shop restart-after-bad-rollout-x7k2p --reason 'the wrong cluster'";

/// Why, for people who look at the run; what is recorded is who.
const REASON: &str = "neuralops.io/cancel-reason";

/// Cancel a run.
#[derive(clap::Args, Debug)]
pub struct CancelArgs {
    /// The run: NAME or orch/NAME
    #[arg(value_name = "RUN", value_parser = run_name)]
    run: String,
    #[command(flatten)]
    place: PlaceArgs,
    /// Why, kept in an annotation of the run
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &CancelArgs) -> Result<String, CommandError> {
    let access = args.place.open().await?;
    let name = &args.run;
    let run = question::run(&access, name).await?;
    if run.status.as_ref().and_then(|status| status.stage) == Some(Stage::Done) {
        return Err(CommandError::Negative(format!(
            "the run {name} cannot be cancelled: {}",
            standing(&run)
        )));
    }
    if run.spec.cancel == Some(true) {
        let by = run.spec.cancelled_by.as_deref().unwrap_or("somebody");
        return args.output.print(&run, || {
            format!("run {name} was cancelled already, by {by}.\n")
        });
    }
    let caller = access.caller().await?;
    let runs = access.objects::<Orchestration>();
    let stop = async |run: &Orchestration| {
        let change = change(run, &caller.user, args.reason.as_deref());
        let params = PatchParams::default();
        runs.patch(name, &params, &Patch::Merge(change)).await
    };
    let mut stopped = stop(&run).await;
    // Somebody else cancelled at the same moment, and who did is set once.
    if matches!(&stopped, Err(kube::Error::Api(answer)) if answer.is_invalid()) {
        stopped = stop(&question::run(&access, name).await?).await;
    }
    let tried = format!("cancel the run {name}");
    let stopped = stopped.map_err(refused(tried, "neuralops-approver"))?;
    args.output.print(&stopped, || {
        format!(
            "run {name} cancelled by {}: no further effect begins.\n  neuralops wait {name} --for done  until it has stopped\n",
            caller.user
        )
    })
}

/// Who cancelled is set once: where somebody stands there already, a stop must not fail on it.
fn change(run: &Orchestration, user: &str, reason: Option<&str>) -> Value {
    let mut spec = json!({"cancel": true});
    if let (None, Value::Object(spec)) = (&run.spec.cancelled_by, &mut spec) {
        spec.insert("cancelledBy".to_owned(), json!(user));
    }
    match reason {
        Some(reason) => json!({"spec": spec, "metadata": {"annotations": {REASON: reason}}}),
        None => json!({"spec": spec}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stands_there_already_is_left_alone() {
        let run = |spec: Value| -> Orchestration {
            let object = json!({"apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "metadata": {"name": "r"}, "spec": spec});
            serde_json::from_value(object).expect("a run")
        };
        assert_eq!(
            change(&run(json!({"incident": {}})), "alice", None),
            json!({"spec": {"cancel": true, "cancelledBy": "alice"}})
        );
        assert_eq!(
            change(
                &run(json!({"incident": {}, "cancelledBy": "bob"})),
                "alice",
                Some("why")
            ),
            json!({"spec": {"cancel": true}, "metadata": {"annotations": {REASON: "why"}}})
        );
    }
}
