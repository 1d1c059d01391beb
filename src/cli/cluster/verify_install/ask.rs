//! Floor 3: the only place from which `verify-install` sends a write, and it sends each as a server-side dry run: admission
//! and validation answer as they would, and nothing is stored.

use kube::{
    Api, Client, Resource,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    adapters::kube::error::chain,
    domain::forgery::{Answer, Expected},
};

/// A forgery, and how it has to end.
pub struct Trial {
    /// Its name, for people and programs.
    pub forgery: &'static str,
    /// What is tried, in a sentence.
    pub tried: String,
    /// How it has to end.
    pub expected: Expected,
    /// The request.
    pub request: Request,
}

/// What is sent.
#[derive(Clone)]
pub enum Request {
    /// A new object; it is given a name.
    Create(Place, Value),
    /// A change of the object of this name.
    Patch(Place, String, Value),
    /// A change of its status.
    PatchStatus(Place, String, Value),
    /// Its end.
    Delete(Place, String),
    /// None.
    None(Absent),
}

/// Why there is nothing to try it on.
#[derive(Clone, Debug)]
pub enum Absent {
    /// There is nothing of the kind; in a sentence.
    Nothing(String),
    /// Whether there is something could not be found out; why.
    Unsure(String),
}

/// A kind, and where its objects lie.
#[derive(Clone)]
pub struct Place {
    pub(super) resource: ApiResource,
    namespace: Option<String>,
}

impl Place {
    /// Objects of a namespace.
    pub fn inside<K: Resource<DynamicType = ()>>(namespace: &str) -> Self {
        Self {
            resource: ApiResource::erase::<K>(&()),
            namespace: Some(namespace.to_owned()),
        }
    }

    /// Objects of no namespace.
    pub fn outside<K: Resource<DynamicType = ()>>() -> Self {
        Self {
            resource: ApiResource::erase::<K>(&()),
            namespace: None,
        }
    }

    fn objects(&self, client: &Client) -> Api<DynamicObject> {
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &self.resource),
            None => Api::all_with(client.clone(), &self.resource),
        }
    }
}

/// Sends it, and takes the answer as it is.
pub async fn answer(client: &Client, request: &Request) -> Answer {
    let change = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let sent = match request {
        Request::None(Absent::Nothing(why)) => return Answer::NothingThere(why.clone()),
        Request::None(Absent::Unsure(why)) => return Answer::Unanswered(why.clone()),
        Request::Create(place, object) => create(client, place, object).await,
        Request::Patch(place, name, patch) => place
            .objects(client)
            .patch(name, &change, &Patch::Merge(patch))
            .await
            .map(drop),
        Request::PatchStatus(place, name, patch) => place
            .objects(client)
            .patch_status(name, &change, &Patch::Merge(patch))
            .await
            .map(drop),
        Request::Delete(place, name) => {
            let end = DeleteParams {
                dry_run: true,
                ..DeleteParams::default()
            };
            place.objects(client).delete(name, &end).await.map(drop)
        }
    };
    match sent {
        Ok(()) => Answer::Accepted,
        Err(kube::Error::Api(status)) => Answer::Refused {
            code: status.code,
            message: status.message.clone(),
        },
        Err(error) => Answer::Unanswered(chain(&error)),
    }
}

async fn create(client: &Client, place: &Place, object: &Value) -> Result<(), kube::Error> {
    let mut whole = json!({
        "apiVersion": place.resource.api_version,
        "kind": place.resource.kind,
        "metadata": {"generateName": "verify-install-", "namespace": place.namespace},
    });
    json_patch::merge(&mut whole, object);
    let whole: DynamicObject = serde_json::from_value(whole).map_err(kube::Error::SerdeError)?;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    place.objects(client).create(&dry, &whole).await.map(drop)
}
