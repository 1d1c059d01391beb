//! Registries that fail. A fault is a fault, wherever it happens; it is never taken for "nobody signed".

use std::time::Duration;

use neuralops::{
    adapters::oci::{OciError, Options},
    domain::{reason::Reason, verdict::ErrorClass},
};

use crate::{
    made::{p256, trusting},
    server::{Instead, No, Referrers, Server, USER, WORD, ask, ask_with, options, refused},
};

/// Everything that is asked for on the way to a verified artifact of a registry without the referrers API.
const PLACES: [&str; 4] = [
    "manifests/sha256:",
    "referrers/",
    "manifests/sha256-",
    "blobs/",
];

#[tokio::test]
async fn a_fault_is_never_unsigned() {
    let key = p256();
    let policies = [trusting(&[&key], 1)];
    for (status, reason) in [
        (401, Reason::RegistryDenied),
        (403, Reason::RegistryDenied),
        (408, Reason::RegistryUnavailable),
        (429, Reason::RegistryUnavailable),
        (500, Reason::RegistryUnavailable),
        (502, Reason::RegistryUnavailable),
        (503, Reason::RegistryUnavailable),
        (418, Reason::RegistryError),
    ] {
        for place in PLACES {
            let (server, digest) = Server::with_signed(&key).await;
            {
                let mut inside = server.inside();
                let list = inside.shelf.referrers.remove(digest.as_str()).unwrap();
                inside.shelf.list_by_tag(&digest, &list);
                inside.referrers = Referrers::Missing(404);
            }
            let image = server.image(&digest);
            ask(&image, &policies).await.unwrap();
            server.instead(place, Instead::Status(status));
            let no = ask(&image, &policies).await.unwrap_err();
            assert_eq!(no.reason(), reason, "{status} {place}: {}", no.text());
            let No::Fault(error) = no else {
                panic!("{status} {place}: {}", no.text())
            };
            assert_eq!(error.class(), ErrorClass::Transient);
            assert!(error.to_string().contains("AS_ASKED"), "{error}");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let key = p256();
    let policies = [trusting(&[&key], 1)];
    let (server, digest) = Server::with_signed(&key).await;
    let image = server.image(&digest);
    for place in ["manifests/", "blobs/"] {
        server.instead(place, Instead::Status(404));
        assert_eq!(refused(&image, &policies).await, Reason::ArtifactNotFound);
        server.inside().instead.clear();
    }
}

#[tokio::test]
async fn silence_has_an_end() {
    let key = p256();
    let policies = [trusting(&[&key], 1)];
    let short = Duration::from_millis(300);
    for place in ["manifests/", "referrers/", "blobs/"] {
        let (server, digest) = Server::with_signed(&key).await;
        server.instead(place, Instead::Silence);
        let image = server.image(&digest);
        let each = Options {
            request: short,
            ..Options::default()
        };
        let whole = Options {
            whole: short,
            ..Options::default()
        };
        let no = ask_with(each, &image, &policies, false).await.unwrap_err();
        assert_eq!(no.reason(), Reason::RegistryUnavailable);
        let no = ask_with(whole, &image, &policies, false).await.unwrap_err();
        assert_eq!(no.reason(), Reason::RegistryUnavailable);
        assert!(matches!(no, No::Fault(OciError::Slow { .. })), "{no:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_a_fault() {
    let key = p256();
    let (server, digest) = Server::with_signed(&key).await;
    let image = server.image(&digest);
    server.stop().await;
    let reason = refused(&image, &[trusting(&[&key], 1)]).await;
    assert_eq!(reason, Reason::RegistryUnavailable);
}

#[tokio::test]
async fn what_is_no_list_is_no_empty_list() {
    let key = p256();
    let (server, digest) = Server::with_signed(&key).await;
    let image = server.image(&digest);
    for bytes in [
        &b"<html>log in</html>"[..],
        b"",
        b"{}",
        br#"{"layers":[]}"#,
        br#"{"manifests":[{}]}"#,
        br#"{"manifests":7}"#,
    ] {
        server.instead("referrers/", Instead::Bytes(bytes.to_vec()));
        let reason = refused(&image, &[trusting(&[&key], 1)]).await;
        assert_eq!(reason, Reason::RegistryError);
    }
}

#[tokio::test]
async fn redirections_are_followed_to_an_end_and_not_to_plain_http() {
    let key = p256();
    let policies = [trusting(&[&key], 1)];
    let (server, digest) = Server::with_signed(&key).await;
    let image = server.image(&digest);
    for (place, to) in [
        ("blobs/", "/v2/pb/drain/blobs/round"),
        ("manifests/", "http://elsewhere.example/"),
        ("manifests/", "file:///etc/passwd"),
        ("manifests/", &format!("https://{USER}:{WORD}@127.0.0.1/")),
    ] {
        server.instead(place, Instead::To(to.into()));
        assert_eq!(refused(&image, &policies).await, Reason::RegistryError);
        server.inside().instead.clear();
    }
    // Where layers lie in another place, as they do in the large ones.
    let storage = Server::start().await;
    let blobs = server.inside().shelf.blobs.clone();
    for digest in blobs.keys() {
        let to = format!("http://{}/v2/pb/drain/blobs/{digest}", storage.address);
        server.instead(&format!("blobs/{digest}"), Instead::To(to));
    }
    storage.inside().shelf.blobs = blobs;
    let verified = ask_with(options(), &image, &policies, false).await;
    verified.unwrap();
    assert!(storage.asked("/blobs/") >= 2);
}
