//! Floor 2: questions to the one Prometheus that this installation is configured with. An answer is whole and of the form
//! that is expected, or it is none: what a `check` makes of it is decided elsewhere. No Playbook says where it is asked.

mod answer;

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::FutureExt as _;
use reqwest::{
    Certificate, Client, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
    redirect::Policy,
};
use tokio::sync::Semaphore;

pub use answer::Answer;

use crate::{
    adapters::kube::error::Classified,
    domain::{duration, reason::Reason, verdict::ErrorClass},
};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How large an answer may be.
const LARGEST_ANSWER: usize = 1024 * 1024;
/// How large a file with a token or certificates may be.
const LARGEST_FILE: u64 = 1024 * 1024;
/// Questions at the same time: others want their answers too.
const PLACES: usize = 8;

/// Where a Prometheus is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusUrl(Url);

/// Text that says of no Prometheus where it is. It is not repeated: a password may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no address of a Prometheus: {0}")]
pub struct NoPrometheusUrl(&'static str);

impl FromStr for PrometheusUrl {
    type Err = NoPrometheusUrl;

    fn from_str(text: &str) -> Result<Self, NoPrometheusUrl> {
        let mut url = Url::parse(text).map_err(|_| {
            NoPrometheusUrl("write https://host:port, with the path before /api/v1 if there is one")
        })?;
        if !["https", "http"].contains(&url.scheme()) || !url.has_host() {
            return Err(NoPrometheusUrl(
                "it begins with https:// or http:// and a host",
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NoPrometheusUrl(
                "no credentials in an address; a token is read from a file",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(NoPrometheusUrl("nothing follows its path"));
        }
        let path = format!("{}/", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Self(url))
    }
}

impl fmt::Display for PrometheusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl PrometheusUrl {
    /// Whether what is sent there can be read on the way.
    pub fn is_plain(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let here = host == "localhost"
            || address
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        self.0.scheme() == "http" && !here
    }
}

/// How Prometheus is asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is.
    pub url: PrometheusUrl,
    /// A file with a bearer token, read anew for each question: tokens are renewed in place.
    pub token: Option<PathBuf>,
    /// A file with the certificates that are trusted instead of the machine's; read anew likewise.
    pub authorities: Option<PathBuf>,
    /// How long one question may take, all of it.
    pub within: Duration,
}

/// Why there is no answer. What is secret is never part of it.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    /// A file that the operator is configured with.
    #[error("could not read {path}, which the operator is configured with")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It says nothing of what it should.
    #[error("{path}, which the operator is configured with, holds {what}")]
    Content {
        /// The file.
        path: String,
        /// What it lacks.
        what: &'static str,
    },
    /// No client for these certificates.
    #[error("could not make a client for Prometheus")]
    Client(#[source] reqwest::Error),
    /// Nothing answers, or not with TLS that is trusted.
    #[error("Prometheus does not answer at {url}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It takes too long.
    #[error("Prometheus did not answer at {url} within {}", duration::render(*within))]
    Slow {
        /// Where.
        url: String,
        /// How long.
        within: Duration,
    },
    /// An answer that nothing can be made of.
    #[error("what answers in Prometheus' place at {url} {what}")]
    Unusable {
        /// Where.
        url: String,
        /// What it does.
        what: String,
    },
    /// The query is none; in Prometheus' words.
    #[error("Prometheus does not take the query: {0}")]
    Query(String),
}

impl Classified for PrometheusError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Query(_) => ErrorClass::Permanent,
            _ => ErrorClass::Transient,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Query(_) => Reason::QueryInvalid,
            Self::Unusable { .. } => Reason::PrometheusAnswerUnusable,
            Self::File { .. }
            | Self::Content { .. }
            | Self::Client(_)
            | Self::Unreachable { .. }
            | Self::Slow { .. } => Reason::PrometheusUnavailable,
        }
    }
}

/// Asks Prometheus.
pub struct Prometheus {
    settings: Settings,
    places: Semaphore,
    /// The client, and the certificates that it was made with.
    client: Mutex<Option<(Option<Vec<u8>>, Client)>>,
}

impl Prometheus {
    /// One that asks in this way.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            places: Semaphore::new(PLACES),
            client: Mutex::default(),
        }
    }

    /// What the query comes to now.
    pub async fn query(&self, query: &str) -> Result<Answer, PrometheusError> {
        let within = self.settings.within;
        match tokio::time::timeout(within, self.ask(query).boxed()).await {
            Ok(answer) => answer,
            Err(_) => Err(PrometheusError::Slow {
                url: self.shown(),
                within,
            }),
        }
    }

    async fn ask(&self, query: &str) -> Result<Answer, PrometheusError> {
        // It is never closed; waiting counts as time that the answer takes.
        let _place = self.places.acquire().await;
        let mut url = self.settings.url.0.clone();
        url.set_path(&format!("{}api/v1/query", url.path()));
        let mut form = Url::clone(&url);
        form.query_pairs_mut()
            .append_pair("query", query)
            .append_pair(
                "timeout",
                &format!("{}ms", self.settings.within.as_millis()),
            );
        let form = form.query().unwrap_or_default().to_owned();
        // In the body: with its values a query can be longer than an address.
        let mut request = self
            .client()?
            .post(url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        if let Some(path) = &self.settings.token {
            request = request.header(AUTHORIZATION, bearer(path)?);
        }
        let unreachable = |source: reqwest::Error| PrometheusError::Unreachable {
            url: self.shown(),
            source: source.without_url(),
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let bytes = read_within(&mut response).await.map_err(unreachable)?;
        let Some(bytes) = bytes else {
            let what = format!("answers more than {LARGEST_ANSWER} bytes: let the query aggregate");
            return Err(self.unusable(what));
        };
        self.judge(status, &bytes)
    }

    fn judge(&self, status: StatusCode, bytes: &[u8]) -> Result<Answer, PrometheusError> {
        if status == StatusCode::OK {
            return answer::read(bytes).map_err(|what| self.unusable(what));
        }
        let refusal = answer::refusal(bytes);
        match (status, refusal) {
            (StatusCode::BAD_REQUEST, Some((kind, words))) if kind == "bad_data" => {
                Err(PrometheusError::Query(words))
            }
            (_, Some((kind, words))) => {
                Err(self.unusable(format!("answers {status} ({kind}: {words})")))
            }
            (status, None) if status.is_redirection() => Err(self.unusable(format!(
                "answers {status}; it is not followed elsewhere: configure the address that answers"
            ))),
            (_, None) => Err(self.unusable(format!("answers {status}"))),
        }
    }

    fn unusable(&self, what: String) -> PrometheusError {
        PrometheusError::Unusable {
            url: self.shown(),
            what,
        }
    }

    fn shown(&self) -> String {
        self.settings.url.to_string()
    }

    /// The client that trusts what is to be trusted now.
    fn client(&self) -> Result<Client, PrometheusError> {
        let path = self.settings.authorities.as_deref();
        let authorities = path.map(read_file).transpose()?;
        // Whoever panicked here left a client or none.
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_with, client)) = &*kept
            && *made_with == authorities
        {
            return Ok(client.clone());
        }
        let mut building = Client::builder()
            .redirect(Policy::none())
            // Its address is the installation's own; no environment sends the token elsewhere.
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT)
            .user_agent(concat!("neuralops/", env!("CARGO_PKG_VERSION")));
        if let (Some(path), Some(bytes)) = (path, &authorities) {
            let none = || PrometheusError::Content {
                path: path.display().to_string(),
                what: "no certificate in PEM",
            };
            let certificates = Certificate::from_pem_bundle(bytes).map_err(|_| none())?;
            if certificates.is_empty() {
                return Err(none());
            }
            building = building.tls_certs_only(certificates);
        }
        let client = building.build().map_err(PrometheusError::Client)?;
        *kept = Some((authorities, client.clone()));
        Ok(client)
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, PrometheusError> {
    let failed = |source| PrometheusError::File {
        path: path.display().to_string(),
        source,
    };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > LARGEST_FILE {
        return Err(failed(std::io::Error::other("it is larger than 1 MiB")));
    }
    std::fs::read(path).map_err(failed)
}

fn bearer(path: &Path) -> Result<HeaderValue, PrometheusError> {
    let none = || PrometheusError::Content {
        path: path.display().to_string(),
        what: "no token",
    };
    let bytes = read_file(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| none())?.trim();
    if text.is_empty() {
        return Err(none());
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| none())?;
    header.set_sensitive(true);
    Ok(header)
}

/// All of the answer, or none if it is larger than an answer may be.
async fn read_within(response: &mut Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > LARGEST_ANSWER {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_a_host_and_perhaps_a_path() {
        let read = |text: &str| text.parse::<PrometheusUrl>().map(|url| url.to_string());
        for (text, expected) in [
            ("https://prometheus.example", "https://prometheus.example/"),
            (
                "http://prometheus.monitoring.svc:9090/",
                "http://prometheus.monitoring.svc:9090/",
            ),
            (
                "https://mimir.example/prometheus",
                "https://mimir.example/prometheus/",
            ),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected));
        }
        for text in [
            "",
            "prometheus:9090",
            "ftp://a/",
            "https://",
            "https://hush:pw@a/",
            "https://a/?x=1",
            "https://a/#x",
        ] {
            let refused = read(text).unwrap_err();
            assert!(!refused.to_string().contains("hush"), "{refused}");
        }
        let plain = |text: &str| text.parse::<PrometheusUrl>().unwrap().is_plain();
        assert!(plain("http://prometheus:9090") && !plain("https://prometheus"));
        assert!(
            !plain("http://localhost:1")
                && !plain("http://127.0.0.1:1")
                && !plain("http://[::1]:1")
        );
    }
}
