//! Rights for the people of a test. Each grant waits until the API server acts on it, so that the first request after it
//! is judged by it. Nothing here takes a right away: the end of the test's namespace does.

use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{Namespace, create, eventually, random};

/// One rule of a role: `ours("approve reject", "approverroles").named("oncall")`.
#[derive(Debug)]
pub struct Rule(PolicyRule);

/// A rule about our own group; blanks separate several verbs or resources.
pub fn ours(verbs: &str, resources: &str) -> Rule {
    rule("neuralops.io", verbs, resources)
}

/// A rule about the core group.
pub fn core(verbs: &str, resources: &str) -> Rule {
    rule("", verbs, resources)
}

/// A rule about any group; blanks separate several verbs or resources.
pub fn rule(group: &str, verbs: &str, resources: &str) -> Rule {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    Rule(PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(words(resources)),
        verbs: words(verbs),
        ..PolicyRule::default()
    })
}

impl Rule {
    /// Limits the rule to objects of these names.
    pub fn named(mut self, names: &str) -> Self {
        self.0.resource_names = Some(names.split(' ').map(str::to_owned).collect());
        self
    }

    /// What is asked to see whether the rule is in force. A wildcard is asked for what nothing else would grant.
    fn probe(&self) -> ResourceAttributes {
        let first = |list: &[String]| list.first().cloned();
        let resource = first(self.0.resources.as_deref().unwrap_or_default()).unwrap_or_default();
        let (resource, subresource) = match resource.split_once('/') {
            Some((resource, subresource)) => (resource.to_owned(), Some(subresource.to_owned())),
            None => (resource, None),
        };
        let verb = first(&self.0.verbs).map(|verb| {
            if verb == "*" {
                "wildcard".to_owned()
            } else {
                verb
            }
        });
        ResourceAttributes {
            group: first(self.0.api_groups.as_deref().unwrap_or_default()),
            resource: Some(if resource == "*" {
                "gates".to_owned()
            } else {
                resource
            }),
            subresource,
            name: first(self.0.resource_names.as_deref().unwrap_or_default()),
            verb,
            ..ResourceAttributes::default()
        }
    }
}

/// Grants a user something in the namespace.
pub async fn grant(ns: &Namespace, user: &str, rules: &[Rule]) {
    make(ns, Some(ns.name()), &Subject::User(user), rules).await;
}

/// Grants the members of a group something in the namespace.
pub async fn grant_group(ns: &Namespace, group: &str, rules: &[Rule]) {
    make(ns, Some(ns.name()), &Subject::Group(group), rules).await;
}

/// Grants a user something in the whole cluster, until the test's namespace ends.
pub async fn grant_everywhere(ns: &Namespace, user: &str, rules: &[Rule]) {
    make(ns, None, &Subject::User(user), rules).await;
}

/// Binds an existing ClusterRole in the namespace; it has to be one that may list Gates.
pub async fn bind(ns: &Namespace, user: &str, cluster_role: &str) {
    bind_to(
        ns,
        Some(ns.name()),
        &Subject::User(user),
        "ClusterRole",
        cluster_role,
    )
    .await;
    effective(
        ns,
        Some(ns.name()),
        &Subject::User(user),
        &ours("list", "gates"),
    )
    .await;
}

/// Binds an existing ClusterRole everywhere, until the test's namespace ends; it has to be one that may list Gates.
pub async fn bind_everywhere(ns: &Namespace, user: &str, cluster_role: &str) {
    bind_to(ns, None, &Subject::User(user), "ClusterRole", cluster_role).await;
    effective(ns, None, &Subject::User(user), &ours("list", "gates")).await;
}

/// Whether the API server would let the user do it, in the namespace or in the whole cluster.
pub async fn allowed(admin: &Client, namespace: Option<&str>, user: &str, rule: &Rule) -> bool {
    ask(admin, namespace, &Subject::User(user), rule).await
}

enum Subject<'a> {
    User(&'a str),
    Group(&'a str),
}

impl Subject<'_> {
    fn reference(&self) -> Value {
        let (kind, name) = match self {
            Self::User(name) => ("User", name),
            Self::Group(name) => ("Group", name),
        };
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name})
    }
}

async fn make(ns: &Namespace, namespace: Option<&str>, subject: &Subject<'_>, rules: &[Rule]) {
    let kind = if namespace.is_some() {
        "Role"
    } else {
        "ClusterRole"
    };
    let name = random("t-grant");
    let rules: Vec<_> = rules.iter().collect();
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "rules": rules.iter().map(|rule| &rule.0).collect::<Vec<_>>(),
    });
    create(ns.admin(), role).await.expect("a role");
    if namespace.is_none() {
        ns.also_delete("ClusterRole", &name);
    }
    bind_to(ns, namespace, subject, kind, &name).await;
    // All rules are of one role: when one is in force, all are.
    effective(ns, namespace, subject, rules.first().expect("a rule")).await;
}

async fn bind_to(
    ns: &Namespace,
    namespace: Option<&str>,
    subject: &Subject<'_>,
    kind: &str,
    role: &str,
) {
    let binding = if namespace.is_some() {
        "RoleBinding"
    } else {
        "ClusterRoleBinding"
    };
    let name = random("t-grant");
    let object = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": binding,
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [subject.reference()],
    });
    create(ns.admin(), object).await.expect("a binding");
    if namespace.is_none() {
        ns.also_delete("ClusterRoleBinding", &name);
    }
}

async fn effective(ns: &Namespace, namespace: Option<&str>, subject: &Subject<'_>, rule: &Rule) {
    eventually(
        "the grant is in force",
        Duration::from_secs(20),
        async || {
            if ask(ns.admin(), namespace, subject, rule).await {
                Ok(())
            } else {
                Err("not yet".to_owned())
            }
        },
    )
    .await;
}

async fn ask(admin: &Client, namespace: Option<&str>, subject: &Subject<'_>, rule: &Rule) -> bool {
    let (user, group) = match subject {
        Subject::User(user) => ((*user).to_owned(), None),
        Subject::Group(group) => ("somebody".to_owned(), Some(vec![(*group).to_owned()])),
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user),
            groups: group,
            resource_attributes: Some(ResourceAttributes {
                namespace: namespace.map(str::to_owned),
                ..rule.probe()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = Api::all(admin.clone())
        .create(&PostParams::default(), &review)
        .await
        .expect("a review");
    answer.status.expect("an answer").allowed
}
