//! Floor 0: holds a whole log against everything that speaks for it: its own stored hashes, its checkpoints, its head, the
//! log that follows it. Leaf by leaf and in order, so that a log of any length needs little memory; it names the first
//! leaf that is not right, and what was done to it as far as that can be told. No reading happens here.

mod finding;
mod ids;

use super::{
    hash::Hash,
    record::{Payload, Record, Standing},
    tree::Frontier,
};

pub use finding::{Claim, Claimant, Finding, Leaves, Medium};
pub use ids::Ids;

/// A log that is what it claims to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Its leaves.
    pub size: u64,
    /// Their root.
    pub root: Hash,
    /// The logs that its first leaf says it follows.
    pub follows: Vec<Standing>,
}

/// Something that is not right, not yet understood.
enum Suspicion {
    /// A leaf's hash is not the stored one.
    Leaf {
        leaf: u64,
        /// What the entry hashes to.
        own: Hash,
        /// The later leaf whose stored hash that is.
        elsewhere: Option<u64>,
    },
    /// The hash over some leaves is not the stored one, and those of the leaves are.
    Node { level: u32, n: u64 },
    /// All is said.
    Plain(Finding),
}

/// Takes the leaves of one log, in order.
pub struct Examiner {
    medium: Medium,
    /// By size; those that are not examined yet from `next` on.
    claims: Vec<Claim>,
    next: usize,
    /// The tree over the leaves as they are.
    own: Frontier,
    /// The tree over the leaves' stored hashes, from the first that differs on.
    stored: Option<Frontier>,
    suspicion: Option<Suspicion>,
    /// Whether the newest claim since the suspicion arose that can be relied on is met by the leaves,
    own_is_right: bool,
    /// and by the stored hashes.
    stored_is_right: bool,
    /// The first claim that the leaves do not meet, and the largest before it that they do.
    broken: Option<(Claim, Hash)>,
    met: u64,
    follows: Vec<Standing>,
}

impl Examiner {
    /// For a log that has to meet these claims.
    pub fn new(medium: Medium, mut claims: Vec<Claim>) -> Self {
        claims.sort_by_key(|claim| (claim.size, claim.by.clone()));
        let mut examiner = Self {
            medium,
            claims,
            next: 0,
            own: Frontier::empty(),
            stored: None,
            suspicion: None,
            own_is_right: false,
            stored_is_right: false,
            broken: None,
            met: 0,
            follows: Vec::new(),
        };
        examiner.hold_against_claims();
        examiner
    }

    /// Leaves taken so far.
    pub fn size(&self) -> u64 {
        self.own.size()
    }

    /// Whether all is said: what comes after it tells nothing more.
    pub fn is_settled(&self) -> bool {
        matches!(self.suspicion, Some(Suspicion::Plain(_)))
    }

    /// Takes the next leaf. `stored` is asked for every hash that it completes, by level and number; it answers with those
    /// that it has. The record, if nothing is wrong with it.
    pub fn leaf(
        &mut self,
        ids: &mut Ids,
        body: &[u8],
        stored: impl Fn(u32, u64) -> Option<Hash>,
    ) -> Option<Record> {
        let leaf = self.own.size();
        let hash = Hash::of_leaf(body);
        let before = self.stored_before(leaf, hash, &stored);
        let mut levels = 0..;
        let mut differs = None;
        self.own.push(hash, |_, hash| {
            let level = levels.next().unwrap_or(u32::MAX);
            let n = leaf.checked_shr(level).unwrap_or_default();
            if differs.is_none() && stored(level, n).is_some_and(|stored| stored != hash) {
                differs = Some((level, n));
            }
        });
        match differs {
            Some((0, _)) if self.suspicion.is_none() => {
                self.stored = before;
                self.suspect(Suspicion::Leaf {
                    leaf,
                    own: hash,
                    elsewhere: None,
                });
            }
            Some((level, n)) => self.suspect(Suspicion::Node { level, n }),
            None => {}
        }
        self.hold_against_claims();
        if self.suspicion.is_some() {
            return None;
        }
        self.record(ids, leaf, body)
    }

    /// The text beside the log of a leaf that was taken.
    pub fn text(&mut self, leaf: u64, record: &Record, text: &Payload) {
        if record.fact.details.as_ref() != Some(&text.digest()) {
            let place = self.medium.entry(leaf);
            self.fail(Finding::TextAltered { leaf, place });
        }
    }

    /// Something that was found by others, unless something else was found before it.
    pub fn fail(&mut self, finding: Finding) {
        self.suspect(Suspicion::Plain(finding));
    }

    /// What it comes to, when there are no more leaves.
    pub fn finish(mut self) -> Result<Examined, Finding> {
        match self.suspicion.take() {
            Some(Suspicion::Plain(finding)) => return Err(finding),
            Some(Suspicion::Leaf {
                leaf, elsewhere, ..
            }) => {
                return Err(self.leaf_finding(leaf, elsewhere));
            }
            Some(Suspicion::Node { level, n }) => return Err(self.node_finding(level, n)),
            None => {}
        }
        if let Some((claim, root)) = self.broken {
            return Err(Finding::Claim {
                claim,
                root,
                met: self.met,
            });
        }
        let size = self.own.size();
        if let Some(claim) = self.claims.last().filter(|claim| claim.size > size) {
            return Err(Finding::Truncated {
                leaf: size,
                place: self.medium.entry(size),
                by: claim.by.clone(),
                size: claim.size,
            });
        }
        Ok(Examined {
            size,
            root: self.own.root(),
            follows: self.follows,
        })
    }

    /// The tree over the stored hashes with this leaf in it, once the two differ.
    fn stored_before(
        &mut self,
        leaf: u64,
        hash: Hash,
        stored: &impl Fn(u32, u64) -> Option<Hash>,
    ) -> Option<Frontier> {
        let there = stored(0, leaf)?;
        if let Some(tree) = &mut self.stored {
            tree.push(there, |_, _| {});
            if let Some(Suspicion::Leaf { own, elsewhere, .. }) = &mut self.suspicion
                && *own == there
            {
                elsewhere.get_or_insert(leaf);
            }
            return None;
        }
        if there == hash {
            return None;
        }
        let mut tree = self.own.clone();
        tree.push(there, |_, _| {});
        Some(tree)
    }

    fn suspect(&mut self, suspicion: Suspicion) {
        if self.suspicion.is_none() {
            self.suspicion = Some(suspicion);
            self.own_is_right = false;
            self.stored_is_right = false;
        }
    }

    fn hold_against_claims(&mut self) {
        let size = self.own.size();
        while let Some(claim) = self
            .claims
            .get(self.next)
            .filter(|claim| claim.size <= size)
        {
            let root = self.own.root();
            let right = root == claim.root;
            if claim.by.is_reliable() {
                self.own_is_right = right;
                let stored = self.stored.as_ref().map(Frontier::root);
                self.stored_is_right = stored == Some(claim.root);
            }
            if right && self.broken.is_none() {
                self.met = size;
            } else if !right {
                self.broken.get_or_insert((claim.clone(), root));
            }
            self.next += 1;
        }
    }

    fn record(&mut self, ids: &mut Ids, leaf: u64, body: &[u8]) -> Option<Record> {
        let record = match Record::parse(body) {
            Ok(record) => record,
            Err(source) => {
                let place = self.medium.entry(leaf);
                self.fail(Finding::NoRecord {
                    leaf,
                    place,
                    source,
                });
                return None;
            }
        };
        if let Some(earlier) = ids.take(record.fact.id, || self.medium.entry(leaf), leaf) {
            let place = self.medium.entry(leaf);
            self.fail(Finding::DuplicateId {
                leaf,
                place,
                id: record.fact.id,
                earlier,
            });
            return None;
        }
        if leaf == 0 {
            self.follows.clone_from(&record.fact.logs);
        }
        Some(record)
    }

    fn leaf_finding(&self, leaf: u64, elsewhere: Option<u64>) -> Finding {
        let place = self.medium.entry(leaf);
        match (self.own_is_right, self.stored_is_right, elsewhere) {
            (true, _, _) => Finding::HashAltered {
                leaves: Leaves::under(0, leaf),
                place: self.medium.hash(0, leaf),
            },
            (false, true, Some(other)) => Finding::Swapped { leaf, place, other },
            (false, true, None) => Finding::EntryAltered { leaf, place },
            (false, false, _) => Finding::Contradiction { leaf, place },
        }
    }

    fn node_finding(&self, level: u32, n: u64) -> Finding {
        let leaves = Leaves::under(level, n);
        let place = self.medium.hash(level, n);
        if self.own_is_right {
            Finding::HashAltered { leaves, place }
        } else {
            Finding::AlteredTogether { leaves, place }
        }
    }
}

#[cfg(test)]
mod tests;
