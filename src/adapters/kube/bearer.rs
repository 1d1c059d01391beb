//! Floor 2: whose a bearer token is, and whether they may read one path of ours: both are asked of the API server, and the
//! answer is kept for a moment under a hash of the token. The token itself is neither kept nor repeated.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, UserInfo},
    authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, Client, api::PostParams};
use tokio::{sync::Semaphore, time::timeout};

use crate::domain::digest::Digest;

/// How long an answer holds: a scrape and the next few need not ask again, and a right that is taken away ends soon.
const KEPT: Duration = Duration::from_secs(30);
/// Answers that are kept; of more, the oldest goes.
const MOST: usize = 256;
/// How long whoever waits for the metrics waits for the API server.
const PATIENCE: Duration = Duration::from_secs(5);
/// Questions at the same time: whoever tries tokens must not keep the API server busy through us.
const PLACES: usize = 4;

/// What a token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// The path may be read.
    Granted,
    /// Somebody's, who may not read the path.
    Denied {
        /// Who, as the API server calls them.
        user: String,
    },
    /// Nobody's.
    Unknown,
}

/// It could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum BearerError {
    /// Whose the token is.
    #[error("could not ask whose a token is")]
    Token(#[source] Box<kube::Error>),
    /// What they may do.
    #[error("could not ask whether {user:?} may get {path}")]
    Right {
        /// Who.
        user: String,
        /// What.
        path: &'static str,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server's authorizers did not come to an end: its no may be somebody's silence.
    #[error("the API server could not tell whether {user:?} may get {path}: {message}")]
    Undecided {
        /// Who.
        user: String,
        /// What.
        path: &'static str,
        /// The API server's own words.
        message: String,
    },
    /// Too many ask, or the API server is slow.
    #[error("the API server did not tell whose a token is within {} s", PATIENCE.as_secs())]
    TimedOut,
}

/// Who may read one path.
pub struct Readers {
    client: Client,
    path: &'static str,
    answers: Mutex<Answers>,
    places: Semaphore,
}

impl Readers {
    /// The readers of this path.
    pub fn new(client: Client, path: &'static str) -> Self {
        Self {
            client,
            path,
            answers: Mutex::default(),
            places: Semaphore::new(PLACES),
        }
    }

    /// The path.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// What the token opens. What could not be found out is not kept.
    pub async fn access(&self, token: &str) -> Result<Access, BearerError> {
        let key = Digest::of(token.as_bytes());
        if let Some(access) = self.kept(&key) {
            return Ok(access);
        }
        let asked = async {
            // An error means that the semaphore is closed, which nobody does.
            let _place = self.places.acquire().await;
            // Somebody may have asked the same while this one waited.
            match self.kept(&key) {
                Some(access) => Ok(access),
                None => self.ask(token).await,
            }
        };
        let access = match timeout(PATIENCE, asked).await {
            Ok(answered) => answered?,
            Err(_elapsed) => return Err(BearerError::TimedOut),
        };
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.keep(key, access.clone(), Instant::now());
        Ok(access)
    }

    fn kept(&self, key: &Digest) -> Option<Access> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.of(key, Instant::now())
    }

    async fn ask(&self, token: &str) -> Result<Access, BearerError> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                ..TokenReviewSpec::default()
            },
            ..TokenReview::default()
        };
        let answer = Api::all(self.client.clone())
            .create(&PostParams::default(), &review)
            .await
            .map_err(|source| BearerError::Token(Box::new(source)))?;
        let status = answer.status.unwrap_or_default();
        match status.user {
            Some(user) if status.authenticated == Some(true) => self.may(user).await,
            _ => Ok(Access::Unknown),
        }
    }

    async fn may(&self, user: UserInfo) -> Result<Access, BearerError> {
        let name = user.username.clone().unwrap_or_default();
        let answer = Api::all(self.client.clone())
            .create(&PostParams::default(), &question(user, self.path))
            .await;
        let answer = match answer {
            Ok(review) => review.status.unwrap_or_default(),
            Err(source) => {
                return Err(BearerError::Right {
                    user: name,
                    path: self.path,
                    source: Box::new(source),
                });
            }
        };
        match answer.evaluation_error {
            Some(message) if !answer.allowed => Err(BearerError::Undecided {
                user: name,
                path: self.path,
                message,
            }),
            _ if answer.allowed && answer.denied != Some(true) => Ok(Access::Granted),
            _ => Ok(Access::Denied { user: name }),
        }
    }
}

/// Whether somebody, with all that the API server knows of them, may get the path.
fn question(user: UserInfo, path: &str) -> SubjectAccessReview {
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username,
            groups: user.groups,
            uid: user.uid,
            extra: user
                .extra
                .map(|extra| extra.into_iter().collect::<BTreeMap<_, _>>()),
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some(path.to_owned()),
                verb: Some("get".to_owned()),
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}

/// Answers by the hash of the token, each with the moment when it was given.
#[derive(Default)]
struct Answers(HashMap<Digest, (Instant, Access)>);

impl Answers {
    fn of(&self, key: &Digest, now: Instant) -> Option<Access> {
        let (given, access) = self.0.get(key)?;
        (now.duration_since(*given) < KEPT).then(|| access.clone())
    }

    fn keep(&mut self, key: Digest, access: Access, now: Instant) {
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            let oldest = self.0.iter().min_by_key(|(_, (given, _))| *given);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(key, (now, access));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_for_its_time_and_no_more_are_kept_than_there_is_room_for() {
        let mut answers = Answers::default();
        let (start, key) = (Instant::now(), |n: usize| Digest::of(&n.to_be_bytes()));
        answers.keep(key(0), Access::Granted, start);
        let last = start + KEPT - Duration::from_millis(1);
        assert_eq!(answers.of(&key(0), last), Some(Access::Granted));
        assert_eq!(answers.of(&key(0), start + KEPT), None);
        assert_eq!(answers.of(&key(1), start), None);
        for n in 1..=MOST {
            let later = start + Duration::from_millis(u64::try_from(n).unwrap());
            answers.keep(key(n), Access::Unknown, later);
        }
        assert_eq!(answers.0.len(), MOST);
        assert_eq!(answers.of(&key(0), start), None, "the oldest went");
        assert_eq!(answers.of(&key(1), last), Some(Access::Unknown));
        // What is asked about anew takes no other's room.
        answers.keep(key(1), Access::Granted, last);
        assert_eq!(answers.0.len(), MOST);
        assert_eq!(answers.of(&key(2), last), Some(Access::Unknown));
    }
}
