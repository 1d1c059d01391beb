//! Floor 2: what nobody may read in a plan: values of Secrets stand there as an HMAC under a key of this installation, so
//! that a plan still changes when they do. It hides; what is hidden is decided by the kinds of the API server.

use aws_lc_rs::hmac;

/// The key of the veil.
pub struct Veil(hmac::Key);

impl Veil {
    /// Under a key that is derived from a secret of this installation.
    pub fn new(secret: &[u8]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&root, b"neuralops.io values of secrets in plans");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }
}
