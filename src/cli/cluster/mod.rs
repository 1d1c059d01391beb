//! Floor 3: what people do with runs and Gates: ask, look, decide, stop. Every command speaks to the API server alone,
//! with the caller's own kubeconfig and rights; nothing here decides what the API server or the operator would.

mod access;
mod cancel;
mod diff;
mod error;
mod freeze;
mod inbox;
mod plan;
mod question;
mod release;
mod role;
mod run;
mod suggest;
mod take;
mod terminal;
mod text;
mod tree;
mod verify_install;
mod vote;
mod wait;

pub use error::CommandError;

use crate::api::v1alpha1::Verdict;

/// What people do with runs and Gates.
#[derive(clap::Subcommand, Debug)]
pub enum ClusterCommand {
    /// Ask for a run of a Playbook, in your own name
    #[command(after_help = run::HELP)]
    Run(run::RunArgs),
    /// Let an approved run begin that was asked for with --start OnRelease
    #[command(after_help = release::HELP)]
    Release(release::ReleaseArgs),
    /// Show which Playbooks fit the incident of a run, and why
    #[command(after_help = suggest::HELP)]
    Suggest(suggest::SuggestArgs),
    /// Take a Playbook for a run that names none, in your own name
    #[command(after_help = take::HELP)]
    Take(take::TakeArgs),
    /// List the open Gates that wait for your decision
    #[command(after_help = inbox::HELP)]
    Inbox(inbox::InboxArgs),
    /// Show what a run would change, checked against the digest of its plan
    #[command(after_help = diff::HELP)]
    Diff(diff::DiffArgs),
    /// Approve exactly the plan that is shown
    #[command(after_help = vote::APPROVE_HELP)]
    Approve(vote::VoteArgs),
    /// Reject the plan; one rejection by a holder of a role ends the run
    #[command(after_help = vote::REJECT_HELP)]
    Reject(vote::RejectArgs),
    /// Take your own vote back while the Gate is open
    #[command(after_help = vote::WITHDRAW_HELP)]
    Withdraw(vote::VoteArgs),
    /// Stop a run, in every stage and for good
    #[command(after_help = cancel::HELP)]
    Cancel(cancel::CancelArgs),
    /// Wait until a run has come as far as you say
    #[command(after_help = wait::HELP)]
    Wait(wait::WaitArgs),
    /// Show a run with its plan, Gates, votes, steps, Jobs and records
    #[command(after_help = tree::HELP)]
    Tree(tree::TreeArgs),
    /// Stop every run before its next effect, in some namespaces or everywhere
    #[command(after_help = freeze::FREEZE_HELP)]
    Freeze(freeze::FreezeArgs),
    /// Lift a Freeze
    #[command(after_help = freeze::UNFREEZE_HELP)]
    Unfreeze(freeze::UnfreezeArgs),
    /// Try the forgeries that the installation has to refuse, and list who could get around it
    #[command(after_help = verify_install::HELP)]
    VerifyInstall(verify_install::VerifyInstallArgs),
    /// Print the YAML that grants a role: approver, runner, author
    #[command(subcommand)]
    Role(role::RoleCommand),
}

/// Runs the command; returns what is to be printed.
pub async fn run(command: &ClusterCommand) -> Result<String, CommandError> {
    match command {
        ClusterCommand::Run(args) => run::run(args).await,
        ClusterCommand::Release(args) => release::run(args).await,
        ClusterCommand::Suggest(args) => suggest::run(args).await,
        ClusterCommand::Take(args) => take::run(args).await,
        ClusterCommand::Inbox(args) => inbox::run(args).await,
        ClusterCommand::Diff(args) => diff::run(args).await,
        ClusterCommand::Approve(args) => vote::run(args, Verdict::Approve).await,
        ClusterCommand::Reject(args) => vote::reject(args).await,
        ClusterCommand::Withdraw(args) => vote::run(args, Verdict::Withdraw).await,
        ClusterCommand::Cancel(args) => cancel::run(args).await,
        ClusterCommand::Wait(args) => wait::run(args).await,
        ClusterCommand::Tree(args) => tree::run(args).await,
        ClusterCommand::Freeze(args) => freeze::freeze(args).await,
        ClusterCommand::Unfreeze(args) => freeze::unfreeze(args).await,
        ClusterCommand::VerifyInstall(args) => verify_install::run(args).await,
        ClusterCommand::Role(command) => role::run(command).await,
    }
}
