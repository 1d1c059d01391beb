use super::*;

/// A tree with all its hashes, as a store has them.
pub(in crate::domain::audit) struct Grown {
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

    pub fn cook(&self, recipe: &Recipe) -> Vec<Hash> {
        let read = |at: &Position| self.stored[usize::try_from(*at).unwrap()];
        let hashes: Vec<_> = recipe.positions().iter().map(read).collect();
        recipe.cook(&hashes).unwrap()
    }

    pub fn root(&self, size: u64) -> Hash {
        let [root] = self.cook(&root_recipe(size))[..] else {
            panic!("a root is one hash")
        };
        root
    }

    pub fn leaf(&self, index: u64) -> Hash {
        self.stored[usize::try_from(leaf_position(index)).unwrap()]
    }
}

/// Leaves that all differ.
pub(in crate::domain::audit) fn bodies(count: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|at| format!("leaf {at}").into_bytes())
}

#[test]
fn every_leaf_of_every_small_tree_is_proven() {
    let grown = Grown::of(bodies(70));
    for size in 0..=70 {
        let root = grown.root(size);
        for index in 0..size {
            let proof = grown.cook(&inclusion(index, size).unwrap());
            assert_eq!(
                verify_inclusion(grown.leaf(index), index, size, &proof, root),
                Ok(())
            );
        }
        for old in 0..=size {
            let proof = grown.cook(&consistency(old, size).unwrap());
            assert_eq!(
                verify_consistency(old, grown.root(old), size, root, &proof),
                Ok(())
            );
        }
    }
}
