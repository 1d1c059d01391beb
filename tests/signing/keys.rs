//! Which keys are accepted, and what is said about the others.

use neuralops::{
    adapters::verify::{Algorithm, KeyError, PublicKey, SignError, SigningKey},
    domain::{reason::Reason, trust::Examiner as _},
};
use serde_json::json;

use crate::made::{
    bytes, check, document, openssl, p256, p384, p384_sha256, pem, policy, refused, rsa2048,
    trusting,
};

/// A public key as openssl makes it.
fn made_by_openssl(options: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let private = folder.path().join("key");
    let private = private.to_str().unwrap();
    let mut args = vec!["genpkey", "-out", private];
    args.extend(options);
    openssl(&args);
    String::from_utf8(openssl(&["pkey", "-in", private, "-pubout"])).unwrap()
}

#[test]
fn every_accepted_kind_of_key_verifies_and_no_other_key_of_its_kind() {
    let message = bytes(&document());
    for (key, other, algorithm) in [
        (p256(), p256(), Algorithm::EcdsaP256),
        (p384(), p384(), Algorithm::EcdsaP384),
        (p384_sha256(), p384(), Algorithm::EcdsaP384),
        (rsa2048(), rsa2048(), Algorithm::Rsa),
    ] {
        assert_eq!(PublicKey::read(&key.public).unwrap().algorithm(), algorithm);
        let bundle = [key.bundle(&message)];
        let verified = check(&document(), &bundle, &[trusting(&[&key], 1)]).unwrap();
        assert_eq!(verified.digest(), &document().digest().unwrap());
        let foreign = [trusting(&[&other], 1)];
        assert_eq!(
            refused(&document(), &bundle, &foreign),
            Reason::UntrustedKey
        );
    }
}

#[test]
fn the_product_writes_what_it_accepts() {
    let key = p256();
    let bundle = key.product(&bytes(&document()));
    assert!(check(&document(), &[bundle], &[trusting(&[&key], 1)]).is_ok());
}

#[test]
fn other_keys_are_refused_with_their_reason() {
    let p521 = made_by_openssl(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"]);
    let k1 = made_by_openssl(&[
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:secp256k1",
    ]);
    let ed = made_by_openssl(&["-algorithm", "ED25519"]);
    let rsa1024 = made_by_openssl(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    let pss = made_by_openssl(&["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let (key, other) = (p256(), p256());
    let two = format!("{}{}", key.public, other.public);
    let certificate = pem("CERTIFICATE", b"certificate");
    let garbage = pem("PUBLIC KEY", b"garbage");
    for (text, error) in [
        (p521, KeyError::Unusable),
        (k1, KeyError::Unusable),
        (ed, KeyError::Ed25519),
        (rsa1024, KeyError::RsaSize),
        (pss, KeyError::Unusable),
        (two, KeyError::NotPem),
        (certificate, KeyError::NotPem),
        (garbage, KeyError::Unusable),
        (String::new(), KeyError::NotPem),
        (key.private.unwrap(), KeyError::Private),
    ] {
        assert_eq!(PublicKey::read(&text).unwrap_err(), error, "{text}");
        let policy = policy(json!({"keys": [{"name": "k", "publicKey": text}]}));
        assert_eq!(policy.problems()[0].reason, Reason::PolicyNotReady);
        assert_eq!(
            refused(&document(), &["{}"], &[policy]),
            Reason::PolicyNotReady
        );
    }
}

#[test]
fn a_point_beside_its_curve_is_no_key() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let public = p256().public;
    let body: String = public
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let mut der = STANDARD.decode(body).unwrap();
    *der.last_mut().unwrap() ^= 1;
    let altered = pem("PUBLIC KEY", &der);
    assert_eq!(PublicKey::read(&altered).unwrap_err(), KeyError::Unusable);
}

#[test]
fn a_key_that_cannot_sign_says_what_to_do_and_never_shows_itself() {
    let secret = pem(
        "ENCRYPTED SIGSTORE PRIVATE KEY",
        b"something nobody may read",
    );
    let encrypted = SigningKey::read(&secret).unwrap_err();
    assert_eq!(encrypted, SignError::Encrypted);
    assert!(encrypted.to_string().contains("--cosign"));
    let p384 = p384().private.unwrap();
    assert_eq!(SigningKey::read(&p384).unwrap_err(), SignError::Unusable);
    assert_eq!(SigningKey::read("nothing").unwrap_err(), SignError::NotPem);
    let key = p256();
    let signing = SigningKey::read(key.private.as_ref().unwrap()).unwrap();
    let shown = format!("{signing:?}");
    let public = PublicKey::read(&key.public).unwrap();
    assert_eq!(shown, format!("SigningKey({})", public.fingerprint()));
}
