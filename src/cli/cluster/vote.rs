//! Floor 3: `neuralops approve`, `reject`, `withdraw`: one vote about exactly the plan that was shown. The digest and
//! the Gate's uid come from what was read and shown, never from the person's fingers.

use std::{collections::BTreeMap, time::Duration};

use kube::{
    Api, ResourceExt as _,
    api::{ListParams, ObjectMeta, PostParams},
};

use super::{
    CommandError,
    access::{Access, Caller, PlaceArgs},
    error::refused,
    plan::{self, Shown},
    question::{self, Question, Wanted, claimed_run, is_open, passed_over, state},
    run::{map, pair},
    terminal::{ask, confirm, show},
    text::{OutputArgs, left, line},
};
use crate::{
    adapters::clock,
    api::v1alpha1::{Decision, DecisionSpec, Gate, GateRef, Verdict},
    domain::suggested,
};

/// What `--help` of approve ends with.
pub const APPROVE_HELP: &str = "\
What the run would change is shown, checked against the digest of its plan, and you are asked. Your vote names that plan
and that Gate and no other. Exits with 0 if the vote stands, 1 if it was refused or you said no, 2 if it was asked for
wrongly.

Examples
  neuralops approve -n shop restart-after-bad-rollout-x7k2p -m 'seen, the rollout is broken'
  neuralops approve -n shop gate/release-checkout-2-8-2 --yes";

/// What `--help` of reject ends with.
pub const REJECT_HELP: &str = "\
Why is asked for and recorded. With --suggest the vote says with which parameters you would rather see the run: whoever
takes that (`neuralops take --decision`) asks for another run, with a plan and a Gate of its own, and you cannot approve it.
Exits with 0 if the vote stands, 1 if it was refused or you said no, 2 if it was asked for wrongly.

Examples
  neuralops reject -n shop restart-after-bad-rollout-x7k2p -m 'wrong deployment'
  neuralops reject -n shop scale-checkout-9dl2q -m 'too many' --suggest replicas=4";

/// What `--help` of withdraw ends with.
pub const WITHDRAW_HELP: &str = "\
After a Gate is settled nothing moves it; `neuralops cancel` is the way out. Exits with 0 if the vote is taken back, 1 if
it was refused or there is none, 2 if it was asked for wrongly.

Example
  neuralops withdraw -n shop restart-after-bad-rollout-x7k2p --yes";

/// Vote.
#[derive(clap::Args, Debug)]
pub struct VoteArgs {
    /// The run or Gate: NAME, orch/NAME or gate/NAME
    #[arg(value_name = "RUN|GATE")]
    wanted: Wanted,
    #[command(flatten)]
    place: PlaceArgs,
    /// Why, in your own words; it is recorded
    #[arg(short = 'm', long, value_name = "TEXT")]
    justification: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Reject, and say what you would rather see.
#[derive(clap::Args, Debug)]
pub struct RejectArgs {
    #[command(flatten)]
    vote: VoteArgs,
    /// A parameter that you would rather see; strings bare, everything else as JSON
    #[arg(long = "suggest", value_name = "NAME=VALUE", value_parser = pair)]
    suggest: Vec<(String, String)>,
}

/// Runs the command; returns what is to be printed.
pub async fn reject(args: &RejectArgs) -> Result<String, CommandError> {
    // A name that is given twice is refused.
    map("suggest", &args.suggest)?;
    cast_as(&args.vote, Verdict::Reject, &args.suggest).await
}

/// A Gate that was made a moment ago is not known to every part of the API server at once.
const PATIENCE: u32 = 12;
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the command; returns what is to be printed.
pub async fn run(args: &VoteArgs, verdict: Verdict) -> Result<String, CommandError> {
    cast_as(args, verdict, &[]).await
}

async fn cast_as(
    args: &VoteArgs,
    verdict: Verdict,
    suggested: &[(String, String)],
) -> Result<String, CommandError> {
    let access = args.place.open().await?;
    let caller = access.caller().await?;
    let question = question::question(&access, &args.wanted).await?;
    let gate = &question.gate;
    if !is_open(gate) {
        return Err(CommandError::Negative(format!(
            "the Gate {} is {:?}: nothing moves it any more{}",
            gate.name_any(),
            state(gate),
            way_out(&question)
        )));
    }
    let before = newest_vote(&access, &caller, gate).await?;
    if verdict == Verdict::Withdraw && !before.as_ref().is_some_and(stands) {
        return Err(CommandError::Negative(format!(
            "you, {}, have no vote on the Gate {} to take back",
            caller.user,
            gate.name_any()
        )));
    }
    let patch = suggestion(&question, suggested)?;
    let same = |before: &Decision| {
        let spec = &before.spec;
        spec.verdict == verdict && spec.patch == patch && !passed_over(gate, before)
    };
    if let Some(before) = before.filter(same) {
        return args.output.print(&before, || {
            format!("your vote stands already: {}\n", before.name_any())
        });
    }
    let shown = plan::of_question(&access, &question).await?;
    show(&summary(&question, &shown))?;
    let justification = justification(args, verdict)?;
    if !args.yes {
        confirm(&format!("{verdict:?} exactly this, as {}?", caller.user))?;
    }
    let mut vote = vote(gate, &caller, verdict, shown.digest, justification);
    vote.spec.patch = patch;
    let made = cast(&access, &vote).await?;
    args.output
        .print(&made, || told(&made, &question, access.namespace()))
}

/// The patch that makes of the run's parameters what is suggested.
fn suggestion(
    question: &Question,
    suggested: &[(String, String)],
) -> Result<Option<String>, CommandError> {
    if suggested.is_empty() {
        return Ok(None);
    }
    let Some(run) = &question.run else {
        return Err(CommandError::Usage(
            "this Gate stands alone: there is no run whose parameters could be others".to_owned(),
        ));
    };
    let none = BTreeMap::new();
    let parameters = run.spec.parameters.as_ref().unwrap_or(&none);
    Ok(Some(suggested::patch(parameters, suggested)))
}

/// A rejection without a reason helps nobody who has to go on from it.
fn justification(args: &VoteArgs, verdict: Verdict) -> Result<Option<String>, CommandError> {
    if args.justification.is_some() || verdict != Verdict::Reject {
        return Ok(args.justification.clone());
    }
    let why = ask("Why do you reject it? ", "give -m TEXT")?;
    if why.is_empty() {
        return Err(CommandError::Usage(
            "a rejection says why: give -m TEXT".to_owned(),
        ));
    }
    Ok(Some(why))
}

fn vote(
    gate: &Gate,
    caller: &Caller,
    verdict: Verdict,
    plan_digest: String,
    justification: Option<String>,
) -> Decision {
    let name = gate.name_any();
    let metadata = ObjectMeta {
        generate_name: Some(format!("{name}-")),
        ..ObjectMeta::default()
    };
    let spec = DecisionSpec {
        gate_ref: GateRef {
            name,
            uid: gate.uid().unwrap_or_default(),
        },
        plan_digest,
        verdict,
        user: caller.user.clone(),
        groups: caller.votes_under(),
        justification,
        patch: None,
        attestation: None,
    };
    Decision { metadata, spec }
}

/// Creates the Decision.
async fn cast(access: &Access, vote: &Decision) -> Result<Decision, CommandError> {
    let decisions: Api<Decision> = access.objects();
    let params = PostParams::default();
    let made = patiently(async || decisions.create(&params, vote).await).await;
    let tried = format!("vote on the Gate {}", vote.spec.gate_ref.name);
    made.map_err(refused(tried, "neuralops-approver"))
}

/// Tries again for about a second while the API server does not know the Gate yet.
async fn patiently<T>(
    mut act: impl AsyncFnMut() -> Result<T, kube::Error>,
) -> Result<T, kube::Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match act().await {
            Err(kube::Error::Api(answer)) if tries < PATIENCE && too_early(&answer.message) => {
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// Whether the policies spoke without having seen the Gate as it was just read.
fn too_early(message: &str) -> bool {
    [
        "no params found",
        "not yet synced",
        "this is another Gate of that name",
        "the Gate is not open but without a state",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// The caller's newest vote on exactly this Gate.
async fn newest_vote(
    access: &Access,
    caller: &Caller,
    gate: &Gate,
) -> Result<Option<Decision>, CommandError> {
    let uid = gate.uid().unwrap_or_default();
    let selector = ListParams::default().fields(&format!("spec.gateRef.uid={uid}"));
    let votes = access.objects::<Decision>().list(&selector).await;
    let votes = votes.map_err(refused("look for your earlier vote", "neuralops-approver"))?;
    Ok(newest(&votes.items, |vote| caller.is(&vote.spec.user)).cloned())
}

/// The newest vote of somebody, as the operator orders them.
pub fn newest(votes: &[Decision], theirs: impl Fn(&Decision) -> bool) -> Option<&Decision> {
    votes
        .iter()
        .filter(|vote| theirs(vote))
        .max_by_key(|vote| age(vote.resource_version().as_deref()))
}

/// Resource versions are compared as numbers, which Kubernetes allows since they are only compared within one kind.
fn age(version: Option<&str>) -> (usize, String) {
    let version = version.unwrap_or_default().to_owned();
    (version.len(), version)
}

/// Whether it is a vote and not the taking back of one.
pub fn stands(vote: &Decision) -> bool {
    vote.spec.verdict != Verdict::Withdraw
}

fn way_out(question: &Question) -> String {
    match &question.run {
        Some(run) => format!("; `neuralops cancel {}` stops the run", run.name_any()),
        None => String::new(),
    }
}

/// What a person has to know before deciding.
fn summary(question: &Question, shown: &Shown) -> String {
    let gate = &question.gate;
    let mut rows = vec![("gate", gate.name_any())];
    match (&question.run, claimed_run(gate)) {
        (Some(run), _) => {
            let incident = run.spec.incident.summary.as_deref().unwrap_or_default();
            let playbook = run.spec.playbook_ref.as_ref();
            let playbook = playbook.map(|reference| reference.name.as_str());
            rows.push(("run", format!("{} {incident}", run.name_any())));
            rows.push(("playbook", playbook.unwrap_or_default().to_owned()));
            let plan = run.status.as_ref().and_then(|status| status.plan.as_ref());
            if let Some(plan) = plan {
                rows.push(("plan", plan.summary.clone().unwrap_or_default()));
                rows.push((
                    "targets",
                    plan.targets
                        .iter()
                        .flatten()
                        .cloned()
                        .collect::<Vec<_>>()
                        .join(", "),
                ));
            }
        }
        (None, Some(claimed)) => rows.push((
            "WARNING",
            format!(
                "this Gate says it is about the run {claimed}, but that run does not wait for it"
            ),
        )),
        (None, None) => {
            let subject = &gate.spec.subject;
            let kind = subject.kind.as_deref().unwrap_or_default();
            let name = subject.name.as_deref().unwrap_or_default();
            rows.push((
                "subject",
                format!("{kind} {name} (no run: the Gate stands alone)"),
            ));
        }
    }
    let roles = gate.spec.rules.iter();
    let roles: Vec<_> = roles
        .map(|rule| format!("{} of {}", rule.min, rule.role))
        .collect();
    rows.push(("asks for", roles.join(", ")));
    rows.push(("asked by", gate.spec.requested_by.join(", ")));
    if let Some(deadline) = &gate.spec.deadline {
        let left = left(deadline.0, clock::now()).unwrap_or_else(|| "over".to_owned());
        rows.push(("time left", left));
    }
    rows.push(("digest", shown.digest.clone()));
    let mut text = String::new();
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("{name:10} {}\n", line(value)));
    }
    format!("{text}\n{}\n", shown.text)
}

fn told(vote: &Decision, question: &Question, namespace: &str) -> String {
    let spec = &vote.spec;
    let next = match (&question.run, spec.verdict) {
        (Some(run), Verdict::Approve) => {
            format!(
                "neuralops wait -n {namespace} {} shows how it ends",
                run.name_any()
            )
        }
        (None, Verdict::Approve) => format!(
            "kubectl -n {namespace} wait --for=condition=Approved gate/{} waits for the others",
            spec.gate_ref.name
        ),
        (_, Verdict::Reject) if spec.patch.is_some() => format!(
            "one rejection by a holder of a role settles the Gate\nneuralops take -n {namespace} --decision {} asks for what you suggest",
            vote.name_any()
        ),
        (_, Verdict::Reject) => "one rejection by a holder of a role settles the Gate".to_owned(),
        (_, Verdict::Withdraw) => "your earlier vote counts no more".to_owned(),
    };
    format!(
        "{} by {} on the Gate {}, about plan {}: Decision {}\n{next}\n",
        word(spec.verdict),
        spec.user,
        spec.gate_ref.name,
        spec.plan_digest,
        vote.name_any()
    )
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approve => "approved",
        Verdict::Reject => "rejected",
        Verdict::Withdraw => "withdrawn",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored(version: &str, user: &str, verdict: Verdict) -> Decision {
        serde_json::from_value(json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Decision",
            "metadata": {"name": version, "resourceVersion": version},
            "spec": {"gateRef": {"name": "g", "uid": "u"}, "planDigest": "sha256:0", "user": user, "verdict": verdict},
        }))
        .expect("a vote")
    }

    #[test]
    fn what_is_suggested_changes_the_parameters_of_the_run() {
        let gate = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate", "metadata": {"name": "g", "uid": "u"},
            "spec": {"subject": {"uid": "r", "planDigest": "sha256:0"}, "rules": [], "requestedBy": ["alice"]},
        });
        let run = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "metadata": {"name": "r", "uid": "r"},
            "spec": {"incident": {}, "parameters": {"replicas": "9"}},
        });
        let mut question = Question {
            gate: serde_json::from_value(gate).expect("a gate"),
            run: Some(serde_json::from_value(run).expect("a run")),
        };
        assert_eq!(suggestion(&question, &[]).expect("nothing"), None);
        let wanted = [("replicas".to_owned(), "4".to_owned())];
        let patch = suggestion(&question, &wanted).expect("a patch");
        assert_eq!(
            patch.as_deref(),
            Some(r#"[{"op":"replace","path":"/parameters/replicas","value":"4"}]"#)
        );
        question.run = None;
        assert!(suggestion(&question, &wanted).is_err());
    }

    #[test]
    fn the_newest_vote_is_that_with_the_highest_number() {
        let votes = [
            stored("999", "alice", Verdict::Approve),
            stored("1000", "Alice", Verdict::Withdraw),
            stored("2000", "bob", Verdict::Approve),
        ];
        let caller = Caller {
            user: "alice".to_owned(),
            groups: Vec::new(),
        };
        let found = newest(&votes, |vote| caller.is(&vote.spec.user)).expect("a vote");
        assert_eq!(found.name_any(), "1000");
        assert!(!stands(found));
    }

    /// How often it is tried when the first answers are these.
    async fn tries(answers: &[&str]) -> (usize, bool) {
        let mut tries = 0;
        let outcome = patiently(async || {
            tries += 1;
            match answers.get(tries - 1) {
                None => Ok(()),
                Some(message) => Err(kube::Error::Api(Box::new(
                    kube::core::Status::failure(message, "Forbidden").with_code(403),
                ))),
            }
        });
        let good = outcome.await.is_ok();
        (tries, good)
    }

    #[tokio::test]
    async fn a_gate_that_is_not_known_yet_is_voted_on_a_moment_later() {
        assert_eq!(tries(&[NOT_YET, NOT_YET]).await, (3, true));
        assert_eq!(
            tries(&["who requested this may not decide it"]).await,
            (1, false)
        );
        assert_eq!(tries(&[NOT_YET; 99]).await, (12, false));
    }

    const NOT_YET: &str = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";

    #[test]
    fn only_what_a_moment_can_mend_is_tried_again() {
        assert!(too_early(NOT_YET));
        assert!(too_early(
            "failed to configure binding: paramKind kind `Gate` not yet synced to use for admission"
        ));
        assert!(!too_early("who requested this may not decide it"));
        assert!(!too_early("the Gate is not open but Approved"));
    }
}
