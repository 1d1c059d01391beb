//! Forms of a bundle that are not accepted: older, other, ambiguous, too large.

use neuralops::domain::{reason::Reason, trust::LARGEST_BUNDLES};
use serde_json::{Value, json};

use crate::made::{MEDIA_TYPE, bytes, check, document, p256, refused, trusting};

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn every_other_form_is_refused_and_the_right_one_is_named() {
    let key = p256();
    let policies = [trusting(&[&key], 1)];
    let good = key.bundle(&bytes(&document()));
    type Change = fn(&mut Value);
    let changes: [(&str, Reason, Change); 24] = [
        ("v0.1", Reason::UnsupportedBundle, |b| {
            b["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.1");
        }),
        ("v0.2", Reason::UnsupportedBundle, |b| {
            b["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.2");
        }),
        ("the old word for v0.3", Reason::UnsupportedBundle, |b| {
            b["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.3");
        }),
        ("another type", Reason::UnsupportedBundle, |b| {
            b["mediaType"] = json!("text/plain")
        }),
        ("a type that is no text", Reason::UnsupportedBundle, |b| {
            b["mediaType"] = json!(3)
        }),
        ("no type", Reason::UnsupportedBundle, |b| {
            remove(b, "mediaType")
        }),
        ("legacy", Reason::UnsupportedBundle, |b| {
            *b = json!({"base64Signature": "MEUC", "cert": "", "rekorBundle": {}});
        }),
        ("legacy beside", Reason::UnsupportedBundle, |b| {
            b["rekorBundle"] = json!({})
        }),
        ("an attestation", Reason::UnsupportedBundle, |b| {
            remove(b, "messageSignature");
            b["dsseEnvelope"] = json!({"payload": "", "payloadType": "x", "signatures": []});
        }),
        ("a chain", Reason::UnsupportedBundle, |b| {
            b["verificationMaterial"] = json!({"x509CertificateChain": {"certificates": []}});
        }),
        ("two contents", Reason::MalformedBundle, |b| {
            b["dsseEnvelope"] = json!({})
        }),
        ("no content", Reason::MalformedBundle, |b| {
            remove(b, "messageSignature")
        }),
        ("no material", Reason::MalformedBundle, |b| {
            remove(b, "verificationMaterial")
        }),
        ("key and certificate", Reason::MalformedBundle, |b| {
            b["verificationMaterial"]["certificate"] = json!({"rawBytes": ""});
        }),
        ("neither", Reason::MalformedBundle, |b| {
            b["verificationMaterial"] = json!({})
        }),
        ("an unknown field", Reason::MalformedBundle, |b| {
            b["more"] = json!(1)
        }),
        ("unknown material", Reason::MalformedBundle, |b| {
            b["verificationMaterial"]["more"] = json!(1);
        }),
        (
            "an unknown field of the signature",
            Reason::MalformedBundle,
            |b| {
                b["messageSignature"]["messagedigest"] = json!({});
            },
        ),
        (
            "an unknown field of the digest",
            Reason::MalformedBundle,
            |b| {
                b["messageSignature"]["messageDigest"]["more"] = json!(1);
            },
        ),
        ("no signature", Reason::MalformedBundle, |b| {
            remove(&mut b["messageSignature"], "signature")
        }),
        (
            "a signature that is no base64",
            Reason::MalformedBundle,
            |b| {
                b["messageSignature"]["signature"] = json!("***");
            },
        ),
        ("an unknown hash", Reason::MalformedBundle, |b| {
            b["messageSignature"]["messageDigest"]["algorithm"] = json!("MD5");
        }),
        ("a list", Reason::MalformedBundle, |b| {
            *b = json!([b.clone()])
        }),
        ("null", Reason::MalformedBundle, |b| *b = json!(null)),
    ];
    for (what, reason, change) in changes {
        let mut changed = good.clone();
        change(&mut changed);
        assert_eq!(
            refused(&document(), &[&changed], &policies),
            reason,
            "{what}"
        );
        if reason == Reason::UnsupportedBundle {
            let refusal = check(&document(), &[&changed], &policies)
                .unwrap_err()
                .to_string();
            assert!(
                refusal.contains("sign-blob") || refusal.contains(MEDIA_TYPE),
                "{refusal}"
            );
        }
    }
}

fn remove(object: &mut Value, field: &str) {
    object.as_object_mut().unwrap().remove(field).unwrap();
}

#[test]
fn no_key_may_stand_twice() {
    let (good, evil) = (p256(), p256());
    let message = bytes(&document());
    let text = good.bundle(&message).to_string();
    let other = evil.bundle(&message)["messageSignature"].to_string();
    let twice = text.replacen('{', &format!(r#"{{"messageSignature":{other},"#), 1);
    // Whoever's signature a reader would take: neither order is accepted, under either key.
    for key in [&good, &evil] {
        let policies = [trusting(&[key], 1)];
        assert_eq!(
            refused(&document(), &[&twice], &policies),
            Reason::MalformedBundle
        );
    }
}

#[test]
fn size_and_depth_have_limits() {
    let key = p256();
    let policies = [trusting(&[&key], 1)];
    let mut huge = key.bundle(&bytes(&document()));
    huge["verificationMaterial"]["publicKey"]["hint"] = json!("a".repeat(LARGEST_BUNDLES));
    assert_eq!(
        refused(&document(), &[huge], &policies),
        Reason::MalformedBundle
    );
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let deep_object = r#"{"a":"#.repeat(8_000);
    for text in [
        deep,
        deep_object,
        "x".repeat(40_000),
        "\u{0}".into(),
        String::new(),
    ] {
        assert_eq!(
            refused(&document(), &[text], &policies),
            Reason::MalformedBundle
        );
    }
    // Each small enough, together too large.
    let half = "a".repeat(LARGEST_BUNDLES / 2 + 1);
    assert_eq!(
        refused(&document(), &[&half, &half], &policies),
        Reason::MalformedBundle
    );
}
