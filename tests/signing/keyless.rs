//! Bundles of the real cosign with the real public services, verified here without any of them; then everything about
//! bundle, root and policy altered.

use jiff::Timestamp;
use neuralops::{
    adapters::verify::PreparedPolicy,
    domain::{
        reason::Reason,
        trust::{Examination, Examiner as _, Signer},
    },
};
use serde_json::{Value, json};

use crate::made::{Maps, now, p256, policy_with};

macro_rules! data {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/signing/data/",
            $name
        ))
    };
}

const BUNDLE: &str = data!("cosign-v3-keyless.sigstore.json");
const BLOB: &str = data!("cosign-v3-keyless.txt");
const ISSUER: &str = "https://github.com/login/oauth";
/// Whoever it was has a mail address; which one is not repeated here.
const SUBJECT: &str = "[a-z0-9.]+@gmail\\.com";
const ROOT: &str = data!("public-good-root.json");

const KEY_BUNDLE: &str = data!("managed-key.sigstore.json");
const KEY_BLOB: &str = data!("managed-key.txt");
const KEY: &str = data!("managed-key.pub");

fn with_root(mut spec: Value, root: &str) -> PreparedPolicy {
    spec["trustedRoot"] = json!({"configMapRef": {"name": "root", "key": "json"}});
    let maps = Maps([("root/json".to_owned(), root.to_owned())].into());
    policy_with(spec, &maps)
}

fn keyless(issuer: &str, subject: &str) -> Value {
    json!({"keyless": [{"name": "someone", "issuer": issuer, "subjectRegex": subject}]})
}

fn examine(policy: &PreparedPolicy, bundle: &str, blob: &str) -> Examination {
    assert_eq!(policy.problems(), []);
    policy.examine(bundle, blob.as_bytes(), now())
}

/// The one reason why nobody signed.
fn reason(policy: &PreparedPolicy, bundle: &Value, blob: &str) -> Reason {
    let examination = examine(policy, &bundle.to_string(), blob);
    assert_eq!(examination.signers, []);
    assert_eq!(examination.attempts.len(), 1, "{examination:?}");
    examination.attempts[0].reason
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_keyless_bundle_of_cosign_3_verifies_offline() {
    let policy = with_root(keyless(ISSUER, SUBJECT), ROOT);
    let examination = examine(&policy, BUNDLE, BLOB);
    let [
        Signer::Identity {
            issuer,
            subject,
            name,
        },
    ] = &examination.signers[..]
    else {
        panic!("{examination:?}");
    };
    assert_eq!((issuer.as_str(), name.as_str()), (ISSUER, "someone"));
    // The same identity, exactly.
    let exact = json!({"keyless": [{"name": "someone", "issuer": ISSUER, "subject": subject}]});
    assert_eq!(
        examine(&with_root(exact, ROOT), BUNDLE, BLOB).signers.len(),
        1
    );
    let required = json!({
        "keyless": [{"name": "someone", "issuer": ISSUER, "subject": subject}],
        "transparencyLog": "Required",
    });
    assert_eq!(
        examine(&with_root(required, ROOT), BUNDLE, BLOB)
            .signers
            .len(),
        1
    );
}

#[test]
fn a_rekor_v2_bundle_with_a_timestamp_verifies_offline() {
    let bundle = data!("staging-rekor-v2.txt.sigstore.json");
    let blob = data!("staging-rekor-v2.txt");
    let anybody =
        json!({"keyless": [{"name": "a", "issuer": "https://issuer.example", "subject": "a"}]});
    // Everything but the identity is right, and the attempt says whose it is.
    let examination = examine(
        &with_root(anybody, data!("staging-root.json")),
        bundle,
        blob,
    );
    assert_eq!(
        examination.attempts[0].reason,
        Reason::IssuerMismatch,
        "{examination:?}"
    );
    let message = &examination.attempts[0].message;
    let issuer = message.rsplit('"').nth(1).unwrap();
    let theirs = with_root(keyless(issuer, ".*"), data!("staging-root.json"));
    assert_eq!(examine(&theirs, bundle, blob).signers.len(), 1);
    assert_ne!(
        reason(&theirs, &parsed(bundle), "other"),
        Reason::IssuerMismatch
    );
    let public = with_root(keyless(issuer, ".*"), ROOT);
    assert_eq!(
        reason(&public, &parsed(bundle), blob),
        Reason::TimestampInvalid
    );
}

#[test]
fn other_identities_are_refused() {
    for (issuer, subject, expected) in [
        (
            "https://accounts.google.com",
            SUBJECT,
            Reason::IssuerMismatch,
        ),
        (
            "https://github.com/login/oauth/",
            SUBJECT,
            Reason::IssuerMismatch,
        ),
        (ISSUER, "nobody@gmail\\.com", Reason::IdentityMismatch),
        // Part of the subject, which an expression without anchors would find.
        (ISSUER, "gmail", Reason::IdentityMismatch),
        (ISSUER, "@gmail\\.com", Reason::IdentityMismatch),
        (ISSUER, "[a-z0-9.]+@gmail", Reason::IdentityMismatch),
    ] {
        let policy = with_root(keyless(issuer, subject), ROOT);
        assert_eq!(
            reason(&policy, &parsed(BUNDLE), BLOB),
            expected,
            "{issuer} {subject}"
        );
    }
    let claims = json!({"keyless": [{
        "name": "ci", "issuer": ISSUER, "subjectRegex": SUBJECT, "claims": {"repository": "a/b"},
    }]});
    assert_eq!(
        reason(&with_root(claims, ROOT), &parsed(BUNDLE), BLOB),
        Reason::IdentityMismatch
    );
    let key = json!({"keys": [{"name": "k", "publicKey": p256().public}]});
    assert_eq!(
        reason(&with_root(key, ROOT), &parsed(BUNDLE), BLOB),
        Reason::UntrustedKey
    );
}

/// Flips one bit in the middle of a base64 text.
fn flip(value: &mut Value) {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    *value = json!(STANDARD.encode(bytes));
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn an_altered_keyless_bundle_is_refused() {
    type Change = fn(&mut Value);
    let material = "verificationMaterial";
    let changes: [(&str, &[Reason], Change); 13] = [
        (
            "signature",
            &[Reason::UntrustedKey, Reason::TimestampInvalid],
            |b| {
                flip(&mut b["messageSignature"]["signature"]);
            },
        ),
        ("digest", &[Reason::DigestMismatch], |b| {
            flip(&mut b["messageSignature"]["messageDigest"]["digest"]);
        }),
        (
            "certificate",
            &[Reason::CertificateInvalid, Reason::MalformedBundle],
            |b| {
                flip(&mut b["verificationMaterial"]["certificate"]["rawBytes"]);
            },
        ),
        ("timestamp", &[Reason::TimestampInvalid], |b| {
            let data = &mut b["verificationMaterial"]["timestampVerificationData"];
            flip(&mut data["rfc3161Timestamps"][0]["signedTimestamp"]);
        }),
        ("promise", &[Reason::LogInvalid], |b| {
            flip(&mut entry(b)["inclusionPromise"]["signedEntryTimestamp"]);
        }),
        ("time of the entry", &[Reason::LogInvalid], |b| {
            entry(b)["integratedTime"] = json!("1764787004");
        }),
        ("proof", &[Reason::LogInvalid], |b| {
            flip(&mut entry(b)["inclusionProof"]["hashes"][3])
        }),
        (
            "root of the proof",
            &[Reason::LogInvalid, Reason::MalformedBundle],
            |b| {
                flip(&mut entry(b)["inclusionProof"]["rootHash"]);
            },
        ),
        ("place in the log", &[Reason::LogInvalid], |b| {
            entry(b)["inclusionProof"]["logIndex"] = json!("616408485");
        }),
        (
            "body of the entry",
            &[Reason::LogInvalid, Reason::MalformedBundle],
            |b| {
                flip(&mut entry(b)["canonicalizedBody"]);
            },
        ),
        (
            "checkpoint",
            &[Reason::LogInvalid, Reason::MalformedBundle],
            |b| {
                let place = &mut entry(b)["inclusionProof"]["checkpoint"]["envelope"];
                *place = json!(
                    place
                        .as_str()
                        .unwrap()
                        .replace("rekor.sigstore.dev wNI9aj", "rekor.sigstore.dev wNI9ak")
                );
            },
        ),
        ("no proof", &[Reason::LogMissing], |b| {
            entry(b)
                .as_object_mut()
                .unwrap()
                .remove("inclusionProof")
                .unwrap();
        }),
        ("another log", &[Reason::LogUnknown], |b| {
            flip(&mut entry(b)["logId"]["keyId"]);
            b["verificationMaterial"]
                .as_object_mut()
                .unwrap()
                .remove("timestampVerificationData");
        }),
    ];
    let policy = with_root(keyless(ISSUER, SUBJECT), ROOT);
    for (what, expected, change) in changes {
        let mut changed = parsed(BUNDLE);
        change(&mut changed);
        assert_ne!(changed, parsed(BUNDLE), "{what}");
        let found = reason(&policy, &changed, BLOB);
        assert!(expected.contains(&found), "{what}: {found}");
    }
    assert!(parsed(BUNDLE).get(material).is_some());
    let other = reason(&policy, &parsed(BUNDLE), "other bytes");
    assert_eq!(other, Reason::DigestMismatch);
}

fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

#[test]
fn the_way_around_the_proof_by_an_older_media_type_is_closed() {
    let mut bundle = parsed(BUNDLE);
    bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.1");
    entry(&mut bundle)
        .as_object_mut()
        .unwrap()
        .remove("inclusionProof")
        .unwrap();
    let policy = with_root(keyless(ISSUER, SUBJECT), ROOT);
    assert_eq!(reason(&policy, &bundle, BLOB), Reason::UnsupportedBundle);
}

#[test]
fn an_identity_needs_a_witness_of_the_time() {
    let policy = with_root(keyless(ISSUER, SUBJECT), ROOT);
    let mut neither = parsed(BUNDLE);
    let material = neither["verificationMaterial"].as_object_mut().unwrap();
    material.remove("timestampVerificationData").unwrap();
    material["tlogEntries"] = json!([]);
    assert_eq!(reason(&policy, &neither, BLOB), Reason::LogMissing);
    // A timestamp alone is one, unless the policy asks for the log.
    let mut stamped = parsed(BUNDLE);
    stamped["verificationMaterial"]["tlogEntries"] = json!([]);
    assert_eq!(
        examine(&policy, &stamped.to_string(), BLOB).signers.len(),
        1
    );
    let mut required = keyless(ISSUER, SUBJECT);
    required["transparencyLog"] = json!("Required");
    assert_eq!(
        reason(&with_root(required, ROOT), &stamped, BLOB),
        Reason::LogMissing
    );
}

#[test]
fn another_root_trusts_nothing_of_it() {
    let without = |part: &str| {
        let mut root = parsed(ROOT);
        root[part] = json!([]);
        root.to_string()
    };
    for (root, expected) in [
        (without("ctlogs"), Reason::TrustRootInvalid),
        (data!("staging-root.json").to_owned(), Reason::LogUnknown),
    ] {
        let policy = with_root(keyless(ISSUER, SUBJECT), &root);
        let mut bundle = parsed(BUNDLE);
        if expected == Reason::LogUnknown {
            bundle["verificationMaterial"]
                .as_object_mut()
                .unwrap()
                .remove("timestampVerificationData");
        }
        assert_eq!(reason(&policy, &bundle, BLOB), expected);
    }
    let policy = with_root(keyless(ISSUER, SUBJECT), &without("certificateAuthorities"));
    assert_eq!(policy.problems()[0].reason, Reason::TrustRootInvalid);
    // Without timestamp authorities the log is witness enough.
    let policy = with_root(keyless(ISSUER, SUBJECT), &without("timestampAuthorities"));
    assert_eq!(examine(&policy, BUNDLE, BLOB).signers.len(), 1);
}

fn by_key(log: &str, root: &str) -> PreparedPolicy {
    with_root(
        json!({"keys": [{"name": "k", "publicKey": KEY}], "transparencyLog": log}),
        root,
    )
}

#[test]
fn a_key_with_cosigns_defaults_verifies_under_each_rule_about_the_log() {
    for log in ["Ignore", "IfPresent", "Required"] {
        let examination = examine(&by_key(log, ROOT), KEY_BUNDLE, KEY_BLOB);
        assert_eq!(examination.signers.len(), 1, "{log}: {examination:?}");
    }
    // A root that does not know the public log: ignored, noted, refused.
    let staging = data!("staging-root.json");
    let ignored = examine(&by_key("Ignore", staging), KEY_BUNDLE, KEY_BLOB);
    assert_eq!((ignored.signers.len(), ignored.notes.len()), (1, 0));
    let noted = examine(&by_key("IfPresent", staging), KEY_BUNDLE, KEY_BLOB);
    assert_eq!(
        (noted.signers.len(), noted.notes.len()),
        (1, 1),
        "{noted:?}"
    );
    let required = by_key("Required", staging);
    assert_eq!(
        reason(&required, &parsed(KEY_BUNDLE), KEY_BLOB),
        Reason::LogUnknown
    );
}

#[test]
fn an_altered_log_entry_matters_where_the_policy_asks_for_it() {
    let mut altered = parsed(KEY_BUNDLE);
    flip(&mut entry(&mut altered)["inclusionProof"]["hashes"][0]);
    for log in ["IfPresent", "Required"] {
        assert_eq!(
            reason(&by_key(log, ROOT), &altered, KEY_BLOB),
            Reason::LogInvalid,
            "{log}"
        );
    }
    let ignored = examine(&by_key("Ignore", ROOT), &altered.to_string(), KEY_BLOB);
    assert_eq!(ignored.signers.len(), 1);
    let mut bare = parsed(KEY_BUNDLE);
    bare["verificationMaterial"]
        .as_object_mut()
        .unwrap()
        .remove("tlogEntries");
    assert_eq!(
        reason(&by_key("Required", ROOT), &bare, KEY_BLOB),
        Reason::LogMissing
    );
    assert_eq!(
        examine(&by_key("IfPresent", ROOT), &bare.to_string(), KEY_BLOB)
            .signers
            .len(),
        1
    );
}

#[test]
fn a_log_entry_of_another_signature_proves_nothing() {
    let mut borrowed = parsed(KEY_BUNDLE);
    borrowed["verificationMaterial"]["tlogEntries"] =
        parsed(BUNDLE)["verificationMaterial"]["tlogEntries"].clone();
    let found = reason(&by_key("Required", ROOT), &borrowed, KEY_BLOB);
    assert!(
        matches!(found, Reason::LogInvalid | Reason::MalformedBundle),
        "{found}"
    );
}

#[test]
fn the_moment_of_the_question_does_not_end_an_identity() {
    let policy = with_root(keyless(ISSUER, SUBJECT), ROOT);
    let later: Timestamp = "2040-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(
        policy.examine(BUNDLE, BLOB.as_bytes(), later).signers.len(),
        1
    );
}
