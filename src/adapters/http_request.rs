//! Floor 2: one HTTP request, as a step of a Playbook says it and as the program in its Job sends it. What is secret comes
//! from elsewhere and leaves in a header alone; of the answer nothing is told but its status.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{
    Client, Method, Response, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use serde::{Deserialize, Serialize};

use crate::domain::duration;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// What of an answer is read to the end, so that whoever gives it comes to his own.
const LONGEST_ANSWER: usize = 1024 * 1024;
/// Headers that say how a request is sent and not what is asked, or who asks.
const NOT_THE_AUTHORS: [&str; 9] = [
    "authorization",
    "connection",
    "content-length",
    "host",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What is sent, without what is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HttpRequest {
    /// GET, HEAD, POST, PUT, PATCH or DELETE.
    pub method: String,
    /// Where to.
    pub url: String,
    /// Headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Which answers are good; none: 200 to 299.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect_status: Vec<u16>,
    /// How long all of it may take, in milliseconds.
    pub timeout: u64,
}

/// Why a request is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoHttpRequest {
    /// The address.
    #[error("its url {0}")]
    Url(&'static str),
    /// A header.
    #[error("its header {name:?} {what}")]
    Header {
        /// Which.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The method.
    #[error("its method is none of HTTP's")]
    Method,
    /// What is secret; it is not repeated.
    #[error("the value for its header Authorization {0}")]
    Authorization(&'static str),
}

/// Why a request has not come to a good end. Nothing of the answer is in it but its status.
#[derive(Debug, thiserror::Error)]
pub enum HttpRequestError {
    /// It cannot be sent.
    #[error("the request cannot be sent")]
    None(#[source] NoHttpRequest),
    /// No client.
    #[error("could not make a client")]
    Client(#[source] reqwest::Error),
    /// Nothing answers, or not as HTTP is spoken.
    #[error("{host} does not answer")]
    Unanswered {
        /// Who.
        host: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It takes too long.
    #[error("{host} did not answer within {}", duration::render(*within))]
    Slow {
        /// Who.
        host: String,
        /// How long.
        within: Duration,
    },
    /// The answer is not one of those that are good.
    #[error("{host} answered {status}; expected is {expected}")]
    Unexpected {
        /// Who.
        host: String,
        /// What.
        status: u16,
        /// What would have been good.
        expected: String,
    },
}

impl HttpRequest {
    /// Whether it can be sent at all, whatever is secret.
    pub fn check(&self) -> Result<(), NoHttpRequest> {
        self.parts().map(drop)
    }

    /// Whether this status is a good answer.
    pub fn expects(&self, status: u16) -> bool {
        if self.expect_status.is_empty() {
            (200..300).contains(&status)
        } else {
            self.expect_status.contains(&status)
        }
    }

    fn expected(&self) -> String {
        if self.expect_status.is_empty() {
            return "200 to 299".to_owned();
        }
        let each: Vec<String> = self.expect_status.iter().map(u16::to_string).collect();
        each.join(" or ")
    }

    fn parts(&self) -> Result<(Method, Url, HeaderMap), NoHttpRequest> {
        let method = self.method.parse().map_err(|_| NoHttpRequest::Method)?;
        let url = Url::parse(&self.url).map_err(|_| NoHttpRequest::Url("is no address"))?;
        if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
            return Err(NoHttpRequest::Url("is no http or https address"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NoHttpRequest::Url(
                "holds credentials, which would stand in the plan; use secretRef",
            ));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let wrong = |what| NoHttpRequest::Header {
                name: name.clone(),
                what,
            };
            let named = HeaderName::from_bytes(name.as_bytes());
            let named = named.map_err(|_| wrong("has no name of HTTP's"))?;
            if NOT_THE_AUTHORS.contains(&named.as_str()) {
                return Err(wrong("is not the author's to set"));
            }
            let value = HeaderValue::from_str(value);
            let value = value.map_err(|_| wrong("has a value with signs that no header has"))?;
            if headers.insert(named, value).is_some() {
                return Err(wrong("stands twice, in other letters"));
            }
        }
        Ok((method, url, headers))
    }

    /// Sends it, once, and says with which status it was answered.
    pub async fn send(&self, authorization: Option<&str>) -> Result<u16, HttpRequestError> {
        let (method, url, mut headers) = self.parts().map_err(HttpRequestError::None)?;
        if let Some(secret) = authorization {
            let value = credential(secret).map_err(HttpRequestError::None)?;
            headers.insert(AUTHORIZATION, value);
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let within = Duration::from_millis(self.timeout);
        let client = Client::builder()
            // Whoever answers does not say where the next request goes, and what goes along.
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT.min(within))
            .user_agent(concat!("neuralops/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(HttpRequestError::Client)?;
        let mut request = client.request(method, url).headers(headers);
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        let exchange = async {
            let mut response = request.send().await?;
            let status = response.status().as_u16();
            if self.expects(status) {
                read_on(&mut response).await?;
            }
            Ok(status)
        };
        let status = match tokio::time::timeout(within, exchange).await {
            Err(_) => return Err(HttpRequestError::Slow { host, within }),
            Ok(Err(source)) => {
                let source = reqwest::Error::without_url(source);
                return Err(HttpRequestError::Unanswered { host, source });
            }
            Ok(Ok(status)) => status,
        };
        if self.expects(status) {
            return Ok(status);
        }
        Err(HttpRequestError::Unexpected {
            host,
            status,
            expected: self.expected(),
        })
    }
}

/// A file that an editor wrote ends with a line feed.
fn credential(secret: &str) -> Result<HeaderValue, NoHttpRequest> {
    let secret = secret.trim_end_matches(['\r', '\n']);
    if secret.trim().is_empty() {
        return Err(NoHttpRequest::Authorization("is empty"));
    }
    let mut value = HeaderValue::from_str(secret)
        .map_err(|_| NoHttpRequest::Authorization("has signs that no header has"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A good answer that breaks off is none; one that is longer than anybody reads is.
async fn read_on(response: &mut Response) -> Result<(), reqwest::Error> {
    let mut read = 0;
    while let Some(chunk) = response.chunk().await? {
        read += chunk.len();
        if read > LONGEST_ANSWER {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
