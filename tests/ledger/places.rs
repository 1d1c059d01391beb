//! Where the store of a test lies.

use std::path::{Path, PathBuf};

/// A store of this test alone.
pub enum Place {
    Sqlite(PathBuf),
}

impl Place {
    pub fn sqlite(folder: &Path) -> Self {
        Self::Sqlite(folder.join("audit.db"))
    }

    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(file) => format!("sqlite://{}", file.display()),
        }
    }
}
