//! Floor 2: which approver roles a voter holds, asked of the API server at the moment of counting. Roles are granted by name:
//! whoever holds the canary verb holds everything by a wildcard, and so no role. What follows is decided above.

use std::collections::BTreeSet;

use futures::future::{try_join, try_join_all};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use super::error::{Classified, classify};
use crate::{
    api::GROUP,
    domain::{
        gate::{Held, Vote, Voted},
        reason::Reason,
        verdict::ErrorClass,
    },
};

/// Who decides; there are no such objects, only rights to them.
const ROLES: &str = "approverroles";
/// Never granted by name, neither as a verb nor as a role.
const CANARY: &str = "wildcard";

/// A right could not be asked about; nothing is counted then.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The API server did not answer.
    #[error("could not ask whether {user:?} may {verb} as {role}")]
    Review {
        /// Who.
        user: String,
        /// What.
        verb: &'static str,
        /// In which role.
        role: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server's authorizers did not come to an end: its no may be somebody's silence.
    #[error("the API server could not tell whether {user:?} may {verb} as {role}: {message}")]
    Undecided {
        /// Who.
        user: String,
        /// What.
        verb: &'static str,
        /// In which role.
        role: String,
        /// The API server's own words.
        message: String,
    },
}

impl Classified for AccessError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Review { source, .. } => classify(source).0,
            Self::Undecided { .. } => ErrorClass::Transient,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Review { source, .. } => classify(source).1,
            Self::Undecided { .. } => Reason::ApiServerUnavailable,
        }
    }
}

/// Which of these roles the voter holds now in this namespace, for what the vote says.
pub async fn held(
    client: &Client,
    namespace: &str,
    vote: &Vote,
    roles: impl Iterator<Item = &str>,
) -> Result<Held, AccessError> {
    let verb = match vote.voted {
        Voted::Reject => "reject",
        // Taking an approval back is part of the right to give it.
        Voted::Approve | Voted::Withdraw => "approve",
    };
    let asked = roles.map(async |role: &str| {
        let may = may(client, namespace, vote, verb, role).await?;
        Ok(may.then(|| role.to_owned()))
    });
    let canary = may(client, namespace, vote, CANARY, CANARY);
    let (wildcard, roles) = try_join(canary, try_join_all(asked)).await?;
    Ok(if wildcard {
        Held::Wildcard
    } else {
        Held::Roles(roles.into_iter().flatten().collect::<BTreeSet<_>>())
    })
}

async fn may(
    client: &Client,
    namespace: &str,
    vote: &Vote,
    verb: &'static str,
    role: &str,
) -> Result<bool, AccessError> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(vote.user.clone()),
            groups: Some(vote.groups.clone()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(GROUP.to_owned()),
                resource: Some(ROLES.to_owned()),
                name: Some(role.to_owned()),
                namespace: Some(namespace.to_owned()),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let (user, role) = (vote.user.clone(), role.to_owned());
    let answer = Api::all(client.clone())
        .create(&PostParams::default(), &review)
        .await;
    let answer = match answer {
        Ok(review) => review.status.unwrap_or_default(),
        Err(source) => {
            let source = Box::new(source);
            return Err(AccessError::Review {
                user,
                verb,
                role,
                source,
            });
        }
    };
    match answer.evaluation_error {
        Some(message) if !answer.allowed => Err(AccessError::Undecided {
            user,
            verb,
            role,
            message,
        }),
        _ => Ok(answer.allowed && answer.denied != Some(true)),
    }
}
