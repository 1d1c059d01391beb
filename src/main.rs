//! The command line: parse, call, say what went wrong. `anyhow` lives here only.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use neuralops::{
    app::{
        config::{self, OperatorArgs},
        run, telemetry,
    },
    cli::{crds, playbook, reference},
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
    /// Print the CustomResourceDefinitions, or write one file for each
    Crds(crds::CrdsArgs),
    /// Work on a Playbook file: lint, digest
    #[command(subcommand)]
    Playbook(playbook::PlaybookCommand),
    /// Write the reference of kinds and reasons
    Reference(reference::ReferenceArgs),
}

fn main() -> ExitCode {
    match execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The whole chain once, in one line, where people and log collectors look.
            eprintln!("error: {}", format!("{error:#}").trim_end());
            ExitCode::FAILURE
        }
    }
}

fn execute() -> anyhow::Result<()> {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command {
        Command::Operator(args) => {
            let (_, inner) = matches.subcommand().context("no subcommand")?;
            operator(&args, inner)
        }
        Command::Crds(args) => say(&crds::run(&args)?),
        Command::Playbook(command) => say(&playbook::run(&command)?),
        Command::Reference(args) => say(&reference::run(&args)?),
    }
}

fn operator(args: &OperatorArgs, matches: &clap::ArgMatches) -> anyhow::Result<()> {
    let config = config::load(args, matches)?;
    if args.print_config {
        return say(&config.to_string());
    }
    telemetry::start(&config)?;
    // One provider for all of TLS; without it rustls refuses to choose.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
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
