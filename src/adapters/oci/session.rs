//! Floor 2: what is asked of one repository, by the five requests of the distribution specification. Every answer has a
//! largest size and a digest that is taken here; a redirection takes no credentials along and never leads to plain HTTP.

use std::sync::{Mutex, PoisonError};

use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION},
};

use super::{
    LARGEST_MANIFEST, OciError,
    answer::{Answer, code, printable, read_within, same, shown, strange, unexpected, unreachable},
    auth::{self, Challenge},
    client::Registry,
    credentials::Secret,
    error::Piece,
    manifest::{Descriptor, INDEX, MANIFESTS},
};
use crate::domain::{digest::Digest, trust::ImageName};

/// How large the answer of a token service may be, and the words of a registry about an error.
const LARGEST_WORDS: usize = 64 * 1024;
/// How often an answer may point elsewhere.
const MOST_HOPS: usize = 4;

/// One repository of one registry.
pub(super) struct Session<'a> {
    registry: &'a Registry,
    name: &'a ImageName,
    base: Url,
    push: bool,
    authorization: Mutex<Option<Secret>>,
}

/// What is asked.
pub(super) struct Call<'a> {
    pub method: Method,
    pub url: Url,
    pub accept: &'a str,
    /// Its media type and itself.
    pub body: Option<(&'a str, Vec<u8>)>,
    pub limit: usize,
    pub piece: Piece,
}

/// A manifest's bytes and the digest that they have.
pub(super) struct Raw {
    pub bytes: Vec<u8>,
    pub digest: Digest,
}

impl<'a> Session<'a> {
    pub fn new(registry: &'a Registry, name: &'a ImageName, push: bool) -> Result<Self, OciError> {
        let scheme = if registry.is_plain(name) {
            "http"
        } else {
            "https"
        };
        let text = format!("{scheme}://{}/v2/{}/", name.registry(), name.repository());
        let base = Url::parse(&text).map_err(|error| OciError::Answer {
            url: text,
            what: error.to_string(),
        })?;
        Ok(Self {
            registry,
            name,
            base,
            push,
            authorization: Mutex::new(None),
        })
    }

    /// An address below this repository.
    pub fn url(&self, path: &str) -> Result<Url, OciError> {
        self.base.join(path).map_err(|error| OciError::Answer {
            url: format!("{}{path}", self.base),
            what: error.to_string(),
        })
    }

    /// The manifest under a tag or a digest, if there is one.
    pub async fn manifest(&self, reference: &str) -> Result<Option<Raw>, OciError> {
        let accept = MANIFESTS.join(", ");
        let url = self.url(&format!("manifests/{reference}"))?;
        let answer = self.get(url, &accept, LARGEST_MANIFEST, Piece::Manifest);
        let answer = answer.await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(unexpected(&answer)),
        }
        let digest = Digest::of(&answer.bytes);
        let claimed = answer.headers.get("docker-content-digest");
        let claimed = claimed.and_then(|value| value.to_str().ok());
        // Another algorithm is another question; of this one there is one answer.
        if let Some(claimed) = claimed.filter(|one| one.starts_with("sha256:"))
            && claimed != digest.as_str()
        {
            return Err(OciError::Mismatch {
                what: shown(&answer.url),
                expected: digest,
                actual: format!("{} by the registry's word", printable(claimed, 80)),
            });
        }
        Ok(Some(Raw {
            bytes: answer.bytes,
            digest,
        }))
    }

    /// The manifest with this digest.
    pub async fn pinned(&self, digest: &Digest) -> Result<Raw, OciError> {
        let raw = self.manifest(digest.as_str()).await?;
        let what = || format!("{}@{digest}", self.name);
        let raw = raw.ok_or_else(|| OciError::NotFound(what()))?;
        same(&raw.digest, digest, what)?;
        Ok(raw)
    }

    /// The layer with this descriptor.
    pub async fn layer(&self, layer: &Descriptor, limit: usize) -> Result<Vec<u8>, OciError> {
        let what = || format!("{}@{}", self.name, layer.digest);
        if layer.size > limit as u64 {
            return Err(OciError::TooLarge {
                piece: Piece::Blob,
                what: what(),
                limit,
            });
        }
        let url = self.url(&format!("blobs/{}", layer.digest))?;
        let answer = self.get(url, "*/*", limit, Piece::Blob).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(OciError::NotFound(what())),
            _ => return Err(unexpected(&answer)),
        }
        same(&Digest::of(&answer.bytes), &layer.digest, what)?;
        if answer.bytes.len() as u64 != layer.size {
            return Err(OciError::MediaType {
                what: what(),
                problem: format!(
                    "has {} bytes, and its manifest says {}",
                    answer.bytes.len(),
                    layer.size
                ),
            });
        }
        Ok(answer.bytes)
    }

    /// One page of what refers to a digest, whatever the status.
    pub async fn referrers(&self, url: Url) -> Result<Answer, OciError> {
        self.get(url, INDEX, LARGEST_MANIFEST, Piece::Manifest)
            .await
    }

    async fn get(
        &self,
        url: Url,
        accept: &str,
        limit: usize,
        piece: Piece,
    ) -> Result<Answer, OciError> {
        let call = Call {
            method: Method::GET,
            url,
            accept,
            body: None,
            limit,
            piece,
        };
        self.send(&call).await
    }

    /// Asks, and asks again with credentials if the registry wants some.
    pub async fn send(&self, call: &Call<'_>) -> Result<Answer, OciError> {
        let (url, mut response) = self.follow(call).await?;
        if response.status() == StatusCode::UNAUTHORIZED && self.is_ours(&url) {
            let challenge = auth::challenge(response.headers());
            let authorization = self.authorize(&url, challenge).await?;
            if authorization.is_some() {
                *self
                    .authorization
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = authorization;
                (_, response) = self.follow(call).await?;
            }
        }
        self.read(url, response, call).await
    }

    /// The client for this address. Who is reached by https leads nowhere else, not even to this machine.
    fn client(&self, url: &Url) -> Option<&Client> {
        let as_safe = url.scheme() == "https" || self.base.scheme() == "http";
        self.registry.client(url).filter(|_| as_safe)
    }

    fn is_ours(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// The first answer that does not point elsewhere, and where it came from.
    async fn follow(&self, call: &Call<'_>) -> Result<(Url, Response), OciError> {
        let mut url = call.url.clone();
        for _ in 0..=MOST_HOPS {
            let response = self.ask(&url, call).await?;
            if !(response.status().is_redirection() && call.method == Method::GET) {
                return Ok((url, response));
            }
            let to = response.headers().get(LOCATION);
            let to = to.and_then(|to| url.join(to.to_str().ok()?).ok());
            url = to.ok_or_else(|| strange(&url, "points elsewhere without saying where"))?;
        }
        Err(strange(&call.url, "points elsewhere again and again"))
    }

    async fn ask(&self, url: &Url, call: &Call<'_>) -> Result<Response, OciError> {
        let client = self.client(url).ok_or_else(|| {
            strange(
                url,
                "is not reached by https; a registry in plain HTTP has to be named with --plain-http",
            )
        })?;
        let mut request = client
            .request(call.method.clone(), url.clone())
            .header(ACCEPT, call.accept);
        if self.is_ours(url) {
            let authorization = self
                .authorization
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            if let Some(secret) = authorization {
                request = request.header(AUTHORIZATION, secret.reveal());
            }
        }
        if let Some((media_type, body)) = &call.body {
            request = request.header(CONTENT_TYPE, *media_type).body(body.clone());
        }
        request
            .send()
            .await
            .map_err(|source| unreachable(url, source))
    }

    /// What answers the challenge; nothing, if there is nothing to answer with.
    async fn authorize(
        &self,
        url: &Url,
        challenge: Option<Challenge>,
    ) -> Result<Option<Secret>, OciError> {
        let login = self.registry.options.credentials.about(self.name);
        let (realm, service) = match challenge {
            None => return Ok(None),
            Some(Challenge::Basic) => return Ok(login.map(auth::basic)),
            Some(Challenge::Bearer { realm, service }) => (realm, service),
        };
        let mut realm = Url::parse(&realm)
            .map_err(|_| strange(url, "names a token service that is no address"))?;
        let actions = if self.push { "pull,push" } else { "pull" };
        let scope = format!("repository:{}:{actions}", self.name.repository());
        realm
            .query_pairs_mut()
            .extend_pairs(service.map(|service| ("service", service)))
            .append_pair("scope", &scope);
        let client = self
            .client(&realm)
            .ok_or_else(|| strange(url, "names a token service that is not reached by https"))?;
        let mut request = client.get(realm.clone());
        if let Some(login) = login {
            request = request.header(AUTHORIZATION, auth::basic(login).reveal());
        }
        let mut response = request
            .send()
            .await
            .map_err(|source| unreachable(&realm, source))?;
        let status = response.status();
        let bytes = read_within(&mut response, LARGEST_WORDS)
            .await
            .map_err(|source| unreachable(&realm, source))?;
        let bytes = bytes.unwrap_or_default();
        self.check(&realm, status, &bytes)?;
        match auth::bearer(&bytes) {
            Some(secret) if status == StatusCode::OK => Ok(Some(secret)),
            _ => Err(strange(&realm, "gives no token")),
        }
    }

    async fn read(
        &self,
        url: Url,
        mut response: Response,
        call: &Call<'_>,
    ) -> Result<Answer, OciError> {
        let status = response.status();
        let limit = if status.is_success() {
            call.limit
        } else {
            LARGEST_WORDS
        };
        let bytes = read_within(&mut response, limit).await;
        let bytes = bytes.map_err(|source| unreachable(&url, source))?;
        self.check(&url, status, bytes.as_deref().unwrap_or_default())?;
        match bytes {
            None if status.is_success() => Err(OciError::TooLarge {
                piece: call.piece,
                what: shown(&url),
                limit,
            }),
            bytes => Ok(Answer {
                headers: response.headers().clone(),
                url,
                status,
                bytes: bytes.unwrap_or_default(),
            }),
        }
    }

    /// What is a fault whatever was asked.
    fn check(&self, url: &Url, status: StatusCode, words: &[u8]) -> Result<(), OciError> {
        let (url, code) = (shown(url), code(words));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let login = self.registry.options.credentials.about(self.name);
                let hint = match login {
                    Some(login) => format!("asked as {:?}", login.user),
                    None => "asked as nobody in particular; name a docker config with a password for this registry (credential helpers and identity tokens are not used)".to_owned(),
                };
                Err(OciError::Denied {
                    url,
                    status,
                    code,
                    hint,
                })
            }
            StatusCode::NOT_IMPLEMENTED => Ok(()),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Err(OciError::Busy { url, status, code })
            }
            _ if status.is_server_error() => Err(OciError::Busy { url, status, code }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::oci::Options;

    #[test]
    fn who_is_reached_by_https_leads_to_https_alone() {
        let registry = Registry::new(Options::default()).unwrap();
        let allowed = |name: &str, url: &str| {
            let name = ImageName::parse(name).unwrap();
            let session = Session::new(&registry, &name, false).unwrap();
            session.client(&Url::parse(url).unwrap()).is_some()
        };
        for (name, url, expected) in [
            ("registry.example/a", "https://storage.example/b", true),
            ("registry.example/a", "http://registry.example/b", false),
            ("registry.example/a", "http://localhost:8080/metrics", false),
            ("registry.example/a", "http://127.0.0.1/b", false),
            ("localhost:5000/a", "http://127.0.0.1:5001/b", true),
            ("localhost:5000/a", "http://storage.example/b", false),
            ("localhost:5000/a", "https://storage.example/b", true),
        ] {
            assert_eq!(allowed(name, url), expected, "{name} {url}");
        }
    }
}
