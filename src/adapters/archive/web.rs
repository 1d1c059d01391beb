//! Floor 2: an export behind an HTTP server that we know nothing about. No redirects, no cookies, no credentials; every
//! answer has a time and a size that it cannot exceed.

use std::time::Duration;

use reqwest::{Client, StatusCode, Url, redirect::Policy};

use super::ArchiveError;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one file may take, all of it.
const WHOLE: Duration = Duration::from_secs(60);

/// An address with a log below it.
pub struct Web {
    client: Client,
    base: Url,
}

impl Web {
    /// At this address.
    pub fn new(address: &str) -> Result<Self, ArchiveError> {
        let refused = || ArchiveError::Address(address.to_owned());
        // Without the slash, the last part of the path would be replaced and not extended.
        let base = Url::parse(&format!("{}/", address.trim_end_matches('/')));
        let base = base.map_err(|_| refused())?;
        let plain =
            base.username().is_empty() && base.password().is_none() && base.query().is_none();
        if !matches!(base.scheme(), "http" | "https") || !plain {
            return Err(refused());
        }
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .user_agent(concat!("neuralops/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|source| ArchiveError::Fetch {
                url: address.to_owned(),
                source,
            })?;
        Ok(Self { client, base })
    }

    /// A file's bytes, if it is there and not larger.
    pub async fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        let url = format!("{}{path}", self.base);
        let failed = |source: reqwest::Error| ArchiveError::Fetch {
            url: url.clone(),
            source: source.without_url(),
        };
        let mut answer = self.client.get(&url).send().await.map_err(failed)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
            status => return Err(ArchiveError::Status { url, status }),
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(ArchiveError::TooLarge { name: url, limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes))
    }
}
