//! Floor 2: where a step lands: whether its target may be one at all, and whether the account has the rights; and what an
//! answer of the API server means for a plan or a run. The same for every kind; it writes nothing.

use crate::{
    adapters::kube::{
        account::{Account, AccountError, Answer, Served},
        error::chain,
    },
    domain::{lint::forbidden, names::is_dns_name, plan::Obstacle, reason::Reason},
};

use super::Progress;

/// What of somebody else's words fits into a status.
const LONGEST: usize = 600;

/// The kind of an object that a step looks at or writes, if it may.
pub(super) async fn served(
    account: &Account,
    (api_version, kind, name): (&str, &str, &str),
) -> Result<Served, Obstacle> {
    let not_allowed = |why: &str| {
        Obstacle::fail(
            Reason::TargetNotAllowed,
            format!("{kind}/{name} ({api_version}) is no target: {why}"),
        )
    };
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    // The linter says so first, where the text is known before any parameter is.
    if let Some(why) = forbidden(group) {
        return Err(not_allowed(why));
    }
    // It becomes a part of a path.
    if !is_dns_name(name) {
        return Err(not_allowed(
            "its name is none of an object: lower-case letters, digits, - and .",
        ));
    }
    let served = account.served(api_version, kind).await;
    let served = served.map_err(|error| obstacle(account, &error, Words::Shown))?;
    let Some(served) = served else {
        let message = format!(
            "the API server knows no kind {kind} in {api_version}; is its CRD installed, and the apiVersion right?"
        );
        return Err(Obstacle::unknown(Reason::KindUnknown, message));
    };
    if !served.namespaced {
        return Err(not_allowed(
            "its kind belongs to no namespace; targets lie in the Playbook's own, and Nodes are reached by cordon, uncordon and drain",
        ));
    }
    Ok(served)
}

/// Asks whether the account has these rights: verb, subresource.
pub(super) async fn granted(
    account: &Account,
    served: &Served,
    name: &str,
    rights: &[(&str, Option<&str>)],
) -> Result<(), Obstacle> {
    for (verb, subresource) in rights {
        let allowed = account.may(verb, served, (name, *subresource)).await;
        let allowed = allowed.map_err(|error| obstacle(account, &error, Words::Shown))?;
        if allowed {
            continue;
        }
        let mut resource = served.plural().to_owned();
        if let Some(subresource) = subresource {
            resource = format!("{resource}/{subresource}");
        }
        let group = served.group();
        let group = if group.is_empty() { "core" } else { group };
        let (who, missing) = (shown(account), is_missing(account).await);
        let message = if missing {
            format!(
                "there is no ServiceAccount {who}: create it, and grant it {verb} on {resource} (API group {group})"
            )
        } else {
            format!(
                "ServiceAccount {who} may not {verb} {resource} {name} (API group {group}): grant it by {}",
                if served.namespaced {
                    "a Role of its namespace"
                } else {
                    "a ClusterRole and a ClusterRoleBinding: it is asked for in the whole cluster"
                }
            )
        };
        return Err(Obstacle::fail(Reason::AccessDenied, message));
    }
    Ok(())
}

/// Whether the account itself is known not to be there; who may not look is told nothing.
async fn is_missing(account: &Account) -> bool {
    let Ok(Some(kind)) = account.served("v1", "ServiceAccount").await else {
        return false;
    };
    matches!(account.get(&kind, (account.name(), None)).await, Ok(None))
}

/// Whether the API server's own words may be shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// They may.
    Shown,
    /// They may repeat what was written, and that is secret.
    Hidden,
}

/// What an answer means for a plan.
pub(super) fn obstacle(account: &Account, error: &AccountError, words: Words) -> Obstacle {
    let message = said(error, words);
    match error.answer(account) {
        Answer::NotImpersonated => {
            Obstacle::unknown(Reason::ImpersonationForbidden, not_impersonated(account))
        }
        Answer::Denied => Obstacle::fail(
            Reason::AccessDenied,
            format!("ServiceAccount {} may not: {message}", shown(account)),
        ),
        Answer::NoDryRun | Answer::Unavailable => {
            Obstacle::unknown(Reason::DryRunUnavailable, message)
        }
        Answer::Conflict | Answer::Refused => Obstacle::fail(Reason::DryRunRefused, message),
    }
}

/// What an answer means for a step that runs; asking again may help where the error comes back.
pub(super) fn ended(
    account: &Account,
    error: AccountError,
    words: Words,
) -> Result<Progress, AccountError> {
    let message = said(&error, words);
    match error.answer(account) {
        Answer::NotImpersonated => Ok(Progress::failed(
            Reason::ImpersonationForbidden,
            not_impersonated(account),
        )),
        Answer::Denied => Ok(Progress::failed(
            Reason::AccessDenied,
            format!("ServiceAccount {} may not: {message}", shown(account)),
        )),
        Answer::NoDryRun | Answer::Conflict | Answer::Refused => {
            Ok(Progress::failed(Reason::RefusedByApiServer, message))
        }
        Answer::Unavailable => Err(error),
    }
}

fn not_impersonated(account: &Account) -> String {
    format!(
        "the operator may not act as ServiceAccount {}: `neuralops role runner {} -n {}` prints the Role that allows it",
        shown(account),
        account.name(),
        account.namespace()
    )
}

fn shown(account: &Account) -> String {
    format!("{}/{}", account.namespace(), account.name())
}

fn said(error: &AccountError, words: Words) -> String {
    let text = match (words, error.code()) {
        (Words::Hidden, Some(code)) => format!(
            "{error}: the API server answered {code}; its words may hold values of the Secret and are not shown"
        ),
        _ => match error.words() {
            // What the client adds to it is the same once more, for its developers.
            Some(words) => format!("{error}: {}", without_objects(words.trim())),
            None => chain(error),
        },
    };
    shortened(&text, LONGEST)
}

/// The API server may repeat the whole object, quoted, before it says what is wrong with it: nobody needs that in a status.
fn without_objects(words: &str) -> String {
    let mut told = String::new();
    let mut rest = words;
    while let Some((before, object)) = rest.split_once("\"{\\\"") {
        let mut escaped = false;
        let end = object.char_indices().find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        told.push_str(before);
        told.push('…');
        rest = end.map_or("", |(end, _)| object.get(end + 1..).unwrap_or_default());
    }
    told.push_str(rest);
    told
}

/// A text that fits, with both ends: what was done, and what was wrong.
fn shortened(text: &str, longest: usize) -> String {
    let length = text.chars().count();
    if length <= longest {
        return text.to_owned();
    }
    let head = longest / 4;
    let begin: String = text.chars().take(head).collect();
    let end = text.chars().skip(length.saturating_sub(longest - head));
    format!("{begin} … {}", end.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_is_repeated_is_left_out() {
        let words = r#"patch: Invalid value: "{\"a\":\"\\\"b\\\"\"}": json: cannot unmarshal "x""#;
        let told = r#"patch: Invalid value: …: json: cannot unmarshal "x""#;
        assert_eq!(without_objects(words), told);
        assert_eq!(without_objects("as it is"), "as it is");
        assert_eq!(without_objects(r#"cut off: "{\"a"#), "cut off: …");
    }

    #[test]
    fn what_is_too_long_keeps_what_was_done_and_what_was_wrong() {
        assert_eq!(shortened("as it is", 8), "as it is");
        let text = format!("could not: {} no number", "é".repeat(500));
        let short = shortened(&text, 40);
        assert!(
            short.starts_with("could not:") && short.ends_with("no number"),
            "{short}"
        );
        assert_eq!(short.chars().count(), 43);
    }
}
