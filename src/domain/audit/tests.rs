//! Floor 0, tests: what the tests of the log share.

use proptest::prelude::*;
use tlog_tiles as other;

use super::{
    hash::Hash,
    tree::{self, Frontier, Position, Recipe},
};

/// A tree with all its hashes, as a store has them.
pub struct Grown {
    pub frontier: Frontier,
    pub stored: Vec<Hash>,
}

impl Grown {
    pub fn of(bodies: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut grown = Self {
            frontier: Frontier::empty(),
            stored: Vec::new(),
        };
        for body in bodies {
            let stored = &mut grown.stored;
            grown.frontier.push(Hash::of_leaf(&body), |at, hash| {
                assert_eq!(at, stored.len() as u64);
                stored.push(hash);
            });
        }
        grown
    }

    pub fn at(&self, position: Position) -> Hash {
        self.stored[usize::try_from(position).unwrap()]
    }

    pub fn leaf(&self, index: u64) -> Hash {
        self.at(tree::leaf_position(index))
    }

    pub fn cook(&self, recipe: &Recipe) -> Vec<Hash> {
        let hashes: Vec<_> = recipe.positions().iter().map(|at| self.at(*at)).collect();
        recipe.cook(&hashes).unwrap()
    }

    pub fn root(&self, size: u64) -> Hash {
        only(self.cook(&tree::root_recipe(size)))
    }

    pub fn inclusion(&self, index: u64, size: u64) -> Vec<Hash> {
        self.cook(&tree::inclusion(index, size).unwrap())
    }

    pub fn consistency(&self, old: u64, new: u64) -> Vec<Hash> {
        self.cook(&tree::consistency(old, new).unwrap())
    }
}

/// The other implementation reads our hashes at its own positions.
impl other::HashReader for Grown {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<other::Hash>, other::Error> {
        Ok(indexes.iter().map(|at| theirs(self.at(*at))).collect())
    }
}

pub fn only(hashes: Vec<Hash>) -> Hash {
    let [hash] = hashes[..] else {
        panic!("not one hash: {hashes:?}")
    };
    hash
}

/// Leaves that all differ.
pub fn bodies(count: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|at| format!("leaf {at}").into_bytes())
}

pub fn theirs(hash: Hash) -> other::Hash {
    other::Hash(hash.0)
}

pub fn ours(hashes: Vec<other::Hash>) -> Vec<Hash> {
    hashes.into_iter().map(|hash| Hash(hash.0)).collect()
}

/// How often a property is tried.
pub fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A text with a few changes: near enough to the right one to reach every check of a parser.
pub fn nearly(text: String) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "\n",
            "\n\n",
            " ",
            "+",
            "0",
            "1",
            "=",
            "x",
            "\u{2014} ",
            ".p/",
            "/"
        ])
        .prop_map(str::to_owned),
        "\\PC{0,3}",
        any::<char>().prop_map(String::from),
    ];
    let change = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        0..5_u8,
        piece,
    );
    prop::collection::vec(change, 0..4).prop_map(move |changes| {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, to, kind, piece) in changes {
            let (at, to) = (at.index(chars.len() + 1), to.index(chars.len() + 1));
            let (from, to) = (at.min(to), at.max(to));
            let part = chars[from..to].to_vec();
            match kind {
                0 => drop(chars.splice(at..at, piece.chars())),
                1 => drop(chars.splice(from..to.min(from + 1), piece.chars())),
                2 => drop(chars.splice(from..to.min(from + 2), [])),
                3 => drop(chars.splice(from..to, [])),
                _ => drop(chars.splice(at..at, part)),
            }
        }
        chars.into_iter().collect()
    })
}
