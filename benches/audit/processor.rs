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
/// Leaves that are timed together: few enough that most pieces are done before another program gets the processor.
const PIECE: usize = 1_000;
/// Leaves of the tree that is asked for proofs.
const MILLION: u64 = 1_000_000;
const PROOFS: u64 = 2_000;

/// What `neuralops audit verify` does with a log, but for reading it. The limit is to hash every leaf once.
pub fn measure() {
    let bodies: Vec<_> = (0..VERIFIED).map(|number| entry(number).body).collect();
    let (tree, hashes) = entries::tree(&bodies);
    let hashing = in_pieces(&bodies, |body| {
        black_box(Hash::of_leaf(body));
    });
    let (size, root, by) = (VERIFIED, tree.root(), Claimant::Checkpoint);
    let mut examiner = Examiner::new(Medium::Store { log: 1 }, vec![Claim { by, size, root }]);
    let mut ids = Ids::default();
    let verifying = in_pieces(&bodies, |body| {
        let stored = |level, n| hashes.get(tree::position(level, n) as usize).copied();
        examiner.leaf(&mut ids, body, stored);
    });
    assert_eq!(examiner.finish().unwrap().root, root);
    assert!(ids.again().is_none());
    let typical = |took: &Spread| PIECE as f64 / took.percentile(50);
    let figure = |took: &Spread| {
        let all = thousands(took.rate() * PIECE as f64);
        format!("p50 {}/s, all {all}/s", thousands(typical(took)))
    };
    line(
        "limit: SHA-256 over every leaf, once",
        &figure(&hashing),
        "1",
        "",
    );
    line(
        &format!("verify, {} leaves in memory", thousands(VERIFIED as f64)),
        &figure(&verifying),
        &format!("{:.2} hashed", typical(&verifying) / typical(&hashing)),
        &goal("p50 200,000/s", typical(&verifying) >= 200_000.0),
    );
    let took = proofs();
    line(
        &format!("proof, {} leaves in memory", thousands(MILLION as f64)),
        &format!("{} µs", took.percentiles(1e6)),
        &format!("{:.2} leaf hashes", took.percentile(50) * typical(&hashing)),
        &goal("p99 1 ms", took.percentile(99) < 0.001),
    );
}

fn in_pieces(bodies: &[Vec<u8>], mut work: impl FnMut(&[u8])) -> Spread {
    let took = bodies.chunks(PIECE).map(|piece| {
        let began = Instant::now();
        piece.iter().for_each(|body| work(body));
        began.elapsed()
    });
    Spread::of(took.collect())
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
