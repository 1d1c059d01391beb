//! Floor 0: no record stands in a log twice. Ids are hashes, so that eight bytes of each tell nearly all of them apart:
//! those are kept while a log is read, and only if two are alike it is read again, with whole ids kept for these.

use std::collections::{HashMap, HashSet};

use crate::domain::audit::record::RecordId;

/// The ids of the records that were seen, of one log after the other.
pub struct Ids(Pass);

enum Pass {
    First(Vec<u64>),
    Second {
        doubtful: HashSet<u64>,
        seen: HashMap<RecordId, String>,
    },
}

impl Default for Ids {
    fn default() -> Self {
        Self(Pass::First(Vec::new()))
    }
}

impl Ids {
    /// Takes an id; where it stands already, if that is known by now.
    pub(super) fn take(
        &mut self,
        id: RecordId,
        place: impl Fn() -> String,
        leaf: u64,
    ) -> Option<String> {
        match &mut self.0 {
            Pass::First(starts) => {
                starts.push(start(id));
                None
            }
            Pass::Second { doubtful, seen } => {
                if !doubtful.contains(&start(id)) {
                    return None;
                }
                seen.insert(id, format!("leaf {leaf} ({})", place()))
            }
        }
    }

    /// For a second reading, if a first one left doubts.
    pub fn again(self) -> Option<Self> {
        let Pass::First(mut starts) = self.0 else {
            return None;
        };
        starts.sort_unstable();
        let alike = starts.windows(2).filter_map(|pair| match pair {
            [one, other] if one == other => Some(*one),
            _ => None,
        });
        let doubtful: HashSet<u64> = alike.collect();
        (!doubtful.is_empty()).then(|| {
            Self(Pass::Second {
                doubtful,
                seen: HashMap::new(),
            })
        })
    }
}

fn start(id: RecordId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = id.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
