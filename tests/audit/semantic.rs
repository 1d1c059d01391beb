//! `neuralops audit verify --semantic`: logs that are whole to the last hash and signed, and tell of runs that nobody
//! approved.

use neuralops::domain::audit::event::Event;
use tempfile::TempDir;

use crate::{
    history::{History, entries},
    log::{A, B, Filled, LEAVES, vkey},
    run::{Answer, audit, text},
};

fn semantic(source: &str) -> Answer {
    let (a, b) = (vkey(A).to_string(), vkey(B).to_string());
    audit(&["verify", source, "--semantic", "--key", &a, "--key", &b])
}

pub async fn sound_runs_are_counted(mut filled: Filled) {
    // As logs were before there were runs.
    let said = semantic(&filled.url()).good();
    assert!(said.contains("runs: 0 ended, 0 go on"), "{said}");

    filled.add(entries(History::of("one").healed())).await;
    let mut other = History::of("two").healed();
    let rest = other.split_off(4);
    filled.add(entries(other)).await;
    let said = semantic(&filled.url()).good();
    assert!(said.contains("runs: 1 ended, 1 go on"), "{said}");

    // It goes on where the next log begins.
    filled.follow().await;
    filled.add(entries(rest)).await;
    let said = semantic(&filled.url()).good();
    assert!(said.contains("runs: 2 ended, 0 go on"), "{said}");
    assert!(!said.contains("note"), "{said}");
}

pub async fn a_run_that_nobody_approved_is_found_everywhere(mut filled: Filled) {
    let mut facts = History::of("sly").healed();
    facts.retain(|fact| fact.code != Event::GateApproved);
    filled.add(entries(History::of("good").healed())).await;
    filled.add(entries(facts)).await;
    let leaf = LEAVES + 7 + 2;
    let says = format!(
        "  leaf {leaf} of {A}: Orchestration shop/sly (uid-of-sly): it begins by the Gate uid-of-gate-of-sly, \
         and there is no gate.approved of it before this"
    );
    let key = vkey(A).to_string();
    let url = filled.url();
    // Whole it is, and signed.
    audit(&["verify", &url, "--key", &key]).good();
    semantic(&url).refuted(&says);

    let folder = TempDir::new().unwrap();
    let export = folder.path().join("export");
    let export = text(&export);
    audit(&["export", "--store", &url, "--key", &key, "--to", export]).good();
    semantic(export).refuted(&says);
    let backup = folder.path().join("backup.tar.gz");
    let backup = text(&backup);
    audit(&["backup", "--store", &url, "--key", &key, "--to", backup]).good();
    semantic(backup).refuted(&says);

    let proof = folder.path().join("proof");
    std::fs::write(
        &proof,
        audit(&["prove", "--store", &url, "--index", "3"]).good(),
    )
    .unwrap();
    semantic(text(&proof)).failed(2, "--semantic is about whole logs");
}

pub async fn every_leaf_that_cannot_be_is_named(mut filled: Filled) {
    let facts = (0..60).flat_map(|number| {
        let name: &'static str = format!("run-{number}").leak();
        let mut facts = History::of(name).healed();
        facts.remove(0);
        facts
    });
    filled.add(entries(facts.collect())).await;
    let answer = semantic(&filled.url());
    let named = answer
        .err
        .lines()
        .filter(|line| line.contains("nobody asked for the run"));
    assert_eq!(named.count(), 50, "{}", answer.err);
    answer.refuted("\n  and 10 more");
}
