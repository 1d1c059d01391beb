//! Floor 3, tests: what becomes of a plan while nobody answers.

use std::net::TcpListener;

use kube::Config;
use serde_json::json;

use super::*;
use crate::domain::plan::Verdict;

#[tokio::test]
async fn a_dry_run_that_does_not_answer_is_an_obstacle_and_no_failed_pass() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let client = Client::try_from(Config::new(address.parse().unwrap())).unwrap();
    let account = Account::new(client, "shop", "runbook").unwrap();
    let run = RunRef {
        namespace: "shop".into(),
        name: "r".into(),
        uid: "u".into(),
    };
    let (parameters, veil, cel) = (Map::new(), Veil::new(&[7; 32]), Cel::default());
    let planning = Planning {
        account: &account,
        run: &run,
        playbook: "heal",
        parameters: &parameters,
        veil: &veil,
        cel: &cel,
        installation: &Installation::default(),
        earlier: &[],
    };
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
    let playbook: PlaybookSpec = serde_json::from_value(json!({
        "revision": 1, "serviceAccountName": "runbook",
        "steps": [{"name": "a", "scale": {"target": target, "replicas": 2}}, {"name": "b", "rolloutRestart": {"target": target}}],
    }))
    .unwrap();
    let steps = playbook.steps.clone().unwrap();
    let found = forecasts(&steps, &[], &planning, &playbook, Instant::now()).await;
    let obstacles = found.unwrap_err();
    let told: Vec<_> = obstacles
        .iter()
        .map(|one| {
            (
                one.verdict,
                one.reason,
                one.message.starts_with("step a: not known within 40 s"),
            )
        })
        .collect();
    assert_eq!(told, [(Verdict::Unknown, Reason::TimedOut, true)]);
}
