//! Floor 4: what steps find in this installation beside the cluster, as it is configured.

use std::path::PathBuf;

use super::config::OperatorConfig;
use crate::adapters::{
    prometheus::{self, Prometheus},
    steps::Installation,
};

/// What steps find beside the cluster.
pub(super) fn installation(config: &OperatorConfig) -> Installation {
    let file = |path: &PathBuf| Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
    // Read once already, when the configuration was loaded.
    let url = config.prometheus_url.url().ok().flatten();
    Installation {
        prometheus: url.map(|url| {
            Prometheus::new(prometheus::Settings {
                url,
                token: file(&config.prometheus_token),
                authorities: file(&config.prometheus_ca),
                within: config.prometheus_timeout.0,
            })
        }),
        image: config.step_image.reference(),
    }
}
