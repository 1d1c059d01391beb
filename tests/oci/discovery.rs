//! Where signatures are kept, and in which forms: each place and form by itself, and what is in the way of finding it.

use neuralops::domain::{reason::Reason, trust::Signer};
use serde_json::{Value, json};

use crate::{
    made::{MEDIA_TYPE, p256, p384, p384_sha256, policy, rsa2048, trusting},
    server::{Instead, Referrers, Server, ask, ask_with, options, refused},
    shelf::{OCI_MANIFEST, SIMPLE_SIGNING, bundle, bundle_of, old, payload, statement, tag_of},
};

const SPDX: &str = "application/spdx+json";

#[tokio::test]
async fn a_bundle_behind_the_referrers_api_is_found() {
    let key = p256();
    for referrers in [
        Referrers::AsSpecified,
        Referrers::WrongType,
        Referrers::Paged(1),
    ] {
        let (server, digest) = Server::with_signed(&key).await;
        server.inside().referrers = referrers;
        let verified = ask(&server.image(&digest), &[trusting(&[&key], 1)]).await;
        let verified = verified.unwrap();
        assert_eq!(verified.artifact(), Some(&digest));
        assert_eq!(verified.document().name, "restart");
        assert!(matches!(&verified.signers()[..], [Signer::Key { .. }]));
    }
}

#[tokio::test]
async fn without_the_api_the_tag_that_stands_for_the_digest_is_read() {
    let key = p256();
    let without = [404, 400, 405, 406, 501].map(Referrers::Missing);
    for referrers in without.into_iter().chain([Referrers::Empty]) {
        let (server, digest) = Server::with_signed(&key).await;
        {
            let mut inside = server.inside();
            let list = inside.shelf.referrers.remove(digest.as_str()).unwrap();
            inside.shelf.list_by_tag(&digest, &list);
            inside.referrers = referrers;
        }
        let image = server.image(&digest);
        ask(&image, &[trusting(&[&key], 1)]).await.unwrap();
        server.inside().shelf.manifests.remove(&tag_of(&digest, ""));
        let reason = refused(&image, &[trusting(&[&key], 1)]).await;
        assert_eq!(reason, Reason::NoSignatureFound);
    }
}

/// The API came to the registry after the signature did, and something was pushed since.
#[tokio::test]
async fn a_list_without_signatures_does_not_hide_the_tag() {
    let key = p256();
    let (server, digest) = Server::with_signed(&key).await;
    {
        let mut inside = server.inside();
        let list = inside.shelf.referrers.remove(digest.as_str()).unwrap();
        inside.shelf.list_by_tag(&digest, &list);
        let sbom = inside.shelf.referring(&digest, SPDX, b"{}");
        inside.shelf.list(&digest, sbom);
    }
    let image = server.image(&digest);
    ask(&image, &[trusting(&[&key], 1)]).await.unwrap();
}

#[tokio::test]
async fn what_is_there_instead_of_a_signature_is_listed() {
    let (server, digest) = Server::with_signed(&p256()).await;
    {
        let mut inside = server.inside();
        inside.shelf.referrers.clear();
        let sbom = inside.shelf.referring(&digest, SPDX, b"{}");
        inside.shelf.list(&digest, sbom);
    }
    let no = ask(&server.image(&digest), &[trusting(&[&p256()], 1)]).await;
    let no = no.unwrap_err();
    assert_eq!(no.reason(), Reason::NoSignatureFound);
    assert!(no.text().contains(SPDX), "{}", no.text());
}

#[tokio::test]
async fn pages_are_followed_to_an_end_and_within_the_list() {
    let key = p256();
    let (server, digest) = Server::with_signed(&key).await;
    {
        let mut inside = server.inside();
        let signature = inside.shelf.referrers.remove(digest.as_str()).unwrap();
        for number in 0..5 {
            let layer = format!("{{\"sbom\":{number}}}");
            let sbom = inside.shelf.referring(&digest, SPDX, layer.as_bytes());
            inside.shelf.list(&digest, sbom);
        }
        inside.shelf.list(&digest, signature[0].clone());
        inside.referrers = Referrers::Paged(2);
    }
    let image = server.image(&digest);
    let policies = [trusting(&[&key], 1)];
    ask(&image, &policies).await.unwrap();
    assert_eq!(server.asked("/referrers/"), 3);

    server.inside().referrers = Referrers::EndlessPages;
    let no = ask(&image, &policies).await.unwrap_err();
    assert_eq!(no.reason(), Reason::NoSignatureFound);
    assert!(no.text().contains("further pages"), "{}", no.text());

    server.inside().referrers = Referrers::AsSpecified;
    for link in [
        "<https://elsewhere.example/v2/pb/drain/referrers/x>; rel=\"next\"".to_owned(),
        format!("</v2/other/referrers/{digest}?n=1>; rel=\"next\""),
        "<http://[>; rel=next".to_owned(),
    ] {
        server.instead("referrers/", Instead::Header("link", link));
        assert_eq!(refused(&image, &policies).await, Reason::RegistryError);
    }
    assert_eq!(
        server.asked("/v2/other/"),
        0,
        "another list is not asked for"
    );
}

/// Fifty lists of ingredients and twenty attestations: each bundle looks like a signature from outside.
#[tokio::test]
async fn attestations_do_not_crowd_out_a_signature() {
    let key = p256();
    let (server, digest) = Server::with_signed(&key).await;
    {
        let mut inside = server.inside();
        let mut signature = inside.shelf.referrers.remove(digest.as_str()).unwrap();
        for number in 0..50 {
            let layer = format!("{{\"sbom\":{number}}}");
            let sbom = inside.shelf.referring(&digest, SPDX, layer.as_bytes());
            inside.shelf.list(&digest, sbom);
        }
        let annotation = "dev.sigstore.bundle.predicateType";
        for number in 0..20 {
            let mut other = statement(&digest);
            other["predicateType"] = json!("https://slsa.dev/provenance/v1");
            other["predicate"] = json!({"number": number});
            let bundle = bundle_of(&key, &other);
            let mut attestation = inside
                .shelf
                .referring(&digest, MEDIA_TYPE, bundle.as_bytes());
            attestation["annotations"] = json!({annotation: "https://slsa.dev/provenance/v1"});
            inside.shelf.list(&digest, attestation);
        }
        let mut last = signature.remove(0);
        last["annotations"] = json!({annotation: "https://sigstore.dev/cosign/sign/v1"});
        inside.shelf.list(&digest, last);
    }
    let image = server.image(&digest);
    ask(&image, &[trusting(&[&key], 1)]).await.unwrap();
    // Twenty-four candidates, and the artifact itself.
    assert_eq!(server.asked("/manifests/sha256:"), 25);
}

/// However much the API lists, and whatever it is: the signature under the tag is found.
#[tokio::test]
async fn attestations_behind_the_api_do_not_hide_the_tag() {
    let key = p256();
    let (server, digest) = Server::with_signed(&key).await;
    {
        let mut inside = server.inside();
        let signature = inside.shelf.referrers.remove(digest.as_str()).unwrap();
        inside.shelf.list_by_tag(&digest, &signature);
        for number in 0..40 {
            let mut other = statement(&digest);
            other["predicateType"] = json!("https://slsa.dev/provenance/v1");
            other["predicate"] = json!({"number": number});
            let bundle = bundle_of(&key, &other);
            let layer = inside.shelf.layer(MEDIA_TYPE, bundle.as_bytes());
            let attestation = inside.shelf.manifest(&json!({
                "layers": [layer],
                "annotations": {
                    "dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1",
                },
            }));
            let listed = json!({"digest": attestation, "artifactType": MEDIA_TYPE});
            inside.shelf.list(&digest, listed);
        }
    }
    let image = server.image(&digest);
    ask(&image, &[trusting(&[&key], 1)]).await.unwrap();
}

#[tokio::test]
async fn signers_in_several_referrers_add_up() {
    let (one, two) = (p256(), rsa2048());
    let (server, digest) = Server::with_signed(&one).await;
    let image = server.image(&digest);
    let both = [trusting(&[&one, &two], 2)];
    assert_eq!(refused(&image, &both).await, Reason::TooFewSigners);
    let again = bundle(&one, &digest);
    server.inside().shelf.refer(&digest, &again);
    assert_eq!(refused(&image, &both).await, Reason::TooFewSigners);
    let other = bundle(&two, &digest);
    server.inside().shelf.refer(&digest, &other);
    let verified = ask(&image, &both).await.unwrap();
    assert_eq!(verified.signers().len(), 2);
}

/// Somebody's digest of another kind, among the ones that we know.
#[tokio::test]
async fn a_list_with_foreign_digests_is_read_all_the_same() {
    let key = p256();
    let (server, digest) = Server::with_signed(&key).await;
    let foreign = json!({"digest": format!("sha512:{}", "0".repeat(128)), "size": 1});
    server.inside().shelf.list(&digest, foreign);
    let image = server.image(&digest);
    ask(&image, &[trusting(&[&key], 1)]).await.unwrap();
    let mut list = server.inside().shelf.referrers.remove(digest.as_str());
    let foreign = list.as_mut().unwrap().pop().unwrap();
    server.inside().shelf.list(&digest, foreign);
    let no = ask(&image, &[trusting(&[&key], 1)]).await.unwrap_err();
    assert_eq!(no.reason(), Reason::NoSignatureFound);
    assert!(no.text().contains("sha512:"), "{}", no.text());
}

fn accepting_old(public: &str) -> Value {
    json!({
        "keys": [{"name": "old", "publicKey": public}],
        "formats": ["Bundle", "LegacySig"],
    })
}

/// A registry where the artifact is signed under the `.sig` tag alone.
async fn with_old(
    key: &crate::made::Key,
    change: fn(&mut Value, &mut Value),
) -> (Server, neuralops::domain::digest::Digest) {
    let (server, digest) = Server::with_signed(key).await;
    {
        let mut inside = server.inside();
        inside.shelf.referrers.clear();
        let mut said = payload(&digest);
        let mut nothing = json!({});
        change(&mut said, &mut nothing);
        let mut old = old(key, &said);
        for (name, value) in nothing.as_object().unwrap() {
            old.annotations[name] = value.clone();
        }
        inside.shelf.old_tag(&digest, &old);
    }
    (server, digest)
}

#[tokio::test]
async fn the_sig_tag_counts_with_keys_where_the_policy_says_so() {
    for key in [p256(), p384(), p384_sha256(), rsa2048()] {
        let (server, digest) = with_old(&key, |_, _| {}).await;
        let image = server.image(&digest);
        // Nobody asks for it unless a policy wants it.
        let reason = refused(&image, &[trusting(&[&key], 1)]).await;
        assert_eq!(reason, Reason::NoSignatureFound);
        assert_eq!(server.asked(".sig"), 0);
        let policies = [policy(accepting_old(&key.public))];
        let verified = ask_with(options(), &image, &policies, true).await.unwrap();
        assert_eq!(verified.signers().len(), 1);
        let strangers = [policy(accepting_old(&p256().public))];
        let no = ask_with(options(), &image, &strangers, true).await;
        assert_eq!(no.unwrap_err().reason(), Reason::UntrustedKey);
    }
}

#[tokio::test]
async fn the_sig_tag_of_another_image_or_of_an_identity_counts_for_nothing() {
    type Change = fn(&mut Value, &mut Value);
    let certificate = "dev.sigstore.cosign/certificate";
    assert_eq!(certificate.len(), 31);
    let changes: [(&str, Reason, Change); 6] = [
        ("another image", Reason::SubjectMismatch, |payload, _| {
            let other = format!("sha256:{}", "0".repeat(64));
            payload["critical"]["image"]["docker-manifest-digest"] = json!(other);
        }),
        ("no image", Reason::SubjectMismatch, |payload, _| {
            payload["critical"]["image"] = json!({});
        }),
        ("something else", Reason::WrongPredicate, |payload, _| {
            payload["critical"]["type"] = json!("atomic container signature");
        }),
        (
            "an identity",
            Reason::UnsupportedBundle,
            |_, annotations| {
                annotations["dev.sigstore.cosign/certificate"] =
                    json!("-----BEGIN CERTIFICATE-----");
            },
        ),
        ("no base64", Reason::MalformedBundle, |_, annotations| {
            annotations["dev.cosignproject.cosign/signature"] = json!("*");
        }),
        (
            "another signature",
            Reason::UntrustedKey,
            |_, annotations| {
                annotations["dev.cosignproject.cosign/signature"] = json!("MEUCIQ==");
            },
        ),
    ];
    for (what, reason, change) in changes {
        let key = p256();
        let (server, digest) = with_old(&key, change).await;
        let policies = [policy(accepting_old(&key.public))];
        let no = ask_with(options(), &server.image(&digest), &policies, true).await;
        let no = no.unwrap_err();
        assert_eq!(no.reason(), reason, "{what}: {}", no.text());
        if what == "an identity" {
            assert!(no.text().contains("cosign 3"), "{}", no.text());
        }
    }
}

#[tokio::test]
async fn an_old_signature_proves_no_log() {
    let key = p256();
    let (server, digest) = with_old(&key, |_, _| {}).await;
    let root = include_str!("../signing/data/public-good-root.json");
    let mut maps = crate::made::Maps::default();
    maps.0.insert("root/root".into(), root.into());
    for (log, reason) in [("Required", Some(Reason::LogMissing)), ("IfPresent", None)] {
        let mut spec = accepting_old(&key.public);
        spec["transparencyLog"] = json!(log);
        spec["trustedRoot"] = json!({"configMapRef": {"name": "root", "key": "root"}});
        let policies = [crate::made::policy_with(spec, &maps)];
        let answer = ask_with(options(), &server.image(&digest), &policies, true).await;
        match (answer, reason) {
            (Ok(verified), None) => assert_eq!(verified.notes().len(), 1),
            (Err(no), Some(reason)) => assert_eq!(no.reason(), reason),
            (answer, _) => panic!("{log}: {answer:?}"),
        }
    }
}

/// Simple signing as a referrer, and, without the API, as the manifest under the tag itself.
#[tokio::test]
async fn the_third_old_form_is_found_in_both_places() {
    let key = p256();
    for by_tag in [false, true] {
        let (server, digest) = Server::with_signed(&key).await;
        {
            let mut inside = server.inside();
            inside.shelf.referrers.clear();
            let old = old(&key, &payload(&digest));
            let mut manifest = inside.shelf.old_manifest(&old);
            manifest["subject"] = json!({"digest": digest, "size": 1});
            manifest["artifactType"] = json!("application/vnd.dev.cosign.artifact.sig.v1+json");
            if by_tag {
                inside.referrers = Referrers::Missing(404);
                let tag = tag_of(&digest, "");
                inside.shelf.tag(&tag, OCI_MANIFEST, &manifest);
            } else {
                let referrer = inside.shelf.manifest(&manifest);
                let listed = json!({"mediaType": OCI_MANIFEST, "digest": referrer, "size": 1});
                inside.shelf.list(&digest, listed);
            }
        }
        let image = server.image(&digest);
        let policies = [policy(accepting_old(&key.public))];
        ask_with(options(), &image, &policies, true).await.unwrap();
        let no = ask(&image, &[trusting(&[&key], 1)]).await.unwrap_err();
        assert_eq!(no.reason(), Reason::UnsupportedBundle, "{}", no.text());
        assert!(no.text().contains("LegacySig"), "{}", no.text());
    }
}

#[tokio::test]
async fn a_payload_without_its_signature_is_named() {
    let key = p256();
    let (server, digest) = Server::with_signed(&key).await;
    {
        let mut inside = server.inside();
        inside.shelf.referrers.clear();
        let said = payload(&digest).to_string();
        let naked = inside
            .shelf
            .referring(&digest, SIMPLE_SIGNING, said.as_bytes());
        inside.shelf.list(&digest, naked);
    }
    let policies = [policy(accepting_old(&key.public))];
    let no = ask_with(options(), &server.image(&digest), &policies, true).await;
    assert_eq!(no.unwrap_err().reason(), Reason::MalformedBundle);
}
