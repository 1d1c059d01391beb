//! Floor 0: names of objects: what the API server takes for one, and how those are named that belong to a run. A name that
//! a run gives is found again by whoever goes on with the run, and never taken for proof that the object is the run's.

use super::{audit::record::RecordId, digest::Digest, plan::RunRef};

/// What fits into a label and into the name of a Job.
const LONGEST: usize = 63;

/// Whether the API server takes this for a name of an object: lower-case letters, digits, `-` and `.`, at most 253.
pub fn is_dns_name(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 253
        && text.split('.').all(|label| {
            label.starts_with(edge)
                && label.ends_with(edge)
                && label.chars().all(|c| edge(c) || c == '-')
        })
}

/// The name of something that a run makes: the run's own name, shortened, and a digest over what the thing is for.
pub fn child(run: &RunRef, kind: &str, step: &str, ordinal: u32, plan: &Digest) -> String {
    let ordinal = ordinal.to_string();
    let id = RecordId::of(&[&run.uid, kind, step, &ordinal, plan.as_str()]).to_string();
    let suffix = id.get(..8).unwrap_or_default();
    let room = LONGEST - 1 - suffix.len();
    let stem = run.name.get(..run.name.len().min(room)).unwrap_or_default();
    let stem = stem.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    // A Job's name is a label of its pods, and labels of names take no dot.
    format!("{}-{suffix}", stem.replace('.', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str) -> RunRef {
        RunRef {
            namespace: "shop".into(),
            name: name.into(),
            uid: "u".into(),
        }
    }

    #[test]
    fn names_are_told_from_other_text() {
        for good in ["a", "a-b", "a.b-c.d", "9x"] {
            assert!(is_dns_name(good), "{good}");
        }
        for bad in [
            "",
            "A",
            "a_b",
            "-a",
            "a-",
            "a..b",
            ".a",
            "a b",
            "a:b",
            "ä",
            &"a".repeat(254),
        ] {
            assert!(!is_dns_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_child_is_named_after_its_run_and_by_what_it_is_for() {
        let digest = Digest::of(b"plan");
        let name = child(&run("checkout"), "Gate", "", 0, &digest);
        assert!(name.starts_with("checkout-") && name.len() == 17, "{name}");
        assert_eq!(name, child(&run("checkout"), "Gate", "", 0, &digest));
        for other in [
            child(&run("checkout"), "Job", "", 0, &digest),
            child(&run("checkout"), "Gate", "s", 0, &digest),
            child(&run("checkout"), "Gate", "", 1, &digest),
            child(&run("checkout"), "Gate", "", 0, &Digest::of(b"other")),
        ] {
            assert_ne!(name, other);
        }
        let long = child(
            &run(&format!("{}.{}", "a".repeat(50), "b".repeat(100))),
            "Job",
            "s",
            1,
            &digest,
        );
        assert!(
            long.len() <= LONGEST && is_dns_name(&long) && !long.contains('.'),
            "{long}"
        );
    }
}
