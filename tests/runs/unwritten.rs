//! The log cannot be written while runs are at each stage: nothing is asked, approved, begun or stepped, and it is said why;
//! a stop still stops, and is recorded late. Afterwards everything goes on.

use kube::Client;
use neuralops::domain::audit::event::Event;
use serde_json::{Value, json};

use super::bed::{Bed, LONG, append, basket, target};
use crate::disk::{Disk, Fault};
use crate::support::{Operator, Scene, create, eventually, grant_everywhere, need, ours, random};

/// What is done with each when it cannot be recorded.
const RUNS: [&str; 6] = ["asked", "voted", "released", "stepped", "cut", "cancelled"];
/// Before it had begun, and in a step.
const CANCELLED: [&str; 2] = ["cancelled", "cut"];

async fn scene(bed: &Bed) -> Scene {
    let scene = Scene::set(bed.own.cluster(), "unwritten").await;
    for name in RUNS {
        create(scene.admin(), basket(&scene, name))
            .await
            .expect("a deployment");
        let steps = json!([
            {"name": "wait", "wait": {"duration": "8s"}},
            {"name": "append", "patch": append(name)},
            {"name": "scale", "scale": {"target": target(name), "replicas": 2}},
        ]);
        scene.signed(scene.playbook(name, steps)).await;
    }
    scene
}

async fn arguments(scene: &Scene, name: &str) -> Value {
    let found = scene.object("Deployment", name).await;
    found["spec"]["template"]["spec"]["containers"][0]["args"].clone()
}

fn says(status: &Value, reason: &str) -> bool {
    let conditions = status["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["reason"] == reason))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_on_while_the_log_cannot_be_written_and_everything_afterwards() {
    need!(Owned, Users);
    let bed = Bed::set().await;
    let scene = scene(&bed).await;
    let disk = Disk::under(&bed.own.data().join("audit.db"));
    disk.set(None);
    let mut operator = bed.operator(&disk.environment()).await;
    operator.ready().await;

    let voted = before(&bed, &scene, &mut operator).await;
    let freezes = Freezes::set(&scene).await;
    disk.set(Some(Fault::Full));
    scene.ask("asked", "asked", json!({})).await;
    scene.approve(&voted).await;
    let alice = scene.alice().await;
    let release = json!({"spec": {"releasedBy": "alice"}});
    let released = scene.patch(&alice, "Orchestration", "released", release);
    released.await.expect("alice may");

    for name in ["asked", "released", "stepped"] {
        let held = |status: &Value| says(status, "AuditUnavailable");
        scene.until(name, "says what is missing", held).await;
    }
    // The log is known to be closed: what is on record already is not looked up any more.
    freezes.go_on(&operator).await;
    // Nothing can be recorded any more, and what has not begun stops all the same; of what has begun nothing goes on.
    for name in CANCELLED {
        let cancel = json!({"spec": {"cancel": true, "cancelledBy": "alice"}});
        let said = scene.patch(&alice, "Orchestration", name, cancel);
        said.await.expect("alice may");
    }
    let cancelled = scene.ended("cancelled", "Cancelled").await;
    assert!(disk.met() > 0, "the disk was never full");
    let asked = scene.object("Orchestration", "asked").await;
    assert_eq!(
        asked["status"]["gates"],
        Value::Null,
        "{:#}",
        asked["status"]
    );
    let gate = voted["status"]["gates"][0]["name"]
        .as_str()
        .expect("a name");
    let gate = scene.object("Gate", gate).await;
    assert_ne!(gate["status"]["state"], "Approved", "{:#}", gate["status"]);
    for name in RUNS {
        assert_eq!(arguments(&scene, name).await, json!(["a"]), "{name}");
    }

    disk.set(None);
    let asked = scene.asked("asked").await;
    scene.approve(&asked).await;
    for name in ["asked", "voted", "released", "stepped"] {
        scene.ended(name, "Succeeded").await;
        assert_eq!(arguments(&scene, name).await, json!(["a", "b"]), "{name}");
    }
    for name in CANCELLED {
        scene.ended(name, "Cancelled").await;
        assert_eq!(arguments(&scene, name).await, json!(["a"]), "{name}");
    }
    recorded_late(&bed, &cancelled).await;
    freezes.are_told(&bed).await;
    bed.verifies().await;
}

/// One that is about to be approved, one that is and waits for its release, two in their first step, and one that
/// will be cancelled; the first of them.
async fn before(bed: &Bed, scene: &Scene, operator: &mut Operator) -> Value {
    for name in &RUNS[1..] {
        let more = match *name {
            "released" => json!({"start": "OnRelease"}),
            _ => json!({}),
        };
        scene.ask(name, name, more).await;
    }
    let voted = scene.asked("voted").await;
    scene.asked("cancelled").await;
    for name in ["released", "stepped", "cut"] {
        let run = scene.asked(name).await;
        scene.approve(&run).await;
    }
    let waits = |status: &Value| says(status, "AwaitingRelease");
    scene.until("released", "waits", waits).await;
    for name in ["stepped", "cut"] {
        let run = scene.object("Orchestration", name).await;
        let uid = run["metadata"]["uid"].as_str().expect("a uid");
        eventually("it waits in its first step", LONG, async || {
            assert_eq!(operator.exit_code(), None, "{}", operator.log_tail());
            let records = bed.records(uid).await;
            let mut codes = records.iter().map(|record| record.fact.code);
            if codes.any(|code| code == Event::StepIntended) {
                Ok(())
            } else {
                Err(operator.log_tail())
            }
        })
        .await;
    }
    voted
}

async fn recorded_late(bed: &Bed, cancelled: &Value) {
    let uid = cancelled["metadata"]["uid"].as_str().expect("a uid");
    eventually("the cancellation is recorded late", LONG, async || {
        let records = bed.records(uid).await;
        let mut late = records.iter().filter(|record| record.late.is_some());
        if late.any(|record| record.fact.code == Event::RunCancelled) {
            Ok(())
        } else {
            Err(format!("{} records", records.len()))
        }
    })
    .await;
}

/// Two Freezes of namespaces that are not there.
struct Freezes<'a> {
    scene: &'a Scene,
    carol: Client,
    old: Value,
    new: String,
}

impl<'a> Freezes<'a> {
    /// The first of them, which is there already.
    async fn set(scene: &'a Scene) -> Self {
        let rights = [ours("create get patch", "freezes")];
        grant_everywhere(&scene.ns, "carol", &rights).await;
        let carol = scene.cluster.person("carol").await;
        let [old, new] = ["old", "new"].map(random);
        for name in [&old, &new] {
            scene.ns.also_delete("Freeze", name);
        }
        place(&carol, &old).await;
        let old = scene.object("Freeze", &old).await;
        Self {
            scene,
            carol,
            old,
            new,
        }
    }

    /// One is lifted, which cannot be recorded and waits; the other is placed, and that is heard meanwhile.
    async fn go_on(&self, operator: &Operator) {
        let name = self.old["metadata"]["name"].as_str().expect("a name");
        let lift = json!({"spec": {"liftedBy": "carol"}});
        let lifted = self.scene.patch(&self.carol, "Freeze", name, lift);
        lifted.await.expect("lifted");
        let before = spooled_more_than(operator, 0.0).await;
        place(&self.carol, &self.new).await;
        spooled_more_than(operator, before).await;
    }

    async fn are_told(&self, bed: &Bed) {
        let new = self.scene.object("Freeze", &self.new).await;
        for (freeze, code, late) in [
            (&self.old, Event::FreezeLifted, false),
            (&new, Event::FreezePlaced, true),
        ] {
            let uid = freeze["metadata"]["uid"].as_str().expect("a uid");
            eventually("it is on record", LONG, async || {
                let records = bed.records(uid).await;
                let mut found = records.iter().filter(|record| record.fact.code == code);
                let found = found.next().ok_or("nothing yet")?;
                assert_eq!(found.late.is_some(), late, "{found:?}");
                Ok::<_, String>(())
            })
            .await;
        }
    }
}

async fn place(carol: &Client, name: &str) {
    let freeze = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Freeze", "metadata": {"name": name},
        "spec": {"namespaces": ["elsewhere"], "reason": "the sale", "frozenBy": "carol"},
    });
    create(carol, freeze).await.expect("a Freeze");
}

/// What waits outside of the log, once it is more than this.
async fn spooled_more_than(operator: &Operator, before: f64) -> f64 {
    eventually("more stops wait for the log", LONG, async || {
        let (_, metrics) = operator.probe("/metrics").await?;
        let mut lines = metrics.lines();
        let found = lines.find_map(|line| line.strip_prefix("neuralops_audit_spool_bytes "));
        let found = found.and_then(|text| text.parse().ok()).unwrap_or(0.0);
        if found > before {
            Ok(found)
        } else {
            Err(format!("{found} of {before}: {}", operator.log_tail()))
        }
    })
    .await
}
