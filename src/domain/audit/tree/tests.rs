//! Floor 0, tests: the tree against the vectors of Certificate Transparency and two implementations that are not ours.

use std::sync::LazyLock;

use ct_merkle::{ConsistencyProof, InclusionProof, RootHash, mem_backed_tree::MemoryBackedTree};
use proptest::prelude::*;
use sha2::Sha256;
use tlog_tiles as other;

use super::*;
use crate::domain::audit::tests::{Grown, bodies, cases, only, ours, theirs};

/// 5,000 leaves.
static LARGE: LazyLock<Grown> = LazyLock::new(|| Grown::of(bodies(5_000)));

fn their_proof(hashes: &[Hash]) -> Vec<other::Hash> {
    hashes.iter().copied().map(theirs).collect()
}

type CtRoot = RootHash<Sha256>;

fn ct_root(root: Hash, size: u64) -> CtRoot {
    RootHash::new(root.0.into(), size)
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

fn hash(hex: &str) -> Hash {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<_> = (0..hex.len()).step_by(2).map(digit).collect();
    Hash::try_from(bytes.as_slice()).unwrap()
}

fn flip(hash: Hash, bit: usize) -> Hash {
    let mut hash = hash;
    hash.0[bit / 8] ^= 1 << (bit % 8);
    hash
}

/// The leaves, roots and proofs that every implementation of Certificate Transparency is checked with.
#[test]
fn the_known_trees_come_out() {
    let leaves: [&[u8]; 8] = [
        &[],
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        b"`abcdefghijklmno",
    ];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let grown = Grown::of(leaves.map(<[u8]>::to_vec));
    for (size, root) in (0..).zip(roots) {
        assert_eq!(grown.root(size), hash(root), "root of {size}");
    }
    assert_eq!(grown.frontier.root(), hash(roots[8]));

    let left = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    let second = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    let right = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
    let fifth = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
    let end = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
    let edge = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
    let inclusions: [(u64, u64, &[&str]); 4] = [
        (0, 1, &[]),
        (0, 8, &[left, second, right]),
        (5, 8, &[fifth, end, roots[4]]),
        (2, 3, &[roots[2]]),
    ];
    for (index, size, proof) in inclusions {
        let proof: Vec<_> = proof.iter().map(|hex| hash(hex)).collect();
        assert_eq!(grown.inclusion(index, size), proof, "{index} in {size}");
        let (leaf, root) = (grown.leaf(index), hash(roots[size as usize]));
        assert_eq!(verify_inclusion(leaf, index, size, &proof, root), Ok(()));
    }
    let consistencies: [(u64, u64, &[&str]); 4] = [
        (1, 1, &[]),
        (1, 8, &[left, second, right]),
        (6, 8, &[edge, end, roots[4]]),
        (2, 5, &[second, fifth]),
    ];
    for (old, new, proof) in consistencies {
        let proof: Vec<_> = proof.iter().map(|hex| hash(hex)).collect();
        assert_eq!(grown.consistency(old, new), proof, "{old} to {new}");
        let (old_root, new_root) = (hash(roots[old as usize]), hash(roots[new as usize]));
        let verified = verify_consistency(old, old_root, new, new_root, &proof);
        assert_eq!(verified, Ok(()));
    }
}

const SMALL: u64 = 300;

#[test]
fn every_small_tree_has_the_root_that_others_give_it() {
    let grown = Grown::of(bodies(SMALL));
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut frontier = Frontier::empty();
    let mut more = bodies(SMALL);
    for size in 0..=SMALL {
        let root = grown.root(size);
        assert_eq!(tree.root().as_bytes().as_slice(), root.0, "root of {size}");
        assert_eq!(other::tree_hash(size, &grown).unwrap(), theirs(root));
        assert_eq!(frontier.root(), root, "root of the edge of {size}");
        let edge = Frontier::positions(size).into_iter();
        let loaded = Frontier::load(size, edge.map(|at| grown.at(at)).collect());
        assert_eq!(loaded.as_ref(), Some(&frontier), "edge of {size}");
        if let Some(body) = more.next() {
            frontier.push(Hash::of_leaf(&body), |_, _| {});
            tree.push(body);
        }
    }
    assert_eq!(frontier.size(), SMALL);
}

#[test]
fn every_leaf_of_every_small_tree_has_the_proof_that_others_give_it() {
    let grown = Grown::of(bodies(SMALL));
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for (size, body) in (1..).zip(bodies(SMALL)) {
        tree.push(body);
        for index in 0..size {
            let proof = grown.inclusion(index, size);
            let from_ct = tree.prove_inclusion(index as usize);
            assert_eq!(bytes(&proof), from_ct.as_bytes(), "{index} in {size}");
            let from_go = other::prove_record(size, index, &grown).unwrap();
            assert_eq!(proof, ours(from_go), "{index} in {size}");
        }
    }
}

#[test]
fn every_growth_of_every_small_tree_has_the_proof_that_others_give_it() {
    let grown = Grown::of(bodies(SMALL));
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for (new, body) in (1..).zip(bodies(SMALL)) {
        tree.push(body);
        assert_eq!(grown.consistency(0, new), [], "from nothing to {new}");
        for old in 1..=new {
            let proof = grown.consistency(old, new);
            let from_ct = tree.prove_consistency((new - old) as usize);
            assert_eq!(bytes(&proof), from_ct.as_bytes(), "{old} to {new}");
            let from_go = other::prove_tree(new, old, &grown).unwrap();
            assert_eq!(proof, ours(from_go), "{old} to {new}");
        }
    }
}

#[test]
fn every_proof_of_a_small_tree_is_believed() {
    let grown = Grown::of(bodies(48));
    for size in 0..=48 {
        let root = grown.root(size);
        for index in 0..size {
            let proof = grown.inclusion(index, size);
            let verified = verify_inclusion(grown.leaf(index), index, size, &proof, root);
            assert_eq!(verified, Ok(()), "{index} in {size}");
        }
        for old in 0..=size {
            let proof = grown.consistency(old, size);
            let verified = verify_consistency(old, grown.root(old), size, root, &proof);
            assert_eq!(verified, Ok(()), "{old} to {size}");
        }
    }
}

#[test]
fn hashes_are_numbered_as_others_number_them() {
    let mut level = 0;
    while level < 62 {
        let last = (LARGEST >> level) - 1;
        for n in (0..70)
            .map(|n| n.min(last))
            .chain([last / 2, last / 3, last])
        {
            let at = position(level, n);
            assert_eq!(at, other::stored_hash_index(level as u8, n), "{level} {n}");
            assert_eq!(split(at), (level, n), "at {at}");
        }
        level += 1;
    }
    let beyond = [(0, u64::MAX), (1, LARGEST), (2, LARGEST), (63, 1), (64, 0)];
    for (level, n) in beyond {
        assert_eq!(position(level, n), Position::MAX, "{level} {n}");
    }
    assert_eq!(
        [leaf_position(u64::MAX), stored(2 * LARGEST + 1)],
        [Position::MAX; 2]
    );
    for at in 0..2_000 {
        let (level, n) = other::split_stored_hash_index(at);
        assert_eq!(split(at), (u32::from(level), n), "at {at}");
        assert_eq!(stored(at), other::stored_hash_count(at), "stored of {at}");
    }
}

/// The hash of a perfect subtree by its level, in a tree whose leaves are all the same: so one can be as large as any.
struct Endless(Vec<Hash>);

impl Endless {
    fn new() -> Self {
        let leaf = Hash::of_leaf(b"again");
        let mut level = Some(leaf);
        let above = std::iter::from_fn(|| {
            let hash = level?;
            level = Some(Hash::of_node(&hash, &hash));
            Some(hash)
        });
        Self(above.take(63).collect())
    }

    fn read(&self, at: Position) -> Hash {
        self.0[split(at).0 as usize]
    }

    fn cook(&self, recipe: &Recipe) -> Vec<Hash> {
        let hashes: Vec<_> = recipe.positions().iter().map(|at| self.read(*at)).collect();
        recipe.cook(&hashes).unwrap()
    }

    fn frontier(&self, size: u64) -> Frontier {
        let edge = Frontier::positions(size).into_iter();
        Frontier::load(size, edge.map(|at| self.read(at)).collect()).unwrap()
    }
}

impl other::HashReader for Endless {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<other::Hash>, other::Error> {
        // By their numbering, so that a wrong one of ours cannot hide.
        let level = |at: &u64| usize::from(other::split_stored_hash_index(*at).0);
        Ok(indexes.iter().map(|at| theirs(self.0[level(at)])).collect())
    }
}

static ENDLESS: LazyLock<Endless> = LazyLock::new(Endless::new);

/// A tree of any size that there can be, with a leaf of it: every magnitude as often as every other.
fn any_tree() -> impl Strategy<Value = (u64, u64)> {
    let size = (0..=62_u32, any::<u64>()).prop_map(|(bits, random)| {
        let least = 1 << bits;
        (least | (random & (least - 1))).min(LARGEST)
    });
    (size, any::<u64>()).prop_map(|(size, random)| (size, random % size))
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn trees_up_to_5000_leaves_are_believed_by_others_too(
        size in 1..=5_000_u64,
        random in any::<u64>(),
    ) {
        let grown = &*LARGE;
        let (index, old) = (random % size, random % size + 1);
        let root = grown.root(size);
        prop_assert_eq!(other::tree_hash(size, grown).unwrap(), theirs(root));

        let proof = grown.inclusion(index, size);
        prop_assert_eq!(&ours(other::prove_record(size, index, grown).unwrap()), &proof);
        let leaf = grown.leaf(index);
        prop_assert_eq!(verify_inclusion(leaf, index, size, &proof, root), Ok(()));
        let from_ct = InclusionProof::<Sha256>::try_from_bytes(bytes(&proof)).unwrap();
        let body = format!("leaf {index}");
        prop_assert!(ct_root(root, size).verify_inclusion(&body, index, &from_ct).is_ok());

        let proof = grown.consistency(old, size);
        prop_assert_eq!(&ours(other::prove_tree(size, old, grown).unwrap()), &proof);
        let old_root = grown.root(old);
        prop_assert_eq!(verify_consistency(old, old_root, size, root, &proof), Ok(()));
        let from_ct = ConsistencyProof::<Sha256>::try_from_bytes(bytes(&proof)).unwrap();
        let before = ct_root(old_root, old);
        prop_assert!(ct_root(root, size).verify_consistency(&before, &from_ct).is_ok());
    }
}

proptest! {
    #![proptest_config(cases(200))]

    /// As large as trees get, and as cheap: no proof needs more than two hashes for a level.
    #[test]
    fn trees_of_any_size_are_as_others_make_them((size, index) in any_tree()) {
        let tree = &*ENDLESS;
        let recipe = root_recipe(size);
        prop_assert!(recipe.positions().len() <= 62);
        let root = only(tree.cook(&recipe));
        prop_assert_eq!(other::tree_hash(size, tree).unwrap(), theirs(root));

        let mut frontier = tree.frontier(size);
        prop_assert_eq!(frontier.root(), root);
        if size < LARGEST {
            frontier.push(tree.0[0], |at, hash| {
                assert_eq!(tree.0[other::split_stored_hash_index(at).0 as usize], hash);
            });
            prop_assert_eq!(frontier, tree.frontier(size + 1));
        }

        let recipe = inclusion(index, size).unwrap();
        prop_assert!(recipe.positions().len() <= 2 * 62);
        let proof = tree.cook(&recipe);
        prop_assert_eq!(&ours(other::prove_record(size, index, tree).unwrap()), &proof);
        prop_assert_eq!(verify_inclusion(tree.0[0], index, size, &proof, root), Ok(()));

        let old = index + 1;
        let recipe = consistency(old, size).unwrap();
        prop_assert!(recipe.positions().len() <= 2 * 62);
        let proof = tree.cook(&recipe);
        prop_assert_eq!(&ours(other::prove_tree(size, old, tree).unwrap()), &proof);
        let old_root = tree.frontier(old).root();
        prop_assert_eq!(verify_consistency(old, old_root, size, root, &proof), Ok(()));
    }

    /// Numbers out of forged proofs: nothing overflows, nothing takes long, and what is too large is refused.
    #[test]
    fn no_number_is_too_absurd(
        one in prop_oneof![any::<u64>(), LARGEST..=LARGEST + 2, u64::MAX - 2..=u64::MAX],
        two in prop_oneof![any::<u64>(), LARGEST..=LARGEST + 2, u64::MAX - 2..=u64::MAX],
        level in any::<u32>(),
        hashes in 0..70_usize,
    ) {
        let (some, root) = (vec![Hash::of_nothing(); hashes], Hash::of_leaf(b"root"));
        position(level, one);
        leaf_position(one);
        stored(one);
        let (level, n) = split(one);
        prop_assert_eq!(position(level, n), one);
        Frontier::positions(one);
        prop_assert_eq!(inclusion(one, two).is_some(), two <= LARGEST && one < two);
        prop_assert_eq!(consistency(one, two).is_some(), two <= LARGEST && one <= two);
        let contained = verify_inclusion(root, one, two, &some, root);
        let grew = verify_consistency(one, root, two, root, &some);
        if two > LARGEST {
            prop_assert_eq!(contained, Err(ProofError::Size(two)));
            prop_assert_eq!(grew, Err(ProofError::Size(two)));
            prop_assert_eq!(root_recipe(two).cook(&some), None);
            prop_assert_eq!(Frontier::load(two, vec![root; two.count_ones() as usize]), None);
        }
    }
}

/// Every bit of one leaf, one root and one proof.
fn every_bit(hashes: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..hashes).flat_map(|hash| (0..256).map(move |bit| (hash, bit)))
}

fn flipped(proof: &[Hash], hash: usize, bit: usize) -> Vec<Hash> {
    let mut proof = proof.to_vec();
    proof[hash] = flip(proof[hash], bit);
    proof
}

#[test]
fn no_bit_of_an_inclusion_proof_can_change() {
    let grown = Grown::of(bodies(13));
    for (index, size) in [
        (0, 1),
        (0, 2),
        (1, 2),
        (2, 3),
        (4, 7),
        (6, 7),
        (7, 8),
        (12, 13),
    ] {
        let (leaf, root) = (grown.leaf(index), grown.root(size));
        let proof = grown.inclusion(index, size);
        let check = |leaf, proof: &[Hash], root| verify_inclusion(leaf, index, size, proof, root);
        assert_eq!(check(leaf, &proof, root), Ok(()));
        for bit in 0..256 {
            assert_eq!(check(flip(leaf, bit), &proof, root), Err(ProofError::Root));
            assert_eq!(check(leaf, &proof, flip(root, bit)), Err(ProofError::Root));
        }
        for (hash, bit) in every_bit(proof.len()) {
            let forged = flipped(&proof, hash, bit);
            assert_eq!(check(leaf, &forged, root), Err(ProofError::Root));
        }
    }
}

#[test]
fn no_bit_of_a_consistency_proof_can_change() {
    let grown = Grown::of(bodies(13));
    for (old, new) in [
        (1, 1),
        (1, 2),
        (2, 3),
        (3, 4),
        (3, 7),
        (4, 7),
        (6, 7),
        (7, 8),
        (11, 13),
    ] {
        let (before, after) = (grown.root(old), grown.root(new));
        let proof = grown.consistency(old, new);
        let check =
            |before, after, proof: &[Hash]| verify_consistency(old, before, new, after, proof);
        assert_eq!(check(before, after, &proof), Ok(()));
        for bit in 0..256 {
            assert!(check(flip(before, bit), after, &proof).is_err());
            assert_eq!(
                check(before, flip(after, bit), &proof),
                Err(ProofError::Root)
            );
        }
        for (hash, bit) in every_bit(proof.len()) {
            let forged = flipped(&proof, hash, bit);
            assert!(check(before, after, &forged).is_err(), "{old} to {new}");
        }
    }
}

#[test]
fn a_proof_that_lacks_a_hash_or_has_one_more_is_refused() {
    let grown = Grown::of(bodies(20));
    let root = grown.root(20);
    let wrong_lengths = |proof: Vec<Hash>| {
        let shorter = proof.split_last().map(|(_, rest)| rest.to_vec());
        let headless = proof.split_first().map(|(_, rest)| rest.to_vec());
        let more = Hash::of_nothing();
        let longer = [proof.clone(), vec![more]].concat();
        let shifted = [vec![more], proof].concat();
        shorter.into_iter().chain(headless).chain([longer, shifted])
    };
    for index in 0..20 {
        for proof in wrong_lengths(grown.inclusion(index, 20)) {
            let hashes = proof.len();
            let verified = verify_inclusion(grown.leaf(index), index, 20, &proof, root);
            assert_eq!(verified, Err(ProofError::Length { hashes }), "{index}");
        }
    }
    for old in 0..=20 {
        for proof in wrong_lengths(grown.consistency(old, 20)) {
            let hashes = proof.len();
            let verified = verify_consistency(old, grown.root(old), 20, root, &proof);
            assert_eq!(verified, Err(ProofError::Length { hashes }), "{old}");
        }
    }
}

/// Another leaf is another way. Another size can be the same way to the same root, in every tree of RFC 6962, so the size
/// is signed beside the root; otherwise it is refused.
#[test]
fn another_index_or_size_is_refused_wherever_others_refuse_it() {
    let grown = Grown::of(bodies(21));
    let mut same_way = 0;
    for size in 1..=21 {
        let root = grown.root(size);
        for index in 0..size {
            let (leaf, proof) = (grown.leaf(index), grown.inclusion(index, size));
            for at in (0..size + 3).filter(|at| *at != index) {
                let verified = verify_inclusion(leaf, at, size, &proof, root);
                assert!(verified.is_err(), "{index} as {at} in {size}");
            }
            let their = their_proof(&proof);
            for of in (0..44).filter(|of| *of != size) {
                let ours = verify_inclusion(leaf, index, of, &proof, root);
                let other = other::check_record(&their, of, theirs(root), index, theirs(leaf));
                assert_eq!(ours.is_ok(), other.is_ok(), "{index} in {size} as {of}");
                same_way += usize::from(ours.is_ok());
            }
        }
    }
    assert!(same_way > 0, "what is said above is wrong");
}

#[test]
fn other_sizes_of_a_growth_are_refused_wherever_others_refuse_them() {
    let grown = Grown::of(bodies(16));
    for new in 1..=16 {
        for old in 1..=new {
            let (before, after) = (grown.root(old), grown.root(new));
            let proof = grown.consistency(old, new);
            let their = their_proof(&proof);
            for (from, to) in (1..20).flat_map(|from| (1..20).map(move |to| (from, to))) {
                let ours = verify_consistency(from, before, to, after, &proof);
                let (before, after) = (theirs(before), theirs(after));
                let other = other::check_tree(&their, to, after, from, before);
                assert_eq!(ours.is_ok(), other.is_ok(), "{old}-{new} as {from}-{to}");
            }
        }
    }
}

#[test]
fn the_empty_tree_grows_into_every_tree_and_nothing_else_does_without_proof() {
    let (nothing, grown) = (Hash::of_nothing(), Grown::of(bodies(3)));
    let (two, three) = (grown.root(2), grown.root(3));
    assert_eq!(verify_consistency(0, nothing, 0, nothing, &[]), Ok(()));
    assert_eq!(verify_consistency(0, nothing, 3, three, &[]), Ok(()));
    assert_eq!(verify_consistency(3, three, 3, three, &[]), Ok(()));
    let cases = [
        (
            verify_consistency(0, two, 3, three, &[]),
            ProofError::OldRoot,
        ),
        (verify_consistency(0, two, 0, two, &[]), ProofError::OldRoot),
        (
            verify_consistency(0, nothing, 0, two, &[]),
            ProofError::Root,
        ),
        (verify_consistency(3, two, 3, three, &[]), ProofError::Root),
        (
            verify_consistency(2, two, 3, three, &[]),
            ProofError::Length { hashes: 0 },
        ),
        (
            verify_consistency(3, three, 2, two, &[]),
            ProofError::Shrunk { old: 3, new: 2 },
        ),
        (
            verify_inclusion(grown.leaf(2), 2, 2, &[], two),
            ProofError::Leaf { index: 2, size: 2 },
        ),
        (
            verify_inclusion(nothing, 0, 0, &[], nothing),
            ProofError::Leaf { index: 0, size: 0 },
        ),
    ];
    for (verified, error) in cases {
        assert_eq!(verified, Err(error));
    }
    assert_eq!(inclusion(2, 2), None);
    assert_eq!(consistency(3, 2), None);
    assert_eq!(grown.root(0), nothing);
}

#[test]
fn a_recipe_cooks_with_as_many_hashes_as_it_names() {
    let recipe = inclusion(0, 6).unwrap();
    let some = [Hash::of_nothing(); 4];
    assert_eq!(recipe.positions().len(), 3);
    assert_eq!(recipe.cook(&some[..3]).map(|proof| proof.len()), Some(3));
    assert_eq!(recipe.cook(&some[..2]), None);
    assert_eq!(recipe.cook(&some), None);
    assert_eq!(Frontier::load(6, some[..1].to_vec()), None);
}
