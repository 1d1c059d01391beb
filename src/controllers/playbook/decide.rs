//! Floor 3: whether a Playbook can be used. Pure and total.

use super::Facts;
use crate::{
    api::v1alpha1::PlaybookSpec,
    domain::{
        digest::Digest,
        document::DEEPEST,
        lint::{Finding, Severity, lint},
        reason::Reason,
    },
};

/// What a message shows of many findings; the command `playbook lint` shows all.
const FINDINGS_SHOWN: usize = 12;

/// Whether a Playbook can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It breaks a rule.
    Refuse {
        /// In a word.
        reason: Reason,
        /// Where, why, and what to do.
        message: String,
        /// Its digest, if it has canonical bytes.
        digest: Option<Digest>,
    },
    /// It keeps all rules that can be checked without a cluster.
    Accept {
        /// What a signature is about.
        digest: Digest,
        /// What the author should look at.
        warnings: Vec<String>,
        /// Its annotation forbids new runs.
        suspended: bool,
    },
}

pub(super) fn decide(facts: &Facts) -> Decision {
    let document = match &facts.document {
        Ok(document) => document,
        Err(error) => {
            return Decision::Refuse {
                reason: Reason::Invalid,
                message: format!(
                    "spec: {error}: nested deeper than {DEEPEST} levels? make it flatter"
                ),
                digest: None,
            };
        }
    };
    let findings = lint(document);
    let errors: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    let digest = document.digest().ok();
    if let Some(first) = errors.first() {
        return Decision::Refuse {
            reason: first.reason,
            message: summary(&errors),
            digest,
        };
    }
    // The API server has checked the schema; what does not fit now was let in by an altered CRD.
    if let Err(error) = serde_json::from_value::<PlaybookSpec>(document.spec.clone()) {
        let message = format!("spec does not fit the kind Playbook: {error}; was the CRD altered?");
        return Decision::Refuse {
            reason: Reason::Undecodable,
            message,
            digest,
        };
    }
    match digest {
        Some(digest) => {
            let warnings = findings.iter().map(ToString::to_string).collect();
            Decision::Accept {
                digest,
                warnings,
                suspended: facts.suspended,
            }
        }
        None => Decision::Refuse {
            reason: Reason::Invalid,
            message: "spec: has no canonical form".to_owned(),
            digest: None,
        },
    }
}

fn summary(errors: &[&Finding]) -> String {
    let mut parts: Vec<String> = errors
        .iter()
        .take(FINDINGS_SHOWN)
        .map(ToString::to_string)
        .collect();
    if let Some(more) = errors
        .len()
        .checked_sub(FINDINGS_SHOWN)
        .filter(|more| *more > 0)
    {
        parts.push(format!(
            "and {more} more: neuralops playbook lint shows all"
        ));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::document::Document;

    fn facts(spec: Value) -> Facts {
        let document = Document {
            api_version: "neuralops.io/v1alpha1".into(),
            name: "p".into(),
            namespace: "n".into(),
            spec,
        };
        Facts {
            document: Ok(document),
            suspended: false,
        }
    }

    fn good() -> Value {
        json!({
            "revision": 1, "serviceAccountName": "s",
            "approval": [{"rules": [{"role": "oncall", "min": 1}]}],
            "steps": [{"name": "w", "wait": {"duration": "1s"}}],
        })
    }

    #[test]
    fn a_good_one_is_accepted_with_its_digest() {
        let facts = facts(good());
        let Decision::Accept {
            digest, warnings, ..
        } = decide(&facts)
        else {
            panic!("refused")
        };
        assert_eq!(digest, facts.document.as_ref().unwrap().digest().unwrap());
        assert_eq!(warnings, Vec::<String>::new());
    }

    #[test]
    fn a_bad_one_is_refused_and_still_has_its_digest() {
        let mut spec = good();
        spec["description"] = json!("$(params.x)");
        let Decision::Refuse {
            reason,
            message,
            digest,
        } = decide(&facts(spec))
        else {
            panic!("accepted")
        };
        assert_eq!(reason, Reason::Invalid);
        assert!(message.starts_with("spec.description: "), "{message}");
        assert!(digest.is_some());
    }

    #[test]
    fn many_findings_are_cut_with_their_number() {
        let mut spec = good();
        let bad = json!({"name": "w", "wait": {"duration": "$(x"}});
        spec["steps"] = json!(vec![bad; 20]);
        for (n, step) in spec["steps"].as_array_mut().unwrap().iter_mut().enumerate() {
            step["name"] = json!(format!("w{n}"));
        }
        let Decision::Refuse { message, .. } = decide(&facts(spec)) else {
            panic!("accepted")
        };
        assert!(message.contains("and 8 more"), "{message}");
    }

    #[test]
    fn what_fits_no_kind_is_named() {
        let mut spec = good();
        spec["steps"][0] = json!({"name": 7, "wait": {"duration": "1s"}});
        let Decision::Refuse { reason, .. } = decide(&facts(spec)) else {
            panic!("accepted")
        };
        assert_eq!(reason, Reason::Undecodable);
    }
}
