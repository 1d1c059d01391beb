//! A registry in this process, on a port of its own: as the distribution specification says, or as the test wants it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::{StreamExt as _, stream};
use neuralops::{
    adapters::{
        oci::{Credentials, OciError, Options, Registry},
        verify::PreparedPolicy,
    },
    domain::{
        digest::Digest,
        document::Document,
        reason::Reason,
        trust::{Image, ImageName, Refusal, Verified, verify_sourced},
    },
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    made::{self, Key, now},
    shelf::{OCI_INDEX, PLAYBOOK, Shelf, bundle},
};

pub const REPOSITORY: &str = "pb/drain";
pub const USER: &str = "robot";
pub const WORD: &str = "open-sesame";
const TOKEN: &str = "a-token-of-this-test";

/// What is answered instead of what the shelf holds.
#[derive(Clone)]
pub enum Instead {
    Status(u16),
    Bytes(Vec<u8>),
    /// The right bytes with this header.
    Header(&'static str, String),
    /// Bytes without end, and without saying how many.
    Endless,
    /// Nothing, for ever.
    Silence,
    /// A redirection.
    To(String),
    /// 401, and this challenge.
    Challenge(String),
}

/// What the referrers API is like.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Referrers {
    #[default]
    AsSpecified,
    /// There is none, and this is said.
    Missing(u16),
    /// It knows of nothing.
    Empty,
    /// It lists the config's type as the artifact's.
    WrongType,
    /// So many at a time.
    Paged(usize),
    /// There is always another page.
    EndlessPages,
}

/// Who may come in.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Gate {
    #[default]
    Open,
    Basic,
    Token,
    /// A token that anybody gets.
    AnonymousToken,
}

#[derive(Default)]
pub struct Inside {
    pub shelf: Shelf,
    pub referrers: Referrers,
    pub gate: Gate,
    /// By the beginning of the path behind the repository.
    pub instead: BTreeMap<String, Instead>,
    /// Method and path of every request, and what it brought along to prove itself.
    pub log: Vec<(String, Option<String>)>,
}

pub struct Server {
    pub address: String,
    inside: Arc<Mutex<Inside>>,
    tasks: JoinSet<()>,
}

/// Small times, so that a test of silence is short.
pub fn options() -> Options {
    Options {
        request: Duration::from_secs(20),
        ..Options::default()
    }
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let inside = Arc::new(Mutex::new(Inside::default()));
        let router = Router::new()
            .fallback(answer)
            .with_state((address.clone(), inside.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            inside,
            tasks,
        }
    }

    /// A registry with the document of `made`, signed by this key as cosign 3 does it.
    pub async fn with_signed(key: &Key) -> (Self, Digest) {
        let server = Self::start().await;
        let digest = {
            let mut inside = server.inside();
            let bytes = made::bytes(&made::document());
            let digest = inside.shelf.artifact(PLAYBOOK, &bytes);
            inside.shelf.refer(&digest, &bundle(key, &digest));
            digest
        };
        (server, digest)
    }

    pub fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    /// The paths that were asked for with this beginning.
    pub fn asked(&self, beginning: &str) -> usize {
        let inside = self.inside();
        let paths = inside.log.iter().map(|(path, _)| path);
        paths.filter(|path| path.contains(beginning)).count()
    }

    pub fn instead(&self, path: &str, instead: Instead) {
        self.inside().instead.insert(path.to_owned(), instead);
    }

    pub fn name(&self) -> ImageName {
        ImageName::parse(&format!("{}/{REPOSITORY}", self.address)).unwrap()
    }

    pub fn image(&self, digest: &Digest) -> Image {
        Image {
            name: self.name(),
            digest: digest.clone(),
        }
    }

    /// Ends it; nobody answers on its port any more.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// The Playbook that names the artifact.
pub fn object(image: &Image) -> Document {
    let document = made::document();
    Document {
        spec: json!({
            "source": {"image": image.to_string()},
            "revision": document.spec["revision"],
            "serviceAccountName": document.spec["serviceAccountName"],
        }),
        ..document
    }
}

/// Why it is not trusted, or not even here.
#[derive(Debug)]
pub enum No {
    Fault(OciError),
    Refused(Refusal),
}

impl No {
    pub fn reason(&self) -> Reason {
        match self {
            Self::Fault(error) => error.reason(),
            Self::Refused(refusal) => refusal.reason,
        }
    }

    pub fn text(&self) -> String {
        match self {
            Self::Fault(error) => error.to_string(),
            Self::Refused(refusal) => refusal.to_string(),
        }
    }
}

/// Fetches and verifies, as the operator does it.
pub async fn ask_with(
    options: Options,
    image: &Image,
    policies: &[PreparedPolicy],
    legacy: bool,
) -> Result<Verified, No> {
    let registry = Registry::new(options).unwrap();
    let fetched = registry.fetch(image, legacy).await.map_err(No::Fault)?;
    verify_sourced(&object(image), &fetched, policies, None, now()).map_err(No::Refused)
}

pub async fn ask(image: &Image, policies: &[PreparedPolicy]) -> Result<Verified, No> {
    ask_with(options(), image, policies, false).await
}

/// Why it is refused; what is said about it must be of use.
pub async fn refused(image: &Image, policies: &[PreparedPolicy]) -> Reason {
    let no = ask(image, policies).await.unwrap_err();
    assert!(no.text().len() > 30, "{no:?}");
    no.reason()
}

pub fn credentials(address: &str, user: &str, word: &str) -> Credentials {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let auth = STANDARD.encode(format!("{user}:{word}"));
    let config = json!({"auths": {address: {"auth": auth}}});
    std::fs::write(&path, config.to_string()).unwrap();
    Credentials::read(&path).unwrap()
}

type Shared = (String, Arc<Mutex<Inside>>);

fn plain(status: u16) -> Response {
    let words = json!({"errors": [{"code": "AS_ASKED", "message": "by the test"}]}).to_string();
    Response::builder()
        .status(status)
        .body(Body::from(words))
        .unwrap()
}

async fn answer(
    State((address, inside)): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let proof = headers
        .get("authorization")
        .map(|value| value.to_str().unwrap().to_owned());
    let instead = {
        let mut inside = inside.lock().unwrap();
        let line = format!("{method} {uri}");
        inside.log.push((line, proof.clone()));
        if uri.path() == "/token" {
            return token(&inside, proof.as_deref(), uri.query().unwrap_or_default());
        }
        if let Some(refusal) = refuse(&inside, &address, proof.as_deref()) {
            return refusal;
        }
        let path = uri.path().to_owned();
        let beginning = format!("/v2/{REPOSITORY}/");
        let below = path.strip_prefix(&beginning).unwrap_or(&path).to_owned();
        let found = inside.instead.iter();
        let instead = found
            .filter(|(path, _)| below.starts_with(path.as_str()))
            .max_by_key(|(path, _)| path.len())
            .map(|(_, instead)| instead.clone());
        let real = || {
            let parts: Vec<&str> = below.split('/').collect();
            (parts[0].to_owned(), parts[1..].join("/"))
        };
        let (kind, rest) = real();
        match instead {
            None => return serve(&mut inside, &method, &kind, &rest, &uri, &body),
            Some(Instead::Header(name, value)) => {
                let mut right = serve(&mut inside, &method, &kind, &rest, &uri, &body);
                right.headers_mut().insert(name, value.parse().unwrap());
                return right;
            }
            Some(other) => other,
        }
    };
    match instead {
        Instead::Status(status) => plain(status),
        Instead::Bytes(bytes) => Response::new(Body::from(bytes)),
        Instead::Endless => {
            let chunk = || Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 4096]));
            Response::new(Body::from_stream(stream::repeat_with(chunk)))
        }
        Instead::Silence => std::future::pending().await,
        Instead::To(place) => Response::builder()
            .status(307)
            .header("location", place)
            .body(Body::empty())
            .unwrap(),
        Instead::Challenge(challenge) => Response::builder()
            .status(401)
            .header("www-authenticate", challenge)
            .body(Body::empty())
            .unwrap(),
        Instead::Header(..) => plain(500),
    }
}

fn basic() -> String {
    format!("Basic {}", STANDARD.encode(format!("{USER}:{WORD}")))
}

fn refuse(inside: &Inside, address: &str, proof: Option<&str>) -> Option<Response> {
    let (challenge, good) = match inside.gate {
        Gate::Open => return None,
        Gate::Basic => ("Basic realm=\"here\"".to_owned(), proof == Some(&basic())),
        Gate::Token | Gate::AnonymousToken => (
            format!("Bearer realm=\"http://{address}/token\",service=\"here\",scope=\"any\""),
            proof == Some(&format!("Bearer {TOKEN}")),
        ),
    };
    let refusal = Response::builder()
        .status(401)
        .header("www-authenticate", challenge)
        .body(Body::empty());
    (!good).then(|| refusal.unwrap())
}

fn token(inside: &Inside, proof: Option<&str>, query: &str) -> Response {
    let scope = format!(
        "scope=repository%3A{}%3Apull",
        REPOSITORY.replace('/', "%2F")
    );
    if !query.contains("service=here") || !query.contains(&scope) {
        return plain(400);
    }
    let good = inside.gate == Gate::AnonymousToken || proof == Some(&basic());
    if good {
        Response::new(Body::from(json!({"token": TOKEN}).to_string()))
    } else {
        plain(401)
    }
}

fn serve(
    inside: &mut Inside,
    method: &Method,
    kind: &str,
    rest: &str,
    uri: &Uri,
    body: &[u8],
) -> Response {
    match (method.as_str(), kind) {
        ("GET", "manifests") => match inside.shelf.manifests.get(rest) {
            Some((media_type, bytes)) => Response::builder()
                .header("content-type", media_type)
                .header("docker-content-digest", Digest::of(bytes).as_str())
                .body(Body::from(bytes.clone()))
                .unwrap(),
            None => plain(404),
        },
        ("GET", "blobs") => match inside.shelf.blobs.get(rest) {
            Some(bytes) => Response::new(Body::from(bytes.clone())),
            None => plain(404),
        },
        ("GET", "referrers") => referrers(inside, rest, uri),
        ("POST", "blobs") => Response::builder()
            .status(202)
            .header("location", format!("/v2/{REPOSITORY}/upload?session=1"))
            .body(Body::empty())
            .unwrap(),
        ("PUT", "upload") => {
            let digest = Digest::of(body).to_string();
            if !uri.query().unwrap().contains(&digest.replace(':', "%3A")) {
                return plain(400);
            }
            inside.shelf.blobs.insert(digest, body.to_vec());
            plain(201)
        }
        ("PUT", "manifests") => {
            let entry = (
                "application/vnd.oci.image.manifest.v1+json".to_owned(),
                body.to_vec(),
            );
            inside
                .shelf
                .manifests
                .insert(rest.to_owned(), entry.clone());
            let digest = Digest::of(body).to_string();
            inside.shelf.manifests.insert(digest, entry);
            plain(201)
        }
        _ => plain(405),
    }
}

fn referrers(inside: &Inside, digest: &str, uri: &Uri) -> Response {
    let mut list = inside
        .shelf
        .referrers
        .get(digest)
        .cloned()
        .unwrap_or_default();
    let from: usize = uri
        .query()
        .and_then(|query| query.strip_prefix("from="))
        .map_or(0, |from| from.parse().unwrap());
    let path = format!("/v2/{REPOSITORY}/referrers/{digest}");
    let mut next = None;
    match inside.referrers {
        Referrers::AsSpecified => {}
        Referrers::Missing(status) => return plain(status),
        Referrers::Empty => list.clear(),
        Referrers::WrongType => {
            for one in &mut list {
                one["artifactType"] = json!("application/vnd.oci.empty.v1+json");
            }
        }
        Referrers::Paged(size) => {
            let end = (from + size).min(list.len());
            next = (end < list.len()).then_some(end);
            list = list[from..end].to_vec();
        }
        Referrers::EndlessPages => {
            next = Some(from + 1);
            list.clear();
        }
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list});
    let mut response = Response::builder()
        .status(StatusCode::OK)
        .header("content-type", OCI_INDEX);
    if let Some(next) = next {
        response = response.header("link", format!("<{path}?from={next}>; rel=\"next\""));
    }
    response.body(Body::from(index.to_string())).unwrap()
}

/// So that an endless body is one.
#[tokio::test]
async fn an_endless_body_has_no_length() {
    let server = Server::start().await;
    server.instead("manifests/a", Instead::Endless);
    let url = format!("http://{}/v2/{REPOSITORY}/manifests/a", server.address);
    let response = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = response.get(url).send().await.unwrap();
    assert_eq!(response.content_length(), None);
    let chunks = futures::stream::unfold(response, |mut response| async move {
        let chunk = response.chunk().await.ok()??;
        Some((chunk.len(), response))
    });
    let sizes: Vec<usize> = chunks.take(100).collect().await;
    assert!(sizes.iter().sum::<usize>() > 100_000);
}
