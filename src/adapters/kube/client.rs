//! Floor 2: how the API server is reached. The lease has a client of its own, so that a flood of other requests
//! or a hung connection can never hold up its renewal.

use std::{path::PathBuf, time::Duration};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// Longer than a watch lives (290 s), so that a silent but healthy watch is not cut.
const READ_TIMEOUT: Duration = Duration::from_secs(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// No way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file named by configuration cannot be used.
    #[error("could not read the kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    /// The context that was asked for cannot be used.
    #[error("could not use the context {context:?} of KUBECONFIG or ~/.kube/config")]
    Context {
        /// Its name.
        context: String,
        /// Why.
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    /// Neither a kubeconfig nor a pod.
    #[error("found no way to a cluster: neither --kubeconfig nor KUBECONFIG, and this is no pod")]
    Infer(#[source] Box<kube::config::InferConfigError>),
    /// The configuration does not make a client.
    #[error("could not make a client for {url}")]
    Build {
        /// The API server.
        url: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

/// Where the API server is and who we are there.
pub async fn configure(kubeconfig: Option<&PathBuf>) -> Result<Config, ClientError> {
    configure_context(kubeconfig, None).await
}

/// The same for one context of the kubeconfig; none: the current one.
pub async fn configure_context(
    kubeconfig: Option<&PathBuf>,
    context: Option<&str>,
) -> Result<Config, ClientError> {
    let options = KubeConfigOptions {
        context: context.map(ToOwned::to_owned),
        ..KubeConfigOptions::default()
    };
    let mut config = match (kubeconfig, context) {
        (Some(path), _) => {
            let failed = |source| ClientError::Kubeconfig {
                path: path.clone(),
                source: Box::new(source),
            };
            let file = Kubeconfig::read_from(path).map_err(failed)?;
            Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(failed)?
        }
        (None, Some(context)) => {
            Config::from_kubeconfig(&options)
                .await
                .map_err(|source| ClientError::Context {
                    context: context.to_owned(),
                    source: Box::new(source),
                })?
        }
        (None, None) => Config::infer()
            .await
            .map_err(|source| ClientError::Infer(Box::new(source)))?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    Ok(config)
}

/// A client with this configuration.
pub fn connect(config: Config) -> Result<Client, ClientError> {
    let url = config.cluster_url.to_string();
    Client::try_from(config).map_err(|source| ClientError::Build {
        url,
        source: Box::new(source),
    })
}

/// The same, for requests that are asked once and answered as they are: the client's own way to ask again and again after
/// a 429 would hide for minutes that a disruption budget says no, and whoever asks again here looks first.
pub fn connect_once(mut config: Config) -> Result<Client, ClientError> {
    config.default_retry = false;
    connect(config)
}

/// The same, for requests that must be answered at once or be tried again.
pub fn connect_impatient(mut config: Config, patience: Duration) -> Result<Client, ClientError> {
    config.connect_timeout = Some(patience);
    config.read_timeout = Some(patience);
    config.write_timeout = Some(patience);
    connect(config)
}
