//! Floor 3: the way to the cluster that a person has, and who they are there: the name is the API server's, never the
//! kubeconfig's.

use std::path::PathBuf;

use k8s_openapi::{
    NamespaceResourceScope,
    api::authentication::v1::SelfSubjectReview,
    api::authorization::v1::{
        ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
    },
};
use kube::{Api, Client, Config, Resource, api::PostParams};

use super::{CommandError, error::refused};
use crate::{
    adapters::kube::client::{configure_context, connect},
    api::GROUP,
};

/// Which cluster, and where in it.
#[derive(clap::Args, Debug)]
pub struct ClusterArgs {
    /// The kubeconfig; absent: KUBECONFIG, else ~/.kube/config
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Which of its contexts; absent: the current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// The same for what lies in a namespace.
#[derive(clap::Args, Debug)]
pub struct PlaceArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Where; absent: the namespace of the context
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

/// A cluster, and a place in it.
pub struct Access {
    client: Client,
    namespace: String,
}

/// Somebody, as the API server knows them.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The name.
    pub user: String,
    /// All groups.
    pub groups: Vec<String>,
}

impl ClusterArgs {
    async fn configure(&self) -> Result<Config, CommandError> {
        configure_context(self.kubeconfig.as_ref(), self.context.as_deref())
            .await
            .map_err(CommandError::Connect)
    }

    /// Reaches the cluster, in the context's namespace.
    pub async fn open(&self) -> Result<Access, CommandError> {
        self.open_at(None, None).await
    }

    async fn open_at(
        &self,
        namespace: Option<&String>,
        user: Option<&str>,
    ) -> Result<Access, CommandError> {
        let mut config = self.configure().await?;
        if let Some(user) = user {
            config.auth_info.impersonate = Some(user.to_owned());
        }
        let namespace = namespace.unwrap_or(&config.default_namespace).clone();
        let client = connect(config).map_err(CommandError::Connect)?;
        Ok(Access { client, namespace })
    }
}

impl PlaceArgs {
    /// Reaches the cluster.
    pub async fn open(&self) -> Result<Access, CommandError> {
        self.cluster.open_at(self.namespace.as_ref(), None).await
    }

    /// Reaches the cluster in the name of somebody whom the caller may impersonate.
    pub async fn open_as(&self, user: &str) -> Result<Access, CommandError> {
        let place = self.namespace.as_ref();
        self.cluster.open_at(place, Some(user)).await
    }

    /// The namespace alone, without a word to the cluster.
    pub async fn namespace(&self) -> Result<String, CommandError> {
        if let Some(namespace) = &self.namespace {
            return Ok(namespace.clone());
        }
        let config = self.cluster.configure().await.map_err(|error| {
            let why = crate::adapters::kube::error::chain(&error);
            CommandError::Usage(format!("for which namespace? Give -n NAMESPACE ({why})"))
        })?;
        Ok(config.default_namespace)
    }
}

impl Access {
    /// The place.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The connection.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Objects of a kind in the place.
    pub fn objects<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Who the caller is.
    pub async fn caller(&self) -> Result<Caller, CommandError> {
        let answer = Api::<SelfSubjectReview>::all(self.client.clone())
            .create(&PostParams::default(), &SelfSubjectReview::default())
            .await
            .map_err(refused(
                "ask the API server who you are",
                "system:basic-user",
            ))?;
        let user = answer.status.and_then(|status| status.user_info);
        let user = user.unwrap_or_default();
        Ok(Caller {
            user: user.username.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
        })
    }

    /// Whether the caller holds the verb on an approver role of the namespace.
    async fn may(&self, namespace: &str, verb: &str, role: &str) -> Result<bool, CommandError> {
        self.allowed(ResourceAttributes {
            group: Some(GROUP.to_owned()),
            resource: Some("approverroles".to_owned()),
            namespace: Some(namespace.to_owned()),
            name: Some(role.to_owned()),
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        })
        .await
    }

    /// Whether the caller may do this.
    pub async fn allowed(&self, what: ResourceAttributes) -> Result<bool, CommandError> {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(what),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let answer = Api::<SelfSubjectAccessReview>::all(self.client.clone())
            .create(&PostParams::default(), &review)
            .await
            .map_err(refused(
                "ask the API server what you may do",
                "system:basic-user",
            ))?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    /// Whether the caller may approve under this role.
    pub async fn may_approve(&self, namespace: &str, role: &str) -> Result<bool, CommandError> {
        self.may(namespace, "approve", role).await
    }

    /// Whether the caller's rights come from a wildcard, which makes no approver.
    pub async fn by_wildcard(&self, namespace: &str) -> Result<bool, CommandError> {
        self.may(namespace, "wildcard", "wildcard").await
    }
}

impl Caller {
    /// Whether this is the caller's name: the policies compare without regard to case.
    pub fn is(&self, user: &str) -> bool {
        self.user.eq_ignore_ascii_case(user)
    }

    /// The groups that a Decision can carry: those of the installation first, each once. Which of them holds a role only
    /// the operator can find out.
    pub fn votes_under(&self) -> Option<Vec<String>> {
        let (of_system, own): (Vec<_>, Vec<_>) = self
            .groups
            .iter()
            .filter(|group| (1..=LONGEST_GROUP).contains(&group.chars().count()))
            .partition(|group| group.starts_with("system:"));
        let mut groups: Vec<String> = Vec::new();
        for group in own.into_iter().chain(of_system) {
            if groups.len() < MOST_GROUPS && !groups.contains(group) {
                groups.push(group.clone());
            }
        }
        (!groups.is_empty()).then_some(groups)
    }
}

/// What a Decision can hold.
const MOST_GROUPS: usize = 128;
const LONGEST_GROUP: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_carries_the_groups_that_fit_and_those_of_the_installation_first() {
        let mut caller = Caller {
            user: "alice".to_owned(),
            groups: vec!["system:authenticated".to_owned(), "a".repeat(257)],
        };
        assert_eq!(
            caller.votes_under(),
            Some(vec!["system:authenticated".to_owned()])
        );
        caller
            .groups
            .extend((0..200).map(|number| format!("g{number}")));
        caller.groups.push("g0".to_owned());
        let groups = caller.votes_under().unwrap_or_default();
        assert_eq!((groups.len(), groups[0].as_str()), (128, "g0"));
        assert!(!groups.contains(&"system:authenticated".to_owned()));
    }

    #[test]
    fn whoever_has_no_group_sends_none() {
        assert_eq!(Caller::default().votes_under(), None);
    }

    #[test]
    fn a_name_is_compared_as_the_policies_do() {
        let caller = Caller {
            user: "Alice@example".to_owned(),
            groups: Vec::new(),
        };
        assert!(caller.is("alice@EXAMPLE") && !caller.is("alice"));
    }
}
