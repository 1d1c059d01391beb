//! Floor 3: `neuralops verify-install`: tries the forgeries that an installation has to refuse, as dry runs that leave nothing
//! behind, and says who could get around that. It proves what acts now, for this caller; it mends nothing.

mod ask;
mod checks;
mod mutators;
mod report;
mod rights;
mod samples;
mod votes;
mod writes;

use std::time::Duration;

use clap::ValueEnum;
use k8s_openapi::api::authorization::v1::ResourceAttributes;

use self::{
    ask::{Absent, Request, Trial, answer},
    report::{Outcome, Report, Row},
    samples::Named,
    votes::Stage,
};
use super::{
    CommandError,
    access::{Access, PlaceArgs},
    terminal::say,
    text::OutputArgs,
};
use crate::{
    adapters::{
        clock,
        kube::guard::{self, Part},
    },
    api::GROUP,
    domain::forgery::{self, Answer, Standing, Verdict},
};

/// What `--help` ends with.
pub const HELP: &str = "\
Votes, runs, Gates, Playbooks, statuses and deletions that must be refused are sent as server-side dry runs: admission
answers as it would, and nothing is stored. Each is refused, or implied (not tried here, with the reason, by a policy that
is as shipped), accepted, or unknown. What is needed: the ClusterRoles neuralops-verifier (reads)
and neuralops-forger (tries). Exits with 0 if the installation
holds, 8 if a forgery is accepted or something is not as shipped, 1 if something could not be found out, 2 if it was asked
for wrongly.

Examples
  neuralops verify-install -n shop
  neuralops verify-install -n shop --gate shop/restart-4f1c --gate shop/expired-77aa
  neuralops verify-install -n shop --as somebody -o json";

/// Try the forgeries.
#[derive(clap::Args, Debug)]
pub struct VerifyInstallArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Forge in this person's name, by your right to impersonate them; you still read as yourself
    #[arg(long = "as", value_name = "USER")]
    forger: Option<String>,
    /// Try votes on this Gate; several times for several; absent: on those that you may list
    #[arg(long = "gate", value_name = "NS/NAME")]
    gates: Vec<Named>,
    /// A policy that this installation leaves out by choice
    #[arg(long, value_enum, value_name = "POLICY")]
    without: Vec<Optional>,
    /// A mutating webhook configuration or admission policy that is trusted with our objects
    #[arg(long = "mutator", value_name = "NAME")]
    mutators: Vec<String>,
    /// The operator's Lease
    #[arg(
        long,
        value_name = "NS/NAME",
        default_value = "neuralops-system/neuralops-controller"
    )]
    lease: Named,
    #[command(flatten)]
    output: OutputArgs,
}

/// What goes through is tried again: a Gate or a policy that was made a moment ago is not known to every part of the API
/// server at once.
const AGAIN: u32 = 2;
const PAUSE: Duration = Duration::from_millis(500);

/// What refuses early what the operator refuses as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Optional {
    DecisionGate,
    PlaybookSecrets,
    OrchestrationSecrets,
}

impl Optional {
    fn policy(self) -> &'static str {
        match self {
            Self::DecisionGate => "decision-gate.neuralops.io",
            Self::PlaybookSecrets => "playbook-secrets.neuralops.io",
            Self::OrchestrationSecrets => "orchestration-secrets.neuralops.io",
        }
    }
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &VerifyInstallArgs) -> Result<String, CommandError> {
    let access = args.place.open().await?;
    let forger = match &args.forger {
        Some(user) => args.place.open_as(user).await?,
        None => args.place.open().await?,
    };
    let caller = forger.caller().await?;
    ordinary(&forger).await?;
    let client = access.client();
    let left_out: Vec<_> = args.without.iter().map(|one| one.policy()).collect();
    let parts = guard::inspect(client).await;
    let parts = parts.map_err(|error| CommandError::Negative(error.to_string()))?;
    let now = clock::now();
    let mut checks = vec![checks::kinds(client).await];
    checks.extend(checks::guard(&parts, &left_out));
    checks.push(checks::leader(client, &args.lease.namespace, &args.lease.name, now).await);
    checks.push(checks::anchored(client).await);
    checks.extend(mutators::mutators(client, &args.mutators).await);
    let stage = Stage {
        caller: &caller,
        namespace: access.namespace(),
        now,
    };
    let gates = samples::gates(&access, &args.gates).await;
    let mut trials = votes::trials(&stage, &gates);
    let samples = samples::find(&access, &gates).await;
    trials.extend(writes::trials(&caller.user, access.namespace(), samples));
    own_accounts(&forger, &mut trials).await?;
    let rows = judged(&forger, trials, &parts, &left_out).await;
    let report = Report {
        caller: caller.user.clone(),
        namespace: access.namespace().to_owned(),
        checks,
        rows,
        rights: rights::read(client).await,
    };
    let text = args.output.print(&report.object(), || report.text())?;
    let summary = report.summary();
    match report.outcome() {
        Outcome::Whole if args.output.is_text() => Ok(format!("{text}{summary}\n")),
        Outcome::Whole => Ok(text),
        // The report is the answer, however the command ends.
        Outcome::Broken => say(&text).and(Err(CommandError::Broken(summary))),
        Outcome::Unknown => say(&text).and(Err(CommandError::Negative(summary))),
    }
}

/// Whoever is the operator or an attester forges nothing: they may.
async fn ordinary(forger: &Access) -> Result<(), CommandError> {
    let namespace = forger.namespace();
    for (verb, resource) in [
        ("operate", "gates"),
        ("operate", "decisions"),
        ("attest", "decisions"),
        ("attest", "orchestrations"),
    ] {
        let ask = async |verb: &str| {
            forger
                .allowed(ResourceAttributes {
                    group: Some(GROUP.to_owned()),
                    resource: Some(resource.to_owned()),
                    namespace: Some(namespace.to_owned()),
                    verb: Some(verb.to_owned()),
                    ..ResourceAttributes::default()
                })
                .await
        };
        if ask(verb).await? && !ask("wildcard").await? {
            return Err(CommandError::Usage(format!(
                "you hold the verb {verb} on {resource} in {namespace} by name, so the policies rightly let you do what is a forgery for everybody else: ask as somebody else, with another --context or --as USER"
            )));
        }
    }
    Ok(())
}

/// Who may use every account borrows none.
async fn own_accounts(forger: &Access, trials: &mut [Trial]) -> Result<(), CommandError> {
    let any = forger
        .allowed(ResourceAttributes {
            resource: Some("serviceaccounts".to_owned()),
            name: Some(writes::NOBODY.to_owned()),
            namespace: Some(forger.namespace().to_owned()),
            verb: Some("use".to_owned()),
            ..ResourceAttributes::default()
        })
        .await?;
    for trial in trials.iter_mut().filter(|_| any) {
        if trial.forgery == writes::BORROWED {
            trial.request = Request::None(Absent::Nothing(
                "you may use every ServiceAccount".to_owned(),
            ));
        }
    }
    Ok(())
}

/// Tries all of it, then judges: what one trial shows helps to read another.
async fn judged(
    forger: &Access,
    trials: Vec<Trial>,
    parts: &[Part],
    left_out: &[&str],
) -> Vec<Row> {
    let is_left_out = |trial: &Trial| {
        let policy = trial.expected.policy;
        policy.is_some_and(|policy| left_out.contains(&policy))
    };
    let mut tried: Vec<(Trial, Option<Answer>)> = Vec::new();
    for trial in trials {
        let answered = if is_left_out(&trial) {
            None
        } else {
            Some(answer(forger.client(), &trial.request).await)
        };
        tried.push((trial, answered));
    }
    for _ in 0..AGAIN {
        let went_through = |(_, answer): &(_, Option<Answer>)| *answer == Some(Answer::Accepted);
        if !tried.iter().any(went_through) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        for (trial, answered) in tried.iter_mut().filter(|one| went_through(one)) {
            *answered = Some(answer(forger.client(), &trial.request).await);
        }
    }
    let refused_here = tried.iter().any(|(trial, answer)| {
        let answer = answer.as_ref();
        answer.is_some_and(|answer| forgery::proves(&trial.expected, answer))
    });
    let row = |(trial, answer): (Trial, Option<Answer>)| {
        let policy = trial.expected.policy;
        let standing = policy.map_or(Standing::AsShipped, |name| checks::standing(parts, name));
        let (verdict, said) = match answer {
            None => (
                Verdict::LeftOut,
                "by choice; the operator refuses it when it counts or plans".to_owned(),
            ),
            Some(answer) => forgery::judge(&trial.expected, &answer, standing, refused_here),
        };
        Row {
            forgery: trial.forgery,
            tried: trial.tried,
            policy,
            verdict,
            answer: said,
        }
    };
    tried.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests;
