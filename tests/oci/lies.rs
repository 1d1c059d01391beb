//! Registries that give other bytes than they were asked for, more than they should, or what belongs to something else.

use neuralops::{
    adapters::oci::{Reference, Registry},
    domain::{digest::Digest, reason::Reason},
};
use serde_json::json;

use crate::{
    made::{self, MEDIA_TYPE, p256, trusting},
    server::{Instead, Server, ask, options, refused},
    shelf::{OCI_MANIFEST, PLAYBOOK, bundle, bundle_of, statement},
};

const MIB: usize = 1024 * 1024;

fn other_digest() -> Digest {
    Digest::of(b"something else")
}

#[tokio::test]
async fn a_digest_in_a_header_is_held_against_the_bytes() {
    let key = p256();
    let (server, digest) = Server::with_signed(&key).await;
    let image = server.image(&digest);
    let lie = Instead::Header("docker-content-digest", other_digest().to_string());
    server.instead("manifests/", lie);
    let reason = refused(&image, &[trusting(&[&key], 1)]).await;
    assert_eq!(reason, Reason::ContentMismatch);
    // What is no digest of this kind is no answer to this question.
    let other = Instead::Header("docker-content-digest", "sha512:0".into());
    server.instead("manifests/", other);
    ask(&image, &[trusting(&[&key], 1)]).await.unwrap();
}

#[tokio::test]
async fn a_tag_is_resolved_by_the_bytes_behind_it() {
    let (server, digest) = Server::with_signed(&p256()).await;
    {
        let mut inside = server.inside();
        let entry = inside.shelf.manifests[digest.as_str()].clone();
        inside.shelf.manifests.insert("1.4.0".into(), entry);
    }
    let registry = Registry::new(options()).unwrap();
    let text = format!("{}:1.4.0", server.name());
    let Ok(Reference::Tagged(tagged)) = text.parse() else {
        panic!("{text}")
    };
    let image = registry.resolve(&tagged).await.unwrap();
    assert_eq!(image, server.image(&digest));
    let lie = Instead::Header("docker-content-digest", other_digest().to_string());
    server.instead("manifests/1.4.0", lie);
    let error = registry.resolve(&tagged).await.unwrap_err();
    assert_eq!(error.reason(), Reason::ContentMismatch);
    server.instead("manifests/1.4.0", Instead::Status(404));
    let error = registry.resolve(&tagged).await.unwrap_err();
    assert_eq!(error.reason(), Reason::ArtifactNotFound);
}

#[tokio::test]
async fn other_bytes_than_those_of_the_digest_are_refused() {
    let key = p256();
    let (server, digest) = Server::with_signed(&key).await;
    let image = server.image(&digest);
    let policies = [trusting(&[&key], 1)];
    let manifest = server.inside().shelf.manifests[digest.as_str()].1.clone();
    let mut changed = manifest.clone();
    changed.push(b' ');
    server.instead(&format!("manifests/{digest}"), Instead::Bytes(changed));
    assert_eq!(refused(&image, &policies).await, Reason::ContentMismatch);
    server.inside().instead.clear();

    let layer = Digest::of(&made::bytes(&made::document()));
    let path = format!("blobs/{layer}");
    for bytes in [b"".to_vec(), vec![b' '; 100]] {
        server.instead(&path, Instead::Bytes(bytes));
        assert_eq!(refused(&image, &policies).await, Reason::ContentMismatch);
    }
    server.inside().instead.clear();
    ask(&image, &policies).await.unwrap();

    // The signature's own bytes: without it, nobody signed, and the message says what lay there.
    let signature = Digest::of(bundle_at(&server, &digest).as_bytes());
    server.instead(&format!("blobs/{signature}"), Instead::Bytes(vec![b' ']));
    assert_eq!(refused(&image, &policies).await, Reason::ContentMismatch);
}

#[tokio::test]
async fn an_image_and_its_referrers_are_held_against_their_digests() {
    let key = p256();
    let (server, digest) = Server::with_signed(&key).await;
    let image = server.image(&digest);
    let registry = Registry::new(options()).unwrap();
    let (path, bytes) = {
        let inside = server.inside();
        let listed = &inside.shelf.referrers[digest.as_str()][0]["digest"];
        let listed = listed.as_str().unwrap();
        let mut bytes = inside.shelf.manifests[listed].1.clone();
        bytes.push(b' ');
        (format!("manifests/{listed}"), bytes)
    };
    server.instead(&path, Instead::Bytes(bytes));
    let beside = registry.signatures(&image, false).await.unwrap();
    assert!(beside.found.is_empty());
    assert_eq!(beside.attempts[0].reason, Reason::ContentMismatch);
    server.inside().instead.clear();
    let beside = registry.signatures(&image, false).await.unwrap();
    assert_eq!(beside.found.len(), 1);
    let instead = Instead::Bytes(br#"{"layers":[]}"#.to_vec());
    server.instead(&format!("manifests/{digest}"), instead);
    let error = registry.signatures(&image, false).await.unwrap_err();
    assert_eq!(error.reason(), Reason::ContentMismatch);
}

/// The bundle of the first referrer.
fn bundle_at(server: &Server, digest: &Digest) -> String {
    let inside = server.inside();
    let listed = &inside.shelf.referrers[digest.as_str()][0]["digest"];
    let (_, manifest) = &inside.shelf.manifests[listed.as_str().unwrap()];
    let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap();
    let blob = manifest["layers"][0]["digest"].as_str().unwrap();
    String::from_utf8(inside.shelf.blobs[blob].clone()).unwrap()
}

#[tokio::test]
async fn a_referrer_of_another_image_is_no_signature_of_this_one() {
    let key = p256();
    let (server, digest) = Server::with_signed(&key).await;
    let image = server.image(&digest);
    let policies = [trusting(&[&key], 1)];
    {
        // Listed here, and about something else by its own word.
        let mut inside = server.inside();
        inside.shelf.referrers.clear();
        let stolen = bundle(&key, &other_digest());
        let foreign = inside
            .shelf
            .referring(&other_digest(), MEDIA_TYPE, stolen.as_bytes());
        inside.shelf.list(&digest, foreign);
    }
    assert_eq!(refused(&image, &policies).await, Reason::SubjectMismatch);
    {
        // The manifest says that it belongs here; what is signed does not.
        let mut inside = server.inside();
        inside.shelf.referrers.clear();
        let stolen = bundle(&key, &other_digest());
        inside.shelf.refer(&digest, &stolen);
    }
    assert_eq!(refused(&image, &policies).await, Reason::SubjectMismatch);
    {
        let mut inside = server.inside();
        inside.shelf.referrers.clear();
        let mut scan = statement(&digest);
        scan["predicateType"] = json!("https://cosign.sigstore.dev/attestation/vuln/v1");
        let scan = bundle_of(&key, &scan);
        inside.shelf.refer(&digest, &scan);
    }
    let no = ask(&image, &policies).await.unwrap_err();
    assert_eq!(no.reason(), Reason::WrongPredicate);
    assert!(no.text().contains("cosign sign"), "{}", no.text());
    // Beside a good one, all that is of no matter.
    let good = bundle(&key, &digest);
    server.inside().shelf.refer(&digest, &good);
    ask(&image, &policies).await.unwrap();
}

#[tokio::test]
async fn manifests_have_a_largest_size() {
    let key = p256();
    let (server, digest) = Server::with_signed(&key).await;
    let image = server.image(&digest);
    let policies = [trusting(&[&key], 1)];
    let large = vec![b' '; MIB + 1];
    for path in [format!("manifests/{digest}"), "referrers/".to_owned()] {
        for instead in [Instead::Bytes(large.clone()), Instead::Endless] {
            server.instead(&path, instead);
            let reason = refused(&image, &policies).await;
            assert_eq!(reason, Reason::ManifestTooLarge, "{path}");
        }
        server.inside().instead.clear();
    }
    // One candidate among others is not in the way of a good one, and named if there is no other.
    let huge = {
        let mut inside = server.inside();
        let huge = inside.shelf.manifest_bytes(&large);
        let listed = json!({"mediaType": OCI_MANIFEST, "digest": huge, "size": 1});
        inside.shelf.list(&digest, listed);
        huge
    };
    ask(&image, &policies).await.unwrap();
    server
        .inside()
        .shelf
        .referrers
        .get_mut(digest.as_str())
        .unwrap()
        .remove(0);
    let no = ask(&image, &policies).await.unwrap_err();
    assert_eq!(no.reason(), Reason::ManifestTooLarge);
    assert!(no.text().contains(huge.as_str()), "{}", no.text());
}

#[tokio::test]
async fn layers_have_a_largest_size() {
    let key = p256();
    let policies = [trusting(&[&key], 1)];
    let (server, digest) = Server::with_signed(&key).await;
    let image = server.image(&digest);
    let layer = Digest::of(&made::bytes(&made::document()));
    for instead in [Instead::Bytes(vec![b' '; MIB + 1]), Instead::Endless] {
        server.instead(&format!("blobs/{layer}"), instead);
        assert_eq!(refused(&image, &policies).await, Reason::BlobTooLarge);
    }
    server.inside().instead.clear();
    // By its own word: it is not even asked for.
    let (honest, size) = {
        let mut inside = server.inside();
        let large = vec![b' '; MIB + 1];
        let honest = inside.shelf.artifact(PLAYBOOK, &large);
        (honest, Digest::of(&large))
    };
    let reason = refused(&server.image(&honest), &policies).await;
    assert_eq!(reason, Reason::BlobTooLarge);
    assert_eq!(server.asked(size.as_str()), 0);
    // A signature is smaller still.
    {
        let mut inside = server.inside();
        inside.shelf.referrers.clear();
        inside.shelf.refer(&digest, &" ".repeat(MIB / 4 + 1));
    }
    assert_eq!(refused(&image, &policies).await, Reason::BlobTooLarge);
}

#[tokio::test]
async fn a_layer_has_the_size_that_its_manifest_says() {
    let key = p256();
    let server = Server::start().await;
    let digest = {
        let mut inside = server.inside();
        let bytes = made::bytes(&made::document());
        let mut layer = inside.shelf.layer(PLAYBOOK, &bytes);
        layer["size"] = json!(bytes.len() - 1);
        let manifest = json!({"schemaVersion": 2, "layers": [layer]});
        let digest = inside.shelf.manifest(&manifest);
        inside.shelf.refer(&digest, &bundle(&key, &digest));
        digest
    };
    let reason = refused(&server.image(&digest), &[trusting(&[&key], 1)]).await;
    assert_eq!(reason, Reason::UnexpectedMediaType);
}

#[tokio::test]
async fn other_artifacts_are_no_playbooks() {
    let key = p256();
    let server = Server::start().await;
    let policies = [trusting(&[&key], 1)];
    let bytes = made::bytes(&made::document());
    let others = {
        let mut inside = server.inside();
        let shelf = &mut inside.shelf;
        let layer = shelf.layer(PLAYBOOK, &bytes);
        let image = shelf.artifact("application/vnd.oci.image.layer.v1.tar+gzip", &bytes);
        let two = shelf.manifest(&json!({"layers": [layer, layer]}));
        let index = shelf.manifest(&json!({"manifests": [layer]}));
        let both = shelf.manifest(&json!({"manifests": [layer], "layers": [layer]}));
        let twice = format!("{{\"layers\":[{layer}],\"layers\":[{layer}]}}");
        let twice = shelf.manifest_bytes(twice.as_bytes());
        let page = shelf.manifest_bytes(b"<html>");
        [image, two, index, both, twice, page]
    };
    for digest in others {
        let signature = bundle(&key, &digest);
        server.inside().shelf.refer(&digest, &signature);
        let reason = refused(&server.image(&digest), &policies).await;
        assert_eq!(reason, Reason::UnexpectedMediaType);
    }
}
