//! Floor 3: `neuralops http-request`: what the container of an http step runs. It reads the request from its environment,
//! sends it once, and says by its exit code what came of it. Nobody calls it by hand, so it is in no help.

use crate::adapters::http_request::{HttpRequest, HttpRequestError};

/// The request, as the Job says it.
#[derive(clap::Args)]
pub struct HttpRequestArgs {
    /// What is sent, in JSON
    #[arg(long, env = "NEURALOPS_HTTP_REQUEST", hide_env_values = true)]
    request: String,
    /// The value of the header Authorization
    #[arg(long, env = "NEURALOPS_HTTP_AUTHORIZATION", hide_env_values = true)]
    authorization: Option<String>,
}

/// Why it has not come to a good end.
#[derive(Debug, thiserror::Error)]
pub enum HttpCommandError {
    /// The Job says something else than a request.
    #[error("NEURALOPS_HTTP_REQUEST holds no request: line {line}, column {column}")]
    Read {
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// It was not answered well.
    #[error("the request did not come to a good end")]
    Send(#[source] HttpRequestError),
}

/// Answered, with a status that is not good.
const UNEXPECTED: u8 = 3;
/// Not answered, or not to its end.
const UNANSWERED: u8 = 4;

impl HttpCommandError {
    /// What the process exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Send(HttpRequestError::Unexpected { .. }) => UNEXPECTED,
            Self::Send(HttpRequestError::Unanswered { .. } | HttpRequestError::Slow { .. }) => {
                UNANSWERED
            }
            Self::Read { .. } | Self::Send(_) => 1,
        }
    }
}

/// Sends it.
pub async fn run(args: &HttpRequestArgs) -> Result<String, HttpCommandError> {
    // The error's own text may quote what is there.
    let request: HttpRequest =
        serde_json::from_str(&args.request).map_err(|error| HttpCommandError::Read {
            line: error.line(),
            column: error.column(),
        })?;
    let status = request.send(args.authorization.as_deref()).await;
    let status = status.map_err(HttpCommandError::Send)?;
    Ok(format!("answered {status}, as expected\n"))
}
