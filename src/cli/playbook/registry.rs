//! Floor 3: how the commands come to a registry: the passwords of a docker config, and which registries may be spoken to
//! without TLS.

use std::path::{Path, PathBuf};

use super::PlaybookFileError;
use crate::{
    adapters::oci::{Credentials, Fetched, OciError, Options, Reference, Registry},
    domain::trust::{Image, Signatures},
};

/// Where `docker login` writes, below the home folder.
const USUAL: &str = ".docker/config.json";

/// How to come to a registry.
#[derive(clap::Args, Debug)]
pub struct RegistryArgs {
    /// A docker config with passwords for registries; otherwise ~/.docker/config.json, if it is there
    #[arg(long, value_name = "FILE")]
    registry_config: Option<PathBuf>,
    /// A registry that is spoken to without TLS; this machine itself always is
    #[arg(long, value_name = "HOST[:PORT]")]
    plain_http: Vec<String>,
}

impl RegistryArgs {
    /// The client.
    pub fn registry(&self) -> Result<Registry, PlaybookFileError> {
        let usual = || std::env::home_dir().map(|home| home.join(USUAL));
        let file = match &self.registry_config {
            Some(file) => Some(file.clone()),
            None => usual().filter(|file| file.is_file()),
        };
        let read = |file: &Path| Credentials::read(file).map_err(PlaybookFileError::Credentials);
        let credentials = file.as_deref().map(read).transpose()?;
        Registry::new(Options {
            credentials: credentials.unwrap_or_default(),
            plain_http: self.plain_http.clone(),
            ..Options::default()
        })
        .map_err(failed("set up the client".to_owned()))
    }
}

/// What failed, while this was tried.
pub fn failed(tried: String) -> impl FnOnce(OciError) -> PlaybookFileError {
    move |source| PlaybookFileError::Registry {
        tried,
        reason: source.reason(),
        source,
    }
}

/// The image by its digest; whoever names a tag is told what it names now.
pub async fn pinned(
    registry: &Registry,
    reference: &Reference,
) -> Result<Image, PlaybookFileError> {
    match reference {
        Reference::Pinned(image) => Ok(image.clone()),
        Reference::Tagged(tagged) => {
            let image = registry.resolve(tagged).await;
            let image = image.map_err(failed(format!("look up {tagged}")))?;
            Err(PlaybookFileError::Tag {
                tag: tagged.to_string(),
                image: image.to_string(),
            })
        }
    }
}

/// A Playbook's artifact.
pub async fn fetch(
    registry: &Registry,
    image: &Image,
    legacy: bool,
) -> Result<Fetched, PlaybookFileError> {
    let fetched = registry.fetch(image, legacy).await;
    fetched.map_err(failed(format!("fetch {image}")))
}

/// What lies beside an image.
pub async fn signatures(
    registry: &Registry,
    image: &Image,
    legacy: bool,
) -> Result<Signatures, PlaybookFileError> {
    let found = registry.signatures(image, legacy).await;
    found.map_err(failed(format!("look for signatures of {image}")))
}
