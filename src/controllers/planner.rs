//! Floor 3: from a run to its plan: the Playbook as the API server holds it now, verified; parameters typed; steps rendered
//! and each dry-run as the playbook's own account. It is asked when a run is planned and again before it begins, and says
//! the same both times if nothing changed. Nothing is written here.

mod said;
mod timely;
mod trusted;

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};
use serde_json::{Map, Value};
use tokio::{sync::OnceCell, time::Instant};

use said::{auto, limits, on_failure, owned};

use super::verification::Verification;
use crate::{
    adapters::{
        cel::Cel,
        kube::{
            account::Account,
            error::{Classified as _, chain, classify},
            keys::Keys,
        },
        steps::{Forecast, Installation, Planning, Veil, kind_of, unsupported},
    },
    api::v1alpha1::{self as api, ApprovalRules, OrchestrationSpec, PlaybookSpec, Step},
    domain::{
        digest::Digest,
        duration,
        parameters::{IncidentWords, resolve},
        plan::{
            LARGEST, Obstacle, Plan, PlannedStep, PlaybookRef, RunRef, Undo, VERSION, conflicts,
        },
        reason::Reason,
        render,
        trust::Runnable,
    },
    ports::Limits,
};
use timely::{LONGEST, in_time, time_enough};
pub(super) use trusted::SUSPEND;
use trusted::{Asked, written};

/// Time for one attempt at a step that says none.
const STEP_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Time for an execution whose Playbook says none.
const RUN_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// A plan that may be asked about, and what goes with it.
#[derive(Clone, Debug)]
pub struct Made {
    /// The plan.
    pub plan: Plan,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
    /// Their digest.
    pub digest: Digest,
    /// The steps as the verified Playbook has them: what a plan may not hold because it is secret.
    pub steps: Vec<Step>,
    /// Who is asked, first set first.
    pub approval: Vec<ApprovalRules>,
    /// How many runs of the Playbook may run.
    pub limits: Limits,
    /// What has to hold over the incident for a run without a Gate; none: the Playbook allows no such run.
    pub auto: Option<String>,
    /// What was seen while it was made, each with its step: shown beside the plan, and no part of it.
    pub seen: Vec<String>,
}

/// Makes plans.
pub struct Planner {
    client: Client,
    accounts: Client,
    verification: Verification,
    keys: Keys,
    veil: OnceCell<Veil>,
    cel: Cel,
    installation: Installation,
}

impl Planner {
    /// One that verifies in this way, and asks in the accounts' names through the second client; the keys hide what a plan
    /// must not show.
    pub fn new(
        (client, accounts): (Client, Client),
        verification: Verification,
        keys: Keys,
        installation: Installation,
    ) -> Self {
        Self {
            client,
            accounts,
            verification,
            keys,
            veil: OnceCell::new(),
            cel: Cel::default(),
            installation,
        }
    }

    /// In whose name a run of this plan acts.
    pub fn account(&self, namespace: &str, name: &str) -> Result<Account, Obstacle> {
        Account::new(self.accounts.clone(), namespace, name)
            .map_err(|error| Obstacle::fail(Reason::Invalid, chain(&error)))
    }

    /// The cage for the expressions of Playbooks.
    pub fn cel(&self) -> &Cel {
        &self.cel
    }

    /// What there is beside the cluster.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Roles name an account that is gone as they named it before, and the API server lets us act as it: whoever deletes it
    /// means that nothing is done in its name any more.
    async fn stands(&self, account: &Account) -> Result<(), Obstacle> {
        let accounts: Api<ServiceAccount> =
            Api::namespaced(self.client.clone(), account.namespace());
        let shown = format!("{}/{}", account.namespace(), account.name());
        match accounts.get_metadata_opt(account.name()).await {
            Ok(Some(found)) if found.metadata.deletion_timestamp.is_none() => Ok(()),
            Ok(_) => {
                let message = format!(
                    "there is no ServiceAccount {shown}: create it, and grant it what the steps need by a Role of its namespace"
                );
                Err(Obstacle::fail(Reason::AccessDenied, message))
            }
            Err(error) => {
                let message = format!("could not read ServiceAccount {shown}: {}", chain(&error));
                Err(Obstacle::unknown(classify(&error).1, message))
            }
        }
    }

    /// What hides the values of Secrets in plans of this installation.
    pub async fn veil(&self) -> Result<&Veil, Obstacle> {
        let loaded = self.veil.get_or_try_init(|| async {
            let keyring = self.keys.load().await?;
            Ok::<_, crate::adapters::kube::keys::KeysError>(Veil::new(&keyring.spool))
        });
        loaded
            .await
            .map_err(|error| Obstacle::unknown(error.reason(), chain(&error)))
    }

    /// The plan of this run as of now; or everything that stands in its way.
    pub async fn plan(
        &self,
        run: &RunRef,
        spec: &OrchestrationSpec,
    ) -> Result<Made, Vec<Obstacle>> {
        self.made(run, spec, (Asked::New, &[])).await
    }

    /// A plan that was begun, with the steps from there on as they would be planned now.
    pub async fn again(
        &self,
        run: &RunRef,
        spec: &OrchestrationSpec,
        begun: &Plan,
        from: usize,
    ) -> Result<Plan, Vec<Obstacle>> {
        let done = begun.steps.get(..from).unwrap_or_default();
        let mut plan = self.made(run, spec, (Asked::Begun, done)).await?.plan;
        let again = plan.steps.split_off(from.min(plan.steps.len()));
        plan.steps = begun.with_rest(from, again);
        Ok(plan)
    }

    /// The plan as of now, with these steps done already and planned no more.
    async fn made(
        &self,
        run: &RunRef,
        spec: &OrchestrationSpec,
        (asked, done): (Asked, &[PlannedStep]),
    ) -> Result<Made, Vec<Obstacle>> {
        let until = Instant::now() + LONGEST;
        let runnable = in_time(until, self.verified(run, spec, asked)).await;
        let runnable = runnable.map_err(|one| vec![one])?;
        let playbook = written(&runnable).map_err(|one| vec![one])?;
        let parameters = parameters(&playbook, spec)?;
        let steps = rendered(&runnable, &parameters).map_err(|one| vec![one])?;
        let account = self
            .account(&run.namespace, &playbook.service_account_name)
            .map_err(|one| vec![one])?;
        let stands = in_time(until, self.stands(&account)).await;
        stands.map_err(|one| vec![one])?;
        let veil = in_time(until, self.veil()).await;
        let planning = Planning {
            account: &account,
            run,
            playbook: &runnable.document().name,
            parameters: &parameters,
            veil: veil.map_err(|one| vec![one])?,
            cel: &self.cel,
            installation: &self.installation,
            earlier: &[],
        };
        let (planned, seen) = forecasts(&steps, done, &planning, &playbook, until).await?;
        let plan = Plan {
            v: VERSION,
            run: run.clone(),
            playbook: PlaybookRef {
                name: runnable.document().name.clone(),
                digest: runnable.digest().clone(),
                revision: runnable.revision(),
            },
            policy_digest: runnable.policy_digest().clone(),
            service_account: playbook.service_account_name.clone(),
            parameters,
            timeout: milliseconds(playbook.timeout.as_deref(), RUN_TIMEOUT),
            on_failure: on_failure(playbook.on_failure),
            steps: planned,
        };
        let (limits, auto) = (limits(playbook.limits.as_ref()), auto(&playbook));
        let approval = playbook.approval.unwrap_or_default();
        let made = made(plan, steps, approval).map_err(|one| vec![one])?;
        Ok(Made {
            limits,
            auto,
            seen,
            ..made
        })
    }

    /// The steps of this run, which has begun, as the verified Playbook has them now: for what a plan does not hold because it is secret.
    pub async fn steps(
        &self,
        run: &RunRef,
        spec: &OrchestrationSpec,
    ) -> Result<Vec<Step>, Obstacle> {
        let runnable = self.verified(run, spec, Asked::Begun).await?;
        let playbook = written(&runnable)?;
        let parameters = parameters(&playbook, spec).map_err(|mut findings| {
            let nothing = || Obstacle::fail(Reason::ParametersInvalid, "the parameters do not fit");
            findings.pop().unwrap_or_else(nothing)
        })?;
        rendered(&runnable, &parameters)
    }
}

fn parameters(
    playbook: &PlaybookSpec,
    spec: &OrchestrationSpec,
) -> Result<Map<String, Value>, Vec<Obstacle>> {
    let none = BTreeMap::new();
    let incident = IncidentWords {
        labels: spec.incident.labels.as_ref(),
        annotations: spec.incident.annotations.as_ref(),
    };
    let given = spec.parameters.as_ref().unwrap_or(&none);
    resolve(playbook.parameters.as_ref(), given, incident).map_err(|findings| {
        let findings = findings.into_iter();
        findings
            .map(|finding| Obstacle::fail(Reason::ParametersInvalid, finding))
            .collect()
    })
}

fn rendered(runnable: &Runnable, parameters: &Map<String, Value>) -> Result<Vec<Step>, Obstacle> {
    let steps = render::steps(&runnable.document().spec, parameters)
        .map_err(|error| Obstacle::fail(Reason::ParametersInvalid, error.to_string()))?;
    let typed = steps.into_iter().enumerate().map(|(index, step)| {
        serde_json::from_value(step).map_err(|error| {
            let message = format!("spec.steps[{index}] with its parameters: {error}");
            Obstacle::fail(Reason::ParametersInvalid, message)
        })
    });
    typed.collect()
}

/// Every step as it would be done now, and what was seen on the way; or every obstacle, each with its step.
async fn forecasts(
    steps: &[Step],
    done: &[PlannedStep],
    planning: &Planning<'_>,
    playbook: &PlaybookSpec,
    until: Instant,
) -> Result<(Vec<PlannedStep>, Vec<String>), Vec<Obstacle>> {
    let mut planned = done.to_vec();
    let (mut seen, mut obstacles) = (Vec::new(), Vec::new());
    for step in steps.iter().skip(done.len()) {
        let planning = Planning {
            earlier: &planned,
            ..*planning
        };
        let forecast = match kind_of(step) {
            Some(kind) => in_time(until, kind.plan(step, &planning))
                .await
                .map(|found| (kind, found)),
            None => Err(Obstacle::fail(Reason::StepUnsupported, unsupported(step))),
        };
        let forecast =
            forecast.and_then(|(kind, found)| Ok((kind, owned(found, playbook.git_ops)?)));
        let forecast = forecast.and_then(|(kind, mut forecast)| {
            let told = std::mem::take(&mut forecast.seen);
            let one = of(step, kind.name(), forecast, playbook.on_failure);
            let run = milliseconds(playbook.timeout.as_deref(), RUN_TIMEOUT);
            time_enough(kind.at_least(&one.effect), one.timeout.min(run))?;
            Ok((one, told))
        });
        match forecast {
            Ok((one, told)) => {
                let told = told.into_iter();
                seen.extend(told.map(|told| format!("step {}: {told}", step.name)));
                planned.push(one);
            }
            Err(obstacle) => {
                obstacles.push(obstacle.at(&format!("step {}", step.name)));
                // The others would not be looked at any more.
                if Instant::now() >= until {
                    break;
                }
            }
        }
    }
    if obstacles.is_empty() {
        obstacles = conflicts(&planned);
    }
    if obstacles.is_empty() {
        Ok((planned, seen))
    } else {
        Err(obstacles)
    }
}

fn of(
    step: &Step,
    kind: &str,
    forecast: Forecast,
    otherwise: Option<api::OnFailure>,
) -> PlannedStep {
    let undo = match step.undo {
        Some(api::Undo::None) => Undo::Nothing {
            why: "the Playbook says that this step is not undone".to_owned(),
        },
        Some(api::Undo::Auto) | None => forecast.undo,
    };
    PlannedStep {
        name: step.name.clone(),
        kind: kind.to_owned(),
        coverage: forecast.coverage,
        timeout: milliseconds(step.timeout.as_deref(), STEP_TIMEOUT),
        retries: step
            .retries
            .and_then(|retries| retries.try_into().ok())
            .unwrap_or_default(),
        on_failure: on_failure(step.on_failure.or(otherwise)),
        targets: forecast.targets,
        effect: forecast.effect,
        changes: forecast.changes,
        undo,
    }
}

/// The linter has read it already.
fn milliseconds(text: Option<&str>, absent: Duration) -> u64 {
    let parsed = text.and_then(|text| duration::parse(text).ok());
    let duration = parsed.unwrap_or(absent);
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

fn made(plan: Plan, steps: Vec<Step>, approval: Vec<ApprovalRules>) -> Result<Made, Obstacle> {
    let bytes = plan
        .to_bytes()
        .map_err(|error| Obstacle::fail(Reason::InternalError, chain(&error)))?;
    if bytes.len() > LARGEST {
        let message = format!(
            "the plan has {} bytes, {LARGEST} are allowed: split the Playbook, or write less in one run",
            bytes.len()
        );
        return Err(Obstacle::fail(Reason::PlanTooLarge, message));
    }
    Ok(Made {
        digest: Digest::of(&bytes),
        plan,
        bytes,
        steps,
        approval,
        limits: Limits::default(),
        auto: None,
        seen: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
