//! Floor 0: the transparency log without its outside: what is recorded, the tree over it, the notes that sign it, the
//! files it is read from, the proofs about it. No I/O and no clock; formats are RFC 6962, C2SP signed notes,
//! checkpoints, tlog-tiles and tlog-proofs, so that verifiers we did not write accept them.

pub mod checkpoint;
pub mod event;
pub mod evidence;
pub mod examine;
pub mod hash;
pub mod note;
pub mod opening;
pub mod proof;
pub mod reconcile;
pub mod record;
pub mod request;
pub mod semantics;
pub mod tile;
pub mod tree;

#[cfg(test)]
mod tests;
