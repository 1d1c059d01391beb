//! Deciding: approve, reject, withdraw, release.

use super::*;

pub async fn a_vote_names_the_plan_that_was_shown(bed: &Bed) {
    let waiting = bed.waiting().await;
    let approved = bed.here("bob", &["approve", &waiting.run, "--yes", "-m", "seen"]);
    approved.says(&["approved by bob", &waiting.gate, &waiting.digest]);
    for part in [
        "checkout crash loops",
        "Deployment/checkout",
        "~ /spec/replicas: 1 -> 2",
        &waiting.digest,
    ] {
        assert!(
            approved.err.contains(part),
            "not shown: {part}\n{}",
            approved.err
        );
    }
    let votes = bed.votes(&waiting.uid).await;
    let groups = votes[0]["groups"].as_array().expect("groups");
    assert!(groups.contains(&json!("team-b")), "{groups:?}");
    let mut vote = votes[0].clone();
    vote.as_object_mut().expect("a spec").remove("groups");
    let expected = json!({
        "gateRef": {"name": waiting.gate, "uid": waiting.uid},
        "planDigest": waiting.digest,
        "verdict": "Approve",
        "user": "bob",
        "justification": "seen",
    });
    assert_eq!(vote, expected);

    bed.here("bob", &["approve", &waiting.run, "--yes"])
        .says(&["your vote stands already"]);
    assert_eq!(bed.votes(&waiting.uid).await.len(), 1);
    bed.here("bob", &["withdraw", &waiting.run, "--yes"])
        .says(&["withdrawn by bob", "your earlier vote counts no more"]);
    bed.here("bob", &["withdraw", &waiting.run, "--yes"])
        .fails(1, &["you, bob, have no vote"]);
    // Having taken it back, he may vote again; and he who holds the role by his group may as well.
    bed.here(
        "bob",
        &[
            "reject",
            &format!("gate/{}", waiting.gate),
            "--yes",
            "-m",
            "no",
            "-o",
            "json",
        ],
    )
    .says(&["\"verdict\": \"Reject\"", "\"justification\": \"no\""]);
    bed.here("dave", &["approve", &waiting.run, "--yes"])
        .says(&["approved by dave"]);
    assert_eq!(bed.votes(&waiting.uid).await.len(), 4);
}

pub async fn nobody_votes_unasked_or_without_a_role(bed: &Bed) {
    let waiting = bed.waiting().await;
    let run = waiting.run.as_str();
    bed.here("bob", &["approve", run])
        .fails(2, &["no terminal", "--yes"]);
    bed.here("bob", &["reject", run, "--yes"])
        .fails(2, &["no terminal", "-m TEXT"]);
    bed.here("alice", &["approve", run, "--yes"]).fails(
        1,
        &["who requested this may not decide it", "ask somebody else"],
    );
    bed.here("carol", &["approve", run, "--yes"]).fails(
        1,
        &[
            "needs the verb approve on approverroles/oncall",
            "neuralops role approver",
        ],
    );
    bed.here("admin", &["approve", run, "--yes"]).fails(
        1,
        &[
            "a wildcard grant makes no approver",
            "granted to you by name",
        ],
    );
    bed.here("mallory", &["approve", run, "--yes"])
        .fails(1, &["User \"mallory\" cannot get"]);
    assert!(bed.votes(&waiting.uid).await.is_empty());
}

pub async fn another_gate_or_a_settled_one_takes_no_vote(bed: &Bed) {
    let waiting = bed.waiting().await;
    let run = waiting.run.as_str();
    // A Gate that says it is about the run, with another plan; the run's own Gate is another.
    let uid = bed.get("Orchestration", run).await.metadata.uid;
    let other = format!("sha256:{}", "0".repeat(64));
    let subject = json!({"apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "name": run, "uid": uid, "planDigest": other, "diff": "+nothing bad"});
    bed.alone("forged", "mallory", subject).await;
    let forged = bed.here("bob", &["approve", "forged"]);
    forged.fails(
        2,
        &["WARNING", "that run does not wait for it", "+nothing bad"],
    );
    // The run's Gate is gone, and another took its name.
    let stolen = json!([{"name": waiting.gate, "uid": "another", "state": "Open"}]);
    bed.status("Orchestration", run, json!({ "gates": stolen }))
        .await;
    bed.here("bob", &["approve", run, "--yes"])
        .fails(1, &["is gone, or another one has its name"]);

    let late = json!({"uid": "u", "planDigest": other});
    bed.alone_until("over", "mallory", late, "2020-01-01T00:00:00Z")
        .await;
    bed.here("bob", &["approve", "over", "--yes"]).fails(
        1,
        &["the deadline was 2020-01-01T00:00:00Z", "ask for a new run"],
    );
    bed.status("Gate", &waiting.gate, json!({"state": "Expired"}))
        .await;
    bed.here(
        "bob",
        &["approve", &format!("gate/{}", waiting.gate), "--yes"],
    )
    .fails(1, &["is Expired", "nothing moves it any more"]);
    bed.status(
        "Orchestration",
        run,
        json!({"stage": "Done", "outcome": "Expired", "gates": null}),
    )
    .await;
    bed.here("bob", &["approve", run, "--yes"])
        .fails(1, &["asks nobody now: it ended as Expired"]);
    bed.alone(run, "mallory", json!({"uid": "u", "planDigest": other}))
        .await;
    bed.here("bob", &["approve", run, "--yes"])
        .fails(2, &[&format!("say orch/{run} or gate/{run}")]);
    bed.here("bob", &["approve", &format!("gate/{run}"), "--yes"])
        .says(&["approved by bob", "--for=condition=Approved"]);
}

pub async fn a_person_at_a_terminal_is_asked(bed: &Bed) {
    let waiting = bed.waiting().await;
    let run = waiting.run.as_str();
    let no = bed.typing("bob", &["approve", run], "y\n");
    no.ended(
        1,
        &no.out,
        &[
            "1 -> 2",
            "Approve exactly this, as bob?",
            "nothing was done",
        ],
    );
    assert!(bed.votes(&waiting.uid).await.is_empty());
    let empty = bed.typing("bob", &["reject", run], "\n");
    empty.ended(
        2,
        &empty.out,
        &["Why do you reject it?", "a rejection says why"],
    );
    let yes = bed.typing("bob", &["reject", run], "not today\nyes\n");
    yes.ended(0, &yes.out, &["rejected by bob"]);
    let votes = bed.votes(&waiting.uid).await;
    assert_eq!(
        (votes.len(), &votes[0]["justification"]),
        (1, &json!("not today"))
    );
}

/// A Gate that is labelled as settled is one that the policies do not see, as they do not see one for a moment after it
/// was made. The second is only waited for: a person must not notice it.
pub async fn a_gate_that_the_policies_do_not_see_is_told_from_a_new_one(cluster: &'static Cluster) {
    let bed = Bed::set(cluster, "first-gate").await;
    let subject =
        || json!({"uid": "u", "planDigest": format!("sha256:{}", "1".repeat(64)), "diff": "+x"});
    bed.alone("unseen", "alice", subject()).await;
    let label = json!({"metadata": {"labels": {"neuralops.io/settled": "true"}}});
    api(&bed.operator, "Gate", bed.ns.name())
        .patch("unseen", &PatchParams::default(), &Patch::Merge(label))
        .await
        .expect("a label");
    eventually("the policies see no Gate", SOON, async || {
        let answer = bed.here("bob", &["approve", "unseen", "--yes"]);
        match answer.code {
            Some(1) => Ok(answer),
            _ => {
                bed.here("bob", &["withdraw", "unseen", "--yes"]);
                Err(answer.out)
            }
        }
    })
    .await
    .fails(
        1,
        &["no params found", "does not know the Gate yet: try again"],
    );
    bed.alone("seen", "alice", subject()).await;
    bed.here("bob", &["approve", "seen", "--yes"])
        .says(&["approved by bob on the Gate seen"]);
}

pub async fn a_run_is_released_once(bed: &Bed) {
    let (held, free) = (bed.ask(&["--start", "OnRelease"]), bed.ask(&[]));
    bed.here("mallory", &["release", &held])
        .fails(1, &["cannot get resource"]);
    bed.here("bob", &["release", &held])
        .says(&["released by bob"]);
    let spec = bed.get("Orchestration", &held).await.data["spec"].clone();
    assert_eq!(spec["releasedBy"], "bob");
    bed.here("bob", &["release", &held])
        .fails(1, &["released already, by bob"]);
    bed.here("bob", &["release", &free])
        .fails(1, &["nothing to release"]);
}
