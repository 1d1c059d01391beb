//! `neuralops evidence` of a run whose object is gone, and what `audit verify` says of the file on its own.

use std::{fs, process::Command};

use neuralops::domain::audit::event::Event;
use tempfile::TempDir;

use crate::{
    history::{History, entries},
    log::{A, Filled, vkey},
    run::{Answer, audit, text, verify},
};

fn evidence(filled: &Filled, uid: &str, to: &str) -> Answer {
    let key = vkey(A).to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_neuralops"))
        .args([
            "evidence",
            "checkout",
            "--uid",
            uid,
            "--store",
            &filled.url(),
        ])
        .args(["--key", &key, "--to", to])
        .env_clear()
        .output()
        .unwrap();
    Answer {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub async fn a_run_is_proven_without_store_and_cluster(mut filled: Filled) {
    let one = History::of("one");
    let mut facts = one.healed();
    let rest = facts.split_off(5);
    filled.add(entries(facts)).await;
    // Others happen meanwhile.
    filled.add(entries(History::of("two").healed())).await;
    filled.append(2000..2100).await;
    filled.add(entries(rest)).await;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("one.json");
    let said = evidence(&filled, &one.uid(), text(&path)).good();
    for line in [
        "one.json: sha256:",
        "verified: 7 records of the run shop/one (uid-of-one)",
        "  in neuralops.io/test/a: ",
        "(not in the file)",
        "  approved by somebody whose Decision is not in the file, somebody",
        "  it ended as Succeeded",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    // The same again, byte by byte; and never over something that is there.
    let again = folder.path().join("again.json");
    evidence(&filled, &one.uid(), text(&again)).good();
    let bytes = fs::read_to_string(&path).unwrap();
    assert_eq!(fs::read_to_string(&again).unwrap(), bytes);
    evidence(&filled, &one.uid(), text(&again)).failed(1, "could not write");
    assert!(!bytes.contains("uid-of-two"));

    // Elsewhere.
    drop(filled);
    let said = verify(text(&path), &vkey(A)).good();
    assert!(
        said.starts_with("verified: 7 records of the run shop/one (uid-of-one)"),
        "{said}"
    );
    let other = neuralops::domain::audit::note::SigningKey::from_seed(A, &[9; 32]).unwrap();
    verify(text(&path), &other.verifier()).refuted("one.json proves nothing");
    let altered = folder.path().join("altered.json");
    fs::write(&altered, bytes.replace("uid-of-yes-1", "uid-of-nay-1")).unwrap();
    verify(text(&altered), &vkey(A)).refuted("is not the one in the log");
    fs::write(&altered, bytes.replace("uid-of-one\"", "uid-of-two\"")).unwrap();
    verify(text(&altered), &vkey(A)).refuted("neither about the run nor about a Gate");
    let key = vkey(A).to_string();
    audit(&["verify", text(&path), "--semantic", "--key", &key]).failed(2, "is always looked at");
}

pub async fn what_proves_nothing_is_not_written(mut filled: Filled) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sly.json");
    evidence(&filled, "uid-of-nobody", text(&path)).failed(1, "has no record of the run");
    let sly = History::of("sly");
    let mut facts = sly.healed();
    facts.retain(|fact| fact.code != Event::GateApproved);
    filled.add(entries(facts)).await;
    evidence(&filled, &sly.uid(), text(&path))
        .refuted("there is no gate.approved of it before this");
    // Not under a checkpoint yet.
    let late = History::of("late");
    let appended = filled
        .store
        .append(filled.epoch, entries(late.healed()))
        .await;
    appended.unwrap();
    evidence(&filled, &late.uid(), text(&path)).failed(1, "no checkpoint covers leaf");
    assert!(!path.exists());
}
