//! The command line: parse, call, say what went wrong. `anyhow` lives here only.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use neuralops::{
    app::{
        config::{self, OperatorArgs},
        run, telemetry,
    },
    cli::{
        audit::{self, AuditError},
        cluster::{self, CommandError},
        crds,
        http_request::{self, HttpCommandError},
        playbook, reference, trust,
    },
};

/// Incident playbooks that cannot run unsigned, unplanned, unapproved or unrecorded
#[derive(Parser)]
#[command(name = "neuralops", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator
    Operator(Box<OperatorArgs>),
    #[command(flatten)]
    Cluster(Box<cluster::ClusterCommand>),
    /// Print the CustomResourceDefinitions, or write one file for each
    Crds(crds::CrdsArgs),
    /// Work on a Playbook file: lint, digest, canonicalize, sign, attach, verify, push, pull
    #[command(subcommand)]
    Playbook(playbook::PlaybookCommand),
    /// Make TrustPolicies
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    /// Work with the transparency log: verify, prove, list, export, back up, restore
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Put everything that proves one run into one file, to be verified anywhere
    #[command(after_help = audit::EVIDENCE_HELP)]
    Evidence(audit::EvidenceArgs),
    /// Send the request of an http step, as its Job says it
    #[command(hide = true)]
    HttpRequest(http_request::HttpRequestArgs),
    /// Write the reference of kinds, reasons and events
    Reference(reference::ReferenceArgs),
}

fn main() -> ExitCode {
    match execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The whole chain once, in one line, where people and log collectors look.
            eprintln!("error: {}", format!("{error:#}").trim_end());
            exit_code(&error)
        }
    }
}

/// Auditors and scripts tell by the code whether the answer was no or the question was wrong.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    let audit = error.downcast_ref().map(AuditError::exit_code);
    let code = audit
        .or_else(|| error.downcast_ref().map(CommandError::exit_code))
        .or_else(|| error.downcast_ref().map(HttpCommandError::exit_code));
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

fn execute() -> anyhow::Result<()> {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command {
        Command::Operator(args) => {
            let (_, inner) = matches.subcommand().context("no subcommand")?;
            operator(&args, inner)
        }
        Command::Cluster(command) => wait(cluster::run(&command)),
        Command::Crds(args) => say(&crds::run(&args)?),
        Command::Playbook(command) => wait(playbook::run(&command)),
        Command::Trust(command) => say(&trust::run(&command)?),
        Command::Audit(command) => wait(audit::run(&command)),
        Command::Evidence(args) => wait(audit::evidence(&args)),
        Command::HttpRequest(args) => wait(http_request::run(&args)),
        Command::Reference(args) => say(&reference::run(&args)?),
    }
}

/// Runs a command that may need the network, and prints what it returns.
fn wait<E: Into<anyhow::Error>>(
    command: impl Future<Output = Result<String, E>>,
) -> anyhow::Result<()> {
    provide_tls()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    say(&runtime.block_on(command).map_err(Into::into)?)
}

/// One provider for all of TLS; without it rustls refuses to choose.
fn provide_tls() -> anyhow::Result<()> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))
}

fn operator(args: &OperatorArgs, matches: &clap::ArgMatches) -> anyhow::Result<()> {
    let config = config::load(args, matches)?;
    if args.print_config {
        return say(&config.to_string());
    }
    telemetry::start(&config)?;
    provide_tls()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let ended = runtime.block_on(run::run(config));
    // Whatever is still under way is dropped where it stands.
    runtime.shutdown_background();
    Ok(ended?)
}

fn say(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("could not write the answer")
}
