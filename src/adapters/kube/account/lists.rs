//! Floor 2: lists of objects as a playbook's account may see them: a handful by labels, or all there are, page by page. What
//! is made of them is the caller's.

use kube::api::ListParams;
use serde_json::Value;

use super::{Account, AccountError, Served, built};

/// How many objects are asked for at once.
const PAGE: u32 = 250;

impl Account {
    /// The objects with these labels, a handful at most.
    pub async fn list(&self, kind: &Served, labels: &str) -> Result<Vec<Value>, AccountError> {
        let params = ListParams::default().labels(labels).limit(8);
        Ok(self.page(kind, &params).await?.0)
    }

    /// Every object with these labels.
    pub async fn labelled(&self, kind: &Served, labels: &str) -> Result<Vec<Value>, AccountError> {
        self.every(kind, ListParams::default().labels(labels)).await
    }

    /// Every object with these fields.
    pub async fn with_fields(
        &self,
        kind: &Served,
        fields: &str,
    ) -> Result<Vec<Value>, AccountError> {
        self.every(kind, ListParams::default().fields(fields)).await
    }

    async fn every(&self, kind: &Served, params: ListParams) -> Result<Vec<Value>, AccountError> {
        let mut params = params.limit(PAGE);
        let mut found = Vec::new();
        loop {
            let (items, next) = self.page(kind, &params).await?;
            found.extend(items);
            let Some(next) = next else {
                return Ok(found);
            };
            params = params.continue_token(&next);
        }
    }

    /// One page of a list, and where the next one begins.
    async fn page(
        &self,
        kind: &Served,
        params: &ListParams,
    ) -> Result<(Vec<Value>, Option<String>), AccountError> {
        let doing = || format!("could not list {}", kind.plural());
        let request = self.path(kind).list(params);
        let request = request.map_err(|error| built(doing(), error))?;
        let mut list: Value = self.send(doing(), request).await?;
        let next = list.pointer("/metadata/continue").and_then(Value::as_str);
        let next = next.filter(|next| !next.is_empty()).map(str::to_owned);
        Ok(match list.pointer_mut("/items").map(Value::take) {
            Some(Value::Array(items)) => (items, next),
            _ => (Vec::new(), next),
        })
    }
}
