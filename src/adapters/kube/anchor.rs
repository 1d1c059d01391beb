//! Floor 2: the anchor of the transparency log: the one AuditLog object. It is swapped by resourceVersion and never
//! patched, so that of two writers one finds out. What it must not hold is the CRD's business; who writes it, a policy's.

use k8s_openapi::{
    api::core::v1::{Namespace, ObjectReference},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, Resource as _, ResourceExt as _, api::PostParams};

use super::{
    CHILDREN_MANAGER,
    error::{Classified, classify},
};
use crate::{
    api::v1alpha1::{AuditLog, AuditLogSpec},
    domain::{reason::Reason, verdict::ErrorClass},
};

/// There is one AuditLog, and this is its name.
pub const NAME: &str = "main";

/// The anchor was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// Not read.
    #[error("could not read the AuditLog {NAME}")]
    Read(#[source] kube::Error),
    /// The kind is not there, which says nothing about the object.
    #[error("the kind AuditLog is not served")]
    NotServed,
    /// Not made.
    #[error("could not create the AuditLog {NAME}")]
    Create(#[source] kube::Error),
    /// Not swapped; it may have been, if the answer was lost.
    #[error("could not swap the AuditLog {NAME}")]
    Swap(#[source] kube::Error),
    /// The cluster's own identity is not known.
    #[error("could not read the namespace kube-system, whose uid names this cluster")]
    Cluster(#[source] kube::Error),
}

impl AnchorError {
    /// Somebody else wrote it since it was read.
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Create(kube::Error::Api(answer)) => answer.is_already_exists(),
            Self::Swap(kube::Error::Api(answer)) => answer.is_conflict() || answer.is_not_found(),
            _ => false,
        }
    }
}

impl Classified for AnchorError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read(error) | Self::Create(error) | Self::Swap(error) | Self::Cluster(error) => {
                classify(error).0
            }
            Self::NotServed => ErrorClass::Transient,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Read(error) | Self::Create(error) | Self::Swap(error) | Self::Cluster(error) => {
                classify(error).1
            }
            Self::NotServed => Reason::CrdNotServed,
        }
    }
}

/// The anchor as it was read, and only so can it be swapped.
#[derive(Clone, Debug)]
pub struct Anchored(AuditLog);

impl Anchored {
    /// What it says.
    pub fn spec(&self) -> &AuditLogSpec {
        &self.0.spec
    }

    /// To tell events about it.
    pub fn reference(&self) -> ObjectReference {
        self.0.object_ref(&())
    }
}

/// Where the anchor is kept.
#[derive(Clone)]
pub struct Anchor {
    client: Client,
    api: Api<AuditLog>,
}

impl Anchor {
    /// The anchor of this cluster.
    pub fn new(client: Client) -> Self {
        Self {
            api: Api::all(client.clone()),
            client,
        }
    }

    /// As it stands now.
    pub async fn read(&self) -> Result<Option<Anchored>, AnchorError> {
        match self.api.get(NAME).await {
            Ok(found) => Ok(Some(Anchored(found))),
            // An answer without the object's name in it is about the kind: nobody has said that the anchor is gone.
            Err(kube::Error::Api(answer)) if answer.is_not_found() => {
                let about = answer.details.as_ref().map(|details| details.name.as_str());
                if about == Some(NAME) {
                    Ok(None)
                } else {
                    Err(AnchorError::NotServed)
                }
            }
            Err(error) => Err(AnchorError::Read(error)),
        }
    }

    /// Makes it; fails if it is there.
    pub async fn create(&self, spec: AuditLogSpec) -> Result<Anchored, AnchorError> {
        let mut log = AuditLog::new(NAME, spec);
        log.metadata.labels = Some(
            [(
                "app.kubernetes.io/managed-by".to_owned(),
                "neuralops".to_owned(),
            )]
            .into(),
        );
        let made = self.api.create(&parameters(), &log).await;
        made.map(Anchored).map_err(AnchorError::Create)
    }

    /// Puts `spec` in the place of what was read; fails if it is another by now.
    pub async fn swap(&self, read: &Anchored, spec: AuditLogSpec) -> Result<Anchored, AnchorError> {
        let mut log = AuditLog::new(NAME, spec);
        let old = &read.0.metadata;
        log.metadata = ObjectMeta {
            name: Some(NAME.to_owned()),
            // The uid as well: a deleted and re-created anchor is another one.
            uid: old.uid.clone(),
            resource_version: read.0.resource_version(),
            labels: old.labels.clone(),
            annotations: old.annotations.clone(),
            finalizers: old.finalizers.clone(),
            owner_references: old.owner_references.clone(),
            ..ObjectMeta::default()
        };
        let swapped = self.api.replace(NAME, &parameters(), &log).await;
        swapped.map(Anchored).map_err(AnchorError::Swap)
    }

    /// The uid of the namespace kube-system, by which a cluster is commonly told from others.
    pub async fn cluster_uid(&self) -> Result<String, AnchorError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = namespaces.get("kube-system").await;
        let found = found.map_err(AnchorError::Cluster)?;
        Ok(found.uid().unwrap_or_default())
    }
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(CHILDREN_MANAGER.to_owned()),
        ..PostParams::default()
    }
}
