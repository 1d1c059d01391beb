//! Floor 0: what a step may act on. Nodes only by the node steps; rights, admission and our own kinds never:
//! a playbook that could change those could change who may run what.

use serde_json::Value;

use super::{Findings, Position};

/// Groups that are never targets, with the reason that an author reads.
const FORBIDDEN: [(&str, &str); 5] = [
    (
        "rbac.authorization.k8s.io",
        "rights are never changed by a playbook",
    ),
    (
        "admissionregistration.k8s.io",
        "admission is never changed by a playbook",
    ),
    (
        "apiextensions.k8s.io",
        "kinds are never changed by a playbook",
    ),
    (
        "apiregistration.k8s.io",
        "the API itself is never changed by a playbook",
    ),
    (
        "neuralops.io",
        "a playbook never acts on the operator's own kinds",
    ),
];

/// Kinds of Kubernetes itself that belong to no namespace; of others the planner asks the API server.
const CLUSTER_SCOPED: [(&str, &str); 13] = [
    ("", "Namespace"),
    ("", "PersistentVolume"),
    ("", "ComponentStatus"),
    ("storage.k8s.io", "StorageClass"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("networking.k8s.io", "IngressClass"),
    ("node.k8s.io", "RuntimeClass"),
    ("certificates.k8s.io", "CertificateSigningRequest"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
];

/// Why objects of this group are never targets; nothing, if they may be.
pub fn forbidden(group: &str) -> Option<&'static str> {
    let found = FORBIDDEN
        .iter()
        .find(|(forbidden, _)| group == *forbidden || group.ends_with(&format!(".{forbidden}")));
    found.map(|(_, why)| *why)
}

/// Checks `{apiVersion, kind, name}`, each of which may still be a parameter.
pub(super) fn check(target: &Value, position: &Position, findings: &mut Findings) {
    let api_version = target
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let kind = target
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if let Some(why) = forbidden(group) {
        findings.error(
            &position.key("apiVersion"),
            format!("{api_version} is no target: {why}"),
        );
    }
    if !api_version.contains("$(") && (version.is_empty() || version.contains('/')) {
        findings.error(
            &position.key("apiVersion"),
            format!("{api_version:?} is no apiVersion: write v1 or group/version"),
        );
    }
    match (group, kind) {
        ("", "Node") => findings.error(
            &position.key("kind"),
            "a Node is only reached by cordon, uncordon and drain",
        ),
        (_, kind) if CLUSTER_SCOPED.contains(&(group, kind)) => {
            findings.error(
                &position.key("kind"),
                format!("a {kind} belongs to no namespace; targets lie in the Playbook's own"),
            );
        }
        _ => {}
    }
}

/// The target as one word, if it is known before any parameter is.
pub(super) fn literal(target: &Value) -> Option<String> {
    let field = |name| {
        target
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.contains("$("))
    };
    Some(format!(
        "{} {} {}",
        field("apiVersion")?,
        field("kind")?,
        field("name")?
    ))
}
