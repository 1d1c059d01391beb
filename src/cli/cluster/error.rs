//! Floor 3: why a command of a person failed, the exit code that says which kind of failure it is, and what to do. The
//! API server's own words are never replaced, only followed by an advice.

use std::fmt;

use crate::adapters::kube::{client::ClientError, error::chain};

/// It was refused, or is not so.
const NEGATIVE: u8 = 1;
/// It was asked for in a way that makes no sense; clap exits with the same.
const USAGE: u8 = 2;
/// The installation lets something through that it has to refuse.
const BROKEN: u8 = 8;
/// It did not happen in time, as `timeout` says it.
const TIMED_OUT: u8 = 124;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no way to a cluster.
    #[error("could not reach a cluster")]
    Connect(#[source] ClientError),
    /// The API server does not do it.
    #[error("could not {tried}")]
    Ask {
        /// What was tried.
        tried: String,
        /// What it answered, and what to do.
        #[source]
        source: Answer,
    },
    /// What is there is not what was asked for.
    #[error("{0}")]
    Negative(String),
    /// The installation does not hold what it promises.
    #[error("{0}")]
    Broken(String),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// It did not happen in time.
    #[error("{0}")]
    TimedOut(String),
    /// An object cannot be written down.
    #[error("could not write the answer as {0}")]
    Render(
        &'static str,
        #[source] Box<dyn std::error::Error + Send + Sync>,
    ),
    /// Nobody can be asked.
    #[error("could not ask on the terminal")]
    Terminal(#[source] std::io::Error),
}

/// An answer of the API server, and what to do about it.
#[derive(Debug)]
pub struct Answer {
    text: String,
    advice: Option<String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Answer {}

impl CommandError {
    /// What the process exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Connect(_)
            | Self::Ask { .. }
            | Self::Negative(_)
            | Self::Render(..)
            | Self::Terminal(_) => NEGATIVE,
            Self::Broken(_) => BROKEN,
            Self::Usage(_) => USAGE,
            Self::TimedOut(_) => TIMED_OUT,
        }
    }
}

/// Reads a refusal: what was tried, and the ClusterRole that would allow it.
pub fn refused<W: Into<String>>(
    tried: W,
    role: &'static str,
) -> impl FnOnce(kube::Error) -> CommandError {
    let tried = tried.into();
    move |error| CommandError::Ask {
        tried,
        source: Answer {
            advice: advice(&error, role),
            text: chain(&error),
        },
    }
}

/// What the policies say, and what a person does then.
const ADVICE: [(&str, &str); 9] = [
    (
        "who requested this may not decide it",
        "whoever shaped a run cannot decide over it: ask somebody else who holds one of the roles",
    ),
    (
        "a wildcard grant makes no approver",
        "have the role granted to you by name (`neuralops role approver` prints the YAML), and vote with an account that holds no wildcard",
    ),
    (
        "on approverroles/",
        "have the role granted to you by name: `neuralops role approver` prints the YAML",
    ),
    (
        "the deadline was",
        "nothing can be decided after it: ask for a new run",
    ),
    (
        "system users do not decide",
        "people decide, with a credential of their own: use another --context",
    ),
    (
        "the Gate is about plan",
        "the plan is not the one that was shown: look at it again with `neuralops diff`",
    ),
    (
        "failed to configure binding",
        "the API server does not know the Gate yet: try again in some seconds",
    ),
    (
        "mode Auto needs the verb",
        "ask for the run without --mode Auto, or have the verb granted",
    ),
    (
        "the Gate is not open",
        "it is settled, and nothing moves it any more; `neuralops cancel` stops the run",
    ),
];

fn advice(error: &kube::Error, role: &'static str) -> Option<String> {
    let kube::Error::Api(answer) = error else {
        return Some(
            "is the API server up, and are --kubeconfig and --context the right ones?".to_owned(),
        );
    };
    let known = ADVICE
        .iter()
        .find(|(words, _)| answer.message.contains(words));
    if let Some((_, advice)) = known {
        return Some((*advice).to_owned());
    }
    match answer.code {
        401 => {
            Some("the cluster does not accept this credential: log in again, or use another --context".to_owned())
        }
        403 if answer.message.contains("ValidatingAdmissionPolicy") => None,
        403 => Some(format!("ClusterRole {role}, bound to you there, allows it")),
        // Whoever asks for a kind that is not served is answered without a kind.
        404 if answer.details.as_ref().is_none_or(|details| details.name.is_empty()) => Some(
            "the cluster does not serve this kind: is NeuralOps installed there, and is --context the right one?".to_owned(),
        ),
        409 if answer.reason == "AlreadyExists" => Some("choose another --name".to_owned()),
        409 => Some("it changed meanwhile: look again and repeat".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn told(code: u16, message: &str, reason: &str) -> String {
        let status = Status::failure(message, reason).with_code(code);
        match refused("vote", "neuralops-approver")(kube::Error::Api(Box::new(status))) {
            CommandError::Ask { source, .. } => source.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refusal_stands_as_it_is_and_says_what_to_do() {
        let policy = "ValidatingAdmissionPolicy 'decision-gate.neuralops.io' with binding 'decision-gate.neuralops.io' denied request: who requested this may not decide it";
        let text = told(403, policy, "Forbidden");
        assert!(text.contains(policy) && text.contains("ask somebody else"));
        let text = told(403, "decisions is forbidden: User \"bob\"", "Forbidden");
        assert!(text.contains("ClusterRole neuralops-approver"), "{text}");
    }

    #[test]
    fn a_cluster_without_the_kinds_is_told_apart_from_an_object_that_is_gone() {
        let text = told(404, "404 page not found", "");
        assert!(text.contains("is NeuralOps installed there"), "{text}");
    }

    #[test]
    fn each_kind_of_failure_has_its_code() {
        assert_eq!(CommandError::Negative(String::new()).exit_code(), 1);
        assert_eq!(CommandError::Usage(String::new()).exit_code(), 2);
        assert_eq!(CommandError::Broken(String::new()).exit_code(), 8);
        assert_eq!(CommandError::TimedOut(String::new()).exit_code(), 124);
    }
}
