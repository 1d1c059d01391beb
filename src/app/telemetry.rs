//! Floor 4: logs. JSON lines by default; every line readable alone, ids repeated as fields.

use tracing_subscriber::EnvFilter;

use super::config::{LogFormat, OperatorConfig};

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("logLevel {level:?} is no filter")]
    Level {
        /// The filter.
        level: String,
        /// Why.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody else logs already.
    #[error("logging is set up already")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sets logging up, once for the process.
pub fn start(config: &OperatorConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&config.log_level).map_err(|source| TelemetryError::Level {
        level: config.log_level.clone(),
        source,
    })?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(true);
    match config.log_format {
        LogFormat::Json => logs
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init(),
        LogFormat::Text => logs.try_init(),
    }
    .map_err(TelemetryError::Twice)
}
