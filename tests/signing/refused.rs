//! Every other byte, name, namespace, revision and signer is refused, each with its own reason.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use neuralops::domain::{
    document::{Document, Scope},
    reason::Reason,
    trust::{Signer, verify_playbook},
};
use serde_json::{Value, json};

use crate::made::{
    Maps, annotations, bytes, check, document, now, p256, policy, policy_with, refused, trusting,
};

#[test]
fn another_document_under_the_same_bundle_is_refused() {
    let key = p256();
    let bundle = [key.product(&bytes(&document()))];
    let policies = [trusting(&[&key], 1)];
    assert!(check(&document(), &bundle, &policies).is_ok());
    type Change = fn(&mut Document);
    let changes: [(&str, Change); 9] = [
        ("name", |d| d.name = "restart2".into()),
        ("namespace", |d| d.namespace = "other".into()),
        ("version of the API", |d| {
            d.api_version = "neuralops.io/v1".into()
        }),
        ("revision", |d| d.spec["revision"] = json!(15)),
        ("account", |d| d.spec["serviceAccountName"] = json!("admin")),
        ("a field that somebody added", |d| {
            d.spec["added"] = json!(true)
        }),
        ("a step taken away", |d| d.spec["steps"] = json!([])),
        ("one letter", |d| {
            d.spec["steps"][0]["notify"]["message"] = json!("Grüsse")
        }),
        ("a type", |d| d.spec["revision"] = json!("14")),
    ];
    for (what, change) in changes {
        let mut changed = document();
        change(&mut changed);
        assert_eq!(
            refused(&changed, &bundle, &policies),
            Reason::DigestMismatch,
            "{what}"
        );
        // The same without the digest that the bundle declares, which anybody can take out.
        let mut bare: Value = serde_json::from_str(&bundle[0]).unwrap();
        bare["messageSignature"]
            .as_object_mut()
            .unwrap()
            .remove("messageDigest");
        assert!(check(&document(), &[&bare], &policies).is_ok());
        assert_eq!(
            refused(&changed, &[&bare], &policies),
            Reason::UntrustedKey,
            "{what}"
        );
    }
}

#[test]
fn a_declared_digest_is_no_proof() {
    let key = p256();
    let mut changed = document();
    changed.spec["revision"] = json!(15);
    let mut forged = key.bundle(&bytes(&document()));
    forged["messageSignature"]["messageDigest"] =
        key.bundle(&bytes(&changed))["messageSignature"]["messageDigest"].clone();
    assert_eq!(
        refused(&changed, &[forged], &[trusting(&[&key], 1)]),
        Reason::UntrustedKey
    );
}

#[test]
fn bytes_that_are_not_canonical_are_other_bytes() {
    let key = p256();
    let canonical: Value = serde_json::from_slice(&bytes(&document())).unwrap();
    let pretty = serde_json::to_vec_pretty(&canonical).unwrap();
    let text = String::from_utf8(bytes(&document())).unwrap();
    // The same values in another order of keys, and with the newline that editors add.
    let reordered = format!(
        r#"{{"kind":"Playbook","apiVersion":"neuralops.io/v1alpha1",{}"#,
        text.split_once(r#""kind":"Playbook","#).unwrap().1
    );
    assert_eq!(
        serde_json::from_str::<Value>(&reordered).unwrap(),
        canonical
    );
    for message in [
        pretty,
        reordered.into_bytes(),
        format!("{text}\n").into_bytes(),
    ] {
        let policies = [trusting(&[&key], 1)];
        let bundle = [key.product(&message)];
        assert_eq!(
            refused(&document(), &bundle, &policies),
            Reason::DigestMismatch
        );
    }
}

#[test]
fn the_order_of_keys_in_a_bundle_does_not_matter() {
    let key = p256();
    let bundle = key.bundle(&bytes(&document()));
    let reversed = format!(
        r#"{{"verificationMaterial":{},"messageSignature":{},"mediaType":{}}}"#,
        bundle["verificationMaterial"], bundle["messageSignature"], bundle["mediaType"]
    );
    assert!(check(&document(), &[reversed], &[trusting(&[&key], 1)]).is_ok());
}

#[test]
fn two_signers_are_two_keys() {
    let (a, b) = (p256(), p256());
    let message = bytes(&document());
    let two = trusting(&[&a, &b], 2);
    let policies = [two];
    assert!(
        check(
            &document(),
            &[a.product(&message), b.product(&message)],
            &policies
        )
        .is_ok()
    );
    // One key, two different signatures.
    let same = [a.product(&message), a.product(&message)];
    assert_ne!(same[0], same[1]);
    assert_eq!(
        refused(&document(), &same, &policies),
        Reason::TooFewSigners
    );
    // One key under two names.
    let named_twice = [trusting(&[&a, &a], 2)];
    assert_eq!(
        refused(&document(), &same, &named_twice),
        Reason::TooFewSigners
    );
    assert_eq!(
        refused(&document(), &same[..1], &policies),
        Reason::TooFewSigners
    );
    // Two people who signed different documents.
    let other = Document {
        name: "other".into(),
        ..document()
    };
    let mixed = [a.product(&message), b.product(&bytes(&other))];
    assert_eq!(
        refused(&document(), &mixed, &policies),
        Reason::TooFewSigners
    );
}

#[test]
fn a_bad_bundle_beside_a_good_one_does_no_harm() {
    let (a, b) = (p256(), p256());
    let message = bytes(&document());
    let bundles = ["{".to_owned(), b.product(&message), a.product(&message)];
    let verified = check(&document(), &bundles, &[trusting(&[&a], 1)]).unwrap();
    assert!(matches!(&verified.signers()[..], [Signer::Key { name, .. }] if name == "key-0"));
}

#[test]
fn a_key_has_an_end() {
    let key = p256();
    let spec = json!({"keys": [{"name": "k", "publicKey": key.public, "notAfter": "2026-12-01T00:00:00Z"}]});
    let policies = [policy(spec)];
    let bundle = annotations(&[key.product(&bytes(&document()))]);
    let at = |time: &str| {
        let now: Timestamp = time.parse().unwrap();
        verify_playbook(&document(), &bundle, &policies, None, now)
    };
    assert!(at("2026-12-01T00:00:00Z").is_ok());
    let refusal = at("2026-12-01T00:00:01Z").unwrap_err();
    assert_eq!(refusal.reason, Reason::UntrustedKey);
    assert!(
        refusal
            .to_string()
            .contains("not trusted after 2026-12-01T00:00:00Z"),
        "{refusal}"
    );
}

#[test]
fn every_policy_about_the_namespace_must_be_satisfied() {
    let (a, b) = (p256(), p256());
    let message = bytes(&document());
    let named = |key: &crate::made::Key, namespace: &str| {
        policy(json!({
            "keys": [{"name": "k", "publicKey": key.public}],
            "match": {"namespaces": [namespace]},
        }))
    };
    let by_a = [a.product(&message)];
    assert!(check(&document(), &by_a, &[named(&a, "sh*"), named(&b, "other")]).is_ok());
    assert_eq!(
        refused(&document(), &by_a, &[named(&a, "sh*"), named(&b, "shop")]),
        Reason::UntrustedKey
    );
    assert_eq!(
        refused(&document(), &by_a, &[named(&a, "other")]),
        Reason::NoPolicy
    );
    let none: [String; 0] = [];
    assert_eq!(
        refused(&document(), &none, &[named(&a, "*")]),
        Reason::Unsigned
    );
}

#[test]
fn a_policy_that_lacks_something_refuses_whatever_is_left_of_it() {
    let key = p256();
    let bundle = [key.product(&bytes(&document()))];
    let good = json!({"name": "k", "publicKey": key.public});
    let reference = json!({"name": "keys", "key": "other.pub"});
    for (what, spec, reason) in [
        (
            "a ConfigMap",
            json!({"keys": [good, {"name": "l", "configMapRef": reference}]}),
            Reason::PolicyNotReady,
        ),
        (
            "a root",
            json!({"keys": [good], "trustedRoot": {"configMapRef": reference}}),
            Reason::PolicyNotReady,
        ),
        (
            "a root for its log",
            json!({"keys": [good], "transparencyLog": "Required"}),
            Reason::TrustRootInvalid,
        ),
        (
            "an expression that can be read",
            json!({"keys": [good], "keyless": [{"name": "i", "issuer": "https://i", "subjectRegex": "a)|(.*"}]}),
            Reason::PolicyNotReady,
        ),
        (
            "signers for its threshold",
            json!({"keys": [good], "threshold": 2}),
            Reason::PolicyNotReady,
        ),
        ("anybody", json!({}), Reason::PolicyNotReady),
    ] {
        assert_eq!(
            refused(&document(), &bundle, &[policy(spec)]),
            reason,
            "{what}"
        );
    }
    let by_map = json!({"keys": [{"name": "k", "configMapRef": reference}]});
    let maps = Maps([("keys/other.pub".to_owned(), key.public.clone())].into());
    assert!(check(&document(), &bundle, &[policy_with(by_map, &maps)]).is_ok());
}

#[test]
fn roots_that_hold_nothing_are_refused() {
    let key = p256();
    let bundle = [key.product(&bytes(&document()))];
    let empty = r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[],"certificateAuthorities":[],"ctlogs":[],"timestampAuthorities":[]}"#;
    let twice = r#"{"mediaType":"a","mediaType":"b"}"#;
    for text in ["", "{}", "nothing", empty, twice] {
        let maps = Maps([("root/json".to_owned(), text.to_owned())].into());
        let spec = json!({
            "keys": [{"name": "k", "publicKey": key.public}],
            "trustedRoot": {"configMapRef": {"name": "root", "key": "json"}},
            "transparencyLog": "IfPresent",
        });
        let policies = [policy_with(spec, &maps)];
        assert_eq!(
            refused(&document(), &bundle, &policies),
            Reason::TrustRootInvalid,
            "{text}"
        );
    }
}

#[test]
fn without_a_namespace_it_is_good_anywhere_and_the_answer_says_so() {
    let key = p256();
    let bundle = annotations(&[key.product(&document().canonical_in(Scope::Anywhere).unwrap())]);
    let policies = [trusting(&[&key], 1)];
    for namespace in ["shop", "other"] {
        let document = Document {
            namespace: namespace.into(),
            ..document()
        };
        let verified = verify_playbook(&document, &bundle, &policies, None, now()).unwrap();
        assert_eq!(verified.scope(), Scope::Anywhere);
        assert_eq!(verified.document(), &document);
    }
    let renamed = Document {
        name: "other".into(),
        ..document()
    };
    let refusal = verify_playbook(&renamed, &bundle, &policies, None, now()).unwrap_err();
    assert_eq!(refusal.reason, Reason::DigestMismatch);
}

#[test]
fn a_signature_without_a_bundle_is_told_what_it_lacks() {
    let key = p256();
    let signature = STANDARD.encode(key.signature(&bytes(&document())));
    let policies = [trusting(&[&key], 1)];
    for text in [signature.clone(), format!("{signature}\n")] {
        let refusal = check(&document(), &[text], &policies).unwrap_err();
        assert_eq!(refusal.reason, Reason::UnsupportedBundle);
        assert!(refusal.to_string().contains("cosign 3"), "{refusal}");
    }
    let broken = [&signature[1..]];
    assert_eq!(
        refused(&document(), &broken, &policies),
        Reason::MalformedBundle
    );
}
