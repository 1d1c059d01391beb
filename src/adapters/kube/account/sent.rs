//! Floor 2: how a request goes out in a playbook's name. An API server that has just started denies rights that it has not
//! read yet: a denial is believed from one that says it is ready, asked a second time. A denied write was none, so that
//! asking again writes once.

use kube::core::Status;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Account, AccountError, Writing, asked};
use crate::adapters::failpoint::failpoint;

impl Account {
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        doing: String,
        request: http::Request<Vec<u8>>,
    ) -> Result<T, AccountError> {
        self.sent(doing, request, Writing::DryRun).await
    }

    pub(super) async fn write(
        &self,
        doing: String,
        request: http::Request<Vec<u8>>,
        writing: Writing<'_>,
    ) -> Result<Value, AccountError> {
        if writing.dry() {
            return self.send(doing, request).await;
        }
        writing.allowed()?;
        failpoint!("effect.before");
        let written = self.sent(doing, request, writing).await;
        failpoint!("effect.after");
        written
    }

    /// Fails unless the API server says that it is ready: only then has it read all rights.
    pub(super) async fn api_server_is_ready(&self) -> Result<(), AccountError> {
        let request = http::Request::get("/readyz").body(Vec::new());
        let request = request.map_err(|error| super::built(READY.to_owned(), error))?;
        match self.client.request_text(request).await {
            Ok(_) => Ok(()),
            Err(source) => Err(AccountError::Unready(Box::new(source))),
        }
    }

    async fn sent<T: DeserializeOwned>(
        &self,
        doing: String,
        mut request: http::Request<Vec<u8>>,
        writing: Writing<'_>,
    ) -> Result<T, AccountError> {
        let user = self.user();
        match user.parse() {
            Ok(user) => request.headers_mut().insert("impersonate-user", user),
            Err(_) => return Err(AccountError::NoAccount(user)),
        };
        let answer = self.client.request(request.clone()).await;
        match answer {
            Err(kube::Error::Api(status)) if denied(&status) => {
                self.api_server_is_ready().await?;
                writing.allowed()?;
                let again = self.client.request(request).await;
                again.map_err(|source| asked(doing, source))
            }
            answer => answer.map_err(|source| asked(doing, source)),
        }
    }
}

/// What is being done while it is asked.
const READY: &str = "could not ask the API server whether it is ready";

/// Whether the rights that the API server knows did not suffice, be it the operator's or the account's. Policies and
/// webhooks word their refusals otherwise, and are ready when they answer.
fn denied(status: &Status) -> bool {
    status.code == 403 && status.message.contains("forbidden: User \"")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{Router, extract::State, http::StatusCode, routing::get};
    use kube::{Client, Config};
    use serde_json::json;

    use super::*;
    use crate::adapters::kube::account::{Answer, Served};

    /// What it answers to who asks for the kinds, the last answer to all further ones; and how often it was asked.
    struct Api {
        denies: Mutex<usize>,
        asked: Mutex<usize>,
        ready: StatusCode,
    }

    async fn kinds(State(api): State<Arc<Api>>) -> (StatusCode, String) {
        *api.asked.lock().unwrap() += 1;
        let mut denies = api.denies.lock().unwrap();
        if *denies == 0 {
            let kind = json!({"name": "deployments", "singularName": "", "namespaced": true, "kind": "Deployment", "verbs": []});
            let list =
                json!({"kind": "APIResourceList", "groupVersion": "apps/v1", "resources": [kind]});
            return (StatusCode::OK, list.to_string());
        }
        *denies -= 1;
        let message = r#"forbidden: User "system:serviceaccount:ops:controller" cannot impersonate-on:serviceaccount:get path "/apis/apps/v1""#;
        let status = Status::failure(message, "Forbidden").with_code(403);
        let status = serde_json::to_string(&status).unwrap();
        (StatusCode::FORBIDDEN, status)
    }

    /// What the account hears of an API server that denies so many times, and how often it was asked.
    async fn heard(denies: usize, ready: StatusCode) -> (Result<Option<Served>, Answer>, usize) {
        let api = Arc::new(Api {
            denies: Mutex::new(denies),
            asked: Mutex::new(0),
            ready,
        });
        let server = Router::new()
            .route("/apis/apps/v1", get(kinds))
            .route(
                "/readyz",
                get(async |State(api): State<Arc<Api>>| api.ready),
            )
            .with_state(Arc::clone(&api));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let client = Client::try_from(Config::new(uri.parse().unwrap())).unwrap();
        let account = Account::new(client, "shop", "runbook").unwrap();
        let served = tokio::select! {
            ended = axum::serve(listener, server).into_future() => panic!("the server ended: {ended:?}"),
            served = account.served("apps/v1", "Deployment") => served,
        };
        let asked = *api.asked.lock().unwrap();
        (served.map_err(|error| error.answer(&account)), asked)
    }

    #[tokio::test]
    async fn a_denial_is_believed_from_an_api_server_that_is_ready() {
        let (served, asked) = heard(0, StatusCode::INTERNAL_SERVER_ERROR).await;
        assert!(served.unwrap().is_some());
        assert_eq!(asked, 1);

        let (served, asked) = heard(9, StatusCode::OK).await;
        assert_eq!(served, Err(Answer::NotImpersonated));
        assert_eq!(asked, 2);

        let (served, _) = heard(1, StatusCode::OK).await;
        assert!(served.unwrap().is_some(), "it had not read all rights yet");

        for away in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::FORBIDDEN] {
            let (served, asked) = heard(9, away).await;
            assert_eq!(served, Err(Answer::Unavailable));
            assert_eq!(asked, 1, "nobody asks again before it is ready");
        }
    }
}
