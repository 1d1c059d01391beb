//! Floor 0: signers and how many distinct ones there are. Two signatures by one key are one signer, whatever names a
//! policy gives that key.

use std::{collections::BTreeSet, fmt};

use crate::domain::digest::Digest;

/// Somebody whose signature is good under a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signer {
    /// The holder of a key.
    Key {
        /// SHA-256 of its SubjectPublicKeyInfo.
        fingerprint: Digest,
        /// Its name in the policy.
        name: String,
    },
    /// An identity that a certificate proves.
    Identity {
        /// Who vouched for it.
        issuer: String,
        /// Who it is.
        subject: String,
        /// Its name in the policy.
        name: String,
    },
}

impl Signer {
    /// Its name in the policy.
    pub fn name(&self) -> &str {
        match self {
            Self::Key { name, .. } | Self::Identity { name, .. } => name,
        }
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { fingerprint, name } => write!(f, "key {name:?} ({fingerprint})"),
            Self::Identity {
                issuer,
                subject,
                name,
            } => write!(f, "identity {name:?} ({subject:?} of {issuer:?})"),
        }
    }
}

/// One of each: what a policy calls a key or an identity does not make it a second one.
pub fn distinct(signers: Vec<Signer>) -> Vec<Signer> {
    let mut seen = BTreeSet::new();
    signers
        .into_iter()
        .filter(|signer| {
            seen.insert(match signer {
                Signer::Key { fingerprint, .. } => (fingerprint.to_string(), String::new()),
                Signer::Identity {
                    issuer, subject, ..
                } => (issuer.clone(), subject.clone()),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_make_a_second_signer() {
        let key = |name: &str, of: &[u8]| Signer::Key {
            fingerprint: Digest::of(of),
            name: name.into(),
        };
        let identity = |name: &str, subject: &str| Signer::Identity {
            issuer: "https://issuer.example".into(),
            subject: subject.into(),
            name: name.into(),
        };
        assert_eq!(
            distinct(vec![key("a", b"1"), key("b", b"1"), key("a", b"1")]).len(),
            1
        );
        assert_eq!(distinct(vec![key("a", b"1"), key("a", b"2")]).len(), 2);
        assert_eq!(
            distinct(vec![
                identity("a", "x"),
                identity("b", "x"),
                identity("a", "y"),
                key("a", b"1")
            ])
            .len(),
            3
        );
    }
}
