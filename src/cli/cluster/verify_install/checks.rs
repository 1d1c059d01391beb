//! Floor 3: whether what is shipped is what is installed, and whether somebody works: kinds, policies and bindings as they are
//! in this binary, a leader, an anchor that its own keys vouch for. It reads, and forges nothing.

use std::fmt;

use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::{Api, Client};
use serde::Serialize;

use crate::{
    adapters::kube::{
        anchor, discovery,
        error::chain,
        guard::{Found, Part},
    },
    api::v1alpha1::{AuditLog, AuditLogSpec},
    domain::{
        audit::{checkpoint::Checkpoint, note::VerifierKey},
        forgery::Standing,
    },
};

/// How long after the end of its Lease a leader may be late: clocks differ.
const MARGIN: std::time::Duration = std::time::Duration::from_secs(30);

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it has to be.
    Good,
    /// Not so.
    Bad,
    /// Nobody knows.
    Unknown,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Bad => "BAD",
            Self::Unknown => "unknown",
        })
    }
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub what: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found, in a sentence.
    pub found: String,
}

/// It.
pub fn check(what: &'static str, state: State, found: impl Into<String>) -> Check {
    Check {
        what,
        state,
        found: found.into(),
    }
}

/// Whether all kinds are served.
pub async fn kinds(client: &Client) -> Check {
    let what = "kinds are served";
    match discovery::missing_kinds(client).await {
        Ok(missing) if missing.is_empty() => check(what, State::Good, "all of them"),
        Ok(missing) => check(
            what,
            State::Bad,
            format!("not served: {}", missing.join(", ")),
        ),
        Err(error) => check(what, State::Unknown, chain(&error)),
    }
}

/// Whether kinds, policies and bindings are those of this binary; each that is not stands by itself, what could not be read
/// together.
pub fn guard(parts: &[Part], left_out: &[&str]) -> Vec<Check> {
    let what = "policies, bindings and kinds are as shipped";
    let mut wrong = Vec::new();
    let mut unread = Vec::new();
    let mut same = 0;
    for part in parts {
        let name = format!("{}/{}", part.kind, part.name);
        let missing = format!("{name} is missing");
        match &part.found {
            Found::AsShipped => same += 1,
            Found::Missing if left_out.contains(&part.name.as_str()) => {}
            Found::Missing if part.optional => wrong.push(format!(
                "{missing}; --without tells that it is left out by choice"
            )),
            Found::Missing => wrong.push(missing),
            Found::Altered(problem) => wrong.push(problem.clone()),
            Found::Unread(error) => unread.push(format!("{name}: {}", chain(&**error))),
        }
    }
    let mut checks: Vec<_> = wrong
        .into_iter()
        .map(|problem| check(what, State::Bad, problem))
        .collect();
    if let Some(first) = unread.first() {
        let found = format!("{} could not be read, such as {first}", unread.len());
        checks.push(check(what, State::Unknown, found));
    }
    if checks.is_empty() {
        let version = env!("CARGO_PKG_VERSION");
        checks.push(check(
            what,
            State::Good,
            format!("{same}, of version {version}"),
        ));
    }
    checks
}

/// How policy and binding of that name stand.
pub fn standing(parts: &[Part], policy: &str) -> Standing {
    let mut standing = Standing::AsShipped;
    for part in parts.iter().filter(|part| part.name == policy) {
        match part.found {
            Found::AsShipped => {}
            Found::Missing | Found::Altered(_) => return Standing::Altered,
            Found::Unread(_) => standing = Standing::Unread,
        }
    }
    standing
}

/// Whether somebody leads.
pub async fn leader(client: &Client, namespace: &str, name: &str, now: Timestamp) -> Check {
    let what = "an operator leads";
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    match leases.get_opt(name).await {
        Ok(Some(lease)) => led(&lease, now),
        Ok(None) => check(
            what,
            State::Bad,
            format!("there is no Lease {namespace}/{name}; --lease names another"),
        ),
        Err(error) => check(what, State::Unknown, chain(&error)),
    }
}

fn led(lease: &Lease, now: Timestamp) -> Check {
    let what = "an operator leads";
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.unwrap_or_default();
    let (Some(renewed), false) = (spec.renew_time, holder.is_empty()) else {
        return check(what, State::Bad, "nobody holds the Lease");
    };
    let seconds = spec.lease_duration_seconds.unwrap_or_default();
    let duration = std::time::Duration::from_secs(seconds.unsigned_abs().into());
    if renewed.0 + duration + MARGIN < now {
        let found = format!(
            "{holder} held the Lease and renewed it last at {}",
            renewed.0
        );
        return check(what, State::Bad, found);
    }
    check(what, State::Good, holder)
}

/// Whether the log is anchored, and the anchor's checkpoint says what the anchor says.
pub async fn anchored(client: &Client) -> Check {
    let what = "the log is anchored";
    let logs: Api<AuditLog> = Api::all(client.clone());
    match logs.get_opt(anchor::NAME).await {
        Ok(Some(log)) => vouched(&log.spec),
        Ok(None) => check(what, State::Bad, "there is no AuditLog main"),
        Err(error) => check(what, State::Unknown, chain(&error)),
    }
}

fn vouched(spec: &AuditLogSpec) -> Check {
    let what = "the log is anchored";
    let keys: Result<Vec<VerifierKey>, _> = spec.keys.iter().map(|key| key.parse()).collect();
    let keys = match keys {
        Ok(keys) => keys,
        Err(error) => return check(what, State::Bad, format!("a key of the AuditLog: {error}")),
    };
    match Checkpoint::open(&spec.checkpoint, &keys) {
        Err(error) => check(what, State::Bad, format!("the AuditLog: {}", chain(&error))),
        Ok(said)
            if said.origin == spec.origin
                && i64::try_from(said.size) == Ok(spec.size)
                && said.root.to_string() == spec.root =>
        {
            check(
                what,
                State::Good,
                format!("{} leaves of {}", spec.size, spec.origin),
            )
        }
        Ok(_) => check(
            what,
            State::Bad,
            "the checkpoint in the AuditLog is not about its origin, size and root",
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn part(name: &str, optional: bool, found: Found) -> Part {
        Part {
            kind: "ValidatingAdmissionPolicy".to_owned(),
            name: name.to_owned(),
            optional,
            found,
        }
    }

    #[test]
    fn what_is_left_out_by_choice_is_no_drift() {
        let parts = [
            part("a", false, Found::AsShipped),
            part("b", true, Found::Missing),
        ];
        assert_eq!(guard(&parts, &["b"])[0].state, State::Good);
        let without = guard(&parts, &[]);
        assert_eq!(without[0].state, State::Bad);
        assert!(without[0].found.contains("--without"), "{without:?}");
        // Many that could not be read are one thing that is not known.
        let unread = || Found::Unread(Box::new(kube::Error::LinesCodecMaxLineLengthExceeded));
        let parts = [part("a", false, unread()), part("b", true, unread())];
        let told = guard(&parts, &[]);
        assert_eq!((told.len(), told[0].state), (1, State::Unknown));
        assert!(told[0].found.starts_with("2 could not be read"), "{told:?}");
        // What proves names is never left out.
        let parts = [part("a", false, Found::Missing)];
        assert_eq!(guard(&parts, &[])[0].state, State::Bad);
    }

    #[test]
    fn a_policy_stands_only_with_its_binding() {
        let parts = [
            part("a", false, Found::AsShipped),
            part("a", false, Found::Altered("x".to_owned())),
            part("b", false, Found::AsShipped),
        ];
        assert_eq!(standing(&parts, "a"), Standing::Altered);
        assert_eq!(standing(&parts, "b"), Standing::AsShipped);
    }

    #[test]
    fn a_leader_renews() {
        let lease = |spec| serde_json::from_value(json!({ "spec": spec })).unwrap();
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        let of = |spec| led(&lease(spec), now).state;
        let held = |renewed: &str, holder: &str| json!({"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15});
        assert_eq!(of(held("2026-01-01T00:00:16.000000Z", "a")), State::Good);
        assert_eq!(of(held("2026-01-01T00:00:14.000000Z", "a")), State::Bad);
        assert_eq!(of(held("2026-01-01T00:00:59.000000Z", "")), State::Bad);
        assert_eq!(of(json!({})), State::Bad);
    }
}
