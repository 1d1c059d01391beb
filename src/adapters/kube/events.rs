//! Floor 2: Kubernetes Events, one a transition. An event that cannot be published never hides what it was about.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

use super::scope::Scope;
use crate::domain::reason::Reason;

/// What fits into an event's note.
const LONGEST_NOTE: usize = 1024;

/// Publishes events in the name of this process.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
    scope: Scope,
}

impl Events {
    /// `instance` tells replicas apart. Nothing is published about what lies outside the scope: an Event is written where
    /// its object is, and about an object without a namespace into `default`, which then is nobody's of ours.
    pub fn new(client: Client, instance: String, scope: Scope) -> Self {
        let reporter = Reporter {
            controller: "neuralops-controller".into(),
            instance: Some(instance),
        };
        Self {
            recorder: Recorder::new(client, reporter),
            scope,
        }
    }

    /// Publishes one event; a failure is logged once and forgotten.
    pub async fn publish(
        &self,
        about: &ObjectReference,
        warning: bool,
        reason: Reason,
        action: &str,
        note: &str,
    ) {
        if !self.scope.covers(about.namespace.as_deref()) {
            return;
        }
        let mut note = note.to_owned();
        if note.len() > LONGEST_NOTE {
            let end = (0..=LONGEST_NOTE - 4)
                .rev()
                .find(|end| note.is_char_boundary(*end))
                .unwrap_or(0);
            note.truncate(end);
            note.push_str(" …");
        }
        let event = Event {
            type_: if warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: reason.as_str().to_owned(),
            note: Some(note),
            action: action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            tracing::warn!(error = %super::error::chain(&error), event.reason = reason.as_str(), "could not publish an event");
        }
    }
}
