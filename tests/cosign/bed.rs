//! The test bed: everything is signed once, while the services run; then they are stopped, and only then any test looks
//! at what was signed.

use std::{collections::BTreeMap, sync::OnceLock};

use neuralops::domain::document::Document;
use serde_json::Value;

use crate::{
    blobs::BLOBS,
    desk::Desk,
    images,
    made::{bytes, document},
    registry::Found,
    services::Services,
};

/// What was signed, all of it read back into memory.
pub struct Signed {
    /// By the name that BLOBS gives it.
    pub blobs: BTreeMap<&'static str, String>,
    pub images: Vec<Found>,
    /// What the product itself said about the same images, asked while the registries still stood.
    pub asked: Vec<images::Asked>,
    /// Public keys, by the name of the pair.
    pub keys: BTreeMap<&'static str, String>,
    pub root: String,
    pub issuers: String,
}

/// Everything, signed by services that have ended.
pub fn signed() -> &'static Signed {
    static SIGNED: OnceLock<Option<Signed>> = OnceLock::new();
    // What failed once would fail again; it is said once.
    let signed = SIGNED.get_or_init(|| std::panic::catch_unwind(sign_everything).ok());
    signed
        .as_ref()
        .unwrap_or_else(|| panic!("not everything could be signed; another test says why"))
}

/// The document that is signed.
pub fn playbook() -> Document {
    document()
}

/// Key pairs by cosign, and of other kinds by openssl, imported.
fn make_keys(desk: &Desk) -> BTreeMap<&'static str, String> {
    for name in ["key", "second"] {
        desk.good(&format!("generate-key-pair --output-key-prefix {name}"));
    }
    for (name, kind) in [
        ("p384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384"),
        ("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
    ] {
        let line = format!("genpkey {kind} -out {name}.pem");
        let words = line.split_whitespace().map(ToOwned::to_owned);
        desk.run("openssl", words).unwrap();
        desk.good(&format!(
            "import-key-pair --key {name}.pem --output-key-prefix {name}"
        ));
    }
    ["key", "second", "p384", "rsa"]
        .map(|name| (name, desk.read(&format!("{name}.pub"))))
        .into()
}

fn sign_everything() -> Signed {
    let mut desk = Desk::new();
    let services = Services::start(&[]);
    let files = [
        "empty_config.json",
        "empty_root.json",
        "signing_config.json",
        "trusted_root.json",
    ];
    services.lay_out(&mut desk, &files);
    desk.write("playbook.jcs", bytes(&playbook()));
    let keys = make_keys(&desk);
    let mut blobs = BTreeMap::new();
    for blob in BLOBS {
        desk.good(&blob.sign.replace("OUT", "out"));
        blobs.insert(blob.name, desk.read("out"));
    }
    images::push(&mut desk, &services.env);
    images::sign(&desk);
    let mut signed = Signed {
        blobs,
        images: Vec::new(),
        asked: Vec::new(),
        keys,
        root: desk.read("trusted_root.json"),
        issuers: services.env["SIGNING_BED_ISSUERS"].clone(),
    };
    // From here on there is no authority, no log and no clock to ask.
    services.stop("up");
    images::verify_with_cosign(&desk);
    signed.images = images::read_back(&desk);
    signed.asked = images::ask(&desk, &signed);
    services.stop("registries");
    signed
}

fn list<'a>(spec: &'a mut Value, name: &str) -> impl Iterator<Item = &'a mut Value> {
    let entries = spec.get_mut(name).and_then(Value::as_array_mut);
    entries.into_iter().flatten()
}

impl Signed {
    /// The policy of a test: the key of this name, the issuer of this name, the root of these services.
    pub fn spec(&self, text: &str) -> Value {
        let mut spec: Value = serde_json::from_str(text).unwrap();
        for key in list(&mut spec, "keys") {
            let name = key["name"].as_str().unwrap();
            let public = self.keys[name].clone();
            key["publicKey"] = public.into();
        }
        for identity in list(&mut spec, "keyless") {
            let issuer = identity["issuer"].as_str().unwrap();
            identity["issuer"] = format!("{}/{issuer}", self.issuers).into();
        }
        if spec.get("trustedRoot").is_some() {
            spec["trustedRoot"] =
                serde_json::json!({"configMapRef": {"name": "root", "key": "json"}});
        }
        spec
    }
}
