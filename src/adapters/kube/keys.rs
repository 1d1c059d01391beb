//! Floor 2: the operator's own Secret: the keys that sign checkpoints, one for each log, and the key that seals the
//! spool of stops. It is made at the first start, because a chart must not invent random values; no other Secret is read.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, api::PostParams};

use super::{
    CHILDREN_MANAGER,
    error::{Classified, classify},
};
use crate::{
    adapters::random::{self, NoRandomness},
    domain::{
        audit::note::{KeyError, SigningKey},
        reason::Reason,
        verdict::ErrorClass,
    },
};

/// The entry with the key of the spool; every other entry is named after its log.
const SPOOL: &str = "spool";

/// The keys were not read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Not read.
    #[error("could not read the Secret {name}")]
    Read {
        /// The Secret.
        name: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// Not written.
    #[error("could not write the Secret {name}")]
    Write {
        /// The Secret.
        name: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// No key can be made.
    #[error("could not make a key")]
    Random(#[source] NoRandomness),
    /// No key with this name can be made.
    #[error("could not make a key for this origin")]
    Origin(#[source] KeyError),
}

impl Classified for KeysError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read { .. } | Self::Write { .. } | Self::Random(_) => ErrorClass::Transient,
            Self::Origin(_) => ErrorClass::Bug,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => classify(source).1,
            Self::Random(_) | Self::Origin(_) => Reason::InternalError,
        }
    }
}

/// The Secret, by its name.
#[derive(Clone)]
pub struct Keys {
    api: Api<Secret>,
    name: String,
}

/// What the Secret holds.
pub struct Keyring {
    secret: Secret,
    /// Seals the spool of stops.
    pub spool: [u8; 32],
    signing: BTreeMap<String, SigningKey>,
}

impl Keyring {
    /// The key of the log with this origin.
    pub fn signing(&self, origin: &str) -> Option<&SigningKey> {
        self.signing.get(entry(origin))
    }

    /// The same, to sign with.
    pub fn into_signing(mut self, origin: &str) -> Option<SigningKey> {
        self.signing.remove(entry(origin))
    }
}

/// Entries of a Secret have no slashes: the store's id is the last part of an origin.
fn entry(origin: &str) -> &str {
    origin.rsplit('/').next().unwrap_or(origin)
}

impl Keys {
    /// The Secret `name` in the operator's own namespace.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
        }
    }

    /// What it holds; made if it is not there.
    pub async fn load(&self) -> Result<Keyring, KeysError> {
        let found = self.api.get_opt(&self.name).await;
        match found.map_err(|source| self.unread(source))? {
            Some(secret) => self.parse(secret).await,
            None => self.create().await,
        }
    }

    /// Adds a key for a new log, if it has none. Of all others only the one of the log that is anchored now is kept:
    /// attempts that came to nothing must not fill the Secret.
    pub async fn add(
        &self,
        keyring: Keyring,
        origin: &str,
        anchored: Option<&str>,
    ) -> Result<Keyring, KeysError> {
        if keyring.signing(origin).is_some() {
            return Ok(keyring);
        }
        let seed = random::bytes::<32>().map_err(KeysError::Random)?;
        let key = SigningKey::from_seed(origin, &seed).map_err(KeysError::Origin)?;
        let mut secret = keyring.secret;
        let text = ByteString(key.to_private_text().into_bytes());
        let data = secret.data.get_or_insert_default();
        data.retain(|name, _| name == SPOOL || Some(name.as_str()) == anchored.map(entry));
        data.insert(entry(origin).to_owned(), text);
        self.replace(secret).await
    }

    /// Forgets the keys of all other logs: nothing is signed with them any more.
    pub async fn keep_only(&self, keyring: &Keyring, origin: &str) -> Result<(), KeysError> {
        let mut secret = keyring.secret.clone();
        let data = secret.data.get_or_insert_default();
        let before = data.len();
        data.retain(|name, _| name == SPOOL || name == entry(origin));
        if data.len() < before {
            self.replace(secret).await?;
        }
        Ok(())
    }

    async fn create(&self) -> Result<Keyring, KeysError> {
        let spool = random::bytes::<32>().map_err(KeysError::Random)?;
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some([label("app.kubernetes.io/managed-by", "neuralops")].into()),
                ..ObjectMeta::default()
            },
            data: Some([(SPOOL.to_owned(), ByteString(spool.to_vec()))].into()),
            ..Secret::default()
        };
        let made = self.api.create(&parameters(), &secret).await;
        self.parse(made.map_err(|source| self.unwritten(source))?)
            .await
    }

    async fn replace(&self, secret: Secret) -> Result<Keyring, KeysError> {
        let replaced = self.api.replace(&self.name, &parameters(), &secret).await;
        self.parse(replaced.map_err(|source| self.unwritten(source))?)
            .await
    }

    /// What is no key is as good as gone: the log then says so, and its way out stays open.
    async fn parse(&self, mut secret: Secret) -> Result<Keyring, KeysError> {
        let mut signing = BTreeMap::new();
        for (name, ByteString(value)) in secret
            .data
            .iter()
            .flatten()
            .filter(|(name, _)| *name != SPOOL)
        {
            let key = std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.trim().parse().ok());
            match key {
                Some(key) => {
                    signing.insert(name.clone(), key);
                }
                None => tracing::error!(
                    secret = self.name,
                    entry = name,
                    "an entry of the Secret is no key; restore the Secret from your backup"
                ),
            }
        }
        let data = secret.data.get_or_insert_default();
        let spool = data
            .get(SPOOL)
            .and_then(|ByteString(value)| value.as_slice().try_into().ok());
        let spool = match spool {
            Some(spool) => spool,
            None => {
                let spool = random::bytes::<32>().map_err(KeysError::Random)?;
                data.insert(SPOOL.to_owned(), ByteString(spool.to_vec()));
                let replaced = self.api.replace(&self.name, &parameters(), &secret).await;
                secret = replaced.map_err(|source| self.unwritten(source))?;
                spool
            }
        };
        Ok(Keyring {
            secret,
            spool,
            signing,
        })
    }

    fn unread(&self, source: kube::Error) -> KeysError {
        KeysError::Read {
            name: self.name.clone(),
            source,
        }
    }

    fn unwritten(&self, source: kube::Error) -> KeysError {
        KeysError::Write {
            name: self.name.clone(),
            source,
        }
    }
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(CHILDREN_MANAGER.to_owned()),
        ..PostParams::default()
    }
}
