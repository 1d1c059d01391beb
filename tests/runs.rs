//! Runs under everything that can go wrong between a request and its end: the operator dies at every named place, a leader
//! sleeps past its lease, API server and etcd fail, and the log cannot be written. What was approved is done once or not at
//! all, and the records tell it. On control planes of their own.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod runs {
    mod backwards;
    mod bed;
    mod crashes;
    mod outages;
    mod sleepers;
    mod stopped;
    mod timely;
    mod unwritten;
}
#[expect(
    dead_code,
    reason = "this program needs a part of what the log's tests have"
)]
#[path = "ledger/disk.rs"]
mod disk;
#[expect(
    dead_code,
    reason = "this program needs a part of what the log's tests have"
)]
#[path = "ledger/failpoints.rs"]
mod failpoints;
#[expect(
    dead_code,
    unused_imports,
    reason = "this program needs a part of what all tests share"
)]
mod support;
