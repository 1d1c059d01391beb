//! Floor 3: `neuralops tree`: everything that belongs to a run, as text. It shows what stands there and judges nothing;
//! whether the records are true is for `neuralops audit` to say.

use k8s_openapi::{
    api::batch::v1::Job,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::{ResourceExt as _, api::ListParams};

use super::{
    CommandError,
    access::{Access, PlaceArgs},
    error::refused,
    question::{self, run_name, state},
    text::line,
};
use crate::api::v1alpha1::{
    Decision, Gate, GateSummary, Orchestration, OrchestrationStatus, PlanSummary, StepStatus,
};
use crate::domain::suggested;

/// What `--help` ends with.
pub const HELP: &str = "\
Jobs are shown if you may list Jobs in the namespace. Exits with 0, 1 if the run is not there or may not be read, 2 if it
was asked for wrongly.

Example
  neuralops tree -n shop restart-after-bad-rollout-x7k2p";

/// Show a run.
#[derive(clap::Args, Debug)]
pub struct TreeArgs {
    /// The run: NAME or orch/NAME
    #[arg(value_name = "RUN", value_parser = run_name)]
    run: String,
    #[command(flatten)]
    place: PlaceArgs,
}

/// A Gate of the run, and the votes on it.
struct Asked {
    summary: GateSummary,
    /// None if it is gone, or if another one has its name.
    gate: Option<Gate>,
    votes: Vec<Decision>,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &TreeArgs) -> Result<String, CommandError> {
    let access = args.place.open().await?;
    let run = question::run(&access, &args.run).await?;
    let empty = OrchestrationStatus::default();
    let status = run.status.as_ref().unwrap_or(&empty);
    let mut asked = Vec::new();
    for summary in status.gates.iter().flatten() {
        asked.push(gate(&access, summary).await?);
    }
    let jobs = jobs(&access, &run).await?;
    let mut tree = Tree::default();
    head(&mut tree, &run, access.namespace());
    conditions(&mut tree, status.conditions.iter().flatten());
    if let Some(summary) = &status.plan {
        plan(&mut tree, summary);
    }
    for asked in &asked {
        votes(&mut tree, asked);
    }
    for status in status.steps.iter().flatten() {
        step(&mut tree, status);
    }
    match jobs {
        Some(jobs) => jobs.iter().for_each(|of| job(&mut tree, of)),
        None => tree.add(
            1,
            "jobs: not shown, you may not list Jobs in this namespace",
        ),
    }
    if let Some(joined) = &status.joined {
        let count = joined.count.unwrap_or_default();
        match &joined.name {
            Some(name) => tree.add(1, &format!("joined the run {name}")),
            None => tree.add(1, &format!("joined by {count} more")),
        }
    }
    if let Some(audit) = &status.audit {
        let range = format!(
            "records {} to {} of the transparency log",
            audit.first, audit.last
        );
        tree.add(1, &range);
    }
    Ok(tree.text)
}

#[derive(Default)]
struct Tree {
    text: String,
}

impl Tree {
    fn add(&mut self, depth: usize, text: &str) {
        let text = line(text);
        self.text
            .push_str(&format!("{:indent$}{text}\n", "", indent = depth * 2));
    }
}

async fn gate(access: &Access, summary: &GateSummary) -> Result<Asked, CommandError> {
    let tried = format!("read the Gate {}", summary.name);
    let found = access.objects::<Gate>().get_opt(&summary.name).await;
    let found = found.map_err(refused(tried, "neuralops-viewer"))?;
    let gate = found.filter(|gate| gate.uid().as_deref() == Some(&summary.uid));
    let selector = ListParams::default().fields(&format!("spec.gateRef.uid={}", summary.uid));
    let votes = access.objects::<Decision>().list(&selector).await;
    let votes = votes.map_err(refused("list the Decisions", "neuralops-viewer"))?;
    Ok(Asked {
        summary: summary.clone(),
        gate,
        votes: votes.items,
    })
}

/// The Jobs that the run owns; none if the caller may not look.
async fn jobs(access: &Access, run: &Orchestration) -> Result<Option<Vec<Job>>, CommandError> {
    let uid = run.uid().unwrap_or_default();
    let owned = |job: &Job| job.owner_references().iter().any(|owner| owner.uid == uid);
    match access.objects::<Job>().list(&ListParams::default()).await {
        Ok(list) => Ok(Some(list.items.into_iter().filter(owned).collect())),
        Err(kube::Error::Api(answer)) if answer.is_forbidden() => Ok(None),
        Err(error) => Err(refused("list the Jobs", "view")(error)),
    }
}

fn head(tree: &mut Tree, run: &Orchestration, namespace: &str) {
    let spec = &run.spec;
    tree.add(
        0,
        &format!(
            "run {namespace}/{}: {}",
            run.name_any(),
            question::standing(run)
        ),
    );
    let incident = [&spec.incident.severity, &spec.incident.summary];
    let incident: Vec<&str> = incident.into_iter().flatten().map(String::as_str).collect();
    let mut fields = vec![("incident", incident.join(", "))];
    if let Some(playbook) = &spec.playbook_ref {
        fields.push(("playbook", playbook.name.clone()));
    }
    for (name, value) in spec.parameters.iter().flatten() {
        fields.push(("parameter", format!("{name}={value}")));
    }
    if let Some(mode) = spec.mode {
        fields.push(("mode", format!("{mode:?}")));
    }
    if let Some(start) = spec.start {
        fields.push(("start", format!("{start:?}")));
    }
    for (name, who) in [
        ("requested by", &spec.requested_by),
        ("selected by", &spec.selected_by),
        ("released by", &spec.released_by),
        ("cancelled by", &spec.cancelled_by),
    ] {
        fields.push((name, who.clone().unwrap_or_default()));
    }
    if spec.suspend == Some(true) {
        fields.push(("suspended", "nothing new begins".to_owned()));
    }
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        tree.add(1, &format!("{name}: {value}"));
    }
}

fn conditions<'a>(tree: &mut Tree, conditions: impl Iterator<Item = &'a Condition>) {
    for condition in conditions {
        let Condition {
            type_,
            status,
            reason,
            message,
            ..
        } = condition;
        let text = format!("condition {type_}={status}, {reason}: {message}");
        tree.add(1, text.trim_end_matches(": "));
    }
}

fn plan(tree: &mut Tree, plan: &PlanSummary) {
    let digest = plan.digest.as_deref().unwrap_or("without a digest");
    tree.add(1, &format!("plan {digest}: {:?}", plan.verdict));
    let coverage = plan.coverage.as_ref().map(|count| {
        format!(
            "steps by the API server's dry run {}, by schema only {}, opaque {}, unplannable {}",
            count.server_dry_run, count.schema_only, count.opaque, count.unplannable
        )
    });
    let map = plan.config_map.as_ref();
    let map = map.map(|map| format!("in the ConfigMap {map}"));
    for text in [&plan.summary, &coverage, &map].into_iter().flatten() {
        tree.add(2, text);
    }
    for target in plan.targets.iter().flatten() {
        tree.add(2, &format!("target {target}"));
    }
}

fn votes(tree: &mut Tree, asked: &Asked) {
    let name = &asked.summary.name;
    let Some(gate) = &asked.gate else {
        let text = format!("gate {name}: {:?}, and gone", asked.summary.state);
        return tree.add(1, &text);
    };
    let until = gate.spec.deadline.as_ref();
    let until = until.map(|time| format!(", until {}", time.0));
    let until = until.unwrap_or_default();
    tree.add(1, &format!("gate {name}: {:?}{until}", state(gate)));
    let progress = gate
        .status
        .as_ref()
        .and_then(|status| status.rules.as_ref());
    for rule in &gate.spec.rules {
        let met = progress
            .into_iter()
            .flatten()
            .find(|progress| progress.role == rule.role)
            .map_or(0, |progress| progress.met);
        tree.add(2, &format!("role {}: {met} of {}", rule.role, rule.min));
    }
    let counted = gate
        .status
        .iter()
        .flat_map(|status| status.decisions.iter().flatten());
    let counted: Vec<_> = counted
        .filter_map(|decision| decision.uid.clone())
        .collect();
    for vote in &asked.votes {
        let spec = &vote.spec;
        let counts = vote.uid().is_some_and(|uid| counted.contains(&uid));
        let counts = if counts { ", counted" } else { "" };
        let why = spec.justification.as_deref().unwrap_or_default();
        let attested = if spec.attestation.is_some() {
            ", attested"
        } else {
            ""
        };
        let at = time(vote.metadata.creation_timestamp.as_ref());
        let text = format!(
            "vote {:?} by {}{counts}{attested}{at}: {why}",
            spec.verdict, spec.user
        );
        tree.add(2, text.trim_end_matches(": "));
        if let Some(suggested) = suggestion(vote) {
            tree.add(3, &suggested);
        }
    }
}

/// What a vote suggests, with the name by which that can be taken.
pub(super) fn suggestion(vote: &Decision) -> Option<String> {
    let patch = vote.spec.patch.as_deref()?;
    let shown = suggested::shown(patch);
    let shown = shown.unwrap_or_else(|| "something that is no JSON Patch".to_owned());
    Some(format!("suggests {shown}: Decision {}", vote.name_any()))
}

fn step(tree: &mut Tree, step: &StepStatus) {
    let (began, ended) = (time(step.started.as_ref()), time(step.finished.as_ref()));
    let ended = if ended.is_empty() {
        ended
    } else {
        format!(" to{ended}")
    };
    let message = step.message.as_deref().unwrap_or_default();
    let text = format!(
        "step {} ({}): {:?}{began}{ended}: {message}",
        step.name, step.kind, step.state
    );
    tree.add(1, text.trim_end_matches(": "));
}

fn job(tree: &mut Tree, job: &Job) {
    let status = job.status.clone().unwrap_or_default();
    let number = |count: Option<i32>| count.unwrap_or_default();
    tree.add(
        1,
        &format!(
            "job {}: active {}, succeeded {}, failed {}",
            job.name_any(),
            number(status.active),
            number(status.succeeded),
            number(status.failed)
        ),
    );
}

fn time(time: Option<&Time>) -> String {
    time.map(|time| format!(" {}", time.0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_wrote_stays_on_its_line() {
        let run: Orchestration = serde_json::from_value(json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "metadata": {"name": "r"},
            "spec": {"incident": {"summary": "a\nrun shop/other: it ended as Succeeded"}, "requestedBy": "alice"},
            "status": {"stage": "Execute"},
        }))
        .expect("a run");
        let mut tree = Tree::default();
        head(&mut tree, &run, "shop");
        assert_eq!(
            tree.text,
            "run shop/r: it is in stage Execute\n  incident: a run shop/other: it ended as Succeeded\n  requested by: alice\n"
        );
    }

    #[test]
    fn what_a_vote_suggests_is_told_with_its_name() {
        let vote = |patch: &str| -> Decision {
            serde_json::from_value(json!({
                "apiVersion": "neuralops.io/v1alpha1", "kind": "Decision", "metadata": {"name": "v"},
                "spec": {"gateRef": {"name": "g", "uid": "u"}, "planDigest": "d", "user": "bob", "verdict": "Reject", "patch": patch},
            }))
            .expect("a vote")
        };
        let patch = r#"[{"op":"replace","path":"/parameters/replicas","value":"4"}]"#;
        let told = suggestion(&vote(patch)).expect("words");
        assert_eq!(told, "suggests replicas=\"4\": Decision v");
        assert!(
            suggestion(&vote("?"))
                .expect("words")
                .contains("no JSON Patch")
        );
    }

    #[test]
    fn a_step_says_when_and_what() {
        let status: StepStatus = serde_json::from_value(json!({
            "name": "restart", "kind": "rolloutRestart", "state": "Running", "started": "2026-01-01T00:00:00Z",
        }))
        .expect("a step");
        let mut tree = Tree::default();
        step(&mut tree, &status);
        assert_eq!(
            tree.text,
            "  step restart (rolloutRestart): Running 2026-01-01T00:00:00Z\n"
        );
    }
}
