//! Floor 0: images and artifacts by their full names, and the signatures that were found for one. A name has one
//! spelling: policies match names, and a second one would be a way around a policy.

use core::net::Ipv6Addr;
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::refusal::Attempt;
use crate::domain::digest::Digest;

/// How long registry and repository may be together.
const LONGEST_NAME: usize = 255;

/// A registry and a repository in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    registry: String,
    repository: String,
}

/// An image or artifact that nobody can exchange: a name and a digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Image {
    /// Where it lies.
    pub name: ImageName,
    /// What it is.
    pub digest: Digest,
}

/// The text names no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {what}")]
pub struct NoImage {
    text: String,
    what: &'static str,
}

impl NoImage {
    /// This text, and what is wrong with it.
    pub fn new(text: &str, what: &'static str) -> Self {
        Self {
            text: text.chars().take(300).collect(),
            what,
        }
    }
}

impl ImageName {
    /// Reads `registry/repository`.
    pub fn parse(text: &str) -> Result<Self, NoImage> {
        let wrong = |what| NoImage::new(text, what);
        if text.len() > LONGEST_NAME {
            return Err(wrong("is longer than the 255 characters of a name"));
        }
        let (registry, repository) = text
            .split_once('/')
            .ok_or_else(|| wrong("names no registry: write REGISTRY/REPOSITORY"))?;
        check_registry(registry).map_err(wrong)?;
        if repository.is_empty() || !repository.split('/').all(is_component) {
            return Err(wrong(
                "has no repository of lower-case letters, digits and single separators behind its registry",
            ));
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
        })
    }

    /// Host and port.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The host alone, as it stands in an address.
    pub fn host(&self) -> &str {
        match self.registry.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => &self.registry,
        }
    }

    /// The path in the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)
    }
}

impl Image {
    /// Reads `registry/repository@sha256:…`. A tag beside the digest is refused: it says nothing, and it would be
    /// another spelling.
    pub fn parse(text: &str) -> Result<Self, NoImage> {
        let wrong = |what| NoImage::new(text, what);
        let (name, digest) = text
            .split_once('@')
            .ok_or_else(|| wrong("has no digest: write REGISTRY/REPOSITORY@sha256:…"))?;
        let digest = Digest::try_from(digest.to_owned())
            .map_err(|_| wrong("has no digest of sha256: and 64 lower-case hex digits"))?;
        let last = name.rsplit('/').next().unwrap_or_default();
        if name.contains('/') && last.contains(':') {
            return Err(wrong(
                "has a tag beside its digest: leave the tag out, the digest says everything",
            ));
        }
        let name =
            ImageName::parse(name).map_err(|NoImage { what, .. }| NoImage::new(text, what))?;
        Ok(Self { name, digest })
    }
}

impl FromStr for Image {
    type Err = NoImage;

    fn from_str(text: &str) -> Result<Self, NoImage> {
        Self::parse(text)
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.digest)
    }
}

/// A host, with a port if it is not the usual one.
fn check_registry(registry: &str) -> Result<(), &'static str> {
    let unnamed =
        "names no registry: the first part is a host such as registry.example or localhost:5000";
    let (host, port) = if registry.starts_with('[') {
        let (host, rest) = registry.split_once(']').ok_or(unnamed)?;
        let address = host.trim_start_matches('[');
        // One spelling of an address, as of everything.
        match address.parse::<Ipv6Addr>() {
            Ok(parsed) if parsed.to_string() == address => {}
            _ => return Err("has an IPv6 address that is not in its shortest form"),
        }
        (
            registry,
            rest.strip_prefix(':').or((!rest.is_empty()).then_some("")),
        )
    } else {
        match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        }
    };
    if !host.starts_with('[') {
        let label = |label: &str| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            !label.is_empty()
                && label.len() <= 63
                && label.chars().all(plain)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !host.split('.').all(label) {
            return Err(unnamed);
        }
        if !host.contains('.') && host != "localhost" && port.is_none() {
            return Err(unnamed);
        }
    }
    match port {
        None => Ok(()),
        Some("443") => Err("names port 443, which is the usual one: leave it out"),
        Some(port) => match port.parse::<u16>() {
            Ok(number) if number > 0 && number.to_string() == port => Ok(()),
            _ => Err("has a port that is no number from 1 to 65535"),
        },
    }
}

/// Letters and digits, with single separators in between: `.`, `_`, `__`, or any number of `-`.
fn is_component(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = part.starts_with(plain) && part.ends_with(plain);
    let separators = part.split(plain).filter(|between| !between.is_empty());
    ends && separators
        .into_iter()
        .all(|between| matches!(between, "." | "_" | "__") || between.chars().all(|c| c == '-'))
}

/// An old signature of cosign (simple signing): a payload that names the image, and a signature over the payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacySignature {
    /// The bytes that are signed.
    pub payload: String,
    /// The signature in base64.
    pub signature: String,
    /// Whether it was made under a certificate, by an identity.
    pub certified: bool,
}

/// What a signature in a registry looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignatureForm {
    /// A bundle of cosign 3.
    Bundle(String),
    /// The old form.
    Legacy(LegacySignature),
}

/// A signature where it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundSignature {
    /// The manifest that holds it.
    pub place: String,
    /// The signature.
    pub form: SignatureForm,
}

/// Everything that was found beside an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signatures {
    /// What can be a signature.
    pub found: Vec<FoundSignature>,
    /// What could not be looked at, and why.
    pub attempts: Vec<Attempt>,
    /// What refers to the image, whatever it is: for people who look for their signature.
    pub seen: Vec<String>,
}

impl Signatures {
    /// Bytes of what was found, about.
    pub fn size(&self) -> usize {
        let found = self.found.iter().map(|found| match &found.form {
            SignatureForm::Bundle(text) => text.len(),
            SignatureForm::Legacy(old) => old.payload.len() + old.signature.len(),
        });
        found.chain(self.seen.iter().map(String::len)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn an_image_is_registry_repository_and_digest() {
        for (name, registry, host, repository) in [
            (
                "registry.example/pb/drain",
                "registry.example",
                "registry.example",
                "pb/drain",
            ),
            ("localhost:5000/a", "localhost:5000", "localhost", "a"),
            ("localhost/a", "localhost", "localhost", "a"),
            (
                "127.0.0.1:5000/a__b-c.d",
                "127.0.0.1:5000",
                "127.0.0.1",
                "a__b-c.d",
            ),
            ("[::1]:5000/a/b", "[::1]:5000", "[::1]", "a/b"),
            ("[::1]/a", "[::1]", "[::1]", "a"),
        ] {
            let text = format!("{name}@sha256:{HEX}");
            let image = Image::parse(&text).unwrap();
            assert_eq!(image.name.registry(), registry);
            assert_eq!(image.name.host(), host);
            assert_eq!(image.name.repository(), repository);
            assert_eq!(image.to_string(), text);
        }
    }

    #[test]
    fn a_name_has_one_spelling() {
        for name in [
            "drain",
            "pb/drain",
            "Registry.example/a",
            "registry.example./a",
            "registry.example:443/a",
            "registry.example:0/a",
            "registry.example:05000/a",
            "registry.example:70000/a",
            "registry.example:/a",
            "-registry.example/a",
            "user@registry.example/a",
            "registry.example/",
            "registry.example/A",
            "registry.example//a",
            "registry.example/../a",
            "registry.example/a/.",
            "registry.example/a..b",
            "registry.example/a___b",
            "registry.example/a%2fb",
            "registry.example/a?b",
            "registry.example/a:tag",
            "https://registry.example/a",
            "[::1/a",
            "[::1]5000/a",
            "[0:0::1]:5000/a",
            "",
        ] {
            assert!(
                Image::parse(&format!("{name}@sha256:{HEX}")).is_err(),
                "{name}"
            );
        }
        for digest in ["sha256:0", "sha512:0", "", "SHA256:0"] {
            assert!(Image::parse(&format!("registry.example/a@{digest}")).is_err());
        }
        assert!(ImageName::parse(&format!("registry.example/{}", "a".repeat(255))).is_err());
    }
}
