//! Floor 0: what each power consists of, as a table. Who holds it follows elsewhere.

use super::Power;

/// What a power consists of: any of these verbs on any of these resources.
pub(super) struct Means {
    pub(super) power: Power,
    pub(super) verbs: &'static [&'static str],
    pub(super) groups: &'static [&'static str],
    pub(super) resources: &'static [&'static str],
    /// Whether the right is also asked about within a namespace.
    pub(super) namespaced: bool,
    /// Whether only objects of ours matter: those whose name ends like this.
    pub(super) ending: &'static str,
}

const ADMISSION: &[&str] = &["admissionregistration.k8s.io"];
const OURS: &[&str] = &["neuralops.io"];
const RBAC: &[&str] = &["rbac.authorization.k8s.io"];
/// The second is asked where impersonation is limited to a purpose.
const IDENTITIES: &[&str] = &["", "authentication.k8s.io"];
const ENDING: &str = ".neuralops.io";

/// Altering takes a write; a deletion of all takes no name, so a rule with names does not allow it.
const ALTER: &[&str] = &["delete", "update", "patch", COLLECTION];
pub(super) const COLLECTION: &str = "deletecollection";

pub(super) const MEANS: [Means; 11] = [
    Means {
        power: Power::ImpersonateUsers,
        verbs: &["impersonate", "impersonate:user-info"],
        groups: IDENTITIES,
        resources: &["users"],
        namespaced: false,
        ending: "",
    },
    Means {
        power: Power::ImpersonateGroups,
        verbs: &["impersonate", "impersonate:user-info"],
        groups: IDENTITIES,
        resources: &["groups"],
        namespaced: false,
        ending: "",
    },
    Means {
        power: Power::ImpersonateServiceAccounts,
        verbs: &["impersonate", "impersonate:serviceaccount"],
        groups: IDENTITIES,
        resources: &["serviceaccounts"],
        namespaced: true,
        ending: "",
    },
    Means {
        power: Power::ChangePolicies,
        verbs: ALTER,
        groups: ADMISSION,
        resources: &["validatingadmissionpolicies"],
        namespaced: false,
        ending: ENDING,
    },
    Means {
        power: Power::ChangeBindings,
        verbs: ALTER,
        groups: ADMISSION,
        resources: &["validatingadmissionpolicybindings"],
        namespaced: false,
        ending: ENDING,
    },
    Means {
        power: Power::ChangeKinds,
        verbs: ALTER,
        groups: &["apiextensions.k8s.io"],
        resources: &["customresourcedefinitions"],
        namespaced: false,
        ending: ENDING,
    },
    Means {
        power: Power::ChangeRequests,
        verbs: &["create", "update", "patch"],
        groups: ADMISSION,
        resources: &[
            "mutatingwebhookconfigurations",
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
        ],
        namespaced: false,
        ending: "",
    },
    Means {
        power: Power::Operate,
        verbs: &["operate"],
        groups: OURS,
        resources: &["gates", "decisions"],
        namespaced: true,
        ending: "",
    },
    Means {
        power: Power::Attest,
        verbs: &["attest"],
        groups: OURS,
        resources: &["decisions", "orchestrations"],
        namespaced: true,
        ending: "",
    },
    Means {
        power: Power::Escalate,
        verbs: &["escalate"],
        groups: RBAC,
        resources: &["roles", "clusterroles"],
        namespaced: true,
        ending: "",
    },
    Means {
        power: Power::Bind,
        verbs: &["bind"],
        groups: RBAC,
        resources: &["roles", "clusterroles"],
        namespaced: true,
        ending: "",
    },
];
