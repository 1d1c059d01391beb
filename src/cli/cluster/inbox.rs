//! Floor 3: `neuralops inbox`: the open Gates that wait for exactly this person, and why there is none if there is none.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, ObjectList},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{
    CommandError,
    access::{Access, Caller, PlaceArgs},
    error::refused,
    question::{claimed_run, is_open, passed_over, waits_for},
    text::{OutputArgs, left, line, table},
    vote::{newest, stands},
};
use crate::{
    adapters::clock,
    api::v1alpha1::{Decision, Gate, Orchestration},
};

/// What `--help` ends with.
pub const HELP: &str = "\
A Gate waits for you if you hold, by name, one of the roles that it asks for, did not ask for the run yourself, and have
no vote on it that stands. Exits with 0, also when nothing waits, 1 if the API server refused, 2 if it was asked for
wrongly.

Examples
  neuralops inbox -A
  neuralops inbox -n shop -o json";

/// List what waits.
#[derive(clap::Args, Debug)]
pub struct InboxArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// In every namespace
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// What stands between a person and a Gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Obstacle {
    Late,
    Asked,
    Voted,
    Role,
    Wildcard,
}

/// A Gate that waits, and the run that waits for it.
struct Row<'a> {
    gate: &'a Gate,
    run: Option<&'a Orchestration>,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &InboxArgs) -> Result<String, CommandError> {
    let access = args.place.open().await?;
    let caller = access.caller().await?;
    let scope = Scope {
        access: &access,
        everywhere: args.all_namespaces,
    };
    let gates: Vec<Gate> = scope.list("Gates", ListParams::default()).await?;
    let gates: Vec<Gate> = gates.into_iter().filter(is_open).collect();
    let mut roles = Roles::default();
    let votes = scope.votes(&caller, &gates).await?;
    let now = clock::now();
    let (mut mine, mut obstacles) = (Vec::new(), BTreeMap::<Obstacle, usize>::new());
    for gate in &gates {
        let voted = newest(&votes, |vote| {
            Some(&vote.spec.gate_ref.uid) == gate.uid().as_ref() && caller.is(&vote.spec.user)
        });
        let obstacle = match personal(gate, &caller, voted, now) {
            None => roles.obstacle(&access, gate).await?,
            some => some,
        };
        match obstacle {
            None => mine.push(gate),
            Some(obstacle) => *obstacles.entry(obstacle).or_default() += 1,
        }
    }
    let runs = if mine.is_empty() {
        Vec::new()
    } else {
        scope.runs().await?
    };
    let rows: Vec<Row<'_>> = mine.into_iter().map(|gate| row(gate, &runs)).collect();
    let items: Vec<&Gate> = rows.iter().map(|row| row.gate).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    args.output.print(&list, || {
        if rows.is_empty() {
            why_empty(&scope.place(), &caller, gates.len(), &obstacles)
        } else {
            told(&rows, now)
        }
    })
}

/// Where one looks.
struct Scope<'a> {
    access: &'a Access,
    everywhere: bool,
}

impl Scope<'_> {
    fn place(&self) -> String {
        if self.everywhere {
            "any namespace".to_owned()
        } else {
            format!("namespace {}", self.access.namespace())
        }
    }

    fn objects<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        if self.everywhere {
            Api::all(self.access.client().clone())
        } else {
            self.access.objects()
        }
    }

    /// All of them, page by page.
    async fn list<K>(&self, what: &str, params: ListParams) -> Result<Vec<K>, CommandError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let mut params = params.limit(500);
        let mut all = Vec::new();
        loop {
            let page: ObjectList<K> = self.objects().list(&params).await.map_err(refused(
                format!("list the {what} of {}", self.place()),
                "neuralops-approver",
            ))?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(all),
            }
        }
    }

    /// The caller's own votes.
    async fn votes(&self, caller: &Caller, gates: &[Gate]) -> Result<Vec<Decision>, CommandError> {
        if gates.is_empty() {
            return Ok(Vec::new());
        }
        let own = format!("spec.user={}", escaped(&caller.user));
        self.list("Decisions", ListParams::default().fields(&own))
            .await
    }

    /// The runs that wait for a decision.
    async fn runs(&self) -> Result<Vec<Orchestration>, CommandError> {
        let waiting = ListParams::default().fields("status.stage!=Done");
        self.list("runs", waiting).await
    }
}

/// A value of a field selector; names of people hold commas and equal signs.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// What the Gate and the caller's own acts say, without asking anybody.
fn personal(
    gate: &Gate,
    caller: &Caller,
    voted: Option<&Decision>,
    now: Timestamp,
) -> Option<Obstacle> {
    let deadline = gate.spec.deadline.as_ref();
    if deadline.is_some_and(|deadline| deadline.0 <= now) {
        return Some(Obstacle::Late);
    }
    if gate.spec.requested_by.iter().any(|user| caller.is(user)) {
        return Some(Obstacle::Asked);
    }
    let counts = |vote: &Decision| stands(vote) && !passed_over(gate, vote);
    voted.is_some_and(counts).then_some(Obstacle::Voted)
}

/// What the API server said about roles; asked once for each.
#[derive(Default)]
struct Roles {
    held: BTreeMap<(String, String), bool>,
    wildcard: BTreeMap<String, bool>,
}

impl Roles {
    async fn obstacle(
        &mut self,
        access: &Access,
        gate: &Gate,
    ) -> Result<Option<Obstacle>, CommandError> {
        let namespace = gate.namespace().unwrap_or_default();
        let wildcard = match self.wildcard.get(&namespace) {
            Some(known) => *known,
            None => access.by_wildcard(&namespace).await?,
        };
        self.wildcard.insert(namespace.clone(), wildcard);
        if wildcard {
            return Ok(Some(Obstacle::Wildcard));
        }
        for rule in &gate.spec.rules {
            let key = (namespace.clone(), rule.role.clone());
            let held = match self.held.get(&key) {
                Some(known) => *known,
                None => access.may_approve(&namespace, &rule.role).await?,
            };
            self.held.insert(key, held);
            if held {
                return Ok(None);
            }
        }
        Ok(Some(Obstacle::Role))
    }
}

/// The Gate with its run, if that run really waits for it.
fn row<'a>(gate: &'a Gate, runs: &'a [Orchestration]) -> Row<'a> {
    let run = claimed_run(gate).and_then(|name| {
        runs.iter().find(|run| {
            run.name_any() == name && run.namespace() == gate.namespace() && waits_for(run, gate)
        })
    });
    Row { gate, run }
}

fn told(rows: &[Row<'_>], now: Timestamp) -> String {
    let cells: Vec<_> = rows.iter().map(|row| cells(row, now)).collect();
    let header = ["NAMESPACE", "RUN", "GATE", "ROLES", "LEFT", "ABOUT"];
    format!(
        "{}`neuralops diff` shows what would change, `neuralops approve` and `neuralops reject` decide.\n",
        table(header, &cells)
    )
}

fn cells(row: &Row<'_>, now: Timestamp) -> [String; 6] {
    let gate = row.gate;
    let roles: Vec<_> = gate
        .spec
        .rules
        .iter()
        .map(|rule| rule.role.as_str())
        .collect();
    let deadline = gate.spec.deadline.as_ref();
    let deadline = deadline.and_then(|deadline| left(deadline.0, now));
    [
        gate.namespace().unwrap_or_default(),
        row.run.map_or("-".to_owned(), ResourceExt::name_any),
        gate.name_any(),
        roles.join(","),
        deadline.unwrap_or_else(|| "-".to_owned()),
        short(&about(row)),
    ]
}

/// What a person recognizes it by: the incident, else the plan, else the subject.
fn about(row: &Row<'_>) -> String {
    let Some(run) = row.run else {
        let subject = &row.gate.spec.subject;
        let kind = subject.kind.as_deref().unwrap_or_default();
        let name = subject.name.as_deref().unwrap_or(&subject.uid);
        return format!("{kind} {name}, no run");
    };
    let plan = run.status.as_ref().and_then(|status| status.plan.as_ref());
    let targets = plan.and_then(|plan| plan.targets.clone());
    let targets = targets.unwrap_or_default().join(", ");
    let summary = run.spec.incident.summary.as_deref().unwrap_or_default();
    match (targets.is_empty(), summary.is_empty()) {
        (true, _) => summary.to_owned(),
        (false, true) => targets,
        (false, false) => format!("{targets}: {summary}"),
    }
}

/// What fits beside the other columns.
fn short(text: &str) -> String {
    let text = line(text);
    if text.chars().count() <= 80 {
        return text;
    }
    let cut: String = text.chars().take(79).collect();
    cut + "…"
}

/// Why nothing waits: in numbers, and with what to do.
fn why_empty(
    place: &str,
    caller: &Caller,
    open: usize,
    obstacles: &BTreeMap<Obstacle, usize>,
) -> String {
    let user = &caller.user;
    if open == 0 {
        return format!("Nothing waits for you, {user}: no Gate is open in {place}.\n");
    }
    let mut text = format!("Nothing waits for you, {user}. Open Gates in {place}: {open}\n");
    for (obstacle, count) in obstacles {
        let why = match obstacle {
            Obstacle::Late => "past their deadline, and settled in a moment",
            Obstacle::Asked => "ask about what you requested: others decide over it",
            Obstacle::Voted => "have your vote already: neuralops withdraw takes one back",
            Obstacle::Role => {
                "ask for roles that you do not hold by name: neuralops role approver prints what grants one"
            }
            Obstacle::Wildcard => {
                "where your rights come from a wildcard, which makes no approver: use an account without one"
            }
        };
        text.push_str(&format!("  {count}: {why}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn caller() -> Caller {
        Caller {
            user: "bob".to_owned(),
            groups: Vec::new(),
        }
    }

    fn gate(change: Value) -> Gate {
        let mut spec = json!({
            "subject": {"uid": "u", "planDigest": "sha256:0"},
            "rules": [{"role": "oncall", "min": 1}],
            "requestedBy": ["alice"],
        });
        for (name, value) in change.as_object().expect("fields") {
            spec[name] = value.clone();
        }
        serde_json::from_value(json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate", "metadata": {"name": "g"}, "spec": spec,
        }))
        .expect("a gate")
    }

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().expect("a time")
    }

    #[test]
    fn what_stands_between_a_person_and_a_gate() {
        let obstacle = |change| personal(&gate(change), &caller(), None, now());
        assert_eq!(obstacle(json!({})), None);
        assert_eq!(
            obstacle(json!({"requestedBy": ["BOB"]})),
            Some(Obstacle::Asked)
        );
        let over = obstacle(json!({"deadline": "2026-01-01T00:00:00Z"}));
        assert_eq!(over, Some(Obstacle::Late));
        assert_eq!(obstacle(json!({"deadline": "2026-01-01T00:00:01Z"})), None);
    }

    #[test]
    fn an_empty_inbox_says_why() {
        let none = BTreeMap::new();
        assert!(
            why_empty("namespace a", &caller(), 0, &none)
                .contains("no Gate is open in namespace a")
        );
        let some = BTreeMap::from([(Obstacle::Role, 2), (Obstacle::Asked, 1)]);
        let text = why_empty("any namespace", &caller(), 3, &some);
        assert!(
            text.contains("  2: ask for roles that you do not hold by name"),
            "{text}"
        );
        assert!(text.contains("  1: ask about what you requested"), "{text}");
    }

    #[test]
    fn a_name_with_commas_selects_itself() {
        assert_eq!(escaped("CN=bob,O=a\\b"), "CN\\=bob\\,O\\=a\\\\b");
    }
}
