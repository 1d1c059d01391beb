//! Floor 2: what everybody may know about the log: whether it takes records, and if not, why not. The store and the
//! anchor fail and mend independently of each other, and each has its own place here.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::{adapters::metrics::Metrics, domain::reason::Reason};

/// Why a record is not taken; the word and the sentence for conditions, probes and logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// In a word.
    pub reason: Reason,
    /// In a sentence.
    pub message: String,
}

impl Refusal {
    /// It passes by itself, or when somebody mends the store or the API server.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self {
            reason: Reason::AuditUnavailable,
            message: message.into(),
        }
    }
}

/// Whether the log takes records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Another replica leads and writes.
    Following,
    /// It is being opened.
    Opening,
    /// It takes records.
    Open,
    /// Not now; it is tried again.
    Unavailable(String),
    /// Not before a person has looked into it.
    Refused(Refusal),
}

impl State {
    /// Why it takes none, if it takes none.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Open => None,
            Self::Following => Some(Refusal::unavailable("this replica does not lead")),
            Self::Opening => Some(Refusal::unavailable("the log is being opened")),
            Self::Unavailable(message) => Some(Refusal::unavailable(message.clone())),
            Self::Refused(refusal) => Some(refusal.clone()),
        }
    }
}

/// Where the writing tasks post what they know.
pub(super) struct Board {
    state: watch::Sender<State>,
    open: watch::Sender<bool>,
    metrics: Arc<Metrics>,
    troubles: Mutex<Troubles>,
}

#[derive(Default)]
struct Troubles {
    store: Option<String>,
    anchor: Option<String>,
}

impl Board {
    pub(super) fn new(
        state: watch::Sender<State>,
        open: watch::Sender<bool>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            state,
            open,
            metrics,
            troubles: Mutex::default(),
        }
    }

    /// What is posted now.
    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Posts a state, and forgets the troubles of the one before; whether it is another one.
    pub(super) fn post(&self, state: State) -> bool {
        self.with(|troubles| *troubles = Troubles::default());
        self.show(state)
    }

    /// The store has this trouble, or none any more.
    pub(super) fn store(&self, trouble: Option<String>) {
        self.with(|troubles| troubles.store = trouble);
        self.show(self.combined());
    }

    /// The anchor has this trouble, or none any more.
    pub(super) fn anchor(&self, trouble: Option<String>) {
        self.with(|troubles| troubles.anchor = trouble);
        self.show(self.combined());
    }

    fn with(&self, change: impl FnOnce(&mut Troubles)) {
        change(&mut self.troubles.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn combined(&self) -> State {
        let mut said = Vec::new();
        self.with(|troubles| {
            said.extend(troubles.store.clone());
            said.extend(troubles.anchor.clone());
        });
        if said.is_empty() {
            State::Open
        } else {
            State::Unavailable(said.join("; "))
        }
    }

    fn show(&self, state: State) -> bool {
        self.metrics
            .audit_refusal(state.refusal().map(|refusal| refusal.reason));
        let open = state == State::Open;
        let changed = self.state.send_if_modified(|shown| {
            if *shown == state {
                return false;
            }
            match &state {
                State::Open => tracing::info!("the transparency log is open"),
                State::Unavailable(message) => tracing::warn!(
                    reason = Reason::AuditUnavailable.as_str(),
                    "the transparency log is not available: {message}"
                ),
                State::Refused(refusal) => tracing::error!(
                    reason = refusal.reason.as_str(),
                    "the transparency log is not written: {refusal}"
                ),
                State::Following | State::Opening => {}
            }
            *shown = state;
            true
        });
        // After the state: whoever is woken by this is not refused.
        self.open
            .send_if_modified(|shown| std::mem::replace(shown, open) != open);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_open_only_while_neither_store_nor_anchor_has_trouble() {
        let (sender, state) = watch::channel(State::Opening);
        let (open, opened) = watch::channel(false);
        let board = Board::new(sender, open, Arc::new(Metrics::new().unwrap()));
        board.post(State::Open);
        assert!(*opened.borrow());
        board.store(Some("disk full".into()));
        board.anchor(Some("no answer".into()));
        assert_eq!(
            *state.borrow(),
            State::Unavailable("disk full; no answer".into())
        );
        assert!(!*opened.borrow());
        board.store(None);
        assert_eq!(*state.borrow(), State::Unavailable("no answer".into()));
        board.anchor(None);
        assert_eq!(*state.borrow(), State::Open);
    }
}
