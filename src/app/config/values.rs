//! Floor 4: the values that settings can have: what a text must be to be one, and how it is shown. Which settings there are
//! stands above.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use serde::Deserialize;

use super::{LogFormat, Role};
use crate::{
    adapters::{
        prometheus::{NoPrometheusUrl, PrometheusUrl},
        store::{NoStoreUrl, StoreUrl},
    },
    domain::{
        duration, names,
        trust::{Image, NoImage},
    },
};

/// A duration between 3 s and 1 h, so that neither a lease nor a probe can be made useless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Patience(pub Duration);

impl FromStr for Patience {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = duration::parse(text).map_err(|error| error.to_string())?;
        if (Duration::from_secs(3)..=Duration::from_secs(3600)).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("{text} is out of range: 3s to 1h"))
        }
    }
}

impl TryFrom<String> for Patience {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration::render(self.0))
    }
}

/// Reconciles at the same time, for each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Concurrency(pub u16);

impl TryFrom<u32> for Concurrency {
    type Error = String;

    fn try_from(count: u32) -> Result<Self, String> {
        // 0 would mean "no bound" to the runtime.
        match u16::try_from(count) {
            Ok(count) if (1..=1024).contains(&count) => Ok(Self(count)),
            _ => Err(format!("{count} is out of range: 1 to 1024")),
        }
    }
}

impl FromStr for Concurrency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<u32>()
            .map_err(|_| format!("{text:?} is no number"))?
            .try_into()
    }
}

impl fmt::Display for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Days that texts are kept: at least half a year, as auditors ask for, and at most a century.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Days(pub u32);

impl TryFrom<u32> for Days {
    type Error = String;

    fn try_from(count: u32) -> Result<Self, String> {
        if (183..=36_500).contains(&count) {
            Ok(Self(count))
        } else {
            Err(format!("{count} is out of range: 183 to 36500"))
        }
    }
}

impl FromStr for Days {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<u32>()
            .map_err(|_| format!("{text:?} is no number"))?
            .try_into()
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who may read the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MetricsAuth {
    /// Everybody who reaches the port.
    None,
    /// Who brings a bearer token of an account that may get /metrics.
    TokenReview,
}

impl fmt::Display for MetricsAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::TokenReview => "token-review",
        })
    }
}

/// The name of a namespace. An empty text is none: left empty by mistake it would stand for all of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NamespaceName(pub String);

impl TryFrom<String> for NamespaceName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if names::is_dns_name(&text) && !text.contains('.') && text.len() <= 63 {
            return Ok(Self(text));
        }
        Err(format!(
            "{text:?} is no name of a namespace: lower-case letters, digits and -, at most 63; leave the setting away for all of the cluster"
        ))
    }
}

impl FromStr for NamespaceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.to_owned().try_into()
    }
}

impl fmt::Display for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the store is, or nothing for the data directory. It is read after the command line and the file, whose errors
/// repeat what they refuse: a password may be in it. What it prints has none.
#[derive(Clone, Default, Deserialize)]
#[serde(from = "String")]
pub struct StoreSetting(String);

impl StoreSetting {
    /// The store that is named, if one is.
    pub fn url(&self) -> Result<Option<StoreUrl>, NoStoreUrl> {
        if self.0.is_empty() {
            return Ok(None);
        }
        self.0.parse().map(Some)
    }
}

impl From<String> for StoreSetting {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for StoreSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.url() {
            Ok(url) => url.map_or(Ok(()), |url| url.fmt(f)),
            Err(_) => f.write_str("(unreadable)"),
        }
    }
}

impl fmt::Debug for StoreSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where Prometheus is, or nothing. It is read after the command line and the file, likewise.
#[derive(Clone, Default, Deserialize)]
#[serde(from = "String")]
pub struct PrometheusSetting(String);

impl PrometheusSetting {
    /// The address that is named, if one is.
    pub fn url(&self) -> Result<Option<PrometheusUrl>, NoPrometheusUrl> {
        if self.0.is_empty() {
            return Ok(None);
        }
        self.0.parse().map(Some)
    }
}

impl From<String> for PrometheusSetting {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for PrometheusSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.url() {
            Ok(url) => url.map_or(Ok(()), |url| url.fmt(f)),
            Err(_) => f.write_str("(unreadable)"),
        }
    }
}

impl fmt::Debug for PrometheusSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An image by digest, or nothing: what runs must not change with a tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct StepImage(Option<Image>);

impl StepImage {
    /// The image, as a Job names it.
    pub fn reference(&self) -> Option<String> {
        self.0.as_ref().map(ToString::to_string)
    }
}

impl FromStr for StepImage {
    type Err = NoImage;

    fn from_str(text: &str) -> Result<Self, NoImage> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        Image::parse(text).map(|image| Self(Some(image)))
    }
}

impl TryFrom<String> for StepImage {
    type Error = NoImage;

    fn try_from(text: String) -> Result<Self, NoImage> {
        text.parse()
    }
}

impl fmt::Display for StepImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reference().unwrap_or_default())
    }
}

/// A value as it stands in a file.
pub(super) trait Shown {
    fn shown(&self) -> String;
}

impl<T: Shown> Shown for Vec<T> {
    fn shown(&self) -> String {
        let each: Vec<String> = self.iter().map(Shown::shown).collect();
        format!("[{}]", each.join(", "))
    }
}

impl Shown for PathBuf {
    fn shown(&self) -> String {
        format!("{:?}", self.display().to_string())
    }
}

macro_rules! shown {
    ($($type:ty => $form:literal),+) => {
        $(impl Shown for $type {
            fn shown(&self) -> String { format!($form, self.to_string()) }
        })+
    };
}
shown!(String => "{:?}", NamespaceName => "{:?}", SocketAddr => "{:?}", Patience => "{}", Concurrency => "{}", Days => "{}", StoreSetting => "{:?}", PrometheusSetting => "{:?}", StepImage => "{:?}", LogFormat => "{}", MetricsAuth => "{}", bool => "{}", Role => "{}");
