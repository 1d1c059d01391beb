use std::io::Write as _;

use super::*;
use crate::{
    adapters::archive::{
        ArchiveError, KEYS, MANIFEST,
        manifest::{LogInBackup, Manifest},
    },
    domain::{
        audit::{hash::Hash, record::Root},
        digest::Digest,
    },
};

fn manifest() -> Vec<u8> {
    let log = LogInBackup {
        origin: "o".into(),
        size: 0,
        root: Root(Hash::of_nothing()),
    };
    Manifest::new(vec![log]).to_bytes().unwrap()
}

#[test]
fn what_was_written_is_read_in_the_same_order_and_with_its_digest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.tar.gz");
    let mut writer = Writer::create(&path).unwrap();
    writer.add(MANIFEST, &manifest()).unwrap();
    writer.add(KEYS, b"k\n").unwrap();
    // A whole block, less, more, nothing.
    for (name, size) in [("a", 512), ("b", 511), ("c", 513), ("d", 0)] {
        writer.add(name, &vec![b'x'; size]).unwrap();
    }
    writer.finish().unwrap();
    assert!(Writer::create(&path).is_err(), "it is there already");

    let mut reader = Reader::open(&path).unwrap();
    assert_eq!(reader.keys, b"k\n");
    for _ in 0..2 {
        assert_eq!(reader.take("c", 513).unwrap(), None);
        assert_eq!(reader.expect("a", 512).unwrap().len(), 512);
        assert_eq!(reader.expect("b", 512).unwrap().len(), 511);
        assert_eq!(reader.expect("c", 513).unwrap().len(), 513);
        assert!(matches!(reader.end(), Err(ArchiveError::Unexpected { .. })));
        assert_eq!(reader.expect("d", 0).unwrap().len(), 0);
        let digest = reader.end().unwrap();
        assert_eq!(digest, Digest::of(&std::fs::read(&path).unwrap()));
        reader = reader.again().unwrap();
    }
}

#[test]
fn nothing_larger_than_allowed_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.tar.gz");
    let mut writer = Writer::create(&path).unwrap();
    writer.add(MANIFEST, &manifest()).unwrap();
    writer.add(KEYS, &vec![b'x'; 65 * 1024]).unwrap();
    writer.finish().unwrap();
    let refused = Reader::open(&path).err().unwrap();
    assert!(refused.is_refusal(), "{refused}");
    assert!(refused.to_string().contains("keys is larger"), "{refused}");
}

#[test]
fn an_archive_that_expands_without_end_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.tar.gz");
    let mut writer = Writer::create(&path).unwrap();
    writer.add(MANIFEST, &manifest()).unwrap();
    writer.add(KEYS, b"k").unwrap();
    writer.add("a", &[0; 5000]).unwrap();
    writer.finish().unwrap();
    let within = |files, bytes| Reader::open_within(&path, read::Limits { files, bytes });
    assert!(within(3, 6000).is_ok());
    for refused in [within(2, 6000), within(3, 4000)] {
        let refused = refused.err().unwrap().to_string();
        assert!(
            refused.contains("\"a\" is more than a backup can hold"),
            "{refused}"
        );
    }
}

#[test]
fn what_is_no_archive_is_damaged_and_not_unreadable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.tar.gz");
    for content in [
        b"".as_slice(),
        b"plain text",
        b"\x1f\x8b\x08\0\0\0\0\0\0\0zzzzzzz",
    ] {
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(content).unwrap();
        let refused = Reader::open(&path).err().unwrap();
        assert!(refused.is_refusal(), "{refused}");
    }
    assert!(
        !Reader::open(&dir.path().join("nowhere"))
            .err()
            .unwrap()
            .is_refusal()
    );
}
