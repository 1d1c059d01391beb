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
    run::{Answer, audit, text, verify},
};

/// Runs `verify` against a server that answers with this.
async fn verified(
    answer: impl Fn(String) -> Response<Body> + Clone + Send + Sync + 'static,
) -> Answer {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/log", listener.local_addr().unwrap());
    let server = Router::new().fallback(move |uri: Uri| {
        let response = answer(uri.path().trim_start_matches("/log/").to_owned());
        async move { response }
    });
    let command = tokio::task::spawn_blocking(move || verify(&url, &vkey(A)));
    tokio::select! {
        ended = async { axum::serve(listener, server).await } => panic!("the server ended: {ended:?}"),
        answer = command => answer.unwrap(),
    }
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
