//! Floor 2: how the API server's answers to a playbook's account are to be taken: who refused, and whether it is worth asking
//! again. It decides nothing about a plan or a step.

use kube::core::Status;

use super::Account;
use crate::{
    adapters::kube::error::{Classified, classify},
    domain::{reason::Reason, verdict::ErrorClass},
    ports::NotLeader,
};

/// Something was asked of the API server in the account's name, and did not come about.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name of the account, or its namespace, is none: without it a request would be the operator's own.
    #[error("{0:?} is no name of a ServiceAccount")]
    NoAccount(String),
    /// The name would lead to another place than its own.
    #[error("{0:?} is no name of an object")]
    NoName(String),
    /// The request cannot be made from what the Playbook says.
    #[error("could not make a request of it: {doing}")]
    Build {
        /// What was to be done.
        doing: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The API server said no, or nothing.
    #[error("{doing}")]
    Ask {
        /// What was asked.
        doing: String,
        /// Its answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// A right was denied, by an API server that has not read all rights yet, or does not say whether it has.
    #[error(
        "a right was denied by an API server that does not tell us that it is ready; does system:public-info-viewer still let everybody ask for /readyz?"
    )]
    Unready(#[source] Box<kube::Error>),
    /// This process may not write now.
    #[error("this replica does not lead any more")]
    Deposed(#[source] NotLeader),
}

/// What an answer that was no says about who refused, and whether asking again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The operator may not speak for the account.
    NotImpersonated,
    /// The account lacks the right.
    Denied,
    /// A webhook says that it cannot be asked without an effect.
    NoDryRun,
    /// Somebody else was faster, or owns the fields.
    Conflict,
    /// The API server, or a policy or webhook behind it, refuses this.
    Refused,
    /// It could not be asked, or not now.
    Unavailable,
}

impl AccountError {
    /// The code of the API server's own answer, if it gave one.
    pub fn code(&self) -> Option<u16> {
        self.status().map(|status| status.code)
    }

    /// The API server's own words.
    pub fn words(&self) -> Option<&str> {
        self.status().map(|status| status.message.as_str())
    }

    /// What the API server says besides, such as which disruption budget does not allow an eviction.
    pub fn causes(&self) -> impl Iterator<Item = (&str, &str)> {
        let details = self.status().and_then(|status| status.details.as_ref());
        let causes = details.into_iter().flat_map(|details| &details.causes);
        causes.map(|cause| (cause.reason.as_str(), cause.message.as_str()))
    }

    /// How its answer to this account is to be taken.
    pub fn answer(&self, account: &Account) -> Answer {
        match self.status() {
            Some(status) => read(status, &account.user()),
            None => match self {
                Self::NoAccount(_) | Self::NoName(_) | Self::Build { .. } => Answer::Refused,
                Self::Ask { .. } | Self::Unready(_) | Self::Deposed(_) => Answer::Unavailable,
            },
        }
    }

    fn status(&self) -> Option<&Status> {
        match self {
            Self::Ask { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::NoAccount(_)
            | Self::NoName(_)
            | Self::Build { .. }
            | Self::Unready(_)
            | Self::Deposed(_) => None,
        }
    }
}

fn read(status: &Status, user: &str) -> Answer {
    let words = status.message.as_str();
    match status.code {
        // Whoever was refused stands in the answer: if it is not the account, nobody got as far as being it.
        403 if words.contains("forbidden: User \"")
            && words.contains("\" cannot impersonate")
            && !words.contains(&format!("User \"{user}\" ")) =>
        {
            Answer::NotImpersonated
        }
        403 if words.contains(&format!("User \"{user}\" cannot ")) => Answer::Denied,
        400 if words.contains("does not support dry run") => Answer::NoDryRun,
        409 => Answer::Conflict,
        // A manifest that does not fit its schema is answered like a failure of the server's own.
        500 if words.starts_with("failed to create typed patch object") => Answer::Refused,
        401 | 408 | 429 | 500.. => Answer::Unavailable,
        _ => Answer::Refused,
    }
}

impl Classified for AccountError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoAccount(_) | Self::NoName(_) | Self::Build { .. } => ErrorClass::Permanent,
            Self::Ask { source, .. } => classify(source).0,
            Self::Unready(_) | Self::Deposed(_) => ErrorClass::Transient,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::NoAccount(_) | Self::NoName(_) | Self::Build { .. } => Reason::Invalid,
            Self::Ask { source, .. } => classify(source).1,
            Self::Unready(_) => Reason::ApiServerUnavailable,
            Self::Deposed(_) => Reason::Conflict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, message: &str) -> Answer {
        let status = Status::failure(message, "Whatever").with_code(code);
        read(&status, "system:serviceaccount:shop:runbook")
    }

    #[test]
    fn who_refused_is_told_from_the_answer() {
        let cases = [
            (
                403,
                r#"serviceaccounts "runbook" is forbidden: User "system:serviceaccount:neuralops-system:neuralops-controller" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "shop""#,
                Answer::NotImpersonated,
            ),
            (
                403,
                r#"forbidden: User "system:serviceaccount:neuralops-system:neuralops-controller" cannot impersonate-on:serviceaccount:get path "/apis/apps/v1""#,
                Answer::NotImpersonated,
            ),
            (
                403,
                r#"deployments.apps "a" is forbidden: User "system:serviceaccount:shop:runbook" cannot patch resource "deployments" in API group "apps" in the namespace "shop""#,
                Answer::Denied,
            ),
            // The account asks for itself as an object: nobody was kept from being it.
            (
                403,
                r#"serviceaccounts "runbook" is forbidden: User "system:serviceaccount:shop:runbook" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "shop""#,
                Answer::Denied,
            ),
            (
                403,
                r#"admission webhook "a.example.com" denied the request: cannot impersonate"#,
                Answer::Refused,
            ),
            (
                400,
                r#"admission webhook "a.example.com" does not support dry run"#,
                Answer::NoDryRun,
            ),
            (422, "spec.replicas: Invalid value", Answer::Refused),
            (409, "the object has been modified", Answer::Conflict),
            (
                500,
                "failed to create typed patch object (shop/a; /v1, Kind=ConfigMap): .dada: field not declared in schema",
                Answer::Refused,
            ),
            (429, "too many requests", Answer::Unavailable),
            (500, "failed calling webhook", Answer::Unavailable),
        ];
        for (code, message, expected) in cases {
            assert_eq!(answer(code, message), expected, "{message}");
        }
    }
}
