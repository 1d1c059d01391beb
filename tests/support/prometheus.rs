//! The Prometheus that tests/prometheus starts beside the operator of the tests, and pages of metrics that it reads.

use std::io::Write as _;
use std::path::PathBuf;

use axum::{Router, routing::get};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What tests/prometheus exports with this end of its name.
#[expect(
    clippy::disallowed_methods,
    reason = "the test bed speaks through the environment"
)]
pub fn prometheus(part: &str) -> Option<PathBuf> {
    std::env::var_os(format!("NEURALOPS_TEST_PROMETHEUS{part}")).map(PathBuf::from)
}

/// A page of metrics under a name of its own, which Prometheus reads as long as this lives; none without a Prometheus.
pub async fn scraped(name: &str, page: &'static str) -> Option<JoinSet<()>> {
    let targets = prometheus("_TARGETS")?;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let router = Router::new().route("/metrics", get(async move || page));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.expect("served") });
    let mut file = tempfile::NamedTempFile::new_in(&targets).expect("a file");
    let content = json!([{ "targets": [address] }]).to_string();
    file.write_all(content.as_bytes()).expect("written");
    file.persist(targets.join(format!("{name}.json")))
        .expect("renamed");
    Some(tasks)
}
