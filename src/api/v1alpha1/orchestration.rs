//! Floor 1: `Orchestration`, one run for one incident. What a person may change after creation is little and is
//! guarded by CEL here and by the admission policy that knows the caller; the stages live in `domain::stage`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::GateState;
use crate::api::schema::{self, DIGEST, USER_NAME};

/// What happened, what is to be done about it, and who wanted it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "neuralops.io",
    version = "v1alpha1",
    kind = "Orchestration",
    plural = "orchestrations",
    singular = "orchestration",
    shortname = "orch",
    category = "neuralops",
    namespaced,
    status = "OrchestrationStatus",
    derive = "PartialEq",
    doc = "One run for one incident: suggested, dry-run into a plan, approved, executed, recorded.",
    selectable = ".status.stage",
    selectable = ".spec.playbookRef.name",
    printcolumn(
        name = "Stage",
        type_ = "string",
        json_path = ".status.stage",
        description = "Suggest, DryRun, Approve, Execute or Done"
    ),
    printcolumn(
        name = "Outcome",
        type_ = "string",
        json_path = ".status.outcome",
        description = "How it ended"
    ),
    printcolumn(
        name = "Playbook",
        type_ = "string",
        json_path = ".spec.playbookRef.name",
        description = "What is run"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "What it waits for, or why it ended so"
    ),
    printcolumn(
        name = "Requested By",
        type_ = "string",
        json_path = ".spec.requestedBy",
        description = "Who wanted it",
        priority = 1
    ),
    printcolumn(
        name = "Plan",
        type_ = "string",
        json_path = ".status.plan.digest",
        description = "Digest of the plan",
        priority = 1
    ),
    printcolumn(
        name = "Summary",
        type_ = "string",
        json_path = ".spec.incident.summary",
        description = "The incident",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(
    validation = Rule::new("has(self.requestedBy) == has(oldSelf.requestedBy) && (!has(self.requestedBy) || self.requestedBy == oldSelf.requestedBy)").message("requestedBy is immutable"),
    validation = Rule::new("self.incident == oldSelf.incident").message("incident is immutable"),
    validation = Rule::new("!has(oldSelf.playbookRef) || (has(self.playbookRef) && self.playbookRef == oldSelf.playbookRef)").message("playbookRef is set once"),
    validation = Rule::new("has(self.playbookRef) || !has(self.selectedBy)").message("selectedBy needs playbookRef"),
    validation = Rule::new("has(self.playbookRef) || !has(self.parameters)").message("parameters need playbookRef"),
    validation = Rule::new("has(oldSelf.playbookRef) || !has(self.playbookRef) || has(self.selectedBy)").message("whoever sets playbookRef later is named in selectedBy"),
    validation = Rule::new("!has(oldSelf.playbookRef) || (has(self.selectedBy) == has(oldSelf.selectedBy) && (!has(self.selectedBy) || self.selectedBy == oldSelf.selectedBy))").message("selectedBy is immutable"),
    validation = Rule::new("!has(oldSelf.playbookRef) || (has(self.parameters) == has(oldSelf.parameters) && (!has(self.parameters) || self.parameters == oldSelf.parameters))").message("parameters are set in the write that sets playbookRef"),
    validation = Rule::new("has(self.mode) == has(oldSelf.mode) && (!has(self.mode) || self.mode == oldSelf.mode)").message("mode is immutable"),
    validation = Rule::new("has(self.start) == has(oldSelf.start) && (!has(self.start) || self.start == oldSelf.start)").message("start is immutable"),
    validation = Rule::new("has(self.from) == has(oldSelf.from) && (!has(self.from) || self.from == oldSelf.from)").message("from is immutable"),
    validation = Rule::new("!has(oldSelf.releasedBy) || (has(self.releasedBy) && self.releasedBy == oldSelf.releasedBy)").message("releasedBy is set once"),
    validation = Rule::new("!has(oldSelf.cancel) || !oldSelf.cancel || (has(self.cancel) && self.cancel)").message("a cancel is not taken back"),
    validation = Rule::new("!has(oldSelf.cancelledBy) || (has(self.cancelledBy) && self.cancelledBy == oldSelf.cancelledBy)").message("cancelledBy is set once")
)]
#[serde(rename_all = "camelCase")]
pub struct OrchestrationSpec {
    /// What happened; immutable.
    pub incident: Incident,
    /// The Playbook to run, set once; absent: suggestions are made and the run waits, 24h at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbook_ref: Option<PlaybookRef>,
    /// Values of the Playbook's parameters, each the JSON literal of its type (strings bare); set in the write that sets playbookRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::string_map::<64, 4096>")]
    pub parameters: Option<BTreeMap<String, String>>,
    /// Manual (absent), Auto or PlanOnly; immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// OnApproval (absent), or OnRelease: an approved run waits for releasedBy; immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// Who wanted it: the caller's own name; immutable. Without it no Gate is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = USER_NAME))]
    pub requested_by: Option<String>,
    /// Who took the suggestion: the caller who set playbookRef later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = USER_NAME))]
    pub selected_by: Option<String>,
    /// Who released an approved run; not at creation, set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = USER_NAME))]
    pub released_by: Option<String>,
    /// Stop: works in every stage, is never taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<bool>,
    /// Who stopped it: the caller, set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = USER_NAME))]
    pub cancelled_by: Option<String>,
    /// Nothing new begins while true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Made from a suggested patch of this Decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Origin>,
    /// When a finished run is deleted; absent: never by time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ttl_seconds_after_finished: Option<i32>,
}

/// What happened.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// Two runs of this namespace with the same key are about the same thing; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub key: Option<String>,
    /// In a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
    /// How bad, in the source's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub severity: Option<String>,
    /// Labels of the signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::string_map::<64, 256>")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations of the signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::string_map::<64, 1024>")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Where the signal came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IncidentSource>,
}

/// Where a signal came from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IncidentSource {
    /// What sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub kind: Option<String>,
    /// Its id there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub id: Option<String>,
    /// When it began there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 40))]
    pub starts_at: Option<Time>,
}

/// A Playbook of the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlaybookRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// How a run is decided about.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Manual,
    Auto,
    PlanOnly,
}

/// When an approved run begins.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    OnApproval,
    OnRelease,
}

/// The run and the Decision that a run was made from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The earlier run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub orchestration: Option<String>,
    /// The Decision whose patch was taken.
    #[serde(
        default,
        rename = "decisionUID",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(max = 64))]
    pub decision_uid: Option<String>,
}

/// How the run stands.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OrchestrationStatus {
    /// The generation that this status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Playbooks that match the incident, best first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub suggestions: Option<Vec<Suggestion>>,
    /// The plan that is asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanSummary>,
    /// Its Gates, in the order they were opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub gates: Option<Vec<GateSummary>>,
    /// Its steps, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub steps: Option<Vec<StepStatus>>,
    /// The run that this one joined, or how many joined this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<Joined>,
    /// Where its records lie in the transparency log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditRange>,
    /// Ready, Planned, Approved, Succeeded; Reconciling, Stalled and PlanUnknown only while true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
}

/// The stages of a run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Suggest,
    DryRun,
    Approve,
    Execute,
    Done,
}

/// How a run can end.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    Failed,
    Compensated,
    CompensationFailed,
    Rejected,
    Expired,
    Cancelled,
    Superseded,
    Planned,
    Joined,
}

/// A Playbook that matches the incident.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Suggestion {
    /// Its name.
    #[schemars(length(max = 253))]
    pub playbook: String,
    /// Its digest when it was suggested.
    #[schemars(length(max = 71), regex(pattern = DIGEST))]
    pub digest: String,
    /// The higher, the better the match.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub score: i32,
    /// Why it matches.
    #[schemars(length(max = 16), inner(length(max = 256)))]
    pub reasons: Vec<String>,
}

/// The plan in short; the whole of it is in its ConfigMap.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlanSummary {
    /// SHA-256 of the canonical plan: what is approved and what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71), regex(pattern = DIGEST))]
    pub digest: Option<String>,
    /// The immutable ConfigMap with the plan and its diff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub config_map: Option<String>,
    /// Whether the dry run was good; Unknown never opens a Gate.
    pub verdict: PlanVerdict,
    /// How many steps are known how well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<CoverageCount>,
    /// What is touched, as kind/name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(max = 320)))]
    pub targets: Option<Vec<String>>,
    /// In a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
}

/// What a dry run can say.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanVerdict {
    Pass,
    Fail,
    Unknown,
}

/// How many steps are known how well.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CoverageCount {
    /// The API server said what would change.
    #[schemars(range(min = 0, max = 64))]
    pub server_dry_run: i32,
    /// Kinds that have no dry run and say so.
    #[schemars(range(min = 0, max = 64))]
    pub schema_only: i32,
    /// Jobs and HTTP requests.
    #[schemars(range(min = 0, max = 64))]
    pub opaque: i32,
    /// Steps nobody could plan.
    #[schemars(range(min = 0, max = 64))]
    pub unplannable: i32,
}

/// A Gate of this run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GateSummary {
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its uid: only this very Gate counts.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Where it stands.
    pub state: GateState,
}

/// How a step stands.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// The step.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Its kind.
    #[schemars(length(max = 32))]
    pub kind: String,
    /// Where it is.
    pub state: StepState,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 40))]
    pub started: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 40))]
    pub finished: Option<Time>,
    /// What is to be said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message: Option<String>,
    /// SHA-256 of what it wrote or found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71), regex(pattern = DIGEST))]
    pub digest: Option<String>,
}

/// The states of a step.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    Pending,
    Running,
    Succeeded,
    Failed,
    Skipped,
    Compensating,
    Compensated,
    CompensationFailed,
}

/// Which run this one joined, or how many joined this one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// The run that this one joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub name: Option<String>,
    /// How many joined this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub count: Option<i64>,
}

/// First and last record of a run in the transparency log.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AuditRange {
    /// Index of the first.
    #[schemars(range(min = 0))]
    pub first: i64,
    /// Index of the last.
    #[schemars(range(min = 0))]
    pub last: i64,
}
