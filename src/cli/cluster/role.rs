//! Floor 3: `neuralops role …`: the YAML that grants what cannot be granted with `kubectl create role`, because no
//! resource stands behind it. Nothing is written to the cluster: granting is somebody else's decision.

use serde_json::{Value, json};

use super::{CommandError, access::PlaceArgs, text::yaml};
use crate::api::GROUP;

/// What `--help` of approver ends with.
pub const APPROVER_HELP: &str = "\
Prints YAML; exits with 0, or with 2 if it was asked for wrongly. A role is granted by name: a wildcard makes no approver.

Example
  neuralops role approver oncall -n shop --user bob --group shop-oncall | kubectl apply -f -";

/// What `--help` of runner ends with.
pub const RUNNER_HELP: &str = "\
Prints YAML; exits with 0, or with 2 if it was asked for wrongly. What the account may do itself is granted as ever.

Example
  neuralops role runner runbook-shop -n shop | kubectl apply -f -";

/// What `--help` of author ends with.
pub const AUTHOR_HELP: &str = "\
Prints YAML; exits with 0, or with 2 if it was asked for wrongly.

Example
  neuralops role author runbook-shop -n shop --user carol | kubectl apply -f -";

/// Roles to grant.
#[derive(clap::Subcommand, Debug)]
pub enum RoleCommand {
    /// Who approves and rejects under a role that Playbooks name
    #[command(after_help = APPROVER_HELP)]
    Approver(ApproverArgs),
    /// Lets the operator run Playbooks as a ServiceAccount
    #[command(after_help = RUNNER_HELP)]
    Runner(RunnerArgs),
    /// Who may write Playbooks that act as a ServiceAccount
    #[command(after_help = AUTHOR_HELP)]
    Author(AuthorArgs),
}

/// To whom.
#[derive(clap::Args, Debug)]
pub struct SubjectArgs {
    /// A person, by the name that the API server knows (kubectl auth whoami)
    #[arg(long = "user", value_name = "USER", value_parser = subject)]
    users: Vec<String>,
    /// A group
    #[arg(long = "group", value_name = "GROUP", value_parser = subject)]
    groups: Vec<String>,
}

/// Approvers.
#[derive(clap::Args, Debug)]
pub struct ApproverArgs {
    /// The role, as the approval rules of Playbooks name it
    #[arg(value_name = "ROLE", value_parser = role)]
    role: String,
    #[command(flatten)]
    subjects: SubjectArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Runners.
#[derive(clap::Args, Debug)]
pub struct RunnerArgs {
    /// The ServiceAccount that Playbooks act as
    #[arg(value_name = "ACCOUNT", value_parser = account)]
    account: String,
    /// Where the operator runs
    #[arg(long, value_name = "NAMESPACE", default_value = "neuralops-system", value_parser = account)]
    operator_namespace: String,
    /// The operator's own ServiceAccount
    #[arg(long, value_name = "ACCOUNT", default_value = "neuralops-controller", value_parser = account)]
    operator_account: String,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Authors.
#[derive(clap::Args, Debug)]
pub struct AuthorArgs {
    /// The ServiceAccount that the Playbooks act as
    #[arg(value_name = "ACCOUNT", value_parser = account)]
    account: String,
    #[command(flatten)]
    subjects: SubjectArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Nobody decides who is no person, and no broad group should stand in such a binding.
fn subject(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("a name is missing".to_owned());
    }
    if text.to_ascii_lowercase().starts_with("system:") {
        return Err("names of the system are no people: their votes never count, and their groups hold everybody".to_owned());
    }
    Ok(text.to_owned())
}

fn role(text: &str) -> Result<String, String> {
    if text == "wildcard" {
        return Err(
            "this name is never granted: holding it shows that a right came from a wildcard"
                .to_owned(),
        );
    }
    if text.len() > 63 || text.contains('.') {
        return Err("a role has at most 63 small letters, digits and -".to_owned());
    }
    account(text)
}

/// A name that stands in comments and names of objects as it is.
fn account(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if text.len() <= 200 && text.chars().all(fits) && text.starts_with(edge) && text.ends_with(edge)
    {
        Ok(text.to_owned())
    } else {
        Err(
            "a name has small letters, digits and -, and begins and ends with one of the first two"
                .to_owned(),
        )
    }
}

/// Runs the command; returns what is to be printed.
pub async fn run(command: &RoleCommand) -> Result<String, CommandError> {
    match command {
        RoleCommand::Approver(args) => approver(args, &place(&args.place).await?),
        RoleCommand::Runner(args) => runner(args, &place(&args.place).await?),
        RoleCommand::Author(args) => author(args, &place(&args.place).await?),
    }
}

/// The namespace; it stands in comments as well, so it must be a name.
async fn place(args: &PlaceArgs) -> Result<String, CommandError> {
    let namespace = args.namespace().await?;
    account(&namespace)
        .map_err(|why| CommandError::Usage(format!("{namespace:?} is no namespace: {why}")))
}

fn approver(args: &ApproverArgs, namespace: &str) -> Result<String, CommandError> {
    let role = &args.role;
    let name = format!("approver-{role}");
    let mut documents = vec![(
        format!(
            "# Who approves and rejects under the role {role} in the namespace {namespace}. Nothing stands behind approverroles:\n\
             # the role is a name that Gates ask for. It must be granted by name; a wildcard makes no approver.\n"
        ),
        rules(
            &name,
            namespace,
            &json!([
                {"apiGroups": [GROUP], "resources": ["approverroles"], "resourceNames": [role], "verbs": ["approve", "reject"]}
            ]),
        ),
    )];
    let subjects = args.subjects.list();
    if subjects.is_empty() {
        return printed(documents, UNBOUND);
    }
    documents.push((
        String::new(),
        binding(&name, namespace, ("Role", &name), &subjects),
    ));
    documents.push((
        "# What a vote needs besides: to see Gates and plans, and to write Decisions.\n".to_owned(),
        binding(
            &format!("{name}-votes"),
            namespace,
            ("ClusterRole", "neuralops-approver"),
            &subjects,
        ),
    ));
    printed(documents, "")
}

fn author(args: &AuthorArgs, namespace: &str) -> Result<String, CommandError> {
    let account = &args.account;
    let name = format!("playbook-author-{account}");
    let mut documents = vec![(
        format!(
            "# Who may write Playbooks that act as the ServiceAccount {account} of the namespace {namespace}: writing one is using the\n\
             # account. To write Playbooks at all, bind ClusterRole neuralops-admin there too, or grant that much in a Role.\n"
        ),
        rules(
            &name,
            namespace,
            &json!([
                {"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": [account], "verbs": ["use"]}
            ]),
        ),
    )];
    let subjects = args.subjects.list();
    if subjects.is_empty() {
        return printed(documents, UNBOUND);
    }
    documents.push((
        String::new(),
        binding(&name, namespace, ("Role", &name), &subjects),
    ));
    printed(documents, "")
}

fn runner(args: &RunnerArgs, namespace: &str) -> Result<String, CommandError> {
    let account = &args.account;
    let name = format!("neuralops-runner-{account}");
    let operator = json!({
        "kind": "ServiceAccount",
        "name": args.operator_account,
        "namespace": args.operator_namespace,
    });
    let documents = vec![
        (
            format!(
                "# Lets the operator plan and run Playbooks as the ServiceAccount {account} of the namespace {namespace}, and as no other.\n\
                 # What a run can do is what the account may do: grant it that, and no more.\n"
            ),
            rules(
                &name,
                namespace,
                &json!([
                    {"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": [account], "verbs": ["impersonate"]}
                ]),
            ),
        ),
        (
            String::new(),
            binding(&name, namespace, ("Role", &name), &[operator]),
        ),
    ];
    printed(documents, "")
}

impl SubjectArgs {
    fn list(&self) -> Vec<Value> {
        let of = |kind: &'static str| move |name: &String| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
        let users = self.users.iter().map(of("User"));
        users.chain(self.groups.iter().map(of("Group"))).collect()
    }
}

/// What follows where nobody was named.
const UNBOUND: &str = "# Nobody holds it yet: give --user and --group, or bind it to somebody.\n";

fn rules(name: &str, namespace: &str, rules: &Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": namespace},
        "rules": rules,
    })
}

fn binding(name: &str, namespace: &str, role: (&str, &str), subjects: &[Value]) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role.0, "name": role.1},
        "subjects": subjects,
    })
}

/// Documents, each under its comment.
fn printed(documents: Vec<(String, Value)>, end: &str) -> Result<String, CommandError> {
    let mut text = String::new();
    for (comment, object) in documents {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        text.push_str(&comment);
        text.push_str(&yaml(&object)?);
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    Ok(text + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_becomes_an_approver_who_is_no_person() {
        for name in ["system:serviceaccount:a:b", "System:authenticated", ""] {
            assert!(subject(name).is_err(), "{name}");
        }
        assert!(subject("CN=Bob: the builder").is_ok());
    }

    #[test]
    fn the_canary_and_what_is_no_name_are_refused() {
        for name in ["wildcard", "*", "On Call", "a\nb", "-a", "a.b", ""] {
            assert!(role(name).is_err(), "{name:?}");
        }
        assert!(role("service-owner").is_ok() && account("a.b").is_ok());
    }
}
