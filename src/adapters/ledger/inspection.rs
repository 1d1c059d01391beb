//! Floor 2: what a store's log is found to be, before it is written and when the anchor is in doubt: its own account of
//! itself, the root at the anchor's size, and whether one extends the other. It judges nothing.

use crate::{
    domain::audit::{hash::Hash, tree},
    ports::{Log, LogNumber, Store, StoreError},
};

/// Leaves whose bodies are held against their hashes at every start; `audit verify` does it for all.
const NEWEST: u64 = 256;

/// What the store was found to hold.
pub(super) struct Inspected {
    /// The root at the anchor's size, if the log is that long.
    pub(super) root_at_anchor: Option<Hash>,
    /// What contradicts itself.
    pub(super) damage: Vec<String>,
}

/// Holds the store's hashes against its own account of them, against the anchor's size, and its newest leaves against
/// their hashes. What cannot be read is damage as well.
pub(super) async fn inspect(
    store: &dyn Store,
    log: &Log,
    anchor_size: u64,
    thorough: bool,
) -> Result<Inspected, StoreError> {
    match try_inspect(store, log, anchor_size, thorough).await {
        Err(StoreError::Damaged(damage)) => Ok(Inspected {
            root_at_anchor: None,
            damage: vec![damage],
        }),
        other => other,
    }
}

async fn try_inspect(
    store: &dyn Store,
    log: &Log,
    anchor_size: u64,
    thorough: bool,
) -> Result<Inspected, StoreError> {
    let mut damage = if thorough {
        store.check().await?
    } else {
        Vec::new()
    };
    let root = root_at(store, log.number, log.size).await?;
    if root != Some(log.root) {
        damage.push(format!(
            "it says that {} leaves have the root {}, and its hashes give another one",
            log.size, log.root
        ));
    }
    let root_at_anchor = if anchor_size <= log.size {
        root_at(store, log.number, anchor_size).await?
    } else {
        None
    };
    if let (Some(old), Some(new), Some(recipe)) = (
        root_at_anchor,
        root,
        tree::consistency(anchor_size, log.size),
    ) {
        let hashes = store.hashes(log.number, recipe.positions()).await?;
        let proof = recipe.cook(&hashes).unwrap_or_default();
        if tree::verify_consistency(anchor_size, old, log.size, new, &proof).is_err() {
            damage.push(format!(
                "its {} leaves do not extend the {anchor_size} that are anchored",
                log.size
            ));
        }
    }
    let from = log.size.saturating_sub(NEWEST);
    let positions: Vec<_> = (from..log.size).map(tree::leaf_position).collect();
    let hashes = store.hashes(log.number, &positions).await?;
    let leaves = store.leaves(log.number, from, 256).await?;
    let mut bodies = leaves
        .iter()
        .map(|leaf| (leaf.at.index, Hash::of_leaf(&leaf.body)));
    for (index, hash) in (from..log.size).zip(hashes) {
        match bodies.next() {
            Some(found) if found == (index, hash) => {}
            Some((at, _)) if at == index => {
                damage.push(format!("leaf {index} is not what was recorded"));
            }
            // Every later one would be named as well.
            _ => {
                damage.push(format!("leaf {index} is missing"));
                break;
            }
        }
    }
    Ok(Inspected {
        root_at_anchor,
        damage,
    })
}

/// The root that the store's hashes give at this size.
pub(super) async fn root_at(
    store: &dyn Store,
    log: LogNumber,
    size: u64,
) -> Result<Option<Hash>, StoreError> {
    let recipe = tree::root_recipe(size);
    let hashes = store.hashes(log, recipe.positions()).await?;
    Ok(recipe
        .cook(&hashes)
        .and_then(|roots| roots.first().copied()))
}
