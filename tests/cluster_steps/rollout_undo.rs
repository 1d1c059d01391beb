//! `rolloutUndo` against a real API server and the real controllers, whose revisions it reads: planned with the template that
//! is written, done once, refused in words.

use super::*;

fn back(kind: &str, to: Option<i64>) -> Value {
    let target = json!({"apiVersion": "apps/v1", "kind": kind, "name": "checkout"});
    json!({"name": "back", "rolloutUndo": {"target": target, "toRevision": to}})
}

async fn may_look_back(scene: &Scene) {
    let rights = [
        rule("apps", "list", "replicasets controllerrevisions"),
        rule("apps", "get patch", "daemonsets"),
    ];
    grant(&scene.namespace, &scene.account.user(), &rights).await;
}

/// Gives the workload another image, and waits until its controller has kept so many revisions.
async fn rolled_out(scene: &Scene, kind: &str, image: &str, kept: usize) {
    let containers = json!([{"name": "a", "image": image}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    scene.alter(kind, "checkout", patch).await;
    revisions(scene, kind, kept).await;
}

async fn revisions(scene: &Scene, kind: &str, kept: usize) {
    let history = match kind {
        "Deployment" => "ReplicaSet",
        _ => "ControllerRevision",
    };
    let all = api(scene.namespace.admin(), history, &scene.run.namespace);
    eventually("the revision is kept", SOON, async || {
        let live = scene.read(kind, "checkout").await;
        let count = all.list(&Default::default()).await.expect("listed").items;
        if count.len() >= kept
            && live["status"]["observedGeneration"] == live["metadata"]["generation"]
        {
            Ok(())
        } else {
            Err(format!("{} kept", count.len()))
        }
    })
    .await;
}

async fn image(scene: &Scene, kind: &str) -> Value {
    let live = scene.read(kind, "checkout").await;
    live["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

const IMAGE: &str = "/spec/template/spec/containers/0/image";

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one story: each part stands on what the one before has left"
)]
async fn a_deployment_gets_an_earlier_template_back() {
    let cluster = need!(Owned, Controllers);
    let scene = Scene::new(cluster, "undo").await;
    scene.deployment().await;
    revisions(&scene, "Deployment", 1).await;
    let message = scene
        .refused(
            &back("Deployment", None),
            Verdict::Fail,
            Reason::AccessDenied,
        )
        .await;
    assert!(message.contains("list replicasets"), "{message}");
    may_look_back(&scene).await;
    let message = scene
        .refused(
            &back("Deployment", None),
            Verdict::Fail,
            Reason::TargetNotFound,
        )
        .await;
    assert!(message.contains("no earlier revision, only 1"), "{message}");
    rolled_out(&scene, "Deployment", "registry.example/b", 2).await;
    rolled_out(&scene, "Deployment", "registry.example/c", 3).await;
    let message = scene
        .refused(
            &back("Deployment", Some(9)),
            Verdict::Fail,
            Reason::TargetNotFound,
        )
        .await;
    assert!(message.contains("no revision 9, only 3, 2, 1"), "{message}");
    let planned = scene.planned(back("Deployment", None)).await;
    let (from, to) = (json!("registry.example/c"), json!("registry.example/b"));
    assert_eq!(planned.step().changes, change(IMAGE, Some(from), Some(to)));
    assert_eq!(
        (planned.step().coverage, &planned.step().undo),
        (Coverage::ServerDryRun, &Undo::Restore)
    );
    let deposed = scene.pass(&planned, 1, false, false).await;
    assert!(matches!(deposed, Err(AccountError::Deposed(_))));
    scene.done(&planned).await;
    scene.done(&planned).await;
    assert_eq!(image(&scene, "Deployment").await, "registry.example/b");
    scene.taken_back(&planned).await;
    scene.taken_back(&planned).await;
    assert_eq!(image(&scene, "Deployment").await, "registry.example/c");
    scene.done(&planned).await;
    // By number, and somebody is faster with another one.
    revisions(&scene, "Deployment", 3).await;
    let first = scene.planned(back("Deployment", Some(1))).await;
    rolled_out(&scene, "Deployment", "registry.example/d", 4).await;
    let message = scene.fails(&first, Reason::TargetDrifted).await;
    assert!(message.contains(IMAGE), "{message}");
    let first = scene.planned(back("Deployment", Some(1))).await;
    scene.done(&first).await;
    assert_eq!(image(&scene, "Deployment").await, "registry.example/a");
    let paused = json!({"spec": {"paused": true}});
    scene.alter("Deployment", "checkout", paused).await;
    scene
        .refused(
            &back("Deployment", None),
            Verdict::Fail,
            Reason::TargetNotAllowed,
        )
        .await;
}

#[tokio::test]
async fn so_do_the_workloads_that_keep_controller_revisions() {
    let cluster = need!(Owned, Controllers);
    for kind in ["StatefulSet", "DaemonSet"] {
        let scene = Scene::new(cluster, "undo").await;
        may_look_back(&scene).await;
        let labels = json!({"app": "checkout"});
        let pod = json!({"nodeSelector": {"no": "where"}, "containers": [{"name": "a", "image": "registry.example/a"}]});
        let template = json!({"metadata": {"labels": labels}, "spec": pod});
        let spec = json!({"spec": {"selector": {"matchLabels": labels}, "template": template}});
        scene.make("apps/v1", kind, "checkout", spec).await;
        revisions(&scene, kind, 1).await;
        rolled_out(&scene, kind, "registry.example/b", 2).await;
        let planned = scene.planned(back(kind, None)).await;
        let (from, to) = (json!("registry.example/b"), json!("registry.example/a"));
        assert_eq!(
            planned.step().changes,
            change(IMAGE, Some(from), Some(to)),
            "{kind}"
        );
        scene.done(&planned).await;
        scene.done(&planned).await;
        assert_eq!(image(&scene, kind).await, "registry.example/a");
        scene.taken_back(&planned).await;
        scene.taken_back(&planned).await;
        assert_eq!(image(&scene, kind).await, "registry.example/b");
    }
}
