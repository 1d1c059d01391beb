//! Floor 0: what is asked of whoever holds the cryptography: what one signature proves under one policy. It is answered by
//! an adapter; whether it is enough is not its business.

use jiff::Timestamp;

use super::{Attempt, LegacySignature, Policy, Signer};
use crate::domain::{digest::Digest, reason::Reason};

/// Why a policy cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `PolicyNotReady` or `TrustRootInvalid`.
    pub reason: Reason,
    /// What it lacks.
    pub message: String,
}

/// What one bundle proves under one policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examination {
    /// Who signed these very bytes.
    pub signers: Vec<Signer>,
    /// What was tried in vain.
    pub attempts: Vec<Attempt>,
    /// What was accepted without being checked, because the policy says so.
    pub notes: Vec<String>,
}

/// A policy with its keys and root at hand. The adapter that holds the cryptography implements it, and nothing else may.
pub trait Examiner {
    /// The policy.
    fn policy(&self) -> &Policy;
    /// Why it cannot be used; empty if it can.
    fn problems(&self) -> &[Problem];
    /// Why it cannot be used any more: what it trusts has ended by then.
    fn ended(&self, now: Timestamp) -> Option<Problem>;
    /// Who of the policy's signers signed these bytes in this bundle.
    fn examine(&self, bundle: &str, message: &[u8], now: Timestamp) -> Examination;
    /// Who of them signed the image with this digest, by the statement in this bundle.
    fn examine_statement(&self, bundle: &str, digest: &Digest, now: Timestamp) -> Examination;
    /// The same by a signature of the old form.
    fn examine_legacy(
        &self,
        signature: &LegacySignature,
        digest: &Digest,
        now: Timestamp,
    ) -> Examination;
}

impl<E: Examiner + ?Sized> Examiner for &E {
    fn policy(&self) -> &Policy {
        (**self).policy()
    }

    fn problems(&self) -> &[Problem] {
        (**self).problems()
    }

    fn ended(&self, now: Timestamp) -> Option<Problem> {
        (**self).ended(now)
    }

    fn examine(&self, bundle: &str, message: &[u8], now: Timestamp) -> Examination {
        (**self).examine(bundle, message, now)
    }

    fn examine_statement(&self, bundle: &str, digest: &Digest, now: Timestamp) -> Examination {
        (**self).examine_statement(bundle, digest, now)
    }

    fn examine_legacy(
        &self,
        signature: &LegacySignature,
        digest: &Digest,
        now: Timestamp,
    ) -> Examination {
        (**self).examine_legacy(signature, digest, now)
    }
}
