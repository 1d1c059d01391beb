use proptest::prelude::*;

use super::*;

fn words(text: &str) -> Vec<String> {
    text.split(' ')
        .map(|word| {
            if word == "-" {
                String::new()
            } else {
                word.to_owned()
            }
        })
        .collect()
}

fn rule(verbs: &str, groups: &str, resources: &str, names: &str) -> Rule {
    Rule {
        verbs: words(verbs),
        groups: words(groups),
        resources: words(resources),
        names: if names.is_empty() {
            Vec::new()
        } else {
            words(names)
        },
    }
}

fn cluster_role(name: &str, rules: Vec<Rule>) -> Role {
    Role {
        place: None,
        name: name.to_owned(),
        rules,
    }
}

fn bound(place: Option<&str>, role: &str, user: &str) -> Binding {
    Binding {
        place: place.map(str::to_owned),
        name: format!("{role}-{user}"),
        cluster_role: true,
        role: role.to_owned(),
        subjects: vec![Subject::User(user.to_owned())],
    }
}

/// What bob holds by one rule, everywhere or in a namespace.
fn of(rule: Rule, place: Option<&str>) -> Vec<Held> {
    let roles = [cluster_role("r", vec![rule])];
    let mut all = holders(&roles, &[bound(place, "r", "bob")]);
    all.pop().map(|holder| holder.held).unwrap_or_default()
}

fn powers(held: &[Held]) -> Vec<Power> {
    held.iter().map(|held| held.power).collect()
}

#[test]
fn everything_holds_every_power_and_operates_for_nobody() {
    let all = of(rule("*", "*", "*", ""), None);
    assert_eq!(all.len(), MEANS.len());
    assert!(
        all.iter()
            .all(|held| held.wildcard && held.names.is_empty())
    );
}

#[test]
fn each_power_is_found_by_the_least_that_gives_it() {
    use Power::*;
    for (right, names, power) in [
        ("impersonate - users", "", ImpersonateUsers),
        ("impersonate - users", "alice", ImpersonateUsers),
        (
            "impersonate:user-info authentication.k8s.io users",
            "",
            ImpersonateUsers,
        ),
        ("impersonate - groups", "", ImpersonateGroups),
        (
            "impersonate - serviceaccounts",
            "",
            ImpersonateServiceAccounts,
        ),
        (
            "delete admissionregistration.k8s.io validatingadmissionpolicies",
            "",
            ChangePolicies,
        ),
        (
            "patch admissionregistration.k8s.io validatingadmissionpolicies",
            "keep.neuralops.io",
            ChangePolicies,
        ),
        (
            "deletecollection admissionregistration.k8s.io validatingadmissionpolicybindings",
            "",
            ChangeBindings,
        ),
        (
            "update apiextensions.k8s.io customresourcedefinitions",
            "gates.neuralops.io",
            ChangeKinds,
        ),
        ("operate neuralops.io gates", "", Operate),
        ("operate neuralops.io decisions", "", Operate),
        ("attest neuralops.io orchestrations", "", Attest),
        (
            "escalate rbac.authorization.k8s.io clusterroles",
            "",
            Escalate,
        ),
        ("bind rbac.authorization.k8s.io roles", "", Bind),
    ] {
        gives(right, names, power);
    }
}

#[test]
fn whoever_may_have_requests_changed_on_their_way_is_found() {
    let power = Power::ChangeRequests;
    for (right, names) in [
        (
            "create admissionregistration.k8s.io mutatingwebhookconfigurations",
            "",
        ),
        (
            "patch admissionregistration.k8s.io mutatingadmissionpolicies",
            "injector",
        ),
    ] {
        gives(right, names, power);
    }
}

/// Whoever holds this right, limited to these names, has that power and no other.
fn gives(right: &str, names: &str, power: Power) {
    let [verb, group, resource] = words(right).try_into().unwrap();
    let group = if group.is_empty() {
        "-".to_owned()
    } else {
        group
    };
    let held = of(rule(&verb, &group, &resource, names), None);
    assert_eq!(powers(&held), [power], "{right} {names}");
    assert!(!held[0].wildcard);
    assert_eq!(held[0].names.join(" "), names);
}

#[test]
fn what_gives_no_power_is_not_listed() {
    for (verbs, group, resources, names) in [
        ("get list watch", "*", "*", ""),
        (
            "create",
            "admissionregistration.k8s.io",
            "validatingadmissionpolicies",
            "",
        ),
        (
            "delete",
            "admissionregistration.k8s.io",
            "validatingadmissionpolicies",
            "other.example",
        ),
        (
            "deletecollection",
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            "gates.neuralops.io",
        ),
        ("delete", "-", "customresourcedefinitions", ""),
        ("operate", "-", "gates", ""),
        ("operate", "neuralops.io", "gates/status", ""),
        ("attest", "neuralops.io", "gates", ""),
        ("impersonate", "-", "pods", ""),
    ] {
        let held = of(rule(verbs, group, resources, names), None);
        assert_eq!(powers(&held), [], "{verbs} {resources} {names}");
    }
}

#[test]
fn within_a_namespace_only_what_lies_in_one_is_held() {
    let held = of(rule("*", "*", "*", ""), Some("shop"));
    use Power::*;
    assert_eq!(
        powers(&held),
        [ImpersonateServiceAccounts, Operate, Attest, Escalate, Bind]
    );
}

#[test]
fn a_power_by_name_beside_a_wildcard_is_held_by_name() {
    let roles = [cluster_role(
        "r",
        vec![
            rule("*", "neuralops.io", "gates", ""),
            rule("operate", "neuralops.io", "gates", ""),
        ],
    )];
    let all = holders(&roles, &[bound(None, "r", "bob")]);
    assert!(!all[0].held[0].wildcard);
}

#[test]
fn a_role_of_the_namespace_is_told_from_the_cluster_role_of_that_name() {
    let local = Role {
        place: Some("shop".to_owned()),
        name: "r".to_owned(),
        rules: vec![rule("impersonate", "-", "serviceaccounts", "runbook")],
    };
    let global = cluster_role("r", vec![rule("operate", "neuralops.io", "gates", "")]);
    let mut binding = bound(Some("shop"), "r", "bob");
    binding.cluster_role = false;
    let roles = [local, global];
    let all = holders(&roles, &[binding.clone()]);
    assert_eq!(powers(&all[0].held), [Power::ImpersonateServiceAccounts]);
    assert_eq!(all[0].held[0].names, ["runbook"]);
    assert_eq!(all[0].role, "Role shop/r");
    assert_eq!(all[0].binding, "RoleBinding shop/r-bob");
    binding.place = Some("other".to_owned());
    assert_eq!(
        holders(&roles, &[binding]),
        [],
        "there is no such Role there"
    );
}

#[test]
fn people_come_before_what_belongs_to_kubernetes() {
    let roles = [cluster_role("r", vec![rule("*", "*", "*", "")])];
    let mut binding = bound(None, "r", "zoe");
    binding.subjects.extend([
        Subject::Group("system:masters".to_owned()),
        Subject::ServiceAccount {
            namespace: "argocd".to_owned(),
            name: "controller".to_owned(),
        },
        Subject::ServiceAccount {
            namespace: "kube-system".to_owned(),
            name: "generic-garbage-collector".to_owned(),
        },
    ]);
    let shown: Vec<_> = holders(&roles, &[binding])
        .iter()
        .map(|holder| holder.subject.to_string())
        .collect();
    assert_eq!(
        shown,
        [
            "User zoe",
            "ServiceAccount argocd/controller",
            "Group system:masters",
            "ServiceAccount kube-system/generic-garbage-collector",
        ]
    );
}

fn any_words(pool: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(proptest::sample::select(pool), 1..3)
        .prop_map(|words| words.into_iter().map(str::to_owned).collect())
}

fn any_rule() -> impl Strategy<Value = Rule> {
    (
        any_words(&[
            "*",
            "impersonate",
            "delete",
            "patch",
            "deletecollection",
            "operate",
            "attest",
            "bind",
            "get",
        ]),
        any_words(&[
            "*",
            "",
            "neuralops.io",
            "apiextensions.k8s.io",
            "rbac.authorization.k8s.io",
            "admissionregistration.k8s.io",
        ]),
        any_words(&[
            "*",
            "users",
            "serviceaccounts",
            "gates",
            "decisions",
            "customresourcedefinitions",
            "clusterroles",
            "validatingadmissionpolicies",
        ]),
        proptest::collection::vec(
            proptest::sample::select(&["keep.neuralops.io", "alice"][..]),
            0..2,
        )
        .prop_map(|names| names.into_iter().map(str::to_owned).collect()),
    )
        .prop_map(|(verbs, groups, resources, names)| Rule {
            verbs,
            groups,
            resources,
            names,
        })
}

/// A cluster with two roles, each bound to somebody somewhere.
fn any_cluster() -> impl Strategy<Value = (Vec<Role>, Vec<Binding>)> {
    let rules = || proptest::collection::vec(any_rule(), 0..4);
    let place = || proptest::option::of(Just("shop"));
    (
        rules(),
        rules(),
        proptest::collection::vec((place(), any::<bool>(), any::<bool>()), 0..5),
    )
        .prop_map(|(a, b, bindings)| {
            let roles = vec![cluster_role("a", a), cluster_role("b", b)];
            let bindings = bindings.into_iter().map(|(place, role, user)| {
                bound(
                    place,
                    if role { "a" } else { "b" },
                    if user { "alice" } else { "bob" },
                )
            });
            (roles, bindings.collect())
        })
}

/// The authorizer as Kubernetes has it, asked one question: no table of powers, no merging.
fn allows(
    roles: &[Role],
    bindings: &[Binding],
    user: &str,
    place: Option<&str>,
    ask: [&str; 4],
) -> bool {
    let [verb, group, resource, name] = ask;
    bindings.iter().any(|binding| {
        let covers = binding.place.is_none() || binding.place.as_deref() == place;
        let is_bound = binding.subjects.contains(&Subject::User(user.to_owned()));
        covers
            && is_bound
            && roles
                .iter()
                .filter(|role| role.name == binding.role)
                .any(|role| {
                    role.rules.iter().any(|rule| {
                        let has = |list: &[String], word: &str| {
                            list.iter().any(|one| one == "*" || one == word)
                        };
                        has(&rule.verbs, verb)
                            && has(&rule.groups, group)
                            && has(&rule.resources, resource)
                            && (rule.names.is_empty() || rule.names.iter().any(|one| one == name))
                    })
                })
    })
}

proptest! {
    /// Listed is exactly who the authorizer would let do it.
    #[test]
    fn the_list_agrees_with_the_authorizer((roles, bindings) in any_cluster()) {
        let listed = holders(&roles, &bindings);
        let policies = "admissionregistration.k8s.io";
        let kinds = "apiextensions.k8s.io";
        for (power, place, asks) in [
            (Power::ImpersonateUsers, None, vec![["impersonate", "", "users", "alice"], ["impersonate", "", "users", "keep.neuralops.io"]]),
            (Power::ImpersonateServiceAccounts, Some("shop"), vec![["impersonate", "", "serviceaccounts", "alice"], ["impersonate", "", "serviceaccounts", "keep.neuralops.io"]]),
            (Power::ChangePolicies, None, vec![
                ["delete", policies, "validatingadmissionpolicies", "keep.neuralops.io"],
                ["patch", policies, "validatingadmissionpolicies", "keep.neuralops.io"],
                ["deletecollection", policies, "validatingadmissionpolicies", ""],
            ]),
            (Power::ChangeKinds, None, vec![
                ["delete", kinds, "customresourcedefinitions", "keep.neuralops.io"],
                ["patch", kinds, "customresourcedefinitions", "keep.neuralops.io"],
                ["deletecollection", kinds, "customresourcedefinitions", ""],
            ]),
        ] {
            for user in ["alice", "bob"] {
                let may = asks.iter().any(|ask| allows(&roles, &bindings, user, place, *ask));
                let is_listed = listed.iter().any(|holder| {
                    holder.subject == Subject::User(user.to_owned())
                        && (holder.place.is_none() || holder.place.as_deref() == place)
                        && powers(&holder.held).contains(&power)
                });
                prop_assert_eq!(may, is_listed, "{} {:?}", user, power);
            }
        }
    }

    /// Another binding takes no power away, and the order of what was read is nothing.
    #[test]
    fn the_list_only_grows_and_has_no_order_of_its_own((roles, bindings) in any_cluster()) {
        let all = holders(&roles, &bindings);
        let turned: Vec<_> = bindings.iter().rev().cloned().collect();
        let roles_turned: Vec<_> = roles.iter().rev().cloned().collect();
        prop_assert_eq!(&holders(&roles_turned, &turned), &all);
        if let Some((_, fewer)) = bindings.split_last() {
            for holder in holders(&roles, fewer) {
                prop_assert!(all.contains(&holder));
            }
        }
    }
}
