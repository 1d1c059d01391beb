//! Floor 0: the Merkle tree of RFC 6962, grown leaf by leaf, and the numbering of its stored hashes: each perfect subtree
//! has one, in the order in which they come to be (the numbering of Go's sumdb). Which hashes a proof needs is told
//! apart from reading them, so that no reading happens here.

use super::hash::Hash;

/// A stored hash is named by this number.
pub type Position = u64;

/// No tree has more leaves: every position in this one is a positive `i64` too. Sizes come out of notes and proofs that
/// anybody can write, so every calculation with one ends above this.
pub const LARGEST: u64 = 1 << 62;

/// The position of the `n`-th perfect subtree of `2^level` leaves; the last number there is for one beyond all trees.
pub fn position(level: u32, n: u64) -> Position {
    // The last leaf under the subtree comes at 2*(leaves before it) - (ones in that count), then the levels above it.
    let leaves = 1_u64
        .checked_shl(level)
        .and_then(|each| each.checked_mul(n.checked_add(1)?));
    leaves.map_or(Position::MAX, |leaves| {
        leaf_position(leaves - 1).saturating_add(u64::from(level))
    })
}

/// The position of a leaf's hash; the last number there is for one beyond all trees.
pub fn leaf_position(index: u64) -> Position {
    // Every 2^k leaves complete one subtree of that size: a tree of n leaves stores 2n - ones(n) hashes.
    index.saturating_add(index - u64::from(index.count_ones()))
}

/// Which subtree has this position: its level and its number there, so that [`position`] gives the position again.
pub fn split(position: Position) -> (u32, u64) {
    // A leaf lies at less than twice its index, by its ones at most: from here it is a few leaves to the right one.
    let mut leaf = position / 2;
    let mut above = position - leaf_position(leaf);
    while above > u64::from(leaf.trailing_ones()) {
        above -= u64::from(leaf.trailing_ones()) + 1;
        leaf += 1;
    }
    let level = u32::try_from(above).unwrap_or(u32::MAX);
    (level, leaf.checked_shr(level).unwrap_or_default())
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
        covering(0, size).collect()
    }

    /// From the hashes at [`Frontier::positions`]; nothing if they are not as many, or no tree can be that large.
    pub fn load(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        let fits = size <= LARGEST && peaks.len() == size.count_ones() as usize;
        fits.then_some(Self { size, peaks })
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

/// The perfect subtrees over these leaves, from left to right and largest first. `from` must be where a subtree of that
/// size can begin, which it is in every tree and under every node of one.
fn covering(from: u64, to: u64) -> impl Iterator<Item = Position> {
    let mut done = from;
    (0..u64::BITS)
        .rev()
        .filter(move |level| (to - from) >> level & 1 == 1)
        .map(move |level| {
            let n = done >> level;
            done += 1 << level;
            position(level, n)
        })
}

/// Perfect subtrees, from left to right and largest first, put together from the right.
fn fold(peaks: &[Hash]) -> Option<Hash> {
    let mut from_right = peaks.iter().rev();
    let last = *from_right.next()?;
    Some(from_right.fold(last, |right, left| Hash::of_node(left, &right)))
}

/// Which stored hashes a result needs, and how they come together. Whoever can read them reads them in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    positions: Vec<Position>,
    /// Every hash of the result is made of the next so many.
    parts: Vec<usize>,
}

impl Recipe {
    /// The positions of the hashes that [`Recipe::cook`] wants, in its order.
    pub fn positions(&self) -> &[Position] {
        &self.positions
    }

    /// The result, from the hashes at [`Recipe::positions`]; nothing if they are not as many.
    pub fn cook(&self, hashes: &[Hash]) -> Option<Vec<Hash>> {
        if hashes.len() != self.positions.len() {
            return None;
        }
        let mut rest = hashes;
        let mut next = |count: &usize| {
            let (part, after) = rest.split_at_checked(*count)?;
            rest = after;
            Some(fold(part).unwrap_or_else(Hash::of_nothing))
        };
        self.parts.iter().map(&mut next).collect()
    }

    /// And then the hash over these leaves.
    fn and(mut self, from: u64, to: u64) -> Self {
        let before = self.positions.len();
        self.positions.extend(covering(from, to));
        self.parts.push(self.positions.len() - before);
        self
    }
}

/// What the root of a tree of this size is made of: cooks to one hash. For a size that no tree has it never cooks.
pub fn root_recipe(size: u64) -> Recipe {
    if size > LARGEST {
        return Recipe {
            positions: Vec::new(),
            parts: vec![1],
        };
    }
    Recipe::default().and(0, size)
}

/// What the proof that this leaf is in a tree of this size is made of; nothing if the tree has no such leaf.
pub fn inclusion(index: u64, size: u64) -> Option<Recipe> {
    if size > LARGEST || index >= size {
        return None;
    }
    Some(Way::to_leaf(index, size).recipe(Recipe::default()))
}

/// What the proof that a tree of one size grew into one of another is made of; nothing if it cannot have.
pub fn consistency(old: u64, new: u64) -> Option<Recipe> {
    if new > LARGEST || old > new {
        return None;
    }
    if old == 0 {
        return Some(Recipe::default());
    }
    let way = Way::to_edge(old, new);
    let first = match way.from {
        // The old tree itself: whoever checks has its root.
        0 => Recipe::default(),
        from => Recipe::default().and(from, way.to),
    };
    Some(way.recipe(first))
}

/// From the root of a tree down to one of its subtrees.
struct Way {
    /// The leaves under where it ends: from this one,
    from: u64,
    /// to before this one.
    to: u64,
    /// What it passed by, from the root down.
    passed: Vec<Passed>,
}

/// A subtree beside the way: from this leaf to before that one.
enum Passed {
    Left(u64, u64),
    Right(u64, u64),
}

impl Way {
    /// Down to this leaf.
    fn to_leaf(index: u64, size: u64) -> Self {
        Self::down(index, size, |from, to| to - from <= 1)
    }

    /// Down to the largest subtree that ends where the old tree ended. Neither size is 0.
    fn to_edge(old: u64, new: u64) -> Self {
        Self::down(old - 1, new, |_, to| to == old)
    }

    fn down(index: u64, size: u64, arrived: impl Fn(u64, u64) -> bool) -> Self {
        let (mut from, mut to) = (0, size);
        let mut passed = Vec::new();
        while !arrived(from, to) {
            // RFC 6962: the left subtree has the largest power of two of leaves that leaves something to the right.
            let middle = from + (to - from).next_power_of_two() / 2;
            if index < middle {
                passed.push(Passed::Right(middle, to));
                to = middle;
            } else {
                passed.push(Passed::Left(from, middle));
                from = middle;
            }
        }
        Self { from, to, passed }
    }

    /// A proof names what lies beside the way from the bottom up.
    fn recipe(&self, first: Recipe) -> Recipe {
        self.passed.iter().rev().fold(first, |recipe, passed| {
            let (Passed::Left(from, to) | Passed::Right(from, to)) = passed;
            recipe.and(*from, *to)
        })
    }
}

/// Why a proof does not prove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The size is not that of a tree.
    #[error("no tree has {0} leaves")]
    Size(u64),
    /// The leaf is not in the tree.
    #[error("a tree of {size} leaves has no leaf {index}")]
    Leaf {
        /// Counted from 0.
        index: u64,
        /// The tree's leaves.
        size: u64,
    },
    /// The old tree is the larger one.
    #[error("a tree of {old} leaves does not grow into one of {new}")]
    Shrunk {
        /// The leaves it had.
        old: u64,
        /// The leaves it has.
        new: u64,
    },
    /// Every proof about these numbers has another length.
    #[error("the proof has {hashes} hashes, too few or too many")]
    Length {
        /// How many it has.
        hashes: usize,
    },
    /// It leads elsewhere than to the root of the old tree.
    #[error("the proof does not lead to the old root")]
    OldRoot,
    /// It leads elsewhere than to the root.
    #[error("the proof does not lead to the root")]
    Root,
}

/// Whether the proof leads from this leaf to this root. The size tells the way and is not in the root: it has to come
/// from where the root comes from.
pub fn verify_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: Hash,
) -> Result<(), ProofError> {
    if size > LARGEST {
        return Err(ProofError::Size(size));
    }
    if index >= size {
        return Err(ProofError::Leaf { index, size });
    }
    let way = Way::to_leaf(index, size);
    if proof.len() != way.passed.len() {
        let hashes = proof.len();
        return Err(ProofError::Length { hashes });
    }
    let up = way.passed.iter().rev().zip(proof);
    let reached = up.fold(leaf, |hash, (passed, beside)| match passed {
        Passed::Left(..) => Hash::of_node(beside, &hash),
        Passed::Right(..) => Hash::of_node(&hash, beside),
    });
    if reached == root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

/// Whether the proof shows that the new tree begins with all leaves of the old one. Every tree begins with the empty one.
pub fn verify_consistency(
    old_size: u64,
    old_root: Hash,
    new_size: u64,
    new_root: Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if new_size > LARGEST {
        return Err(ProofError::Size(new_size));
    }
    if old_size > new_size {
        return Err(ProofError::Shrunk {
            old: old_size,
            new: new_size,
        });
    }
    let length = ProofError::Length {
        hashes: proof.len(),
    };
    if old_size == 0 {
        return match (proof, new_size) {
            ([_, ..], _) => Err(length),
            _ if old_root != Hash::of_nothing() => Err(ProofError::OldRoot),
            ([], 0) if new_root != old_root => Err(ProofError::Root),
            _ => Ok(()),
        };
    }
    let way = Way::to_edge(old_size, new_size);
    let (first, beside) = match (way.from, proof) {
        (0, beside) => (old_root, beside),
        (_, [first, beside @ ..]) => (*first, beside),
        (_, []) => return Err(length),
    };
    if beside.len() != way.passed.len() {
        return Err(length);
    }
    let up = way.passed.iter().rev().zip(beside);
    let (old, new) = up.fold(
        (first, first),
        |(old, new), (passed, beside)| match passed {
            Passed::Left(..) => (Hash::of_node(beside, &old), Hash::of_node(beside, &new)),
            // What lies to the right came later.
            Passed::Right(..) => (old, Hash::of_node(&new, beside)),
        },
    );
    if old != old_root {
        return Err(ProofError::OldRoot);
    }
    if new != new_root {
        return Err(ProofError::Root);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
