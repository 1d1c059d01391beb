//! What lies in the registry of a test, and how it got there: artifacts, signatures of every form, and things that only
//! look like them.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use neuralops::domain::digest::Digest;
use serde_json::{Value, json};

use crate::made::{Key, MEDIA_TYPE};

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
pub const PLAYBOOK: &str = "application/vnd.neuralops.playbook.v1+json";
pub const FLUX_CONFIG: &str = "application/vnd.cncf.flux.config.v1+json";
pub const FLUX_LAYER: &str = "application/vnd.cncf.flux.content.v1.tar+gzip";

/// The contents of one repository.
#[derive(Default)]
pub struct Shelf {
    /// By tag and by digest: media type and bytes.
    pub manifests: BTreeMap<String, (String, Vec<u8>)>,
    pub blobs: BTreeMap<String, Vec<u8>>,
    /// What refers to a digest.
    pub referrers: BTreeMap<String, Vec<Value>>,
}

pub fn tag_of(digest: &Digest, ending: &str) -> String {
    format!("{}{ending}", digest.as_str().replace(':', "-"))
}

pub fn hex(digest: &Digest) -> &str {
    digest.as_str().strip_prefix("sha256:").unwrap()
}

/// What cosign 3 says about an image.
pub fn statement(digest: &Digest) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": hex(digest)}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    })
}

/// A bundle with this statement.
pub fn bundle_of(key: &Key, statement: &Value) -> String {
    let kind = "application/vnd.in-toto+json";
    let payload = statement.to_string();
    let encoded = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
    let bundle = json!({
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": ""}},
        "dsseEnvelope": {
            "payload": STANDARD.encode(&payload),
            "payloadType": kind,
            "signatures": [{"sig": STANDARD.encode(key.signature(encoded.as_bytes()))}],
        },
    });
    bundle.to_string()
}

pub fn bundle(key: &Key, digest: &Digest) -> String {
    bundle_of(key, &statement(digest))
}

/// What older cosigns say about an image.
pub fn payload(digest: &Digest) -> Value {
    json!({
        "critical": {
            "identity": {"docker-reference": "registry.example/pb/drain"},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": null,
    })
}

/// The layer of a signature in the old form.
pub struct Old {
    pub payload: String,
    pub annotations: Value,
}

pub fn old(key: &Key, payload: &Value) -> Old {
    let payload = payload.to_string();
    let signature = STANDARD.encode(key.signature(payload.as_bytes()));
    Old {
        annotations: json!({"dev.cosignproject.cosign/signature": signature}),
        payload,
    }
}

impl Shelf {
    pub fn blob(&mut self, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        self.blobs.insert(digest.to_string(), bytes.to_vec());
        json!({"digest": digest, "size": bytes.len()})
    }

    pub fn layer(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let mut descriptor = self.blob(bytes);
        descriptor["mediaType"] = json!(media_type);
        descriptor
    }

    pub fn manifest(&mut self, manifest: &Value) -> Digest {
        self.manifest_bytes(manifest.to_string().as_bytes())
    }

    pub fn manifest_bytes(&mut self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let entry = (OCI_MANIFEST.to_owned(), bytes.to_vec());
        self.manifests.insert(digest.to_string(), entry);
        digest
    }

    pub fn tag(&mut self, tag: &str, media_type: &str, value: &Value) {
        let bytes = value.to_string().into_bytes();
        let entry = (media_type.to_owned(), bytes);
        let digest = Digest::of(&entry.1).to_string();
        self.manifests.insert(digest, entry.clone());
        self.manifests.insert(tag.to_owned(), entry);
    }

    /// An artifact with one layer.
    pub fn artifact(&mut self, media_type: &str, layer: &[u8]) -> Digest {
        let config = if media_type == FLUX_LAYER {
            self.layer(FLUX_CONFIG, b"{}")
        } else {
            self.layer("application/vnd.oci.empty.v1+json", b"{}")
        };
        let layer = self.layer(media_type, layer);
        self.manifest(&json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config,
            "layers": [layer],
        }))
    }

    /// A manifest that refers to the digest, listed nowhere yet; as cosign writes it.
    pub fn referring(&mut self, to: &Digest, media_type: &str, layer: &[u8]) -> Value {
        let layer = self.layer(media_type, layer);
        let config = self.layer("application/vnd.oci.empty.v1+json", b"{}");
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": media_type,
            "config": config,
            "layers": [layer],
            "subject": {"mediaType": OCI_MANIFEST, "digest": to, "size": 1},
        });
        let digest = self.manifest(&manifest);
        let size = manifest.to_string().len();
        json!({
            "mediaType": OCI_MANIFEST,
            "digest": digest,
            "size": size,
            "artifactType": media_type,
        })
    }

    /// Lists a manifest as a referrer.
    pub fn list(&mut self, to: &Digest, descriptor: Value) {
        let list = self.referrers.entry(to.to_string()).or_default();
        list.push(descriptor);
    }

    /// Lists manifests under the tag that stands for the digest.
    pub fn list_by_tag(&mut self, to: &Digest, descriptors: &[Value]) {
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors});
        self.tag(&tag_of(to, ""), OCI_INDEX, &index);
    }

    /// A bundle as a referrer.
    pub fn refer(&mut self, to: &Digest, bundle: &str) {
        let descriptor = self.referring(to, MEDIA_TYPE, bundle.as_bytes());
        self.list(to, descriptor);
    }

    /// A signature of the old form as its manifest.
    pub fn old_manifest(&mut self, old: &Old) -> Value {
        let mut layer = self.layer(SIMPLE_SIGNING, old.payload.as_bytes());
        layer["annotations"] = old.annotations.clone();
        let config = self.layer("application/vnd.oci.image.config.v1+json", b"{}");
        json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config,
            "layers": [layer],
        })
    }

    /// The same where older cosigns put it.
    pub fn old_tag(&mut self, to: &Digest, old: &Old) {
        let manifest = self.old_manifest(old);
        self.tag(&tag_of(to, ".sig"), OCI_MANIFEST, &manifest);
    }
}
