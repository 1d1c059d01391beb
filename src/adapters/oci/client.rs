//! Floor 2: the client of all registries: how long anything may take, where plain HTTP is allowed, and under which names
//! we come. What is asked of one repository is a `Session`'s business.

use std::{future::Future, time::Duration};

use futures::FutureExt as _;
use reqwest::{Client, Url, redirect::Policy};

use super::{
    OciError, credentials::Credentials, discover, fetched::Fetched, manifest, reference::Tagged,
    session::Session,
};
use crate::domain::trust::{Image, ImageName, Signatures};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// How registries are spoken to.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who we are.
    pub credentials: Credentials,
    /// Registries (host, or host and port) that are spoken to without TLS.
    pub plain_http: Vec<String>,
    /// Whether the machine itself may be, too. Not where somebody else names the registry: what listens here is not for them.
    pub plain_here: bool,
    /// How long one request may take, all of it.
    pub request: Duration,
    /// How long fetching or pushing one artifact may take, all of it.
    pub whole: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            credentials: Credentials::anonymous(),
            plain_http: Vec::new(),
            plain_here: true,
            request: Duration::from_secs(30),
            whole: Duration::from_secs(120),
        }
    }
}

/// Speaks to registries.
#[derive(Debug)]
pub struct Registry {
    remote: Client,
    local: Client,
    pub(super) options: Options,
}

impl Registry {
    /// A client with these options.
    pub fn new(options: Options) -> Result<Self, OciError> {
        let build = || {
            Client::builder()
                // Followed by the session, which knows what must not go along.
                .redirect(Policy::none())
                .connect_timeout(CONNECT.min(options.request))
                .timeout(options.request)
                .referer(false)
                .user_agent(concat!("neuralops/", env!("CARGO_PKG_VERSION")))
        };
        Ok(Self {
            remote: build().build().map_err(OciError::Client)?,
            // A proxy would look for the registry on its own machine.
            local: build().no_proxy().build().map_err(OciError::Client)?,
            options,
        })
    }

    /// The client for this address, if it may be spoken to in this way.
    pub(super) fn client(&self, url: &Url) -> Option<&Client> {
        let host = url.host_str().unwrap_or_default();
        let local = is_local(host);
        let named = || {
            let with_port = url.port().map(|port| format!("{host}:{port}"));
            let plain = self.options.plain_http.iter();
            plain
                .into_iter()
                .any(|one| one == host || Some(one) == with_port.as_ref())
        };
        let allowed = match url.scheme() {
            "https" => true,
            "http" => (local && self.options.plain_here) || named(),
            _ => false,
        };
        let plain_name = url.username().is_empty() && url.password().is_none();
        (allowed && plain_name).then_some(if local { &self.local } else { &self.remote })
    }

    /// Whether this registry is spoken to without TLS.
    pub fn is_plain(&self, name: &ImageName) -> bool {
        let named = |one: &String| one == name.registry() || one == name.host();
        let here = is_local(name.host()) && self.options.plain_here;
        here || self.options.plain_http.iter().any(named)
    }

    /// The digest that a tag names now.
    pub async fn resolve(&self, tagged: &Tagged) -> Result<Image, OciError> {
        let session = Session::new(self, &tagged.name, false)?;
        let reading = async {
            let raw = session.manifest(&tagged.tag).await?;
            let raw = raw.ok_or_else(|| OciError::NotFound(tagged.to_string()))?;
            Ok(Image {
                name: tagged.name.clone(),
                digest: raw.digest,
            })
        };
        self.within(&tagged.to_string(), reading).await
    }

    /// The Playbook's artifact with this digest, and what may be its signatures; those of the old form as well, if asked.
    pub async fn fetch(&self, image: &Image, legacy: bool) -> Result<Fetched, OciError> {
        let session = Session::new(self, &image.name, false)?;
        let fetching = async {
            let raw = session.pinned(&image.digest).await?;
            let manifest = manifest::read(&raw.bytes, &image.to_string())?;
            let layer = manifest::playbook_layer(&manifest, &image.to_string())?;
            let signatures = discover::signatures(&session, &image.digest, legacy).await?;
            let layer = session
                .layer(&layer.descriptor, super::LARGEST_LAYER)
                .await?;
            Fetched::new(image.digest.clone(), raw.bytes, layer, signatures, legacy)
        };
        self.within(&image.to_string(), fetching).await
    }

    /// What may be signatures of the image with this digest; those of the old form as well, if asked.
    pub async fn signatures(&self, image: &Image, legacy: bool) -> Result<Signatures, OciError> {
        let session = Session::new(self, &image.name, false)?;
        let looking = async {
            // An image or an index of images: both are signed by their digest.
            let raw = session.pinned(&image.digest).await?;
            manifest::read(&raw.bytes, &image.to_string())?;
            discover::signatures(&session, &image.digest, legacy).await
        };
        self.within(&image.to_string(), looking).await
    }

    /// The same, but not for longer than allowed: many small answers can take long together. Boxed, because what waits for
    /// a registry is deep, and whoever waits for us would have to carry all of its layers.
    pub(super) async fn within<T>(
        &self,
        image: &str,
        work: impl Future<Output = Result<T, OciError>> + Send,
    ) -> Result<T, OciError> {
        let within = self.options.whole;
        match tokio::time::timeout(within, work.boxed()).await {
            Ok(done) => done,
            Err(_) => Err(OciError::Slow {
                image: image.to_owned(),
                within,
            }),
        }
    }
}

/// Whether this is the machine itself.
fn is_local(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_and_named_registries() {
        let registry = Registry::new(Options {
            plain_http: vec!["lab.example:5000".into(), "old.example".into()],
            ..Options::default()
        })
        .unwrap();
        let speaks = |url: &str| registry.client(&Url::parse(url).unwrap()).is_some();
        for url in [
            "https://registry.example/v2/",
            "http://localhost:5000/v2/",
            "http://127.0.0.1/v2/",
            "http://[::1]:5000/v2/",
            "http://lab.example:5000/v2/",
            "http://old.example:81/v2/",
        ] {
            assert!(speaks(url), "{url}");
        }
        for url in [
            "http://registry.example/v2/",
            "http://lab.example/v2/",
            "http://localhost.example/v2/",
            "https://a:b@registry.example/v2/",
            "ftp://localhost/v2/",
            "file:///etc/passwd",
        ] {
            assert!(!speaks(url), "{url}");
        }
    }
}
