//! Floor 2: the admission guard. Identities are only proven while the policies, bindings and kinds that we ship are
//! installed unaltered; this compares them with what the API server holds. It looks; what follows is decided above.

mod inspect;

use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::{
    api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};

pub use inspect::{Found, Part, inspect};

use super::error::{Classified, classify};
use crate::{
    api::crds,
    domain::{digest::Digest, reason::Reason, verdict::ErrorClass},
};

/// The policies as they are installed: the very files of `config/admission`. `decision-gate`, `playbook-secrets` and
/// `orchestration-secrets` are not among them: they refuse early what the operator refuses as well, and prove nobody's name, so
/// an installation may leave them out.
const POLICIES: [&str; 8] = [
    include_str!("../../../config/admission/decision-identity.yaml"),
    include_str!("../../../config/admission/decision-record.yaml"),
    include_str!("../../../config/admission/orchestration-requester.yaml"),
    include_str!("../../../config/admission/playbook-account.yaml"),
    include_str!("../../../config/admission/freeze-by.yaml"),
    include_str!("../../../config/admission/operator-writes.yaml"),
    include_str!("../../../config/admission/gate-origin.yaml"),
    include_str!("../../../config/admission/keep.yaml"),
];

/// The guard could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// What we ship does not read; a defect that a unit test catches.
    #[error("a shipped policy is unreadable: {0}")]
    Shipped(String),
    /// The API server did not answer.
    #[error("could not read {what}")]
    Read {
        /// Which object.
        what: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Classified for GuardError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Shipped(_) => ErrorClass::Bug,
            Self::Read { source, .. } => classify(source).0,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Shipped(_) => Reason::InternalError,
            Self::Read { source, .. } => classify(source).1,
        }
    }
}

/// One object that must be installed as it is here.
#[derive(Clone, Debug)]
struct Guarded {
    resource: ApiResource,
    name: String,
    spec: Value,
}

impl Guarded {
    /// `ValidatingAdmissionPolicy/keep.neuralops.io`
    fn describe(&self) -> String {
        format!("{}/{}", self.resource.kind, self.name)
    }

    fn unread(&self, source: kube::Error) -> GuardError {
        GuardError::Read {
            what: self.describe(),
            source: Box::new(source),
        }
    }

    /// What is wrong with the live object, in a sentence.
    fn problem(&self, live: Option<&DynamicObject>) -> Option<String> {
        let name = self.describe();
        let Some(live) = live else {
            return Some(format!("{name} is missing"));
        };
        if live.metadata.deletion_timestamp.is_some() {
            return Some(format!("{name} is being deleted"));
        }
        let spec = live.data.get("spec").unwrap_or(&Value::Null);
        let place = altered(&self.spec, spec, "spec")?;
        Some(format!("{name} is altered at {place}"))
    }
}

/// Everything that must be installed.
fn shipped() -> Result<Vec<Guarded>, GuardError> {
    let mut all = Vec::new();
    for crd in crds::all() {
        all.push(guarded(
            &serde_json::to_value(crd).map_err(|error| GuardError::Shipped(error.to_string()))?,
        )?);
    }
    for file in POLICIES {
        for document in documents(file)? {
            all.push(guarded(&document)?);
        }
    }
    Ok(all)
}

fn documents(file: &str) -> Result<Vec<Value>, GuardError> {
    serde_saphyr::from_multiple(file).map_err(|error| GuardError::Shipped(error.to_string()))
}

fn guarded(object: &Value) -> Result<Guarded, GuardError> {
    let resource = match object.get("kind").and_then(Value::as_str) {
        Some("CustomResourceDefinition") => ApiResource::erase::<CustomResourceDefinition>(&()),
        Some("ValidatingAdmissionPolicy") => ApiResource::erase::<ValidatingAdmissionPolicy>(&()),
        Some("ValidatingAdmissionPolicyBinding") => {
            ApiResource::erase::<ValidatingAdmissionPolicyBinding>(&())
        }
        other => {
            return Err(GuardError::Shipped(format!(
                "{other:?} is no kind of the guard"
            )));
        }
    };
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    match (name, object.get("spec")) {
        (Some(name), Some(spec)) => Ok(Guarded {
            resource,
            name: name.to_owned(),
            spec: spec.clone(),
        }),
        _ => Err(GuardError::Shipped(format!(
            "{object} has no name or no spec"
        ))),
    }
}

/// What tells an object from every other and from itself before any change of its spec: a change raises the generation, and
/// what is made again has another uid.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    uid: String,
    generation: i64,
    created: Option<Timestamp>,
    leaving: bool,
}

impl Mark {
    fn of(meta: &ObjectMeta) -> Self {
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            leaving: meta.deletion_timestamp.is_some(),
        }
    }
}

/// The guard as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Of each object of the guard, in the order in which they are shipped; none: it is missing.
    marks: Vec<Option<Mark>>,
    /// What is missing or altered, each in a sentence; empty: the guard is whole.
    pub problems: Vec<String>,
    /// Stands for exactly these objects with exactly these specs: as long as it is the same, nothing was altered, not even
    /// for a moment.
    pub digest: Digest,
}

impl Seen {
    /// Since when all of it has been as it is, by what the objects themselves tell: the first generation of a spec is the
    /// only one that there ever was. Nothing, if one of them was changed since it was made.
    pub fn untouched_since(&self) -> Option<Timestamp> {
        if !self.problems.is_empty() {
            return None;
        }
        let first = |mark: &Option<Mark>| {
            let mark = mark.as_ref().filter(|mark| mark.generation == 1)?;
            mark.created
        };
        let made: Option<Vec<Timestamp>> = self.marks.iter().map(first).collect();
        made?.into_iter().max()
    }
}

/// The guard of one cluster.
pub struct Guard {
    client: Client,
    shipped: Vec<Guarded>,
}

impl Guard {
    /// Must be whole by what this binary ships.
    pub fn new(client: Client) -> Result<Self, GuardError> {
        let shipped = shipped()?;
        Ok(Self { client, shipped })
    }

    /// Looks at the guard now. Specs are compared only if something changed since `before`; else the metadata of each object
    /// is read, by its name. A list by label would be fewer requests, and needs the right to list everybody's policies; a
    /// label also comes and goes without raising the generation, and then hides what it was on.
    pub async fn look(&self, before: Option<&Seen>) -> Result<Seen, GuardError> {
        if let Some(before) = before
            && self.marks().await? == before.marks
        {
            return Ok(before.clone());
        }
        let live = self.shipped.iter().map(async |guarded| {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &guarded.resource);
            let live = api.get_opt(&guarded.name).await;
            live.map_err(|source| guarded.unread(source))
        });
        let live = try_join_all(live).await?;
        let pairs = self.shipped.iter().zip(&live);
        let problems = pairs
            .filter_map(|(guarded, live)| guarded.problem(live.as_ref()))
            .collect();
        let marks: Vec<_> = live
            .iter()
            .map(|live| live.as_ref().map(|live| Mark::of(&live.metadata)))
            .collect();
        let digest = self.digest(&marks);
        Ok(Seen {
            marks,
            problems,
            digest,
        })
    }

    async fn marks(&self) -> Result<Vec<Option<Mark>>, GuardError> {
        try_join_all(self.shipped.iter().map(async |guarded| {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &guarded.resource);
            match api.get_metadata_opt(&guarded.name).await {
                Ok(live) => Ok(live.map(|live| Mark::of(&live.metadata))),
                Err(source) => Err(guarded.unread(source)),
            }
        }))
        .await
    }

    fn digest(&self, marks: &[Option<Mark>]) -> Digest {
        let lines = self.shipped.iter().zip(marks).map(|(guarded, mark)| {
            let name = guarded.describe();
            match mark {
                Some(mark) => format!("{name} {} {} {}\n", mark.uid, mark.generation, mark.leaving),
                None => format!("{name} -\n"),
            }
        });
        Digest::of(lines.collect::<String>().as_bytes())
    }
}

/// Where the live object differs from ours. What the API server fills in by itself and changes nothing is no difference.
fn altered(ours: &Value, live: &Value, place: &str) -> Option<String> {
    match (ours, live) {
        (Value::Object(ours), Value::Object(live)) => {
            for (name, value) in ours {
                let place = format!("{place}.{name}");
                match live.get(name) {
                    Some(other) => {
                        if let Some(found) = altered(value, other, &place) {
                            return Some(found);
                        }
                    }
                    None => return Some(place),
                }
            }
            live.iter()
                .find(|(name, value)| !ours.contains_key(*name) && !is_default(name, value))
                .map(|(name, _)| format!("{place}.{name}"))
        }
        (Value::Array(ours), Value::Array(live)) if ours.len() == live.len() => ours
            .iter()
            .zip(live)
            .enumerate()
            .find_map(|(index, (a, b))| altered(a, b, &format!("{place}[{index}]"))),
        // The API server writes a bound of 16 as 16, our types as 16.0.
        (Value::Number(ours), Value::Number(live)) if ours.as_f64() == live.as_f64() => None,
        _ if ours == live => None,
        _ => Some(place.to_owned()),
    }
}

fn is_default(name: &str, value: &Value) -> bool {
    match name {
        "conversion" => *value == json!({ "strategy": "None" }),
        "namespaceSelector" | "objectSelector" => *value == json!({}),
        "matchPolicy" => value == "Equivalent",
        "failurePolicy" => value == "Fail",
        "scope" => value == "*",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_we_ship_reads() {
        let shipped = shipped().unwrap();
        assert_eq!(shipped.len(), 7 + 8 * 2);
    }

    #[test]
    fn what_was_never_altered_is_as_old_as_its_youngest_part() {
        let mark = |generation, created| {
            Some(Mark {
                uid: "u".into(),
                generation,
                created: Timestamp::from_second(created).ok(),
                leaving: false,
            })
        };
        let seen = |marks: Vec<Option<Mark>>, problems: &[&str]| Seen {
            marks,
            problems: problems.iter().map(ToString::to_string).collect(),
            digest: Digest::of(b""),
        };
        let since = |marks, problems| seen(marks, problems).untouched_since();
        let youngest = Timestamp::from_second(20).ok();
        assert_eq!(since(vec![mark(1, 10), mark(1, 20)], &[]), youngest);
        assert_eq!(since(vec![mark(1, 10), mark(2, 20)], &[]), None);
        assert_eq!(since(vec![mark(1, 10), None], &[]), None);
        assert_eq!(since(vec![mark(1, 10)], &["one is missing"]), None);
    }

    #[test]
    fn defaults_are_no_difference_and_all_else_is() {
        let ours = json!({"a": 1, "rules": [{"x": "y"}]});
        let same = json!({"a": 1, "rules": [{"x": "y", "scope": "*"}], "matchPolicy": "Equivalent", "conversion": {"strategy": "None"}});
        assert_eq!(altered(&ours, &same, "spec"), None);
        for (live, place) in [
            (json!({"a": 2, "rules": [{"x": "y"}]}), "spec.a"),
            (json!({"rules": [{"x": "y"}]}), "spec.a"),
            (json!({"a": 1, "rules": []}), "spec.rules"),
            (json!({"a": 1, "rules": [{"x": "z"}]}), "spec.rules[0].x"),
            (
                json!({"a": 1, "rules": [{"x": "y"}], "matchConditions": [{"expression": "false"}]}),
                "spec.matchConditions",
            ),
            (
                json!({"a": 1, "rules": [{"x": "y"}], "failurePolicy": "Ignore"}),
                "spec.failurePolicy",
            ),
            (
                json!({"a": 1, "rules": [{"x": "y", "scope": "Cluster"}]}),
                "spec.rules[0].scope",
            ),
        ] {
            assert_eq!(
                altered(&ours, &live, "spec").as_deref(),
                Some(place),
                "{live}"
            );
        }
    }
}
