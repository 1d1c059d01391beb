//! Floor 3: the store that a command works on, and errors that say which store it was.

use std::sync::Arc;

use super::AuditError;
use crate::{
    adapters::store::{self, Mode, StoreUrl},
    ports::{Answer, Log, Store},
};

/// Where the store is.
#[derive(clap::Args, Debug)]
pub struct StoreArgs {
    /// The store: sqlite:///path/audit.db or postgres://user@host/database; a password is better given by the variable
    #[arg(
        long,
        value_name = "URL",
        env = "NEURALOPS_STORE",
        hide_env_values = true
    )]
    store: StoreText,
}

/// The text of a URL before anybody has looked at it. It is read after the command line, whose errors repeat what they
/// refuse, and a password may be in it.
#[derive(Clone)]
struct StoreText(String);

impl From<&str> for StoreText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Debug for StoreText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a store")
    }
}

impl StoreArgs {
    /// Opens the store to be read.
    pub async fn open(&self) -> Result<Opened, AuditError> {
        Opened::open(&self.url()?, Mode::Reader).await
    }

    /// Opens the store to be written; it need not be there.
    pub async fn create(&self) -> Result<Opened, AuditError> {
        Opened::open(&self.url()?, Mode::Operator).await
    }

    fn url(&self) -> Result<StoreUrl, AuditError> {
        let parsed = self.store.0.parse();
        parsed.map_err(|source| AuditError::StoreUrl {
            what: "--store",
            source,
        })
    }
}

/// A store with its name.
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What it is called; without a password.
    pub name: String,
}

impl Opened {
    /// Opens a store.
    pub async fn open(url: &StoreUrl, mode: Mode) -> Result<Self, AuditError> {
        let name = url.to_string();
        match store::open(url, mode).await {
            Ok(store) => Ok(Self { store, name }),
            Err(source) => Err(AuditError::Store {
                store: name,
                source,
            }),
        }
    }

    /// What the store answers.
    pub async fn ask<'s, T>(
        &'s self,
        question: impl FnOnce(&'s dyn Store) -> Answer<'s, T>,
    ) -> Result<T, AuditError> {
        let answer = question(self.store.as_ref()).await;
        answer.map_err(|source| AuditError::Store {
            store: self.name.clone(),
            source,
        })
    }

    /// The logs with something in them, oldest first, up to the one that grows.
    pub async fn logs(&self) -> Result<Vec<Log>, AuditError> {
        let logs = self.ask(|store| store.logs()).await?;
        let newest = logs
            .iter()
            .find(|log| log.current)
            .or_else(|| logs.iter().rev().find(|log| log.size > 0))
            .map(|log| log.number);
        let Some(newest) = newest else {
            return Err(AuditError::NotThere(format!(
                "the store {} holds no log yet: the operator begins one when it leads for the first time",
                self.name
            )));
        };
        let with_leaves = |log: &Log| log.number == newest || (log.number < newest && log.size > 0);
        Ok(logs.into_iter().filter(with_leaves).collect())
    }
}
