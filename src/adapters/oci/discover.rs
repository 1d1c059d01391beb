//! Floor 2: what may be a signature of a digest, wherever registries keep it: behind the referrers API, under the tag that
//! stands for it, and under the old `.sig` tag. Candidates are judged by the media type of their layers; what a list says
//! about them only decides which are looked at first.

use std::collections::BTreeSet;

use reqwest::{StatusCode, Url, header::LINK};

use super::{
    LARGEST_SIGNATURE, MOST_CANDIDATES, MOST_LISTED, MOST_PAGES, MOST_SIGNATURES, OciError,
    answer::{Answer, brief, strange, unexpected},
    manifest::{self, Descriptor, Kind, Manifest},
    session::Session,
};
use crate::domain::{
    digest::Digest,
    reason::Reason,
    trust::{Attempt, FoundSignature, LegacySignature, SignatureForm, Signatures},
};

/// What cosign 3 writes.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What older ones wrote.
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Where cosign says what a bundle is about; nobody signs it, so it is a hint.
const PREDICATE: &str = "dev.sigstore.bundle.predicateType";
/// What it says there about signatures.
const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
/// The signature of an old form.
const OLD_SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// That it was made by an identity.
const OLD_CERTIFICATE: &str = "dev.sigstore.cosign/certificate";

/// A layer that may be a signature, and where it was found.
pub(super) struct Layer {
    pub place: String,
    pub descriptor: Descriptor,
    /// By the hint, or by its media type.
    pub likely: bool,
}

/// What is found, step by step.
struct Discovery<'a> {
    session: &'a Session<'a>,
    digest: &'a Digest,
    legacy: bool,
    looked_at: BTreeSet<Digest>,
    bundles: Vec<Layer>,
    old: Vec<Layer>,
    signatures: Signatures,
}

/// Everything beside this digest that may be a signature.
pub(super) async fn signatures(
    session: &Session<'_>,
    digest: &Digest,
    legacy: bool,
) -> Result<Signatures, OciError> {
    let mut discovery = Discovery {
        session,
        digest,
        legacy,
        looked_at: BTreeSet::new(),
        bundles: Vec::new(),
        old: Vec::new(),
        signatures: Signatures::default(),
    };
    let listed = discovery.referrers().await?;
    discovery.candidates(listed, MOST_LISTED).await?;
    if !discovery.bundles.iter().any(|bundle| bundle.likely) {
        // Without the API, or with one that knows nothing of what was pushed before it came.
        discovery.tag("").await?;
    }
    if legacy {
        discovery.tag(".sig").await?;
    }
    discovery.read().await
}

impl Discovery<'_> {
    /// What the referrers API lists; nothing, if the registry has none.
    async fn referrers(&mut self) -> Result<Vec<Descriptor>, OciError> {
        let first = self.session.url(&format!("referrers/{}", self.digest))?;
        let (mut listed, mut next) = (Vec::new(), Some(first.clone()));
        for _ in 0..MOST_PAGES {
            let Some(url) = next.take() else {
                return Ok(listed);
            };
            let answer = self.session.referrers(url).await?;
            match answer.status {
                StatusCode::OK => {}
                // The specification says 404; these are what registries without the API say as well.
                StatusCode::NOT_FOUND
                | StatusCode::BAD_REQUEST
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::NOT_ACCEPTABLE
                | StatusCode::NOT_IMPLEMENTED
                    if listed.is_empty() =>
                {
                    return Ok(listed);
                }
                _ => return Err(unexpected(&answer)),
            }
            match manifest::read(&answer.bytes, "the list of referrers") {
                Ok(Kind::Index(page)) => {
                    self.see(&page.foreign);
                    listed.extend(page.manifests);
                }
                Ok(Kind::Image(_)) => {
                    return Err(strange(&answer.url, "is not a list of referrers"));
                }
                Err(error) => return Err(strange(&answer.url, &error.to_string())),
            }
            next = next_page(&answer, &first)?;
        }
        if next.is_some() {
            let message = format!("further pages, behind the {MOST_PAGES} that are read");
            self.signatures.seen.push(message);
        }
        Ok(listed)
    }

    /// What is listed under a digest that we cannot hold anything against.
    fn see(&mut self, foreign: &[String]) {
        for digest in foreign.iter().take(MOST_CANDIDATES) {
            let seen = format!("referrer {digest} (another kind of digest)");
            self.signatures.seen.push(seen);
        }
    }

    /// What stands under the tag that is made of the digest.
    async fn tag(&mut self, ending: &str) -> Result<(), OciError> {
        let tag = format!("{}{ending}", self.digest.as_str().replace(':', "-"));
        let place = format!("tag {tag}");
        let raw = match self.session.manifest(&tag).await {
            Ok(Some(raw)) => raw,
            Ok(None) => return Ok(()),
            Err(error) => {
                let attempt = error.about_candidate(&place)?;
                self.signatures.attempts.push(attempt);
                return Ok(());
            }
        };
        match manifest::read(&raw.bytes, &place) {
            Ok(Kind::Index(listed)) => {
                self.see(&listed.foreign);
                self.candidates(listed.manifests, MOST_CANDIDATES).await?;
            }
            Ok(Kind::Image(manifest)) => self.candidate(&place, None, &manifest),
            Err(error) => {
                let attempt = error.about_candidate(&place)?;
                self.signatures.attempts.push(attempt);
            }
        }
        Ok(())
    }

    /// Looks at what a list names, the likely ones first, each once, until so many are looked at.
    async fn candidates(
        &mut self,
        mut listed: Vec<Descriptor>,
        most: usize,
    ) -> Result<(), OciError> {
        listed.sort_by_key(|one| {
            let annotations = one.annotations.as_ref();
            let predicate = annotations.and_then(|all| all.get(PREDICATE));
            let known = |kind: &str| kind.contains("sigstore") || kind.contains("cosign");
            match predicate {
                Some(predicate) if predicate == SIGNATURE => 0,
                None if one.artifact_type.as_deref().is_some_and(known) => 1,
                _ => 2,
            }
        });
        for one in listed {
            if self.looked_at.contains(&one.digest) {
                continue;
            }
            if self.looked_at.len() >= most {
                let message = format!("more than the {most} that are looked at");
                self.signatures.seen.push(message);
                break;
            }
            self.looked_at.insert(one.digest.clone());
            let place = format!("referrer {}", one.digest);
            let raw = match self.session.pinned(&one.digest).await {
                Ok(raw) => raw,
                Err(error) => {
                    let attempt = error.about_candidate(&place)?;
                    self.signatures.attempts.push(attempt);
                    continue;
                }
            };
            match manifest::read(&raw.bytes, &place) {
                Ok(Kind::Image(manifest)) => self.candidate(&place, Some(&one), &manifest),
                Ok(Kind::Index(_)) => self.signatures.seen.push(format!("{place} (an index)")),
                Err(error) => {
                    let attempt = error.about_candidate(&place)?;
                    self.signatures.attempts.push(attempt);
                }
            }
        }
        Ok(())
    }

    /// What of this manifest may be a signature.
    fn candidate(&mut self, place: &str, listed: Option<&Descriptor>, manifest: &Manifest) {
        if let Some(subject) = &manifest.subject
            && subject != self.digest
        {
            let message = format!("{place}: it refers to {subject}, not to {}", self.digest);
            let attempt = Attempt::new(Reason::SubjectMismatch, message);
            self.signatures.attempts.push(attempt);
            return;
        }
        let predicate = manifest.annotations.get(PREDICATE);
        let likely = predicate.is_none_or(|predicate| predicate == SIGNATURE);
        let mut known = false;
        // A manifest has room for thousands of layers, a signature has one.
        for layer in manifest.layers.iter().take(MOST_CANDIDATES) {
            let found = |likely| Layer {
                place: place.to_owned(),
                descriptor: layer.clone(),
                likely,
            };
            match layer.media_type.as_str() {
                BUNDLE => self.bundles.push(found(likely)),
                SIMPLE_SIGNING if self.legacy => self.old.push(found(true)),
                SIMPLE_SIGNING => {
                    let message = format!(
                        "{place}: a signature of the old form, which no policy about the image accepts: sign with cosign 3, or name LegacySig in the formats of a TrustPolicy with keys"
                    );
                    let attempt = Attempt::new(Reason::UnsupportedBundle, message);
                    self.signatures.attempts.push(attempt);
                }
                _ => continue,
            }
            known = true;
        }
        if !known && self.signatures.seen.len() < MOST_CANDIDATES {
            let first = manifest.layers.first();
            let kind = manifest
                .artifact_type
                .as_deref()
                .or(listed.and_then(|listed| listed.artifact_type.as_deref()))
                .or(first.map(|layer| layer.media_type.as_str()))
                .unwrap_or("nothing");
            let kind = brief(kind, 100);
            self.signatures.seen.push(format!("{place} ({kind:?})"));
        }
    }

    /// Reads the layers that may be signatures.
    async fn read(mut self) -> Result<Signatures, OciError> {
        // Attestations beside a signature must not crowd it out.
        self.bundles.sort_by_key(|layer| !layer.likely);
        for mut layers in [
            std::mem::take(&mut self.bundles),
            std::mem::take(&mut self.old),
        ] {
            if layers.len() > MOST_SIGNATURES {
                let more = layers.len() - MOST_SIGNATURES;
                let message = format!("{more} more than the {MOST_SIGNATURES} that are read");
                self.signatures.seen.push(message);
                layers.truncate(MOST_SIGNATURES);
            }
            for layer in layers {
                let read = self
                    .session
                    .layer(&layer.descriptor, LARGEST_SIGNATURE)
                    .await;
                let form = match read {
                    Ok(bytes) => form(&layer, bytes),
                    Err(error) => Err(error.about_candidate(&layer.place)?),
                };
                let place = layer.place;
                match form {
                    Ok(form) => self.signatures.found.push(FoundSignature { place, form }),
                    Err(attempt) => self.signatures.attempts.push(attempt),
                }
            }
        }
        Ok(self.signatures)
    }
}

/// The signature in a layer.
pub(super) fn form(layer: &Layer, bytes: Vec<u8>) -> Result<SignatureForm, Attempt> {
    let malformed = |what: &str| {
        let message = format!("{}: {what}", layer.place);
        Attempt::new(Reason::MalformedBundle, message)
    };
    let text = String::from_utf8(bytes).map_err(|_| malformed("the signature is no text"))?;
    if layer.descriptor.media_type == BUNDLE {
        return Ok(SignatureForm::Bundle(text));
    }
    let annotations = layer.descriptor.annotations.as_ref();
    let annotation = |name: &str| annotations.and_then(|all| all.get(name));
    let signature = annotation(OLD_SIGNATURE)
        .ok_or_else(|| malformed("the payload has no annotation with its signature"))?;
    Ok(SignatureForm::Legacy(LegacySignature {
        payload: text,
        signature: signature.clone(),
        certified: annotation(OLD_CERTIFICATE).is_some_and(|text| !text.is_empty()),
    }))
}

/// The address of the next page, which must be one of the same list.
pub(super) fn next_page(answer: &Answer, first: &Url) -> Result<Option<Url>, OciError> {
    let links = answer.headers.get_all(LINK).iter();
    let link = links
        .filter_map(|link| link.to_str().ok())
        .find_map(|link| {
            let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
            let next = rest.contains(r#"rel="next""#) || rest.contains("rel=next");
            next.then(|| address.to_owned())
        });
    let Some(link) = link else {
        return Ok(None);
    };
    match answer.url.join(&link) {
        Ok(url) if url.origin() == first.origin() && url.path() == first.path() => Ok(Some(url)),
        _ => Err(strange(
            &answer.url,
            "names a next page that is not of the same list",
        )),
    }
}
