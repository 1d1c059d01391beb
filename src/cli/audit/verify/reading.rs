//! Floor 3: what is kept over all logs of a source while they are read: which ids were seen, and if it is asked for, what
//! the records of runs came to.

use crate::domain::audit::{
    examine::{Examiner, Ids},
    hash::Hash,
    record::Record,
    semantics::Semantics,
};

/// One reading of a source.
#[derive(Default)]
pub struct Reading {
    ids: Ids,
    /// What the records say together, if that is asked for.
    pub semantics: Option<Semantics>,
}

impl Reading {
    /// A reading that also asks whether what is recorded of runs makes sense.
    pub fn semantic() -> Self {
        Self {
            semantics: Some(Semantics::default()),
            ..Self::default()
        }
    }

    /// The log with this origin begins.
    pub fn begin(&mut self, origin: &str) {
        if let Some(semantics) = &mut self.semantics {
            semantics.begin(origin);
        }
    }

    /// Has the next leaf examined; the record, if nothing is wrong with it.
    pub fn leaf(
        &mut self,
        examiner: &mut Examiner,
        body: &[u8],
        stored: impl Fn(u32, u64) -> Option<Hash>,
    ) -> Option<Record> {
        let leaf = examiner.size();
        let record = examiner.leaf(&mut self.ids, body, stored)?;
        if let Some(semantics) = &mut self.semantics {
            semantics.record(leaf, &record);
        }
        Some(record)
    }

    /// For a second reading, if this one left doubts. What the records say is known by then.
    pub fn again(self) -> Option<Self> {
        let ids = self.ids.again()?;
        Some(Self {
            ids,
            semantics: None,
        })
    }
}
