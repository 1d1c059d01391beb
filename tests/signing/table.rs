//! The mutation table: a signature by the real cosign that verifies, one thing altered, and the reason for which it is
//! refused then. One loop runs all rows; a row whose original does not verify proves nothing and fails as well.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use neuralops::domain::{
    digest::Digest,
    document::Document,
    reason::Reason,
    trust::{
        FoundSignature, Image, LARGEST_BUNDLES, LegacySignature, SignatureForm, Signatures,
        verify_image, verify_playbook,
    },
};
use serde_json::{Value, json};

use crate::{
    fixtures::{ACCOUNT, MAIL, ROOT, WORKFLOW, document, identity, image, issuer, made, playbook},
    made::{Maps, annotations, now, policy_with},
};

/// What is signed.
enum Target {
    Playbook(Document),
    Image(Digest),
}

/// A question that can be asked: a target, its bundles, and a policy.
struct Case {
    target: Target,
    bundles: Vec<String>,
    /// Signatures of the old form.
    old: Vec<LegacySignature>,
    spec: Value,
    root: Option<&'static str>,
}

impl Case {
    /// Who signed, or why nobody is trusted.
    fn judge(&self) -> Result<usize, (Reason, String)> {
        let mut spec = self.spec.clone();
        let mut maps = Maps::default();
        if let Some(root) = self.root {
            spec["trustedRoot"] = json!({"configMapRef": {"name": "root", "key": "json"}});
            maps.0.insert("root/json".to_owned(), root.to_owned());
        }
        let policy = policy_with(spec, &maps);
        match &self.target {
            Target::Playbook(document) => verify_playbook(
                document,
                &annotations(&self.bundles),
                &[policy],
                None,
                now(),
            )
            .map(|verified| verified.signers().len())
            .map_err(|refusal| (refusal.reason, refusal.to_string())),
            Target::Image(digest) => {
                let image = format!("registry.example/pb/restart@{digest}");
                let image = Image::parse(&image).unwrap();
                let bundles = self.bundles.iter().cloned().map(SignatureForm::Bundle);
                let old = self.old.iter().cloned().map(SignatureForm::Legacy);
                let found = bundles.chain(old).map(|form| FoundSignature {
                    place: "beside it".to_owned(),
                    form,
                });
                let signatures = Signatures {
                    found: found.collect(),
                    ..Signatures::default()
                };
                verify_image(&image, "shop", &signatures, &[policy], now())
                    .map(|verified| verified.policies()[0].signers.len())
                    .map_err(|refusal| (refusal.reason, refusal.to_string()))
            }
        }
    }

    /// The Playbook, to be altered.
    fn playbook(&mut self) -> &mut Document {
        match &mut self.target {
            Target::Playbook(document) => document,
            Target::Image(_) => panic!("this row is about an image"),
        }
    }

    /// Alters the first bundle as JSON.
    fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        let mut bundle: Value = serde_json::from_str(&self.bundles[0]).unwrap();
        change(&mut bundle);
        self.bundles[0] = bundle.to_string();
    }

    fn entry(&mut self, change: impl FnOnce(&mut Value)) {
        self.edit(|b| change(&mut b["verificationMaterial"]["tlogEntries"][0]));
    }

    fn proof(&mut self, change: impl FnOnce(&mut Value)) {
        self.entry(|entry| change(&mut entry["inclusionProof"]));
    }

    fn material(&mut self, change: impl FnOnce(&mut Value)) {
        self.edit(|b| change(&mut b["verificationMaterial"]));
    }

    /// Alters the statement about an image, as somebody would who cannot sign it again.
    fn statement(&mut self, change: impl FnOnce(&mut Value)) {
        self.edit(|b| {
            let payload = &mut b["dsseEnvelope"]["payload"];
            let text = STANDARD.decode(payload.as_str().unwrap()).unwrap();
            let mut statement: Value = serde_json::from_slice(&text).unwrap();
            change(&mut statement);
            *payload = json!(STANDARD.encode(statement.to_string()));
        });
    }
}

fn remove(object: &mut Value, field: &str) {
    object.as_object_mut().unwrap().remove(field).unwrap();
}

/// Flips one bit of a byte of a base64 text, counted from the end.
fn flip(value: &mut Value, from_the_end: usize) {
    let mut bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
    let at = bytes.len() - 1 - from_the_end;
    bytes[at] ^= 1;
    *value = json!(STANDARD.encode(bytes));
}

/// A number that stands as a text, one more.
fn more(value: &mut Value) {
    let number: u64 = value.as_str().unwrap().parse().unwrap();
    *value = json!((number + 1).to_string());
}

fn part(bundle: &str, pointer: &str) -> Value {
    let bundle: Value = serde_json::from_str(bundle).unwrap();
    bundle.pointer(pointer).unwrap().clone()
}

// --- the originals

fn keys() -> Value {
    json!([
        {"name": "key", "publicKey": made!("key.pub")},
        {"name": "second", "publicKey": made!("second.pub")},
    ])
}

fn case(bundles: &[&str], spec: Value, root: Option<&'static str>) -> Case {
    Case {
        target: Target::Playbook(playbook()),
        bundles: bundles.iter().map(|text| (*text).to_owned()).collect(),
        old: Vec::new(),
        spec,
        root,
    }
}

/// With a key and nothing else.
fn key() -> Case {
    case(&[made!("key.sigstore.json")], json!({"keys": keys()}), None)
}

/// With two keys, both of them needed.
fn two() -> Case {
    let bundles = [made!("key.sigstore.json"), made!("second.sigstore.json")];
    case(&bundles, json!({"keys": keys(), "threshold": 2}), None)
}

/// With a key and a log that the policy asks for.
fn logged() -> Case {
    let spec = json!({"keys": keys(), "transparencyLog": "Required"});
    case(&[made!("key-logged.sigstore.json")], spec, Some(ROOT))
}

fn logged_v1() -> Case {
    let spec = json!({"keys": keys(), "transparencyLog": "Required"});
    case(&[made!("key-logged-v1.sigstore.json")], spec, Some(ROOT))
}

fn keyless(bundle: &str, rule: Value) -> Case {
    case(&[bundle], json!({"keyless": [rule]}), Some(ROOT))
}

fn mail() -> Case {
    keyless(made!("mail.sigstore.json"), identity("mail", MAIL))
}

/// In Rekor v1, which promises, and tells the time.
fn mail_v1() -> Case {
    keyless(made!("mail-v1.sigstore.json"), identity("mail", MAIL))
}

fn workflow() -> Case {
    let mut rule = identity("workflow", WORKFLOW);
    rule["claims"] = json!({"repository": "shop/playbooks", "ref": "refs/heads/main"});
    keyless(made!("workflow.sigstore.json"), rule)
}

fn account() -> Case {
    keyless(made!("account.sigstore.json"), identity("account", ACCOUNT))
}

fn about_image(mut case: Case) -> Case {
    case.target = Target::Image(image());
    case
}

fn image_key() -> Case {
    let spec = json!({"keys": keys()});
    about_image(case(&[made!("image-key.sigstore.json")], spec, None))
}

fn image_mail() -> Case {
    about_image(keyless(
        made!("image-mail.sigstore.json"),
        identity("mail", MAIL),
    ))
}

fn image_account() -> Case {
    about_image(keyless(
        made!("image-account.sigstore.json"),
        identity("account", ACCOUNT),
    ))
}

/// What lies under the tag `.sig`: the manifest of that tag, and its layer.
fn old(manifest: &str, payload: &str) -> LegacySignature {
    let annotations = part(manifest, "/layers/0/annotations");
    LegacySignature {
        payload: payload.to_owned(),
        signature: annotations["dev.cosignproject.cosign/signature"]
            .as_str()
            .unwrap()
            .to_owned(),
        certified: annotations.get("dev.sigstore.cosign/certificate").is_some(),
    }
}

/// In the old form, with a key, where the policy accepts it.
fn image_old() -> Case {
    let spec = json!({"keys": keys(), "formats": ["Bundle", "LegacySig"]});
    let mut case = about_image(case(&[], spec, None));
    case.old = vec![old(
        made!("image-sig-key.manifest.json"),
        made!("image-sig-key.payload.json"),
    )];
    case
}

fn old_of_another_image() -> LegacySignature {
    old(
        made!("other-image-sig-key.manifest.json"),
        made!("other-image-sig-key.payload.json"),
    )
}

fn old_by_mail() -> LegacySignature {
    old(
        made!("image-sig-mail.manifest.json"),
        made!("image-sig-mail.payload.json"),
    )
}

// --- the rows

/// Name, original, what is altered, and the reason.
type Row = (&'static str, fn() -> Case, fn(&mut Case), Reason);

/// The Playbook is another one.
const DOCUMENTS: &[Row] = &[
    (
        "a letter in the spec",
        key,
        |c| c.playbook().spec["description"] = json!("restart the checkout and say so."),
        Reason::DigestMismatch,
    ),
    (
        "the revision",
        key,
        |c| c.playbook().spec["revision"] = json!(15),
        Reason::DigestMismatch,
    ),
    (
        "a field that somebody added",
        key,
        |c| c.playbook().spec["added"] = json!(true),
        Reason::DigestMismatch,
    ),
    (
        "a step taken away",
        key,
        |c| {
            c.playbook().spec["steps"].as_array_mut().unwrap().pop();
        },
        Reason::DigestMismatch,
    ),
    (
        "the name",
        key,
        |c| c.playbook().name = "restart2".into(),
        Reason::DigestMismatch,
    ),
    (
        "the namespace",
        key,
        |c| c.playbook().namespace = "bank".into(),
        Reason::DigestMismatch,
    ),
    (
        "the version of the API",
        key,
        |c| c.playbook().api_version = "neuralops.io/v1".into(),
        Reason::DigestMismatch,
    ),
    (
        "another Playbook",
        key,
        |c| *c.playbook() = document(made!("other-playbook.jcs")),
        Reason::DigestMismatch,
    ),
    (
        "a spec that the bundle declares to be about",
        key,
        |c| {
            c.playbook().spec["revision"] = json!(15);
            let bytes = crate::made::bytes(c.playbook());
            c.edit(|b| {
                b["messageSignature"]["messageDigest"]["digest"] = json!(STANDARD.encode(
                    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes)
                ))
            });
        },
        Reason::UntrustedKey,
    ),
    (
        "a letter in the spec, signed as an identity",
        mail,
        |c| c.playbook().spec["description"] = json!("x"),
        Reason::DigestMismatch,
    ),
    (
        "the namespace, signed by a workflow",
        workflow,
        |c| c.playbook().namespace = "bank".into(),
        Reason::DigestMismatch,
    ),
    (
        "the name, signed as a ServiceAccount",
        account,
        |c| c.playbook().name = "other".into(),
        Reason::DigestMismatch,
    ),
];

/// The bundle of a key is another one.
const BUNDLES: &[Row] = &[
    (
        "the first byte of the signature",
        key,
        |c| c.edit(|b| flip(&mut b["messageSignature"]["signature"], 8)),
        Reason::UntrustedKey,
    ),
    (
        "the last byte of the signature",
        key,
        |c| c.edit(|b| flip(&mut b["messageSignature"]["signature"], 0)),
        Reason::UntrustedKey,
    ),
    (
        "half a signature",
        key,
        |c| {
            c.edit(|b| {
                let whole = STANDARD
                    .decode(b["messageSignature"]["signature"].as_str().unwrap())
                    .unwrap();
                b["messageSignature"]["signature"] =
                    json!(STANDARD.encode(&whole[..whole.len() / 2]));
            })
        },
        Reason::UntrustedKey,
    ),
    (
        "no signature",
        key,
        |c| c.edit(|b| remove(&mut b["messageSignature"], "signature")),
        Reason::MalformedBundle,
    ),
    (
        "the declared digest",
        key,
        |c| c.edit(|b| flip(&mut b["messageSignature"]["messageDigest"]["digest"], 3)),
        Reason::DigestMismatch,
    ),
    (
        "the bundle of another Playbook",
        key,
        |c| c.bundles[0] = made!("other-playbook.sigstore.json").into(),
        Reason::DigestMismatch,
    ),
    (
        "the bundle of another Playbook, which declares nothing",
        key,
        |c| {
            c.bundles[0] = made!("other-playbook.sigstore.json").into();
            c.edit(|b| remove(&mut b["messageSignature"], "messageDigest"));
        },
        Reason::UntrustedKey,
    ),
    (
        "the bundle of an image",
        key,
        |c| c.bundles[0] = made!("image-key.sigstore.json").into(),
        Reason::UnsupportedBundle,
    ),
    (
        "the bundle of cosign 2",
        key,
        |c| c.bundles[0] = made!("legacy.bundle.json").into(),
        Reason::UnsupportedBundle,
    ),
    (
        "media type v0.1",
        key,
        |c| {
            c.edit(|b| {
                b["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.1")
            })
        },
        Reason::UnsupportedBundle,
    ),
    (
        "media type v0.2",
        key,
        |c| {
            c.edit(|b| {
                b["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.2")
            })
        },
        Reason::UnsupportedBundle,
    ),
    (
        "no media type",
        key,
        |c| c.edit(|b| remove(b, "mediaType")),
        Reason::UnsupportedBundle,
    ),
    (
        "a certificate beside the key",
        key,
        |c| {
            c.material(|m| {
                m["certificate"] = part(
                    made!("mail.sigstore.json"),
                    "/verificationMaterial/certificate",
                )
            })
        },
        Reason::MalformedBundle,
    ),
    (
        "a key twice",
        key,
        |c| {
            c.bundles[0] = c.bundles[0].replacen(
                '{',
                r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","#,
                1,
            )
        },
        Reason::MalformedBundle,
    ),
    (
        "cut off",
        key,
        |c| {
            let half = c.bundles[0].len() / 2;
            c.bundles[0].truncate(half);
        },
        Reason::MalformedBundle,
    ),
    (
        "too large",
        key,
        |c| c.material(|m| m["publicKey"]["hint"] = json!("a".repeat(LARGEST_BUNDLES))),
        Reason::MalformedBundle,
    ),
    (
        "too many: the good one is the ninth",
        key,
        |c| {
            let good = c.bundles.remove(0);
            c.bundles = vec![made!("other-playbook.sigstore.json").to_owned(); 8];
            c.bundles.push(good);
        },
        Reason::DigestMismatch,
    ),
    ("no bundle", key, |c| c.bundles.clear(), Reason::Unsigned),
    (
        "one of two signers",
        two,
        |c| {
            c.bundles.pop();
        },
        Reason::TooFewSigners,
    ),
    (
        "two signatures by one key",
        two,
        |c| c.bundles[1] = made!("key-again.sigstore.json").into(),
        Reason::TooFewSigners,
    ),
    (
        "one of two signers about another Playbook",
        two,
        |c| c.bundles[0] = made!("other-playbook.sigstore.json").into(),
        Reason::TooFewSigners,
    ),
];

/// The policy trusts somebody else.
const POLICIES: &[Row] = &[
    (
        "the key is removed",
        key,
        |c| {
            c.spec["keys"].as_array_mut().unwrap().remove(0);
        },
        Reason::UntrustedKey,
    ),
    (
        "the key ended",
        key,
        |c| c.spec["keys"][0]["notAfter"] = json!("2026-10-31T23:59:59Z"),
        Reason::UntrustedKey,
    ),
    (
        "the key has another's name",
        key,
        |c| c.spec["keys"][0]["publicKey"] = json!(made!("second.pub")),
        Reason::UntrustedKey,
    ),
    (
        "one key under two names",
        two,
        |c| c.spec["keys"][1]["publicKey"] = json!(made!("key.pub")),
        Reason::TooFewSigners,
    ),
    (
        "identities alone",
        logged,
        |c| {
            remove(&mut c.spec, "keys");
            c.spec["keyless"] = json!([identity("mail", MAIL)]);
        },
        Reason::UntrustedKey,
    ),
    (
        "keys alone",
        mail,
        |c| {
            remove(&mut c.spec, "keyless");
            c.spec["keys"] = keys();
        },
        Reason::UntrustedKey,
    ),
    (
        "another namespace",
        key,
        |c| c.spec["match"] = json!({"namespaces": ["bank", "sho"]}),
        Reason::NoPolicy,
    ),
    (
        "nobody",
        key,
        |c| c.spec["keys"] = json!([]),
        Reason::PolicyNotReady,
    ),
    (
        "old signatures of images alone",
        key,
        |c| c.spec["formats"] = json!(["LegacySig"]),
        Reason::UnsupportedBundle,
    ),
    (
        "a log where there is none",
        key,
        |c| {
            c.spec["transparencyLog"] = json!("Required");
            c.root = Some(ROOT);
        },
        Reason::LogMissing,
    ),
    (
        "a log and no root",
        logged,
        |c| c.root = None,
        Reason::TrustRootInvalid,
    ),
    (
        "another issuer",
        mail,
        |c| c.spec["keyless"][0]["issuer"] = json!(issuer("workflow")),
        Reason::IssuerMismatch,
    ),
    (
        "the issuer with a slash",
        mail,
        |c| c.spec["keyless"][0]["issuer"] = json!(issuer("mail/")),
        Reason::IssuerMismatch,
    ),
    (
        "another mail address",
        mail,
        |c| c.spec["keyless"][0]["subject"] = json!("bob@shop.example"),
        Reason::IdentityMismatch,
    ),
    (
        "a mail address that begins so",
        mail,
        |c| c.spec["keyless"][0]["subject"] = json!("alice@shop.example.org"),
        Reason::IdentityMismatch,
    ),
    (
        "an expression that is a part of it",
        mail,
        |c| expression(c, "alice@shop"),
        Reason::IdentityMismatch,
    ),
    (
        "an expression that is its end",
        mail,
        |c| expression(c, r"shop\.example"),
        Reason::IdentityMismatch,
    ),
    (
        "an expression with a way out",
        mail,
        |c| expression(c, r"bob@shop\.example|alice"),
        Reason::IdentityMismatch,
    ),
    (
        "another ServiceAccount",
        account,
        |c| {
            c.spec["keyless"][0]["subject"] =
                json!("https://kubernetes.io/namespaces/ci/serviceaccounts/default")
        },
        Reason::IdentityMismatch,
    ),
    (
        "another workflow",
        workflow,
        |c| c.spec["keyless"][0]["subject"] = json!(WORKFLOW.replace("release", "test")),
        Reason::IdentityMismatch,
    ),
    (
        "another repository",
        workflow,
        |c| c.spec["keyless"][0]["claims"]["repository"] = json!("shop/playbook"),
        Reason::IdentityMismatch,
    ),
    (
        "another branch",
        workflow,
        |c| c.spec["keyless"][0]["claims"]["ref"] = json!("refs/heads/maintenance"),
        Reason::IdentityMismatch,
    ),
    (
        "a repository of somebody who has none",
        mail,
        |c| c.spec["keyless"][0]["claims"] = json!({"repository": "shop/playbooks"}),
        Reason::IdentityMismatch,
    ),
];

fn expression(case: &mut Case, text: &str) {
    remove(&mut case.spec["keyless"][0], "subject");
    case.spec["keyless"][0]["subjectRegex"] = json!(text);
}

/// What proves the signature's place and time is altered, missing or another's.
const PROOFS: &[Row] = &[
    (
        "a hash on the way to the root",
        logged,
        |c| c.proof(|p| flip(&mut p["hashes"][0], 0)),
        Reason::LogInvalid,
    ),
    (
        "a hash left out",
        logged,
        |c| {
            c.proof(|p| {
                p["hashes"].as_array_mut().unwrap().pop().unwrap();
            })
        },
        Reason::LogInvalid,
    ),
    (
        "the place in the log",
        logged,
        |c| c.entry(|e| more(&mut e["logIndex"])),
        Reason::LogInvalid,
    ),
    (
        "the entry itself",
        logged,
        |c| c.entry(|e| flip(&mut e["canonicalizedBody"], 40)),
        Reason::LogInvalid,
    ),
    (
        "the signature of the checkpoint",
        logged,
        |c| {
            c.proof(|p| {
                checkpoint(p, |lines| {
                    let signature = lines.last_mut().unwrap();
                    let (head, body) = signature.rsplit_once(' ').unwrap();
                    let mut body = json!(body);
                    flip(&mut body, 0);
                    *signature = format!("{head} {}", body.as_str().unwrap());
                })
            })
        },
        Reason::LogInvalid,
    ),
    (
        "the size in the checkpoint",
        logged,
        |c| c.proof(|p| checkpoint(p, |lines| lines[1].push('0'))),
        Reason::LogInvalid,
    ),
    (
        "the root in the checkpoint",
        logged,
        |c| {
            c.proof(|p| {
                checkpoint(p, |lines| {
                    let mut root = json!(lines[2]);
                    flip(&mut root, 0);
                    lines[2] = root.as_str().unwrap().to_owned();
                })
            })
        },
        Reason::LogInvalid,
    ),
    (
        "the origin of the checkpoint",
        logged,
        |c| c.proof(|p| checkpoint(p, |lines| lines[0].push('2'))),
        Reason::LogInvalid,
    ),
    (
        "no proof",
        logged,
        |c| c.entry(|e| remove(e, "inclusionProof")),
        Reason::LogMissing,
    ),
    (
        "no entry",
        logged,
        |c| c.material(|m| m["tlogEntries"] = json!([])),
        Reason::LogMissing,
    ),
    (
        "the entry of somebody else's signature",
        logged,
        |c| {
            c.material(|m| {
                m["tlogEntries"] = part(
                    made!("mail.sigstore.json"),
                    "/verificationMaterial/tlogEntries",
                )
            })
        },
        Reason::LogInvalid,
    ),
    (
        "an entry of another log",
        logged,
        |c| c.entry(|e| flip(&mut e["logId"]["keyId"], 0)),
        Reason::LogUnknown,
    ),
    (
        "a hash on the way to the root of v1",
        logged_v1,
        |c| c.proof(|p| flip(&mut p["hashes"][0], 0)),
        Reason::LogInvalid,
    ),
    (
        "the place in the tree of v1",
        logged_v1,
        |c| c.proof(|p| more(&mut p["logIndex"])),
        Reason::LogInvalid,
    ),
    (
        "the size of the tree of v1",
        logged_v1,
        |c| c.proof(|p| more(&mut p["treeSize"])),
        Reason::LogInvalid,
    ),
    (
        "the root of v1",
        logged_v1,
        |c| c.proof(|p| flip(&mut p["rootHash"], 0)),
        Reason::LogInvalid,
    ),
    (
        "the promise",
        mail_v1,
        |c| c.entry(|e| flip(&mut e["inclusionPromise"]["signedEntryTimestamp"], 0)),
        Reason::LogInvalid,
    ),
    (
        "the time that was promised",
        mail_v1,
        |c| c.entry(|e| more(&mut e["integratedTime"])),
        Reason::LogInvalid,
    ),
    (
        "a promise and no proof",
        mail_v1,
        |c| c.entry(|e| remove(e, "inclusionProof")),
        Reason::LogMissing,
    ),
    (
        "a promise and no proof, as v0.1 had it",
        mail_v1,
        |c| {
            c.edit(|b| {
                b["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.1");
                remove(
                    &mut b["verificationMaterial"]["tlogEntries"][0],
                    "inclusionProof",
                );
            })
        },
        Reason::UnsupportedBundle,
    ),
    (
        "a proof and no promise, so no time",
        mail_v1,
        |c| c.entry(|e| remove(e, "inclusionPromise")),
        Reason::TimestampInvalid,
    ),
    (
        "the certificate",
        mail,
        |c| c.material(|m| flip(&mut m["certificate"]["rawBytes"], 0)),
        Reason::CertificateInvalid,
    ),
    (
        "a certificate that came too late",
        mail,
        |c| {
            c.material(|m| {
                m["certificate"] = part(
                    made!("image-account.sigstore.json"),
                    "/verificationMaterial/certificate",
                )
            })
        },
        Reason::CertificateInvalid,
    ),
    (
        "a certificate that is none",
        mail,
        |c| c.material(|m| m["certificate"]["rawBytes"] = json!("bm9uZQ==")),
        Reason::MalformedBundle,
    ),
    (
        "the certificate of somebody else",
        account,
        |c| {
            c.material(|m| {
                m["certificate"] = part(
                    made!("mail.sigstore.json"),
                    "/verificationMaterial/certificate",
                )
            })
        },
        Reason::UntrustedKey,
    ),
    (
        "the signature under a timestamp",
        mail,
        |c| c.edit(|b| flip(&mut b["messageSignature"]["signature"], 0)),
        Reason::TimestampInvalid,
    ),
    (
        "the timestamp",
        mail,
        |c| c.material(|m| flip(timestamp(m), 0)),
        Reason::TimestampInvalid,
    ),
    (
        "the timestamp of another signature",
        mail,
        |c| {
            c.material(|m| {
                m["timestampVerificationData"] = part(
                    made!("account.sigstore.json"),
                    "/verificationMaterial/timestampVerificationData",
                )
            })
        },
        Reason::TimestampInvalid,
    ),
    (
        "no timestamp",
        mail,
        |c| c.material(|m| remove(m, "timestampVerificationData")),
        Reason::TimestampInvalid,
    ),
    (
        "neither timestamp nor entry",
        mail,
        |c| {
            c.material(|m| {
                remove(m, "timestampVerificationData");
                remove(m, "tlogEntries");
            })
        },
        Reason::LogMissing,
    ),
    (
        "no entry where the policy asks for one",
        mail,
        |c| {
            c.spec["transparencyLog"] = json!("Required");
            c.material(|m| remove(m, "tlogEntries"));
        },
        Reason::LogMissing,
    ),
    (
        "a chain of certificates",
        mail,
        |c| {
            c.material(|m| {
                let certificate = m["certificate"].take();
                remove(m, "certificate");
                m["x509CertificateChain"] = json!({"certificates": [certificate]});
            })
        },
        Reason::UnsupportedBundle,
    ),
];

fn timestamp(material: &mut Value) -> &mut Value {
    &mut material["timestampVerificationData"]["rfc3161Timestamps"][0]["signedTimestamp"]
}

/// Alters the lines of a proof's checkpoint: origin, size, root, nothing, signatures.
fn checkpoint(proof: &mut Value, change: impl FnOnce(&mut Vec<String>)) {
    let envelope = &mut proof["checkpoint"]["envelope"];
    let mut lines: Vec<String> = envelope
        .as_str()
        .unwrap()
        .lines()
        .map(ToOwned::to_owned)
        .collect();
    change(&mut lines);
    *envelope = json!(lines.join("\n") + "\n");
}

/// The root of trust is another one, or was one at another time.
const ROOTS: &[Row] = &[
    (
        "an authority that had ended",
        mail,
        |c| c.root = Some(made!("root-expired-authority.json")),
        Reason::CertificateInvalid,
    ),
    (
        "a certificate log that had ended",
        mail,
        |c| c.root = Some(made!("root-expired-ctlog.json")),
        Reason::CertificateInvalid,
    ),
    (
        "a timestamp authority that had ended",
        mail,
        |c| c.root = Some(made!("root-expired-tsa.json")),
        Reason::TimestampInvalid,
    ),
    (
        "a log that had ended",
        mail_v1,
        |c| c.root = Some(made!("root-expired-log.json")),
        Reason::LogInvalid,
    ),
    (
        "a log that had ended, beside a clock",
        mail,
        |c| c.root = Some(made!("root-expired-log.json")),
        Reason::LogInvalid,
    ),
    (
        "a log that had ended when a key's entry was made",
        logged,
        |c| c.root = Some(made!("root-expired-log.json")),
        Reason::LogInvalid,
    ),
    (
        "a log of the first version that had ended when a key's entry was made",
        logged_v1,
        |c| c.root = Some(made!("root-expired-log.json")),
        Reason::LogInvalid,
    ),
    (
        "another Sigstore's",
        mail,
        |c| c.root = Some(made!("root-unrelated.json")),
        Reason::TimestampInvalid,
    ),
    (
        "another Sigstore's, whose log is asked for",
        logged,
        |c| c.root = Some(made!("root-unrelated.json")),
        Reason::LogUnknown,
    ),
    (
        "an empty root",
        mail,
        |c| c.root = Some(made!("root-empty.json")),
        Reason::TrustRootInvalid,
    ),
    ("no root", mail, |c| c.root = None, Reason::TrustRootInvalid),
    (
        "a Playbook as the root",
        mail,
        |c| c.root = Some(made!("playbook.jcs")),
        Reason::TrustRootInvalid,
    ),
];

/// Signatures of images.
const IMAGES: &[Row] = &[
    (
        "a byte of the manifest",
        image_key,
        |c| {
            c.target = Target::Image(Digest::of(
                made!("image.manifest.json")
                    .replacen('1', "2", 1)
                    .as_bytes(),
            ))
        },
        Reason::SubjectMismatch,
    ),
    (
        "the signature of another image",
        image_key,
        |c| c.bundles[0] = made!("other-image-key.sigstore.json").into(),
        Reason::SubjectMismatch,
    ),
    (
        "an SBOM by the same key",
        image_key,
        |c| c.bundles[0] = made!("image-spdx.sigstore.json").into(),
        Reason::WrongPredicate,
    ),
    (
        "the signature of a Playbook",
        image_key,
        |c| c.bundles[0] = made!("key.sigstore.json").into(),
        Reason::UnsupportedBundle,
    ),
    (
        "what an old signature signs",
        image_key,
        |c| c.bundles[0] = made!("image-sig-key.payload.json").into(),
        Reason::UnsupportedBundle,
    ),
    (
        "a statement about two images",
        image_key,
        |c| {
            c.statement(|s| {
                let one = s["subject"][0].clone();
                s["subject"] = json!([one.clone(), one]);
            })
        },
        Reason::SubjectMismatch,
    ),
    (
        "a statement about none",
        image_key,
        |c| c.statement(|s| s["subject"] = json!([])),
        Reason::SubjectMismatch,
    ),
    (
        "a statement of another kind",
        image_key,
        |c| c.statement(|s| s["predicateType"] = json!("https://spdx.dev/Document")),
        Reason::WrongPredicate,
    ),
    (
        "a statement about this image that was about another",
        image_key,
        |c| {
            let ours = part(made!("image-key.sigstore.json"), "/dsseEnvelope/payload");
            c.bundles[0] = made!("other-image-key.sigstore.json").into();
            c.edit(|b| b["dsseEnvelope"]["payload"] = ours);
        },
        Reason::UntrustedKey,
    ),
    (
        "a word more in the statement",
        image_key,
        |c| c.statement(|s| s["predicate"] = json!({"more": 1})),
        Reason::UntrustedKey,
    ),
    (
        "another type of payload",
        image_key,
        |c| c.edit(|b| b["dsseEnvelope"]["payloadType"] = json!("application/json")),
        Reason::UnsupportedBundle,
    ),
    (
        "two signatures",
        image_key,
        |c| {
            c.edit(|b| {
                let one = b["dsseEnvelope"]["signatures"][0].clone();
                b["dsseEnvelope"]["signatures"] = json!([one.clone(), one]);
            })
        },
        Reason::MalformedBundle,
    ),
    (
        "no signature of an image",
        image_key,
        |c| c.edit(|b| b["dsseEnvelope"]["signatures"] = json!([])),
        Reason::MalformedBundle,
    ),
    (
        "the signature of an image",
        image_key,
        |c| c.edit(|b| flip(&mut b["dsseEnvelope"]["signatures"][0]["sig"], 0)),
        Reason::UntrustedKey,
    ),
    (
        "the image's key is removed",
        image_key,
        |c| {
            c.spec["keys"].as_array_mut().unwrap().remove(0);
        },
        Reason::UntrustedKey,
    ),
    (
        "media type v0.2 about an image",
        image_key,
        |c| {
            c.edit(|b| {
                b["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.2")
            })
        },
        Reason::UnsupportedBundle,
    ),
    (
        "an image by another issuer",
        image_mail,
        |c| c.spec["keyless"][0]["issuer"] = json!(issuer("account")),
        Reason::IssuerMismatch,
    ),
    (
        "an image by somebody else",
        image_account,
        |c| c.spec["keyless"][0]["subject"] = json!(MAIL),
        Reason::IdentityMismatch,
    ),
    (
        "an image by a certificate of somebody else",
        image_account,
        |c| {
            c.material(|m| {
                m["certificate"] = part(
                    made!("image-mail.sigstore.json"),
                    "/verificationMaterial/certificate",
                )
            })
        },
        Reason::UntrustedKey,
    ),
    (
        "an image and the entry of another signature",
        image_mail,
        |c| {
            c.material(|m| {
                m["tlogEntries"] = part(
                    made!("image-account.sigstore.json"),
                    "/verificationMaterial/tlogEntries",
                )
            })
        },
        Reason::LogInvalid,
    ),
    (
        "an image without a proof",
        image_mail,
        |c| c.entry(|e| remove(e, "inclusionProof")),
        Reason::LogMissing,
    ),
    (
        "an image under a foreign root",
        image_mail,
        |c| c.root = Some(made!("root-unrelated.json")),
        Reason::TimestampInvalid,
    ),
];

/// Signatures of images in the old form.
const OLD: &[Row] = &[
    (
        "the .sig of another image",
        image_old,
        |c| c.old = vec![old_of_another_image()],
        Reason::SubjectMismatch,
    ),
    (
        "the .sig of another image about this one",
        image_old,
        |c| {
            let ours = c.old[0].payload.clone();
            c.old = vec![LegacySignature {
                payload: ours,
                ..old_of_another_image()
            }];
        },
        Reason::UntrustedKey,
    ),
    (
        "a .sig by an identity",
        image_old,
        |c| c.old = vec![old_by_mail()],
        Reason::UnsupportedBundle,
    ),
    (
        "a .sig by an identity that hides it",
        image_old,
        |c| {
            c.old = vec![LegacySignature {
                certified: false,
                ..old_by_mail()
            }];
        },
        Reason::UntrustedKey,
    ),
    (
        "a word in what the .sig signs",
        image_old,
        |c| {
            let payload = &mut c.old[0].payload;
            *payload = payload.replacen("\"optional\"", "\"Optional\"", 1);
        },
        Reason::UntrustedKey,
    ),
    (
        "the kind of what the .sig signs",
        image_old,
        |c| {
            let payload = &mut c.old[0].payload;
            *payload = payload.replacen(
                "cosign container image signature",
                "atomic container signature",
                1,
            );
        },
        Reason::WrongPredicate,
    ),
    (
        "a key twice in what the .sig signs",
        image_old,
        |c| {
            c.old[0].payload = c.old[0].payload.replacen('{', r#"{"optional":1,"#, 1);
        },
        Reason::MalformedBundle,
    ),
    (
        "the signature of the .sig",
        image_old,
        |c| {
            let mut signature = json!(c.old[0].signature);
            flip(&mut signature, 0);
            c.old[0].signature = signature.as_str().unwrap().to_owned();
        },
        Reason::UntrustedKey,
    ),
    (
        "a .sig whose signature is none",
        image_old,
        |c| c.old[0].signature = "***".into(),
        Reason::MalformedBundle,
    ),
    (
        "a .sig where bundles alone count",
        image_old,
        |c| remove(&mut c.spec, "formats"),
        Reason::UnsupportedBundle,
    ),
    (
        "a .sig where a log is asked for",
        image_old,
        |c| {
            c.spec["transparencyLog"] = json!("Required");
            c.root = Some(ROOT);
        },
        Reason::LogMissing,
    ),
    (
        "a .sig whose key is removed",
        image_old,
        |c| {
            c.spec["keys"].as_array_mut().unwrap().remove(0);
        },
        Reason::UntrustedKey,
    ),
    (
        "a .sig whose key ended",
        image_old,
        |c| {
            c.spec["keys"][0]["notAfter"] = json!("2026-10-31T23:59:59Z");
        },
        Reason::UntrustedKey,
    ),
    (
        "no .sig",
        image_old,
        |c| c.old.clear(),
        Reason::NoSignatureFound,
    ),
    (
        "a byte of the manifest under a .sig",
        image_old,
        |c| {
            c.target = Target::Image(Digest::of(b"another manifest"));
        },
        Reason::SubjectMismatch,
    ),
];

fn rows() -> impl Iterator<Item = &'static Row> {
    [DOCUMENTS, BUNDLES, POLICIES, PROOFS, ROOTS, IMAGES, OLD]
        .into_iter()
        .flatten()
}

#[test]
fn every_alteration_is_refused_for_its_own_reason() {
    let mut wrong = Vec::new();
    for (name, original, change, expected) in rows() {
        let mut case = original();
        if let Err((reason, message)) = case.judge() {
            wrong.push(format!(
                "{name}: the original is refused: {reason}: {message}"
            ));
            continue;
        }
        change(&mut case);
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case.judge()));
        match judged {
            Err(_) => wrong.push(format!("{name}: a panic")),
            Ok(Ok(signers)) => wrong.push(format!("{name}: TRUSTED, {signers} signers")),
            Ok(Err((reason, message))) if reason != *expected => {
                wrong.push(format!("{name}: not {expected} but {reason}: {message}"));
            }
            Ok(Err((reason, message))) if message.len() < 20 => {
                wrong.push(format!(
                    "{name}: {reason} without a word of help: {message}"
                ));
            }
            Ok(Err(_)) => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "{} rows are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Roots keep the logs of former years.
#[test]
fn a_log_that_ended_is_not_in_the_way_of_another() {
    let mut root: Value = serde_json::from_str(ROOT).unwrap();
    let former = part(made!("root-unrelated.json"), "/tlogs/0");
    let logs = root["tlogs"].as_array_mut().unwrap();
    logs.push(former);
    let window = json!({"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"});
    logs.last_mut().unwrap()["publicKey"]["validFor"] = window;
    for case in [mail(), mail_v1(), workflow(), image_mail()] {
        let root = Box::leak(root.to_string().into_boxed_str());
        let case = Case {
            root: Some(root),
            ..case
        };
        assert_eq!(case.judge(), Ok(1));
    }
}

#[test]
fn the_table_is_a_table() {
    let mut names: Vec<&str> = rows().map(|(name, ..)| *name).collect();
    assert!(names.len() >= 130, "{}", names.len());
    names.sort_unstable();
    let duplicate = names.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(duplicate, None);
    // Not everything is refused for the same reason.
    let reasons: std::collections::BTreeSet<&str> = rows().map(|row| row.3.as_str()).collect();
    assert!(reasons.len() >= 18, "{reasons:?}");
}

/// Every third byte of everything binary in a bundle, one bit each: none ends in a panic, which would be VerifierError,
/// and where it is still trusted it was not the signature, the certificate or the document.
#[test]
fn no_single_byte_confuses_the_verifier() {
    type Original = fn() -> Case;
    let originals: [(Original, &[&str]); 5] = [
        (key, &["/messageSignature/signature"]),
        (
            logged,
            &[
                "/messageSignature/signature",
                "/verificationMaterial/tlogEntries/0/canonicalizedBody",
            ],
        ),
        (
            mail,
            &[
                "/messageSignature/signature",
                "/verificationMaterial/certificate/rawBytes",
                "/verificationMaterial/tlogEntries/0/canonicalizedBody",
            ],
        ),
        (
            mail_v1,
            &[
                "/verificationMaterial/certificate/rawBytes",
                "/verificationMaterial/tlogEntries/0/inclusionPromise/signedEntryTimestamp",
            ],
        ),
        (
            image_mail,
            &[
                "/dsseEnvelope/payload",
                "/dsseEnvelope/signatures/0/sig",
                "/verificationMaterial/certificate/rawBytes",
            ],
        ),
    ];
    for (original, pointers) in originals {
        for pointer in pointers {
            let length = STANDARD
                .decode(part(&original().bundles[0], pointer).as_str().unwrap())
                .unwrap()
                .len();
            for at in (0..length).step_by(3) {
                let mut case = original();
                case.edit(|b| flip(b.pointer_mut(pointer).unwrap(), at));
                let (reason, message) = case.judge().unwrap_err();
                assert_ne!(reason, Reason::VerifierError, "{pointer} {at}: {message}");
            }
        }
    }
}
