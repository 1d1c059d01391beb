//! What waits for people and for time, while the operator dies at every place of it, and while operator and API server are
//! killed: deadlines, the next people to be asked, votes and their withdrawal, questions in the middle, suspension, deletion.

use jiff::Timestamp;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::bed::{Bed, LONG, api_server_anew};
use crate::failpoints::{VARIABLE, names};
use crate::support::{Operator, Scene, api, bind, eventually, grant, need, ours, scale};
use neuralops::domain::audit::event::Event;

/// Where the places are.
const PLACES: [&str; 3] = ["escalate.", "midway.", "retire."];

/// A Playbook whose first people have so many seconds, whose others have to be `min`, and that asks them again in its middle.
async fn scene(bed: &Bed, (min, seconds): (u32, u32)) -> Scene {
    let scene = Scene::set(bed.own.cluster(), "timely").await;
    bind(&scene.ns, "carol", "neuralops-approver").await;
    for person in ["carol", "dave"] {
        let lead = ours("approve reject", "approverroles").named("lead");
        grant(&scene.ns, person, &[lead]).await;
    }
    scene.workloads(&["one", "two"]).await;
    let lead = json!([{"role": "lead", "min": min}]);
    let steps = json!([
        scale("one", "one", 3),
        {"name": "ask", "gate": {"rules": lead}},
        scale("two", "two", 3),
    ]);
    let mut playbook = scene.playbook("p", steps);
    playbook["spec"]["approval"] = json!([
        {"rules": [{"role": "oncall", "min": 1}], "deadline": format!("{seconds}s"), "onTimeout": "Escalate"},
        {"rules": lead, "deadline": "30m", "onTimeout": "Reject"},
    ]);
    scene.signed(playbook).await;
    scene
}

/// The newest Gate of the run that is open, as its status tells it, if there are so many.
fn open_gate(run: &Value, count: usize) -> Option<&Value> {
    let gates = run["status"]["gates"].as_array()?;
    let newest = gates.last().filter(|gate| gate["state"] == "Open")?;
    (gates.len() == count && run["status"]["stage"] == "Approve").then_some(newest)
}

/// Has dave approve if he is asked; whether the run is still there.
async fn attended(scene: &Scene, place: &str) -> Result<bool, String> {
    let runs = api(scene.admin(), "Orchestration", scene.ns.name());
    let found = runs.get_opt("r").await.map_err(|error| error.to_string())?;
    let Some(run) = found else {
        return Ok(false);
    };
    let run = serde_json::to_value(run).expect("JSON");
    let outcome = &run["status"]["outcome"];
    assert!(
        outcome.is_null() || outcome == "Succeeded",
        "{place}: {run:#}"
    );
    if open_gate(&run, 2).is_some() || open_gate(&run, 3).is_some() {
        // A second vote about the same Gate changes nothing.
        let _ = scene.vote("dave", &run, "Approve").await;
    }
    Ok(true)
}

/// Until the operator has died at its place, be it that the run is gone by then.
async fn dies(scene: &Scene, operator: &mut Operator, place: &str) {
    eventually(&format!("it dies at {place}"), LONG, async || {
        match operator.exit_code() {
            Some(128) => return Ok(()),
            Some(other) => panic!("at {place} it ended with {other}: {}", operator.log_tail()),
            None => {}
        }
        let there = attended(scene, place).await?;
        Err(format!("run there: {there}\n{}", operator.log_tail()))
    })
    .await;
}

/// Until the run is gone.
async fn gone(scene: &Scene, operator: &mut Operator, place: &str) {
    eventually(&format!("the run is gone, {place}"), LONG, async || {
        assert_eq!(operator.exit_code(), None, "{}", operator.log_tail());
        if attended(scene, place).await? {
            Err(operator.log_tail())
        } else {
            Ok(())
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_time_brings_comes_once_whenever_the_operator_dies() {
    need!(Owned, Users, Controllers);
    let bed = Bed::set().await;
    let places = names("src/controllers/orchestration/act").into_iter();
    let places = places.filter(|name| PLACES.iter().any(|prefix| name.starts_with(prefix)));
    let places: Vec<String> = places.collect();
    assert!(places.len() >= 9, "{places:?}");
    for place in &places {
        let scene = scene(&bed, (1, 2)).await;
        let mut operator = bed.operator(&[(VARIABLE, place)]).await;
        let run = scene
            .ask("r", "p", json!({"ttlSecondsAfterFinished": 0}))
            .await;
        let uid = run.metadata.uid.expect("a uid");
        dies(&scene, &mut operator, place).await;
        let mut operator = bed.operator(&[]).await;
        gone(&scene, &mut operator, place).await;
        once(&bed, &scene, (&uid, place)).await;
    }
    let _operator = bed.operator(&[]).await;
    bed.verifies().await;
}

/// Each thing is on record once, was done once, and nothing of the run is left.
async fn once(bed: &Bed, scene: &Scene, (uid, place): (&str, &str)) {
    let records = bed.records(uid).await;
    for (code, wanted) in [
        (Event::RunRequested, 1),
        (Event::RunPlanned, 1),
        (Event::RunEscalated, 1),
        (Event::RunStarted, 1),
        (Event::StepIntended, 3),
        (Event::StepSucceeded, 3),
        (Event::RunFinished, 1),
        (Event::RunGone, 0),
    ] {
        let count = records.iter().filter(|record| record.fact.code == code);
        assert_eq!(count.count(), wanted, "{} at {place}", code.code());
    }
    for name in ["one", "two"] {
        let found = scene.object("Deployment", name).await;
        assert_eq!(found["spec"]["replicas"], 3, "{place}");
        assert_eq!(found["metadata"]["generation"], 2, "{place}: {found:#}");
    }
    for kind in ["Gate", "Decision"] {
        let all = api(scene.admin(), kind, scene.ns.name());
        eventually(&format!("each {kind} is gone, {place}"), LONG, async || {
            let left = all.list(&ListParams::default()).await;
            let left = left.map_err(|error| error.to_string())?.items;
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_is_counted_once_whenever_the_operator_dies() {
    need!(Owned, Users);
    let bed = Bed::set().await;
    let places = names("src/adapters/ledger/claims.rs").into_iter();
    let places = places.filter(|name| name.starts_with("own.") || name.starts_with("join."));
    let places: Vec<String> = places.collect();
    assert_eq!(places.len(), 4, "{places:?}");
    for place in &places {
        let scene = scene(&bed, (1, 2)).await;
        let incident = json!({"incident": {"key": "k", "summary": "again"}});
        let mut operator = bed.operator(&[(VARIABLE, place)]).await;
        scene.ask("first", "p", incident.clone()).await;
        let mut asked = false;
        eventually(&format!("it dies at {place}"), LONG, async || {
            if operator.exit_code().is_some() {
                return Ok(());
            }
            let run = scene.object("Orchestration", "first").await;
            if !asked && run["status"]["gates"][0]["uid"].is_string() {
                asked = true;
                scene.ask("second", "p", incident.clone()).await;
            }
            Err(operator.log_tail())
        })
        .await;
        assert_eq!(operator.exit_code(), Some(128), "at {place}");
        let operator = bed.operator(&[]).await;
        if !asked {
            // Whoever is looked at first owns the incident.
            let owns = |status: &Value| status["gates"][0]["uid"].is_string();
            scene.until("first", "is asked about", owns).await;
            scene.ask("second", "p", incident.clone()).await;
        }
        let second = scene.ended("second", "Joined").await;
        let joined = &second["status"]["joined"];
        assert_eq!(
            joined["name"],
            "first",
            "at {place}: {}",
            operator.log_tail()
        );
        let counted = |status: &Value| status["joined"]["count"] == 1;
        scene
            .until("first", &format!("counts it once, {place}"), counted)
            .await;
        let uid = second["metadata"]["uid"].as_str().expect("a uid");
        let records = bed.records(uid).await;
        let ends = records
            .iter()
            .filter(|record| record.fact.code == Event::RunFinished);
        assert_eq!(ends.count(), 1, "at {place}");
    }
    let _operator = bed.operator(&[]).await;
    bed.verifies().await;
}

/// Operator and API server are killed, and others go on.
async fn anew(bed: &Bed, operator: &mut Operator) {
    if operator.exit_code().is_none() {
        operator.signal("KILL");
        operator.ended(LONG).await;
    }
    api_server_anew(bed).await;
    *operator = bed.operator(&[]).await;
    operator.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_said_and_what_time_brought_holds_across_restarts() {
    need!(Owned, Users);
    let bed = Bed::set().await;
    let mut operator = bed.operator(&[]).await;
    let scene = scene(&bed, (2, 15)).await;
    scene.ask("r", "p", json!({})).await;
    let run = scene.asked("r").await;
    operator.signal("KILL");
    operator.ended(LONG).await;
    let gate = run["status"]["gates"][0]["name"].as_str().expect("a name");
    let gate = scene.object("Gate", gate).await;
    assert_eq!(gate["status"]["state"], "Open", "{gate:#}");
    eventually("their time passes and nobody sees it", LONG, async || {
        let deadline = gate["spec"]["deadline"].as_str().expect("a deadline");
        let deadline: Timestamp = deadline.parse().expect("a time");
        if neuralops::adapters::clock::now() > deadline {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .await;
    anew(&bed, &mut operator).await;
    let asks = async |count: usize| {
        eventually("the next are asked", LONG, async || {
            let run = scene.object("Orchestration", "r").await;
            assert!(run["status"]["outcome"].is_null(), "{run:#}");
            match open_gate(&run, count) {
                Some(_) => Ok(run),
                None => Err(format!("{:#}", run["status"])),
            }
        })
        .await
    };
    let run = asks(2).await;
    // dave takes back what he said; that he did is known to who comes after.
    vote(&scene, "dave", (&run, "Approve")).await;
    counted(&scene, &run, &["dave"]).await;
    anew(&bed, &mut operator).await;
    vote(&scene, "dave", (&run, "Withdraw")).await;
    anew(&bed, &mut operator).await;
    vote(&scene, "carol", (&run, "Approve")).await;
    counted(&scene, &run, &["carol"]).await;
    assert_eq!(scene.replicas("one").await, 1);
    vote(&scene, "dave", (&run, "Approve")).await;
    let run = asks(3).await;
    middle(&bed, &scene, (&run, &mut operator)).await;
    let run = scene.ended("r", "Succeeded").await;
    let uid = run["metadata"]["uid"].as_str().expect("a uid");
    let records = bed.records(uid).await;
    for code in [Event::RunEscalated, Event::RunStarted, Event::RunFinished] {
        let count = records.iter().filter(|record| record.fact.code == code);
        assert_eq!(count.count(), 1, "{}", code.code());
    }
    bed.verifies().await;
}

/// It waits in its middle, is suspended, and stays so across restarts, whatever people say meanwhile.
async fn middle(bed: &Bed, scene: &Scene, (run, operator): (&Value, &mut Operator)) {
    assert_eq!(
        [scene.replicas("one").await, scene.replicas("two").await],
        [3, 1]
    );
    let set = |suspend: bool| scene.set_run("alice", "r", json!({ "suspend": suspend }));
    set(true).await.expect("suspended");
    vote(scene, "carol", (run, "Approve")).await;
    anew(bed, operator).await;
    vote(scene, "dave", (run, "Approve")).await;
    scene
        .until("r", "is held", |status| {
            status["gates"][2]["state"] == "Approved"
        })
        .await;
    anew(bed, operator).await;
    assert_eq!(scene.replicas("two").await, 1);
    set(false).await.expect("goes on");
    scene.ended("r", "Succeeded").await;
    assert_eq!(
        [scene.replicas("one").await, scene.replicas("two").await],
        [3, 3]
    );
}

/// An API server that has just started refuses votes until it knows what the policies speak of.
async fn vote(scene: &Scene, person: &str, (run, verdict): (&Value, &str)) {
    eventually("the vote is taken", LONG, async || {
        let voted = scene.vote(person, run, verdict).await;
        let taken = voted.map(drop);
        taken.map_err(|error| format!("{person} {verdict}: {error}"))
    })
    .await;
}

/// Waits until these votes count about the newest Gate.
async fn counted(scene: &Scene, run: &Value, wanted: &[&str]) {
    let gates = run["status"]["gates"].as_array().expect("gates");
    let name = gates.last().expect("a gate")["name"]
        .as_str()
        .expect("a name");
    eventually("the votes are counted", LONG, async || {
        let gate = scene.object("Gate", name).await;
        let counted = gate["status"]["decisions"].as_array().cloned();
        let counted = counted.unwrap_or_default();
        let users: Vec<&str> = counted
            .iter()
            .filter_map(|one| one["user"].as_str())
            .collect();
        if users == wanted {
            Ok(())
        } else {
            Err(format!("{users:?}"))
        }
    })
    .await;
}
