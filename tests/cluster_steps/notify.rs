//! `notify` against a real API server: one Event for each attempt, in the account's name, and nobody else's taken for it.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]

use super::*;

#[tokio::test]
async fn people_are_told_once_for_each_attempt() {
    let cluster = need!(Owned);
    let scene = Scene::new(cluster, "notify").await;
    let step = json!({"name": "tell", "notify": {"message": "it is well", "fields": {"deployment": "checkout"}}});
    let message = scene
        .refused(&step, Verdict::Fail, Reason::AccessDenied)
        .await;
    assert!(message.contains("create events"), "{message}");
    let rights = [rule("events.k8s.io", "create get", "events")];
    grant(&scene.namespace, &scene.account.user(), &rights).await;
    let planned = scene.planned(step).await;
    assert_eq!(planned.step().coverage, Coverage::ServerDryRun);
    assert!(matches!(planned.step().undo, Undo::Nothing { .. }));
    let events = api(scene.namespace.admin(), "Event", &scene.run.namespace);
    let ours = async || -> Vec<DynamicObject> {
        let all = events
            .list(&Default::default())
            .await
            .expect("listed")
            .items;
        let about =
            |event: &DynamicObject| event.data["regarding"]["uid"] == scene.run.uid.as_str();
        all.into_iter().filter(about).collect()
    };
    assert!(ours().await.is_empty(), "a plan tells nobody");
    for (attempt, count) in [(1, 1), (1, 1), (2, 2), (2, 2)] {
        let progress = scene.pass(&planned, attempt, false, true).await;
        assert!(
            matches!(progress, Ok(Progress::Done { .. })),
            "{progress:?}"
        );
        assert_eq!(ours().await.len(), count);
    }
    let told = ours().await;
    assert_eq!(told[0].data["note"], "it is well (deployment=checkout)");
    // Another's Event under the name of one of ours.
    let mark = cluster.audit_mark();
    let deposed = scene.pass(&planned, 3, false, false).await;
    assert!(matches!(deposed, Err(AccountError::Deposed(_))));
    assert!(scene.writes(mark, 0).await.is_empty());
    let event = told[0].clone();
    let name = event.metadata.name.clone().expect("a name");
    scene.delete("Event", &name).await;
    let made = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": name, "namespace": scene.run.namespace},
        "regarding": event.data["regarding"], "note": "forged", "type": "Normal", "reason": "Notify", "action": "tell",
        "eventTime": event.data["eventTime"], "reportingController": "neuralops.io/playbook", "reportingInstance": "mend",
    });
    create(scene.namespace.admin(), made)
        .await
        .expect("an Event");
    let mut failed = 0;
    for attempt in [1, 2] {
        let progress = scene.pass(&planned, attempt, false, true).await;
        failed += usize::from(matches!(
            progress,
            Ok(Progress::Failed {
                reason: Reason::TargetDrifted,
                ..
            })
        ));
    }
    assert_eq!(failed, 1, "only the forged one is not taken for ours");
}
