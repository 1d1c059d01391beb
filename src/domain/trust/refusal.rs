//! Floor 0: why an object is not trusted, per thing that was tried. "No matching signature" helps nobody; a person must
//! see which bundle met which key, and what to do.

use std::fmt;

use crate::domain::reason::Reason;

/// How much of a message is kept: statuses and events have limits.
const LONGEST_MESSAGE: usize = 4096;
const MOST_ATTEMPTS: usize = 64;

/// One thing that was tried and did not lead to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The word.
    pub reason: Reason,
    /// What was tried, what was expected and what was found.
    pub message: String,
}

impl Attempt {
    /// A new one.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    /// The same, said about something.
    #[must_use]
    pub fn about(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

/// An object is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The word for conditions, metrics and records.
    pub reason: Reason,
    /// What is wrong and what to do.
    pub message: String,
    /// Everything that was tried.
    pub attempts: Vec<Attempt>,
}

impl Refusal {
    /// Without a list of attempts.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            attempts: Vec::new(),
        }
    }

    /// The reason of the attempt that came closest to trust, because that is the one to repair.
    pub fn closest(attempts: Vec<Attempt>, about: &str) -> Self {
        Self::with_advice(attempts, about, advice)
    }

    /// The same about an image, which is signed in another way.
    pub fn closest_of_image(attempts: Vec<Attempt>, about: &str) -> Self {
        Self::with_advice(attempts, about, advice_on_images)
    }

    fn with_advice(
        attempts: Vec<Attempt>,
        about: &str,
        advice: fn(Reason) -> &'static str,
    ) -> Self {
        let reason = attempts
            .iter()
            .map(|attempt| attempt.reason)
            .max_by_key(|reason| closeness(*reason))
            .unwrap_or(Reason::VerifierError);
        Self {
            reason,
            message: format!("{about}; {}", advice(reason)),
            attempts: attempts.into_iter().take(MOST_ATTEMPTS).collect(),
        }
    }

    /// Whether this refusal, about one form of the signed bytes, came at least as close to trust as that about the other
    /// form. A digest that does not match says only that this form was not signed, whatever went wrong with the other.
    pub fn as_close_as(&self, other: &Self) -> bool {
        let place = |refusal: &Self| match refusal.reason {
            Reason::DigestMismatch => 0,
            reason => closeness(reason),
        };
        place(self) >= place(other)
    }
}

impl Refusal {
    /// What is wrong, what to do, and everything that was tried; of a length that a condition takes.
    pub fn told(&self) -> String {
        let mut text = self.message.clone();
        for attempt in &self.attempts {
            text.push_str(&format!("\n  {}: {}", attempt.reason, attempt.message));
        }
        if text.len() > LONGEST_MESSAGE {
            let end = text.floor_char_boundary(LONGEST_MESSAGE);
            text.truncate(end);
            text.push('…');
        }
        text
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.told())
    }
}

/// How far a bundle got before it failed.
fn closeness(reason: Reason) -> u8 {
    match reason {
        // Everything about the signatures was good.
        Reason::RevisionTooOld | Reason::RevisionReused => 15,
        // A failure of ours hides everything else.
        Reason::VerifierError => 14,
        Reason::TooFewSigners => 13,
        Reason::IdentityMismatch => 12,
        Reason::IssuerMismatch => 11,
        Reason::CertificateInvalid => 10,
        Reason::TimestampInvalid => 9,
        Reason::LogInvalid => 8,
        Reason::LogUnknown => 7,
        Reason::LogMissing => 6,
        Reason::UntrustedKey => 5,
        Reason::DigestMismatch | Reason::SubjectMismatch => 4,
        Reason::UnsupportedBundle => 3,
        Reason::MalformedBundle => 2,
        Reason::Unsigned | Reason::WrongPredicate => 1,
        _ => 0,
    }
}

/// What to do about it.
fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::TooFewSigners => {
            "let a further signer of the policy sign the same bytes and attach that bundle too"
        }
        Reason::IdentityMismatch | Reason::IssuerMismatch => {
            "sign as an identity that the TrustPolicy names, or name this one there"
        }
        Reason::CertificateInvalid => {
            "sign with the authorities of the policy's trustedRoot, or correct that root"
        }
        Reason::TimestampInvalid | Reason::LogInvalid | Reason::LogUnknown => {
            "sign with the services of the policy's trustedRoot, or correct that root"
        }
        Reason::LogMissing => {
            "sign with a transparency log or a timestamp, or change transparencyLog of the TrustPolicy"
        }
        Reason::UntrustedKey => {
            "sign with a key of the TrustPolicy; if the key is right, the bundle was altered or is about other bytes"
        }
        Reason::DigestMismatch => {
            "the document was changed after it was signed: `neuralops playbook canonicalize` prints the bytes to sign"
        }
        Reason::UnsupportedBundle | Reason::MalformedBundle => {
            "attach what `cosign sign-blob --bundle` of cosign 3 writes, with `neuralops playbook attach`"
        }
        _ => "nothing is trusted until this is repaired",
    }
}

/// What to do about it where an image is meant.
fn advice_on_images(reason: Reason) -> &'static str {
    match reason {
        Reason::TooFewSigners => {
            "let a further signer of the policy sign the same digest with `cosign sign`"
        }
        Reason::UntrustedKey => "sign the digest with a key of the TrustPolicy",
        Reason::WrongPredicate => {
            "an attestation is no signature: sign the digest with `cosign sign`"
        }
        Reason::SubjectMismatch | Reason::DigestMismatch => {
            "what lies beside this image is about another one: sign this digest with `cosign sign`"
        }
        Reason::UnsupportedBundle | Reason::MalformedBundle => {
            "sign the digest with `cosign sign` of cosign 3, or accept LegacySig for keys in the TrustPolicy's formats"
        }
        other => advice(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_attempt_gives_the_reason_and_all_are_shown() {
        let refusal = Refusal::closest(
            vec![
                Attempt::new(Reason::MalformedBundle, "one"),
                Attempt::new(Reason::UntrustedKey, "two"),
                Attempt::new(Reason::DigestMismatch, "three"),
            ],
            "policy \"p\"",
        );
        assert_eq!(refusal.reason, Reason::UntrustedKey);
        let text = refusal.to_string();
        assert!(
            ["one", "two", "three"]
                .iter()
                .all(|word| text.contains(word)),
            "{text}"
        );
    }

    #[test]
    fn the_form_that_was_not_signed_does_not_hide_what_is_wrong_with_the_other() {
        let other_form = Refusal::new(Reason::DigestMismatch, "");
        for reason in [Reason::MalformedBundle, Reason::LogInvalid] {
            let refusal = Refusal::new(reason, "");
            assert!(refusal.as_close_as(&other_form));
            assert!(!other_form.as_close_as(&refusal));
        }
        assert!(other_form.as_close_as(&other_form));
    }

    #[test]
    fn a_message_has_an_end() {
        let refusal = Refusal::new(Reason::UntrustedKey, "ä".repeat(10_000));
        assert!(refusal.told().len() <= LONGEST_MESSAGE + '…'.len_utf8());
    }
}
