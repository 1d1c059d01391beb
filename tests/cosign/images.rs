//! Images in registries of four kinds, signed in every form that cosign 3 writes, read back and verified.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use neuralops::{
    adapters::verify::examine_image,
    domain::{digest::Digest, reason::Reason},
};
use serde_json::{Value, json};

use crate::{
    bed::{Signed, signed},
    desk::{Desk, program},
    made::{MEDIA_TYPE, now},
    registry::{self, Found},
};

/// Debian's, which has no referrers API, and the three ways of the small one.
const REGISTRIES: [&str; 4] = ["debian", "spec", "quirk", "off"];

/// A form of a signature. Each has a repository of its own, named after it.
struct Form {
    name: &'static str,
    /// How cosign makes it; REF is the image.
    sign: &'static str,
    /// How cosign verifies it.
    verify: Option<&'static str>,
    policy: &'static str,
    expected: Result<&'static str, Reason>,
}

const BY_KEY: &str = r#"{"keys": [{"name": "key"}]}"#;

static FORMS: [Form; 8] = [
    Form {
        name: "key",
        sign: "sign --yes --key key.key --signing-config empty_config.json --trusted-root empty_root.json --allow-http-registry REF",
        verify: Some("verify --key key.pub --insecure-ignore-tlog --allow-http-registry REF"),
        policy: BY_KEY,
        expected: Ok("key \"key\""),
    },
    Form {
        name: "logged",
        sign: "sign --yes --key key.key --signing-config signing_config.json --trusted-root trusted_root.json --allow-http-registry REF",
        verify: Some(
            "verify --key key.pub --trusted-root trusted_root.json --allow-http-registry REF",
        ),
        policy: r#"{"keys": [{"name": "key"}], "transparencyLog": "Required", "trustedRoot": {}}"#,
        expected: Ok("key \"key\""),
    },
    Form {
        name: "mail",
        sign: "sign --yes --identity-token MAIL_TOKEN --signing-config signing_config.json --trusted-root trusted_root.json --allow-http-registry REF",
        verify: Some(
            "verify --trusted-root trusted_root.json --certificate-identity alice@shop.example --certificate-oidc-issuer-regexp .*/mail --allow-http-registry REF",
        ),
        policy: r#"{"keyless": [{"name": "a", "issuer": "mail", "subject": "alice@shop.example"}], "trustedRoot": {}}"#,
        expected: Ok("alice@shop.example"),
    },
    Form {
        name: "workflow",
        sign: "sign --yes --identity-token WORKFLOW_TOKEN --signing-config signing_config.json --trusted-root trusted_root.json --allow-http-registry REF",
        verify: Some(
            "verify --trusted-root trusted_root.json --certificate-identity-regexp .*/release.yaml@refs/heads/main --certificate-oidc-issuer-regexp .*/workflow --allow-http-registry REF",
        ),
        policy: r#"{"keyless": [{"name": "release", "issuer": "workflow",
            "subject": "https://github.com/shop/playbooks/.github/workflows/release.yaml@refs/heads/main",
            "claims": {"repository": "shop/playbooks", "ref": "refs/heads/main"}}], "trustedRoot": {}}"#,
        expected: Ok("release.yaml"),
    },
    Form {
        name: "account",
        sign: "sign --yes --identity-token ACCOUNT_TOKEN --signing-config signing_config.json --trusted-root trusted_root.json --allow-http-registry REF",
        verify: Some(
            "verify --trusted-root trusted_root.json --certificate-identity-regexp .*/serviceaccounts/signer --certificate-oidc-issuer-regexp .*/account --allow-http-registry REF",
        ),
        policy: r#"{"keyless": [{"name": "s", "issuer": "account",
            "subject": "https://kubernetes.io/namespaces/ci/serviceaccounts/signer"}], "trustedRoot": {}}"#,
        expected: Ok("serviceaccounts/signer"),
    },
    Form {
        name: "sbom",
        sign: "attest --yes --key key.key --type spdxjson --predicate sbom.json --signing-config empty_config.json --trusted-root empty_root.json --allow-http-registry REF",
        verify: None, // cosign verify takes any statement by the key for a signature
        policy: BY_KEY,
        expected: Err(Reason::WrongPredicate),
    },
    Form {
        name: "sig",
        sign: "sign --yes --key key.key --new-bundle-format=false --use-signing-config=false --tlog-upload=false --allow-http-registry REF",
        verify: Some(
            "verify --key key.pub --new-bundle-format=false --insecure-ignore-tlog --allow-http-registry REF",
        ),
        policy: BY_KEY,
        expected: Err(Reason::UnsupportedBundle),
    },
    Form {
        name: "sig-referrer",
        sign: "COSIGN_EXPERIMENTAL=1 sign --yes --key key.key --new-bundle-format=false --use-signing-config=false --tlog-upload=false --registry-referrers-mode=oci-1-1 --allow-http-registry REF",
        verify: None,
        policy: BY_KEY,
        expected: Err(Reason::UnsupportedBundle),
    },
];

fn address(desk: &Desk, registry: &str) -> String {
    desk.read(&format!("{registry}.address"))
}

/// One and the same image into every repository of every registry.
pub fn push(desk: &mut Desk, env: &BTreeMap<String, String>) {
    desk.write("playbook.json", "{}\n");
    desk.write(
        "sbom.json",
        r#"{"spdxVersion":"SPDX-2.3","name":"an image"}"#,
    );
    let line = "--create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --file=layer.tar playbook.json";
    desk.run("tar", line.split(' ').map(ToOwned::to_owned))
        .unwrap();
    let crane = program("crane");
    for registry in REGISTRIES {
        let address = &env[&format!("SIGNING_BED_REGISTRY_{}", registry.to_uppercase())];
        desk.write(&format!("{registry}.address"), address);
        for form in &FORMS {
            let line = format!(
                "append --insecure --oci-empty-base --new_layer layer.tar --new_tag {address}/{}:1",
                form.name
            );
            let words = line.split(' ').map(ToOwned::to_owned);
            let reference = desk.run(&crane, words).unwrap();
            let digest = reference.trim().rsplit_once('@').unwrap().1.to_owned();
            desk.write("digest", &digest);
            let word = format!("REF_{registry}_{}", form.name);
            desk.say(&word, format!("{address}/{}@{digest}", form.name));
        }
    }
}

fn line_about(command: &str, registry: &str, form: &str) -> String {
    command.replace("REF", &format!("REF_{registry}_{form}"))
}

pub fn sign(desk: &Desk) {
    // Most of the time cosign waits for the log to publish its next checkpoint.
    std::thread::scope(|scope| {
        for registry in REGISTRIES {
            scope.spawn(move || {
                for form in &FORMS {
                    desk.good(&line_about(form.sign, registry, form.name));
                }
            });
        }
    });
}

/// After the services are gone: what is no signature for cosign says nothing about us.
pub fn verify_with_cosign(desk: &Desk) {
    for registry in REGISTRIES {
        for form in &FORMS {
            if let Some(verify) = form.verify {
                desk.good(&line_about(verify, registry, form.name));
            }
        }
    }
}

pub fn read_back(desk: &Desk) -> Vec<Found> {
    let image: Digest = Digest::try_from(desk.read("digest")).unwrap();
    let mut found = Vec::new();
    for registry in REGISTRIES {
        let address = address(desk, registry);
        for form in &FORMS {
            found.push(registry::read(desk, registry, &address, form.name, &image));
        }
    }
    found
}

/// One question to the product, and its answer.
pub struct Asked {
    what: String,
    expected: Result<&'static str, Reason>,
    answer: Result<String, String>,
}

/// The old form counts only where a policy says so.
const OLD_BY_KEY: &str = r#"{"keys": [{"name": "key"}], "formats": ["Bundle", "LegacySig"]}"#;
const SOMEBODY_ELSE: &str = r#"{"keys": [{"name": "second"}], "formats": ["Bundle", "LegacySig"]}"#;

/// Asks `neuralops playbook verify` about every image: it finds the signatures itself, in each kind of registry.
pub fn ask(desk: &Desk, signed: &Signed) -> Vec<Asked> {
    let root =
        json!({"kind": "ConfigMap", "metadata": {"name": "root"}, "data": {"json": signed.root}});
    desk.write("root.json", root.to_string());
    let mut asked = Vec::new();
    let mut ask = |registry: &str, form: &Form, policy: &str, expected| {
        let policy = json!({
            "apiVersion": "neuralops.io/v1alpha1",
            "kind": "TrustPolicy",
            "metadata": {"name": "p"},
            "spec": signed.spec(policy),
        });
        desk.write("policy.json", policy.to_string());
        let line =
            "playbook verify --image REF -n shop --policy policy.json --config-map root.json";
        asked.push(Asked {
            what: format!("{} in {registry}", form.name),
            expected,
            answer: desk.neuralops(&line_about(line, registry, form.name)),
        });
    };
    for registry in REGISTRIES {
        for form in &FORMS {
            let expected = match form.name {
                // The old tag is not even read where no policy accepts what may stand there.
                "sig" => Err(Reason::NoSignatureFound),
                _ => form.expected,
            };
            ask(registry, form, form.policy, expected);
            if form.name.starts_with("sig") {
                ask(registry, form, OLD_BY_KEY, Ok("key \"key\""));
                ask(registry, form, SOMEBODY_ELSE, Err(Reason::UntrustedKey));
            }
        }
    }
    asked
}

#[test]
fn the_product_finds_and_judges_the_same() {
    assert!(signed().asked.len() >= REGISTRIES.len() * FORMS.len());
    for Asked {
        what,
        expected,
        answer,
    } in &signed().asked
    {
        match (expected, answer) {
            (Ok(part), Ok(said)) => assert!(said.contains(part), "{what}: {said}"),
            (Err(reason), Err(said)) => assert!(said.contains(reason.as_str()), "{what}: {said}"),
            (Ok(_), Err(said)) => panic!("{what}: {said}"),
            (Err(_), Ok(said)) => panic!("{what}: trusted: {said}"),
        }
    }
}

fn form(name: &str) -> &'static Form {
    FORMS.iter().find(|form| form.name == name).unwrap()
}

#[test]
fn every_signature_in_every_registry_verifies_or_is_refused_for_a_reason() {
    assert_eq!(signed().images.len(), REGISTRIES.len() * FORMS.len());
    for found in &signed().images {
        let what = format!("{} in {}", found.form, found.registry);
        let form = form(found.form);
        let [piece] = &found.pieces[..] else {
            panic!("{what}: {} pieces", found.pieces.len());
        };
        let policy = signed().policy(form.policy);
        let examination = examine_image(&policy, &piece.text, &found.image, now());
        match form.expected {
            Ok(part) => {
                let signer = examination.signers.first().unwrap_or_else(|| {
                    panic!("{what}: {:?}", examination.attempts);
                });
                assert!(signer.to_string().contains(part), "{what}: {signer}");
                assert_eq!(piece.media_type, MEDIA_TYPE, "{what}");
            }
            Err(reason) => {
                assert_eq!(examination.signers, [], "{what}");
                assert_eq!(examination.attempts[0].reason, reason, "{what}");
            }
        }
    }
}

#[test]
fn the_same_about_another_image_or_by_somebody_else_is_refused() {
    let other = Digest::of(b"another image");
    for found in &signed().images {
        let form = form(found.form);
        if form.expected.is_err() {
            continue;
        }
        let what = format!("{} in {}", found.form, found.registry);
        let text = &found.pieces[0].text;
        let policy = signed().policy(form.policy);
        let examination = examine_image(&policy, text, &other, now());
        assert_eq!(
            examination.attempts[0].reason,
            Reason::SubjectMismatch,
            "{what}"
        );
        let second = signed().policy(
            r#"{"keys": [{"name": "second"}], "keyless": [{"name": "bob", "issuer": "mail", "subject": "bob@shop.example"}], "trustedRoot": {}}"#,
        );
        let examination = examine_image(&second, text, &found.image, now());
        assert_eq!(examination.signers, [], "{what}");
    }
}

#[test]
fn the_registries_are_as_different_as_they_should_be() {
    for found in &signed().images {
        let what = format!("{} in {}", found.form, found.registry);
        let has_api = matches!(found.registry, "spec" | "quirk");
        assert_eq!(found.has_api, has_api, "{what}");
        let listed = found.pieces[0].listed.as_deref();
        let expected = match (found.form, found.registry) {
            ("sig", _) => None,
            // One popular registry library lists the config's type in its place.
            (_, "quirk") => Some("application/vnd.oci.empty.v1+json"),
            _ => Some(MEDIA_TYPE),
        };
        if found.form != "sig-referrer" {
            assert_eq!(listed, expected, "{what}");
        }
    }
}

/// What is written beside an image in the old form: raw bytes that name it, signed in an annotation.
#[test]
fn an_old_signature_is_about_the_bytes_of_its_layer() {
    for found in signed()
        .images
        .iter()
        .filter(|found| found.form.starts_with("sig"))
    {
        let piece = &found.pieces[0];
        assert_eq!(
            piece.media_type,
            "application/vnd.dev.cosign.simplesigning.v1+json"
        );
        let payload: Value = serde_json::from_str(&piece.text).unwrap();
        let image = &payload["critical"]["image"]["docker-manifest-digest"];
        assert_eq!(*image, found.image.as_str());
        let signature = piece.annotations["dev.cosignproject.cosign/signature"]
            .as_str()
            .unwrap();
        assert!(STANDARD.decode(signature).unwrap().len() > 60);
    }
}
