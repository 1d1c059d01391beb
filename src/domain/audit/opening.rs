//! Floor 0: whether a log may be written at all, decided once before the first record of a leadership: the store must
//! hold the log that the anchor names, at least as long as the anchor says, with the anchor's root. Pure and total.

use super::hash::Hash;
use crate::domain::reason::Reason;

/// Where a log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which log.
    pub origin: String,
    /// Its leaves.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// The signing key that this installation has for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// None.
    Missing,
    /// One that the anchor does not name.
    Unknown,
    /// The one that the anchor names.
    Known,
}

/// What is known before the first record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The anchor, if there is one.
    pub anchor: Option<Standing>,
    /// The origins that the anchor says were followed.
    pub followed: Vec<String>,
    /// Whether the anchor's checkpoint says what the anchor says, signed by our key.
    pub sealed: bool,
    /// The log in the store that the anchor names; if it holds no such log, the one that grows, or one with leaves.
    pub log: Option<Standing>,
    /// Whether that log grows. One that was begun does not before the anchor names it, nor one that was put back.
    pub grows: bool,
    /// The largest checkpoint of that log that the store knows to be published.
    pub published: Option<u64>,
    /// What the store has acknowledged to this process: the size that the log cannot be below.
    pub acknowledged: u64,
    /// The root that the store's hashes give at the anchor's size, if the log is that long.
    pub root_at_anchor: Option<Hash>,
    /// What contradicts itself in the store.
    pub damage: Vec<String>,
    /// Somebody asked for a new origin.
    pub asked: bool,
    /// The signing key for the anchored log.
    pub key: Key,
}

/// What is to be done before the first record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Begin the first log of this installation.
    Begin,
    /// Go on with the log that grows.
    Continue,
    /// Let the log grow that the anchor names: it was begun, or put back from a backup.
    Promote,
    /// Begin a log that follows the one before.
    Follow {
        /// Where the anchor stands.
        anchor: Option<Standing>,
        /// Where the store stands.
        store: Option<Standing>,
    },
    /// Write nothing and sign nothing.
    Refuse {
        /// In a word.
        reason: Reason,
        /// What is wrong, and the way out.
        message: String,
    },
}

const WAY_OUT: &str = "find out why; then restore a newer backup, or ask for a new origin (neuralops audit new-origin), which the runbook audit-refused describes";

/// What is to be done before the first record.
pub fn decide(facts: &Facts) -> Opening {
    let problem = problem(facts);
    let empty = facts.log.as_ref().is_some_and(|log| log.size == 0);
    match (facts.asked, problem, &facts.anchor, &facts.log) {
        (_, _, None, None) => Opening::Begin,
        // Whoever asked for a new origin is about to have it: a crash came between the anchor and the store.
        (_, None, _, _) if empty && !facts.grows => Opening::Promote,
        // Its first leaf says what it follows: nothing follows it before that is written.
        (_, None, _, _) if empty => Opening::Continue,
        (true, _, anchor, log) => Opening::Follow {
            anchor: anchor.clone(),
            store: log.clone(),
        },
        (false, Some((reason, what)), _, _) => Opening::Refuse {
            reason,
            message: format!("{what}; {WAY_OUT}"),
        },
        (false, None, _, _) if facts.grows => Opening::Continue,
        (false, None, _, _) => Opening::Promote,
    }
}

fn problem(facts: &Facts) -> Option<(Reason, String)> {
    let Some(anchor) = &facts.anchor else {
        let message =
            "the store holds a log, and the AuditLog main that anchors it is gone".to_owned();
        return Some((Reason::AnchorMissing, message));
    };
    let Some(log) = &facts.log else {
        let message = format!("the store is empty; {}", said(anchor));
        return Some((Reason::RolledBack, message));
    };
    if anchor.origin != log.origin {
        return Some(other_origin(facts, anchor, log));
    }
    if log.size < anchor.size {
        let message = format!("the store has {} leaves; {}", log.size, said(anchor));
        return Some((Reason::RolledBack, message));
    }
    if log.size < facts.acknowledged {
        let message = format!(
            "the store has {} leaves and had acknowledged {}",
            log.size, facts.acknowledged
        );
        return Some((Reason::RolledBack, message));
    }
    if let Some(damage) = facts.damage.first() {
        let message = format!("the store contradicts itself: {damage}");
        return Some((Reason::StoreAltered, message));
    }
    if facts.root_at_anchor != Some(anchor.root) {
        let message = format!("the store has another root at that size; {}", said(anchor));
        return Some((Reason::StoreAltered, message));
    }
    if let Some(published) = facts.published.filter(|size| *size > anchor.size) {
        let message = format!(
            "a checkpoint of {published} leaves was published; {}",
            said(anchor)
        );
        return Some((Reason::AnchorAltered, message));
    }
    match facts.key {
        Key::Known if !facts.sealed => Some((
            Reason::AnchorAltered,
            "the anchor's checkpoint is not the operator's own signature over what it says"
                .to_owned(),
        )),
        Key::Known => None,
        Key::Missing => Some((
            Reason::SigningKeyMissing,
            "the signing key of this log is gone".to_owned(),
        )),
        Key::Unknown => Some((
            Reason::SigningKeyMissing,
            "the signing key is another one than the anchor names".to_owned(),
        )),
    }
}

fn said(anchor: &Standing) -> String {
    format!("the anchor says {} with root {}", anchor.size, anchor.root)
}

fn other_origin(facts: &Facts, anchor: &Standing, log: &Standing) -> (Reason, String) {
    if facts.followed.contains(&log.origin) {
        let message = format!(
            "the store holds the log {}, which was followed by {}",
            log.origin, anchor.origin
        );
        return (Reason::RolledBack, message);
    }
    let message = format!(
        "the store holds the log {}; the anchor names {}",
        log.origin, anchor.origin
    );
    (Reason::StoreAltered, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(origin: &str, size: u64) -> Standing {
        Standing {
            origin: origin.into(),
            size,
            root: Hash::of_leaf(&size.to_be_bytes()),
        }
    }

    /// A store of 9 leaves behind an anchor of 7.
    fn sound() -> Facts {
        Facts {
            anchor: Some(standing("a", 7)),
            followed: vec!["z".into()],
            sealed: true,
            log: Some(standing("a", 9)),
            grows: true,
            published: Some(7),
            acknowledged: 9,
            root_at_anchor: Some(standing("a", 7).root),
            damage: Vec::new(),
            asked: false,
            key: Key::Known,
        }
    }

    fn refused(change: impl FnOnce(&mut Facts)) -> (Reason, String) {
        let mut facts = sound();
        change(&mut facts);
        match decide(&facts) {
            Opening::Refuse { reason, message } => (reason, message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_store_that_extends_its_anchor_goes_on() {
        assert_eq!(decide(&sound()), Opening::Continue);
    }

    #[test]
    fn nothing_anywhere_is_a_beginning_whoever_asks_for_what() {
        for asked in [false, true] {
            let facts = Facts {
                anchor: None,
                log: None,
                asked,
                ..sound()
            };
            assert_eq!(decide(&facts), Opening::Begin);
        }
    }

    #[test]
    fn each_contradiction_is_refused_by_its_own_name() {
        type Change = fn(&mut Facts);
        let cases: [(Reason, &str, Change); 12] = [
            (Reason::AnchorMissing, "is gone", |f| f.anchor = None),
            (Reason::RolledBack, "the store is empty", |f| f.log = None),
            (
                Reason::RolledBack,
                "the store has 6 leaves; the anchor says 7",
                |f| {
                    f.log = Some(standing("a", 6));
                },
            ),
            (Reason::RolledBack, "had acknowledged 10", |f| {
                f.acknowledged = 10
            }),
            (Reason::RolledBack, "was followed by a", |f| {
                f.log = Some(standing("z", 9));
            }),
            (Reason::StoreAltered, "the store holds the log b", |f| {
                f.log = Some(standing("b", 9));
            }),
            (Reason::StoreAltered, "leaf 3 does not hash", |f| {
                f.damage = vec!["leaf 3 does not hash to its node".into()];
            }),
            (Reason::StoreAltered, "another root", |f| {
                f.root_at_anchor = Some(Hash::of_nothing());
            }),
            (
                Reason::AnchorAltered,
                "a checkpoint of 8 leaves was published",
                |f| {
                    f.published = Some(8);
                },
            ),
            (Reason::AnchorAltered, "own signature", |f| f.sealed = false),
            (Reason::SigningKeyMissing, "is gone", |f| {
                f.key = Key::Missing
            }),
            (Reason::SigningKeyMissing, "another one", |f| {
                f.key = Key::Unknown
            }),
        ];
        for (reason, said, change) in cases {
            let (found, message) = refused(change);
            assert_eq!(found, reason, "{message}");
            assert!(message.contains(said), "{message}");
            assert!(message.contains("new-origin"), "{message}");
        }
    }

    #[test]
    fn whoever_asks_gets_a_new_origin_that_names_both() {
        let facts = Facts {
            asked: true,
            log: Some(standing("a", 6)),
            ..sound()
        };
        let Opening::Follow { anchor, store } = decide(&facts) else {
            panic!("refused")
        };
        assert_eq!((anchor, store), (facts.anchor, facts.log));
    }

    fn begun() -> Facts {
        Facts {
            anchor: Some(standing("new", 0)),
            log: Some(standing("new", 0)),
            grows: false,
            published: None,
            acknowledged: 0,
            root_at_anchor: Some(standing("new", 0).root),
            ..sound()
        }
    }

    #[test]
    fn a_log_that_was_begun_and_anchored_is_promoted_whoever_asks() {
        for asked in [false, true] {
            assert_eq!(decide(&Facts { asked, ..begun() }), Opening::Promote);
        }
    }

    #[test]
    fn a_log_without_its_first_leaf_is_not_followed_before_that_is_written() {
        let facts = Facts {
            asked: true,
            grows: true,
            ..begun()
        };
        assert_eq!(decide(&facts), Opening::Continue);
        // What cannot go on has nothing to wait for.
        let stuck = Facts {
            key: Key::Missing,
            ..facts
        };
        assert!(matches!(decide(&stuck), Opening::Follow { .. }));
    }

    #[test]
    fn a_log_that_was_put_back_is_proved_before_it_grows() {
        let whole = Facts {
            grows: false,
            ..sound()
        };
        assert_eq!(decide(&whole), Opening::Promote);
        let short = Facts {
            log: Some(standing("a", 6)),
            root_at_anchor: None,
            ..whole.clone()
        };
        assert!(matches!(
            decide(&short),
            Opening::Refuse {
                reason: Reason::RolledBack,
                ..
            }
        ));
        let asked = Facts {
            asked: true,
            ..short
        };
        assert!(matches!(decide(&asked), Opening::Follow { .. }));
    }

    #[test]
    fn no_log_grows_under_an_anchor_that_is_ahead_of_it_or_a_key_that_is_not_ours() {
        let ahead = Facts {
            anchor: Some(standing("new", 7)),
            ..begun()
        };
        assert!(matches!(
            decide(&ahead),
            Opening::Refuse {
                reason: Reason::RolledBack,
                ..
            }
        ));
        let keyless = Facts {
            key: Key::Unknown,
            ..begun()
        };
        assert!(matches!(
            decide(&keyless),
            Opening::Refuse {
                reason: Reason::SigningKeyMissing,
                ..
            }
        ));
    }

    #[test]
    fn leaves_without_an_anchor_are_no_beginning() {
        let facts = Facts {
            anchor: None,
            grows: false,
            ..sound()
        };
        assert!(matches!(
            decide(&facts),
            Opening::Refuse {
                reason: Reason::AnchorMissing,
                ..
            }
        ));
    }
}
