//! Floor 0: what the answer to a tried forgery proves. Only a refusal by the policy under test, in its own words, proves that
//! the policy acts; one by rights or by another policy stands before it and proves nothing about it.

use std::fmt;

use serde::Serialize;

/// A request that has to be refused, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The policy under test; none: rights alone refuse it.
    pub policy: Option<&'static str>,
    /// How its message begins.
    pub words: String,
    /// Whether rights are a refusal as good as the policy's.
    pub rights_suffice: bool,
}

/// What came of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The API server would have done it.
    Accepted,
    /// The API server said no.
    Refused {
        /// The status code.
        code: u16,
        /// Its words.
        message: String,
    },
    /// There was nothing to try it on; why, in a sentence.
    NothingThere(String),
    /// Nobody answered, or it could not be sent; why.
    Unanswered(String),
}

/// What is known of a policy besides the trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Policy and binding were read, and are those that are shipped.
    AsShipped,
    /// One of them is missing or altered.
    Altered,
    /// It could not be read.
    Unread,
}

/// What the trial proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Refused for the reason under test.
    Refused,
    /// Not tried, or hidden by another refusal of ours; the policy is as shipped, and policies of ours refuse here.
    Implied,
    /// Left out by choice of the installation.
    LeftOut,
    /// Nothing in the cluster refuses it to this caller, and nothing could.
    Allowed,
    /// Could not be found out.
    Unknown,
    /// The forgery would have gone through.
    Accepted,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Implied => "implied",
            Self::LeftOut => "left out",
            Self::Allowed => "allowed",
            Self::Unknown => "unknown",
            Self::Accepted => "ACCEPTED",
        })
    }
}

/// How the names of our policies end.
const OURS: &str = ".neuralops.io";

/// Who refused.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refuser<'a> {
    Policy {
        name: &'a str,
        message: &'a str,
    },
    /// An admission webhook or plugin of somebody else.
    Stranger,
    Rights,
    Kind,
    /// The object is gone.
    Absence,
    Other,
}

/// An answer as it is read.
fn refuser(code: u16, message: &str) -> Refuser<'_> {
    const POLICY: &str = "ValidatingAdmissionPolicy '";
    const DENIED: &str = " denied request: ";
    if let Some((_, rest)) = message.split_once(POLICY)
        && let Some((name, rest)) = rest.split_once('\'')
        && let Some((_, message)) = rest.split_once(DENIED)
    {
        return Refuser::Policy { name, message };
    }
    match code {
        _ if message.contains("admission webhook \"") => Refuser::Stranger,
        401 => Refuser::Rights,
        // The authorizer says who cannot do what; admission plugins never say it so.
        403 if message.contains("forbidden: User \"") && message.contains(" cannot ") => {
            Refuser::Rights
        }
        403 => Refuser::Stranger,
        404 => Refuser::Absence,
        400 | 422 => Refuser::Kind,
        _ => Refuser::Other,
    }
}

/// What the answer proves, and why, in a sentence. `refused_here`: whether a policy of ours refused anything in this run.
pub fn judge(
    expected: &Expected,
    answer: &Answer,
    standing: Standing,
    refused_here: bool,
) -> (Verdict, String) {
    match answer {
        Answer::Accepted if expected.policy.is_none() => (
            Verdict::Allowed,
            "your rights allow it, and admission is not asked about its own policies".to_owned(),
        ),
        Answer::Accepted => (Verdict::Accepted, "the API server would do it".to_owned()),
        Answer::NothingThere(why) => implied(&format!("not tried: {why}"), standing, refused_here),
        Answer::Unanswered(why) => (Verdict::Unknown, why.clone()),
        Answer::Refused { code, message } => {
            let refuser = refuser(*code, message);
            match hidden(expected, &refuser, message) {
                Some(why) => implied(&why, standing, refused_here),
                None => told(expected, &refuser, message),
            }
        }
    }
}

/// Not shown, and yet known: by what the policy says and by others that act.
fn implied(why: &str, standing: Standing, refused_here: bool) -> (Verdict, String) {
    let (verdict, beside) = match (standing, refused_here) {
        (Standing::AsShipped, true) => (
            Verdict::Implied,
            "the policy is as shipped, and policies refuse here",
        ),
        (Standing::AsShipped, false) => (
            Verdict::Unknown,
            "the policy is as shipped, and no trial showed that any acts",
        ),
        (Standing::Altered, _) => (Verdict::Unknown, "the policy is not as shipped"),
        (Standing::Unread, _) => (Verdict::Unknown, "the policy could not be read"),
    };
    (verdict, format!("{why}; {beside}"))
}

/// Why the answer says nothing about the policy under test, where another of our policies or an absence gave it.
fn hidden(expected: &Expected, refuser: &Refuser<'_>, message: &str) -> Option<String> {
    match refuser {
        Refuser::Policy {
            name,
            message: words,
        } if Some(*name) == expected.policy => (!words.contains(expected.words.as_str()))
            .then(|| format!("refused for another reason: {words}")),
        Refuser::Policy {
            name,
            message: words,
        } if name.ends_with(OURS) => Some(format!("hidden by {name}, which says: {words}")),
        Refuser::Absence if expected.policy.is_some() => Some(format!("not tried: {message}")),
        _ => None,
    }
}

/// What an answer tells that hides nothing.
fn told(expected: &Expected, refuser: &Refuser<'_>, message: &str) -> (Verdict, String) {
    let unknown = |why: &str| (Verdict::Unknown, format!("{why}: {message}"));
    match refuser {
        Refuser::Policy {
            name,
            message: words,
        } if Some(*name) == expected.policy => (Verdict::Refused, (*words).to_owned()),
        Refuser::Rights if expected.rights_suffice => {
            (Verdict::Refused, "your rights do not allow it".to_owned())
        }
        Refuser::Absence => (Verdict::Allowed, format!("your rights allow it: {message}")),
        Refuser::Rights => unknown("your rights do not allow the request, so no policy was asked"),
        Refuser::Policy { .. } | Refuser::Stranger => {
            unknown("refused by somebody else before the policy was heard")
        }
        Refuser::Kind => unknown("refused by the kind, so the policy was not heard"),
        Refuser::Other => unknown("the API server answered"),
    }
}

/// Whether the answer is a refusal by exactly the policy under test, in the words that are expected.
pub fn proves(expected: &Expected, answer: &Answer) -> bool {
    let Answer::Refused { code, message } = answer else {
        return false;
    };
    matches!(refuser(*code, message), Refuser::Policy { name, message }
        if Some(name) == expected.policy && message.contains(expected.words.as_str()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GATE: &str = "decision-gate.neuralops.io";

    fn expected() -> Expected {
        Expected {
            policy: Some(GATE),
            words: "the Gate is about plan".to_owned(),
            rights_suffice: false,
        }
    }

    fn said(policy: &str, words: &str) -> Answer {
        refused(
            403,
            &format!(
                "decisions.neuralops.io \"a\" is forbidden: ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: {words}"
            ),
        )
    }

    fn refused(code: u16, message: &str) -> Answer {
        Answer::Refused {
            code,
            message: message.to_owned(),
        }
    }

    fn verdict(answer: &Answer, standing: Standing, refused_here: bool) -> Verdict {
        judge(&expected(), answer, standing, refused_here).0
    }

    const RIGHTS: &str = "decisions.neuralops.io is forbidden: User \"mallory\" cannot create resource \"decisions\" in API group \"neuralops.io\" in the namespace \"shop\"";

    #[test]
    fn only_the_policy_itself_in_its_own_words_proves() {
        let plan = said(GATE, "the Gate is about plan sha256:1");
        assert_eq!(verdict(&plan, Standing::Unread, false), Verdict::Refused);
        assert!(proves(&expected(), &plan));
        for hidden in [
            said(GATE, "who requested this may not decide it"),
            said(
                "decision-identity.neuralops.io",
                "the Gate is about plan sha256:1",
            ),
            Answer::NothingThere("no Gate is open".to_owned()),
        ] {
            assert!(!proves(&expected(), &hidden));
            assert_eq!(
                verdict(&hidden, Standing::AsShipped, true),
                Verdict::Implied
            );
            for (standing, here) in [
                (Standing::AsShipped, false),
                (Standing::Altered, true),
                (Standing::Unread, true),
            ] {
                assert_eq!(verdict(&hidden, standing, here), Verdict::Unknown);
            }
        }
    }

    #[test]
    fn rights_prove_nothing_about_a_policy() {
        for answer in [
            refused(403, RIGHTS),
            refused(401, "Unauthorized"),
            refused(422, "spec.user: Required value"),
            refused(
                403,
                "admission webhook \"x.example\" denied the request: no",
            ),
            refused(403, "exceeded quota: count"),
            said("team-rules.example", "no"),
            refused(500, "etcdserver: request timed out"),
            Answer::Unanswered("connection refused".to_owned()),
        ] {
            let found = verdict(&answer, Standing::AsShipped, true);
            assert_eq!(found, Verdict::Unknown, "{answer:?}");
        }
    }

    #[test]
    fn where_only_rights_can_refuse_they_are_what_is_under_test() {
        let removal = Expected {
            policy: None,
            words: String::new(),
            rights_suffice: true,
        };
        let of = |answer| judge(&removal, &answer, Standing::AsShipped, true).0;
        assert_eq!(of(refused(403, RIGHTS)), Verdict::Refused);
        assert_eq!(of(Answer::Accepted), Verdict::Allowed);
        assert_eq!(of(refused(404, "not found")), Verdict::Allowed);
        let kept = Expected {
            policy: Some("keep.neuralops.io"),
            ..removal
        };
        let of = |answer| judge(&kept, &answer, Standing::AsShipped, true).0;
        assert_eq!(of(refused(403, RIGHTS)), Verdict::Refused);
        assert_eq!(of(Answer::Accepted), Verdict::Accepted);
    }

    proptest! {
        /// What was accepted is told so, whatever else is known; and nothing but a whole guard that acts implies anything.
        #[test]
        fn no_forgery_that_goes_through_is_called_anything_else(
            code in 400_u16..600, message in ".{0,80}", here: bool, standing in 0..3_usize
        ) {
            let standing = [Standing::AsShipped, Standing::Altered, Standing::Unread][standing];
            prop_assert_eq!(verdict(&Answer::Accepted, standing, here), Verdict::Accepted);
            let found = verdict(&refused(code, &message), standing, here);
            prop_assert!(matches!(found, Verdict::Unknown | Verdict::Implied));
            if found == Verdict::Implied {
                prop_assert!(standing == Standing::AsShipped && here);
            }
        }
    }
}
