//! Floor 2: a Playbook becomes an artifact: its canonical bytes as the one layer, under a tag. What is signed afterwards is
//! the digest that is returned, never the tag.

use reqwest::{
    Method, StatusCode, Url,
    header::{HeaderMap, LOCATION},
};
use serde_json::json;

use super::{
    ARTIFACT_TYPE, LARGEST_LAYER, LARGEST_MANIFEST, OciError, PLAYBOOK_LAYER,
    answer::{strange, unexpected},
    client::Registry,
    error::Piece,
    manifest::MANIFEST,
    reference::Tagged,
    session::{Call, Session},
};
use crate::domain::{digest::Digest, trust::Image};

/// A config that says nothing.
const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// What was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// What is to be signed.
    pub image: Image,
    /// Its manifest.
    pub manifest: Vec<u8>,
}

impl Registry {
    /// Pushes a Playbook's canonical bytes.
    pub async fn push(&self, tagged: &Tagged, document: &[u8]) -> Result<Pushed, OciError> {
        if document.len() > LARGEST_LAYER {
            return Err(OciError::TooLarge {
                piece: Piece::Blob,
                what: tagged.to_string(),
                limit: LARGEST_LAYER,
            });
        }
        let manifest = manifest(document);
        let digest = Digest::of(&manifest);
        let session = Session::new(self, &tagged.name, true)?;
        let pushing = async {
            session.upload(EMPTY).await?;
            session.upload(document).await?;
            session.tag(&tagged.tag, &manifest).await?;
            // What others will fetch is what counts, not what we believe to have sent.
            session.pinned(&digest).await?;
            Ok(())
        };
        self.within(&tagged.to_string(), pushing).await?;
        let image = Image {
            name: tagged.name.clone(),
            digest,
        };
        Ok(Pushed { image, manifest })
    }
}

/// The same document always makes the same manifest.
fn manifest(document: &[u8]) -> Vec<u8> {
    let descriptor = |media_type: &str, bytes: &[u8]| {
        json!({
            "mediaType": media_type,
            "digest": Digest::of(bytes),
            "size": bytes.len(),
        })
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": descriptor(EMPTY_TYPE, EMPTY),
        "layers": [descriptor(PLAYBOOK_LAYER, document)],
    });
    manifest.to_string().into_bytes()
}

impl Session<'_> {
    async fn write(
        &self,
        method: Method,
        url: Url,
        body: Option<(&str, Vec<u8>)>,
        expected: StatusCode,
    ) -> Result<(Url, HeaderMap), OciError> {
        let call = Call {
            method,
            url,
            accept: "*/*",
            body,
            limit: LARGEST_MANIFEST,
            piece: Piece::Manifest,
        };
        let answer = self.send(&call).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(OciError::NotFound(format!(
                "the repository behind {}",
                call.url
            )));
        }
        if answer.status != expected {
            return Err(unexpected(&answer));
        }
        Ok((answer.url, answer.headers))
    }

    async fn upload(&self, bytes: &[u8]) -> Result<(), OciError> {
        let begin = self.url("blobs/uploads/")?;
        let begun = self.write(Method::POST, begin, None, StatusCode::ACCEPTED);
        let (url, headers) = begun.await?;
        let to = headers.get(LOCATION).and_then(|to| to.to_str().ok());
        let mut to = to
            .and_then(|to| url.join(to).ok())
            .ok_or_else(|| strange(&url, "does not say where to upload"))?;
        to.query_pairs_mut()
            .append_pair("digest", Digest::of(bytes).as_str());
        let body = ("application/octet-stream", bytes.to_vec());
        self.write(Method::PUT, to, Some(body), StatusCode::CREATED)
            .await?;
        Ok(())
    }

    async fn tag(&self, tag: &str, manifest: &[u8]) -> Result<(), OciError> {
        let url = self.url(&format!("manifests/{tag}"))?;
        let body = (MANIFEST, manifest.to_vec());
        self.write(Method::PUT, url, Some(body), StatusCode::CREATED)
            .await?;
        Ok(())
    }
}
