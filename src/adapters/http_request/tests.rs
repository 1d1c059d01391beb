//! Floor 2, tests: requests that are none, and what becomes of those that are, against a server in the same process.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap as Headers, Uri},
    response::Response as Answer,
};
use futures::{StreamExt as _, stream};
use tokio::{net::TcpListener, task::JoinSet};

use super::*;

fn request(url: &str) -> HttpRequest {
    HttpRequest {
        method: "POST".into(),
        url: url.into(),
        headers: BTreeMap::new(),
        body: None,
        expect_status: Vec::new(),
        timeout: 20_000,
    }
}

#[test]
fn what_is_no_request_is_refused_before_anything_is_sent() {
    for url in [
        "",
        "shop",
        "/a",
        "ftp://a/",
        "https://",
        "https://c4n4ry:pw@a/",
    ] {
        let refused = request(url).check().unwrap_err();
        assert!(matches!(refused, NoHttpRequest::Url(_)), "{url}: {refused}");
        assert!(!refused.to_string().contains("c4n4ry"));
    }
    for (name, value) in [
        ("a b", "x"),
        ("", "x"),
        ("x-a", "b\r\nx-b: c"),
        ("x-a", "b\0"),
        ("Authorization", "x"),
        ("HOST", "other.example"),
        ("Transfer-Encoding", "chunked"),
        ("content-length", "0"),
    ] {
        let mut wrong = request("https://a/");
        wrong.headers.insert(name.into(), value.into());
        let refused = wrong.check().unwrap_err();
        assert!(
            matches!(refused, NoHttpRequest::Header { .. }),
            "{name}: {refused}"
        );
    }
    let mut twice = request("https://a/");
    twice.headers = [("X-A", "1"), ("x-a", "2")]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
    assert!(twice.check().is_err());
    let mut method = request("https://a/");
    method.method = "GET / HTTP/1.1\r\n".into();
    assert_eq!(method.check(), Err(NoHttpRequest::Method));
    assert_eq!(request("http://shop.svc:8080/a?b=c").check(), Ok(()));
}

#[test]
fn good_answers_are_those_that_are_named_or_two_hundreds() {
    let mut asked = request("https://a/");
    let good = |asked: &HttpRequest| -> Vec<u16> {
        let each = [100, 199, 200, 204, 299, 300, 302, 404, 500];
        each.into_iter()
            .filter(|status| asked.expects(*status))
            .collect()
    };
    assert_eq!(good(&asked), [200, 204, 299]);
    asked.expect_status = vec![302, 404];
    assert_eq!(good(&asked), [302, 404]);
}

type Seen = Arc<Mutex<Vec<(String, Headers, String)>>>;

/// Answers with the status in its path; `/endless`, `/broken` and `/silent` as they say.
async fn serve() -> (String, Seen, JoinSet<()>) {
    async fn answer(State(seen): State<Seen>, uri: Uri, headers: Headers, body: Bytes) -> Answer {
        let body = String::from_utf8(body.to_vec()).unwrap();
        seen.lock().unwrap().push((uri.to_string(), headers, body));
        let word = || Ok::<_, std::io::Error>("c4n4ry c4n4ry c4n4ry");
        match uri.path() {
            "/silent" => std::future::pending().await,
            "/endless" => Answer::new(Body::from_stream(stream::repeat_with(word))),
            "/broken" => {
                let broken = stream::iter([word(), Err(std::io::Error::other("broken"))]);
                Answer::new(Body::from_stream(broken.chain(stream::pending())))
            }
            path => Answer::builder()
                .status(path[1..4].parse::<u16>().unwrap())
                .header("location", "/200/elsewhere")
                .body(Body::from("c4n4ry"))
                .unwrap(),
        }
    }
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Seen::default();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&seen));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, seen, tasks)
}

#[tokio::test]
async fn it_is_sent_once_and_judged_by_its_status() {
    let (url, seen, _tasks) = serve().await;
    let mut asked = request(&format!("{url}/204/a?b=c"));
    asked.headers.insert("X-Why".into(), "because".into());
    asked.body = Some("{\"a\": 1}".into());
    assert_eq!(
        asked.send(Some("Bearer c4n4ry-secret\n")).await.unwrap(),
        204
    );
    {
        let seen = seen.lock().unwrap();
        let (path, headers, body) = &seen[0];
        assert_eq!((path.as_str(), body.as_str()), ("/204/a?b=c", "{\"a\": 1}"));
        assert_eq!(headers["x-why"], "because");
        assert_eq!(headers["authorization"], "Bearer c4n4ry-secret");
    }
    for (path, said) in [
        (
            "/500/c4n4ry",
            "127.0.0.1 answered 500; expected is 200 to 299",
        ),
        (
            "/302/c4n4ry",
            "127.0.0.1 answered 302; expected is 200 to 299",
        ),
    ] {
        let error = request(&format!("{url}{path}"))
            .send(Some("Bearer c4n4ry"))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), said);
        assert!(!format!("{error:?}").contains("c4n4ry"), "{error:?}");
    }
    // It was sent once each, and not where the answer said.
    assert_eq!(seen.lock().unwrap().len(), 3);
    let mut moved = request(&format!("{url}/302"));
    moved.expect_status = vec![302];
    assert_eq!(moved.send(None).await.unwrap(), 302);
    for nothing in ["", "\n", "a\nb", "a\u{1}"] {
        let error = moved.send(Some(nothing)).await.unwrap_err();
        assert!(matches!(
            error,
            HttpRequestError::None(NoHttpRequest::Authorization(_))
        ));
    }
    assert_eq!(seen.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn an_answer_is_read_to_a_limit_and_no_further() {
    let (url, _seen, _tasks) = serve().await;
    assert_eq!(
        request(&format!("{url}/endless")).send(None).await.unwrap(),
        200
    );
    let error = request(&format!("{url}/broken"))
        .send(None)
        .await
        .unwrap_err();
    assert!(
        matches!(error, HttpRequestError::Unanswered { .. }),
        "{error:?}"
    );
    let mut short = request(&format!("{url}/silent"));
    short.timeout = 200;
    let error = short.send(None).await.unwrap_err();
    assert_eq!(error.to_string(), "127.0.0.1 did not answer within 200ms");
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let error = request(&format!("http://{nobody}/"))
        .send(None)
        .await
        .unwrap_err();
    assert!(
        matches!(error, HttpRequestError::Unanswered { .. }),
        "{error:?}"
    );
}
