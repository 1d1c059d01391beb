//! Floor 3: `neuralops playbook …`: what an author does before a cluster sees a Playbook. It runs the very linter,
//! canonicaliser and verifier of the operator; only artifacts need a network, to be fetched and pushed.

mod ambiguous;
mod attach;
mod canonicalize;
mod error;
mod file;
mod lint;
mod policies;
mod pull;
mod push;
mod registry;
mod sign;
mod verify;

pub use error::PlaybookFileError;
#[cfg(fuzzing)]
pub use file::PlaybookFile;

/// Work on a Playbook file.
#[derive(clap::Subcommand, Debug)]
pub enum PlaybookCommand {
    /// Check a Playbook as the operator does; exits with 1 if it cannot run
    Lint(file::FileArgs),
    /// Print the digest that a signature is about and that the status shows
    Digest(file::FileArgs),
    /// Print the bytes that are signed
    #[command(after_help = canonicalize::HELP)]
    Canonicalize(file::SignedArgs),
    /// Sign with a local key, or let cosign sign
    #[command(after_help = sign::HELP)]
    Sign(sign::SignArgs),
    /// Put a bundle of cosign into the Playbook's annotations
    #[command(after_help = attach::HELP)]
    Attach(attach::AttachArgs),
    /// Push a Playbook to a registry, to be signed there and named as a source
    #[command(after_help = push::HELP)]
    Push(push::PushArgs),
    /// Print the Playbook of a signed artifact, if it is trusted; exits with 1 if it is not
    #[command(after_help = pull::HELP)]
    Pull(pull::PullArgs),
    /// Verify a signed Playbook offline, exactly as the operator does; exits with 1 if it is not trusted
    #[command(after_help = verify::HELP)]
    Verify(verify::VerifyArgs),
}

/// Runs the command; returns what is to be printed.
pub async fn run(command: &PlaybookCommand) -> Result<String, PlaybookFileError> {
    match command {
        PlaybookCommand::Lint(args) => lint::run(args),
        PlaybookCommand::Digest(args) => lint::digest(args),
        PlaybookCommand::Canonicalize(args) => canonicalize::run(args),
        PlaybookCommand::Sign(args) => sign::run(args),
        PlaybookCommand::Attach(args) => attach::run(args),
        PlaybookCommand::Push(args) => push::run(args).await,
        PlaybookCommand::Pull(args) => pull::run(args).await,
        PlaybookCommand::Verify(args) => verify::run(args).await,
    }
}
