//! Floor 0: which GitOps tool owns an object, by the marks that the tools leave on what they apply. Such a tool may put back
//! what a step does; whether that matters is the Playbook's to say. Pure.

use serde_json::Value;

/// The tool and what of it owns the object, as people say it.
pub fn owner(object: &Value) -> Option<String> {
    let mark = |map: &str, name: &str| {
        let found = object.get("metadata")?.get(map)?.get(name)?;
        found.as_str().filter(|text| !text.is_empty())
    };
    let label = |name| mark("labels", name);
    let annotation = |name| mark("annotations", name);
    let argo = annotation("argocd.argoproj.io/tracking-id")
        .and_then(|id| id.split(':').next())
        .or_else(|| label("argocd.argoproj.io/instance"))
        .or_else(|| label("app.kubernetes.io/instance").filter(|_| argo_was_here(object)));
    if let Some(application) = argo {
        return Some(format!("Argo CD application {application}"));
    }
    let flux = [
        (
            label("kustomize.toolkit.fluxcd.io/name"),
            label("kustomize.toolkit.fluxcd.io/namespace"),
            "Kustomization",
        ),
        (
            label("helm.toolkit.fluxcd.io/name"),
            label("helm.toolkit.fluxcd.io/namespace"),
            "HelmRelease",
        ),
    ];
    for (name, namespace, kind) in flux {
        if let Some(name) = name {
            let namespace = namespace.unwrap_or("?");
            return Some(format!("Flux {kind} {namespace}/{name}"));
        }
    }
    let helm = annotation("meta.helm.sh/release-name")
        .filter(|_| label("app.kubernetes.io/managed-by") == Some("Helm"));
    helm.map(|release| format!("Helm release {release}"))
}

/// The label alone is everybody's; any annotation of Argo CD beside it says whose it is.
fn argo_was_here(object: &Value) -> bool {
    let annotations = object.pointer("/metadata/annotations");
    let annotations = annotations.and_then(Value::as_object);
    annotations.is_some_and(|all| all.keys().any(|key| key.starts_with("argocd.argoproj.io/")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_tool_is_known_by_its_marks() {
        let cases = [
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/checkout"}}),
                Some("Argo CD application shop"),
            ),
            (
                json!({"labels": {"app.kubernetes.io/instance": "shop"}, "annotations": {"argocd.argoproj.io/sync-wave": "1"}}),
                Some("Argo CD application shop"),
            ),
            (
                json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}}),
                Some("Flux Kustomization flux-system/apps"),
            ),
            (
                // Flux installs by Helm; who puts it back is Flux.
                json!({
                    "labels": {"helm.toolkit.fluxcd.io/name": "shop", "helm.toolkit.fluxcd.io/namespace": "shop", "app.kubernetes.io/managed-by": "Helm"},
                    "annotations": {"meta.helm.sh/release-name": "shop"},
                }),
                Some("Flux HelmRelease shop/shop"),
            ),
            (
                json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "shop"}}),
                Some("Helm release shop"),
            ),
        ];
        for (metadata, expected) in cases {
            let found = owner(&json!({ "metadata": metadata }));
            assert_eq!(found.as_deref(), expected, "{metadata}");
        }
    }

    #[test]
    fn what_everybody_sets_makes_no_owner() {
        for metadata in [
            json!({}),
            json!({"labels": {"app.kubernetes.io/instance": "shop"}}),
            json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}),
            json!({"annotations": {"meta.helm.sh/release-name": "shop"}}),
            json!({"annotations": {"argocd.argoproj.io/tracking-id": 1}}),
        ] {
            assert_eq!(owner(&json!({ "metadata": metadata })), None, "{metadata}");
        }
    }
}
