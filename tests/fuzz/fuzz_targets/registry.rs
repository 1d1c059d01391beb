//! Any bytes as what a registry sends: manifests, indexes, lists of referrers, the layer of a Playbook as it is and in an
//! archive, an old signature, and the words of an error or a challenge.
#![no_main]

use std::{io::Write as _, sync::LazyLock};

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use neuralops::{
    adapters::{
        oci::fuzzing::{layer, manifest, words},
        verify::{ConfigMaps, PreparedPolicy},
    },
    api::v1alpha1::ConfigMapKeyRef,
    domain::{
        digest::Digest,
        reason::Reason,
        trust::{Examiner as _, LegacySignature},
    },
};
use serde_json::{Value, json};

macro_rules! made {
    ($name:literal) => {
        include_str!(concat!("../../signing/data/made/", $name))
    };
}

struct NoMaps;

impl ConfigMaps for NoMaps {
    fn text(&self, _: &ConfigMapKeyRef) -> Option<String> {
        None
    }
}

static POLICY: LazyLock<PreparedPolicy> = LazyLock::new(|| {
    let spec = json!({
        "keys": [{"name": "key", "publicKey": made!("key.pub")}],
        "formats": ["Bundle", "LegacySig"],
    });
    PreparedPolicy::new(
        "fuzz",
        None,
        &serde_json::from_value(spec).unwrap(),
        &NoMaps,
    )
});

static SIGNATURE: LazyLock<String> = LazyLock::new(|| {
    let manifest: Value = serde_json::from_str(made!("image-sig-key.manifest.json")).unwrap();
    let signature = &manifest["layers"][0]["annotations"]["dev.cosignproject.cosign/signature"];
    signature.as_str().unwrap().to_owned()
});

/// An old signature with this payload, and with this as the signature.
fn legacy(text: &str) {
    let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
    let image = Digest::of(made!("image.manifest.json").as_bytes());
    let sound = made!("image-sig-key.payload.json");
    for (payload, signature) in [(text, SIGNATURE.as_str()), (sound, text)] {
        let signature = LegacySignature {
            payload: payload.to_owned(),
            signature: signature.to_owned(),
            certified: false,
        };
        let examination = POLICY.examine_legacy(&signature, &image, now);
        assert!(examination.signers.is_empty() || payload == sound);
        let reasons = examination.attempts.iter().map(|attempt| attempt.reason);
        assert!(
            !reasons
                .into_iter()
                .any(|reason| reason == Reason::VerifierError)
        );
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The same archive with right sums in its headers, which no fuzzer finds by itself.
fn summed(bytes: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut tar = bytes.to_vec();
    let mut at = 0;
    while let Some(header) = tar.get_mut(at..at + BLOCK) {
        if header.iter().any(|byte| *byte != 0) {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let size = std::str::from_utf8(&header[124..135]).unwrap_or_default();
        let size = usize::from_str_radix(size, 8).unwrap_or_default();
        at += BLOCK + size.min(bytes.len()).next_multiple_of(BLOCK);
    }
    tar
}

fuzz_target!(|bytes: &[u8]| {
    manifest(bytes);
    words(bytes);
    for layer_bytes in [bytes, &gzip(bytes), &gzip(&summed(bytes))] {
        layer(layer_bytes);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        legacy(text);
    }
});
