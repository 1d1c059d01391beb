//! Floor 0: who could get around the guard. From the roles and bindings of a cluster follows who may speak in another's
//! name, who may take the guard away, whom the policies take for the operator or for an attester, and who may give that
//! to themselves. What follows is only as complete as what was read; that is for the reader to say.

mod means;

use std::{collections::BTreeMap, fmt};

use self::means::{COLLECTION, MEANS, Means};

/// What a rule of a role allows. Rules about paths without a resource are none of our business.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Verbs, or `*`.
    pub verbs: Vec<String>,
    /// API groups, or `*`; the core group is empty.
    pub groups: Vec<String>,
    /// Resources, or `*`.
    pub resources: Vec<String>,
    /// Only these objects; empty: any.
    pub names: Vec<String>,
}

/// Where a role or a binding lies: in a namespace, or in none.
pub type Place = Option<String>;

/// A role as it stands; of an aggregated one, the rules that were put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// None: a ClusterRole.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// What it allows.
    pub rules: Vec<Rule>,
}

/// Who is given a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A person, or whatever else has such a name.
    User(String),
    /// All members of a group.
    Group(String),
    /// An account of pods.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl Subject {
    /// Whether it comes with Kubernetes: its own controllers and groups.
    pub fn is_of_kubernetes(&self) -> bool {
        match self {
            Self::User(name) | Self::Group(name) => name.starts_with("system:"),
            Self::ServiceAccount { namespace, .. } => namespace == "kube-system",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "User {name}"),
            Self::Group(name) => write!(f, "Group {name}"),
            Self::ServiceAccount { namespace, name } => {
                write!(f, "ServiceAccount {namespace}/{name}")
            }
        }
    }
}

/// A binding of a role to subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// None: a ClusterRoleBinding.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// Whether it names a ClusterRole, and not a Role beside it.
    pub cluster_role: bool,
    /// The name of the role.
    pub role: String,
    /// To whom.
    pub subjects: Vec<Subject>,
}

/// A way around the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Power {
    /// Speak as somebody else.
    ImpersonateUsers,
    /// Speak as a member of any group.
    ImpersonateGroups,
    /// Speak as an account of pods.
    ImpersonateServiceAccounts,
    /// Alter or delete what refuses forgeries.
    ChangePolicies,
    /// Alter or delete what puts it in force.
    ChangeBindings,
    /// Alter or delete the kinds, and all objects with them.
    ChangeKinds,
    /// Have what others write changed on its way.
    ChangeRequests,
    /// Be the operator in the eyes of the policies.
    Operate,
    /// Write votes and runs for others.
    Attest,
    /// Write rights into a role that one does not hold.
    Escalate,
    /// Bind a role that one does not hold.
    Bind,
}

impl Power {
    /// As it is told to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImpersonateUsers => "impersonate users",
            Self::ImpersonateGroups => "impersonate groups",
            Self::ImpersonateServiceAccounts => "impersonate serviceaccounts",
            Self::ChangePolicies => "change or delete policies",
            Self::ChangeBindings => "change or delete policy bindings",
            Self::ChangeKinds => "change or delete kinds",
            Self::ChangeRequests => "change requests on their way",
            Self::Operate => "operate",
            Self::Attest => "attest",
            Self::Escalate => "escalate",
            Self::Bind => "bind",
        }
    }

    /// Whether the policies ask that it was granted by name: who holds it by a wildcard holds the canary as well, and is
    /// taken for nobody.
    pub fn is_granted_by_name(self) -> bool {
        matches!(self, Self::Operate | Self::Attest)
    }
}

/// A power as one role gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub power: Power,
    /// Over these objects; empty: any.
    pub names: Vec<String>,
    /// Whether every rule that gives it does so by the verb `*`.
    pub wildcard: bool,
}

/// A subject, and what a role bound to it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub subject: Subject,
    /// Where it holds; none: everywhere.
    pub place: Place,
    /// What; never empty, each power once.
    pub held: Vec<Held>,
    /// By which role: `ClusterRole admin`, `Role shop/runner`.
    pub role: String,
    /// Bound by what.
    pub binding: String,
}

/// Everybody who holds a power, those of the installation first.
pub fn holders(roles: &[Role], bindings: &[Binding]) -> Vec<Holder> {
    let roles: BTreeMap<(&Place, &str), &Role> = roles
        .iter()
        .map(|role| ((&role.place, role.name.as_str()), role))
        .collect();
    let mut all = Vec::new();
    for binding in bindings {
        let place = if binding.cluster_role {
            &None
        } else {
            &binding.place
        };
        // What is bound and is not there allows nothing.
        let Some(role) = roles.get(&(place, binding.role.as_str())) else {
            continue;
        };
        let held = held(&role.rules, binding.place.is_some());
        if held.is_empty() {
            continue;
        }
        for subject in &binding.subjects {
            all.push(Holder {
                subject: subject.clone(),
                place: binding.place.clone(),
                held: held.clone(),
                role: named("Role", &role.place, &role.name),
                binding: named("RoleBinding", &binding.place, &binding.name),
            });
        }
    }
    all.sort_by(|a, b| key(a).cmp(&key(b)));
    all.dedup();
    all
}

fn key(holder: &Holder) -> (bool, &Subject, &Place, &str, &str) {
    (
        holder.subject.is_of_kubernetes(),
        &holder.subject,
        &holder.place,
        &holder.role,
        &holder.binding,
    )
}

fn named(kind: &str, place: &Place, name: &str) -> String {
    match place {
        Some(place) => format!("{kind} {place}/{name}"),
        None => format!("Cluster{kind} {name}"),
    }
}

/// The powers that these rules give together, bound in a namespace or everywhere.
fn held(rules: &[Rule], in_namespace: bool) -> Vec<Held> {
    let mut all = Vec::new();
    for means in MEANS
        .iter()
        .filter(|means| means.namespaced || !in_namespace)
    {
        let mut found: Option<Held> = None;
        for rule in rules {
            let Some(names) = given(rule, means) else {
                continue;
            };
            let wildcard = rule.verbs.iter().any(|verb| verb == "*");
            found = Some(match found {
                None => Held {
                    power: means.power,
                    names,
                    wildcard,
                },
                Some(before) => Held {
                    power: means.power,
                    names: both(before.names, names),
                    wildcard: before.wildcard && wildcard,
                },
            });
        }
        all.extend(found);
    }
    all
}

/// Over which objects the rule gives the power; none: it does not.
fn given(rule: &Rule, means: &Means) -> Option<Vec<String>> {
    let any = |list: &[String], wanted: &[&str]| {
        list.iter()
            .any(|one| one == "*" || wanted.contains(&one.as_str()))
    };
    let verbs: Vec<_> = means
        .verbs
        .iter()
        .copied()
        .filter(|verb| *verb != COLLECTION || rule.names.is_empty())
        .collect();
    if !any(&rule.verbs, &verbs)
        || !any(&rule.groups, means.groups)
        || !any(&rule.resources, means.resources)
    {
        return None;
    }
    if rule.names.is_empty() {
        return Some(Vec::new());
    }
    let names = rule.names.iter();
    let names: Vec<_> = names
        .filter(|name| name.ends_with(means.ending))
        .cloned()
        .collect();
    (!names.is_empty()).then_some(names)
}

/// Over what two rules reach together.
fn both(one: Vec<String>, other: Vec<String>) -> Vec<String> {
    if one.is_empty() || other.is_empty() {
        return Vec::new();
    }
    let mut names = [one, other].concat();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests;
