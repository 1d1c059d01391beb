//! An export behind a web server, which may be anybody's.

use std::{fs, path::PathBuf};

use axum::{
    Router,
    body::Body,
    http::{Response, StatusCode, Uri},
};
use tempfile::TempDir;

use crate::{
    log::{A, Filled, vkey},
    run::{Answer, audit, audit_with, text, verify},
};

type Said = Response<Body>;

/// Serves this while the command runs, which is told where.
async fn served(
    answer: impl Fn(String) -> Said + Clone + Send + Sync + 'static,
    command: impl FnOnce(String) -> Answer + Send + 'static,
) -> Answer {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = Router::new().fallback(move |uri: Uri| {
        let response = answer(uri.path().to_owned());
        async move { response }
    });
    let command = tokio::task::spawn_blocking(move || command(address));
    tokio::select! {
        ended = async { axum::serve(listener, server).await } => panic!("the server ended: {ended:?}"),
        answer = command => answer.unwrap(),
    }
}

/// Runs `verify` against a server that answers with this.
async fn verified(answer: impl Fn(String) -> Said + Clone + Send + Sync + 'static) -> Answer {
    let below = move |path: String| answer(path.trim_start_matches("/log/").to_owned());
    served(below, |address| verify(&format!("{address}/log"), &vkey(A))).await
}

fn say(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    Response::builder()
        .status(status)
        .body(Body::from(body))
        .unwrap()
}

async fn export() -> (TempDir, PathBuf) {
    let filled = Filled::sqlite().await;
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("log");
    audit(&[
        "export",
        "--store",
        &filled.url(),
        "--to",
        text(&log),
        "--key",
        &vkey(A).to_string(),
    ])
    .good();
    (dir, log)
}

#[tokio::test]
async fn an_export_is_verified_where_it_is_served() {
    let (_dir, log) = export().await;
    let served = move |path: String| match fs::read(log.join(path)) {
        Ok(bytes) => say(StatusCode::OK, bytes),
        Err(_) => say(StatusCode::NOT_FOUND, Vec::new()),
    };
    let said = verified(served.clone()).await.good();
    assert!(
        said.starts_with(&format!("verified: 600 leaves of {A}\n")),
        "{said}"
    );

    let altered = move |path: String| {
        let answer = served(path.clone());
        if path == "tile/entries/001" {
            say(StatusCode::NOT_FOUND, Vec::new())
        } else {
            answer
        }
    };
    verified(altered)
        .await
        .refuted("leaf 256 (tile/entries/001): missing");
}

#[tokio::test]
async fn a_server_can_neither_lead_elsewhere_nor_fill_the_memory() {
    let elsewhere = |_| {
        let mut answer = say(StatusCode::FOUND, Vec::new());
        answer
            .headers_mut()
            .insert("location", "http://127.0.0.1:1/".parse().unwrap());
        answer
    };
    verified(elsewhere).await.failed(1, "answers 302 Found");
    verified(|_| say(StatusCode::INTERNAL_SERVER_ERROR, Vec::new()))
        .await
        .failed(1, "answers 500");
    verified(|_| say(StatusCode::OK, vec![b'x'; 100_000]))
        .await
        .refuted("is larger than the 65536 bytes");
    verified(|_| say(StatusCode::NOT_FOUND, Vec::new()))
        .await
        .failed(1, "holds no checkpoint");
}

/// An API server that knows one AuditLog, or none.
async fn restored(size: Option<u64>) -> Answer {
    let filled = Filled::sqlite().await;
    let dir = TempDir::new().unwrap();
    let file = |name: &str| dir.path().join(name);
    let (archive, config) = (file("audit.tar.gz"), file("config"));
    let key = vkey(A).to_string();
    audit(&[
        "backup",
        "--store",
        &filled.url(),
        "--to",
        text(&archive),
        "--key",
        &key,
    ])
    .good();
    let root = filled.log.root;
    let cluster = move |path: String| {
        assert_eq!(path, "/apis/neuralops.io/v1alpha1/auditlogs/main");
        let Some(size) = size else {
            let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}"#;
            return say(StatusCode::NOT_FOUND, status.into());
        };
        let object = format!(
            r#"{{"apiVersion":"neuralops.io/v1alpha1","kind":"AuditLog","metadata":{{"name":"main"}},
            "spec":{{"origin":"{A}","size":{size},"root":"{root}","checkpoint":"c","keys":["k"],"previous":[]}}}}"#
        );
        say(StatusCode::OK, object.into_bytes())
    };
    let store = format!("sqlite://{}", file("restored.db").display());
    served(cluster, move |address| {
        let context = "{name: c, context: {cluster: c, user: u}}";
        let yaml = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{context}], \
             clusters: [{{name: c, cluster: {{server: \"{address}\"}}}}], users: [{{name: u, user: {{}}}}]}}"
        );
        fs::write(&config, yaml).unwrap();
        let args = ["restore", text(&archive), "--store", &store, "--key", &key, "--anchor-from-cluster"];
        audit_with(&[("KUBECONFIG", text(&config))], &args)
    })
    .await
}

#[tokio::test]
async fn the_cluster_says_how_long_the_log_was() {
    restored(Some(600)).await.good();
    let older = "has 600 leaves, and the anchor AuditLog main says 601: it is older";
    restored(Some(601)).await.failed(3, older);
    restored(None).await.failed(
        1,
        "the cluster has no AuditLog main: give the newest checkpoint",
    );
    let nowhere = [
        "restore",
        "x",
        "--store",
        "sqlite:///x/y",
        "--key",
        &vkey(A).to_string(),
        "--anchor-from-cluster",
    ];
    audit(&nowhere).failed(1, "could not read the anchor from the cluster");
}
