//! Floor 3: `neuralops freeze` and `unfreeze`: the one stop for everything, and who let it go on.

use kube::{
    Api, ResourceExt,
    api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{
    CommandError,
    access::{Access, ClusterArgs},
    error::refused,
    text::{OutputArgs, line},
};
use crate::api::v1alpha1::{Freeze, FreezeSpec};

/// What `--help` of freeze ends with.
pub const FREEZE_HELP: &str = "\
No run that it covers begins another effect until it is lifted; what is under way ends by itself.
Exits with 0 if it acts, 1 if it was refused, 2 if it was asked for wrongly.

Examples
  neuralops freeze --reason 'no changes by machines during the sale'
  neuralops freeze --namespace shop --namespace pay --reason 'incident 4711' --name incident-4711";

/// What `--help` of unfreeze ends with.
pub const UNFREEZE_HELP: &str = "\
Your name stands in it for good. Exits with 0 if it is lifted, 1 if it was already, is not there, or it was refused, 2 if
it was asked for wrongly.

Examples
  neuralops unfreeze incident-4711
  neuralops unfreeze --all";

/// Freeze.
#[derive(clap::Args, Debug)]
pub struct FreezeArgs {
    /// Where; absent: everywhere
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    namespaces: Vec<String>,
    /// Why everything stops
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The name of the Freeze; absent: one is made up
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Lift.
#[derive(clap::Args, Debug)]
#[command(group(clap::ArgGroup::new("which").args(["name", "all"]).required(true)))]
pub struct UnfreezeArgs {
    /// The Freeze
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Every Freeze that is not lifted
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    output: OutputArgs,
}

fn freezes(access: &Access) -> Api<Freeze> {
    Api::all(access.client().clone())
}

/// Runs `freeze`; returns what is to be printed.
pub async fn freeze(args: &FreezeArgs) -> Result<String, CommandError> {
    let access = args.cluster.open().await?;
    let caller = access.caller().await?;
    let mut namespaces = args.namespaces.clone();
    namespaces.sort();
    namespaces.dedup();
    let wanted = Freeze {
        metadata: ObjectMeta {
            generate_name: args.name.is_none().then(|| "freeze-".to_owned()),
            name: args.name.clone(),
            ..ObjectMeta::default()
        },
        spec: FreezeSpec {
            namespaces: (!namespaces.is_empty()).then_some(namespaces),
            reason: args.reason.clone(),
            frozen_by: Some(caller.user),
            lifted_by: None,
        },
    };
    let made = freezes(&access)
        .create(&PostParams::default(), &wanted)
        .await
        .map_err(refused(
            "freeze",
            "neuralops-admin (by a ClusterRoleBinding)",
        ))?;
    let acting = acting(&access).await?;
    args.output.print(&made, || {
        format!(
            "Freeze {name} acts: no run {place} begins another effect.\nneuralops unfreeze {name} lifts it.\n{}",
            told(&acting),
            name = made.name_any(),
            place = place(&made.spec),
        )
    })
}

/// Runs `unfreeze`; returns what is to be printed.
pub async fn unfreeze(args: &UnfreezeArgs) -> Result<String, CommandError> {
    let access = args.cluster.open().await?;
    let chosen = match &args.name {
        Some(name) => vec![one(&access, name).await?],
        None => acting(&access).await?,
    };
    let caller = access.caller().await?;
    let patch = Patch::Merge(json!({"spec": {"liftedBy": caller.user}}));
    let mut lifted = Vec::new();
    for freeze in &chosen {
        let name = freeze.name_any();
        let tried = format!("lift the Freeze {name}{}", before(&lifted));
        let after = freezes(&access)
            .patch(&name, &PatchParams::default(), &patch)
            .await
            .map_err(refused(tried, "neuralops-admin (by a ClusterRoleBinding)"))?;
        lifted.push(after);
    }
    let acting = acting(&access).await?;
    args.output.print(&lifted, || {
        let names: Vec<_> = lifted.iter().map(ResourceExt::name_any).collect();
        let what = if names.is_empty() {
            "there was no Freeze to lift.".to_owned()
        } else {
            format!("lifted by {}: {}.", caller.user, names.join(", "))
        };
        format!("{what}\n{}", told(&acting))
    })
}

/// What was done before something failed.
fn before(lifted: &[Freeze]) -> String {
    if lifted.is_empty() {
        return String::new();
    }
    let names: Vec<_> = lifted.iter().map(ResourceExt::name_any).collect();
    format!(" (lifted before: {})", names.join(", "))
}

async fn one(access: &Access, name: &str) -> Result<Freeze, CommandError> {
    let found = freezes(access).get_opt(name).await;
    let tried = format!("read the Freeze {name}");
    let Some(freeze) = found.map_err(refused(tried, "neuralops-viewer"))? else {
        let acting = acting(access).await?;
        return Err(CommandError::Negative(format!(
            "there is no Freeze {name}\n{}",
            told(&acting).trim_end()
        )));
    };
    match &freeze.spec.lifted_by {
        Some(by) => Err(CommandError::Negative(format!(
            "the Freeze {name} was lifted already, by {by}"
        ))),
        None => Ok(freeze),
    }
}

/// Every Freeze that is not lifted.
async fn acting(access: &Access) -> Result<Vec<Freeze>, CommandError> {
    let all = freezes(access).list(&ListParams::default()).await;
    let all = all.map_err(refused(
        "list the Freezes",
        "neuralops-viewer (by a ClusterRoleBinding)",
    ))?;
    Ok(all
        .items
        .into_iter()
        .filter(|freeze| freeze.spec.lifted_by.is_none())
        .collect())
}

fn place(spec: &FreezeSpec) -> String {
    match &spec.namespaces {
        None => "in any namespace".to_owned(),
        Some(namespaces) => format!("in {}", namespaces.join(", ")),
    }
}

/// What is frozen now.
fn told(acting: &[Freeze]) -> String {
    if acting.is_empty() {
        return "Nothing is frozen.\n".to_owned();
    }
    let mut text = "Frozen now:\n".to_owned();
    for freeze in acting {
        let by = freeze.spec.frozen_by.as_deref().unwrap_or("somebody");
        let of = line(&format!(
            "{}: no run {} begins an effect; by {by}: {}",
            freeze.name_any(),
            place(&freeze.spec),
            freeze.spec.reason
        ));
        text.push_str(&format!("  {of}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(namespaces: Option<Vec<String>>) -> Freeze {
        let spec = FreezeSpec {
            namespaces,
            reason: "the\nsale".to_owned(),
            frozen_by: Some("alice".to_owned()),
            lifted_by: None,
        };
        Freeze::new("f", spec)
    }

    #[test]
    fn what_is_frozen_is_said_in_a_line_each() {
        let text = told(&[
            made(None),
            made(Some(vec!["shop".to_owned(), "pay".to_owned()])),
        ]);
        assert_eq!(
            text,
            "Frozen now:\n  f: no run in any namespace begins an effect; by alice: the sale\n  f: no run in shop, pay begins an effect; by alice: the sale\n"
        );
        assert_eq!(told(&[]), "Nothing is frozen.\n");
    }
}
