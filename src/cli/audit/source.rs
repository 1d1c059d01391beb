//! Floor 3: what a caller means by a SOURCE: an address, a store, or a path whose content says what it is.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::AuditError;
use crate::{
    adapters::{
        archive::{Files, folder::Folder, web::Web},
        store::StoreUrl,
    },
    domain::audit::evidence::START,
};

/// Something that can be verified.
pub enum Source {
    /// An export.
    Files(Files),
    /// An archive.
    Backup(PathBuf),
    /// A proof of one leaf.
    Proof(PathBuf),
    /// Evidence of one run.
    Evidence(PathBuf),
    /// A store.
    Store(StoreUrl),
}

const GZIP: &[u8] = b"\x1f\x8b";
const SQLITE: &[u8] = b"SQLite format 3\0";
const PROOF: &[u8] = b"c2sp.org/tlog-proof@";

impl Source {
    /// What this text means.
    pub fn parse(text: &str) -> Result<Self, AuditError> {
        if ["http://", "https://"]
            .iter()
            .any(|scheme| text.starts_with(scheme))
        {
            let web = Web::new(text).map_err(AuditError::archive(text))?;
            return Ok(Self::Files(Files::Web(web)));
        }
        if ["sqlite:", "postgres:", "postgresql:"]
            .iter()
            .any(|scheme| text.starts_with(scheme))
        {
            return store(text).map(Self::Store);
        }
        let path = Path::new(text);
        if path.is_dir() {
            return Ok(Self::Files(Files::Folder(Folder::new(path))));
        }
        let failed = |source| AuditError::Read {
            path: path.to_owned(),
            source,
        };
        let mut start = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(64).read_to_end(&mut start).map_err(failed)?;
        if start.starts_with(GZIP) {
            Ok(Self::Backup(path.to_owned()))
        } else if start.starts_with(PROOF) {
            Ok(Self::Proof(path.to_owned()))
        } else if start.starts_with(START.as_bytes()) {
            Ok(Self::Evidence(path.to_owned()))
        } else if start.starts_with(SQLITE) {
            let absolute = path.canonicalize().map_err(failed)?;
            store(&format!("sqlite://{}", absolute.display())).map(Self::Store)
        } else {
            Err(AuditError::NotThere(format!(
                "{text} is no folder, no backup (.tar.gz), no proof (.tlog-proof), no evidence of a run and no SQLite store: nothing that can be verified"
            )))
        }
    }
}

fn store(text: &str) -> Result<StoreUrl, AuditError> {
    text.parse().map_err(|source| AuditError::StoreUrl {
        what: "SOURCE",
        source,
    })
}
