//! Signatures of images: a statement by a trusted key is a signature only if it says so, about this digest alone.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use neuralops::{
    adapters::verify::examine_image,
    domain::{digest::Digest, reason::Reason},
};
use serde_json::{Value, json};

use crate::made::{Key, MEDIA_TYPE, bytes, document, now, p256, rsa2048, trusting};

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

fn digest() -> Digest {
    Digest::of(b"a manifest")
}

fn hex(digest: &Digest) -> &str {
    digest.as_str().strip_prefix("sha256:").unwrap()
}

/// What cosign 3 says about an image.
fn statement() -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": hex(&digest())}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    })
}

/// A bundle about it; the signature is over the encoding of DSSE, written down here a second time.
fn bundle(key: &Key, payload_type: &str, payload: &str) -> Value {
    let encoded = format!(
        "DSSEv1 {} {payload_type} {} {payload}",
        payload_type.len(),
        payload.len()
    );
    json!({
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": ""}},
        "dsseEnvelope": {
            "payload": STANDARD.encode(payload),
            "payloadType": payload_type,
            "signatures": [{"sig": STANDARD.encode(key.signature(encoded.as_bytes()))}],
        },
    })
}

/// The reason, or none if it is signed.
fn answer(key: &Key, bundle: &Value) -> Option<Reason> {
    let policy = trusting(&[key], 1);
    let examination = examine_image(&policy, &bundle.to_string(), &digest(), now());
    let reason = examination.attempts.first().map(|attempt| attempt.reason);
    assert_eq!(reason.is_none(), examination.signers.len() == 1);
    reason
}

#[test]
fn an_image_is_signed_by_a_statement_that_says_so() {
    for key in [p256(), rsa2048()] {
        let good = bundle(&key, PAYLOAD_TYPE, &statement().to_string());
        assert_eq!(answer(&key, &good), None);
        assert_eq!(answer(&p256(), &good), Some(Reason::UntrustedKey));
    }
}

#[test]
fn any_other_statement_by_the_same_key_is_none() {
    let key = p256();
    type Change = fn(&mut Value);
    let changes: [(&str, Reason, Change); 8] = [
        ("an SBOM", Reason::WrongPredicate, |s| {
            s["predicateType"] = json!("https://spdx.dev/Document");
        }),
        ("a failed scan", Reason::WrongPredicate, |s| {
            s["predicateType"] = json!("https://cosign.sigstore.dev/attestation/vuln/v1");
        }),
        ("nearly", Reason::WrongPredicate, |s| {
            s["predicateType"] = json!("https://sigstore.dev/cosign/sign/v1/");
        }),
        ("an old statement", Reason::WrongPredicate, |s| {
            s["_type"] = json!("https://in-toto.io/Statement/v0.1");
        }),
        ("another image", Reason::SubjectMismatch, |s| {
            s["subject"][0]["digest"]["sha256"] = json!("0".repeat(64));
        }),
        ("two images", Reason::SubjectMismatch, |s| {
            let one = s["subject"][0].clone();
            s["subject"] = json!([one.clone(), one]);
        }),
        ("no image", Reason::SubjectMismatch, |s| {
            s["subject"] = json!([])
        }),
        ("no statement", Reason::MalformedBundle, |s| {
            *s = json!("signed")
        }),
    ];
    for (what, reason, change) in changes {
        let mut changed = statement();
        change(&mut changed);
        let bundle = bundle(&key, PAYLOAD_TYPE, &changed.to_string());
        assert_eq!(answer(&key, &bundle), Some(reason), "{what}");
    }
    let twice = statement()
        .to_string()
        .replacen('{', r#"{"predicateType":"x","#, 1);
    assert_eq!(
        answer(&key, &bundle(&key, PAYLOAD_TYPE, &twice)),
        Some(Reason::MalformedBundle)
    );
}

#[test]
fn the_envelope_is_one_signature_over_one_statement() {
    let key = p256();
    let text = statement().to_string();
    let other_type = bundle(&key, "application/json", &text);
    assert_eq!(answer(&key, &other_type), Some(Reason::UnsupportedBundle));
    let good = bundle(&key, PAYLOAD_TYPE, &text);
    let mut two = good.clone();
    let signature = good["dsseEnvelope"]["signatures"][0].clone();
    two["dsseEnvelope"]["signatures"] = json!([signature.clone(), signature]);
    assert_eq!(answer(&key, &two), Some(Reason::MalformedBundle));
    let mut none = good.clone();
    none["dsseEnvelope"]["signatures"] = json!([]);
    assert_eq!(answer(&key, &none), Some(Reason::MalformedBundle));
    // The signature belongs to another statement.
    let mut swapped = good.clone();
    let mut other = statement();
    other["predicate"] = json!({"more": 1});
    swapped["dsseEnvelope"]["payload"] = json!(STANDARD.encode(other.to_string()));
    assert_eq!(answer(&key, &swapped), Some(Reason::UntrustedKey));
    // A signature over plain bytes says nothing about an image, even over these.
    let blob = key.bundle(&bytes(&document()));
    assert_eq!(answer(&key, &blob), Some(Reason::UnsupportedBundle));
    let mut plain = good;
    plain["dsseEnvelope"]["signatures"][0]["sig"] =
        json!(STANDARD.encode(key.signature(text.as_bytes())));
    assert_eq!(answer(&key, &plain), Some(Reason::UntrustedKey));
}
