//! Floor 3: verifies evidence of one run, on a machine that has neither the store nor the cluster.

use std::path::Path;

use crate::{
    cli::audit::{AuditError, keys::read_bytes, trust::Trust},
    domain::audit::evidence::{Evidence, LARGEST, Sound},
};

/// Verifies the evidence in this file.
pub fn verify(path: &Path, trust: &Trust) -> Result<String, AuditError> {
    let refused = AuditError::evidence(path);
    let bytes = read_bytes(path, LARGEST as u64)?;
    let text = String::from_utf8_lossy(&bytes);
    let evidence = Evidence::parse(&text).map_err(&refused)?;
    let sound = evidence.verify(&trust.keys).map_err(&refused)?;
    for kept in &trust.kept {
        // Two sizes cannot be compared without the log; the same size can.
        let of_it = sound.logs.iter().find(|log| log.origin == kept.origin);
        if of_it.is_none_or(|log| log.size == kept.size && log.root != kept.root) {
            return Err(AuditError::Behind(format!(
                "{}: none of its checkpoints and {} can be of one log",
                path.display(),
                kept.by
            )));
        }
    }
    Ok(told(&evidence, &sound))
}

/// What was verified, in words.
pub fn told(evidence: &Evidence, sound: &Sound) -> String {
    let (run, shown) = (&evidence.run, &sound.shown);
    let records = sound.records.len();
    // What others have chosen stays on its line.
    let line = |text: &str| text.replace(char::is_control, "?");
    let named = line(&format!("{}/{} ({})", run.namespace, run.name, run.uid));
    let mut text = format!("verified: {records} records of the run {named}\n");
    for log in &sound.logs {
        let (origin, size, root) = (&log.origin, log.size, log.root);
        text.push_str(&format!("  in {origin}: {size} leaves, root {root}\n"));
    }
    let there = |there: bool| if there { "" } else { " (not in the file)" };
    if let Some((digest, is)) = &shown.plan {
        text.push_str(&format!("  plan {digest}{}\n", there(*is)));
    }
    if let Some((digest, is)) = &shown.playbook {
        text.push_str(&format!("  Playbook {digest}{}\n", there(*is)));
    }
    if !shown.decided.is_empty() {
        let unknown = "somebody whose Decision is not in the file";
        let users = shown.decided.iter();
        let users: Vec<_> = users
            .map(|user| line(user.as_deref().unwrap_or(unknown)))
            .collect();
        text.push_str(&format!("  approved by {}\n", users.join(", ")));
    }
    match &shown.outcome {
        Some(outcome) => text.push_str(&format!("  it ended as {}\n", line(outcome))),
        None => text.push_str("  it has not ended\n"),
    }
    text
}
