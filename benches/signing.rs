//! How many signatures one core verifies, beside the bare signature check of the cryptography library in the same run.
//! `make bench` runs it; `--quick` takes a second. It asserts that the work was done, and nothing about time.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be made ends; what was measured is printed"
)]

#[expect(dead_code, reason = "the log's benchmark needs more of it")]
mod spread;

use std::{
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
        UnparsedPublicKey,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use neuralops::{
    adapters::verify::{ConfigMaps, PreparedPolicy, SigningKey},
    api::v1alpha1::ConfigMapKeyRef,
    domain::{
        document::Document,
        trust::{ANNOTATION, Examiner as _, verify_playbook},
    },
};
use serde_json::{Value, json};
use spread::{Spread, goal, line, thousands};

const SAMPLE: &str = include_str!("../config/samples/playbook-restart-after-bad-rollout.yaml");
const BUNDLE: &str = include_str!("../tests/signing/data/cosign-v3-keyless.sigstore.json");
const BLOB: &str = include_str!("../tests/signing/data/cosign-v3-keyless.txt");
const ROOT: &str = include_str!("../tests/signing/data/public-good-root.json");

struct Root;

impl ConfigMaps for Root {
    fn text(&self, _: &ConfigMapKeyRef) -> Option<String> {
        Some(ROOT.to_owned())
    }
}

fn policy(spec: Value) -> PreparedPolicy {
    let spec = serde_json::from_value(spec).unwrap();
    PreparedPolicy::new("bench", Some(1), &spec, &Root)
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

fn timed(lasting: Duration, mut work: impl FnMut()) -> Spread {
    let mut took = Vec::new();
    let until = Instant::now() + lasting;
    while Instant::now() < until || took.len() < 100 {
        let began = Instant::now();
        work();
        took.push(began.elapsed());
    }
    Spread::of(took)
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let lasting = Duration::from_millis(if quick { 200 } else { 3000 });
    let now = Timestamp::from_second(1_790_000_000).unwrap();
    let sample: Value = serde_saphyr::from_str(SAMPLE).unwrap();
    let document = Document {
        api_version: "neuralops.io/v1alpha1".into(),
        name: "restart-after-bad-rollout".into(),
        namespace: "shop".into(),
        spec: sample["spec"].clone(),
    };
    let message = document.canonical().unwrap();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();

    let signature = pair.sign(&SystemRandom::new(), &message).unwrap();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key());
    let bare = timed(lasting, || {
        key.verify(black_box(&message), signature.as_ref()).unwrap();
    });
    let figure = |took: &Spread| {
        let rate = thousands(1.0 / took.percentile(50));
        format!("{rate}/s, {} µs", took.percentiles(1e6))
    };
    line(
        "limit: one ECDSA P-256 signature over the bytes",
        &figure(&bare),
        "1",
        "",
    );
    let ratio = |took: &Spread| {
        format!(
            "{:.1} signatures",
            took.percentile(50) / bare.percentile(50)
        )
    };

    let signing =
        SigningKey::read(&pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref())).unwrap();
    let bundle = signing.sign(&message).unwrap();
    let annotations = BTreeMap::from([(ANNOTATION.to_owned(), bundle)]);
    let by_key = [policy(json!({
        "keys": [{"name": "author", "publicKey": pem("PUBLIC KEY", public.as_ref())}],
    }))];
    let whole = timed(lasting, || {
        verify_playbook(&document, &annotations, &by_key, None, now).unwrap();
    });
    line(
        "a Playbook signed by a key, from object to verdict",
        &figure(&whole),
        &ratio(&whole),
        &goal("p50 1,000/s", whole.percentile(50) < 0.001),
    );

    let root = json!({"configMapRef": {"name": "root", "key": "trusted_root.json"}});
    let someone = json!({
        "name": "someone", "issuer": "https://github.com/login/oauth", "subjectRegex": ".+@gmail\\.com",
    });
    let by_identity = policy(json!({"keyless": [someone], "trustedRoot": root}));
    let keyless = timed(lasting, || {
        let examination = by_identity.examine(BUNDLE, BLOB.as_bytes(), now);
        assert_eq!(examination.signers.len(), 1);
    });
    line(
        "a keyless bundle: certificate, log and time",
        &figure(&keyless),
        &ratio(&keyless),
        &goal("p50 200/s", keyless.percentile(50) < 0.005),
    );
}
