//! Floor 3: how many finished runs of each Playbook are kept, as the document says that was verified last. It is told by who
//! judges Playbooks and asked by who deletes runs; it deletes nothing, and a document that nobody trusts limits nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc;

/// Namespace and name of a Playbook.
pub type PlaybookName = (String, String);

/// The limits that are known.
pub struct Retention {
    limits: Mutex<HashMap<PlaybookName, usize>>,
    /// The Playbooks whose runs are to be counted again.
    due: mpsc::UnboundedSender<PlaybookName>,
}

impl Retention {
    /// One that knows none, and where is heard whose runs are to be counted again.
    pub fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<PlaybookName>) {
        let (due, heard) = mpsc::unbounded_channel();
        let limits = Mutex::default();
        (Arc::new(Self { limits, due }), heard)
    }

    /// The verified document of this Playbook keeps so many; none: all of them, or it is not verified.
    pub fn keeps(&self, playbook: PlaybookName, limit: Option<usize>) {
        let Some(limit) = limit else {
            // What was too many is so no more.
            if self.lock().remove(&playbook).is_some() {
                self.count_again(playbook);
            }
            return;
        };
        if self.lock().insert(playbook.clone(), limit) != Some(limit) {
            self.count_again(playbook);
        }
    }

    /// A run of this Playbook has come to its end.
    pub fn ended(&self, playbook: PlaybookName) {
        if self.limit(&playbook).is_some() {
            self.count_again(playbook);
        }
    }

    /// How many are kept; none: all of them.
    pub fn limit(&self, playbook: &PlaybookName) -> Option<usize> {
        self.lock().get(playbook).copied()
    }

    fn count_again(&self, playbook: PlaybookName) {
        // Nobody listens any more: the process ends.
        let _ = self.due.send(playbook);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PlaybookName, usize>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_playbook_with_a_limit_is_counted_and_only_for_news() {
        let (retention, mut heard) = Retention::new();
        let playbook = ("shop".to_owned(), "p".to_owned());
        retention.ended(playbook.clone());
        assert!(heard.try_recv().is_err());
        retention.keeps(playbook.clone(), Some(3));
        retention.keeps(playbook.clone(), Some(3));
        assert_eq!(heard.try_recv(), Ok(playbook.clone()));
        assert!(heard.try_recv().is_err());
        retention.ended(playbook.clone());
        assert_eq!(heard.try_recv(), Ok(playbook.clone()));
        retention.keeps(playbook.clone(), None);
        assert_eq!(heard.try_recv(), Ok(playbook.clone()));
        retention.keeps(playbook.clone(), None);
        retention.ended(playbook.clone());
        assert!(heard.try_recv().is_err());
        assert_eq!(retention.limit(&playbook), None);
    }
}
