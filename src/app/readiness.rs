//! Floor 4: what is missing before this process is of use, looked at in the background and answered from memory.
//! It reports the admission guard; what a missing guard forbids is the controllers' business.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::Client;
use tokio::sync::watch;

use crate::{
    adapters::{
        kube::{
            discovery,
            error::{Classified as _, chain},
        },
        ledger::State,
        metrics::Metrics,
    },
    controllers::{guard::GuardWatch, pulse::Pulse},
    domain::reason::Reason,
    http::probes::Complaint,
};

/// How often to look while something is missing.
const SOON: Duration = Duration::from_secs(2);
/// How often to look while all is well.
const LATER: Duration = Duration::from_secs(30);

/// What is known about the cluster around us.
pub struct Surroundings {
    complaints: Mutex<Vec<Complaint>>,
    kinds_served: watch::Sender<bool>,
}

impl Default for Surroundings {
    fn default() -> Self {
        let unknown = Complaint {
            reason: Reason::CrdNotServed,
            message: "the API server has not been asked yet".into(),
        };
        Self {
            complaints: Mutex::new(vec![unknown]),
            kinds_served: watch::Sender::new(false),
        }
    }
}

impl Surroundings {
    /// Turns true when all kinds are served.
    pub fn kinds_served(&self) -> watch::Receiver<bool> {
        self.kinds_served.subscribe()
    }

    fn complaints(&self) -> Vec<Complaint> {
        self.complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, complaints: Vec<Complaint>) {
        let mut known = self
            .complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for complaint in complaints
            .iter()
            .filter(|complaint| !known.contains(complaint))
        {
            tracing::warn!(
                reason = complaint.reason.as_str(),
                "not ready: {}",
                complaint.message
            );
        }
        if complaints.is_empty() && !known.is_empty() {
            tracing::info!("kinds are served and the admission guard is whole");
        }
        *known = complaints;
    }
}

/// Looks around until `stop` turns true; also whenever the transparency log begins to take records.
pub async fn look(
    client: Client,
    guard: Arc<GuardWatch>,
    surroundings: Arc<Surroundings>,
    metrics: Arc<Metrics>,
    mut recording: watch::Receiver<bool>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        recording.mark_unchanged();
        let complaints = complaints(&client, &guard, &surroundings, &metrics).await;
        let pause = if complaints.is_empty() { LATER } else { SOON };
        surroundings.set(complaints);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // Votes are trusted only from when on it is on record that the guard is whole.
            Ok(()) = recording.changed() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn complaints(
    client: &Client,
    guard: &GuardWatch,
    surroundings: &Surroundings,
    metrics: &Metrics,
) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    match discovery::missing_kinds(client).await {
        Ok(missing) => {
            metrics.crds_missing(missing.len());
            surroundings.kinds_served.send_if_modified(|served| {
                std::mem::replace(served, missing.is_empty()) != missing.is_empty()
            });
            if !missing.is_empty() {
                let message = format!("{} not served; install crds/", missing.join(", "));
                complaints.push(Complaint {
                    reason: Reason::CrdNotServed,
                    message,
                });
            }
        }
        Err(error) => {
            metrics.guard_whole(false);
            complaints.push(Complaint {
                reason: Reason::ApiServerUnavailable,
                message: chain(&error),
            });
            return complaints;
        }
    }
    match guard.problems().await {
        Ok(problems) => {
            if !problems.is_empty() {
                let message = format!(
                    "{}; install config/admission and crds/",
                    problems.join(", ")
                );
                complaints.push(Complaint {
                    reason: Reason::AdmissionGuardMissing,
                    message,
                });
            }
        }
        Err(error) => {
            // Not seen is not missing: the runbook treats the two differently.
            complaints.push(Complaint {
                reason: error.reason(),
                message: chain(&error),
            });
        }
    }
    complaints
}

/// What keeps this process from being of use. A follower needs no cache: it fills them when it leads.
/// `log` is the state of the transparency log, of a leader only.
pub fn missing(
    surroundings: &Surroundings,
    pulses: &[Arc<Pulse>],
    log: Option<State>,
) -> Vec<Complaint> {
    let mut complaints = surroundings.complaints();
    if let Some(log) = log {
        complaints.extend(log.refusal().map(|refusal| Complaint {
            reason: refusal.reason,
            message: refusal.message,
        }));
        let unfilled = pulses.iter().filter_map(|pulse| pulse.unfilled());
        complaints.extend(unfilled.map(|message| Complaint {
            reason: Reason::CacheNotFilled,
            message,
        }));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_is_ready_when_its_caches_are_filled_and_a_follower_without() {
        let surroundings = Surroundings::default();
        surroundings.set(Vec::new());
        let pulses = [Arc::new(Pulse::new("playbook"))];
        pulses[0].interrupted("playbooks is forbidden in the namespace \"b\"".into());
        let complaints = missing(&surroundings, &pulses, Some(State::Open));
        assert_eq!(
            complaints.first().map(|complaint| complaint.reason),
            Some(Reason::CacheNotFilled)
        );
        let message = &complaints[0].message;
        assert!(
            message.ends_with("not complete: playbooks is forbidden in the namespace \"b\""),
            "{message}"
        );
        assert_eq!(missing(&surroundings, &pulses, None), Vec::new());
        pulses[0].listing_complete();
        assert_eq!(
            missing(&surroundings, &pulses, Some(State::Open)),
            Vec::new()
        );
    }

    #[test]
    fn a_leader_that_cannot_record_says_why() {
        let surroundings = Surroundings::default();
        surroundings.set(Vec::new());
        let state = State::Unavailable("disk full".into());
        let complaints = missing(&surroundings, &[], Some(state));
        assert_eq!(complaints.len(), 1);
        assert_eq!(complaints[0].reason, Reason::AuditUnavailable);
        assert_eq!(complaints[0].message, "disk full");
    }

    #[test]
    fn nothing_is_ready_before_the_api_server_was_asked() {
        assert_eq!(missing(&Surroundings::default(), &[], None).len(), 1);
    }
}
