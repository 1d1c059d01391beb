//! Runs whose `check` asks a real Prometheus: healed and found good; and with an operator of their own, whose Prometheus is
//! away, comes, and goes in the middle. What each answer means is shown in tests/promql.

use std::{
    net::TcpListener as Port,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    OwnCluster, Scene, condition, need, prometheus, scale, scraped, skip, steps, told, waits_for,
};

fn check(query: &str, expression: &str) -> Value {
    json!({"name": "good", "check": {"prometheus": {"query": query, "expression": expression}}})
}

#[tokio::test]
async fn prometheus_decides_whether_a_run_has_worked() {
    let cluster = need!(Owned, Users);
    let scene = Scene::set(cluster, "prometheus").await;
    scene.workloads(&["checkout"]).await;
    let page = "errors{app=\"checkout\"} 1\n";
    let Some(_page) = scraped("runs", page).await else {
        skip!("no Prometheus: make on-cluster starts one");
        return;
    };
    // Prometheus may not have read it yet: it is waited for by what is asked.
    let mut good = check(
        "errors{app=$app} or on() vector(99)",
        "result.all(r, r.value < params.limit) && size(result) == 1",
    );
    good["check"]["prometheus"]["vars"] = json!({"app": "$(params.app)"});
    good["check"]["stableFor"] = json!("2s");
    let mut playbook = scene.playbook("heal", json!([scale("more", "checkout", 3), good]));
    playbook["spec"]["parameters"] = json!({"type": "object", "properties": {
        "app": {"type": "string", "maxLength": 63, "default": "checkout"},
        "limit": {"type": "integer", "default": 5},
    }});
    scene.signed(playbook).await;
    scene.ask("heal", "heal", json!({})).await;
    let run = scene.asked("heal").await;
    scene.approve(&run).await;
    let run = scene.ended("heal", "Succeeded").await;
    assert_eq!(steps(&run), "Succeeded Succeeded");
    assert_eq!(scene.replicas("checkout").await, 3);

    // A query that is none ends the run before anybody is asked, in Prometheus' own words.
    let broken = json!([check("errors{", "size(result) > 0")]);
    scene.signed(scene.playbook("broken", broken)).await;
    scene.ask("broken", "broken", json!({})).await;
    let run = scene.ended("broken", "Failed").await;
    let status = &run["status"];
    assert_eq!(condition(status, "Ready"), "False/QueryInvalid");
    assert!(
        told(status).contains("unexpected end of input inside braces"),
        "{status:#}"
    );

    // What does not hold fails the run, with what was found.
    let bad = json!([check("vector(7)", "result[0].value < 5")]);
    scene.approved("bad", bad, json!({})).await;
    let run = scene.ended("bad", "Failed").await;
    assert_eq!(steps(&run), "Failed");
    assert!(
        told(&run["status"]).contains("does not hold"),
        "{:#}",
        run["status"]
    );
}

/// A Prometheus on this port, until it is dropped.
struct Server(Child);

impl Server {
    fn start(program: &Path, folder: &Path, port: u16) -> Self {
        std::fs::write(folder.join("prometheus.yaml"), "{}").expect("written");
        let child = Command::new(program)
            .arg(format!(
                "--config.file={}",
                folder.join("prometheus.yaml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("it starts"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_that_is_away_opens_no_gate_and_passes_no_check() {
    need!(Owned, Users);
    let Some(program) = prometheus("_PROGRAM") else {
        skip!("no Prometheus: make on-cluster starts one");
        return;
    };
    let own = OwnCluster::start_bare().await;
    own.install();
    let port = Port::bind("127.0.0.1:0").and_then(|port| port.local_addr());
    let port = port.expect("a port").port();
    let url = format!("http://127.0.0.1:{port}");
    let flags = [
        "--prometheus-url",
        url.as_str(),
        "--prometheus-timeout",
        "3s",
    ];
    let operator = own.operator(&flags);
    operator.ready().await;
    let scene = Scene::set(own.cluster(), "away").await;
    let mut good = check("vector(1)", "result[0].value == 1");
    good["check"]["stableFor"] = json!("20s");
    good["timeout"] = json!("25s");
    scene.signed(scene.playbook("look", json!([good]))).await;
    operator.trusts().await;
    scene.ask("look", "look", json!({})).await;
    let run = scene
        .until("look", "is in doubt", waits_for("PrometheusUnavailable"))
        .await;
    let status = &run["status"];
    assert_eq!(status["plan"]["verdict"], "Unknown", "{status:#}");
    assert!(
        status["gates"].is_null() && status["outcome"].is_null(),
        "{status:#}"
    );

    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&program, folder.path(), port);
    let run = scene.asked("look").await;
    scene.approve(&run).await;
    scene
        .until("look", "holds for now", |status| {
            told(status).contains("holds, and must for 20s")
        })
        .await;
    drop(server);
    let run = scene.ended("look", "Failed").await;
    let status = &run["status"];
    assert!(
        told(status).contains("Prometheus does not answer"),
        "{status:#}"
    );
    assert_eq!(steps(&run), "Failed");
}
