//! Stopping, waiting and granting: cancel, wait, freeze, unfreeze, role.

use super::*;
use crate::support::{allowed, core};

pub async fn a_cancel_works_in_every_stage_but_the_last(bed: &Bed) {
    let run = bed.ask(&[]);
    bed.here("mallory", &["cancel", &run])
        .fails(1, &["cannot get resource"]);
    // carol holds no role, and may stop.
    bed.here("carol", &["cancel", &run, "--reason", "the wrong cluster"])
        .says(&["cancelled by carol"]);
    let stored = bed.get("Orchestration", &run).await;
    let spec = &stored.data["spec"];
    assert_eq!(
        (&spec["cancel"], &spec["cancelledBy"]),
        (&json!(true), &json!("carol"))
    );
    let reason = stored.metadata.annotations.expect("annotations");
    assert_eq!(reason["neuralops.io/cancel-reason"], "the wrong cluster");
    bed.here("bob", &["cancel", &run])
        .says(&["cancelled already, by carol"]);

    // Somebody's name stands there before the cancel: it must not stand in the way of it.
    let named = bed.ask(&[]);
    let patch = Patch::Merge(json!({"spec": {"cancelledBy": "alice"}}));
    let runs = api(
        &bed.cluster.person("alice").await,
        "Orchestration",
        bed.ns.name(),
    );
    runs.patch(&named, &PatchParams::default(), &patch)
        .await
        .expect("a name");
    bed.here("bob", &["cancel", &named, "-o", "json"])
        .says(&["\"cancel\": true", "\"cancelledBy\": \"alice\""]);

    // All at once: a stop does not fail because somebody else stops as well.
    let all = bed.ask(&[]);
    let stops = ["alice", "bob", "carol", "dave", "bob", "carol"]
        .map(|who| bed.begin(who, &["cancel", &all]));
    for stop in stops {
        Answer::of(stop.wait_with_output().expect("it ends")).says(&["cancelled"]);
    }

    let done = bed.ask(&[]);
    bed.status(
        "Orchestration",
        &done,
        json!({"stage": "Done", "outcome": "Succeeded"}),
    )
    .await;
    bed.here("bob", &["cancel", &done])
        .fails(1, &["cannot be cancelled: it ended as Succeeded"]);
    bed.here("bob", &["cancel", "nothing"])
        .fails(1, &["there is no run nothing"]);
}

pub async fn waiting_ends_when_the_run_is_that_far(bed: &Bed) {
    let run = bed.ask(&[]);
    let ended = |child: Child| Answer::of(child.wait_with_output().expect("it ends"));
    bed.here("bob", &["wait", &run, "--timeout", "300ms"])
        .fails(124, &["not that far after 300ms"]);
    let begin = |goal: &str| bed.begin("bob", &["wait", &run, "--for", goal, "--timeout", "60s"]);
    let (planned, approved) = (begin("planned"), begin("approved"));
    let (well, done) = (begin("well"), begin("done"));
    let (failed, expired) = (begin("outcome=Failed"), begin("outcome=Expired"));
    bed.status(
        "Orchestration",
        &run,
        json!({"stage": "Approve", "conditions": [condition("Planned", "True")]}),
    )
    .await;
    ended(planned).says(&["it is in stage Approve"]);
    bed.status(
        "Orchestration",
        &run,
        json!({"stage": "Done", "outcome": "Failed"}),
    )
    .await;
    ended(done).says(&["it ended as Failed"]);
    ended(failed).says(&["it ended as Failed"]);
    for (waiting, goal) in [(approved, "approved"), (well, "well"), (expired, "expired")] {
        let answer = ended(waiting);
        assert_eq!(answer.code, Some(1), "{goal}: {}", answer.err);
        assert!(
            answer.err.contains("it ended as Failed"),
            "{goal}: {}",
            answer.err
        );
    }

    let deleted = bed.ask(&[]);
    let waiting = bed.begin("bob", &["wait", &deleted, "--timeout", "60s"]);
    bed.delete("Orchestration", &deleted).await;
    // Before or after it looked for the first time.
    let answer = ended(waiting);
    assert_eq!(answer.code, Some(1), "{}", answer.err);
    bed.here("bob", &["wait", "nothing"])
        .fails(1, &["there is no run nothing"]);
    bed.here("mallory", &["wait", &run])
        .fails(1, &["could not watch the run", "User \"mallory\""]);
    bed.here("bob", &["wait", &run, "--for", "lunch"])
        .fails(2, &["well, done, approved, planned and outcome=X"]);
}

pub async fn a_freeze_is_made_and_lifted_by_name(bed: &Bed) {
    bind_everywhere(&bed.ns, "carol", "neuralops-admin").await;
    let say = |args: &[&str]| bed.everywhere("carol", args);
    say(&[
        "freeze",
        "--reason",
        "the sale",
        "--name",
        "sale",
        "--namespace",
        "shop",
    ])
    .says(&[
        "Freeze sale acts: no run in shop begins another effect",
        "sale: no run in shop begins an effect; by carol: the sale",
    ]);
    let second = say(&["freeze", "--reason", "all of it", "-o", "json"]);
    let second: Value = serde_json::from_str(&second.out).expect("JSON");
    let second = second["metadata"]["name"].as_str().expect("a name");
    say(&["freeze", "--reason", "again", "--name", "sale"])
        .fails(1, &["already exists", "another --name"]);
    bed.everywhere("bob", &["freeze", "--reason", "mine"])
        .fails(1, &["User \"bob\" cannot create", "neuralops-admin"]);
    say(&["freeze"]).fails(2, &["--reason"]);

    say(&["unfreeze", "sale"]).says(&[
        "lifted by carol: sale.",
        &format!("{second}: no run in any namespace begins an effect"),
    ]);
    say(&["unfreeze", "sale"]).fails(1, &["lifted already, by carol"]);
    say(&["unfreeze", "nothing"]).fails(1, &["there is no Freeze nothing", second]);
    say(&["unfreeze"]).fails(2, &["--all"]);
    say(&["unfreeze", "sale", "--all"]).fails(2, &["cannot be used with"]);
    bed.everywhere("bob", &["unfreeze", second])
        .fails(1, &["User \"bob\" cannot", "neuralops-"]);
    say(&["unfreeze", "--all"]).says(&["lifted by carol: freeze-", "Nothing is frozen."]);
    say(&["unfreeze", "--all"]).says(&["there was no Freeze to lift"]);
    let stored = api(bed.admin(), "Freeze", "")
        .get("sale")
        .await
        .expect("kept");
    assert_eq!(stored.data["spec"]["liftedBy"], "carol");
}

pub async fn what_role_prints_grants_it(bed: &Bed) {
    let holds = async |user: &str, rule: &dyn Fn() -> crate::support::Rule| {
        let what = format!("{user} holds {:?}", rule());
        eventually(&what, SOON, async || {
            let holds = allowed(bed.admin(), Some(bed.ns.name()), user, &rule()).await;
            holds.then_some(()).ok_or_else(|| "not yet".to_owned())
        })
        .await;
    };
    let odd = "CN=eve: \"the boss\", O=x # y";
    bed.apply(&bed.here(
        "mallory",
        &["role", "approver", "owner", "--user", odd, "--group", "g"],
    ));
    holds(odd, &|| ours("approve", "approverroles").named("owner")).await;
    holds(odd, &|| ours("create", "decisions")).await;
    bed.apply(&bed.here("mallory", &["role", "author", "runbook", "--user", "eve"]));
    holds("eve", &|| core("use", "serviceaccounts").named("runbook")).await;
    bed.apply(&bed.here("mallory", &["role", "runner", "runbook"]));
    let operator = "system:serviceaccount:neuralops-system:neuralops-controller";
    holds(operator, &|| {
        core("impersonate", "serviceaccounts").named("runbook")
    })
    .await;
    let other = core("impersonate", "serviceaccounts").named("other");
    assert!(!allowed(bed.admin(), Some(bed.ns.name()), operator, &other).await);
    bed.apply(&bed.here("mallory", &["role", "approver", "nobody-yet"]));

    bed.here("bob", &["role", "approver", "wildcard"])
        .fails(2, &["never granted"]);
    bed.here(
        "bob",
        &[
            "role",
            "approver",
            "oncall",
            "--group",
            "system:authenticated",
        ],
    )
    .fails(2, &["no people"]);
    bed.here("bob", &["role", "runner", "Not A Name"])
        .fails(2, &["small letters"]);
}
