//! Servers that stand in Prometheus' place and do something else: whatever they say, nothing is taken for an answer that is
//! none, and nothing that is secret goes where it should not.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use futures::{StreamExt as _, stream};
use neuralops::adapters::prometheus::Settings;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::bed::{Bed, check, settings, stable, waits};

#[derive(Clone)]
enum Lie {
    Says(u16, String),
    To(String),
    /// An answer that never ends.
    Endless,
    /// A beginning, and then nothing.
    Trickle,
    Silence,
}

/// What a server was asked: path, body, authorization.
type Asked = Arc<Mutex<Vec<(String, String, Option<String>)>>>;

struct Liar {
    url: String,
    asked: Asked,
    _tasks: JoinSet<()>,
}

async fn answer(
    State((lie, asked)): State<(Lie, Asked)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = headers.get("authorization");
    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
    let body = String::from_utf8(body.to_vec()).unwrap();
    asked
        .lock()
        .unwrap()
        .push((uri.path().to_owned(), body, authorization));
    let beginning = || stream::iter([Ok::<_, std::io::Error>("{\"status\":\"success\",\"data\":")]);
    let response = Response::builder();
    match lie {
        Lie::Says(status, text) => response.status(status).body(Body::from(text)),
        Lie::To(url) => response
            .status(307)
            .header("location", url)
            .body(Body::empty()),
        Lie::Endless => response.body(Body::from_stream(
            beginning().chain(stream::repeat_with(|| Ok("[[[[[[[[[[[[[[[["))),
        )),
        Lie::Trickle => response.body(Body::from_stream(beginning().chain(stream::pending()))),
        Lie::Silence => std::future::pending().await,
    }
    .unwrap()
}

impl Liar {
    async fn new(lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Asked::default();
        let router = Router::new()
            .fallback(answer)
            .with_state((lie, Arc::clone(&asked)));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            asked,
            _tasks: tasks,
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            within: Duration::from_secs(3),
            ..settings(&self.url)
        }
    }
}

fn good() -> Value {
    json!({"resultType": "vector", "result": [{"metric": {}, "value": [1, "1"]}]})
}

/// Planning says that it is unknown, and a step that is under way waits and begins anew.
async fn is_no_answer(lie: Lie, reason: &str, said: &str) {
    let liar = Liar::new(lie).await;
    let bed = Bed::with(Some(liar.settings()));
    let step = check("vector(1)", "result[0].value == 1");
    let (verdict, found, message) = bed.refused(&step).await;
    assert_eq!(
        (verdict.as_str(), found.as_str()),
        ("Unknown", reason),
        "{message}"
    );
    assert!(message.contains(said), "{message}");
    assert!(!message.contains("c4n4ry"), "{message}");
    for step in [step, stable("vector(1)", "result[0].value == 1")] {
        let mut effect = json!({"query": "vector(1)", "expression": "result[0].value == 1"});
        effect["stableFor"] = step["check"]["stableFor"].clone();
        let (memory, message) = waits(bed.look(&effect, 20, Some((1, 19))).await);
        assert_eq!(memory, None);
        assert!(message.contains(said), "{message}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_unknown() {
    let success = |data: Value| json!({"status": "success", "data": data}).to_string();
    let partial = json!({"status": "success", "data": good(), "warnings": ["one store is away"]});
    let error =
        json!({"status": "error", "errorType": "execution", "error": "many-to-many matching"});
    let unusable = "PrometheusAnswerUnusable";
    for (status, text, said) in [
        (200, partial.to_string(), "one store is away"),
        (
            200,
            "<html>c4n4ry</html>".to_owned(),
            "no answer of Prometheus",
        ),
        (200, String::new(), "no answer of Prometheus"),
        (
            200,
            success(json!({"resultType": "vector", "result": {"c4n4ry": 1}})),
            "a vector of a form",
        ),
        (
            200,
            success(json!({"resultType": "matrix", "result": []})),
            "with a matrix",
        ),
        (
            200,
            json!({"status": "error", "data": good()}).to_string(),
            "does not say success",
        ),
        (204, String::new(), "answers 204"),
        // What would be good, with a status that says that it is none.
        (206, success(good()), "answers 206"),
        (500, success(good()), "answers 500"),
        (401, "c4n4ry".to_owned(), "answers 401"),
        (400, "<html>c4n4ry</html>".to_owned(), "answers 400"),
        (422, error.to_string(), "many-to-many matching"),
        (503, error.to_string(), "many-to-many matching"),
    ] {
        is_no_answer(Lie::Says(status, text), unusable, said).await;
    }
    is_no_answer(Lie::Endless, unusable, "more than 1048576 bytes").await;
}

#[tokio::test]
async fn what_takes_too_long_is_unknown() {
    is_no_answer(Lie::Silence, "PrometheusUnavailable", "within 3s").await;
    is_no_answer(Lie::Trickle, "PrometheusUnavailable", "within 3s").await;
}

#[tokio::test]
async fn a_token_goes_to_prometheus_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let elsewhere = Liar::new(Lie::Says(
        200,
        json!({"status": "success", "data": good()}).to_string(),
    ))
    .await;
    let liar = Liar::new(Lie::To(format!("{}/api/v1/query", elsewhere.url))).await;
    let with_token = |url: &str| Settings {
        token: Some(token.clone()),
        ..settings(url)
    };
    let step = check("vector(1)", "result[0].value == 1");
    let bed = Bed::with(Some(with_token(&liar.url)));
    let (_, reason, message) = bed.refused(&step).await;
    assert_eq!(reason, "PrometheusUnavailable", "{message}");
    assert!(message.contains("could not read"), "{message}");
    for nothing in ["", " \n", "a\nb"] {
        std::fs::write(&token, nothing).unwrap();
        let (_, _, message) = bed.refused(&step).await;
        assert!(message.contains("no token"), "{message}");
    }
    assert!(liar.asked.lock().unwrap().is_empty());
    std::fs::write(&token, "c4n4ry-1\n").unwrap();
    let (verdict, reason, message) = bed.refused(&step).await;
    assert_eq!(
        (verdict.as_str(), reason.as_str()),
        ("Unknown", "PrometheusAnswerUnusable")
    );
    assert!(
        message.contains("not followed") && !message.contains("c4n4ry"),
        "{message}"
    );
    assert!(elsewhere.asked.lock().unwrap().is_empty());
    // It is renewed in place, and the path before /api/v1 is kept.
    let bed = Bed::with(Some(with_token(&format!("{}/tenant", elsewhere.url))));
    for word in ["c4n4ry-2", "c4n4ry-3"] {
        std::fs::write(&token, word).unwrap();
        bed.plan(&step).await.expect("planned");
        let asked = elsewhere.asked.lock().unwrap().pop().unwrap();
        assert_eq!(asked.0, "/tenant/api/v1/query");
        assert_eq!(asked.1, "query=vector%281%29&timeout=20000ms");
        assert_eq!(asked.2, Some(format!("Bearer {word}")));
    }
}
