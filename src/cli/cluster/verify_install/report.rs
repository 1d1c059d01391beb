//! Floor 3: what `verify-install` found, as a table for people and as an object for programs, and what it comes to.

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    checks::{Check, State},
    rights::Rights,
};
use crate::{
    cli::cluster::text::{line, table},
    domain::{forgery::Verdict, powers::Holder},
};

/// Whom no list of roles can name.
const BEYOND: &str = "No role names these, and nobody can list them: members of the group system:masters, whom RBAC does not \
bind; whoever runs the API server, its store or what says who a caller is; and whoever may read the token of the operator's \
account or make one, or run a pod as it, since that is to be the operator.";

/// A forgery, tried.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub forgery: &'static str,
    /// What was tried.
    pub tried: String,
    /// By which policy it has to be refused; none: by rights alone.
    pub policy: Option<&'static str>,
    /// What came of it.
    pub verdict: Verdict,
    /// What was answered, or why it was not tried.
    pub answer: String,
}

/// Everything that was found.
pub struct Report {
    /// In whose name was forged.
    pub caller: String,
    /// Where new objects were tried.
    pub namespace: String,
    /// What was looked at.
    pub checks: Vec<Check>,
    /// What was tried.
    pub rows: Vec<Row>,
    /// Who could get around all of it.
    pub rights: Rights,
}

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every forgery is refused, and everything is as shipped.
    Whole,
    /// Something goes through or is not as shipped.
    Broken,
    /// Nothing is known to be wrong, and not everything could be found out.
    Unknown,
}

impl Report {
    /// What it comes to.
    pub fn outcome(&self) -> Outcome {
        let checks = |state| self.checks.iter().any(|check| check.state == state);
        let rows = |verdict| self.rows.iter().any(|row| row.verdict == verdict);
        if checks(State::Bad) || rows(Verdict::Accepted) {
            Outcome::Broken
        } else if checks(State::Unknown) || rows(Verdict::Unknown) || !self.rights.unread.is_empty()
        {
            Outcome::Unknown
        } else {
            Outcome::Whole
        }
    }

    /// It in a sentence.
    pub fn summary(&self) -> String {
        let count = |verdict| {
            self.rows
                .iter()
                .filter(|row| row.verdict == verdict)
                .count()
        };
        let bad = |state| {
            self.checks
                .iter()
                .filter(|check| check.state == state)
                .count()
        };
        let unread = self.rights.unread.len();
        match self.outcome() {
            Outcome::Whole => format!(
                "whole: {} forgeries refused, {} implied, {} left out, {} allowed to you as an admin",
                count(Verdict::Refused),
                count(Verdict::Implied),
                count(Verdict::LeftOut),
                count(Verdict::Allowed),
            ),
            Outcome::Broken => format!(
                "this installation does not hold what it promises: {} forgeries accepted, {} checks bad",
                count(Verdict::Accepted),
                bad(State::Bad),
            ),
            Outcome::Unknown => format!(
                "not everything could be found out: {} forgeries, {} checks, {unread} lists of rights",
                count(Verdict::Unknown),
                bad(State::Unknown),
            ),
        }
    }

    /// For programs.
    pub fn object(&self) -> Value {
        let holders: Vec<_> = self.rights.holders.iter().map(holder).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "caller": self.caller,
            "namespace": self.namespace,
            "outcome": self.outcome(),
            "checks": self.checks,
            "forgeries": self.rows,
            "powers": {"holders": holders, "unread": self.rights.unread, "beyond": BEYOND},
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let checks: Vec<_> = self
            .checks
            .iter()
            .map(|check| {
                [
                    check.state.to_string(),
                    check.what.to_owned(),
                    check.found.clone(),
                ]
            })
            .collect();
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                [
                    row.verdict.to_string(),
                    row.forgery.to_owned(),
                    row.tried.clone(),
                    format!("{}: {}", who(row), row.answer),
                ]
            })
            .collect();
        format!(
            "{}\nForgeries, tried by {} as dry runs that leave nothing behind:\n{}\n{}",
            table(["STATE", "CHECK", "FOUND"], &checks),
            line(&self.caller),
            table(["VERDICT", "FORGERY", "TRIED", "ANSWER"], &rows),
            self.powers(),
        )
    }

    fn powers(&self) -> String {
        let rows: Vec<_> = self
            .rights
            .holders
            .iter()
            .map(|holder| {
                [
                    holder.subject.to_string(),
                    holder
                        .place
                        .clone()
                        .unwrap_or_else(|| "everywhere".to_owned()),
                    told(holder),
                    format!("{}, {}", holder.role, holder.binding),
                ]
            })
            .collect();
        let mut text = format!(
            "Who could get around it:\n{}{BEYOND}\n",
            table(["WHO", "WHERE", "MAY", "BY"], &rows)
        );
        for unread in &self.rights.unread {
            text.push_str(&format!("Not complete, could not list {}\n", line(unread)));
        }
        text
    }
}

/// Who was to refuse it.
fn who(row: &Row) -> &str {
    row.policy.unwrap_or("RBAC")
}

/// Every power with the objects that it is limited to.
fn told(holder: &Holder) -> String {
    let all = holder.held.iter().map(|held| {
        let mut text = held.power.as_str().to_owned();
        if !held.names.is_empty() {
            text.push_str(&format!(" ({})", held.names.join(", ")));
        }
        if held.wildcard && held.power.is_granted_by_name() {
            text.push_str(" (by a wildcard, which the policies take for nobody's)");
        }
        text
    });
    all.collect::<Vec<_>>().join("; ")
}

fn holder(holder: &Holder) -> Value {
    let powers = holder.held.iter().map(|held| {
        json!({"power": held.power.as_str(), "names": held.names, "wildcard": held.wildcard})
    });
    json!({
        "subject": holder.subject.to_string(),
        "namespace": holder.place,
        "powers": powers.collect::<Vec<_>>(),
        "role": holder.role,
        "binding": holder.binding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(state: State, verdict: Verdict, unread: &[&str]) -> Report {
        Report {
            caller: "bob".to_owned(),
            namespace: "shop".to_owned(),
            checks: vec![Check {
                what: "kinds are served",
                state,
                found: String::new(),
            }],
            rows: vec![Row {
                forgery: "replay",
                tried: String::new(),
                policy: None,
                verdict,
                answer: "a\u{1b}[2K".to_owned(),
            }],
            rights: Rights {
                holders: Vec::new(),
                unread: unread.iter().map(ToString::to_string).collect(),
            },
        }
    }

    #[test]
    fn one_thing_that_is_wrong_is_enough_and_what_is_not_known_is_never_whole() {
        let of = |state, verdict, unread: &[&str]| report(state, verdict, unread).outcome();
        for verdict in [
            Verdict::Refused,
            Verdict::Implied,
            Verdict::LeftOut,
            Verdict::Allowed,
        ] {
            assert_eq!(of(State::Good, verdict, &[]), Outcome::Whole, "{verdict:?}");
        }
        assert_eq!(of(State::Good, Verdict::Unknown, &[]), Outcome::Unknown);
        assert_eq!(of(State::Unknown, Verdict::Refused, &[]), Outcome::Unknown);
        assert_eq!(
            of(State::Good, Verdict::Refused, &["Roles"]),
            Outcome::Unknown
        );
        assert_eq!(
            of(State::Unknown, Verdict::Accepted, &["Roles"]),
            Outcome::Broken
        );
        assert_eq!(of(State::Bad, Verdict::Unknown, &[]), Outcome::Broken);
    }

    #[test]
    fn what_others_wrote_does_not_steer_the_terminal() {
        let text = report(State::Good, Verdict::Refused, &[]).text();
        assert!(
            !text.contains('\u{1b}') && text.contains("\\u{1b}[2K"),
            "{text}"
        );
    }
}
