//! Any text as a signature, against a key, a key with a log, and identities of two roots. Nothing panics, and nobody has
//! signed bytes that no signature here is about.
#![no_main]

use std::{collections::BTreeMap, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use neuralops::{
    adapters::verify::{ConfigMaps, PreparedPolicy, is_about},
    api::v1alpha1::ConfigMapKeyRef,
    domain::{
        digest::Digest,
        reason::Reason,
        trust::{Attempt, Examination, Examiner as _},
    },
};
use serde_json::{Value, json};

macro_rules! data {
    ($name:literal) => {
        include_str!(concat!("../../signing/data/", $name))
    };
}

/// A policy, and bytes that somebody whom it trusts has signed.
struct Asked {
    policy: PreparedPolicy,
    blob: &'static str,
}

struct Maps(BTreeMap<&'static str, &'static str>);

impl ConfigMaps for Maps {
    fn text(&self, reference: &ConfigMapKeyRef) -> Option<String> {
        self.0.get(reference.key.as_str()).map(ToString::to_string)
    }
}

/// The moment at which everything is asked.
fn now() -> Timestamp {
    "2026-11-01T00:00:00Z".parse().unwrap()
}

fn asked(spec: Value, root: &'static str, blob: &'static str, bundle: &str) -> Asked {
    let maps = Maps([("root", root)].into());
    let spec = serde_json::from_value(spec).unwrap();
    let policy = PreparedPolicy::new("fuzz", Some(1), &spec, &maps);
    assert_eq!(policy.problems(), []);
    // Otherwise nothing would be altered that is worth it.
    let examination = policy.examine(bundle, blob.as_bytes(), now());
    assert_eq!(examination.signers.len(), 1, "{examination:?}");
    Asked { policy, blob }
}

static ASKED: LazyLock<Vec<Asked>> = LazyLock::new(|| {
    let root = json!({"configMapRef": {"name": "root", "key": "root"}});
    let issuers: Value = serde_json::from_str(data!("made/issuers.json")).unwrap();
    let issuer = |kind: &str| format!("{}/{kind}", issuers["issuers"].as_str().unwrap());
    let keys = json!([{"name": "key", "publicKey": data!("made/key.pub")}]);
    let (made, playbook) = (data!("made/root.json"), data!("made/playbook.jcs"));
    vec![
        asked(
            json!({"keys": keys}),
            made,
            playbook,
            data!("made/key.sigstore.json"),
        ),
        asked(
            json!({"keys": keys, "trustedRoot": root, "transparencyLog": "IfPresent", "keyless": [
                {"name": "mail", "issuer": issuer("mail"), "subjectRegex": ".*"},
                {"name": "account", "issuer": issuer("account"), "subjectRegex": ".*"},
            ]}),
            made,
            playbook,
            data!("made/account.sigstore.json"),
        ),
        asked(
            json!({"trustedRoot": root, "transparencyLog": "Required", "keyless": [
                {"name": "someone", "issuer": "https://github.com/login/oauth", "subjectRegex": ".*"},
            ]}),
            data!("public-good-root.json"),
            data!("cosign-v3-keyless.txt"),
            data!("cosign-v3-keyless.sigstore.json"),
        ),
    ]
});

/// A defect: the verifier panicked, or said something that has no word of ours.
fn sound(attempts: &[Attempt]) {
    for attempt in attempts {
        assert_ne!(attempt.reason, Reason::VerifierError, "{}", attempt.message);
    }
}

fn nobody(examination: &Examination) {
    assert_eq!(examination.signers, []);
    sound(&examination.attempts);
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(bundle) = std::str::from_utf8(bytes) else {
        return;
    };
    let image = Digest::of(data!("made/image.manifest.json").as_bytes());
    for Asked { policy, blob } in ASKED.iter() {
        let examination = policy.examine(bundle, blob.as_bytes(), now());
        sound(&examination.attempts);
        // Whatever is signed: the same bundle says nothing about other bytes.
        let altered = format!("{blob} ");
        nobody(&policy.examine(bundle, altered.as_bytes(), now()));
        if !examination.signers.is_empty() {
            assert!(is_about(bundle, blob.as_bytes()).is_ok());
        }
        sound(&policy.examine_statement(bundle, &image, now()).attempts);
        nobody(&policy.examine_statement(bundle, &Digest::of(b"other"), now()));
        if let Err(attempt) = is_about(bundle, blob.as_bytes()) {
            sound(&[attempt]);
        }
    }
});

/// Every text in a value.
fn texts(value: &mut Value) -> Vec<&mut String> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter_mut().flat_map(texts).collect(),
        Value::Object(fields) => fields.values_mut().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// The same bundle with other bytes in one of its texts, beneath their base64: certificates, timestamps, entries of logs.
fn beneath(bytes: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut bundle: Value = serde_json::from_slice(bytes).ok()?;
    let mut texts = texts(&mut bundle);
    let at = usize::try_from(seed).ok()?.checked_rem(texts.len())?;
    let text = texts.get_mut(at)?;
    let mut inner = STANDARD.decode(text.as_bytes()).ok()?;
    let size = inner.len();
    inner.resize(size + 64, 0);
    let changed = fuzzer_mutate(&mut inner, size, size + 64);
    inner.truncate(changed);
    **text = STANDARD.encode(inner);
    serde_json::to_vec(&bundle).ok()
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let changed = data.get(..size).filter(|_| seed % 4 != 0);
    let changed = changed.and_then(|bytes| beneath(bytes, seed / 4));
    if let Some(changed) = changed.filter(|bytes| bytes.len() <= max_size) {
        data[..changed.len()].copy_from_slice(&changed);
        return changed.len();
    }
    fuzzer_mutate(data, size, max_size)
});
