//! Floor 3: which run or Gate a person means, and the one open Gate of a run. A run's Gate is found by its uid in the
//! run's own status: a name can be foreseen and taken by anybody.

use std::str::FromStr;

use kube::{Resource, ResourceExt as _};

use super::{CommandError, access::Access, error::refused};
use crate::api::{
    API_VERSION,
    v1alpha1::{Decision, Gate, GateState, Orchestration, Stage},
};

/// A run or a Gate, as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `orch/NAME`.
    Run(String),
    /// `gate/NAME`.
    Gate(String),
    /// A bare name.
    Either(String),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((kind, name)) = text.split_once('/') else {
            return Ok(Self::Either(named(text)?));
        };
        // As kubectl prints it, orchestration.neuralops.io/NAME.
        match kind.split('.').next().unwrap_or_default() {
            "orch" | "orchestration" | "orchestrations" => Ok(Self::Run(named(name)?)),
            "gate" | "gates" => Ok(Self::Gate(named(name)?)),
            _ => Err("write a name, orch/NAME or gate/NAME".to_owned()),
        }
    }
}

/// A run, as a person names it: NAME or orch/NAME.
pub fn run_name(text: &str) -> Result<String, String> {
    match text.parse()? {
        Wanted::Run(name) | Wanted::Either(name) => Ok(name),
        Wanted::Gate(_) => Err("this is about a run: write its name, or orch/NAME".to_owned()),
    }
}

fn named(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if (1..=253).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("a name has small letters, digits, - and . only".to_owned())
    }
}

/// A Gate, and the run that waits for exactly this Gate; none if it stands alone.
pub struct Question {
    /// The Gate.
    pub gate: Gate,
    /// The run.
    pub run: Option<Orchestration>,
}

/// Either of both.
pub enum Found {
    /// A run.
    Run(Box<Orchestration>),
    /// A Gate.
    Gate(Box<Gate>),
}

/// The run of this name.
pub async fn run(access: &Access, name: &str) -> Result<Orchestration, CommandError> {
    look_run(access, name).await?.ok_or_else(|| {
        let namespace = access.namespace();
        CommandError::Negative(format!(
            "there is no run {name} in namespace {namespace}: `kubectl -n {namespace} get orch` lists them"
        ))
    })
}

async fn look_run(access: &Access, name: &str) -> Result<Option<Orchestration>, CommandError> {
    let tried = format!("read the run {name} in namespace {}", access.namespace());
    let runs = access.objects::<Orchestration>();
    runs.get_opt(name)
        .await
        .map_err(refused(tried, "neuralops-viewer"))
}

async fn look_gate(access: &Access, name: &str) -> Result<Option<Gate>, CommandError> {
    let tried = format!("read the Gate {name} in namespace {}", access.namespace());
    let gates = access.objects::<Gate>();
    gates
        .get_opt(name)
        .await
        .map_err(refused(tried, "neuralops-viewer"))
}

/// What the person means. A name that a run and a Gate share is not guessed at.
pub async fn find(access: &Access, wanted: &Wanted) -> Result<Found, CommandError> {
    let namespace = access.namespace();
    let (name, run, gate) = match wanted {
        Wanted::Run(name) => (name, look_run(access, name).await?, None),
        Wanted::Gate(name) => (name, None, look_gate(access, name).await?),
        Wanted::Either(name) => (
            name,
            look_run(access, name).await?,
            look_gate(access, name).await?,
        ),
    };
    match (run, gate) {
        (Some(_), Some(_)) => Err(CommandError::Usage(format!(
            "namespace {namespace} has a run and a Gate named {name}: say orch/{name} or gate/{name}"
        ))),
        (Some(run), None) => Ok(Found::Run(Box::new(run))),
        (None, Some(gate)) => Ok(Found::Gate(Box::new(gate))),
        (None, None) => {
            let what = match wanted {
                Wanted::Run(_) => "no run",
                Wanted::Gate(_) => "no Gate",
                Wanted::Either(_) => "neither a run nor a Gate",
            };
            Err(CommandError::Negative(format!(
                "there is {what} {name} in namespace {namespace}: `neuralops inbox -A` lists what waits for you"
            )))
        }
    }
}

/// Whether the Gate says since this vote whose votes count, and it is not among them: whoever cast it has to vote again, as
/// after an upgrade of the admission policies.
pub fn passed_over(gate: &Gate, vote: &Decision) -> bool {
    let status = gate.status.as_ref();
    let Some(counted) = status.and_then(|status| status.decisions.as_ref()) else {
        return false;
    };
    let statuses = gate
        .managed_fields()
        .iter()
        .filter(|entry| entry.subresource.as_deref() == Some("status"));
    let written = statuses.filter_map(|entry| Some(entry.time.as_ref()?.0));
    let (written, cast) = (written.max(), vote.creation_timestamp().map(|time| time.0));
    written > cast && cast.is_some() && counted.iter().all(|counted| counted.uid != vote.uid())
}

/// What is to be decided about.
pub async fn question(access: &Access, wanted: &Wanted) -> Result<Question, CommandError> {
    match find(access, wanted).await? {
        Found::Run(run) => open_gate(access, *run).await,
        Found::Gate(gate) => about(access, *gate).await,
    }
}

/// What this Gate is about.
pub async fn about(access: &Access, gate: Gate) -> Result<Question, CommandError> {
    let run = waiting_run(access, &gate).await?;
    Ok(Question { gate, run })
}

/// The newest Gate of the run, whatever its state, if it is still there.
pub async fn newest_gate(
    access: &Access,
    run: &Orchestration,
) -> Result<Option<Gate>, CommandError> {
    let gates = run.status.as_ref().and_then(|status| status.gates.as_ref());
    let Some(summary) = gates.and_then(|gates| gates.last()) else {
        return Ok(None);
    };
    let gate = look_gate(access, &summary.name).await?;
    Ok(gate.filter(|gate| gate.uid().as_deref() == Some(&summary.uid)))
}

/// The run's open Gate, by the uid in its status.
async fn open_gate(access: &Access, run: Orchestration) -> Result<Question, CommandError> {
    let name = run.name_any();
    let Some(summary) = open_one(&run) else {
        return Err(CommandError::Negative(format!(
            "the run {name} asks nobody now: {}",
            standing(&run)
        )));
    };
    let gate = look_gate(access, &summary.name).await?;
    let gate = gate.filter(|gate| gate.uid().as_deref() == Some(&summary.uid));
    match gate {
        Some(gate) => Ok(Question {
            gate,
            run: Some(run),
        }),
        None => Err(CommandError::Negative(format!(
            "the Gate {} that the run {name} waits for is gone, or another one has its name; do not decide over that one: `neuralops cancel {name}` ends the run",
            summary.name
        ))),
    }
}

fn open_one(run: &Orchestration) -> Option<&crate::api::v1alpha1::GateSummary> {
    let gates = run.status.as_ref()?.gates.as_ref()?;
    gates
        .iter()
        .rev()
        .find(|gate| gate.state == GateState::Open)
}

/// The run that a Gate says it is about, if that run waits for this very Gate.
async fn waiting_run(access: &Access, gate: &Gate) -> Result<Option<Orchestration>, CommandError> {
    let Some(name) = claimed_run(gate) else {
        return Ok(None);
    };
    Ok(look_run(access, name)
        .await?
        .filter(|run| waits_for(run, gate)))
}

/// The name of the run that a Gate says it is about.
pub fn claimed_run(gate: &Gate) -> Option<&str> {
    let subject = &gate.spec.subject;
    let ours = subject.api_version.as_deref() == Some(API_VERSION)
        && subject.kind.as_deref() == Some(&Orchestration::kind(&()));
    subject.name.as_deref().filter(|_| ours)
}

/// Whether the run's own status names this Gate.
pub fn waits_for(run: &Orchestration, gate: &Gate) -> bool {
    let gates = run.status.as_ref().and_then(|status| status.gates.as_ref());
    let uid = gate.uid();
    gates
        .into_iter()
        .flatten()
        .any(|summary| Some(&summary.uid) == uid.as_ref())
}

/// Whether it is still open.
pub fn is_open(gate: &Gate) -> bool {
    state(gate) == GateState::Open && gate.metadata.deletion_timestamp.is_none()
}

/// Where it stands; the CRD's default says Open.
pub fn state(gate: &Gate) -> GateState {
    gate.status
        .as_ref()
        .and_then(|status| status.state)
        .unwrap_or(GateState::Open)
}

/// Where a run stands, in one line.
pub fn standing(run: &Orchestration) -> String {
    let Some(status) = &run.status else {
        return "the operator has not looked at it yet; is it up?".to_owned();
    };
    let ready = status.conditions.iter().flatten();
    let why = ready
        .filter(|condition| condition.type_ == "Ready")
        .map(|condition| format!(", {}: {}", condition.reason, condition.message))
        .next()
        .unwrap_or_default();
    let why = super::text::line(&why);
    match (status.stage, status.outcome) {
        (Some(Stage::Done), Some(outcome)) => format!("it ended as {outcome:?}{why}"),
        (Some(stage), _) => format!("it is in stage {stage:?}{why}"),
        (None, _) => format!("it has no stage yet{why}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run_with(gates: serde_json::Value) -> Orchestration {
        serde_json::from_value(json!({
            "apiVersion": API_VERSION, "kind": "Orchestration", "metadata": {"name": "r"},
            "spec": {"incident": {}},
            "status": {"stage": "Approve", "gates": gates},
        }))
        .expect("a run")
    }

    fn gate(uid: &str) -> Gate {
        serde_json::from_value(json!({
            "apiVersion": API_VERSION, "kind": "Gate", "metadata": {"name": "g", "uid": uid},
            "spec": {"subject": {"apiVersion": API_VERSION, "kind": "Orchestration", "name": "r", "uid": "u", "planDigest": "sha256:0"},
                     "rules": [], "requestedBy": ["alice"]},
        }))
        .expect("a gate")
    }

    #[test]
    fn a_vote_that_the_gate_does_not_count_is_passed_over() {
        let vote: Decision = serde_json::from_value(json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Decision",
            "metadata": {"name": "d", "uid": "d", "creationTimestamp": "2026-01-01T00:00:01Z"},
            "spec": {"gateRef": {"name": "g", "uid": "u"}, "planDigest": "sha256:0", "user": "bob", "verdict": "Approve"},
        }))
        .expect("a vote");
        let passed = |written: &str, decisions: serde_json::Value| {
            let written = json!([{"manager": "m", "operation": "Update", "subresource": "status", "time": written}]);
            let gate: Gate = serde_json::from_value(json!({
                "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate",
                "metadata": {"name": "g", "managedFields": written},
                "spec": {"subject": {"uid": "r", "planDigest": "sha256:0"}, "rules": [], "requestedBy": ["alice"]},
                "status": {"state": "Open", "decisions": decisions},
            }))
            .expect("a gate");
            passed_over(&gate, &vote)
        };
        let (later, counted) = (
            "2026-01-01T00:00:02Z",
            json!({"user": "bob", "verdict": "Approve", "uid": "d"}),
        );
        assert!(passed(later, json!([])), "not among those that count");
        assert!(!passed(later, json!([counted])), "it counts");
        assert!(!passed(later, json!(null)), "nothing was counted yet");
        assert!(
            !passed("2026-01-01T00:00:01Z", json!([])),
            "it may not have been seen yet"
        );
    }

    #[test]
    fn names_are_read_as_kubectl_and_people_write_them() {
        assert_eq!("a".parse(), Ok(Wanted::Either("a".to_owned())));
        for text in ["orch/a", "orchestration.neuralops.io/a"] {
            assert_eq!(text.parse(), Ok(Wanted::Run("a".to_owned())), "{text}");
        }
        assert_eq!("gate/a".parse(), Ok(Wanted::Gate("a".to_owned())));
        for text in ["", "gate/", "pod/a", "A", "a/b/c", "../a"] {
            assert!(text.parse::<Wanted>().is_err(), "{text}");
        }
        assert!(run_name("gate/a").is_err());
    }

    #[test]
    fn the_newest_open_gate_of_a_run_is_asked() {
        let run = run_with(json!([
            {"name": "g1", "uid": "1", "state": "Open"},
            {"name": "g2", "uid": "2", "state": "Open"},
            {"name": "g3", "uid": "3", "state": "Expired"},
        ]));
        assert_eq!(open_one(&run).map(|gate| gate.uid.as_str()), Some("2"));
        assert!(open_one(&run_with(json!([]))).is_none());
    }

    #[test]
    fn a_gate_belongs_to_a_run_only_by_the_uid_in_the_runs_status() {
        let run = run_with(json!([{"name": "g", "uid": "real", "state": "Open"}]));
        assert!(waits_for(&run, &gate("real")));
        assert!(!waits_for(&run, &gate("forged")));
        assert_eq!(claimed_run(&gate("forged")), Some("r"));
    }
}
