//! Floor 3: `neuralops run`: ask for a run in the caller's own name. Whether it may run is decided by others.

use std::collections::BTreeMap;

use kube::{
    ResourceExt as _,
    api::{ObjectMeta, PostParams},
};

use super::{
    CommandError,
    access::{Access, PlaceArgs},
    error::refused,
    terminal::show,
    text::OutputArgs,
    wait::{self, Goal, until},
};
use crate::api::v1alpha1::{
    Incident, Mode, Orchestration, OrchestrationSpec, Playbook, PlaybookRef, Start,
};

/// What `--help` ends with.
pub const HELP: &str = "\
The run is yours: requestedBy is your name as the API server knows it, and you cannot approve it yourself.
With --wait it exits with 0 if the run ended as Succeeded or Planned, 1 if it ended otherwise or was refused, 2 if it was
asked for wrongly, 124 if it did not end in time.

Examples
  neuralops run restart-after-bad-rollout -n shop --param deployment=checkout --summary 'checkout crash loops'
  neuralops run free-a-node --mode PlanOnly --param node=n1 --wait";

/// Ask for a run.
#[derive(clap::Args, Debug)]
pub struct RunArgs {
    /// The Playbook
    #[arg(value_name = "PLAYBOOK")]
    playbook: String,
    #[command(flatten)]
    place: PlaceArgs,
    /// A parameter of the Playbook; strings bare, everything else as JSON
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
    /// What happened, in a sentence
    #[arg(long, value_name = "TEXT")]
    summary: Option<String>,
    /// How bad it is, in your words
    #[arg(long, value_name = "WORD")]
    severity: Option<String>,
    /// A label of the incident
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// An annotation of the incident
    #[arg(long = "annotation", value_name = "NAME=VALUE", value_parser = pair)]
    annotations: Vec<(String, String)>,
    /// Joins a run of this namespace with the same key that is not done
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// How it is decided about; absent: Manual
    #[arg(long, value_name = "Manual|Auto|PlanOnly", value_parser = mode)]
    mode: Option<Mode>,
    /// When an approved run begins; absent: OnApproval
    #[arg(long, value_name = "OnApproval|OnRelease", value_parser = start)]
    start: Option<Start>,
    /// The name of the run; absent: the Playbook's with something behind it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Wait until it ends
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = wait::DEFAULT_TIMEOUT, value_parser = crate::domain::duration::parse, requires = "wait")]
    timeout: std::time::Duration,
    #[command(flatten)]
    output: OutputArgs,
}

/// `NAME=VALUE`; the value may hold anything, also further `=`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    match text.to_ascii_lowercase().as_str() {
        "manual" => Ok(Mode::Manual),
        "auto" => Ok(Mode::Auto),
        "planonly" => Ok(Mode::PlanOnly),
        _ => Err("there are Manual, Auto and PlanOnly".to_owned()),
    }
}

fn start(text: &str) -> Result<Start, String> {
    match text.to_ascii_lowercase().as_str() {
        "onapproval" => Ok(Start::OnApproval),
        "onrelease" => Ok(Start::OnRelease),
        _ => Err("there are OnApproval and OnRelease".to_owned()),
    }
}

/// A map without a name that stands there twice: one of the two values would be lost in silence.
pub(super) fn map(
    flag: &str,
    pairs: &[(String, String)],
) -> Result<Option<BTreeMap<String, String>>, CommandError> {
    let mut map = BTreeMap::new();
    for (name, value) in pairs {
        if map.insert(name.clone(), value.clone()).is_some() {
            return Err(CommandError::Usage(format!(
                "--{flag} {name} stands there twice"
            )));
        }
    }
    Ok((!map.is_empty()).then_some(map))
}

/// The run as it is asked for.
fn wanted(args: &RunArgs, user: &str) -> Result<Orchestration, CommandError> {
    let spec = OrchestrationSpec {
        incident: Incident {
            key: args.key.clone(),
            summary: args.summary.clone(),
            severity: args.severity.clone(),
            labels: map("label", &args.labels)?,
            annotations: map("annotation", &args.annotations)?,
            source: None,
        },
        playbook_ref: Some(PlaybookRef {
            name: args.playbook.clone(),
        }),
        parameters: map("param", &args.parameters)?,
        mode: args.mode,
        start: args.start,
        requested_by: Some(user.to_owned()),
        selected_by: None,
        released_by: None,
        cancel: None,
        cancelled_by: None,
        suspend: None,
        from: None,
        ttl_seconds_after_finished: None,
    };
    let metadata = ObjectMeta {
        generate_name: args.name.is_none().then(|| format!("{}-", args.playbook)),
        name: args.name.clone(),
        ..ObjectMeta::default()
    };
    Ok(Orchestration {
        metadata,
        spec,
        status: None,
    })
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &RunArgs) -> Result<String, CommandError> {
    let access = args.place.open().await?;
    let caller = access.caller().await?;
    let wanted = wanted(args, &caller.user)?;
    look_for_playbook(&access, &args.playbook).await?;
    let namespace = access.namespace();
    let made = access
        .objects::<Orchestration>()
        .create(&PostParams::default(), &wanted)
        .await
        .map_err(refused(
            format!(
                "ask for a run of {} in namespace {namespace}",
                args.playbook
            ),
            "neuralops-engineer",
        ))?;
    if !args.wait {
        return args.output.print(&made, || told(&made, namespace));
    }
    // Whoever waits wants the name now.
    show(&told(&made, namespace))?;
    let ended = until(&access, &made.name_any(), Goal::Well, args.timeout).await?;
    args.output.print(&ended, || wait::told(&ended))
}

/// A name that is misspelt is told before there is a run that can only fail. Whoever may not look is told by the run.
pub(super) async fn look_for_playbook(access: &Access, name: &str) -> Result<(), CommandError> {
    let namespace = access.namespace();
    match access.objects::<Playbook>().get_metadata_opt(name).await {
        Ok(None) => Err(CommandError::Negative(format!(
            "there is no Playbook {name} in namespace {namespace}: `kubectl -n {namespace} get playbooks` lists them"
        ))),
        Ok(Some(_)) => Ok(()),
        Err(kube::Error::Api(answer)) if answer.is_forbidden() => Ok(()),
        Err(error) => Err(refused(
            format!("look for the Playbook {name}"),
            "neuralops-engineer",
        )(error)),
    }
}

fn told(run: &Orchestration, namespace: &str) -> String {
    let name = run.name_any();
    let next = match (run.spec.mode, run.spec.start) {
        (Some(Mode::PlanOnly), _) => "It is planned and ends there; nothing is changed.",
        (Some(Mode::Auto), _) => {
            "It is planned, and runs without being asked about where the Playbook allows it; else people are asked."
        }
        (_, Some(Start::OnRelease)) => {
            "It is planned, people with the Playbook's roles approve it, and then it waits for `neuralops release`."
        }
        _ => "It is planned, people with the Playbook's roles approve it, and then it runs.",
    };
    format!(
        "run {name} asked for in namespace {namespace}, by {by}.\n{next}\n  neuralops tree -n {namespace} {name}    where it stands\n  neuralops diff -n {namespace} {name}    what it would change\n  neuralops cancel -n {namespace} {name}  stop it\n",
        by = run.spec.requested_by.as_deref().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn args(given: &[&str]) -> RunArgs {
        let command = RunArgs::augment_args(clap::Command::new("run"));
        let matches = command.try_get_matches_from([&["run"], given].concat());
        RunArgs::from_arg_matches(&matches.expect("arguments")).expect("arguments")
    }

    #[test]
    fn a_run_says_who_asked_and_takes_its_name_from_the_playbook() {
        let given = args(&[
            "restart", "--param", "a=b=c", "--label", "x=y", "--mode", "planonly",
        ]);
        let run = wanted(&given, "alice").expect("a run");
        assert_eq!(run.metadata.generate_name.as_deref(), Some("restart-"));
        assert_eq!(run.spec.requested_by.as_deref(), Some("alice"));
        assert_eq!(run.spec.parameters.expect("parameters")["a"], "b=c");
        assert_eq!(run.spec.mode, Some(Mode::PlanOnly));
        let named = wanted(&args(&["restart", "--name", "mine"]), "alice").expect("a run");
        assert_eq!(
            (named.metadata.name.as_deref(), named.metadata.generate_name),
            (Some("mine"), None)
        );
    }

    #[test]
    fn a_parameter_that_stands_there_twice_is_no_guess() {
        let twice = wanted(&args(&["p", "--param", "a=1", "--param", "a=2"]), "alice");
        assert_eq!(twice.expect_err("refused").exit_code(), 2);
    }

    #[test]
    fn a_pair_has_a_name() {
        assert!(pair("=x").is_err() && pair("x").is_err());
        assert_eq!(pair("x="), Ok(("x".to_owned(), String::new())));
    }
}
