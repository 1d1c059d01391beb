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
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = say(error);
    let mut source = if is_answer(error) {
        None
    } else {
        error.source()
    };
    while let Some(cause) = source {
        let cause_text = say(cause);
        // Some libraries print their source inside themselves.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        // The answer's own sources repeat it.
        source = if is_answer(cause) {
            None
        } else {
            cause.source()
        };
    }
    text
}

fn is_answer(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(kube::Error::Api(_)))
}

/// The library prints an answer with all its fields; people need its message.
fn say(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(answer)) => format!(
            "the API server answered {}: {}",
            answer.code, answer.message
        ),
        _ => error.to_string(),
    }
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

    #[test]
    fn an_answer_is_told_by_its_message() {
        let error = kube::Error::Api(Box::new(
            Status::failure("no such thing", "NotFound").with_code(404),
        ));
        assert_eq!(chain(&error), "the API server answered 404: no such thing");
    }
}
