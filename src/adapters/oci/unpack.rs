//! Floor 2: archives of Playbooks, taken apart in memory: plain files only, few of them, small, under plain names. Nothing
//! is written anywhere, and no extension of the format is followed: it could say another name or size than the header.

use std::{collections::BTreeSet, io::Read as _};

use flate2::bufread::GzDecoder;
use tar::{Archive, EntryType};

use super::{LARGEST_LAYER, OciError};

/// How many files and folders an archive may hold.
const MOST_ENTRIES: usize = 64;
/// How much larger than itself an archive may unpack to; small ones are mostly padding.
const LARGEST_RATIO: usize = 200;
/// What any archive may unpack to, whatever its ratio.
const SMALL: usize = 64 * 1024;

/// A file of an archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Every file of a tar.gz.
pub(super) fn unpack(bytes: &[u8]) -> Result<Vec<File>, OciError> {
    let tar = inflate(bytes)?;
    let mut archive = Archive::new(tar.as_slice());
    // What stands behind the end would be seen by other readers and not by us.
    archive.set_ignore_zeros(true);
    let damaged = |error: std::io::Error| refused(format!("is damaged: {error}"));
    let (mut files, mut names) = (Vec::new(), BTreeSet::new());
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        let name = String::from_utf8_lossy(&entry.header().path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        let name = check(&name, kind)?;
        if !names.insert(name.clone()) {
            return Err(refused(format!("holds {name:?} twice")));
        }
        if names.len() > MOST_ENTRIES {
            return Err(refused(format!("holds more than {MOST_ENTRIES} files")));
        }
        if kind == EntryType::Directory {
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(damaged)?;
        if bytes.len() as u64 != entry.size() {
            return Err(refused(format!("ends within {name:?}")));
        }
        files.push(File { name, bytes });
    }
    Ok(files)
}

fn refused(what: String) -> OciError {
    OciError::Archive(what)
}

/// What is compressed, up to a limit.
fn inflate(bytes: &[u8]) -> Result<Vec<u8>, OciError> {
    let limit = bytes
        .len()
        .saturating_mul(LARGEST_RATIO)
        .clamp(SMALL, LARGEST_LAYER);
    let mut decoder = GzDecoder::new(bytes);
    let mut tar = Vec::new();
    (&mut decoder)
        .take(limit as u64 + 1)
        .read_to_end(&mut tar)
        .map_err(|error| refused(format!("is no gzip: {error}")))?;
    if tar.len() > limit {
        return Err(refused(format!(
            "has {} bytes and unpacks to more than the {limit} that are allowed",
            bytes.len()
        )));
    }
    if !decoder.into_inner().is_empty() {
        return Err(refused("goes on behind its end".to_owned()));
    }
    Ok(tar)
}

/// The name of a plain file or folder below here.
fn check(name: &str, kind: EntryType) -> Result<String, OciError> {
    let what = match kind {
        EntryType::Regular | EntryType::Directory => None,
        EntryType::Symlink | EntryType::Link => Some("a link"),
        EntryType::Char | EntryType::Block | EntryType::Fifo => Some("a device"),
        _ => Some("something else than a plain file or folder"),
    };
    if let Some(what) = what {
        return Err(refused(format!("holds {what}: {name:?}")));
    }
    if name.starts_with('/') {
        return Err(refused(format!("holds an absolute path: {name:?}")));
    }
    if name.split('/').any(|part| part == "..") {
        return Err(refused(format!(
            "holds a path that leads out of it: {name:?}"
        )));
    }
    let odd = |c: char| c.is_control() || c == '\\' || c == char::REPLACEMENT_CHARACTER;
    if name.is_empty() || name.chars().any(odd) {
        return Err(refused(format!(
            "holds a file without a plain name: {name:?}"
        )));
    }
    let parts = name.split('/').filter(|part| !matches!(*part, "" | "."));
    Ok(parts.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use tar::{Builder, Header};

    use super::*;
    use crate::domain::reason::Reason;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// An entry with any name: the builder's own check is not what is tested.
    fn entry(tar: &mut Builder<Vec<u8>>, name: &str, kind: EntryType, bytes: &[u8]) {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        tar.append(&header, bytes).unwrap();
    }

    fn of(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut tar = Builder::new(Vec::new());
        for (name, kind, bytes) in entries {
            entry(&mut tar, name, *kind, bytes);
        }
        tar.into_inner().unwrap()
    }

    fn word(archive: &[u8]) -> String {
        let error = unpack(archive).unwrap_err();
        assert_eq!(error.reason(), Reason::UnsafeArchive);
        error.to_string()
    }

    proptest! {
        /// Whatever an archive holds: it is unpacked within its limits, under plain names, or refused.
        #[test]
        fn any_bytes_are_unpacked_or_refused(at in 0..4096usize, bytes in prop::collection::vec(any::<u8>(), 1..64), raw in any::<bool>()) {
            let mut tar = of(&[
                ("./a/b.yaml", EntryType::Regular, b"one"),
                ("README", EntryType::Regular, &[b'x'; 600]),
            ]);
            let place = at % tar.len();
            for (place, byte) in tar.iter_mut().skip(place).zip(&bytes) {
                *place = *byte;
            }
            let archive = if raw { bytes } else { gzip(&tar) };
            for file in unpack(&archive).unwrap_or_default() {
                prop_assert!(file.bytes.len() <= tar.len());
                prop_assert!(!file.name.starts_with('/'));
                prop_assert!(file.name.split('/').all(|part| part != ".."));
            }
        }
    }

    #[test]
    fn plain_files_are_read_with_plain_names() {
        let archive = gzip(&of(&[
            ("./", EntryType::Directory, b""),
            ("./a/b.yaml", EntryType::Regular, b"one"),
            ("README", EntryType::Regular, b""),
        ]));
        let files = unpack(&archive).unwrap();
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["a/b.yaml", "README"]);
        assert_eq!(files[0].bytes, b"one");
    }

    #[test]
    fn everything_else_is_refused_by_its_name() {
        let plain = EntryType::Regular;
        for (name, kind, expected) in [
            ("a", EntryType::Symlink, "link"),
            ("a", EntryType::Link, "link"),
            ("a", EntryType::Char, "device"),
            ("a", EntryType::Fifo, "device"),
            ("a", EntryType::XHeader, "something else"),
            ("a", EntryType::XGlobalHeader, "something else"),
            ("a", EntryType::GNULongName, "something else"),
            ("a", EntryType::GNUSparse, "something else"),
            ("/a", plain, "absolute"),
            ("../a", plain, "leads out"),
            ("a/../../b", plain, "leads out"),
            ("a\\b", plain, "plain name"),
            ("a\nb", plain, "plain name"),
            ("", plain, "plain name"),
        ] {
            let said = word(&gzip(&of(&[(name, kind, b"")])));
            assert!(said.contains(expected), "{name:?} {kind:?}: {said}");
        }
        let twice = of(&[("a", plain, b"1"), ("./a", plain, b"2")]);
        assert!(word(&gzip(&twice)).contains("twice"));
        let names: Vec<String> = (0..65).map(|at| format!("f{at}")).collect();
        let entries: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), plain, &b""[..]))
            .collect();
        assert!(word(&gzip(&of(&entries))).contains("more than 64"));
    }

    #[test]
    fn what_unpacks_to_too_much_is_not_unpacked() {
        let bomb = gzip(&vec![0; 100 * 1024 * 1024]);
        assert!(bomb.len() < LARGEST_LAYER);
        assert!(word(&bomb).contains("unpacks to more"));
        // Small for the limit of a layer, and nothing but zeros.
        let ratio = gzip(&of(&[("a", EntryType::Regular, &[0; 900 * 1024])]));
        assert!(word(&ratio).contains("unpacks to more"), "{}", ratio.len());
    }

    #[test]
    fn nothing_stands_behind_the_end() {
        let one = of(&[("a.yaml", EntryType::Regular, b"1")]);
        let mut two = gzip(&one);
        two.extend(gzip(&one));
        assert!(word(&two).contains("behind its end"));
        let mut hidden = one.clone();
        hidden.extend(of(&[("b.yaml", EntryType::Regular, b"2")]));
        assert_eq!(unpack(&gzip(&hidden)).unwrap().len(), 2, "seen, not hidden");
        let mut rubbish = one.clone();
        rubbish.extend([1; 512]);
        assert!(word(&gzip(&rubbish)).contains("damaged"));
        assert!(word(&gzip(&one[..512])).contains("ends within"));
        assert!(word(&gzip(&one)[..30]).contains("no gzip"));
        assert!(word(b"PK").contains("no gzip"));
    }
}
