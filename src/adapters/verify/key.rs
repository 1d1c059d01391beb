//! Floor 2: public keys as policies name them. A key that could not be used is refused when it is read, with the reason,
//! not when the first signature comes in.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    VerificationAlgorithm,
};
use sigstore_types::{DerPublicKey, HashAlgorithm, SignatureBytes};
use sigstore_verify::crypto::{KeyAlgorithm, VerificationKey};

use crate::domain::digest::Digest;

/// What kind of key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256; what cosign makes.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// RSA with at least 2048 bits, PKCS#1 v1.5.
    Rsa,
}

impl Algorithm {
    /// As statuses show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ECDSA P-256",
            Self::EcdsaP384 => "ECDSA P-384",
            Self::Rsa => "RSA",
        }
    }

    fn reader(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP384 => &ECDSA_P384_SHA384_ASN1,
            Self::Rsa => &RSA_PKCS1_2048_8192_SHA256,
        }
    }
}

/// A text that is no key we trust. Never quotes the text: somebody may have pasted a private one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A private key where a public one belongs.
    #[error(
        "this is a private key: remove it from here at once, make a new pair, and name the public one (cosign.pub)"
    )]
    Private,
    /// No PEM at all.
    #[error("not one PEM block `-----BEGIN PUBLIC KEY-----`, as in cosign.pub")]
    NotPem,
    /// No key inside, or one of another kind.
    #[error(
        "not a public key that can be used; make one with `cosign generate-key-pair` (ECDSA P-256)"
    )]
    Unusable,
    /// Ed25519.
    #[error(
        "Ed25519 is refused: cosign hashes blobs for Ed25519 in two ways, and its bundles do not say in which; use ECDSA P-256"
    )]
    Ed25519,
    /// A short RSA key, or an enormous one.
    #[error("an RSA key has 2048 to 8192 bits here; ECDSA P-256 is better")]
    RsaSize,
}

/// A public key.
#[derive(Clone, Debug)]
pub struct PublicKey {
    der: DerPublicKey,
    algorithm: Algorithm,
    fingerprint: Digest,
}

impl PublicKey {
    /// Reads the PEM.
    pub fn read(pem: &str) -> Result<Self, KeyError> {
        if pem.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        // A second block would be a key that the policy seems to name and that nobody tries.
        if pem.matches("-----BEGIN ").count() != 1 {
            return Err(KeyError::NotPem);
        }
        let der = DerPublicKey::from_pem(pem.trim()).map_err(|_| KeyError::NotPem)?;
        let algorithm = match KeyAlgorithm::from_spki(&der) {
            Ok(KeyAlgorithm::EcdsaP256) => Algorithm::EcdsaP256,
            Ok(KeyAlgorithm::EcdsaP384) => Algorithm::EcdsaP384,
            Ok(KeyAlgorithm::Rsa) => Algorithm::Rsa,
            Ok(KeyAlgorithm::Ed25519) => return Err(KeyError::Ed25519),
            _ => return Err(KeyError::Unusable),
        };
        let unusable = || match algorithm {
            Algorithm::Rsa => KeyError::RsaSize,
            Algorithm::EcdsaP256 | Algorithm::EcdsaP384 => KeyError::Unusable,
        };
        // The point must lie on its curve and the modulus have its size now, not at the first signature.
        let key = VerificationKey::from_spki(&der).map_err(|_| unusable())?;
        sigstore_verify::crypto::validate_raw_public_key(key.scheme(), key.as_bytes())
            .map_err(|_| unusable())?;
        ParsedPublicKey::new(algorithm.reader(), key.as_bytes()).map_err(|_| unusable())?;
        Ok(Self {
            fingerprint: Digest::of(der.as_bytes()),
            der,
            algorithm,
        })
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    pub fn fingerprint(&self) -> &Digest {
        &self.fingerprint
    }

    /// Its kind.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn der(&self) -> &DerPublicKey {
        &self.der
    }

    /// Whether this key made the signature over the message. The hash is the one the bundle declares, as cosign does it;
    /// a wrong declaration makes a good signature bad, never a bad one good.
    pub(super) fn verifies(
        &self,
        message: &[u8],
        hash: Option<HashAlgorithm>,
        signature: &SignatureBytes,
    ) -> bool {
        let algorithm = match self.algorithm {
            Algorithm::EcdsaP256 => KeyAlgorithm::EcdsaP256,
            Algorithm::EcdsaP384 => KeyAlgorithm::EcdsaP384,
            Algorithm::Rsa => KeyAlgorithm::Rsa,
        };
        let scheme = match hash {
            Some(hash) => algorithm.resolve_signing_scheme(hash),
            None => Ok(algorithm.default_signing_scheme()),
        };
        scheme
            .and_then(|scheme| VerificationKey::from_spki_with_scheme(&self.der, scheme))
            .and_then(|key| key.verify(message, signature))
            .is_ok()
    }
}
