//! Floor 2: a backup: one gzip tar, the same bytes for the same content. Its files come in one order and under names that
//! follow from the manifest, so that reading it needs neither memory nor a place to unpack, and there is nothing in it
//! that could lead elsewhere.

mod read;
mod write;

pub use read::Reader;
pub use write::Writer;

#[cfg(test)]
mod tests;
