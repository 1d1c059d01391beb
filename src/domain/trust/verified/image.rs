//! Floor 0: whether an image is trusted, by the signatures that were found beside it. Where they were found and what a
//! registry said about them is no evidence; only who signed this digest is.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    AppliedPolicy, Examination, Examiner,
    count::{Candidate, Satisfied, satisfy_all},
    ready,
};
use crate::domain::{
    digest::Digest,
    document::Document,
    reason::Reason,
    trust::{
        Attempt, FoundSignature, Image, Refusal, SignatureForm, Signatures, Signed, SignedKind,
    },
};

/// An image that every policy about it trusts, as of a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedImage {
    image: Image,
    trust: Satisfied,
}

impl VerifiedImage {
    /// Which image.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The policies that it satisfies, by name.
    pub fn policies(&self) -> &[AppliedPolicy] {
        &self.trust.policies
    }

    /// The digest of all that these policies trusted at that moment.
    pub fn policy_digest(&self) -> &Digest {
        &self.trust.policy_digest
    }

    /// What was not checked, because a policy says so.
    pub fn notes(&self) -> &[String] {
        &self.trust.notes
    }
}

/// The images that have to be signed for this document to run, each with its place; none if it does not ask for that.
pub fn images_to_verify(document: &Document) -> Result<Vec<(String, Image)>, Refusal> {
    let asked = document.spec.pointer("/imagePolicy/requireSigned");
    if asked.and_then(Value::as_bool) != Some(true) {
        return Ok(Vec::new());
    }
    let steps = document.spec.get("steps").and_then(Value::as_array);
    let named = steps.into_iter().flatten().enumerate();
    let named = named.filter_map(|(index, step)| {
        let image = step.pointer("/job/image").and_then(Value::as_str)?;
        Some((format!("spec.steps[{index}].job.image"), image))
    });
    named
        .map(|(place, text)| match Image::parse(text) {
            Ok(image) => Ok((place, image)),
            Err(error) => Err(Refusal::new(Reason::Invalid, format!("{place}: {error}"))),
        })
        .collect()
}

/// Whether any policy about this image takes signatures of the old form, so that it is worth looking for them.
pub fn accepts_legacy<E: Examiner>(
    kind: SignedKind,
    image: &Image,
    namespace: &str,
    examiners: &[E],
) -> bool {
    let repository = image.name.to_string();
    let signed = Signed {
        kind,
        namespace,
        repository: Some(&repository),
    };
    examiners.iter().any(|examiner| {
        let policy = examiner.policy();
        policy.formats.legacy && policy.matches.cover(signed)
    })
}

/// Whether there is a policy about this image, and all of them can be used: if not, no signature could help, and no
/// registry has to be asked.
pub fn can_be_trusted<E: Examiner>(
    kind: SignedKind,
    image: &Image,
    namespace: &str,
    examiners: &[E],
    now: Timestamp,
) -> Result<(), Refusal> {
    let repository = image.name.to_string();
    let signed = Signed {
        kind,
        namespace,
        repository: Some(&repository),
    };
    ready(signed, examiners, now).map(|_| ())
}

/// Whether the image is trusted in this namespace: every policy about it must be satisfied, and there must be one.
pub fn verify_image<E: Examiner>(
    image: &Image,
    namespace: &str,
    signatures: &Signatures,
    examiners: &[E],
    now: Timestamp,
) -> Result<VerifiedImage, Refusal> {
    let trust = satisfy(
        SignedKind::Image,
        image,
        namespace,
        signatures,
        examiners,
        now,
    )?;
    Ok(VerifiedImage {
        image: image.clone(),
        trust,
    })
}

/// The policies about this digest, if all of them are satisfied.
pub(super) fn satisfy<E: Examiner>(
    kind: SignedKind,
    image: &Image,
    namespace: &str,
    signatures: &Signatures,
    examiners: &[E],
    now: Timestamp,
) -> Result<Satisfied, Refusal> {
    let repository = image.name.to_string();
    let signed = Signed {
        kind,
        namespace,
        repository: Some(&repository),
    };
    let examiners = ready(signed, examiners, now)?;
    let legacy = examiners.iter().any(|one| one.policy().formats.legacy);
    if signatures.found.is_empty() {
        return Err(nothing_found(image, signatures, legacy));
    }
    let examine = |examiner: &E, signature: &FoundSignature| {
        let formats = &examiner.policy().formats;
        match &signature.form {
            SignatureForm::Bundle(bundle) if formats.bundle => {
                examiner.examine_statement(bundle, &image.digest, now)
            }
            SignatureForm::Legacy(old) if formats.legacy => {
                examiner.examine_legacy(old, &image.digest, now)
            }
            SignatureForm::Bundle(_) => unaccepted("a bundle", "Bundle"),
            SignatureForm::Legacy(_) => unaccepted("a signature of the old form", "LegacySig"),
        }
    };
    satisfy_all(&examiners, &signatures.found, examine, |tried, policies| {
        let about = format!("{image} is not trusted by TrustPolicy {policies}");
        let attempts = [signatures.attempts.clone(), tried].concat();
        Refusal::closest_of_image(attempts, &about)
    })
}

impl Candidate for FoundSignature {
    fn place(&self) -> &str {
        &self.place
    }
}

/// Nothing is there that could be a signature: what is there instead.
fn nothing_found(image: &Image, signatures: &Signatures, legacy: bool) -> Refusal {
    if !signatures.attempts.is_empty() {
        let about = format!("nothing beside {image} can be used as a signature");
        return Refusal::closest_of_image(signatures.attempts.clone(), &about);
    }
    let forms = if legacy {
        "as a bundle or under the .sig tag"
    } else {
        "as a bundle; no policy accepts LegacySig, so the .sig tag was not read"
    };
    let seen = if signatures.seen.is_empty() {
        "nothing refers to it".to_owned()
    } else {
        format!("what refers to it: {}", signatures.seen.join(", "))
    };
    Refusal::new(
        Reason::NoSignatureFound,
        format!("no signature of {image} was found {forms}; {seen}; sign it with `cosign sign`"),
    )
}

fn unaccepted(what: &str, format: &str) -> Examination {
    let message = format!("this is {what}, and the formats of the policy do not name {format}");
    Examination {
        attempts: vec![Attempt::new(Reason::UnsupportedBundle, message)],
        ..Examination::default()
    }
}
