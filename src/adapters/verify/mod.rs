//! Floor 2: signatures, checked by sigstore-verify and aws-lc-rs, offline. No type of sigstore leaves this folder, and
//! nothing here decides: it says who signed which bytes, and `domain::trust` whether that is enough.

mod bundle;
mod examine;
mod image;
mod key;
mod legacy;
mod policy;
mod root;
mod sign;
pub(in crate::adapters) mod strict;

pub use image::examine_image;
pub use key::{Algorithm, KeyError, PublicKey};
pub use policy::{ConfigMaps, PreparedPolicy};
pub use root::RootFacts;
pub use sign::{SignError, SigningKey};

use crate::domain::{reason::Reason, trust::Attempt};

/// Whether a bundle is one that is accepted for blobs, and declares to be about these bytes. Proves nothing: it is for
/// people who attach a bundle, not for trust.
pub fn is_about(bundle: &str, message: &[u8]) -> Result<(), Attempt> {
    guarded(|| {
        let read = bundle::read(bundle, bundle::About::Blob)?;
        bundle::check_digest(bundle::message_signature(&read)?, message)
    })?
}

/// Runs what reads foreign bytes. A panic in there is a defect, but it must refuse one object, not end the operator.
fn guarded<T>(read: impl FnOnce() -> T) -> Result<T, Attempt> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).map_err(|_| {
        Attempt::new(
            Reason::VerifierError,
            "the verifier panicked over this bundle; nothing is trusted, please report it with the bundle",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_refuses() {
        let quiet = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let result = guarded(|| panic!("over a bundle"));
        std::panic::set_hook(quiet);
        let refused: Attempt = result.map(|(): ()| ()).unwrap_err();
        assert_eq!(refused.reason, Reason::VerifierError);
        assert_eq!(guarded(|| 1).unwrap(), 1);
    }
}
