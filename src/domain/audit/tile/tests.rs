//! Floor 0, tests: the files of a log against a client that is not ours.

use std::collections::BTreeSet;

use other::HashReader as _;
use proptest::prelude::*;
use tlog_tiles as other;

use super::*;
use crate::domain::audit::tests::{Grown, bodies, cases, nearly, ours, theirs};

fn tile(level: u8, n: u64, width: u16) -> Resource {
    Resource::Tile(Tile { level, n, width })
}

fn bundle(n: u64, width: u16) -> Resource {
    Resource::Bundle(Bundle { n, width })
}

fn path(resource: Resource) -> String {
    match resource {
        Resource::Checkpoint => "checkpoint".to_owned(),
        Resource::Tile(tile) => tile.path(),
        Resource::Bundle(bundle) => bundle.path(),
    }
}

/// The other implementation names the height in every path, and bundles otherwise.
fn their_path(path: &str) -> String {
    let path = path.strip_prefix("tile/").unwrap();
    format!("tile/8/{}", path.replacen("entries/", "data/", 1))
}

fn our_tile(tile: &other::Tile) -> Tile {
    let path = tile.path();
    let Some(Resource::Tile(ours)) = parse_path(&path.replacen("tile/8/", "tile/", 1)) else {
        panic!("{path}")
    };
    ours
}

#[test]
fn files_are_named_as_the_format_names_them() {
    let cases = [
        (Resource::Checkpoint, "checkpoint"),
        (tile(0, 0, 256), "tile/0/000"),
        (tile(0, 0, 1), "tile/0/000.p/1"),
        (tile(0, 999, 256), "tile/0/999"),
        (tile(1, 1_000, 255), "tile/1/x001/000.p/255"),
        (tile(2, 1_234_067, 256), "tile/2/x001/x234/067"),
        (tile(7, 0, 64), "tile/7/000.p/64"),
        (bundle(0, 256), "tile/entries/000"),
        (bundle(1_234_067, 8), "tile/entries/x001/x234/067.p/8"),
    ];
    for (resource, text) in cases {
        assert_eq!(path(resource), text);
        assert_eq!(parse_path(text), Some(resource), "{text}");
    }
}

#[test]
fn a_path_is_read_only_as_it_is_written() {
    for path in [
        "",
        "/checkpoint",
        "checkpoint/",
        "Checkpoint",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tile//0/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/1000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001/x002",
        "tile/0/xx001/002",
        "tile/0/x1/002",
        "tile/0/+01",
        "tile/0/-01",
        "tile/0/0a1",
        "tile/0/../000",
        "tile/0/..",
        "tile/00/000",
        "tile/+0/000",
        "tile/8/000",
        "tile/64/000",
        "tile/data/000",
        "tile/Entries/000",
        "tile/entries/0",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/+1",
        "tile/0/000.p/256",
        "tile/0/000.p/65537",
        "tile/0/000.p/1.p/1",
        "tile/0/000.p/1/",
        "tile/0/000.P/1",
        "tile/0/000?",
        "tile/0/000%2e",
        "tile/0/\u{0660}00",
    ] {
        assert_eq!(parse_path(path), None, "{path:?}");
    }
}

/// A number that is too large for every tree is no file's, whatever its level.
#[test]
fn no_file_is_beyond_the_largest_tree() {
    for level in 0..8 {
        let hashes = tree::LARGEST >> (8 * level);
        let (n, width) = match (hashes / 256, (hashes % 256) as u16) {
            (n, 0) => (n - 1, 256),
            last => last,
        };
        let last = Tile { level, n, width };
        assert_eq!(parse_path(&last.path()), Some(Resource::Tile(last)));
        assert_eq!(last.positions().len(), usize::from(width));
        let next = Tile { n: n + 1, ..last };
        let wider = Tile {
            width: width + 1,
            ..last
        };
        let widest = Tile {
            n: u64::MAX,
            ..last
        };
        for beyond in [
            next,
            wider,
            widest,
            Tile { level: 8, ..last },
            Tile { level: 255, ..last },
        ] {
            assert!(beyond.positions().is_empty(), "{beyond:?}");
            let read = parse_path(&beyond.path());
            assert_ne!(read, Some(Resource::Tile(beyond)));
        }
    }
    let empty = Tile {
        level: 0,
        n: 0,
        width: 0,
    };
    assert!(empty.positions().is_empty());
    let last = tree::LARGEST / 256 - 1;
    let first = |n| Bundle { n, width: 256 }.first();
    assert_eq!(first(last), Some(tree::LARGEST - 256));
    assert_eq!([first(last + 1), first(u64::MAX)], [None, None]);
    for (n, found) in [(last, true), (last + 1, false), (u64::MAX, false)] {
        let path = Bundle { n, width: 256 }.path();
        assert_eq!(parse_path(&path).is_some(), found, "{path}");
    }
    assert_eq!(
        parse_path("tile/entries/x018/x446/x744/x073/x709/x551/616"),
        None
    );
}

#[test]
fn a_tree_of_70_000_has_the_tiles_that_the_format_counts() {
    let tiles: Vec<_> = tiles(70_000).collect();
    let count = |level, partial| {
        let fits = |tile: &&Tile| tile.level == level && (tile.width < WIDTH) == partial;
        tiles
            .iter()
            .filter(fits)
            .map(|tile| tile.width)
            .collect::<Vec<_>>()
    };
    assert_eq!(count(0, false), [256; 273]);
    assert_eq!(count(0, true), [112]);
    assert_eq!(count(1, false), [256]);
    assert_eq!(count(1, true), [17]);
    assert_eq!(count(2, true), [1]);
    assert_eq!(tiles.len(), 273 + 1 + 1 + 1 + 1);
    assert_eq!(bundles(70_000).count(), 274);
    assert_eq!(bundles(70_000).last(), Some(Bundle { n: 273, width: 112 }));
    assert_eq!(super::tiles(0).next(), None);
    assert_eq!(super::bundles(0).next(), None);
    let full: Vec<_> = super::tiles(256).map(|tile| tile.path()).collect();
    assert_eq!(full, ["tile/0/000", "tile/1/000.p/1"]);
}

#[test]
fn every_tree_has_the_tiles_that_others_give_it() {
    let large = [
        511, 512, 65_535, 65_536, 65_537, 131_072, 1_000_000, 16_777_216,
    ];
    for size in (0..=600).chain(large) {
        let theirs = other::Tile::new_tiles(8, 0, size);
        let ours: Vec<_> = tiles(size).collect();
        assert_eq!(
            ours,
            theirs.iter().map(our_tile).collect::<Vec<_>>(),
            "of {size}"
        );
        let paths = theirs.iter().filter(|tile| tile.level() == 0).map(|tile| {
            let mut data = *tile;
            data.set_is_data();
            data.path()
        });
        let ours: Vec<_> = bundles(size).map(|one| their_path(&one.path())).collect();
        assert_eq!(ours, paths.collect::<Vec<_>>(), "bundles of {size}");
    }
}

/// Our files, as a client that is not ours reads them.
struct Files<'a>(&'a Grown, u64);

impl other::TileReader for Files<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, wanted: &[other::Tile]) -> Result<Vec<Vec<u8>>, other::Error> {
        let there_are: BTreeSet<_> = tiles(self.1).collect();
        let read = |tile: &other::Tile| {
            let ours = our_tile(tile);
            assert!(there_are.contains(&ours), "{} is not there", ours.path());
            contents(self.0, ours)
        };
        Ok(wanted.iter().map(read).collect())
    }

    fn save_tiles(&self, _tiles: &[other::Tile], _data: &[Vec<u8>]) {}
}

fn contents(grown: &Grown, tile: Tile) -> Vec<u8> {
    let hashes: Vec<_> = tile
        .positions()
        .into_iter()
        .map(|at| grown.at(at))
        .collect();
    encode_hashes(&hashes)
}

/// The client recomputes the root from the files and trusts no hash before.
#[test]
fn a_client_that_is_not_ours_reads_the_whole_log_from_its_files() {
    let grown = Grown::of(bodies(1_300));
    for size in [1, 2, 255, 256, 257, 511, 512, 1_000, 1_300] {
        for tile in tiles(size) {
            let theirs = other::Tile::from_path(&their_path(&tile.path())).unwrap();
            assert_eq!(contents(&grown, tile), theirs.read_data(&grown).unwrap());
        }
        let files = Files(&grown, size);
        let client = other::TileHashReader::new(size, theirs(grown.root(size)), &files);
        for index in [0, size / 3, size - 1] {
            let proof = other::prove_record(size, index, &client).unwrap();
            assert_eq!(
                ours(proof),
                grown.inclusion(index, size),
                "{index} in {size}"
            );
            let proof = other::prove_tree(size, index + 1, &client).unwrap();
            assert_eq!(ours(proof), grown.consistency(index + 1, size));
        }
        let all: Vec<_> = (0..tree::stored(size)).collect();
        let read = ours(client.read_hashes(&all).unwrap());
        assert_eq!(read, grown.stored[..all.len()], "hashes of {size}");
    }
}

#[test]
fn a_tile_holds_as_many_hashes_as_it_is_wide() {
    let hashes = [Hash([1; 32]), Hash([2; 32]), Hash([3; 32])];
    let bytes = encode_hashes(&hashes);
    assert_eq!(bytes.len(), 96);
    assert_eq!(decode_hashes(&bytes, 3).unwrap(), hashes);
    for (bytes, width) in [
        (&bytes[..95], 3),
        (&bytes[..], 2),
        (&bytes[..], 4),
        (&bytes[..33], 1),
    ] {
        let error = TileError::Hashes {
            bytes: bytes.len(),
            width,
        };
        assert_eq!(decode_hashes(bytes, width), Err(error));
    }
}

#[test]
fn a_bundle_holds_as_many_entries_as_it_is_wide() {
    let entries: [&[u8]; 3] = [b"one", b"", b"three"];
    let bytes = encode_entries(&entries).unwrap();
    assert_eq!(bytes, b"\0\x03one\0\0\0\x05three");
    assert_eq!(decode_entries(&bytes, 3).unwrap(), entries);
    let cases = [
        (&bytes[..], 2, TileError::Long(7)),
        (&bytes[..], 4, TileError::Short(3)),
        (&bytes[..13], 3, TileError::Short(2)),
        (&bytes[..8], 3, TileError::Short(2)),
        (&bytes[..4], 1, TileError::Short(0)),
        (&bytes[..1], 1, TileError::Short(0)),
        (&[], 1, TileError::Short(0)),
    ];
    for (bytes, width, error) in cases {
        assert_eq!(
            decode_entries(bytes, width),
            Err(error),
            "{bytes:?} as {width}"
        );
    }
    let longest = vec![7; 65_535];
    let bytes = encode_entries(std::slice::from_ref(&longest)).unwrap();
    assert_eq!(decode_entries(&bytes, 1).unwrap(), [&longest]);
    assert_eq!(encode_entries(&[vec![7; 65_536]]), None);
    assert!(encode_entries(&[[7]; 256]).is_some());
    assert_eq!(encode_entries(&[[7]; 257]), None);
    assert_eq!(encode_entries(&[[7]; 0]), None);
}

fn any_file() -> impl Strategy<Value = Resource> {
    let number = (any::<u64>(), 0..64_u32).prop_map(|(random, shift)| random >> shift);
    (0..=7_u8, number, 1..=WIDTH).prop_map(|(level, n, width)| match level {
        7 => bundle(n % (tree::LARGEST >> 8), width),
        level => tile(level, n % (tree::LARGEST >> (8 * level + 8)), width),
    })
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn every_file_has_one_path(file in any_file()) {
        let text = path(file);
        prop_assert_eq!(parse_path(&text), Some(file));
        prop_assert_eq!(other::Tile::from_path(&their_path(&text)).unwrap().path(), their_path(&text));
    }

    #[test]
    fn what_reads_as_a_path_prints_back_and_reads_elsewhere(
        text in prop_oneof![
            nearly("tile/2/x001/x234/067.p/25".to_owned()),
            nearly("tile/entries/x001/x234/067".to_owned()),
            nearly("checkpoint".to_owned()),
        ],
    ) {
        if let Some(file) = parse_path(&text) {
            prop_assert_eq!(path(file), text.clone());
            prop_assert!(file == Resource::Checkpoint || other::Tile::from_path(&their_path(&text)).is_ok());
        }
    }

    #[test]
    fn entries_read_back_and_nothing_else_reads(
        entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..20),
        random in prop::collection::vec(any::<u8>(), 0..200),
        width in 0..=WIDTH,
    ) {
        let bytes = encode_entries(&entries).unwrap();
        prop_assert_eq!(decode_entries(&bytes, entries.len() as u16).unwrap(), entries);
        if let Ok(entries) = decode_entries(&random, width).as_deref() && width > 0 {
            prop_assert_eq!(encode_entries(entries).unwrap(), random);
        }
    }
}
