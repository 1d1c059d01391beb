//! The writing end of the transparency log under everything that can go wrong: killed at random and at every named place,
//! a disk that is full, slow or lies, a database that dies, an API server that is silent, two writers, and stores and
//! anchors that somebody put back. Against a real API server and both stores.
//!
//! What is killed is a child: this program once more, with orders in its environment (`ledger/child.rs`). It says what was
//! acknowledged to it, and the parent holds that against the log (`ledger/truth.rs`).

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod ledger {
    mod anchors;
    mod bed;
    mod chance;
    mod child;
    mod claims;
    mod crashes;
    mod diary;
    mod disk;
    mod failpoints;
    mod faults;
    mod model;
    mod orders;
    mod places;
    mod proxy;
    mod sequencers;
    mod torture;
    mod truth;
    mod world;
}
#[expect(
    dead_code,
    unused_imports,
    reason = "this program needs a part of what all tests share"
)]
mod support;
