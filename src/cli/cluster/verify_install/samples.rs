//! Floor 3: what there is in the cluster that forgeries can be tried on: Gates, and one object of each other kind, those of the
//! caller's namespace before others. What cannot be listed is told from what is not there.

use std::str::FromStr;

use kube::{
    Api, Resource, ResourceExt as _,
    api::{ListParams, PartialObjectMeta},
};

use super::{
    ask::{Absent, Place},
    votes::Gates,
    writes::{Sample, Samples},
};
use crate::{
    adapters::kube::error::chain,
    api::v1alpha1::{Decision, Gate, Orchestration, Playbook, TrustPolicy},
    cli::cluster::access::Access,
};

/// More Gates than this are not looked through.
const MOST: u32 = 500;

/// An object of a namespace, as it is written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(Self {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                })
            }
            _ => Err("write NAMESPACE/NAME".to_owned()),
        }
    }
}

/// The Gates that were named; else all that the caller may list.
pub async fn gates(access: &Access, named: &[Named]) -> Gates {
    let mut gates = Gates {
        known: Vec::new(),
        complete: named.is_empty(),
        unread: None,
    };
    for gate in named {
        let api: Api<Gate> = Api::namespaced(access.client().clone(), &gate.namespace);
        match api.get(&gate.name).await {
            Ok(gate) => gates.known.push(gate),
            Err(error) => gates.unread = Some(chain(&error)),
        }
    }
    if !named.is_empty() {
        return gates;
    }
    let few = ListParams::default().limit(MOST);
    match access.objects::<Gate>().list(&few).await {
        Ok(list) => gates.known.extend(list.items),
        Err(error) => {
            gates.unread = Some(chain(&error));
            gates.complete = false;
        }
    }
    // Where only some namespaces may be listed, this one has to do.
    let everywhere: Api<Gate> = Api::all(access.client().clone());
    if let Ok(list) = everywhere.list(&few).await {
        let is_elsewhere = |gate: &Gate| gate.namespace().as_deref() != Some(access.namespace());
        gates
            .known
            .extend(list.items.into_iter().filter(is_elsewhere));
    }
    gates
}

/// One object of each kind.
pub async fn find(access: &Access, gates: &Gates) -> Samples {
    let gate = match (gates.known.first(), &gates.unread) {
        (Some(gate), _) => {
            let namespace = gate.namespace().unwrap_or_default();
            Ok((Place::inside::<Gate>(&namespace), gate.name_any()))
        }
        (None, Some(why)) => Err(Absent::Unsure(why.clone())),
        (None, None) => Err(Absent::Nothing("there is no Gate".to_owned())),
    };
    Samples {
        decision: first::<Decision>(access, "there is no vote").await,
        gate,
        run: first::<Orchestration>(access, "there is no run").await,
        playbook: first::<Playbook>(access, "there is no Playbook").await,
        trust_policy: outside::<TrustPolicy>(access, "there is no TrustPolicy").await,
    }
}

async fn first<K>(access: &Access, missing: &str) -> Sample
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let here: Result<_, kube::Error> = one(&access.objects::<K>()).await;
    let found = match here {
        Ok(None) => one(&Api::<K>::all(access.client().clone())).await,
        found => Ok(found.map_err(|error| Absent::Unsure(chain(&error)))?),
    };
    match found {
        Ok(Some(object)) => {
            let namespace = object.namespace().unwrap_or_default();
            Ok((Place::inside::<K>(&namespace), object.name_any()))
        }
        Ok(None) => Err(Absent::Nothing(missing.to_owned())),
        Err(error) => Err(Absent::Nothing(format!(
            "{missing} in {}, and others cannot be listed: {}",
            access.namespace(),
            chain(&error)
        ))),
    }
}

async fn outside<K>(access: &Access, missing: &str) -> Sample
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    match one(&Api::<K>::all(access.client().clone())).await {
        Ok(Some(object)) => Ok((Place::outside::<K>(), object.name_any())),
        Ok(None) => Err(Absent::Nothing(missing.to_owned())),
        Err(error) => Err(Absent::Unsure(chain(&error))),
    }
}

/// Any one that is not about to go.
async fn one<K>(api: &Api<K>) -> Result<Option<PartialObjectMeta<K>>, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let few = ListParams::default().limit(20);
    let list = api.list_metadata(&few).await?;
    let mut staying = list.items.into_iter();
    Ok(staying.find(|object| object.metadata.deletion_timestamp.is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_with_its_namespace() {
        let named = "shop/restart-1".parse::<Named>().unwrap();
        assert_eq!(
            (named.namespace.as_str(), named.name.as_str()),
            ("shop", "restart-1")
        );
        for bad in ["restart-1", "/a", "a/", "a/b/c", ""] {
            assert!(bad.parse::<Named>().is_err(), "{bad}");
        }
    }
}
