//! What needs no disk: verifying a whole log, and proofs out of a large one, both in memory.

use std::{hint::black_box, time::Instant};

use neuralops::domain::audit::{
    examine::{Claim, Claimant, Examiner, Ids, Medium},
    hash::Hash,
    tree,
};

use super::{Spread, entries, entry, goal, line, scattered, thousands};

/// Leaves that are verified.
const VERIFIED: u64 = 200_000;
/// Leaves of the tree that is asked for proofs.
const MILLION: u64 = 1_000_000;
const PROOFS: u64 = 2_000;

/// What `neuralops audit verify` does with a log, but for reading it. The limit is to hash every leaf once.
pub fn measure() {
    let bodies: Vec<_> = (0..VERIFIED).map(|number| entry(number).body).collect();
    let (tree, hashes) = entries::tree(&bodies);
    let repeat = |work: &dyn Fn()| {
        let took = (0..3).map(|_| {
            let began = Instant::now();
            work();
            began.elapsed()
        });
        VERIFIED as f64 / Spread::of(took.collect()).percentile(50)
    };
    let hashing = repeat(&|| {
        let hash = |body: &Vec<u8>| black_box(Hash::of_leaf(body));
        bodies.iter().map(hash).for_each(drop);
    });
    let verifying = repeat(&|| {
        let (size, root) = (VERIFIED, tree.root());
        let by = Claimant::Checkpoint;
        let mut examiner = Examiner::new(Medium::Store { log: 1 }, vec![Claim { by, size, root }]);
        let mut ids = Ids::default();
        for body in &bodies {
            let stored = |level, n| hashes.get(tree::position(level, n) as usize).copied();
            examiner.leaf(&mut ids, body, stored);
        }
        assert_eq!(examiner.finish().unwrap().root, root);
        assert!(ids.again().is_none());
    });
    let figure = format!("{} leaves/s", thousands(hashing));
    line("limit: SHA-256 over every leaf, once", &figure, "1", "");
    line(
        &format!("verify, {} leaves in memory", thousands(VERIFIED as f64)),
        &format!("{} leaves/s", thousands(verifying)),
        &format!("{:.2} hashed", verifying / hashing),
        &goal("200,000/s", verifying >= 200_000.0),
    );
    let took = proofs();
    line(
        &format!("proof, {} leaves in memory", thousands(MILLION as f64)),
        &format!("{} µs", took.percentiles(1e6)),
        &format!("{:.2} leaf hashes", took.percentile(50) * hashing),
        &goal("p99 1 ms", took.percentile(99) < 0.001),
    );
}

/// Which hashes a proof needs, and the proof made of them.
fn proofs() -> Spread {
    let (tree, hashes) = entries::tree((0..MILLION).map(u64::to_be_bytes));
    let took = (0..PROOFS).map(|proof| {
        let index = scattered(proof, MILLION);
        let began = Instant::now();
        let recipe = tree::inclusion(index, MILLION).unwrap();
        let read: Vec<Hash> = recipe
            .positions()
            .iter()
            .map(|at| hashes[*at as usize])
            .collect();
        let way = black_box(recipe.cook(&read).unwrap());
        let took = began.elapsed();
        let leaf = Hash::of_leaf(&index.to_be_bytes());
        tree::verify_inclusion(leaf, index, MILLION, &way, tree.root()).unwrap();
        took
    });
    Spread::of(took.collect())
}
