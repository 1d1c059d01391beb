//! How many signatures one core verifies, beside the bare signature check of the cryptography library in the same run.
//! `make bench` runs it; `--quick` takes a second. It asserts that the work was done, and nothing about time.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that cannot be made ends; what was measured is printed"
)]

#[expect(dead_code, reason = "the log's benchmark needs more of it")]
#[path = "report/spread.rs"]
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

/// The bare check, and what everything is compared with.
struct Limit {
    pair: EcdsaKeyPair,
    document: Document,
    bare: Spread,
}

fn figure(took: &Spread) -> String {
    let rate = thousands(1.0 / took.percentile(50));
    format!("{rate}/s, {} µs", took.percentiles(1e6))
}

impl Limit {
    fn measure(lasting: Duration) -> Self {
        let sample: Value = serde_saphyr::from_str(SAMPLE).unwrap();
        let document = Document {
            api_version: "neuralops.io/v1alpha1".into(),
            name: "restart-after-bad-rollout".into(),
            namespace: "shop".into(),
            spec: sample["spec"].clone(),
        };
        let message = document.canonical().unwrap();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let signature = pair.sign(&SystemRandom::new(), &message).unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key());
        let bare = timed(lasting, || {
            key.verify(black_box(&message), signature.as_ref()).unwrap();
        });
        line(
            "limit: one ECDSA P-256 signature over the bytes",
            &figure(&bare),
            "1",
            "",
        );
        Self {
            pair,
            document,
            bare,
        }
    }

    fn line(&self, what: &str, took: &Spread, goal: &str) {
        let ratio = took.percentile(50) / self.bare.percentile(50);
        line(what, &figure(took), &format!("{ratio:.1} signatures"), goal);
    }

    fn by_key(&self, lasting: Duration, now: Timestamp) {
        let public: PublicKeyX509Der<'_> = self.pair.public_key().as_der().unwrap();
        let private = self.pair.to_pkcs8v1().unwrap();
        let signing = SigningKey::read(&pem("PRIVATE KEY", private.as_ref())).unwrap();
        let bundle = signing.sign(&self.document.canonical().unwrap()).unwrap();
        let annotations = BTreeMap::from([(ANNOTATION.to_owned(), bundle)]);
        let key = json!({"name": "author", "publicKey": pem("PUBLIC KEY", public.as_ref())});
        let policies = [policy(json!({ "keys": [key] }))];
        let whole = timed(lasting, || {
            verify_playbook(&self.document, &annotations, &policies, None, now).unwrap();
        });
        self.line(
            "a Playbook signed by a key, from object to verdict",
            &whole,
            &goal("p50 1,000/s", whole.percentile(50) < 0.001),
        );
    }

    fn by_identity(&self, lasting: Duration, now: Timestamp) {
        let root = json!({"configMapRef": {"name": "root", "key": "trusted_root.json"}});
        let someone = json!({
            "name": "someone", "issuer": "https://github.com/login/oauth",
            "subjectRegex": ".+@gmail\\.com",
        });
        let policy = policy(json!({"keyless": [someone], "trustedRoot": root}));
        let keyless = timed(lasting, || {
            let examination = policy.examine(BUNDLE, BLOB.as_bytes(), now);
            assert_eq!(examination.signers.len(), 1);
        });
        self.line(
            "a keyless bundle: certificate, log and time",
            &keyless,
            &goal("p50 200/s", keyless.percentile(50) < 0.005),
        );
    }
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let lasting = Duration::from_millis(if quick { 200 } else { 3000 });
    let now = Timestamp::from_second(1_790_000_000).unwrap();
    let limit = Limit::measure(lasting);
    limit.by_key(lasting, now);
    limit.by_identity(lasting, now);
}
