//! Floor 0: a place in a document, written as people write it: `spec.steps[2].job.env[0].value`.

use std::fmt;

/// A place in a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(String);

impl Position {
    /// The place that all others begin with.
    pub fn root(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The place that a JSON pointer below this one names.
    pub fn pointer(&self, pointer: &str) -> Self {
        pointer.split('/').skip(1).fold(self.clone(), |at, part| {
            part.parse()
                .map_or_else(|_| at.key(part), |index| at.index(index))
        })
    }

    /// A field of this object. Names that are not plain words are quoted.
    pub fn key(&self, name: &str) -> Self {
        let plain = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '$');
        Self(if plain {
            format!("{}.{name}", self.0)
        } else {
            format!("{}[{name:?}]", self.0)
        })
    }

    /// An item of this list.
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
