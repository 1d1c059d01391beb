//! The drill: backup, destroy, restore, verify, append; and what a restore refuses because of where the log stood.

use std::{fs, path::PathBuf};

use neuralops::{
    domain::audit::{record::Record, request::Request},
    ports::LogNumber,
};
use tempfile::TempDir;

use crate::{
    go::tlog,
    log::{A, B, Filled, LEAVES, has_text, payload, vkey},
    place::Place,
    run::{Answer, audit, text, verify},
};

struct Drill {
    dir: TempDir,
    archive: PathBuf,
}

impl Drill {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let archive = dir.path().join("audit.tar.gz");
        Self { dir, archive }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn backup(&self, store: &str) -> Answer {
        let (a, b) = (vkey(A).to_string(), vkey(B).to_string());
        audit(&[
            "backup",
            "--store",
            store,
            "--to",
            text(&self.archive),
            "--key",
            &a,
            "--key",
            &b,
        ])
    }

    fn restore(&self, store: &str, anchor: &str, more: &[&str]) -> Answer {
        let anchor = self.file("anchor", anchor);
        let (a, b) = (vkey(A).to_string(), vkey(B).to_string());
        let mut args = vec![
            "restore",
            text(&self.archive),
            "--store",
            store,
            "--key",
            &a,
            "--key",
            &b,
        ];
        args.extend(["--anchor", text(&anchor)]);
        args.extend(more);
        audit(&args)
    }
}

/// An empty place of the same kind.
async fn another(place: &Place) -> Place {
    match place {
        Place::Sqlite { .. } => Place::sqlite(),
        Place::Postgres { .. } => Place::postgres().await.unwrap(),
    }
}

fn url(place: &Place) -> String {
    match place {
        Place::Sqlite { .. } => place.url().to_string(),
        Place::Postgres { server, database } => crate::place::of_server(server, database),
    }
}

async fn asked(filled: &Filled) -> Vec<Request> {
    let requests = filled.store.requests(10).await.unwrap();
    requests
        .iter()
        .map(|request| Request::parse(&request.body).unwrap())
        .collect()
}

pub async fn backup_destroy_restore_verify_append(mut filled: Filled) {
    filled.follow().await;
    let drill = Drill::new();
    let proof = audit(&[
        "prove",
        "--store",
        &filled.url(),
        "--index",
        "17",
        "--log",
        "1",
    ])
    .good();
    let proof = drill.file("17.tlog-proof", &proof);
    let kept = drill.file("kept", &filled.checkpoints[3]);
    let newest = filled.checkpoints.last().unwrap().clone();
    let said = drill.backup(&filled.url()).good();
    assert!(
        said.contains("51 leaves") && said.contains("sha256:"),
        "{said}"
    );
    assert!(matches!(
        asked(&filled).await[..],
        [Request::BackupVerified { size: 51, .. }]
    ));
    verify(text(&drill.archive), &vkey(B)).good();

    let place = another(&filled.place).await;
    drop(filled);

    let said = drill.restore(&url(&place), &newest, &[]).good();
    assert!(
        said.contains("verified: 51 leaves") && said.contains("verified: 600 leaves"),
        "{said}"
    );
    let mut restored = Filled::at(place).await;
    assert_eq!((restored.log.origin.as_str(), restored.log.size), (B, 51));
    assert!(matches!(
        asked(&restored).await[..],
        [Request::BackupRestored { size: 51, .. }]
    ));
    texts_are_back(&restored).await;

    restored.append(2_000_000..2_000_200).await;
    let (a, b) = (vkey(A).to_string(), vkey(B).to_string());
    let store = restored.url();
    let kept_args = [
        "verify",
        &store,
        "--key",
        &a,
        "--key",
        &b,
        "--checkpoint",
        text(&kept),
    ];
    assert!(audit(&kept_args).good().contains("verified: 251 leaves"));
    verify(text(&proof), &vkey(A)).good();

    // Whoever reads the log with other programs sees the old log go on.
    let export = drill.dir.path().join("export");
    audit(&[
        "export",
        "--store",
        &store,
        "--to",
        text(&export),
        "--key",
        &a,
        "--key",
        &b,
    ])
    .good();
    let (keys, before) = (export.join("keys"), drill.file("before", &newest));
    tlog(&["consistency", text(&export), text(&keys), text(&before)]).good();
    let leaf = restored
        .store
        .leaves(LogNumber(1), 17, 1)
        .await
        .unwrap()
        .remove(0)
        .body;
    let leaf = drill.file("leaf", &String::from_utf8(leaf).unwrap());
    tlog(&["proof", text(&proof), text(&keys), text(&leaf)]).good();
}

async fn texts_are_back(restored: &Filled) {
    for leaf in restored.store.leaves(LogNumber(1), 0, 20).await.unwrap() {
        let record = Record::parse(&leaf.body).unwrap();
        let text = match &record.fact.details {
            Some(digest) => restored.store.payload(digest).await.unwrap(),
            None => None,
        };
        let number = leaf.at.index;
        assert_eq!(
            text,
            has_text(number).then(|| payload(number)),
            "leaf {number}"
        );
        // Found as before, too.
        assert_eq!(
            restored.store.find(leaf.id).await.unwrap().unwrap().at,
            leaf.at
        );
    }
}

pub async fn a_backup_is_only_what_was_verified(filled: Filled) {
    let drill = Drill::new();
    let body = filled.blob(b"{}");
    filled
        .alter(&[format!(
            "UPDATE payload SET body = {body} WHERE digest = '{}'",
            payload(55).digest()
        )])
        .await;
    drill.backup(&filled.url()).failed(3, "the text under ");
    let left = || fs::read_dir(drill.dir.path()).unwrap().count();
    assert_eq!(left(), 0);
    assert!(asked(&filled).await.is_empty());

    let hash = filled.blob(&[7; 32]);
    let body = filled.blob(&payload(55).body);
    filled
        .alter(&[
            format!(
                "UPDATE payload SET body = {body} WHERE digest = '{}'",
                payload(55).digest()
            ),
            format!("UPDATE node SET hash = {hash} WHERE pos = 0"),
        ])
        .await;
    drill
        .backup(&filled.url())
        .refuted("leaf 0 (tile/0/000): the hash was altered");
    assert_eq!(left(), 0);
}

pub async fn what_is_older_than_the_anchor_is_refused(mut filled: Filled) {
    let drill = Drill::new();
    let early = drill.backup(&filled.url()).good();
    // The same content is the same archive.
    let bytes = fs::read(&drill.archive).unwrap();
    drill.backup(&filled.url()).failed(1, "could not write");
    fs::remove_file(&drill.archive).unwrap();
    assert_eq!(
        drill.backup(&filled.url()).good().lines().nth(1),
        early.lines().nth(1)
    );
    assert!(fs::read(&drill.archive).unwrap() == bytes);

    filled.append(LEAVES..LEAVES + 10).await;
    let newest = filled.checkpoints.last().unwrap().clone();
    let place = another(&filled.place).await;
    let store = url(&place);
    let refused = drill.restore(&store, &newest, &[]);
    refused.failed(3, "has 600 leaves, and the anchor");
    // An anchor of the same log with another past, and one of a log that this one does not know.
    let other = neuralops::domain::audit::hash::Hash::of_leaf(b"other");
    let rewritten = crate::log::sign(A, 300, other);
    drill
        .restore(&store, &rewritten, &[])
        .failed(3, "the log was rewritten");
    let stranger = crate::log::sign(B, 3, other);
    drill
        .restore(&store, &stranger, &[])
        .failed(3, "from before it was followed");
    if let Place::Sqlite { .. } = place {
        assert!(!place.file().exists(), "something was written");
    }

    // The copy of the AuditLog that somebody made with kubectl does as well.
    let checkpoint =
        neuralops::domain::audit::checkpoint::Checkpoint::read_unverified(&filled.checkpoints[5])
            .unwrap();
    let auditlog = format!(
        "apiVersion: neuralops.io/v1alpha1\nkind: AuditLog\nmetadata: {{name: main}}\nspec:\n  origin: {A}\n  size: 600\n  root: {}\n  checkpoint: c\n  keys: [k]\n  previous: []\n",
        checkpoint.root
    );
    let said = drill.restore(&store, &auditlog, &[]).good();
    assert!(
        said.contains("backup.restored") && !said.contains("new origin"),
        "{said}"
    );
    drill
        .restore(&store, &auditlog, &[])
        .failed(1, "is not empty");

    let lost = another(&filled.place).await;
    let said = drill
        .restore(&url(&lost), &newest, &["--new-origin"])
        .good();
    assert!(said.contains("it will begin a new origin"), "{said}");
    let restored = Filled::at(lost).await;
    assert!(matches!(
        asked(&restored).await[..],
        [Request::BackupRestored { .. }, Request::Follow { .. }]
    ));
}
