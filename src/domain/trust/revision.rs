//! Floor 0: revisions never go back. A signature alone does not keep last year's Playbook from being applied again: the
//! highest revision that was accepted under a name is remembered, and what is older, or another document under the same
//! number, is refused. Where it is remembered is not decided here.

use serde_json::Value;

use super::Refusal;
use crate::domain::{
    digest::Digest,
    document::{Document, LARGEST_INTEGER, Scope},
    reason::Reason,
};

/// The highest revision that was accepted under a Playbook's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HighestRevision {
    /// Its number.
    pub revision: u64,
    /// The document that had it; none if only the number is known, because it was set back.
    pub digest: Option<Digest>,
    /// If it was set back: the document that stood there then. Accepted again, it does not raise what was set back.
    pub instead_of: Option<Digest>,
}

impl HighestRevision {
    /// What counts: the log's word, unless it has never known what the Playbook's own status tells. Then its store was put
    /// back to an earlier state, or lost. `known` is whether the log has known that number, or a higher one.
    pub fn counts(on_record: Option<Self>, told: Option<u64>, known: bool) -> Option<Self> {
        match told {
            Some(told) if !known => Some(Self::number(told)),
            _ => on_record,
        }
    }

    /// Known by its number alone.
    pub fn number(revision: u64) -> Self {
        Self {
            revision,
            digest: None,
            instead_of: None,
        }
    }
}

/// The revision of this document, if it may follow the highest one.
pub(super) fn follows(
    document: &Document,
    highest: Option<&HighestRevision>,
) -> Result<u64, Refusal> {
    let revision = document.spec.get("revision").and_then(Value::as_u64);
    let Some(revision) = revision.filter(|number| (1..=LARGEST_INTEGER).contains(number)) else {
        let message = format!("spec.revision: must be an integer from 1 to {LARGEST_INTEGER}");
        return Err(Refusal::new(Reason::Invalid, message));
    };
    let Some(highest) = highest else {
        return Ok(revision);
    };
    let name = format!("{}/{}", document.namespace, document.name);
    if revision < highest.revision {
        let message = format!(
            "spec.revision: {revision} is older than {}, which was accepted under the name {name}: raise it and sign again, or let a TrustPolicy set it back with resetRevisions",
            highest.revision
        );
        return Err(Refusal::new(Reason::RevisionTooOld, message));
    }
    if revision == highest.revision
        && let Some(digest) = &highest.digest
        && !is(document, digest)
    {
        let message = format!(
            "spec.revision: {revision} was accepted under the name {name} with another document ({digest}): raise it with every change and sign again"
        );
        return Err(Refusal::new(Reason::RevisionReused, message));
    }
    Ok(revision)
}

/// Whether this is the digest of the document, signed for its namespace or for any.
fn is(document: &Document, digest: &Digest) -> bool {
    [Scope::Namespaced, Scope::Anywhere].iter().any(|scope| {
        let bytes = document.canonical_in(*scope);
        bytes.is_ok_and(|bytes| Digest::of(&bytes) == *digest)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(revision: Value) -> Document {
        Document {
            api_version: "neuralops.io/v1alpha1".into(),
            name: "restart".into(),
            namespace: "shop".into(),
            spec: json!({"revision": revision, "timeout": "1m"}),
        }
    }

    fn highest(revision: u64, of: Option<&Document>) -> HighestRevision {
        HighestRevision {
            digest: of.map(|document| document.digest().unwrap()),
            ..HighestRevision::number(revision)
        }
    }

    fn refused(document: &Document, highest: &HighestRevision) -> Reason {
        follows(document, Some(highest)).unwrap_err().reason
    }

    #[test]
    fn the_status_counts_only_where_the_log_never_knew_as_much() {
        let on_record = || Some(HighestRevision::number(3));
        let counts = |told, known| HighestRevision::counts(on_record(), told, known);
        assert_eq!(counts(None, false), on_record());
        assert_eq!(counts(Some(7), true), on_record(), "it was set back");
        assert_eq!(counts(Some(7), false), Some(HighestRevision::number(7)));
        let lost = HighestRevision::counts(None, Some(7), false);
        assert_eq!(lost, Some(HighestRevision::number(7)));
    }

    #[test]
    fn the_first_one_and_higher_ones_follow() {
        assert_eq!(follows(&document(json!(7)), None).unwrap(), 7);
        let before = document(json!(6));
        let highest = highest(6, Some(&before));
        assert_eq!(follows(&document(json!(7)), Some(&highest)).unwrap(), 7);
    }

    #[test]
    fn the_same_document_follows_itself_in_either_form() {
        let document = document(json!(7));
        for scope in [Scope::Namespaced, Scope::Anywhere] {
            let digest = Digest::of(&document.canonical_in(scope).unwrap());
            let highest = HighestRevision {
                digest: Some(digest),
                ..HighestRevision::number(7)
            };
            assert_eq!(follows(&document, Some(&highest)).unwrap(), 7);
        }
    }

    #[test]
    fn older_ones_and_other_documents_of_the_same_number_do_not() {
        let standing = document(json!(7));
        let older = document(json!(6));
        assert_eq!(
            refused(&older, &highest(7, Some(&standing))),
            Reason::RevisionTooOld
        );
        let mut other = document(json!(7));
        other.spec["timeout"] = json!("2m");
        assert_eq!(
            refused(&other, &highest(7, Some(&standing))),
            Reason::RevisionReused
        );
        // Set back: whichever comes first under that number.
        assert_eq!(follows(&other, Some(&highest(7, None))).unwrap(), 7);
    }

    #[test]
    fn what_is_no_revision_follows_nothing() {
        for revision in [
            json!(0),
            json!(-1),
            json!("7"),
            json!(null),
            json!(1u64 << 53),
        ] {
            let refusal = follows(&document(revision.clone()), None).unwrap_err();
            assert_eq!(refusal.reason, Reason::Invalid, "{revision}");
        }
    }
}
