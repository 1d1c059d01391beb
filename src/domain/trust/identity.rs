//! Floor 0: identities that a certificate proves, held against the rules of a policy. An expression is about the whole
//! subject: one that is not anchored would trust whoever can choose a name that contains the right one.

use std::fmt;

use regex::{Regex, RegexBuilder};

use super::refusal::Attempt;
use crate::domain::reason::Reason;

/// How large a compiled expression may be; it is written by people and read on every verification.
const LARGEST_EXPRESSION: usize = 1 << 20;

/// What a verified certificate says about its holder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Who vouched for the subject.
    pub issuer: String,
    /// A mail address or the address of a workload.
    pub subject: String,
    /// The source repository of a CI job, under each name that the certificate gives it: address, owner and name.
    pub repositories: Vec<String>,
    /// Its ref.
    pub git_ref: Option<String>,
}

/// An expression over a whole subject.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    compiled: Regex,
}

/// The text is no expression.
#[derive(Debug, thiserror::Error)]
#[error("could not read the subjectRegex {text:?}")]
pub struct NoExpression {
    text: String,
    #[source]
    source: regex::Error,
}

impl Expression {
    /// Reads it, and anchors it on both ends.
    pub fn new(text: &str) -> Result<Self, NoExpression> {
        let build = |pattern: &str| {
            RegexBuilder::new(pattern)
                .size_limit(LARGEST_EXPRESSION)
                .build()
                .map_err(|source| NoExpression {
                    text: text.to_owned(),
                    source,
                })
        };
        // Alone first: `a)|(?:b` would otherwise close our group and leave its second half without an anchor.
        build(text)?;
        let compiled = build(&format!(r"\A(?:{text})\z"))?;
        Ok(Self {
            text: text.to_owned(),
            compiled,
        })
    }

    /// Whether the whole subject fits.
    pub fn fits(&self, subject: &str) -> bool {
        self.compiled.is_match(subject)
    }

    /// As its author wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Which subjects are meant.
#[derive(Clone, Debug)]
pub enum SubjectRule {
    /// This one.
    Exactly(String),
    /// Those that fit as a whole.
    Expression(Expression),
}

impl fmt::Display for SubjectRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(subject) => write!(f, "{subject:?}"),
            Self::Expression(expression) => {
                write!(f, "a subject that as a whole fits {:?}", expression.text())
            }
        }
    }
}

/// An identity that may sign.
#[derive(Clone, Debug)]
pub struct IdentityRule {
    /// Its name in the policy.
    pub name: String,
    /// The issuer, exactly.
    pub issuer: String,
    /// The subject.
    pub subject: SubjectRule,
    /// The source repository, if it must be a certain one.
    pub repository: Option<String>,
    /// The source ref, if it must be a certain one.
    pub git_ref: Option<String>,
}

impl IdentityRule {
    /// Whether the claims are this identity's; otherwise what differs.
    pub fn check(&self, claims: &Claims) -> Result<(), Attempt> {
        let differs = |reason, what: String| {
            Err(Attempt::new(
                reason,
                format!("identity {:?}: {what}", self.name),
            ))
        };
        if self.issuer != claims.issuer {
            return differs(
                Reason::IssuerMismatch,
                format!(
                    "expected the issuer {:?}, the certificate has {:?}",
                    self.issuer, claims.issuer
                ),
            );
        }
        let fits = match &self.subject {
            SubjectRule::Exactly(subject) => *subject == claims.subject,
            SubjectRule::Expression(expression) => expression.fits(&claims.subject),
        };
        if !fits {
            return differs(
                Reason::IdentityMismatch,
                format!(
                    "expected {}, the certificate has {:?}",
                    self.subject, claims.subject
                ),
            );
        }
        if let Some(repository) = &self.repository
            && !claims.repositories.contains(repository)
        {
            let actual = claims.repositories.join(", ");
            return differs(
                Reason::IdentityMismatch,
                format!("expected the repository {repository:?}, the certificate has {actual:?}"),
            );
        }
        if self.git_ref.is_some() && self.git_ref != claims.git_ref {
            return differs(
                Reason::IdentityMismatch,
                format!(
                    "expected the ref {:?}, the certificate has {:?}",
                    self.git_ref.as_deref().unwrap_or_default(),
                    claims.git_ref.as_deref().unwrap_or_default()
                ),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_expression_is_about_the_whole_subject() {
        for (text, subject, fits) in [
            ("a@b\\.example", "a@b.example", true),
            ("a@b\\.example", "xa@b.example", false),
            ("a@b\\.example", "a@b.example.evil", false),
            ("a@b\\.example", "a@b.example\n", false),
            ("a|b", "ax", false),
            ("a|b", "xb", false),
            ("(?m)^a$", "x\na\nx", false),
            (".*", "a\nb", false),
        ] {
            let expression = Expression::new(text).unwrap();
            assert_eq!(expression.fits(subject), fits, "{text} {subject:?}");
        }
    }

    #[test]
    fn an_expression_cannot_leave_its_anchors() {
        for text in ["a)|(?:.*", "a)|.*|(b", "(?x)a # b", "(", "a{1000}{1000}"] {
            assert!(Expression::new(text).is_err(), "{text}");
        }
    }

    proptest! {
        /// Whatever the author writes: what stands before or behind a fitting subject makes it another one.
        #[test]
        fn anchored_on_both_ends(name in "[a-z]{1,8}", around in "[0-9]{1,3}") {
            let expression = Expression::new(&format!("{name}|{name}{name}")).unwrap();
            prop_assert!(expression.fits(&name));
            let before = format!("{around}{name}");
            let behind = format!("{name}{around}");
            prop_assert!(!expression.fits(&before));
            prop_assert!(!expression.fits(&behind));
        }
    }

    #[test]
    fn every_claim_that_the_rule_names_must_be_equal() {
        let rule = IdentityRule {
            name: "release".into(),
            issuer: "https://issuer.example".into(),
            subject: SubjectRule::Exactly("a".into()),
            repository: Some("r".into()),
            git_ref: None,
        };
        let claims = Claims {
            issuer: "https://issuer.example".into(),
            subject: "a".into(),
            repositories: vec!["https://r".into(), "r".into()],
            git_ref: Some("main".into()),
        };
        assert!(rule.check(&claims).is_ok());
        let reason = |claims: Claims| rule.check(&claims).unwrap_err().reason;
        let other = |change: fn(&mut Claims)| {
            let mut claims = claims.clone();
            change(&mut claims);
            claims
        };
        assert_eq!(
            reason(other(|c| c.issuer.push('/'))),
            Reason::IssuerMismatch
        );
        assert_eq!(
            reason(other(|c| c.subject.push('x'))),
            Reason::IdentityMismatch
        );
        assert_eq!(
            reason(other(|c| c.repositories.clear())),
            Reason::IdentityMismatch
        );
        let on_main = IdentityRule {
            git_ref: Some("main".into()),
            ..rule.clone()
        };
        assert!(on_main.check(&claims).is_ok());
        assert!(on_main.check(&other(|c| c.git_ref = None)).is_err());
    }
}
