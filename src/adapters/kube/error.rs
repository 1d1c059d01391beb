//! Floor 2: how an answer of the API server is to be read: which class of failure, and under which reason.

use crate::domain::{reason::Reason, verdict::ErrorClass};

/// An error that knows what is to be done about it.
pub trait Classified: std::error::Error + Send + Sync + 'static {
    /// Whether to try again.
    fn class(&self) -> ErrorClass;
    /// The word for conditions, events and metrics.
    fn reason(&self) -> Reason;
}

/// A 404 is a fact and a 409 is "look again"; a 403 is transient, because rights get mended.
pub fn classify(error: &kube::Error) -> (ErrorClass, Reason) {
    match error {
        kube::Error::Api(status) if status.is_conflict() => {
            (ErrorClass::Transient, Reason::Conflict)
        }
        kube::Error::Api(status) if status.is_forbidden() => {
            (ErrorClass::Transient, Reason::Forbidden)
        }
        kube::Error::Api(status) if status.is_invalid() => {
            (ErrorClass::Permanent, Reason::RefusedByApiServer)
        }
        _ => (ErrorClass::Transient, Reason::ApiServerUnavailable),
    }
}

/// An error with everything that caused it, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries print their source inside themselves.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn answers_are_read_as_their_classes() {
        let answer = |code: u16, reason: &str| {
            classify(&kube::Error::Api(Box::new(
                Status::failure("no", reason).with_code(code),
            )))
        };
        assert_eq!(
            answer(409, "Conflict"),
            (ErrorClass::Transient, Reason::Conflict)
        );
        assert_eq!(
            answer(403, "Forbidden"),
            (ErrorClass::Transient, Reason::Forbidden)
        );
        assert_eq!(
            answer(422, "Invalid"),
            (ErrorClass::Permanent, Reason::RefusedByApiServer)
        );
        assert_eq!(
            answer(503, "ServiceUnavailable"),
            (ErrorClass::Transient, Reason::ApiServerUnavailable)
        );
    }
}
