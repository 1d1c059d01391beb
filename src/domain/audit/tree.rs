//! Floor 0: the Merkle tree of RFC 6962, grown leaf by leaf, and the numbering of its stored hashes: each perfect subtree
//! has one, in the order in which they come to be (the numbering of Go's sumdb). Which hashes a proof needs is told
//! apart from reading them, so that no reading happens here.

use super::hash::Hash;

/// A stored hash is named by this number.
pub type Position = u64;

/// The position of the `n`-th perfect subtree of `2^level` leaves.
pub fn position(level: u32, n: u64) -> Position {
    // The last leaf under the subtree comes at 2*(leaves before it) - (ones in that count), then the levels above it.
    let before = ((n + 1) << level) - 1;
    leaf_position(before) + u64::from(level)
}

/// The position of a leaf's hash.
pub fn leaf_position(index: u64) -> Position {
    // Every 2^k leaves complete one subtree of that size: a tree of n leaves stores 2n - ones(n) hashes.
    2 * index - u64::from(index.count_ones())
}

/// How many hashes a tree of this size stores.
pub fn stored(size: u64) -> u64 {
    leaf_position(size)
}

/// The right edge of a tree: its perfect subtrees from left to right, largest first. All that appending needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Of a tree without leaves.
    pub fn empty() -> Self {
        Self {
            size: 0,
            peaks: Vec::new(),
        }
    }

    /// Which stored hashes are the peaks of a tree of this size, from left to right.
    pub fn positions(size: u64) -> Vec<Position> {
        let mut done = 0;
        (0..u64::BITS)
            .rev()
            .filter(|level| size >> level & 1 == 1)
            .map(|level| {
                let n = done >> level;
                done += 1 << level;
                position(level, n)
            })
            .collect()
    }

    /// From the hashes at [`Frontier::positions`]; nothing if they are not as many.
    pub fn load(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// Leaves in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf and hands every hash that comes to be to `store`, with its position.
    pub fn push(&mut self, leaf: Hash, mut store: impl FnMut(Position, Hash)) {
        let mut at = leaf_position(self.size);
        let mut hash = leaf;
        store(at, hash);
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = Hash::of_node(&left, &hash);
            at += 1;
            store(at, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root hash.
    pub fn root(&self) -> Hash {
        fold(&self.peaks).unwrap_or_else(Hash::of_nothing)
    }
}

/// Perfect subtrees, from left to right and largest first, put together from the right.
fn fold(peaks: &[Hash]) -> Option<Hash> {
    let mut from_right = peaks.iter().rev();
    let last = *from_right.next()?;
    Some(from_right.fold(last, |right, left| Hash::of_node(left, &right)))
}
