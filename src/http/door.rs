//! Floor 3: who may read the metrics where not everybody may: whoever brings a bearer token that the API server knows, of an
//! account that may get the path. Refusals say what is missing and never what was brought.

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::adapters::kube::{
    bearer::{Access, Readers},
    error::chain,
};

/// Lets in, or says why not.
pub(super) async fn admit(readers: &Readers, headers: &HeaderMap) -> Result<(), Response> {
    let path = readers.path();
    let Some(token) = bearer(headers) else {
        let text = format!(
            "{path} asks for a token: send Authorization: Bearer with one of an account that may get {path}\n"
        );
        return Err(unauthorized("Bearer", text));
    };
    match readers.access(token).await {
        Ok(Access::Granted) => Ok(()),
        Ok(Access::Unknown) => {
            let text = "the API server does not know this token; it may have expired\n".to_owned();
            Err(unauthorized("Bearer error=\"invalid_token\"", text))
        }
        Ok(Access::Denied { user }) => {
            let text = format!(
                "{user} may not get {path}: bind it to a ClusterRole with nonResourceURLs: [{path}] and verbs: [get]\n"
            );
            Err((StatusCode::FORBIDDEN, text).into_response())
        }
        Err(error) => {
            // What the API server said is the operator's business, and not that of whoever asked.
            tracing::warn!(error = %chain(&error), "nobody can be let in to {path}");
            let text = "the API server could not be asked about this token; the log of the operator says why\n";
            Err((StatusCode::SERVICE_UNAVAILABLE, text).into_response())
        }
    }
}

fn unauthorized(challenge: &'static str, text: String) -> Response {
    let headers = [(header::WWW_AUTHENTICATE, challenge)];
    (StatusCode::UNAUTHORIZED, headers, text).into_response()
}

/// The token, if exactly one is brought.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut brought = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (brought.next(), brought.next()) else {
        return None;
    };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("Bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_is_brought_or_none() {
        let brought = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(brought(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(brought(&["bearer  abc "]).as_deref(), Some("abc"));
        for odd in [
            &[][..],
            &["abc"],
            &["Bearer"],
            &["Bearer  "],
            &["Basic abc"],
            &["Bearer a", "Bearer b"],
        ] {
            assert_eq!(brought(odd), None, "{odd:?}");
        }
    }
}
