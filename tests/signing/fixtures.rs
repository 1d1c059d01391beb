//! What the real cosign made with a private Sigstore, as tests/sigstore/fixtures left it in data/made; its README says
//! which file is what.

use neuralops::domain::{
    digest::Digest,
    document::{Document, Scope},
};
use serde_json::{Value, json};

macro_rules! made {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/signing/data/made/",
            $name
        ))
    };
}

pub(crate) use made;

pub const ROOT: &str = made!("root.json");
pub const MAIL: &str = "alice@shop.example";
pub const WORKFLOW: &str =
    "https://github.com/shop/playbooks/.github/workflows/release.yaml@refs/heads/main";
pub const ACCOUNT: &str = "https://kubernetes.io/namespaces/ci/serviceaccounts/signer";

/// The document that these canonical bytes are.
pub fn document(canonical: &str) -> Document {
    let value: Value = serde_json::from_str(canonical).unwrap();
    let text = |pointer: &str| value.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    Document {
        api_version: text("/apiVersion"),
        name: text("/metadata/name"),
        namespace: text("/metadata/namespace"),
        spec: value["spec"].clone(),
    }
}

/// The Playbook that was signed.
pub fn playbook() -> Document {
    document(made!("playbook.jcs"))
}

/// Where this kind of identity came from.
pub fn issuer(kind: &str) -> String {
    let issuers: Value = serde_json::from_str(made!("issuers.json")).unwrap();
    format!("{}/{kind}", issuers["issuers"].as_str().unwrap())
}

/// A policy's entry for one of the three identities.
pub fn identity(kind: &str, subject: &str) -> Value {
    json!({"name": kind, "issuer": issuer(kind), "subject": subject})
}

/// The digest of an image is that of its manifest.
pub fn image() -> Digest {
    Digest::of(made!("image.manifest.json").as_bytes())
}

#[test]
fn the_signed_bytes_are_the_canonical_form_of_what_the_author_wrote() {
    for (written, signed) in [
        (made!("playbook.yaml"), made!("playbook.jcs")),
        (made!("other-playbook.yaml"), made!("other-playbook.jcs")),
    ] {
        let canonical = document(signed).canonical_in(Scope::Namespaced).unwrap();
        assert_eq!(String::from_utf8(canonical).unwrap(), signed);
        let written: Value = serde_saphyr::from_str(written).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(signed).unwrap());
    }
}
