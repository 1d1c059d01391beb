//! Whatever is altered at random: a document or a signature that somebody touched is never trusted, and nothing panics.

use neuralops::domain::{document::Document, reason::Reason};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::made::{Key, bytes, check, document, p256, trusting};

struct Signed {
    key: Key,
    bundle: String,
}

thread_local! {
    /// One key for all cases: making keys is not what is tested.
    static SIGNED: Signed = {
        let key = p256();
        let bundle = key.product(&bytes(&document()));
        Signed { key, bundle }
    };
}

/// Base64 as its most generous reader takes it.
fn lenient(text: &str) -> Vec<u8> {
    use base64::{Engine as _, alphabet, engine};
    let config = engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(engine::DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    engine::GeneralPurpose::new(&alphabet::STANDARD, config)
        .decode(text)
        .unwrap()
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        "[a-z ]{0,12}".prop_map(Value::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn another_document_is_never_trusted(
        name in "[a-z]{1,8}",
        namespace in "[a-z]{1,8}",
        field in prop::sample::select(vec!["revision", "serviceAccountName", "steps", "added"]),
        value in leaf(),
    ) {
        let mut changed = Document { name, namespace, ..document() };
        changed.spec[field] = value;
        prop_assume!(bytes(&changed) != bytes(&document()));
        SIGNED.with(|signed| {
            let refusal = check(&changed, &[&signed.bundle], &[trusting(&[&signed.key], 1)]).unwrap_err();
            prop_assert_eq!(refusal.reason, Reason::DigestMismatch);
            Ok(())
        })?;
    }

    /// A byte of the bundle's text: if it is still trusted, then signature and digest are still the same ones.
    #[test]
    fn an_altered_bundle_is_trusted_only_where_it_means_the_same(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        SIGNED.with(|signed| {
            let mut text = signed.bundle.clone().into_bytes();
            let at = at.index(text.len());
            if cut { text.remove(at); } else { text[at] = byte; }
            let text = String::from_utf8_lossy(&text).into_owned();
            let trusted = check(&document(), &[&text], &[trusting(&[&signed.key], 1)]).is_ok();
            if trusted {
                let of = |text: &str| {
                    let value: Value = serde_json::from_str(text).unwrap();
                    let signature = &value["messageSignature"];
                    let digest = &signature["messageDigest"];
                    // Base64 with and without its padding means the same bytes.
                    [&signature["signature"], &digest["digest"]].map(|text| lenient(text.as_str().unwrap()))
                };
                prop_assert_eq!(of(&text), of(&signed.bundle));
            }
            Ok(())
        })?;
    }

    #[test]
    fn an_altered_signature_is_never_trusted(at in any::<prop::sample::Index>(), flip in 1u8..) {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        SIGNED.with(|signed| {
            let mut bundle: Value = serde_json::from_str(&signed.bundle).unwrap();
            let signature = bundle["messageSignature"]["signature"].as_str().unwrap();
            let mut signature = STANDARD.decode(signature).unwrap();
            let at = at.index(signature.len());
            signature[at] ^= flip;
            bundle["messageSignature"]["signature"] = json!(STANDARD.encode(signature));
            let refusal = check(&document(), &[bundle], &[trusting(&[&signed.key], 1)]).unwrap_err();
            prop_assert_eq!(refusal.reason, Reason::UntrustedKey);
            Ok(())
        })?;
    }

    #[test]
    fn no_text_makes_the_verifier_panic(text in ".{0,400}") {
        SIGNED.with(|signed| {
            let refusal = check(&document(), &[&text], &[trusting(&[&signed.key], 1)]).unwrap_err();
            prop_assert!(matches!(refusal.reason, Reason::MalformedBundle | Reason::UnsupportedBundle));
            Ok(())
        })?;
    }
}
