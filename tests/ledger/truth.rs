//! What must hold whatever happened: every promise is kept, every leaf is whole and stands once, and everything that was
//! ever anchored or published is a state of the log that is there now.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use jiff::SignedDuration;
use neuralops::{
    adapters::store::{self, Mode},
    api::v1alpha1::AuditLogSpec,
    domain::audit::{
        checkpoint::Checkpoint,
        hash::Hash,
        note::VerifierKey,
        record::{Record, RecordId},
        tree::{self, Frontier},
    },
    ports::{Log, Store},
};

use super::{bed::Bed, diary::At, orders::id};

/// Leaves and hashes read at once.
const PAGE: u32 = 1000;

/// What a log was found to be.
pub struct Found {
    pub log: Log,
    /// The root at each size that was asked for.
    pub roots: BTreeMap<u64, Hash>,
}

/// Opens the store to read it.
pub async fn reader(bed: &Bed) -> Arc<dyn Store> {
    let url = bed.place.url().parse().expect("a URL");
    store::open(&url, Mode::Reader)
        .await
        .expect("the store can be read")
}

/// The anchor covers whatever was acknowledged as anchored, at the moment when the child that was told so is dead.
pub async fn anchored(bed: &Bed) {
    let Some(anchor) = bed.anchors.now().await else {
        assert!(bed.diary.anchored.is_empty(), "the anchor is gone");
        return;
    };
    let logs = reader(bed).await.logs().await.expect("logs");
    let log = logs.iter().find(|log| log.origin == anchor.origin);
    let log = log.expect("the anchored log is in the store");
    let promised = bed.diary.anchored.get(&log.number.0).copied();
    assert!(
        promised.unwrap_or_default() <= size(&anchor),
        "{promised:?} leaves were acknowledged as anchored; the anchor says {}",
        anchor.size
    );
}

/// All of it.
pub async fn whole(bed: &Bed) -> Vec<Found> {
    anchored(bed).await;
    let store = reader(bed).await;
    assert_eq!(store.check().await.expect("check"), [] as [String; 0]);
    let anchors = bed.anchors.seen();
    let mut places = HashMap::new();
    let mut found = Vec::new();
    for log in store.logs().await.expect("logs") {
        let checkpoints = checkpoints(store.as_ref(), &log, &anchors).await;
        let sizes = checkpoints.keys().copied().collect();
        let walked = walk(store.as_ref(), log, &sizes, &mut places).await;
        for (size, root) in &checkpoints {
            assert_eq!(
                Some(root),
                walked.roots.get(size),
                "the root at {size} of {}",
                walked.log.origin
            );
        }
        consistent(store.as_ref(), &walked.log, &checkpoints).await;
        found.push(walked);
    }
    for anchor in &anchors {
        assert!(
            found.iter().any(|found| found.log.origin == anchor.origin),
            "the log {} was anchored and is not in the store",
            anchor.origin
        );
    }
    for (record, at) in &bed.diary.acknowledged {
        assert_eq!(
            places.get(record),
            Some(at),
            "{record} was acknowledged at {at:?}"
        );
    }
    found
}

/// Every stop that was spooled is in the log, which says when it happened: late, but for those whose first attempt was
/// written all the same.
pub async fn late(bed: &Bed) {
    let store = reader(bed).await;
    let mut late = 0;
    for (name, at) in &bed.diary.spooled {
        let leaf = store.find(id(name)).await.expect("a look");
        let leaf = leaf.unwrap_or_else(|| panic!("{name} was spooled and is not in the log"));
        let record = Record::parse(&leaf.body).expect("a record");
        late += usize::from(record.late.is_some());
        let said = record.late.unwrap_or(record.time);
        let off = said.duration_since(*at).abs();
        assert!(
            off < SignedDuration::from_secs(2),
            "{name} happened at {at}; the log says {said}, late: {:?}",
            record.late
        );
    }
    assert!(late > 0 || bed.diary.spooled.is_empty(), "none came late");
    assert_eq!(bed.diary.unrecorded, [] as [String; 0]);
}

/// Roots by size: of everything that the anchor said of this log, and that the store says was published. Every note must be
/// signed by the log's own key, and nothing may be published that was not anchored.
async fn checkpoints(
    store: &dyn Store,
    log: &Log,
    anchors: &[AuditLogSpec],
) -> BTreeMap<u64, Hash> {
    let mut roots = BTreeMap::new();
    let ours: Vec<_> = anchors
        .iter()
        .filter(|anchor| anchor.origin == log.origin)
        .collect();
    let Some(last) = ours.iter().max_by_key(|anchor| anchor.size) else {
        return roots;
    };
    let keys: Vec<VerifierKey> = last
        .keys
        .iter()
        .map(|key| key.parse().expect("a key"))
        .collect();
    let mut noted = |note: &str| {
        let said = Checkpoint::open(note, &keys).expect("a checkpoint with its signature");
        assert_eq!(said.origin, log.origin);
        assert!(said.size <= log.size, "{} > {}", said.size, log.size);
        let before = roots.insert(said.size, said.root);
        assert!(
            before.is_none_or(|before| before == said.root),
            "two roots were signed at {} of {}",
            said.size,
            log.origin
        );
        said
    };
    for anchor in &ours {
        let said = noted(&anchor.checkpoint);
        assert_eq!(
            (said.size, said.root.to_string()),
            (size(anchor), anchor.root.clone())
        );
    }
    let mut above = 0;
    loop {
        let saved = store.checkpoints(log.number, above, PAGE).await;
        let saved = saved.expect("checkpoints");
        let Some(newest) = saved.last() else { break };
        above = newest.size;
        for saved in &saved {
            let said = noted(&saved.note);
            assert_eq!(said.size, saved.size);
            assert!(
                saved.size <= size(last),
                "{} was published and never anchored",
                saved.size
            );
        }
    }
    roots
}

/// Reads a log from its first leaf to its last: the bodies give the hashes, and the hashes give the roots.
async fn walk(
    store: &dyn Store,
    log: Log,
    sizes: &BTreeSet<u64>,
    places: &mut HashMap<RecordId, At>,
) -> Found {
    let mut tree = Frontier::empty();
    let mut roots = BTreeMap::new();
    let mut computed = Vec::new();
    let mut position = 0;
    loop {
        if sizes.contains(&tree.size()) {
            roots.insert(tree.size(), tree.root());
        }
        let leaves = store.leaves(log.number, tree.size(), PAGE).await;
        let leaves = leaves.expect("leaves");
        if leaves.is_empty() {
            break;
        }
        computed.clear();
        for leaf in leaves {
            let at = (leaf.at.log.0, leaf.at.index);
            assert_eq!(at, (log.number.0, tree.size()));
            let record = Record::parse(&leaf.body).expect("a record");
            assert_eq!(record.fact.id, leaf.id, "leaf {at:?}");
            let before = places.insert(leaf.id, at);
            assert_eq!(
                before, None,
                "{} stands twice: there and at {at:?}",
                leaf.id
            );
            tree.push(Hash::of_leaf(&leaf.body), |_, hash| computed.push(hash));
            if sizes.contains(&tree.size()) {
                roots.insert(tree.size(), tree.root());
            }
        }
        for hashes in computed.chunks(PAGE as usize) {
            let count = u32::try_from(hashes.len()).expect("a page");
            let stored = store.hash_run(log.number, position, count).await;
            assert!(
                stored.expect("hashes") == hashes,
                "hashes from {position} on"
            );
            position += u64::from(count);
        }
    }
    assert_eq!(
        (log.size, log.root),
        (tree.size(), tree.root()),
        "{}",
        log.origin
    );
    Found { log, roots }
}

/// Each checkpoint with the next, by a proof from the hashes that the store holds; consistency is handed on.
async fn consistent(store: &dyn Store, log: &Log, checkpoints: &BTreeMap<u64, Hash>) {
    let all: Vec<_> = checkpoints.iter().collect();
    for pair in all.windows(2) {
        let [(old, old_root), (new, new_root)] = pair else {
            unreachable!("windows of two")
        };
        let recipe = tree::consistency(**old, **new).expect("the smaller one first");
        let hashes = store.hashes(log.number, recipe.positions()).await;
        let proof = recipe.cook(&hashes.expect("hashes")).expect("as many");
        tree::verify_consistency(**old, **old_root, **new, **new_root, &proof)
            .unwrap_or_else(|error| panic!("{old} and {new} of {}: {error}", log.origin));
    }
}

fn size(anchor: &AuditLogSpec) -> u64 {
    u64::try_from(anchor.size).expect("the CRD allows no other")
}
