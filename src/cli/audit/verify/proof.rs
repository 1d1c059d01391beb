//! Floor 3: verifies a proof to take away: one record, the way to the root, the signed root.

use std::path::Path;

use crate::{
    cli::audit::{
        AuditError,
        keys::{read_bytes, read_text},
        trust::Trust,
    },
    domain::audit::{
        examine::Finding,
        hash::Hash,
        proof::{TlogProof, TlogProofError},
        record::{self, Record},
    },
};

/// Verifies the proof in this file.
pub fn verify(path: &Path, leaf: Option<&Path>, trust: &Trust) -> Result<String, AuditError> {
    let refused = |source: TlogProofError| AuditError::Proof {
        path: path.to_owned(),
        source,
    };
    let proof: TlogProof = read_text(path)?.parse().map_err(refused)?;
    let body = match (leaf, &proof.extra) {
        (Some(leaf), _) => read_bytes(leaf, record::LARGEST as u64)?,
        (None, Some(extra)) => extra.clone(),
        (None, None) => {
            return Err(AuditError::Usage(format!(
                "{} does not carry its record: give it by --leaf FILE",
                path.display()
            )));
        }
    };
    let checkpoint = proof
        .verify(Hash::of_leaf(&body), &trust.keys)
        .map_err(refused)?;
    let record = Record::parse(&body).map_err(|source| {
        AuditError::refuted(path.display())(Finding::NoRecord {
            leaf: proof.index,
            place: path.display().to_string(),
            source,
        })
    })?;
    for kept in &trust.kept {
        // Two sizes cannot be compared without the log; the same size can.
        if kept.origin != checkpoint.origin
            || (kept.size == checkpoint.size && kept.root != checkpoint.root)
        {
            return Err(AuditError::Behind(format!(
                "{}: its checkpoint and {} cannot both be of one log",
                path.display(),
                kept.by
            )));
        }
    }
    let body = String::from_utf8_lossy(&body);
    Ok(format!(
        "verified: record {} ({}) is leaf {} of {}\n  {} leaves, root {}\n{body}\n",
        record.fact.id,
        record.fact.code.code(),
        proof.index,
        checkpoint.origin,
        checkpoint.size,
        checkpoint.root
    ))
}
