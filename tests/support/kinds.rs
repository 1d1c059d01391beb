//! Objects by kind, from JSON or YAML, without asking the API server which kinds it has: a test that depended on
//! discovery would fail for another reason than the one it tests.

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams, ValidationDirective};
use kube::core::GroupVersionKind;
use kube::discovery::Scope;
use kube::{Api, Client};
use serde_json::Value;

const OURS: &str = "neuralops.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

/// Kind, group, version, plural, whether it has a namespace.
const KINDS: [(&str, &str, &str, &str, bool); 30] = [
    ("AuditLog", OURS, "v1alpha1", "auditlogs", false),
    ("Decision", OURS, "v1alpha1", "decisions", true),
    ("Freeze", OURS, "v1alpha1", "freezes", false),
    ("Gate", OURS, "v1alpha1", "gates", true),
    ("Orchestration", OURS, "v1alpha1", "orchestrations", true),
    ("Playbook", OURS, "v1alpha1", "playbooks", true),
    ("TrustPolicy", OURS, "v1alpha1", "trustpolicies", false),
    ("Deployment", "apps", "v1", "deployments", true),
    ("StatefulSet", "apps", "v1", "statefulsets", true),
    ("DaemonSet", "apps", "v1", "daemonsets", true),
    ("ReplicaSet", "apps", "v1", "replicasets", true),
    (
        "ControllerRevision",
        "apps",
        "v1",
        "controllerrevisions",
        true,
    ),
    ("Job", "batch", "v1", "jobs", true),
    ("Event", "events.k8s.io", "v1", "events", true),
    ("Node", "", "v1", "nodes", false),
    ("Pod", "", "v1", "pods", true),
    (
        "PodDisruptionBudget",
        "policy",
        "v1",
        "poddisruptionbudgets",
        true,
    ),
    ("ConfigMap", "", "v1", "configmaps", true),
    ("Namespace", "", "v1", "namespaces", false),
    ("Secret", "", "v1", "secrets", true),
    ("Service", "", "v1", "services", true),
    ("ServiceAccount", "", "v1", "serviceaccounts", true),
    ("ClusterRole", RBAC, "v1", "clusterroles", false),
    (
        "ClusterRoleBinding",
        RBAC,
        "v1",
        "clusterrolebindings",
        false,
    ),
    ("Role", RBAC, "v1", "roles", true),
    ("RoleBinding", RBAC, "v1", "rolebindings", true),
    (
        "ValidatingAdmissionPolicy",
        ADMISSION,
        "v1",
        "validatingadmissionpolicies",
        false,
    ),
    (
        "ValidatingAdmissionPolicyBinding",
        ADMISSION,
        "v1",
        "validatingadmissionpolicybindings",
        false,
    ),
    (
        "MutatingWebhookConfiguration",
        ADMISSION,
        "v1",
        "mutatingwebhookconfigurations",
        false,
    ),
    (
        "CustomResourceDefinition",
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        false,
    ),
];

/// The objects of a kind; the namespace is ignored where the kind has none.
pub fn api(client: &Client, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let (kind, group, version, plural, namespaced) = KINDS
        .iter()
        .find(|known| known.0 == kind)
        .unwrap_or_else(|| panic!("{kind} is not in KINDS"));
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    let scope = if *namespaced {
        Scope::Namespaced
    } else {
        Scope::Cluster
    };
    Api::dynamic(client.clone(), &resource, &scope).constrain(namespace)
}

pub async fn create(client: &Client, object: Value) -> Result<DynamicObject, kube::Error> {
    let object = typed(object);
    of(client, &object)
        .create(&PostParams::default(), &object)
        .await
}

/// Server-side apply; an unknown field is refused.
pub async fn apply(client: &Client, yaml: &str) -> Result<DynamicObject, kube::Error> {
    let object = typed(serde_saphyr::from_str(yaml).expect("YAML"));
    let name = object.metadata.name.clone().expect("a name");
    let mut params = PatchParams::apply("neuralops-tests").force();
    params.field_validation = Some(ValidationDirective::Strict);
    of(client, &object)
        .patch(&name, &params, &Patch::Apply(&object))
        .await
}

/// Every document of a YAML text.
pub fn manifests(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).expect("YAML")
}

fn typed(object: Value) -> DynamicObject {
    serde_json::from_value(object).expect("an object with kind and metadata")
}

fn of(client: &Client, object: &DynamicObject) -> Api<DynamicObject> {
    let kind = &object.types.as_ref().expect("a kind").kind;
    api(
        client,
        kind,
        object.metadata.namespace.as_deref().unwrap_or_default(),
    )
}
