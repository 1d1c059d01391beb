//! Floor 0: the annotations that carry signature bundles. Their number and size are limited before anything is parsed;
//! annotations share one limit of the API server.

use std::collections::BTreeMap;

use super::refusal::{Attempt, Refusal};
use crate::domain::reason::Reason;

/// The annotation of the first bundle; the second one ends in `.2`.
pub const ANNOTATION: &str = "neuralops.io/cosign-bundle";
/// How many bundles an object may carry.
pub const MOST_BUNDLES: usize = 8;
/// How many bytes they may have together.
pub const LARGEST_BUNDLES: usize = 48 * 1024;

/// A bundle where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnotatedBundle<'a> {
    /// The annotation.
    pub annotation: &'a str,
    /// What stands in it.
    pub text: &'a str,
}

/// A bundle cannot be attached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// All places are taken.
    #[error("there are {MOST_BUNDLES} bundles already; remove one")]
    Full,
    /// The annotations would be too large.
    #[error(
        "the bundles would have {0} bytes together, {LARGEST_BUNDLES} are allowed; sign without timestamps, or remove one"
    )]
    TooLarge(usize),
    /// The very same bundle is there.
    #[error("the bundle is attached already, in {0}")]
    Attached(String),
}

fn annotation(number: usize) -> String {
    if number == 1 {
        ANNOTATION.to_owned()
    } else {
        format!("{ANNOTATION}.{number}")
    }
}

/// Every bundle of an object, and what looks like one and is not read.
pub fn bundles(
    annotations: &BTreeMap<String, String>,
) -> Result<(Vec<AnnotatedBundle<'_>>, Vec<Attempt>), Refusal> {
    let names: Vec<String> = (1..=MOST_BUNDLES).map(annotation).collect();
    let (mut found, mut strays) = (Vec::new(), Vec::new());
    for (name, text) in annotations {
        if names.contains(name) {
            found.push(AnnotatedBundle {
                annotation: name,
                text,
            });
        } else if name.starts_with(ANNOTATION) {
            strays.push(Attempt::new(
                Reason::UnsupportedBundle,
                format!(
                    "annotation {name:?} is not read: they are {ANNOTATION} and {ANNOTATION}.2 to .{MOST_BUNDLES}"
                ),
            ));
        }
    }
    let size: usize = found.iter().map(|bundle| bundle.text.len()).sum();
    if size > LARGEST_BUNDLES {
        return Err(Refusal::new(
            Reason::MalformedBundle,
            format!(
                "the bundles have {size} bytes together, {LARGEST_BUNDLES} are allowed; remove one"
            ),
        ));
    }
    Ok((found, strays))
}

/// Puts a bundle into the next free annotation; returns its name.
pub fn attach(
    annotations: &mut BTreeMap<String, String>,
    bundle: String,
) -> Result<String, AttachError> {
    let names: Vec<String> = (1..=MOST_BUNDLES).map(annotation).collect();
    let mut size = bundle.len();
    for name in &names {
        if let Some(present) = annotations.get(name) {
            if *present == bundle {
                return Err(AttachError::Attached(name.clone()));
            }
            size += present.len();
        }
    }
    let free = names
        .into_iter()
        .find(|name| !annotations.contains_key(name))
        .ok_or(AttachError::Full)?;
    if size > LARGEST_BUNDLES {
        return Err(AttachError::TooLarge(size));
    }
    annotations.insert(free.clone(), bundle);
    Ok(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_are_attached_in_order_until_all_places_are_taken() {
        let mut annotations = BTreeMap::new();
        for number in 1..=MOST_BUNDLES {
            let name = attach(&mut annotations, format!("{number}")).unwrap();
            assert_eq!(name == ANNOTATION, number == 1, "{name}");
        }
        assert!(annotations.contains_key("neuralops.io/cosign-bundle.8"));
        assert_eq!(attach(&mut annotations, "9".into()), Err(AttachError::Full));
        assert_eq!(
            attach(&mut annotations, "3".into()),
            Err(AttachError::Attached("neuralops.io/cosign-bundle.3".into()))
        );
        annotations.remove("neuralops.io/cosign-bundle.2");
        assert_eq!(
            attach(&mut annotations, "new".into()).unwrap(),
            "neuralops.io/cosign-bundle.2"
        );
        assert_eq!(bundles(&annotations).unwrap().0.len(), MOST_BUNDLES);
    }

    #[test]
    fn the_limit_is_over_all_bundles_together() {
        let mut annotations = BTreeMap::new();
        attach(&mut annotations, "a".repeat(LARGEST_BUNDLES - 1)).unwrap();
        assert_eq!(
            attach(&mut annotations, "bb".into()),
            Err(AttachError::TooLarge(LARGEST_BUNDLES + 1))
        );
        attach(&mut annotations, "b".into()).unwrap();
        assert!(bundles(&annotations).is_ok());
        annotations.insert("neuralops.io/cosign-bundle.8".into(), "c".into());
        assert_eq!(
            bundles(&annotations).unwrap_err().reason,
            Reason::MalformedBundle
        );
    }

    #[test]
    fn what_only_looks_like_a_bundle_is_named_and_not_read() {
        for name in [
            "neuralops.io/cosign-bundle.1",
            "neuralops.io/cosign-bundle.9",
            "neuralops.io/cosign-bundle2",
        ] {
            let annotations = BTreeMap::from([(name.to_owned(), "{}".to_owned())]);
            let (found, strays) = bundles(&annotations).unwrap();
            assert!(found.is_empty(), "{name}");
            assert!(strays[0].message.contains(name));
        }
    }
}
