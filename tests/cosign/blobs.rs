//! Playbooks signed as blobs: each form that cosign 3 writes, with keys and as identities.

use std::process::{Command, Stdio};

use neuralops::{
    adapters::verify::PreparedPolicy,
    domain::{
        reason::Reason,
        trust::{Examiner as _, verify_playbook},
    },
};
use serde_json::{Value, json};

use crate::{
    bed::{Signed, playbook, signed},
    desk::Desk,
    made::{Maps, annotations, bytes, now, policy_with},
};

/// A form of a signature.
pub struct Blob {
    pub name: &'static str,
    /// How cosign makes it; OUT is what is kept.
    pub sign: &'static str,
    /// How cosign verifies it, with OUT; none for what is refused here.
    verify: Option<&'static str>,
    /// The policy under which it is asked for, as `Signed::spec` reads it.
    policy: &'static str,
    /// Part of the signer's description, or the reason why it is refused.
    expected: Result<&'static str, Reason>,
}

const BY_KEY: &str = r#"{"keys": [{"name": "key"}]}"#;

pub const BLOBS: &[Blob] = &[
    Blob {
        name: "a key, air-gapped",
        sign: "sign-blob --yes --key key.key --signing-config empty_config.json --trusted-root empty_root.json --bundle OUT playbook.jcs",
        verify: Some("verify-blob --key key.pub --insecure-ignore-tlog --bundle OUT playbook.jcs"),
        policy: BY_KEY,
        expected: Ok("key \"key\""),
    },
    Blob {
        name: "a key, as docs/guides/signing.md says",
        sign: "sign-blob --yes --key key.key --use-signing-config=false --tlog-upload=false --bundle OUT playbook.jcs",
        verify: Some("verify-blob --key key.pub --insecure-ignore-tlog --bundle OUT playbook.jcs"),
        policy: BY_KEY,
        expected: Ok("key \"key\""),
    },
    Blob {
        name: "an imported P-384 key",
        sign: "sign-blob --yes --key p384.key --signing-config empty_config.json --trusted-root empty_root.json --bundle OUT playbook.jcs",
        verify: None, // cosign has trouble with its own here
        policy: r#"{"keys": [{"name": "p384"}]}"#,
        expected: Ok("key \"p384\""),
    },
    Blob {
        name: "an imported RSA key",
        sign: "sign-blob --yes --key rsa.key --signing-config empty_config.json --trusted-root empty_root.json --bundle OUT playbook.jcs",
        verify: Some("verify-blob --key rsa.pub --insecure-ignore-tlog --bundle OUT playbook.jcs"),
        policy: r#"{"keys": [{"name": "rsa"}]}"#,
        expected: Ok("key \"rsa\""),
    },
    Blob {
        name: "a key, in Rekor v2 and with a timestamp",
        sign: "sign-blob --yes --key key.key --signing-config signing_config.json --trusted-root trusted_root.json --bundle OUT playbook.jcs",
        verify: Some(
            "verify-blob --key key.pub --trusted-root trusted_root.json --bundle OUT playbook.jcs",
        ),
        policy: r#"{"keys": [{"name": "key"}], "transparencyLog": "Required", "trustedRoot": {}}"#,
        expected: Ok("key \"key\""),
    },
    Blob {
        name: "a mail address",
        sign: "sign-blob --yes --identity-token MAIL_TOKEN --signing-config signing_config.json --trusted-root trusted_root.json --bundle OUT playbook.jcs",
        verify: Some(
            "verify-blob --trusted-root trusted_root.json --certificate-identity alice@shop.example --certificate-oidc-issuer MAIL_ISSUER --bundle OUT playbook.jcs",
        ),
        policy: r#"{"keyless": [{"name": "a", "issuer": "mail", "subject": "alice@shop.example"}], "transparencyLog": "Required", "trustedRoot": {}}"#,
        expected: Ok("alice@shop.example"),
    },
    Blob {
        name: "a CI workflow",
        sign: "sign-blob --yes --identity-token WORKFLOW_TOKEN --signing-config signing_config.json --trusted-root trusted_root.json --bundle OUT playbook.jcs",
        verify: Some(
            "verify-blob --trusted-root trusted_root.json --certificate-identity https://github.com/shop/playbooks/.github/workflows/release.yaml@refs/heads/main --certificate-oidc-issuer WORKFLOW_ISSUER --bundle OUT playbook.jcs",
        ),
        policy: r#"{"keyless": [{"name": "release", "issuer": "workflow",
            "subject": "https://github.com/shop/playbooks/.github/workflows/release.yaml@refs/heads/main",
            "claims": {"repository": "shop/playbooks", "ref": "refs/heads/main"}}], "trustedRoot": {}}"#,
        expected: Ok("release.yaml@refs/heads/main"),
    },
    Blob {
        name: "a ServiceAccount",
        sign: "sign-blob --yes --identity-token ACCOUNT_TOKEN --signing-config signing_config.json --trusted-root trusted_root.json --bundle OUT playbook.jcs",
        verify: Some(
            "verify-blob --trusted-root trusted_root.json --certificate-identity https://kubernetes.io/namespaces/ci/serviceaccounts/signer --certificate-oidc-issuer ACCOUNT_ISSUER --bundle OUT playbook.jcs",
        ),
        policy: r#"{"keyless": [{"name": "signer", "issuer": "account",
            "subjectRegex": "https://kubernetes\\.io/namespaces/ci/serviceaccounts/[a-z]+"}], "trustedRoot": {}}"#,
        expected: Ok("serviceaccounts/signer"),
    },
    Blob {
        name: "the legacy bundle",
        sign: "sign-blob --yes --key key.key --new-bundle-format=false --use-signing-config=false --tlog-upload=false --bundle OUT playbook.jcs",
        verify: None,
        policy: BY_KEY,
        expected: Err(Reason::UnsupportedBundle),
    },
    Blob {
        name: "a bare signature",
        sign: "sign-blob --yes --key key.key --new-bundle-format=false --use-signing-config=false --tlog-upload=false --output-signature OUT playbook.jcs",
        verify: None,
        policy: BY_KEY,
        expected: Err(Reason::UnsupportedBundle),
    },
];

impl Signed {
    pub fn policy(&self, text: &str) -> PreparedPolicy {
        let maps = Maps([("root/json".to_owned(), self.root.clone())].into());
        policy_with(self.spec(text), &maps)
    }
}

#[test]
fn what_cosign_signs_verifies_here_or_is_refused_for_a_reason() {
    for blob in BLOBS {
        let bundle = [signed().blobs[blob.name].trim()];
        let policies = [signed().policy(blob.policy)];
        let judged = verify_playbook(&playbook(), &annotations(&bundle), &policies, None, now());
        match (judged, blob.expected) {
            (Ok(verified), Ok(part)) => {
                let signer = verified.signers()[0].to_string();
                assert!(signer.contains(part), "{}: {signer}", blob.name);
                assert_eq!(verified.notes(), Vec::<String>::new(), "{}", blob.name);
            }
            (Err(refusal), Err(reason)) => {
                assert_eq!(refusal.reason, reason, "{}: {refusal}", blob.name);
            }
            (Ok(_), Err(_)) => panic!("{}: trusted", blob.name),
            (Err(refusal), Ok(_)) => panic!("{}: {refusal}", blob.name),
        }
    }
}

#[test]
fn the_same_over_other_bytes_or_by_somebody_else_is_refused() {
    let mut other = playbook();
    other.spec["revision"] = json!(15);
    let somebody = r#"{"keys": [{"name": "second"}],
        "keyless": [{"name": "bob", "issuer": "mail", "subject": "bob@shop.example"}], "trustedRoot": {}}"#;
    for blob in BLOBS.iter().filter(|blob| blob.expected.is_ok()) {
        let bundle = annotations(&[&signed().blobs[blob.name]]);
        let policies = [signed().policy(blob.policy)];
        let refusal = verify_playbook(&other, &bundle, &policies, None, now()).unwrap_err();
        assert_eq!(refusal.reason, Reason::DigestMismatch, "{}", blob.name);
        let policies = [signed().policy(somebody)];
        let refusal = verify_playbook(&playbook(), &bundle, &policies, None, now()).unwrap_err();
        let expected = match blob.name {
            "a mail address" => Reason::IdentityMismatch,
            "a CI workflow" | "a ServiceAccount" => Reason::IssuerMismatch,
            _ => Reason::UntrustedKey,
        };
        assert_eq!(refusal.reason, expected, "{}: {refusal}", blob.name);
    }
}

/// A folder with everything that `playbook verify` and `cosign verify-blob` read, under the names of the commands.
fn lay_out(desk: &mut Desk) {
    desk.write("playbook.jcs", bytes(&playbook()));
    desk.write("trusted_root.json", &signed().root);
    for (name, public) in &signed().keys {
        desk.write(&format!("{name}.pub"), public);
    }
    for kind in ["mail", "workflow", "account"] {
        let word = format!("{}_ISSUER", kind.to_uppercase());
        desk.say(&word, format!("{}/{kind}", signed().issuers));
    }
    let root =
        json!({"kind": "ConfigMap", "metadata": {"name": "root"}, "data": {"json": signed().root}});
    desk.write("root.json", root.to_string());
}

#[test]
fn the_command_says_the_same_and_cosign_agrees() {
    let mut desk = Desk::new();
    lay_out(&mut desk);
    for blob in BLOBS {
        desk.write("OUT", signed().blobs[blob.name].as_bytes());
        let policy = json!({
            "apiVersion": "neuralops.io/v1alpha1",
            "kind": "TrustPolicy",
            "metadata": {"name": "p"},
            "spec": signed().spec(blob.policy),
        });
        desk.write("policy.json", policy.to_string());
        let line = "playbook verify -f playbook.jcs --bundle OUT --policy policy.json --config-map root.json";
        let output = Command::new(env!("CARGO_BIN_EXE_neuralops"))
            .args(line.split(' '))
            .current_dir(desk.path(""))
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        match blob.expected {
            Ok(part) => {
                let answer = String::from_utf8(output.stdout).unwrap();
                assert!(answer.contains(part), "{}: {answer}{said}", blob.name);
            }
            Err(reason) => {
                assert!(!output.status.success(), "{}", blob.name);
                assert!(said.contains(reason.as_str()), "{}: {said}", blob.name);
            }
        }
        if let Some(line) = blob.verify {
            desk.good(line);
        }
    }
}

/// cosign 3.1 imports such a key and then cannot sign with it; a policy that names one is not used in the first place.
#[test]
fn ed25519_ends_before_anything_is_signed() {
    let desk = Desk::new();
    let words = "genpkey -algorithm ED25519 -out ed25519.pem".split(' ');
    desk.run("openssl", words.map(ToOwned::to_owned)).unwrap();
    desk.good("import-key-pair --key ed25519.pem --output-key-prefix ed25519");
    let public = desk.read("ed25519.pub");
    let policy = policy_with(
        json!({"keys": [{"name": "k", "publicKey": public}]}),
        &Maps::default(),
    );
    assert_eq!(policy.problems()[0].reason, Reason::PolicyNotReady);
    let refused =
        verify_playbook(&playbook(), &annotations(&["{}"]), &[policy], None, now()).unwrap_err();
    assert!(refused.to_string().contains("Ed25519"), "{refused}");
}

#[test]
fn an_air_gapped_bundle_names_no_service() {
    let bundle: Value = serde_json::from_str(&signed().blobs["a key, air-gapped"]).unwrap();
    let material = bundle["verificationMaterial"].as_object().unwrap();
    let names: Vec<&str> = material.keys().map(String::as_str).collect();
    assert_eq!(names, ["publicKey"]);
    let logged = &signed().blobs["a key, in Rekor v2 and with a timestamp"];
    assert!(logged.contains("rfc3161Timestamps") && logged.contains("inclusionProof"));
}
