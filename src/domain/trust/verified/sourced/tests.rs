use std::cell::Cell;

use serde_json::json;

use super::*;
use crate::domain::trust::{
    Attempt, Examination, Formats, FoundSignature, LegacySignature, LogRule, Matches, Policy,
    Problem, SignatureForm, Signer, accepts_legacy, verify_image,
};

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A policy whose signatures are the name of a signer and the digest of the image; no cryptography.
struct Told(Policy);

impl Told {
    fn say(&self, text: &str, digest: &Digest) -> Examination {
        let (name, about) = text.split_once(' ').unwrap();
        if about == digest.as_str() {
            Examination {
                signers: vec![Signer::Key {
                    fingerprint: Digest::of(name.as_bytes()),
                    name: name.into(),
                }],
                ..Examination::default()
            }
        } else {
            Examination {
                attempts: vec![Attempt::new(Reason::SubjectMismatch, "another image")],
                ..Examination::default()
            }
        }
    }
}

impl Examiner for Told {
    fn policy(&self) -> &Policy {
        &self.0
    }

    fn ended(&self, _: Timestamp) -> Option<Problem> {
        None
    }

    fn problems(&self) -> &[Problem] {
        &[]
    }

    fn examine(&self, _: &str, _: &[u8], _: Timestamp) -> Examination {
        panic!("an artifact is no blob")
    }

    fn examine_statement(&self, bundle: &str, digest: &Digest, _: Timestamp) -> Examination {
        self.say(bundle, digest)
    }

    fn examine_legacy(&self, one: &LegacySignature, digest: &Digest, _: Timestamp) -> Examination {
        self.say(&one.payload, digest)
    }
}

fn policy(registries: &[&str], kinds: &[SignedKind], threshold: usize) -> Told {
    Told(Policy {
        name: registries.join(" "),
        generation: None,
        matches: Matches {
            namespaces: None,
            kinds: Some(kinds.to_vec()),
            registries: Some(registries.iter().map(|one| (*one).to_owned()).collect()),
        },
        keys: vec![],
        identities: vec![],
        root: None,
        log: LogRule::Ignore,
        formats: Formats {
            bundle: true,
            legacy: false,
        },
        threshold,
    })
}

const BOTH: [SignedKind; 2] = [SignedKind::Playbook, SignedKind::Image];

fn image() -> Image {
    Image::parse(&format!("registry.example/pb/drain@sha256:{HEX}")).unwrap()
}

fn bundles(by: &[&str]) -> Signatures {
    let found = by.iter().map(|name| FoundSignature {
        place: format!("bundle of {name}"),
        form: SignatureForm::Bundle(format!("{name} {}", image().digest)),
    });
    Signatures {
        found: found.collect(),
        ..Signatures::default()
    }
}

fn object() -> Document {
    Document {
        api_version: "neuralops.io/v1alpha1".into(),
        name: "drain".into(),
        namespace: "shop".into(),
        spec: json!({
            "revision": 14,
            "serviceAccountName": "runbook-shop",
            "source": {"image": image().to_string()},
        }),
    }
}

fn inside() -> ArtifactDocument {
    ArtifactDocument {
        api_version: "neuralops.io/v1alpha1".into(),
        name: "drain".into(),
        namespace: None,
        spec: json!({
            "revision": 14,
            "serviceAccountName": "runbook-shop",
            "match": {"priority": 1},
            "steps": [{"name": "tell", "notify": {"message": "hello"}}],
        }),
    }
}

struct AtHand {
    digest: Digest,
    signatures: Signatures,
    inside: ArtifactDocument,
    opened: Cell<bool>,
}

impl Artifact for AtHand {
    fn digest(&self) -> &Digest {
        &self.digest
    }

    fn signatures(&self) -> &Signatures {
        &self.signatures
    }

    fn open(&self) -> Result<ArtifactDocument, Refusal> {
        self.opened.set(true);
        Ok(self.inside.clone())
    }
}

fn at_hand(signatures: &Signatures, inside: ArtifactDocument) -> AtHand {
    AtHand {
        digest: image().digest,
        signatures: signatures.clone(),
        inside,
        opened: Cell::new(false),
    }
}

fn verify(
    object: &Document,
    signatures: &Signatures,
    inside: ArtifactDocument,
    policies: &[Told],
) -> Result<Verified, Refusal> {
    let artifact = at_hand(signatures, inside);
    verify_sourced(object, &artifact, policies, None, Timestamp::UNIX_EPOCH)
}

fn one() -> [Told; 1] {
    [policy(&["registry.example/*"], &BOTH, 1)]
}

#[test]
fn the_spec_of_the_artifact_runs_where_the_object_stands() {
    let verified = verify(&object(), &bundles(&["a"]), inside(), &one()).unwrap();
    assert_eq!(verified.document().spec, inside().spec);
    assert_eq!(verified.document().namespace, "shop");
    assert_eq!(verified.scope(), Scope::Anywhere);
    assert_eq!(verified.artifact(), Some(&image().digest));
    assert_eq!(verified.signers().len(), 1);
    let here = ArtifactDocument {
        namespace: Some("shop".into()),
        ..inside()
    };
    let verified = verify(&object(), &bundles(&["a"]), here, &one()).unwrap();
    assert_eq!(verified.scope(), Scope::Namespaced);
    assert_eq!(
        verified.digest(),
        &verified.document().digest().unwrap(),
        "the digest that canonicalize and digest print for the same document"
    );
}

#[test]
fn the_match_of_the_object_wins_and_nothing_else_of_it() {
    let mut mine = object();
    mine.spec["match"] = json!({"priority": 9});
    mine.spec["steps"] = json!([]);
    let verified = verify(&mine, &bundles(&["a"]), inside(), &one()).unwrap();
    let mut expected = inside().spec;
    expected["match"] = json!({"priority": 9});
    assert_eq!(verified.document().spec, expected);
    let plain = verify(&object(), &bundles(&["a"]), inside(), &one()).unwrap();
    assert_eq!(
        verified.digest(),
        plain.digest(),
        "what was signed is the same"
    );
}

#[test]
fn object_and_artifact_agree_in_what_they_both_say() {
    type Change = fn(&mut ArtifactDocument);
    let changes: [(&str, Change); 7] = [
        ("name", |d| d.name = "restart".into()),
        ("namespace", |d| d.namespace = Some("other".into())),
        ("apiVersion", |d| d.api_version = "neuralops.io/v1".into()),
        ("revision", |d| d.spec["revision"] = json!(13)),
        ("revision", |d| {
            d.spec.as_object_mut().unwrap().remove("revision");
        }),
        ("revision", |d| d.spec["revision"] = json!("14")),
        ("serviceAccountName", |d| {
            d.spec["serviceAccountName"] = json!("admin");
        }),
    ];
    for (what, change) in changes {
        let mut changed = inside();
        change(&mut changed);
        let refusal = verify(&object(), &bundles(&["a"]), changed, &one()).unwrap_err();
        assert_eq!(refusal.reason, Reason::SourceMismatch, "{what}");
        assert!(refusal.message.contains(what), "{refusal}");
    }
    let mut neither = object();
    neither.spec.as_object_mut().unwrap().remove("revision");
    let mut nothing = inside();
    nothing.spec.as_object_mut().unwrap().remove("revision");
    let refusal = verify(&neither, &bundles(&["a"]), nothing, &one()).unwrap_err();
    assert_eq!(refusal.reason, Reason::SourceMismatch);
}

#[test]
fn values_with_two_meanings_and_sources_of_sources_are_refused() {
    let mut float = inside();
    float.spec["steps"][0]["notify"]["n"] = json!(1.5);
    let refusal = verify(&object(), &bundles(&["a"]), float, &one()).unwrap_err();
    assert_eq!(refusal.reason, Reason::Invalid);
    let mut nested = inside();
    nested.spec["source"] = json!({"image": image().to_string()});
    let refusal = verify(&object(), &bundles(&["a"]), nested, &one()).unwrap_err();
    assert_eq!(refusal.reason, Reason::Invalid);
    let mut large = inside();
    large.spec["description"] = json!("x".repeat(200 * 1024));
    assert!(verify(&object(), &bundles(&["a"]), large.clone(), &one()).is_ok());
    large.spec["description"] = json!("x".repeat(1024 * 1024));
    let refusal = verify(&object(), &bundles(&["a"]), large, &one()).unwrap_err();
    assert_eq!(refusal.reason, Reason::PlaybookTooLarge);
}

#[test]
fn what_nobody_trusts_is_not_opened() {
    let mut stolen = bundles(&["a"]);
    stolen.found[0].form = SignatureForm::Bundle(format!("a sha256:{}", "0".repeat(64)));
    let stolen = at_hand(&stolen, inside());
    let now = Timestamp::UNIX_EPOCH;
    let refusal = verify_sourced(&object(), &stolen, &one(), None, now).unwrap_err();
    assert_eq!(refusal.reason, Reason::SubjectMismatch);
    assert!(!stolen.opened.get());
    let mut other = at_hand(&bundles(&["a"]), inside());
    other.digest = Digest::of(b"another artifact");
    let refusal = verify_sourced(&object(), &other, &one(), None, now).unwrap_err();
    assert_eq!(refusal.reason, Reason::ContentMismatch);
    assert!(!other.opened.get());
}

#[test]
fn policies_are_chosen_by_registry_and_kind_and_all_must_be_satisfied() {
    let reason = |policies: &[Told]| {
        let answer = verify(&object(), &bundles(&["a"]), inside(), policies);
        answer.err().map(|refusal| refusal.reason)
    };
    let other = policy(&["other.example/*"], &BOTH, 1);
    assert_eq!(reason(&[other]), Some(Reason::NoPolicy));
    let images = policy(&["registry.example/*"], &[SignedKind::Image], 1);
    assert_eq!(reason(&[images]), Some(Reason::NoPolicy));
    let two = policy(&["registry.example/pb/*"], &BOTH, 2);
    let [first] = one();
    assert_eq!(reason(&[first, two]), Some(Reason::TooFewSigners));
    let verify = |policies: &[Told]| {
        let found = bundles(&["a", "b", "a"]);
        verify_image(&image(), "shop", &found, policies, Timestamp::UNIX_EPOCH)
    };
    let playbooks = policy(&["registry.example/*"], &[SignedKind::Playbook], 1);
    assert_eq!(verify(&[playbooks]).unwrap_err().reason, Reason::NoPolicy);
    let two = || policy(&["registry.example/*"], &BOTH, 2);
    let verified = verify(&[two()]).unwrap();
    assert_eq!(verified.policies()[0].signers.len(), 2);
    assert_eq!(verified.image(), &image());
    let three = policy(&["registry.example/*"], &BOTH, 3);
    assert_eq!(verify(&[three]).unwrap_err().reason, Reason::TooFewSigners);
}

#[test]
fn nothing_found_names_what_was_seen_and_what_could_not_be_read() {
    let mut signatures = Signatures {
        seen: vec!["sha256:1 (application/spdx+json)".into()],
        ..Signatures::default()
    };
    let reason = |signatures: &Signatures| {
        verify_image(&image(), "shop", signatures, &one(), Timestamp::UNIX_EPOCH).unwrap_err()
    };
    let refusal = reason(&signatures);
    assert_eq!(refusal.reason, Reason::NoSignatureFound);
    assert!(refusal.message.contains("spdx"), "{refusal}");
    assert!(refusal.message.contains("LegacySig"), "{refusal}");
    let unread = Attempt::new(Reason::ManifestTooLarge, "9 MiB");
    signatures.attempts.push(unread);
    assert_eq!(reason(&signatures).reason, Reason::ManifestTooLarge);
}

#[test]
fn the_old_form_counts_only_where_a_policy_names_it() {
    let old = Signatures {
        found: vec![FoundSignature {
            place: "tag .sig".into(),
            form: SignatureForm::Legacy(LegacySignature {
                payload: format!("a {}", image().digest),
                signature: String::new(),
                certified: false,
            }),
        }],
        ..Signatures::default()
    };
    let verify =
        |policies: &[Told]| verify_image(&image(), "shop", &old, policies, Timestamp::UNIX_EPOCH);
    let reason = verify(&one()).unwrap_err().reason;
    assert_eq!(reason, Reason::UnsupportedBundle);
    let mut legacy = policy(&["registry.example/*"], &BOTH, 1);
    legacy.0.formats.legacy = true;
    let legacy = [legacy];
    assert!(verify(&legacy).is_ok());
    let asks = |policies: &[Told]| accepts_legacy(SignedKind::Image, &image(), "shop", policies);
    assert!(asks(&legacy) && !asks(&one()));
}

#[test]
fn a_source_is_an_image_by_its_digest() {
    let mut tagged = object();
    tagged.spec["source"]["image"] = json!("registry.example/pb/drain:1.4.0");
    let refusal = verify(&tagged, &bundles(&["a"]), inside(), &one()).unwrap_err();
    assert_eq!(refusal.reason, Reason::Invalid);
    assert!(source_image(&inside_as_object()).is_none());
}

fn inside_as_object() -> Document {
    Document {
        spec: inside().spec,
        ..object()
    }
}
