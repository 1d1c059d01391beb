//! What the commands print and how they are called.

use std::{fs, os::unix::fs::PermissionsExt as _};

use neuralops::domain::audit::{
    note::SigningKey, proof::TlogProof, record::RecordId, request::Request,
};
use tempfile::TempDir;

use crate::{
    log::{A, Filled, record, vkey},
    run::{audit, text, verify},
};

const COMMANDS: [&str; 11] = [
    "verify",
    "prove",
    "show",
    "list",
    "reconcile",
    "export",
    "backup",
    "restore",
    "rotate",
    "new-origin",
    "keygen",
];

#[test]
fn every_command_has_help_with_an_example() {
    let help = audit(&["--help"]).good();
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
        let help = audit(&[command, "--help"]).good();
        assert!(help.contains("Example"), "{help}");
        assert!(
            help.contains(&format!("neuralops audit {command} ")),
            "{help}"
        );
    }
    let help = audit(&["verify", "--help"]).good();
    for line in [
        "0  verified",
        "1  it could not be carried out",
        "2  usage",
        "3  the log is not what it claims",
    ] {
        assert!(help.contains(line), "{help}");
    }
}

#[test]
fn wrong_usage_is_told_from_a_wrong_log() {
    let key = vkey(A).to_string();
    let dir = TempDir::new().unwrap();
    let empty = dir.path().join("empty");
    fs::write(&empty, "").unwrap();
    let keys = format!("@{}", text(&empty));
    let cases: [(&[&str], i32, &str); 9] = [
        (&["verify", "x"], 2, "--key"),
        (
            &["verify", "x", "--key", "nonsense"],
            2,
            "--key is no verifier key; one looks like",
        ),
        (&["verify", "x", "--key", &keys], 2, "hold no key"),
        (
            &["verify", "x", "--key", "@nowhere"],
            1,
            "could not read nowhere",
        ),
        (
            &["verify", "/nowhere/x", "--key", &key],
            1,
            "could not read /nowhere/x",
        ),
        (
            &["verify", text(&empty), "--key", &key],
            1,
            "nothing that can be verified",
        ),
        (
            &["verify", "http://user:pw@host/", "--key", &key],
            1,
            "is no http or https address",
        ),
        (
            &["verify", "postgres://nothing", "--key", &key],
            2,
            "SOURCE names no store",
        ),
        (
            &["show", "--store", "mysql://x", "--index", "1"],
            2,
            "a store is sqlite:///",
        ),
    ];
    for (args, code, says) in cases {
        audit(args).failed(code, says);
    }
    audit(&["verify", text(dir.path()), "--key", &key]).failed(1, "holds no checkpoint");
    let answer = audit(&[
        "show",
        "--store",
        "sqlite:///nowhere/audit.db",
        "--index",
        "1",
    ]);
    answer.failed(1, "could not work on the store sqlite:///nowhere/audit.db");
}

#[test]
fn a_key_goes_to_its_owner_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log.key");
    let keygen = || {
        audit(&[
            "keygen",
            "--origin",
            "example.com/log",
            "--out",
            text(&path),
        ])
    };
    let public = keygen().good();
    let private = fs::read_to_string(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let key: SigningKey = private.trim_end().parse().unwrap();
    assert_eq!(public, format!("{}\n", key.verifier()));
    assert!(public.starts_with("example.com/log+"), "{public}");
    // Never over another one.
    keygen().failed(1, "could not write");
    assert_eq!(fs::read_to_string(&path).unwrap(), private);

    let both = audit(&["keygen", "--origin", "example.com/log", "--out", "-"]).good();
    let lines: Vec<&str> = both.lines().collect();
    let key: SigningKey = lines[0].parse().unwrap();
    assert_eq!(lines[1..], [key.verifier().to_string()]);
    audit(&["keygen", "--origin", "two words", "--out", "-"])
        .failed(1, "no key can be made for \"two words\"");
}

#[tokio::test]
async fn records_are_listed_page_by_page() {
    let filled = Filled::sqlite().await;
    let url = filled.url();
    let list = |more: &[&str]| audit(&[&["list", "--store", &url], more].concat()).good();
    let first = list(&["--limit", "3", "--actor", "alice"]);
    let lines: Vec<&str> = first.lines().collect();
    assert!(lines[0].starts_with("LOG/INDEX  TIME"), "{first}");
    assert!(
        lines[1].starts_with("1/0")
            && lines[1].contains("playbook.accepted  alice  Playbook shop/p0"),
        "{first}"
    );
    assert_eq!(lines[4], "there may be more: --after 1/6");
    let next = list(&["--limit", "3", "--actor", "alice", "--after", "1/6"]);
    assert!(next.lines().nth(1).unwrap().starts_with("1/9 "), "{next}");

    let narrow = [
        "--code",
        "leader.elected",
        "--object",
        "uid-1",
        "--since",
        "2023-11-14T22:13:30Z",
        "--until",
        "2023-11-14T22:14:00Z",
    ];
    let json: serde_json::Value =
        serde_json::from_str(&list(&[&narrow[..], &["-o", "json"]].concat())).unwrap();
    let found: Vec<u64> = json["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["index"].as_u64().unwrap())
        .collect();
    assert_eq!(found, [22, 29]);
    assert_eq!(json["items"][0]["record"]["object"]["uid"], "uid-1");
    assert!(json.get("next").is_none(), "{json}");

    audit(&["list", "--store", &url, "--code", "nothing"]).failed(2, "playbook.accepted");
    audit(&["list", "--store", &url, "--after", "7"]).failed(2, "one looks like 1/42");
    audit(&["list", "--store", &url, "--since", "yesterday"]).failed(2, "one looks like 2026");
}

#[tokio::test]
async fn one_record_is_shown_with_its_text() {
    let filled = Filled::sqlite().await;
    let url = filled.url();
    let said = audit(&["show", "--store", &url, "--index", "5"]).good();
    assert!(
        said.starts_with(&format!("leaf 5 of log 1 ({A})\n")),
        "{said}"
    );
    assert!(
        said.ends_with("\nThe text beside it:\ntext of 5\n"),
        "{said}"
    );
    let id = RecordId::of(&["leaf", "5"]).to_string();
    let json = audit(&["show", "--store", &url, "--id", &id, "-o", "json"]).good();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["index"], &json["text"]),
        (&5.into(), &"text of 5".into())
    );
    assert_eq!(json["record"]["id"], id);
    audit(&["show", "--store", &url, "--index", "600"])
        .failed(1, "no leaf 600 in log 1: it has 600");
    let unknown = RecordId::of(&["unknown"]).to_string();
    audit(&["show", "--store", &url, "--id", &unknown]).failed(1, "no record with the id");
    audit(&["show", "--store", &url]).failed(2, "--index");

    // Nothing that others wrote steers the terminal.
    let statement = "UPDATE payload SET body = X'1b5b324a'";
    filled.alter(&[statement.to_owned()]).await;
    audit(&["show", "--store", &url, "--index", "5"]).failed(3, "is another one");
}

#[tokio::test]
async fn a_proof_proves_its_record_and_no_other() {
    let filled = Filled::sqlite().await;
    let dir = TempDir::new().unwrap();
    let (path, leaf) = (dir.path().join("17.tlog-proof"), dir.path().join("leaf"));
    let said = audit(&["prove", "--store", &filled.url(), "--index", "17"]).good();
    fs::write(&path, &said).unwrap();
    let verified = verify(text(&path), &vkey(A)).good();
    assert!(
        verified.contains("is leaf 17 of") && verified.contains("600 leaves"),
        "{verified}"
    );

    let mut proof: TlogProof = said.parse().unwrap();
    fs::write(&leaf, record(17).to_bytes().unwrap()).unwrap();
    proof.extra = None;
    fs::write(&path, proof.to_string()).unwrap();
    verify(text(&path), &vkey(A)).failed(2, "give it by --leaf FILE");
    let with = |leaf: &std::path::Path| {
        audit(&[
            "verify",
            text(&path),
            "--key",
            &vkey(A).to_string(),
            "--leaf",
            text(leaf),
        ])
    };
    with(&leaf).good();
    crate::go::tlog(&["proof", text(&path), text(&keys(&dir)), text(&leaf)]).good();
    fs::write(&leaf, record(18).to_bytes().unwrap()).unwrap();
    with(&leaf).failed(3, "does not show that the leaf is in the log");
    assert_eq!(
        crate::go::tlog(&["proof", text(&path), text(&keys(&dir)), text(&leaf)]).code,
        Some(1)
    );
    let other = SigningKey::from_seed(A, &[99; 32]).unwrap().verifier();
    fs::write(&path, &said).unwrap();
    verify(text(&path), &other).failed(3, "proves nothing");
}

fn keys(dir: &TempDir) -> std::path::PathBuf {
    let path = dir.path().join("keys");
    fs::write(&path, format!("{}\n", vkey(A))).unwrap();
    path
}

#[tokio::test]
async fn the_newest_records_are_proven_once_a_checkpoint_covers_them() {
    let filled = Filled::sqlite().await;
    filled
        .store
        .append(filled.epoch, vec![crate::log::entry(700)])
        .await
        .unwrap();
    let answer = audit(&["prove", "--store", &filled.url(), "--index", "600"]);
    answer.failed(1, "no checkpoint covers leaf 600");
}

#[tokio::test]
async fn the_leader_is_asked_for_a_new_origin_and_told_why() {
    let filled = Filled::sqlite().await;
    for command in ["rotate", "new-origin"] {
        let said = audit(&[command, "--store", &filled.url(), "--why", "the yearly one"]).good();
        assert!(
            said.contains("asked for a new") && said.contains("kubectl get auditlog main"),
            "{said}"
        );
    }
    let requests = filled.store.requests(10).await.unwrap();
    assert_eq!(requests.len(), 2);
    for request in requests {
        let asked = Request::parse(&request.body).unwrap();
        assert_eq!(
            asked,
            Request::Follow {
                why: "the yearly one".into()
            }
        );
    }
}
