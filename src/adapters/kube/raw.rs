//! Floor 2: objects as text. An object that nests deeper than a JSON reader goes must fail alone: read as part of a
//! list it would fail the list, and with it everybody. So the watch brings metadata, and each object is read by itself.

use kube::{
    Client, Resource,
    api::{GetParams, ListParams, Patch, PatchParams},
    core::Request,
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// The object as the API server holds it now; none if it is gone.
pub async fn get<K: Resource<DynamicType = ()>>(
    client: &Client,
    namespace: Option<&str>,
    name: &str,
) -> Result<Option<String>, kube::Error> {
    let request = Request::new(K::url_path(&(), namespace))
        .get(name, &GetParams::default())
        .map_err(kube::Error::BuildRequest)?;
    match client.request_text(request).await {
        Ok(text) => Ok(Some(text)),
        Err(kube::Error::Api(answer)) if answer.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Patches the status; the answer is not read, so that an error always means that nothing was written.
pub async fn patch_status<K: Resource<DynamicType = ()>>(
    client: &Client,
    namespace: Option<&str>,
    name: &str,
    params: &PatchParams,
    patch: &Patch<Value>,
) -> Result<(), kube::Error> {
    let request = Request::new(K::url_path(&(), namespace))
        .patch_subresource("status", name, params, patch)
        .map_err(kube::Error::BuildRequest)?;
    client.request_text(request).await.map(|_| ())
}

/// Every object of the namespace, each by itself.
pub async fn list<K: Resource<DynamicType = ()>>(
    client: &Client,
    namespace: &str,
) -> Result<Vec<String>, kube::Error> {
    #[derive(Deserialize)]
    struct Items<'a> {
        #[serde(borrow)]
        items: Vec<&'a RawValue>,
    }
    let request = Request::new(K::url_path(&(), Some(namespace)))
        .list(&ListParams::default().match_any())
        .map_err(kube::Error::BuildRequest)?;
    let text = client.request_text(request).await?;
    let list: Items<'_> = serde_json::from_str(&text).map_err(kube::Error::SerdeError)?;
    Ok(list
        .items
        .iter()
        .map(|item| item.get().to_owned())
        .collect())
}
