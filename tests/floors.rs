//! The house of `docs/ARCHITECTURE.md`, held: dependencies point down only, the domain stays pure, every file says
//! which floor it is on, and no file grows beyond its budget.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Rooms of `src/` with their floors. Rooms of one floor do not know each other, but for those in `NEIGHBOURS`.
const FLOORS: [(&str, u8); 9] = [
    ("domain", 0),
    ("api", 1),
    ("ports", 2),
    ("adapters", 2),
    ("controllers", 3),
    ("http", 3),
    ("console", 3),
    ("cli", 3),
    ("app", 4),
];

/// Who may use a room of the same floor: adapters implement the ports.
const NEIGHBOURS: [(&str, &str); 1] = [("adapters", "ports")];

/// What makes a domain impure.
const IMPURE: [&str; 12] = [
    "kube",
    "k8s_openapi",
    "tokio",
    "axum",
    "futures",
    "reqwest",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
];

/// Lines of a file that are not tests.
const LONGEST_FILE: usize = 400;
/// Files that are longer, each with its reason.
const LONGER: [(&str, &str); 2] = [
    (
        "api/v1alpha1/orchestration.rs",
        "one kind with its spec and status; no code",
    ),
    (
        "api/v1alpha1/steps.rs",
        "one struct for each of fifteen step kinds; no code",
    ),
];

struct Source {
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &mut found);
    found
        .into_iter()
        .map(|path| Source {
            text: fs::read_to_string(&path).unwrap(),
            path: path.strip_prefix(&root).unwrap().display().to_string(),
        })
        .collect()
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The room of a file: `controllers/harness.rs` lies in `controllers`, `ports.rs` is `ports`.
fn room(path: &str) -> Option<&str> {
    let first = path
        .split('/')
        .next()
        .unwrap_or(path)
        .trim_end_matches(".rs");
    FLOORS
        .iter()
        .map(|(room, _)| *room)
        .find(|room| *room == first)
}

fn floor(room: &str) -> u8 {
    FLOORS.iter().find(|(name, _)| *name == room).unwrap().1
}

/// The file without what stands below its test module, comments and strings of documentation.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end]
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Every room that the file names by `crate::room` or inside `use crate::{…}`.
fn uses(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            rooms.extend(top_level(group));
        } else {
            rooms.push(word(rest));
        }
    }
    rooms
}

/// The first words of a brace group, nested groups skipped.
fn top_level(group: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    let (mut depth, mut expecting) = (0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expecting = true,
            c if expecting && c.is_alphabetic() => {
                rooms.push(word(&group[at..]));
                expecting = false;
            }
            _ => {}
        }
    }
    rooms
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

#[test]
fn dependencies_point_down_only() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(here) = room(&source.path) else {
            continue;
        };
        for there in uses(&code(&source.text)) {
            let Some((there, level)) = FLOORS.iter().find(|(name, _)| *name == there) else {
                continue;
            };
            let neighbour = NEIGHBOURS.contains(&(here, there));
            if here != *there && *level >= floor(here) && !neighbour {
                wrong.push(format!(
                    "src/{}: {here} (floor {}) uses {there} (floor {level})",
                    source.path,
                    floor(here)
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "edges that point up:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_reader_of_imports_sees_every_form() {
    let code = "use crate::{api::{x, y}, domain::z,\n ports};\nfn f() { crate::app::run() }";
    assert_eq!(uses(code), ["api", "domain", "ports", "app"]);
}

#[test]
fn the_domain_is_pure() {
    let mut wrong = Vec::new();
    for source in sources()
        .into_iter()
        .filter(|source| room(&source.path) == Some("domain"))
    {
        let code = code(&source.text);
        for impure in IMPURE {
            let used = [
                format!("use {impure}::"),
                format!("use {impure};"),
                format!("{impure}::"),
            ];
            let names = code.lines().any(|line| {
                used.iter().any(|form| {
                    line.trim_start().starts_with(form.as_str())
                        || line.contains(&format!(" {impure}::"))
                })
            });
            if names {
                wrong.push(format!("src/{} uses {impure}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn anyhow_lives_in_main_only() {
    let users: Vec<_> = sources()
        .into_iter()
        .filter(|s| code(&s.text).contains("anyhow"))
        .map(|s| s.path)
        .collect();
    assert_eq!(users, ["main.rs"]);
}

#[test]
fn every_file_says_where_it_is() {
    let mut wrong = Vec::new();
    for source in sources()
        .into_iter()
        .filter(|source| !source.path.ends_with("tests.rs"))
    {
        let header = source
            .text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .count();
        let first = source.text.lines().next().unwrap_or_default();
        let floor = room(&source.path).map(|room| format!("//! Floor {}", floor(room)));
        if !(1..=20).contains(&header) || floor.is_some_and(|floor| !first.starts_with(&floor)) {
            wrong.push(format!("src/{}: {first:?}", source.path));
        }
    }
    assert!(
        wrong.is_empty(),
        "files whose first lines do not say their floor and duty:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_file_is_over_its_budget() {
    let longer: BTreeMap<&str, &str> = LONGER.into();
    let mut wrong = Vec::new();
    for source in sources()
        .into_iter()
        .filter(|source| !source.path.ends_with("tests.rs"))
    {
        let end = source
            .text
            .find("#[cfg(test)]")
            .unwrap_or(source.text.len());
        let lines = source.text[..end].lines().count();
        if lines > LONGEST_FILE && !longer.contains_key(source.path.as_str()) {
            wrong.push(format!(
                "src/{}: {lines} lines, {LONGEST_FILE} are allowed: split it, or say why",
                source.path
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
