//! Floor 0: what somebody would rather see, suggested in a Decision as a JSON Patch: it changes parameters of the run and
//! nothing else, and never a plan. What comes out is asked for as another run. Pure.

use std::collections::BTreeMap;

use json_patch::{Patch, PatchOperation};
use serde_json::{Value, json};

/// Where parameters stand, from the run's spec and from the run itself.
const PLACES: [&str; 2] = ["/parameters/", "/spec/parameters/"];

/// Why nothing can be made of a patch.
#[derive(Debug, thiserror::Error)]
pub enum NotSuggested {
    /// It is no JSON Patch.
    #[error("the patch is no JSON Patch (RFC 6902), a list of operations")]
    Unreadable(#[source] serde_json::Error),
    /// It changes nothing.
    #[error("the patch has no operations")]
    Empty,
    /// It touches more than parameters.
    #[error(
        "operation {number} of the patch ({what} {path}) touches more than one parameter: it may only have paths like /parameters/NAME"
    )]
    Elsewhere {
        /// Which operation, counted from 1.
        number: usize,
        /// What it does.
        what: &'static str,
        /// Where.
        path: String,
    },
    /// It does not fit the parameters that the run has.
    #[error("the patch does not fit the parameters of the run")]
    Unfit(#[source] json_patch::PatchError),
    /// A parameter would be no text.
    #[error(
        "the patch makes parameter {0} something else than text: write the JSON literal of its type as a string, such as \"3\""
    )]
    NoText(String),
}

/// The parameters with the patch applied.
pub fn patched(
    parameters: &BTreeMap<String, String>,
    patch: &str,
) -> Result<BTreeMap<String, String>, NotSuggested> {
    let Patch(operations) = serde_json::from_str(patch).map_err(NotSuggested::Unreadable)?;
    if operations.is_empty() {
        return Err(NotSuggested::Empty);
    }
    for (number, operation) in (1..).zip(&operations) {
        if let Some((what, path)) = elsewhere(operation) {
            let path = path.chars().take(80).collect();
            return Err(NotSuggested::Elsewhere { number, what, path });
        }
    }
    let mut found = json!(parameters);
    for operation in operations {
        found = applied(found, operation)?;
    }
    let found = found.as_object().into_iter().flatten();
    found
        .map(|(name, value)| match value {
            Value::String(text) => Ok((name.clone(), text.clone())),
            _ => Err(NotSuggested::NoText(name.clone())),
        })
        .collect()
}

/// The patch that sets these parameters, of a run that has those.
pub fn patch(parameters: &BTreeMap<String, String>, wanted: &[(String, String)]) -> String {
    let operations = wanted.iter().map(|(name, value)| {
        let there = parameters.contains_key(name);
        let path = format!("/parameters/{}", name.replace('~', "~0").replace('/', "~1"));
        json!({"op": if there { "replace" } else { "add" }, "path": path, "value": value})
    });
    Value::Array(operations.collect()).to_string()
}

/// What a patch would do, in a line; nothing if it is no patch.
pub fn shown(patch: &str) -> Option<String> {
    let Patch(operations) = serde_json::from_str(patch).ok()?;
    let operations = operations.iter().map(|operation| match operation {
        PatchOperation::Add(add) => format!("{}={}", name(&add.path.to_string()), add.value),
        PatchOperation::Replace(replace) => {
            format!("{}={}", name(&replace.path.to_string()), replace.value)
        }
        other => {
            let (what, paths) = paths(other);
            let names: Vec<&str> = paths.iter().map(|path| name(path)).collect();
            format!("{what} {}", names.join(" "))
        }
    });
    Some(operations.collect::<Vec<_>>().join(", "))
}

/// The parameter at a place, if it is one.
fn name(path: &str) -> &str {
    let mut names = PLACES.iter().filter_map(|place| path.strip_prefix(place));
    names.next().unwrap_or(path)
}

/// One operation, with the parameters where it looks for them.
fn applied(parameters: Value, operation: PatchOperation) -> Result<Value, NotSuggested> {
    let (_, paths) = paths(&operation);
    let (mut document, place) = if paths.iter().any(|path| path.starts_with("/spec/")) {
        (
            json!({"spec": {"parameters": parameters}}),
            "/spec/parameters",
        )
    } else {
        (json!({"parameters": parameters}), "/parameters")
    };
    json_patch::patch(&mut document, &[operation]).map_err(NotSuggested::Unfit)?;
    Ok(document.pointer(place).cloned().unwrap_or_default())
}

/// What an operation does elsewhere, if it does.
fn elsewhere(operation: &PatchOperation) -> Option<(&'static str, String)> {
    let (what, paths) = paths(operation);
    let places = PLACES.map(|place| paths.iter().all(|path| is_parameter(path, place)));
    if places.contains(&true) {
        return None;
    }
    let mut wrong = paths.into_iter();
    let wrong = wrong.find(|path| !PLACES.iter().any(|place| is_parameter(path, place)));
    Some((
        what,
        wrong.unwrap_or_else(|| "with paths of both forms".to_owned()),
    ))
}

fn is_parameter(path: &str, place: &str) -> bool {
    let name = path.strip_prefix(place);
    name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

fn paths(operation: &PatchOperation) -> (&'static str, Vec<String>) {
    match operation {
        PatchOperation::Add(add) => ("add", vec![add.path.to_string()]),
        PatchOperation::Remove(remove) => ("remove", vec![remove.path.to_string()]),
        PatchOperation::Replace(replace) => ("replace", vec![replace.path.to_string()]),
        PatchOperation::Move(moves) => {
            ("move", vec![moves.from.to_string(), moves.path.to_string()])
        }
        PatchOperation::Copy(copy) => ("copy", vec![copy.from.to_string(), copy.path.to_string()]),
        PatchOperation::Test(test) => ("test", vec![test.path.to_string()]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn run() -> BTreeMap<String, String> {
        map(&[("deployment", "checkout"), ("replicas", "3")])
    }

    #[test]
    fn parameters_are_changed_added_and_taken_away() {
        for (patch, wanted) in [
            (
                r#"[{"op":"replace","path":"/parameters/replicas","value":"5"}]"#,
                map(&[("deployment", "checkout"), ("replicas", "5")]),
            ),
            (
                r#"[{"op":"add","path":"/spec/parameters/fast","value":"true"},{"op":"remove","path":"/parameters/replicas"}]"#,
                map(&[("deployment", "checkout"), ("fast", "true")]),
            ),
            (
                r#"[{"op":"test","path":"/parameters/replicas","value":"3"},{"op":"move","from":"/parameters/replicas","path":"/parameters/count"}]"#,
                map(&[("count", "3"), ("deployment", "checkout")]),
            ),
            (
                r#"[{"op":"add","path":"/parameters/a~1b","value":"x"}]"#,
                map(&[("a/b", "x"), ("deployment", "checkout"), ("replicas", "3")]),
            ),
        ] {
            assert_eq!(patched(&run(), patch).unwrap(), wanted, "{patch}");
        }
        let first = r#"[{"op":"add","path":"/parameters/a","value":"b"}]"#;
        assert_eq!(
            patched(&BTreeMap::new(), first).unwrap(),
            map(&[("a", "b")])
        );
    }

    #[test]
    fn what_is_wanted_is_what_comes_of_its_patch() {
        let wanted = [
            ("replicas".to_owned(), "5".to_owned()),
            ("a/b~c".to_owned(), "x y".to_owned()),
        ];
        let patch = patch(&run(), &wanted);
        assert_eq!(
            patched(&run(), &patch).unwrap(),
            map(&[
                ("a/b~c", "x y"),
                ("deployment", "checkout"),
                ("replicas", "5")
            ])
        );
        assert_eq!(shown(&patch).unwrap(), r#"replicas="5", a~1b~0c="x y""#);
        let other = r#"[{"op":"remove","path":"/spec/parameters/a"},{"op":"add","path":"/mode","value":1}]"#;
        assert_eq!(shown(other).unwrap(), "remove a, /mode=1");
        assert_eq!(shown("{"), None);
    }

    #[test]
    fn whatever_else_it_touches_is_told_in_words() {
        for (patch, words) in [
            ("{}", "no JSON Patch"),
            ("[]", "no operations"),
            (
                r#"[{"op":"replace","path":"/playbookRef/name","value":"other"}]"#,
                "operation 1 of the patch (replace /playbookRef/name)",
            ),
            (r#"[{"op":"replace","path":"","value":{}}]"#, "(replace )"),
            (
                r#"[{"op":"replace","path":"/parameters","value":{}}]"#,
                "(replace /parameters)",
            ),
            (
                r#"[{"op":"add","path":"/parameters/a/b","value":"x"}]"#,
                "(add /parameters/a/b)",
            ),
            (
                r#"[{"op":"test","path":"/mode","value":"Auto"}]"#,
                "(test /mode)",
            ),
            (
                r#"[{"op":"copy","from":"/requestedBy","path":"/parameters/a"}]"#,
                "(copy /requestedBy)",
            ),
            (
                r#"[{"op":"add","path":"/parameters/a","value":"x"},{"op":"remove","path":"/status"}]"#,
                "operation 2",
            ),
            (
                r#"[{"op":"move","from":"/parameters/replicas","path":"/spec/parameters/a"}]"#,
                "both forms",
            ),
            (
                r#"[{"op":"replace","path":"/parameters/absent","value":"x"}]"#,
                "does not fit",
            ),
            (
                r#"[{"op":"test","path":"/parameters/replicas","value":"4"}]"#,
                "does not fit",
            ),
            (
                r#"[{"op":"replace","path":"/parameters/replicas","value":5}]"#,
                "makes parameter replicas something else than text",
            ),
        ] {
            let refused = patched(&run(), patch).unwrap_err().to_string();
            assert!(refused.contains(words), "{patch}: {refused}");
        }
    }

    proptest! {
        /// Whatever stands in a patch: no panic, and what it does not name stays as it was.
        #[test]
        fn what_is_not_named_stays(path in "/(parameters|spec/parameters|spec|x)(/[a-d~01]{0,3}){0,2}", value in "[a-z]{0,4}") {
            let patch = json!([{"op": "add", "path": path, "value": value}]).to_string();
            if let Ok(found) = patched(&run(), &patch) {
                let kept = found.iter().filter(|(name, value)| run().get(*name) == Some(value)).count();
                prop_assert!(kept >= run().len() - 1 && found.len() <= run().len() + 1);
            }
        }
    }
}
