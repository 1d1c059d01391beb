//! What is approved is what runs: everything that somebody may change, forge or foresee between a vote and its effect, with
//! the real operator. Each case has its outcome, and the API server's own record tells that nothing was written.

#![expect(
    clippy::too_many_lines,
    reason = "a table is read in one piece, and a scene is told from beginning to end"
)]

mod altered;
mod objects;
mod teams;
mod trust;
mod votes;

use serde_json::{Value, json};

use crate::support::{Scene, allowed, create, eventually, rule};

const SOON: std::time::Duration = std::time::Duration::from_secs(30);

/// Grants something under a name, so that it can be taken away again.
async fn lend(scene: &Scene, name: &str, user: &str, rules: Value) {
    let metadata = json!({"name": name, "namespace": scene.ns.name()});
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules});
    create(scene.admin(), role).await.expect("a role");
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    create(scene.admin(), binding).await.expect("a binding");
    stands(scene, user, &rules, true).await;
}

/// Takes it away, and waits until the API server acts on that.
async fn take_back(scene: &Scene, name: &str, user: &str) {
    let role = scene.object("Role", name).await;
    scene.delete("RoleBinding", name).await;
    stands(scene, user, &role["rules"], false).await;
}

async fn stands(scene: &Scene, user: &str, rules: &Value, wanted: bool) {
    let text = |name: &str| rules[0][name][0].as_str().expect("a word");
    let mut asked = rule(text("apiGroups"), text("verbs"), text("resources"));
    if let Some(name) = rules[0]["resourceNames"][0].as_str() {
        asked = asked.named(name);
    }
    eventually("the API server acts on it", SOON, async || {
        if allowed(scene.admin(), Some(scene.ns.name()), user, &asked).await == wanted {
            Ok(())
        } else {
            Err(format!("{user}: not yet {wanted}"))
        }
    })
    .await;
}

/// The rights that a playbook's account needs to scale.
fn scaling() -> Value {
    json!([
        {"apiGroups": ["apps"], "verbs": ["get", "patch"], "resources": ["deployments", "deployments/scale"]},
    ])
}

fn account(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

const OPERATOR: &str = "system:serviceaccount:neuralops-system:neuralops-controller";
