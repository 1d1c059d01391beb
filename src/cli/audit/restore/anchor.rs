//! Floor 3: the anchor that a backup is held against: the cluster's AuditLog, a copy of it, or a checkpoint that somebody
//! kept.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use kube::Api;

use crate::{
    adapters::kube::client,
    api::v1alpha1::{AuditLog, AuditLogSpec},
    cli::audit::{AuditError, keys::read_text, trust::Kept},
    domain::audit::{checkpoint::Checkpoint, examine::Claimant, note::VerifierKey},
};

/// How long the API server may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// There is one AuditLog, and this is its name.
const NAME: &str = "main";

/// Where the anchor is.
#[derive(clap::Args, Debug)]
#[group(id = "anchored", required = true, multiple = false)]
pub struct AnchorArgs {
    /// A copy of the AuditLog (kubectl get auditlog main -o yaml) or a signed checkpoint, the newest there is
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
    /// Ask the cluster of KUBECONFIG, or of the pod's own account
    #[arg(long)]
    anchor_from_cluster: bool,
}

impl AnchorArgs {
    /// How the log stood at least.
    pub async fn read(&self, keys: &[VerifierKey]) -> Result<Kept, AuditError> {
        match &self.anchor {
            Some(path) => from_file(path, keys),
            None => from_cluster().await,
        }
    }
}

fn from_file(path: &Path, keys: &[VerifierKey]) -> Result<Kept, AuditError> {
    let text = read_text(path)?;
    let what = path.display().to_string();
    if let Ok(log) = serde_saphyr::from_str::<AuditLog>(&text) {
        return kept(&what, &log.spec);
    }
    match Checkpoint::open(&text, keys) {
        Ok(checkpoint) => Ok(Kept {
            by: Claimant::Anchor(what),
            origin: checkpoint.origin,
            size: checkpoint.size,
            root: checkpoint.root,
        }),
        Err(source) => Err(AuditError::Checkpoint { what, source }),
    }
}

async fn from_cluster() -> Result<Kept, AuditError> {
    const WHAT: &str = "the anchor";
    let config = client::configure(None).await;
    let config = config.map_err(AuditError::cluster(WHAT))?;
    let client = client::connect_impatient(config, PATIENCE);
    let logs: Api<AuditLog> = Api::all(client.map_err(AuditError::cluster(WHAT))?);
    let found = logs
        .get_opt(NAME)
        .await
        .map_err(AuditError::cluster(WHAT))?;
    match found {
        Some(log) => kept("AuditLog main", &log.spec),
        None => Err(AuditError::NotThere(
            "the cluster has no AuditLog main: give the newest checkpoint that anybody kept by --anchor FILE".to_owned(),
        )),
    }
}

fn kept(what: &str, spec: &AuditLogSpec) -> Result<Kept, AuditError> {
    let unreadable =
        |field: &str| AuditError::NotThere(format!("{what}: spec.{field} does not read"));
    Ok(Kept {
        by: Claimant::Anchor(what.to_owned()),
        origin: spec.origin.clone(),
        size: u64::try_from(spec.size).map_err(|_| unreadable("size"))?,
        root: spec.root.parse().map_err(|_| unreadable("root"))?,
    })
}
