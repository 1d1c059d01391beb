//! Any bytes as what a registry sends: manifests, indexes, lists of referrers, the layer of a Playbook as it is and in an
//! archive, an old signature, and the words of an error or a challenge.
#![no_main]

use std::{io::Write as _, sync::LazyLock};

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
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

/// The size of a block of an archive.
const BLOCK: usize = 512;

/// The same archive with right sums in its headers, which no fuzzer finds by itself.
fn summed(bytes: &[u8]) -> Vec<u8> {
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

/// Fields of a header in an archive: name, size, kind, target of a link, prefix of the name.
const FIELDS: [(usize, usize); 5] = [(0, 100), (124, 12), (156, 1), (157, 100), (345, 155)];

/// What an archive should not be able to say.
const NAMES: [&str; 6] = ["../", "/", "a/../../", "..\0", "a\\", "\n"];

/// Changes one field of one header, and leaves everything in its place.
fn within(bytes: &mut [u8], seed: usize) -> Option<()> {
    let headers: Vec<usize> = (0..bytes.len())
        .step_by(BLOCK)
        .filter(|at| bytes.get(at + 257..at + 262) == Some(b"ustar"))
        .collect();
    let at = headers.get(seed.checked_rem(headers.len())?)?;
    let (start, length) = FIELDS[seed / headers.len() % FIELDS.len()];
    let field = bytes.get_mut(at + start..at + start + length)?;
    if let Some(name) = NAMES.get(seed / headers.len() / FIELDS.len() % 16)
        && name.len() <= length
    {
        field.rotate_right(name.len());
        field[..name.len()].copy_from_slice(name.as_bytes());
        return Some(());
    }
    let used = field.iter().position(|byte| *byte == 0).unwrap_or(length);
    let used = fuzzer_mutate(field, used, length);
    field[used..].fill(0);
    Some(())
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let seed = seed as usize;
    if seed % 2 == 0 && within(&mut data[..size], seed / 2).is_some() {
        return size;
    }
    fuzzer_mutate(data, size, max_size)
});
