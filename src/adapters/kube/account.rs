//! Floor 2: the API server as a playbook's ServiceAccount sees it. Every read, dry run and effect of a run goes through
//! here and is impersonated, so that the operator lends nobody its own rights; people are never impersonated. A write
//! that is none of a dry run asks the fence first.

mod ends;
mod error;
mod lists;
mod sent;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIResource, APIResourceList};
use kube::{
    Client,
    api::{ApiResource, GetParams, Patch, PatchParams, PostParams, ValidationDirective},
    core::{DynamicObject, Request},
};
use serde_json::{Value, json};

pub use ends::Deletion;
pub use error::{AccountError, Answer};

use crate::{
    domain::{names::is_dns_name, plan::Target},
    ports::Leadership,
};

/// A kind as the API server serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    resource: ApiResource,
    /// Whether its objects lie in namespaces.
    pub namespaced: bool,
}

impl Served {
    /// The kind of a target whose plan was made: it was asked for then.
    pub fn of(target: &Target) -> Self {
        let (group, version) = parts(&target.api_version);
        Self {
            resource: ApiResource {
                group: group.to_owned(),
                version: version.to_owned(),
                api_version: target.api_version.clone(),
                kind: target.kind.clone(),
                plural: target.resource.clone(),
            },
            namespaced: target.namespace.is_some(),
        }
    }

    /// A kind of the core, as every API server serves it. One that has namespaces is asked for in all of them at once where
    /// `namespaced` is not set.
    pub fn core(kind: &str, plural: &str, namespaced: bool) -> Self {
        Self {
            resource: ApiResource {
                group: String::new(),
                version: "v1".to_owned(),
                api_version: "v1".to_owned(),
                kind: kind.to_owned(),
                plural: plural.to_owned(),
            },
            namespaced,
        }
    }

    /// The plural in paths, rights and locks.
    pub fn plural(&self) -> &str {
        &self.resource.plural
    }

    /// Its group; empty for the core.
    pub fn group(&self) -> &str {
        &self.resource.group
    }
}

/// What a patch is.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// RFC 7386.
    Merge(Value),
    /// RFC 6902.
    Json(Value),
    /// The API server's own, for its own kinds.
    Strategic(Value),
    /// Server-side apply; `force` takes fields over that others own.
    Apply { manifest: Value, force: bool },
}

/// Whether anything is to come of a write.
#[derive(Clone, Copy)]
pub enum Writing<'a> {
    /// Nothing: the API server only says what would come of it.
    DryRun,
    /// It is meant, if this process still leads.
    Meant(&'a dyn Leadership),
}

impl Writing<'_> {
    fn dry(self) -> bool {
        matches!(self, Self::DryRun)
    }

    fn allowed(self) -> Result<(), AccountError> {
        match self {
            Self::DryRun => Ok(()),
            Self::Meant(fence) => fence.holds().map_err(AccountError::Deposed),
        }
    }
}

/// A ServiceAccount of one namespace, in whose name everything is asked.
#[derive(Clone)]
pub struct Account {
    client: Client,
    namespace: String,
    name: String,
}

impl Account {
    /// The account with this name in this namespace.
    pub fn new(client: Client, namespace: &str, name: &str) -> Result<Self, AccountError> {
        // An empty name would leave the header empty, and the request would be the operator's.
        for part in [namespace, name] {
            if !is_dns_name(part) {
                return Err(AccountError::NoAccount(part.to_owned()));
            }
        }
        Ok(Self {
            client,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The namespace in which it acts, and no other.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The user that the API server takes it for.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// How the API server serves this kind; none if it does not know it.
    pub async fn served(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Served>, AccountError> {
        let (group, version) = parts(api_version);
        // Both become parts of a path.
        if !is_dns_name(version) || !(group.is_empty() || is_dns_name(group)) {
            return Ok(None);
        }
        let doing = || format!("could not ask which kinds there are in {api_version}");
        let path = if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        };
        let request = http::Request::get(path).body(Vec::new());
        let request = request.map_err(|error| built(doing(), error))?;
        let list: APIResourceList = match self.send(doing(), request).await {
            Ok(list) => list,
            Err(error) if error.code() == Some(404) => return Ok(None),
            Err(error) => return Err(error),
        };
        // A subresource is served under the kind of its parent too.
        let mut found = list.resources.into_iter();
        let found = found.find(|one| one.kind == kind && !one.name.contains('/'));
        Ok(found.map(|found| served(api_version, found)))
    }

    /// The object, or one of its subresources; none if it is not there.
    pub async fn get(
        &self,
        kind: &Served,
        (name, subresource): (&str, Option<&str>),
    ) -> Result<Option<Value>, AccountError> {
        let doing = || format!("could not read {} {name}", kind.plural());
        let path = self.path(kind);
        let request = match subresource {
            None => path.get(segment(name)?, &GetParams::default()),
            Some(subresource) => path.get_subresource(subresource, segment(name)?),
        };
        let request = request.map_err(|error| built(doing(), error))?;
        match self.send(doing(), request).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.code() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Patches an object, or one of its subresources, and brings what the API server makes of it.
    pub async fn patch(
        &self,
        kind: &Served,
        (name, subresource): (&str, Option<&str>),
        body: &Body,
        manager: &str,
        writing: Writing<'_>,
    ) -> Result<Value, AccountError> {
        let doing = || format!("could not patch {} {name}", kind.plural());
        let params = PatchParams {
            dry_run: writing.dry(),
            force: matches!(body, Body::Apply { force: true, .. }),
            field_manager: Some(manager.to_owned()),
            // A field that is not there must not be written past in silence.
            field_validation: Some(ValidationDirective::Strict),
        };
        let patch: Patch<Value> = match body {
            Body::Merge(body) => Patch::Merge(body.clone()),
            Body::Strategic(body) => Patch::Strategic(body.clone()),
            Body::Apply { manifest, .. } => Patch::Apply(manifest.clone()),
            Body::Json(body) => Patch::Json(
                serde_json::from_value(body.clone()).map_err(|error| built(doing(), error))?,
            ),
        };
        let path = self.path(kind);
        let request = match subresource {
            None => path.patch(segment(name)?, &params, &patch),
            Some(subresource) => {
                path.patch_subresource(subresource, segment(name)?, &params, &patch)
            }
        };
        let request = request.map_err(|error| built(doing(), error))?;
        self.write(doing(), request, writing).await
    }

    /// Makes an object.
    pub async fn create(
        &self,
        kind: &Served,
        object: &Value,
        manager: &str,
        writing: Writing<'_>,
    ) -> Result<Value, AccountError> {
        let doing = || format!("could not create one of {}", kind.plural());
        let params = PostParams {
            dry_run: writing.dry(),
            field_manager: Some(manager.to_owned()),
        };
        let body = serde_json::to_vec(object).map_err(|error| built(doing(), error))?;
        let request = self.path(kind).create(&params, body);
        let request = request.map_err(|error| built(doing(), error))?;
        self.write(doing(), request, writing).await
    }

    /// Whether the account may do this; asked in its own name.
    pub async fn may(
        &self,
        verb: &str,
        kind: &Served,
        (name, subresource): (&str, Option<&str>),
    ) -> Result<bool, AccountError> {
        let doing = || format!("could not ask what {} may do", self.user());
        // With a namespace, a Role in it would seem to allow what only a ClusterRole does.
        let namespace = kind.namespaced.then_some(&self.namespace);
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "namespace": namespace, "verb": verb, "group": kind.group(), "resource": kind.plural(),
                "subresource": subresource, "name": name,
            }},
        });
        let path = Request::new("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
        let body = serde_json::to_vec(&review).map_err(|error| built(doing(), error))?;
        let request = path.create(&PostParams::default(), body);
        let request = request.map_err(|error| built(doing(), error))?;
        let allowed = async || {
            let answer: Value = self.send(doing(), request.clone()).await?;
            let allowed = answer.pointer("/status/allowed");
            Ok::<_, AccountError>(allowed.and_then(Value::as_bool) == Some(true))
        };
        if allowed().await? {
            return Ok(true);
        }
        self.api_server_is_ready().await?;
        allowed().await
    }

    fn path(&self, kind: &Served) -> Request {
        let namespace = kind.namespaced.then_some(self.namespace.as_str());
        Request::new(<DynamicObject as kube::Resource>::url_path(
            &kind.resource,
            namespace,
        ))
    }
}

/// Group and version; the group of the core is empty.
fn parts(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// A name that is one part of a path and nothing more: a parameter may say it.
fn segment(name: &str) -> Result<&str, AccountError> {
    if is_dns_name(name) {
        Ok(name)
    } else {
        Err(AccountError::NoName(name.to_owned()))
    }
}

fn served(api_version: &str, found: APIResource) -> Served {
    let (group, version) = parts(api_version);
    Served {
        resource: ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: api_version.to_owned(),
            kind: found.kind,
            plural: found.name,
        },
        namespaced: found.namespaced,
    }
}

fn built(doing: String, error: impl std::error::Error + Send + Sync + 'static) -> AccountError {
    AccountError::Build {
        doing,
        source: Box::new(error),
    }
}

fn asked(doing: String, source: kube::Error) -> AccountError {
    AccountError::Ask {
        doing,
        source: Box::new(source),
    }
}
