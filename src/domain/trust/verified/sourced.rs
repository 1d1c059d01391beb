//! Floor 0: a Playbook whose document lies in a signed artifact. The signature is looked at first; only what it covers
//! is opened. The object adds where it is used and when to suggest it, and nothing that runs.

use jiff::Timestamp;
use serde_json::Value;

use super::{Verified, image::satisfy, no_bytes, twin};
use crate::domain::{
    digest::Digest,
    document::{Document, Scope},
    lint::{uncertain_bytes, uncertain_sourced_bytes},
    reason::Reason,
    trust::{Examiner, HighestRevision, Image, Refusal, Signatures, SignedKind, revision::follows},
};

/// The document that an artifact holds.
#[derive(Clone, Debug, PartialEq)]
pub struct ArtifactDocument {
    /// As its author wrote it.
    pub api_version: String,
    /// The Playbook's name.
    pub name: String,
    /// The namespace for which it was made; none: any.
    pub namespace: Option<String>,
    /// What runs.
    pub spec: Value,
}

/// An artifact at hand: bytes that have this digest, whoever kept or fetched them.
pub trait Artifact {
    /// The digest of its manifest.
    fn digest(&self) -> &Digest;
    /// What may be its signatures.
    fn signatures(&self) -> &Signatures;
    /// The document in it. It is asked for when the signatures are found good, and not before.
    fn open(&self) -> Result<ArtifactDocument, Refusal>;
}

/// The artifact that a Playbook names, if it names one.
pub fn source_image(document: &Document) -> Option<Result<Image, Refusal>> {
    let source = document.spec.get("source")?;
    let text = source.get("image").and_then(Value::as_str);
    Some(
        Image::parse(text.unwrap_or_default())
            .map_err(|error| Refusal::new(Reason::Invalid, format!("spec.source.image: {error}"))),
    )
}

/// Whether the artifact that this Playbook names is trusted, and the document that then runs.
pub fn verify_sourced<E: Examiner>(
    object: &Document,
    artifact: &impl Artifact,
    examiners: &[E],
    highest: Option<&HighestRevision>,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    if let Some(finding) = uncertain_bytes(object) {
        return Err(Refusal::new(finding.reason, finding.to_string()));
    }
    let image = source_image(object).unwrap_or_else(|| {
        Err(Refusal::new(
            Reason::Invalid,
            "spec.source: the Playbook names no source",
        ))
    })?;
    if *artifact.digest() != image.digest {
        let message = format!(
            "the Playbook names {image}, and what is at hand has the digest {}",
            artifact.digest()
        );
        return Err(Refusal::new(Reason::ContentMismatch, message));
    }
    let (namespace, signatures) = (&object.namespace, artifact.signatures());
    let kind = SignedKind::Playbook;
    let trust = satisfy(kind, &image, namespace, signatures, examiners, now)?;
    let (document, scope) = agreed(object, artifact.open()?)?;
    if let Some(finding) = uncertain_sourced_bytes(&document) {
        let message = format!("the artifact's {finding}");
        return Err(Refusal::new(finding.reason, message));
    }
    let message = document.canonical_in(scope).map_err(no_bytes)?;
    Ok(Verified {
        digest: Digest::of(&message),
        twin: twin(&document, scope)?,
        revision: follows(&document, highest)?,
        document: with_match(document, object),
        scope,
        artifact: Some(image.digest),
        policies: trust.policies,
        policy_digest: trust.policy_digest,
        notes: trust.notes,
    })
}

/// The artifact's document, if the object is about the same Playbook.
fn agreed(object: &Document, artifact: ArtifactDocument) -> Result<(Document, Scope), Refusal> {
    let differs = |what: &str, here: &Value, there: &Value| {
        let message = format!(
            "{what} is {here} in the Playbook and {there} in the artifact; both say the same, so that the object shows what runs"
        );
        Err(Refusal::new(Reason::SourceMismatch, message))
    };
    let texts = [
        ("apiVersion", &object.api_version, &artifact.api_version),
        ("metadata.name", &object.name, &artifact.name),
    ];
    for (what, here, there) in texts {
        if here != there {
            return differs(what, &here.as_str().into(), &there.as_str().into());
        }
    }
    let scope = match &artifact.namespace {
        None => Scope::Anywhere,
        Some(namespace) if *namespace == object.namespace => Scope::Namespaced,
        Some(namespace) => {
            let here = object.namespace.as_str().into();
            return differs("metadata.namespace", &here, &namespace.as_str().into());
        }
    };
    for field in ["revision", "serviceAccountName"] {
        let value = |spec: &Value| spec.get(field).cloned().unwrap_or_default();
        let (here, there) = (value(&object.spec), value(&artifact.spec));
        if here != there || here.is_null() {
            return differs(&format!("spec.{field}"), &here, &there);
        }
    }
    if artifact.spec.get("source").is_some() {
        let message = "the artifact names a source itself: push the Playbook with its steps";
        return Err(Refusal::new(Reason::Invalid, message));
    }
    let document = Document {
        api_version: artifact.api_version,
        name: artifact.name,
        namespace: object.namespace.clone(),
        spec: artifact.spec,
    };
    Ok((document, scope))
}

/// When to suggest it is for the object to say, if it says anything about it.
fn with_match(mut document: Document, object: &Document) -> Document {
    if let (Some(spec), Some(rules)) = (document.spec.as_object_mut(), object.spec.get("match")) {
        spec.insert("match".to_owned(), rules.clone());
    }
    document
}

#[cfg(test)]
mod tests;
