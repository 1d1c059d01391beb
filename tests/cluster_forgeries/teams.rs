//! Two teams, two namespaces: whatever the one writes into its own, by names, paths, references, labels or votes, nothing of
//! the other is read, planned, voted or run by it. The API server's own record says in whose name the operator went where.

use futures::future::join_all;
use kube::Client;
use serde_json::{Value, json};

use super::OPERATOR;
use crate::support::{
    Scene, api, bind, condition, create, deployment, grant, ours, scale, steps, told, waits_for,
};

/// What becomes of a Playbook, and of the run that asks for it: `refused`, `Failed/Reason`, or `Unknown/Reason` while it
/// waits.
struct Row {
    name: &'static str,
    becomes: &'static str,
    /// What the Playbook says besides the common parts; `A` is the other team's namespace.
    spec: Value,
    parameters: Value,
}

fn row(name: &'static str, becomes: &'static str, step: Value) -> Row {
    let mut step = step;
    step["name"] = json!("s");
    Row {
        name,
        becomes,
        spec: json!({"steps": [step]}),
        parameters: json!(null),
    }
}

fn at(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "name": name})
}

fn patched(target: Value) -> Value {
    json!({"patch": {"target": target, "type": "Merge", "patch": {"metadata": {"annotations": {"owned": "yes"}}}}})
}

fn applied(manifest: Value) -> Value {
    json!({"apply": {"manifest": manifest, "force": true}})
}

fn looked(target: Value) -> Value {
    json!({"check": {"target": target, "expression": "object.data.password != ''"}})
}

/// A name that comes by a parameter.
fn by_parameter(name: &'static str, becomes: &'static str, value: String) -> Row {
    let mut row = row(
        name,
        becomes,
        json!({"scale": {"target": deployment("$(params.name)"), "replicas": 9}}),
    );
    row.spec["parameters"] =
        json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}});
    row.parameters = json!({ "name": value });
    row
}

fn by_account(name: &'static str, becomes: &'static str, account: String) -> Row {
    let mut row = row(
        name,
        becomes,
        json!({"scale": {"target": deployment("d"), "replicas": 9}}),
    );
    row.spec["serviceAccountName"] = json!(account);
    row
}

fn rows(a: &str) -> Vec<Row> {
    let config = |namespace: &str, name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": {"a": "b"}});
    let scaled = |name: &str| json!({"scale": {"target": deployment(name), "replicas": 9}});
    vec![
        row(
            "apply-there",
            "Failed/Invalid",
            applied(config(a, "planted")),
        ),
        row(
            "apply-nowhere",
            "Failed/Invalid",
            applied(config("", "planted")),
        ),
        row(
            "apply-namespace",
            "Failed/Invalid",
            applied(
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": a, "labels": {"owned": "yes"}}}),
            ),
        ),
        row(
            "apply-path",
            "Failed/Invalid",
            applied(config(a, &format!("../../{a}/configmaps/planted"))),
        ),
        row(
            "apply-binding",
            "Failed/Invalid",
            applied(
                json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "x"}}),
            ),
        ),
        row(
            "scale-slash",
            "Failed/TargetNotAllowed",
            scaled(&format!("{a}/d")),
        ),
        row(
            "scale-path",
            "Failed/TargetNotAllowed",
            scaled(&format!("../../{a}/deployments/d")),
        ),
        row(
            "scale-query",
            "Failed/TargetNotAllowed",
            scaled("d?fieldManager=x"),
        ),
        row(
            "scale-encoded",
            "Failed/TargetNotAllowed",
            scaled(&format!("..%2f..%2f{a}%2fdeployments%2fd")),
        ),
        row(
            "patch-namespace",
            "Failed/Invalid",
            patched(at("v1", "Namespace", a)),
        ),
        row(
            "patch-gate",
            "Failed/Invalid",
            patched(at("neuralops.io/v1alpha1", "Gate", "g")),
        ),
        row(
            "patch-group",
            "Failed/Invalid",
            patched(at(&format!("apps/v1/namespaces/{a}"), "Deployment", "d")),
        ),
        row(
            "patch-kind",
            "Unknown/KindUnknown",
            patched(at("apps/v1", &format!("../{a}"), "d")),
        ),
        row(
            "check-secret",
            "Failed/TargetNotAllowed",
            looked(at("v1", "Secret", &format!("{a}/creds"))),
        ),
        row(
            "check-secret-path",
            "Failed/TargetNotAllowed",
            looked(at("v1", "Secret", &format!("../{a}/secrets/creds"))),
        ),
        row(
            "job-secret",
            "Failed/DryRunRefused",
            json!({"opaque": "Accepted", "job": {"image": "registry.example/a@sha256:0000000000000000000000000000000000000000000000000000000000000000", "env": [{"name": "P", "secretKeyRef": {"name": format!("{a}/creds"), "key": "password"}}]}}),
        ),
        by_parameter("param-slash", "Failed/TargetNotAllowed", format!("{a}/d")),
        by_parameter(
            "param-path",
            "Failed/TargetNotAllowed",
            format!("../../{a}/deployments/d"),
        ),
        by_parameter("param-dots", "Failed/TargetNotAllowed", "..".to_owned()),
        by_parameter("param-dot", "Failed/TargetNotAllowed", ".".to_owned()),
        by_parameter("param-empty", "Failed/TargetNotAllowed", String::new()),
        by_parameter("param-sub", "Failed/TargetNotAllowed", "d/scale".to_owned()),
        by_parameter(
            "param-query",
            "Failed/TargetNotAllowed",
            "d?dryRun=All".to_owned(),
        ),
        by_parameter("param-line", "Failed/TargetNotAllowed", "d\nx".to_owned()),
        by_parameter(
            "param-percent",
            "Failed/TargetNotAllowed",
            "%2e%2e".to_owned(),
        ),
        by_account("account-colon", "Failed/Invalid", format!("{a}:runbook")),
        by_account("account-slash", "Failed/Invalid", format!("{a}/runbook")),
        by_account(
            "account-whole",
            "Failed/Invalid",
            format!("system:serviceaccount:{a}:runbook"),
        ),
        by_account("account-path", "Failed/Invalid", format!("../{a}/runbook")),
        by_account(
            "account-unlent",
            "Unknown/ImpersonationForbidden",
            "unlent".to_owned(),
        ),
        by_account("account-none", "Failed/AccessDenied", "nobody".to_owned()),
        row("only-there", "Failed/TargetNotFound", scaled("there")),
    ]
}

async fn becomes(b: &Scene, erin: &Client, row: &Row) -> String {
    let mut playbook = b.playbook(row.name, json!([]));
    for (name, value) in row.spec.as_object().expect("fields") {
        playbook["spec"][name] = value.clone();
    }
    match create(b.admin(), b.author.sign(playbook)).await {
        Err(kube::Error::Api(_)) => return "refused".to_owned(),
        made => made.expect("a playbook or a refusal"),
    };
    ask(b, erin, row.name, row.name, &row.parameters)
        .await
        .expect("a run");
    let over = |status: &Value| {
        status["outcome"].is_string()
            || condition(status, "Ready") == row.becomes
            || status["stage"] == "Approve"
    };
    let run = b.until(row.name, "is judged", over).await;
    let ready = condition(&run["status"], "Ready");
    let word = ready.split_once('/').map_or("", |(_, reason)| reason);
    match run["status"]["outcome"].as_str() {
        Some(outcome) => format!("{outcome}/{word}"),
        None => ready,
    }
}

async fn ask(
    scene: &Scene,
    by: &Client,
    name: &str,
    playbook: &str,
    parameters: &Value,
) -> Result<(), kube::Error> {
    let mut run = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration",
        "metadata": {"name": name, "namespace": scene.ns.name()},
        "spec": {"incident": {"summary": "none"}, "playbookRef": {"name": playbook}, "requestedBy": "erin"},
    });
    if !parameters.is_null() {
        run["spec"]["parameters"] = parameters.clone();
    }
    create(by, run).await.map(|_| ())
}

/// Whether the operator, as an account of one namespace, was ever in the other.
fn strays(scene: &Scene, mark: u64, other: &Scene) -> Vec<String> {
    let account = format!("system:serviceaccount:{}:", scene.ns.name());
    let events = scene.cluster.audit_since(mark).into_iter();
    let strays = events.filter(|event| {
        event.user == OPERATOR
            && event.impersonated.starts_with(&account)
            && (event.namespace == other.ns.name() || event.uri.contains(other.ns.name()))
    });
    strays.map(|event| format!("{event:?}")).collect()
}

async fn pair() -> Option<(Scene, Scene)> {
    let cluster = match crate::support::cluster(&[
        crate::support::Need::Users,
        crate::support::Need::Owned,
    ]) {
        Ok(cluster) => cluster,
        Err(reason) => {
            crate::support::skip!(&reason);
            return None;
        }
    };
    let (a, b) = futures::join!(Scene::set(cluster, "team-a"), Scene::set(cluster, "team-b"));
    // The other team: erin asks, frank approves, and neither has any right in the first team's namespace.
    bind(&b.ns, "erin", "neuralops-engineer").await;
    bind(&b.ns, "frank", "neuralops-approver").await;
    grant(
        &b.ns,
        "frank",
        &[ours("approve reject", "approverroles").named("oncall")],
    )
    .await;
    a.workloads(&["d", "there"]).await;
    b.workloads(&["d"]).await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "creds", "namespace": a.ns.name()}, "stringData": {"password": "hunter2"}});
    create(a.admin(), secret).await.expect("a Secret");
    Some((a, b))
}

#[tokio::test]
async fn what_one_team_signs_for_itself_reaches_nothing_of_the_other() {
    let Some((a, b)) = pair().await else { return };
    let mark = a.cluster.audit_mark();
    let unlent = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "unlent", "namespace": b.ns.name()}});
    create(b.admin(), unlent).await.expect("an account");
    let erin = a.cluster.user("erin").await;
    let rows = rows(a.ns.name());
    let found = join_all(rows.iter().map(|row| becomes(&b, &erin, row))).await;
    let found: Vec<_> = rows
        .iter()
        .zip(&found)
        .map(|(row, found)| format!("{} {found}", row.name))
        .collect();
    let wanted: Vec<_> = rows
        .iter()
        .map(|row| format!("{} {}", row.name, row.becomes))
        .collect();
    assert_eq!(found, wanted);
    b.meanwhile().await;
    assert_eq!(b.effects(mark).await, Vec::<String>::new());
    assert_eq!(a.effects(mark).await, Vec::<String>::new());
    assert_eq!(strays(&b, mark, &a), Vec::<String>::new());
    // What a run says of itself tells nothing of the other team either.
    for row in &rows {
        let run = api(b.admin(), "Orchestration", b.ns.name())
            .get_opt(row.name)
            .await;
        let run = serde_json::to_string(&run.expect("an answer")).expect("JSON");
        assert!(!run.contains("hunter2"), "{}: {run}", row.name);
    }
}

#[tokio::test]
async fn names_votes_and_signatures_of_one_team_are_not_the_others() {
    let Some((a, b)) = pair().await else { return };
    let cluster = a.cluster;
    let mark = cluster.audit_mark();
    let (erin, frank) = (cluster.user("erin").await, cluster.user("frank").await);
    // The same names in both.
    let ours_run = a.run("r", json!([scale("s", "d", 3)]), json!({})).await;
    b.signed(b.playbook("r", json!([scale("s", "d", 5)]))).await;
    ask(&b, &erin, "r", "r", &json!(null)).await.expect("a run");
    let theirs = b.asked("r").await;
    assert_ne!(
        ours_run["status"]["gates"][0]["name"],
        theirs["status"]["gates"][0]["name"]
    );
    assert_ne!(
        ours_run["status"]["plan"]["digest"],
        theirs["status"]["plan"]["digest"]
    );

    // A Playbook that only the other team has, by name, by path and as a copy with its bundle.
    a.signed(a.playbook("only-a", json!([scale("s", "d", 9)])))
        .await;
    ask(&b, &erin, "by-name", "only-a", &json!(null))
        .await
        .expect("a run");
    b.until("by-name", "waits", waits_for("PlaybookNotFound"))
        .await;
    for name in [
        format!("{}/only-a", a.ns.name()),
        format!("../{}/only-a", a.ns.name()),
    ] {
        let asked = ask(&b, &erin, "by-path", &name, &json!(null)).await;
        if asked.is_ok() {
            let run = b
                .until("by-path", "is judged", |status| {
                    waits_for("PlaybookNotFound")(status)
                        || waits_for("ApiServerUnavailable")(status)
                })
                .await;
            assert_eq!(run["status"]["gates"], json!(null), "{run:#}");
            b.delete("Orchestration", "by-path").await;
            b.is_gone("Orchestration", "by-path").await;
        }
    }
    let mut copy = a.object("Playbook", "only-a").await;
    copy["metadata"] = json!({"name": "only-a", "namespace": b.ns.name(), "annotations": copy["metadata"]["annotations"]});
    let refused = async |run: &str, reason: &str| {
        ask(&b, &erin, run, "only-a", &json!(null))
            .await
            .expect("a run");
        let run = b.ended(run, "Failed").await;
        let ready = condition(&run["status"], "Ready");
        assert_eq!(ready, format!("False/{reason}"), "{}", told(&run["status"]));
    };
    create(b.admin(), copy.clone()).await.expect("a copy");
    refused("copy", "DigestMismatch").await;
    // Even where the same author is trusted in both, a signature is for one namespace.
    trusted(&b, &a.author).await;
    refused("trusted", "DigestMismatch").await;
    // And an author whom only the other team trusts signs nothing here.
    trusted(&b, &b.author).await;
    let signed = a.author.sign(copy);
    let patch = json!({"metadata": {"annotations": signed["metadata"]["annotations"]}});
    let patched = b.patch(b.admin(), "Playbook", "only-a", patch).await;
    patched.expect("a signature");
    refused("stranger", "UntrustedKey").await;

    votes_stay_at_home((&a, &ours_run), (&b, &theirs), &frank).await;

    // Nobody of the one team sees or touches the other's things.
    for (kind, name) in [
        ("Orchestration", "r"),
        ("Playbook", "only-a"),
        ("Secret", "creds"),
    ] {
        assert!(
            api(&erin, kind, a.ns.name()).get(name).await.is_err(),
            "{kind}"
        );
    }
    assert!(
        ask(&a, &erin, "mine", "only-a", &json!(null))
            .await
            .is_err()
    );
    a.meanwhile().await;
    assert_eq!(a.effects(mark).await, Vec::<String>::new());
    let now = a.object("Orchestration", "r").await;
    assert_eq!(now["status"], ours_run["status"], "nothing of it has moved");

    // Each runs for itself, by its own people's votes.
    let gate = &theirs["status"]["gates"][0];
    let vote = decision(&b, gate, &theirs["status"]["plan"]["digest"]);
    create(&frank, vote).await.expect("a vote");
    let done = b.ended("r", "Succeeded").await;
    assert_eq!(steps(&done), "Succeeded");
    assert_eq!((a.replicas("d").await, b.replicas("d").await), (1, 5));
    a.approve(&ours_run).await;
    a.ended("r", "Succeeded").await;
    assert_eq!((a.replicas("d").await, b.replicas("d").await), (3, 5));
    assert_eq!(a.effects(mark).await, ["patch deployments d"]);
    assert_eq!(b.effects(mark).await, ["patch deployments d"]);
    assert_eq!(strays(&a, mark, &b), Vec::<String>::new());
    assert_eq!(strays(&b, mark, &a), Vec::<String>::new());
}

/// Has the policy of the scene trust this author and no other.
async fn trusted(scene: &Scene, author: &crate::support::Author) {
    let policies = api(scene.admin(), "TrustPolicy", "");
    let keys = json!([{"name": "author", "publicKey": author.public}]);
    let patch = kube::api::Patch::Merge(json!({"spec": {"keys": keys}}));
    let params = kube::api::PatchParams::default();
    let patched = policies.patch(scene.ns.name(), &params, &patch).await;
    patched.expect("a policy");
}

fn decision(scene: &Scene, gate: &Value, digest: &Value) -> Value {
    json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Decision",
        "metadata": {"generateName": "vote-", "namespace": scene.ns.name()},
        "spec": {"gateRef": {"name": gate["name"], "uid": gate["uid"]}, "planDigest": digest, "verdict": "Approve", "user": "frank"},
    })
}

/// frank may vote in one namespace, and tries to in the other.
async fn votes_stay_at_home(
    (a, ours_run): (&Scene, &Value),
    (b, theirs): (&Scene, &Value),
    frank: &Client,
) {
    let (gate, own) = (
        &ours_run["status"]["gates"][0],
        &theirs["status"]["gates"][0],
    );
    let digest = &ours_run["status"]["plan"]["digest"];
    let there = create(frank, decision(a, gate, digest)).await;
    assert!(there.is_err(), "{there:?}");
    // At home, about the other's Gate: it is stored there, and nobody counts it.
    create(frank, decision(b, gate, digest))
        .await
        .expect("a vote about nothing");
    let mixed = [
        json!({"name": own["name"], "uid": gate["uid"]}),
        json!({"name": gate["name"], "uid": own["uid"]}),
    ];
    for gate in &mixed {
        for digest in [digest, &theirs["status"]["plan"]["digest"]] {
            // Refused, or about nothing: the last of them is a vote on his own Gate by its uid.
            if gate["uid"] == own["uid"] && digest != &ours_run["status"]["plan"]["digest"] {
                continue;
            }
            let _ = create(frank, decision(b, gate, digest)).await;
        }
    }
    let named = json!({"name": format!("{}/{}", a.ns.name(), gate["name"].as_str().expect("a name")), "uid": gate["uid"]});
    let _ = create(frank, decision(b, &named, digest)).await;
    // A Gate of their own that pretends to belong to the other's run.
    let run = &ours_run["metadata"];
    let forged = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate",
        "metadata": {"name": gate["name"], "namespace": b.ns.name(), "labels": {"neuralops.io/settled": "true"}},
        "spec": {"subject": {"kind": "Orchestration", "name": run["name"], "uid": run["uid"], "planDigest": digest}, "rules": [{"role": "oncall", "min": 1}], "requestedBy": ["frank"]},
    });
    grant(&b.ns, "frank", &[ours("create", "gates")]).await;
    let made = create(frank, forged.clone()).await;
    assert!(made.is_err(), "nobody labels a Gate as settled: {made:?}");
    let mut plain = forged;
    plain["metadata"]["labels"] = json!(null);
    let made = create(frank, plain).await.expect("a Gate of their own");
    let vote = json!({"status": {"gates": [{"name": gate["name"], "uid": made.metadata.uid}], "plan": {"digest": digest}}});
    b.vote("bob", &vote, "Approve")
        .await
        .expect("a vote at home");
    crate::support::eventually("it is approved, for nobody", super::SOON, async || {
        let found = b
            .object("Gate", gate["name"].as_str().expect("a name"))
            .await;
        match found["status"]["state"].as_str() {
            Some("Approved") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    a.meanwhile().await;
    let found = a
        .object("Gate", gate["name"].as_str().expect("a name"))
        .await;
    assert_eq!(found["status"]["state"], "Open", "{found:#}");
}
