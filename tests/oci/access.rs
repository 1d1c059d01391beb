//! Who we are to a registry: shown when it asks, to it alone, and printed nowhere.

use neuralops::{
    adapters::oci::{Credentials, Options},
    domain::reason::Reason,
};

use crate::{
    made::{p256, trusting},
    server::{Gate, Instead, Server, USER, WORD, ask_with, credentials, options},
};

fn as_robot(server: &Server, word: &str) -> Options {
    Options {
        credentials: credentials(&server.address, USER, word),
        ..options()
    }
}

#[tokio::test]
async fn passwords_and_tokens_open_and_nothing_else_does() {
    let key = p256();
    let policies = [trusting(&[&key], 1)];
    for gate in [Gate::Basic, Gate::Token] {
        let (server, digest) = Server::with_signed(&key).await;
        server.inside().gate = gate;
        let image = server.image(&digest);
        let good = ask_with(as_robot(&server, WORD), &image, &policies, false).await;
        good.unwrap();
        for options in [as_robot(&server, "wrong-word"), options()] {
            let no = ask_with(options, &image, &policies, false).await;
            let no = no.unwrap_err();
            assert_eq!(no.reason(), Reason::RegistryDenied, "{}", no.text());
            let printed = format!("{} {no:?}", no.text());
            assert!(!printed.contains("wrong-word"), "{printed}");
        }
    }
}

#[tokio::test]
async fn a_token_is_fetched_once_for_all_that_is_asked() {
    let key = p256();
    let (server, digest) = Server::with_signed(&key).await;
    server.inside().gate = Gate::AnonymousToken;
    let image = server.image(&digest);
    let policies = [trusting(&[&key], 1)];
    let anonymous = Options {
        credentials: Credentials::anonymous(),
        ..options()
    };
    ask_with(anonymous, &image, &policies, false).await.unwrap();
    assert_eq!(server.asked("/token"), 1);
    let inside = server.inside();
    let first = &inside.log[0];
    assert_eq!(first.1, None, "nothing is shown before it is asked for");
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirection() {
    let key = p256();
    let (server, digest) = Server::with_signed(&key).await;
    let storage = Server::start().await;
    let blobs = server.inside().shelf.blobs.clone();
    for digest in blobs.keys() {
        let to = format!("http://{}/v2/pb/drain/blobs/{digest}", storage.address);
        server.instead(&format!("blobs/{digest}"), Instead::To(to));
    }
    storage.inside().shelf.blobs = blobs;
    server.inside().gate = Gate::Basic;
    let image = server.image(&digest);
    let policies = [trusting(&[&key], 1)];
    let options = as_robot(&server, WORD);
    let answer = ask_with(options.clone(), &image, &policies, false).await;
    answer.unwrap();
    {
        let inside = storage.inside();
        assert!(inside.log.len() >= 2);
        assert!(inside.log.iter().all(|(_, proof)| proof.is_none()));
    }
    // Not even when the other place asks for them, or names a service that would take them.
    for gate in [Gate::Basic, Gate::Token] {
        storage.inside().gate = gate;
        let no = ask_with(options.clone(), &image, &policies, false).await;
        assert_eq!(no.unwrap_err().reason(), Reason::RegistryDenied);
        let inside = storage.inside();
        assert!(inside.log.iter().all(|(_, proof)| proof.is_none()));
    }
}

#[tokio::test]
async fn a_token_service_without_tls_gets_no_password() {
    let key = p256();
    let (server, digest) = Server::with_signed(&key).await;
    let challenge = r#"Bearer realm="http://elsewhere.example/token",service="here""#;
    server.inside().gate = Gate::Open;
    let image = server.image(&digest);
    let policies = [trusting(&[&key], 1)];
    let options = as_robot(&server, WORD);
    server.instead("manifests/", Instead::Challenge(challenge.into()));
    let no = ask_with(options, &image, &policies, false)
        .await
        .unwrap_err();
    assert_eq!(no.reason(), Reason::RegistryError, "{}", no.text());
    assert!(no.text().contains("token service"), "{}", no.text());
}
