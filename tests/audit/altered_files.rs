//! An export: accepted by our verifier and by two that are not ours; altered in any way, refused by all of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use neuralops::domain::audit::{
    hash::Hash,
    note::VerifierKey,
    tile::{WIDTH, bundles, decode_entries, encode_entries, encode_hashes, tiles},
    tree::{Frontier, position},
};
use tempfile::TempDir;

use crate::{
    go::tlog,
    log::{A, B, Filled, record, sign, vkey},
    run::{audit, text, verify},
};

/// An export of the log A, or of B that follows it.
struct Export {
    dir: TempDir,
    keys: PathBuf,
    filled: Filled,
}

impl Export {
    async fn new(mut filled: Filled, follow: bool) -> Self {
        if follow {
            filled.follow().await;
        }
        let dir = TempDir::new().unwrap();
        let keys = dir.path().join("keys.txt");
        fs::write(&keys, format!("# both logs\n{}\n\n{}\n", vkey(A), vkey(B))).unwrap();
        let export = Self { dir, keys, filled };
        export.again().good();
        export
    }

    fn again(&self) -> crate::run::Answer {
        let keys = format!("@{}", text(&self.keys));
        audit(&[
            "export",
            "--store",
            &self.filled.url(),
            "--to",
            text(&self.log()),
            "--key",
            &keys,
        ])
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// The keys as a reader finds them beside the log.
    fn published(&self) -> PathBuf {
        self.log().join("keys")
    }
}

fn alter(dir: &Path, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = dir.join(path);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
}

fn flip(at: usize) -> impl FnOnce(&mut Vec<u8>) {
    move |bytes| bytes[at] ^= 1
}

#[tokio::test]
async fn an_export_is_accepted_by_readers_that_are_not_ours() {
    let export = Export::new(Filled::sqlite().await, true).await;
    for log in [export.log(), export.log().join("previous/1")] {
        let (log, keys) = (text(&log), export.published());
        tlog(&["sumdb", log, text(&keys)]).good();
        tlog(&["tessera", log, text(&keys)]).good();
    }
    let said = verify(text(&export.log()), &vkey(B)).good();
    assert!(
        said.contains("verified: 51 leaves") && said.contains("verified: 600 leaves"),
        "{said}"
    );
}

#[tokio::test]
async fn a_log_of_many_tiles_is_accepted_too() {
    // Only files: the store is not what is tested here, and a tile of the second level has to be full.
    let dir = TempDir::new().unwrap();
    let bodies: Vec<Vec<u8>> = (0..66_000)
        .map(|number| record(number).to_bytes().unwrap())
        .collect();
    write_log(dir.path(), &bodies);
    let keys = dir.path().join("keys");
    fs::write(&keys, format!("{}\n", vkey(A))).unwrap();
    tlog(&["tessera", text(dir.path()), text(&keys)]).good();
    verify(text(dir.path()), &vkey(A)).good();
    alter(dir.path(), "tile/1/000", flip(32 * 200));
    let says = "leaves 51200 to 51455 (tile/1/000): the hash was altered";
    verify(text(dir.path()), &vkey(A)).refuted(says);
}

/// A log as files, by the domain alone.
fn write_log(dir: &Path, bodies: &[Vec<u8>]) {
    let mut tree = Frontier::empty();
    let mut hashes = Vec::new();
    for body in bodies {
        tree.push(Hash::of_leaf(body), |_, hash| hashes.push(hash));
    }
    let put = |path: String, bytes: Vec<u8>| {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    for tile in tiles(tree.size()) {
        let of = tile
            .positions()
            .into_iter()
            .map(|at| hashes[usize::try_from(at).unwrap()]);
        put(tile.path(), encode_hashes(&of.collect::<Vec<_>>()));
    }
    for bundle in bundles(tree.size()) {
        let first = usize::try_from(bundle.n).unwrap() * usize::from(WIDTH);
        let entries = &bodies[first..first + usize::from(bundle.width)];
        put(bundle.path(), encode_entries(entries).unwrap());
    }
    put(
        "checkpoint".into(),
        sign(A, tree.size(), tree.root()).into_bytes(),
    );
    assert_eq!(position(0, 0), 0);
}

#[tokio::test]
async fn whatever_is_altered_is_found_by_its_own_message() {
    let export = Export::new(Filled::sqlite().await, false).await;
    type Change = fn(&Path);
    let cases: [(&str, Change); 12] = [
        ("leaf 17 (tile/entries/000): the entry was altered", |dir| {
            rewrite_bundle(dir, "tile/entries/000", 256, |entries| {
                entries[17] = record(9_999_999).to_bytes().unwrap();
            });
        }),
        ("leaf 0 (tile/entries/000): the entry was altered", |dir| {
            alter(dir, "tile/entries/000", flip(40));
        }),
        (
            "leaf 300 (tile/entries/001): the entry of leaf 310 stands here: leaves were swapped",
            |dir| {
                rewrite_bundle(dir, "tile/entries/001", 256, |entries| entries.swap(44, 54));
            },
        ),
        ("leaf 261 (tile/0/001): the hash was altered", |dir| {
            alter(dir, "tile/0/001", flip(32 * 5));
        }),
        (
            "leaves 256 to 511 (tile/1/000.p/2): the hash was altered",
            |dir| {
                alter(dir, "tile/1/000.p/2", flip(32));
            },
        ),
        (
            "leaves 256 to 511 (tile/0/001): the file with the hashes is missing",
            |dir| {
                fs::remove_file(dir.join("tile/0/001")).unwrap();
            },
        ),
        (
            "leaf 512 (tile/entries/002.p/88): missing, and the checkpoint covers 600 leaves: the log was truncated",
            |dir| {
                fs::remove_file(dir.join("tile/entries/002.p/88")).unwrap();
            },
        ),
        (
            "leaf 600 (tile/entries/002.p/88): the file was altered: the bundle has 4 bytes after its last entry",
            |dir| {
                alter(dir, "tile/entries/002.p/88", |bytes| {
                    bytes.extend(b"\0\x02{}")
                });
            },
        ),
        (
            "leaf 599 (tile/entries/002.p/88): the file was altered: the bundle ends within or before entry 87",
            |dir| {
                alter(dir, "tile/entries/002.p/88", |bytes| {
                    bytes.truncate(bytes.len() - 1)
                });
            },
        ),
        (
            "leaf 512 (tile/0/002.p/88): the file was altered: the tile has 2784 bytes",
            |dir| {
                alter(dir, "tile/0/002.p/88", |bytes| bytes.truncate(87 * 32));
            },
        ),
        (
            "checkpoint: the checkpoint is not signed by a given key of the log",
            |dir| {
                alter(dir, "checkpoint", |bytes| bytes[A.len() + 1] = b'7');
            },
        ),
        (
            "leaf 599 (tile/entries/002.p/88): the entry was altered",
            |dir| {
                alter(dir, "tile/entries/002.p/88", |bytes| {
                    *bytes.last_mut().unwrap() ^= 1
                });
            },
        ),
    ];
    let keys = export.published();
    for (says, change) in cases {
        let altered = TempDir::new().unwrap();
        copy(&export.log(), altered.path());
        change(altered.path());
        let log = text(altered.path());
        verify(log, &vkey(A)).refuted(says);
        for reader in ["sumdb", "tessera"] {
            let answer = tlog(&[reader, log, text(&keys)]);
            // Tessera takes no notice of what stands behind the last entry.
            if says.contains("after its last entry") && reader == "tessera" {
                continue;
            }
            assert_eq!(answer.code, Some(1), "{reader} accepts: {says}");
        }
    }
    // The copies were altered, not the export.
    verify(text(&export.log()), &vkey(A)).good();
}

fn rewrite_bundle(dir: &Path, path: &str, width: u16, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    alter(dir, path, |bytes| {
        let mut entries: Vec<Vec<u8>> = decode_entries(bytes, width)
            .unwrap()
            .into_iter()
            .map(<[u8]>::to_vec)
            .collect();
        change(&mut entries);
        *bytes = encode_entries(&entries).unwrap();
    });
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let there = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &there);
        } else {
            fs::copy(entry.path(), there).unwrap();
        }
    }
}

#[tokio::test]
async fn a_log_that_was_followed_is_verified_with_the_one_that_follows() {
    let export = Export::new(Filled::sqlite().await, true).await;
    let log = export.log();
    alter(&log, "previous/1/tile/entries/000", flip(40));
    let says = "leaf 0 (previous/1/tile/entries/000): the entry was altered";
    verify(text(&log), &vkey(B)).refuted(says);
    fs::remove_dir_all(log.join("previous")).unwrap();
    let said = verify(text(&log), &vkey(B)).good();
    assert!(
        said.contains(&format!(
            "note: {B} follows {A} with 600 leaves, which is not here"
        )),
        "{said}"
    );
}

#[tokio::test]
async fn a_checkpoint_that_was_kept_is_extended_or_the_log_was_rewritten() {
    let export = Export::new(Filled::sqlite().await, false).await;
    let log = export.log();
    let kept = export.dir.path().join("kept");
    let with = |note: &str| {
        fs::write(&kept, note).unwrap();
        audit(&[
            "verify",
            text(&log),
            "--key",
            &vkey(A).to_string(),
            "--checkpoint",
            text(&kept),
        ])
    };
    with(&export.filled.checkpoints[1]).good();
    tlog(&[
        "consistency",
        text(&log),
        text(&export.published()),
        text(&kept),
    ])
    .good();
    with(&sign(A, 200, Hash::of_leaf(b"other"))).refuted("the log was rewritten");
    let answer = tlog(&[
        "consistency",
        text(&log),
        text(&export.published()),
        text(&kept),
    ]);
    assert_eq!(answer.code, Some(1), "{}", answer.out);
    with(&sign(A, 700, Hash::of_leaf(b"other")))
        .refuted("leaf 600 (tile/entries/002.p/89): missing, and the kept checkpoint");
    with("no checkpoint\n").failed(1, "the checkpoint in ");
}

#[tokio::test]
async fn an_export_is_brought_up_to_date_without_writing_what_is_there() {
    let mut export = Export::new(Filled::sqlite().await, false).await;
    let log = export.log();
    let full = fs::metadata(log.join("tile/entries/000"))
        .unwrap()
        .modified()
        .unwrap();
    assert!(
        export
            .again()
            .good()
            .ends_with(&format!("2 files written to {}\n", log.display()))
    );
    export.filled.append(600..900).await;
    export.again().good();
    assert_eq!(
        fs::metadata(log.join("tile/entries/000"))
            .unwrap()
            .modified()
            .unwrap(),
        full
    );
    assert!(log.join("tile/entries/002").exists() && !log.join("tile/entries/002.p").exists());
    verify(text(&log), &vkey(A)).good();
    tlog(&["sumdb", text(&log), text(&export.published())]).good();

    // Cut off between files, it goes on: the checkpoint comes last.
    fs::remove_file(log.join("tile/0/003.p/132")).unwrap();
    export.again().good();
    verify(text(&log), &vkey(A)).good();

    // Another log, or the same one with another past, is not written over it.
    fs::write(
        log.join("checkpoint"),
        sign(A, 200, Hash::of_leaf(b"other")),
    )
    .unwrap();
    export.again().refuted("holds 200 leaves that the store");
    fs::write(
        log.join("checkpoint"),
        sign(B, 200, Hash::of_leaf(b"other")),
    )
    .unwrap();
    export.again().failed(2, "export to another folder");
}

#[tokio::test]
async fn a_key_of_nobody_vouches_for_nothing() {
    let export = Export::new(Filled::sqlite().await, false).await;
    let stranger: VerifierKey = neuralops::domain::audit::note::SigningKey::from_seed(A, &[99; 32])
        .unwrap()
        .verifier();
    verify(text(&export.log()), &stranger).refuted("no known key signed the note");
}
