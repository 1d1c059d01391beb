//! Floor 2: which of our kinds the API server serves now. Nothing starts on a kind that is not served.

use kube::Client;

use crate::api::{API_VERSION, crds};

/// The plurals of our kinds that are not served.
pub async fn missing_kinds(client: &Client) -> Result<Vec<String>, kube::Error> {
    let wanted = crds::all().into_iter().map(|crd| crd.spec.names.plural);
    let served = match client.list_api_group_resources(API_VERSION).await {
        Ok(list) => list.resources,
        // A group that nobody ever installed is answered with a plain 404, without a reason.
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok(wanted
        .filter(|plural| !served.iter().any(|resource| resource.name == *plural))
        .collect())
}
