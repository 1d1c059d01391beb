//! Archives that somebody made to do harm: `restore` refuses each before it writes anything, and says what is wrong.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use tar::{EntryType, Header};
use tempfile::TempDir;

use crate::{
    log::{A, Filled, sign, vkey},
    run::{Answer, audit, text},
};

/// An entry of an archive, as a test makes it up.
#[derive(Clone)]
struct Part {
    name: String,
    kind: EntryType,
    /// What the header says, if not the truth.
    size: Option<u64>,
    bytes: Vec<u8>,
}

fn file(name: &str, bytes: &[u8]) -> Part {
    Part {
        name: name.into(),
        kind: EntryType::Regular,
        size: None,
        bytes: bytes.to_vec(),
    }
}

fn header(part: &Part) -> Header {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..part.name.len()].copy_from_slice(part.name.as_bytes());
    header.set_entry_type(part.kind);
    header.set_size(part.size.unwrap_or(part.bytes.len() as u64));
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    header
}

fn tar(parts: &[Part]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(header(part).as_bytes());
        bytes.extend(&part.bytes);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn parts(archive: &Path) -> Vec<Part> {
    let mut read = tar::Archive::new(GzDecoder::new(fs::File::open(archive).unwrap()));
    let entries = read.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        file(&name, &bytes)
    });
    entries.collect()
}

struct Bench {
    dir: TempDir,
    parts: Vec<Part>,
    filled: Filled,
}

impl Bench {
    async fn new() -> Self {
        let filled = Filled::sqlite().await;
        let dir = TempDir::new().unwrap();
        let archive = dir.path().join("good.tar.gz");
        audit(&[
            "backup",
            "--store",
            &filled.url(),
            "--to",
            text(&archive),
            "--key",
            &vkey(A).to_string(),
        ])
        .good();
        let parts = parts(&archive);
        Self { dir, parts, filled }
    }

    fn restore(&self, archive: &[u8]) -> Answer {
        let (path, anchor) = (
            self.dir.path().join("evil.tar.gz"),
            self.dir.path().join("anchor"),
        );
        fs::write(&path, archive).unwrap();
        fs::write(&anchor, self.filled.checkpoints.last().unwrap()).unwrap();
        let store = self.dir.path().join("restored.db");
        let url = format!("sqlite://{}", store.display());
        let answer = audit(&[
            "restore",
            text(&path),
            "--store",
            &url,
            "--key",
            &vkey(A).to_string(),
            "--anchor",
            text(&anchor),
        ]);
        if answer.code != Some(0) {
            assert!(!store.exists(), "something was written");
        }
        answer
    }

    fn at(&self, name: &str) -> usize {
        self.parts
            .iter()
            .position(|part| part.name == name)
            .unwrap()
    }

    fn with(&self, change: impl FnOnce(&mut Vec<Part>)) -> Answer {
        let mut parts = self.parts.clone();
        change(&mut parts);
        self.restore(&gzip(&tar(&parts)))
    }
}

#[tokio::test]
async fn an_archive_made_up_of_the_same_files_is_as_good() {
    Bench::new().await.with(|_| {}).good();
}

#[tokio::test]
async fn odd_names_and_kinds_are_refused() {
    let bench = Bench::new().await;
    let cases = [
        (
            "../x",
            EntryType::Regular,
            "\"../x\" leads out of the archive",
        ),
        (
            "tile/../../x",
            EntryType::Regular,
            "leads out of the archive",
        ),
        (
            "/etc/x",
            EntryType::Regular,
            "\"/etc/x\" is an absolute path",
        ),
        ("keys2", EntryType::Symlink, "\"keys2\" is a symbolic link"),
        ("keys2", EntryType::Link, "is a hard link"),
        ("keys2", EntryType::Directory, "is a folder"),
        ("keys2", EntryType::Char, "is a device"),
        ("keys2", EntryType::Block, "is a device"),
        ("keys2", EntryType::Fifo, "is a pipe"),
        (
            "keys2",
            EntryType::GNULongName,
            "is of a kind that no backup has",
        ),
        (
            "keys2",
            EntryType::XHeader,
            "is of a kind that no backup has",
        ),
        ("keys", EntryType::Regular, "\"keys\" stands there twice"),
        (
            "a\\b",
            EntryType::Regular,
            "is no name of a file in a backup",
        ),
        ("", EntryType::Regular, "is no name of a file in a backup"),
        (
            "notes.txt",
            EntryType::Regular,
            "notes.txt where tile/1/000.p/2 belongs",
        ),
    ];
    for (name, kind, says) in cases {
        // Early, in the middle, and behind everything that belongs there.
        for place in [3, bench.parts.len() / 2, bench.parts.len()] {
            let mut part = file(name, b"");
            part.kind = kind;
            let answer = bench.with(|parts| parts.insert(place, part));
            let says = if name == "notes.txt" {
                "the archive was refused: notes.txt where "
            } else {
                says
            };
            answer.failed(3, says);
        }
    }
    let answer = bench.with(|parts| parts.insert(3, file("notes.txt", b"")));
    answer.failed(3, cases[14].2);
}

#[tokio::test]
async fn sizes_are_held_to_what_belongs_there() {
    let bench = Bench::new().await;
    for name in [
        "manifest.json",
        "keys",
        "checkpoint",
        "tile/0/000",
        "tile/entries/000",
        "payloads/000.jsonl",
    ] {
        let at = bench.at(name);
        let answer = bench.with(|parts| parts[at].size = Some(7 << 30));
        answer.failed(3, &format!("{name} is larger than the "));
    }
    // A header that promises less than there is shifts everything behind it.
    let at = bench.at("tile/entries/000");
    bench
        .with(|parts| parts[at].size = Some(512))
        .failed(3, "the archive was refused");
    // Tiles are as large as they are.
    let at = bench.at("tile/0/001");
    let says = "leaf 256 (tile/0/001): the file was altered";
    bench
        .with(|parts| parts[at].bytes.truncate(32))
        .refuted(says);
}

#[tokio::test]
async fn what_is_missing_added_or_moved_is_named() {
    let bench = Bench::new().await;
    let at = bench.at("tile/0/001");
    let says = "tile/entries/001 where tile/0/001 belongs";
    bench.with(|parts| drop(parts.remove(at))).failed(3, says);
    bench.with(|parts| parts.swap(at, at + 1)).failed(3, says);
    bench
        .with(|parts| parts.truncate(at))
        .failed(3, "the end where tile/0/001 belongs");
    let says = "no checkpoint where checkpoint belongs";
    let at = bench.at("checkpoint");
    bench.with(|parts| drop(parts.remove(at))).failed(3, says);

    let good = gzip(&tar(&bench.parts));
    bench
        .restore(&good[..good.len() - 20])
        .failed(3, "the archive is damaged");
    bench
        .restore(&[good.as_slice(), b"more"].concat())
        .failed(3, "data behind the gzip stream");
    let longer = [tar(&bench.parts), b"more".to_vec()].concat();
    bench
        .restore(&gzip(&longer))
        .failed(3, "more data where the end belongs");
    let mut header = tar(&bench.parts);
    header[0] ^= 1;
    bench
        .restore(&gzip(&header))
        .failed(3, "has a header with a wrong checksum");
}

#[tokio::test]
async fn a_manifest_is_held_against_the_logs() {
    let bench = Bench::new().await;
    let edit = |from: &str, to: &str| {
        let at = bench.at("manifest.json");
        bench.with(|parts| {
            let text = String::from_utf8(parts[at].bytes.clone()).unwrap();
            assert!(text.contains(from), "{text}");
            parts[at].bytes = text.replace(from, to).into_bytes();
        })
    };
    edit("\"format\": 1", "\"format\": 2").failed(3, "has format 2");
    edit("\"logs\"", "\"more\": 1, \"logs\"").failed(3, "manifest.json does not read");
    edit(A, "neuralops.io/test/z").failed(3, "is of the log");
    let root = bench.filled.log.root.to_string();
    let other = neuralops::domain::audit::hash::Hash::of_leaf(b"other").to_string();
    edit(&root, &other).refuted("the manifest was altered");
    // Whatever is claimed, nothing is gone through that is not there.
    edit("600", "4000000000000000000").failed(3, "tile/1/000.p/2 where tile/1/000 belongs");
    edit("600", "599").failed(3, "tile/0/002.p/88 where tile/0/002.p/87 belongs");
}

#[tokio::test]
async fn entries_texts_and_roots_are_verified_before_anything_is_written() {
    let bench = Bench::new().await;
    let entries = bench.at("tile/entries/001");
    let says = "leaf 256 (tile/entries/001): the entry was altered";
    bench
        .with(|parts| parts[entries].bytes[40] ^= 1)
        .refuted(says);
    let texts = bench.at("payloads/000.jsonl");
    let change = |from: &str, to: &str| {
        bench.with(|parts| {
            let text = String::from_utf8(parts[texts].bytes.clone()).unwrap();
            parts[texts].bytes = text.replacen(from, to, 1).into_bytes();
        })
    };
    change("text of 10\"", "text of 11\"")
        .refuted("leaf 10 (tile/entries/000): the text beside the log was altered");
    change("{\"leaf\":10,", "{\"leaf\":11,").refuted("the text beside the log was altered");
    change("{\"leaf\":10,", "{\"leaf\":999,").refuted("the texts beside the log do not read");
    change("{\"leaf\":10,", "{").refuted("line 3 is no text with its salt");
    // A text may be gone: its time may have been over.
    let checkpoint = bench.at("checkpoint");
    let other = neuralops::domain::audit::hash::Hash::of_leaf(b"other");
    let note = sign(A, 600, other).into_bytes();
    bench
        .with(|parts| parts[checkpoint].bytes = note)
        .failed(3, "have the root");
    bench.with(|parts| drop(parts.remove(texts))).good();
}
