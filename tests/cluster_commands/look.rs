//! Asking and looking: run, inbox, diff, tree.

use super::*;

pub async fn a_run_is_asked_for_in_ones_own_name(bed: &Bed) {
    let told = bed.here(
        "alice",
        &[
            "run",
            "restart",
            "--param",
            "deployment=checkout",
            "--summary",
            "it crash loops",
            "--severity",
            "critical",
            "--label",
            "alertname=X",
            "--annotation",
            "a=b",
            "--key",
            "k",
            "--start",
            "OnRelease",
        ],
    );
    told.says(&["run restart-", "by alice", "neuralops release"]);
    let name = told.out.split(' ').nth(1).expect("a name");
    let spec = bed.get("Orchestration", name).await.data["spec"].clone();
    let expected = json!({
        "incident": {
            "key": "k", "summary": "it crash loops", "severity": "critical",
            "labels": {"alertname": "X"}, "annotations": {"a": "b"},
        },
        "playbookRef": {"name": "restart"},
        "parameters": {"deployment": "checkout"},
        "start": "OnRelease",
        "requestedBy": "alice",
    });
    assert_eq!(spec, expected);
    bed.here("alice", &["run", "restart", "--name", "mine", "-o", "yaml"])
        .says(&["kind: Orchestration", "name: mine", "requestedBy: alice"]);
}

pub async fn what_cannot_be_asked_for_is_said(bed: &Bed) {
    bed.here("alice", &["run", "restart", "--name", "mine"])
        .fails(1, &["already exists", "choose another --name"]);
    bed.here("alice", &["run", "restrat"])
        .fails(1, &["there is no Playbook restrat", "get playbooks"]);
    bed.here("mallory", &["run", "restart"]).fails(
        1,
        &[
            "User \"mallory\" cannot create",
            "ClusterRole neuralops-engineer",
        ],
    );
    bed.here("alice", &["run", "restart", "--mode", "Auto"])
        .fails(
            1,
            &[
                "mode Auto needs the verb auto on playbooks/restart",
                "without --mode Auto",
            ],
        );
    bed.here("alice", &["run", "restart", "--param", "deployment"])
        .fails(2, &["NAME=VALUE"]);
    bed.here(
        "alice",
        &["run", "restart", "--param", "a=1", "--param", "a=2"],
    )
    .fails(2, &["--param a stands there twice"]);
    bed.here(
        "alice",
        &[
            "run",
            "restart",
            "--name",
            "late",
            "--wait",
            "--timeout",
            "100ms",
        ],
    )
    .fails(124, &["run late asked for", "not that far after 100ms"]);
}

pub async fn an_inbox_holds_what_waits_for_me_and_says_why_it_is_empty(cluster: &'static Cluster) {
    let bed = Bed::set(cluster, "inbox").await;
    bed.here("bob", &["inbox"])
        .says(&["Nothing waits for you, bob: no Gate is open in namespace t-inbox"]);
    let waiting = bed.waiting().await;
    bed.here("bob", &["inbox"]).says(&[
        "NAMESPACE",
        bed.ns.name(),
        &waiting.run,
        &waiting.gate,
        "oncall",
        "Deployment/checkout: checkout crash loops",
    ]);
    // By his group.
    bed.here("dave", &["inbox"]).says(&[&waiting.gate]);
    let listed = bed.here("bob", &["inbox", "-o", "json"]);
    let listed: Value = serde_json::from_str(&listed.out).expect("JSON");
    assert_eq!(listed["items"][0]["metadata"]["uid"], json!(waiting.uid));

    bed.here("alice", &["inbox"])
        .says(&["Open Gates in namespace", "1: ask about what you requested"]);
    bed.here("carol", &["inbox"]).says(&[
        "1: ask for roles that you do not hold by name",
        "neuralops role approver",
    ]);
    bed.here("admin", &["inbox"])
        .says(&["1: where your rights come from a wildcard"]);
    bed.here("mallory", &["inbox"]).fails(
        1,
        &[
            "User \"mallory\" cannot list",
            "ClusterRole neuralops-approver",
        ],
    );
    bed.everywhere("bob", &["inbox", "-A"])
        .fails(1, &["could not list the Gates of any namespace"]);

    bed.here("bob", &["approve", &waiting.run, "--yes"])
        .says(&[]);
    bed.here("bob", &["inbox"])
        .says(&["1: have your vote already"]);
    bed.here("bob", &["withdraw", &waiting.run, "--yes"])
        .says(&[]);
    bed.here("bob", &["inbox"]).says(&[&waiting.gate]);
    bind_everywhere(&bed.ns, "bob", "neuralops-viewer").await;
    bed.everywhere("bob", &["inbox", "-A"])
        .says(&[&waiting.gate]);
}

pub async fn a_plan_is_shown_only_with_its_digest(bed: &Bed) {
    let fresh = bed.ask(&[]);
    bed.here("bob", &["diff", &fresh])
        .fails(1, &["has no plan", "the operator has not looked at it yet"]);
    let waiting = bed.waiting().await;
    let shown = bed.here("bob", &["diff", &waiting.run]);
    shown.says(&[
        &format!("plan {}", waiting.digest),
        "Playbook restart revision 1",
        "~ /spec/replicas: 1 -> 2",
        "undo: put back as it was",
        // Nothing steers the terminal.
        "deployment = \"check\\u{202e}out\"",
    ]);
    assert!(!shown.out.contains("stands beside"), "{}", shown.out);
    let by_gate = bed.here("bob", &["diff", &format!("gate/{}", waiting.gate)]);
    assert_eq!(by_gate.out, shown.out);

    let maps = api(bed.admin(), "ConfigMap", bed.ns.name());
    let change = async |data: Value| {
        let patch = Patch::Merge(json!({ "data": data }));
        maps.patch(&waiting.map, &PatchParams::default(), &patch)
            .await
            .expect("a change");
    };
    let other = plan("another", Some("another"), bed.ns.name());
    change(json!({ "plan.json": other })).await;
    let refused = bed.here("bob", &["diff", &waiting.run]);
    refused.fails(
        1,
        &["Somebody replaced it: do not approve", &waiting.digest],
    );
    assert!(!refused.err.contains("/spec/replicas"), "{}", refused.err);
    bed.here("bob", &["approve", &waiting.run, "--yes"])
        .fails(1, &["Somebody replaced it"]);
    bed.delete("ConfigMap", &waiting.map).await;
    bed.here("bob", &["approve", &waiting.run, "--yes"])
        .fails(1, &["is gone", "do not approve"]);
    assert!(bed.votes(&waiting.uid).await.is_empty());

    bed.here("bob", &["diff", "nothing"])
        .fails(1, &["neither a run nor a Gate nothing"]);
    bed.here("mallory", &["diff", &waiting.run])
        .fails(1, &["cannot get resource", "ClusterRole neuralops-viewer"]);
    bed.here("bob", &["diff", "pod/x"])
        .fails(2, &["orch/NAME or gate/NAME"]);
}

pub async fn a_tree_shows_what_belongs_to_a_run(bed: &Bed) {
    let waiting = bed.waiting().await;
    bed.here("bob", &["approve", &waiting.run, "--yes", "-m", "seen"])
        .says(&[]);
    let status = json!({
        "stage": "Execute",
        "steps": [{"name": "restart", "kind": "rolloutRestart", "state": "Running", "started": "2026-01-01T00:00:00Z", "message": "2 of 3 pods"}],
        "audit": {"first": 12, "last": 19},
    });
    bed.status("Orchestration", &waiting.run, status).await;
    bed.here("alice", &["tree", &format!("orch/{}", waiting.run)])
        .says(&[
            &format!(
                "run {}/{}: it is in stage Execute",
                bed.ns.name(),
                waiting.run
            ),
            "incident: checkout crash loops",
            "requested by: alice",
            "condition Planned=True",
            &format!("plan {}: Pass", waiting.digest),
            "target Deployment/checkout",
            &format!("gate {}: Open, until 2099-01-01T00:00:00Z", waiting.gate),
            "role oncall: 0 of 2",
            "vote Approve by bob",
            ": seen",
            "step restart (rolloutRestart): Running 2026-01-01T00:00:00Z: 2 of 3 pods",
            "jobs: not shown",
            "records 12 to 19",
        ]);
    let uid = bed.get("Orchestration", &waiting.run).await.metadata.uid;
    let jobs: kube::Api<k8s_openapi::api::batch::v1::Job> =
        kube::Api::namespaced(bed.admin().clone(), bed.ns.name());
    for (name, owner) in [("its-job", uid.as_deref()), ("other-job", Some("another"))] {
        let job = json!({
            "metadata": {"name": name, "ownerReferences": [{"apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "name": waiting.run, "uid": owner, "blockOwnerDeletion": false}]},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "none"}]}}},
        });
        let job = serde_json::from_value(job).expect("a job");
        jobs.create(&kube::api::PostParams::default(), &job)
            .await
            .expect("a job");
    }
    let seen = bed.here("admin", &["tree", &waiting.run]);
    seen.says(&["job its-job: active"]);
    assert!(!seen.out.contains("other-job"), "{}", seen.out);
    bed.here("bob", &["tree", "nothing"])
        .fails(1, &["there is no run nothing in namespace"]);
    bed.here("mallory", &["tree", &waiting.run])
        .fails(1, &["cannot get resource"]);
    bed.here("bob", &["tree", "gate/x"])
        .fails(2, &["this is about a run"]);
}

pub async fn no_way_to_a_cluster_is_said(bed: &Bed) {
    let kubeconfig = bed.kubeconfig("bob");
    let ask = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_neuralops"))
            .args(args)
            .env_clear()
            .env("KUBECONFIG", &kubeconfig)
            .output();
        Answer::of(output.expect("neuralops runs"))
    };
    ask(&["inbox", "--context", "elsewhere"])
        .fails(1, &["could not use the context \"elsewhere\""]);
    ask(&["inbox", "--kubeconfig", "nowhere.yaml"])
        .fails(1, &["could not read the kubeconfig nowhere.yaml"]);
    // The context's namespace, in which bob has no rights.
    ask(&["inbox", "--context", "e2e"])
        .fails(1, &["the Gates of namespace default", "User \"bob\""]);
}
