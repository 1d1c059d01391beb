//! Floor 3: reads every role and binding that the caller may read, for the list of those who could get around the guard. What
//! follows from them is the domain's to say.

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use kube::{
    Api, Client, Resource,
    api::{ListParams, ObjectMeta},
};
use serde::de::DeserializeOwned;

use crate::{
    adapters::kube::error::chain,
    domain::powers::{self, Binding, Holder, Rule},
};

/// Who could get around the guard.
pub struct Rights {
    /// Them.
    pub holders: Vec<Holder>,
    /// What could not be read, and why; empty: the list is complete.
    pub unread: Vec<String>,
}

/// Reads, and says.
pub async fn read(client: &Client) -> Rights {
    let mut unread = Vec::new();
    let (mut roles, mut bindings) = (Vec::new(), Vec::new());
    for role in list::<ClusterRole>(client, "ClusterRoles", &mut unread).await {
        roles.push(self::role(role.metadata, role.rules));
    }
    for role in list::<Role>(client, "Roles", &mut unread).await {
        roles.push(self::role(role.metadata, role.rules));
    }
    for bound in list::<ClusterRoleBinding>(client, "ClusterRoleBindings", &mut unread).await {
        bindings.push(binding(bound.metadata, bound.role_ref, bound.subjects));
    }
    for bound in list::<RoleBinding>(client, "RoleBindings", &mut unread).await {
        bindings.push(binding(bound.metadata, bound.role_ref, bound.subjects));
    }
    Rights {
        holders: powers::holders(&roles, &bindings),
        unread,
    }
}

/// All of them, page by page.
async fn list<K>(client: &Client, what: &str, unread: &mut Vec<String>) -> Vec<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::all(client.clone());
    let mut params = ListParams::default().limit(500);
    let mut all = Vec::new();
    loop {
        match api.list(&params).await {
            Ok(page) => {
                all.extend(page.items);
                match page.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => params.continue_token = Some(token),
                    None => return all,
                }
            }
            Err(error) => {
                unread.push(format!("{what}: {}", chain(&error)));
                return all;
            }
        }
    }
}

fn role(metadata: ObjectMeta, rules: Option<Vec<PolicyRule>>) -> powers::Role {
    let rule = |rule: PolicyRule| Rule {
        verbs: rule.verbs,
        groups: rule.api_groups.unwrap_or_default(),
        resources: rule.resources.unwrap_or_default(),
        names: rule.resource_names.unwrap_or_default(),
    };
    powers::Role {
        place: metadata.namespace,
        name: metadata.name.unwrap_or_default(),
        rules: rules.into_iter().flatten().map(rule).collect(),
    }
}

fn binding(metadata: ObjectMeta, role: RoleRef, subjects: Option<Vec<Subject>>) -> Binding {
    let subject = |subject: Subject| match subject.kind.as_str() {
        "Group" => powers::Subject::Group(subject.name),
        "ServiceAccount" => powers::Subject::ServiceAccount {
            namespace: subject.namespace.unwrap_or_default(),
            name: subject.name,
        },
        _ => powers::Subject::User(subject.name),
    };
    Binding {
        place: metadata.namespace,
        name: metadata.name.unwrap_or_default(),
        cluster_role: role.kind == "ClusterRole",
        role: role.name,
        subjects: subjects.into_iter().flatten().map(subject).collect(),
    }
}
