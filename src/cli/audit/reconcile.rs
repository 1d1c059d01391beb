//! Floor 3: `neuralops audit reconcile`: what the objects of a cluster say, held against what is on record. A log shows that
//! what was recorded was not altered; this shows whether everything that happened was recorded.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde_json::Value;

use super::{
    AuditError,
    leaf::{harmless, record},
    list::table,
    store::{Opened, StoreArgs},
};
use crate::{
    adapters::kube::client,
    api::v1alpha1::{Gate, Orchestration, Playbook},
    domain::audit::reconcile::{Difference, Named, OnRecord, Says, Weight},
};

/// How long the API server may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Objects, and leaves, that are read at once.
const PAGE: u32 = 500;

/// What `--help` ends with.
pub const HELP: &str = "\
Says of every Orchestration, Gate and Playbook in what its status and the records differ, of every run that holds
locks in the store without an object, and of every run on record whose object is gone. The objects are read as the
user of the kubeconfig, who has to be allowed to list them everywhere. Verify the store first: what is read from it
is taken for true here.

Exit codes
  0  nothing differs; objects that are gone may be listed
  1  it could not be carried out
  2  usage
  3  something differs; every object is named

Example
  neuralops audit reconcile --store sqlite:///var/lib/neuralops/audit.db --kubeconfig ~/.kube/config";

/// Hold the cluster's objects against the records.
#[derive(clap::Args, Debug)]
pub struct ReconcileArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// How to reach the cluster; absent: KUBECONFIG, or the pod's own account
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// An object and what it says.
type Seen = (Named, Says);

/// A kind of ours, and how its objects are read.
struct Read {
    kind: &'static str,
    resource: ApiResource,
    says: fn(&Value) -> Says,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &ReconcileArgs) -> Result<String, AuditError> {
    let opened = args.store.open().await?;
    let client = connect(args.kubeconfig.as_ref()).await?;
    // A record is older than the status that tells of it. What the objects say first has to be on record afterwards, and
    // what is on record by then has to be in what they say last.
    let before = objects(&client).await?;
    let on_record = records(&opened).await?;
    let holding = opened.ask(|store| store.runs()).await?;
    let after = objects(&client).await?;

    let lacking = before
        .iter()
        .filter_map(|(object, says)| on_record.lacks(object, says));
    let added = after
        .iter()
        .filter_map(|(object, says)| on_record.adds(object, says));
    let there: BTreeSet<String> = before
        .iter()
        .chain(&after)
        .map(|(object, _)| object.uid.clone())
        .collect();
    let holding = holding
        .into_iter()
        .filter(|run| !there.contains(&run.uid))
        .map(|run| Difference {
            weight: Weight::Holds,
            object: Named {
                kind: "Orchestration",
                namespace: run.namespace,
                name: run.name,
                uid: run.uid,
            },
            what: "it holds locks in the store, and there is no such object; the operator releases them when it next leads"
                .to_owned(),
        });
    let mut found: Vec<_> = lacking.chain(added).chain(holding).collect();
    found.extend(on_record.gone(&there));
    found.sort_by(|one, other| (one.weight, &one.object).cmp(&(other.weight, &other.object)));
    report(&found, after.len())
}

fn report(found: &[Difference], objects: usize) -> Result<String, AuditError> {
    let wrong = found.iter().filter(|one| one.weight.is_wrong()).count();
    let gone = found.len() - wrong;
    let mut text = String::new();
    if !found.is_empty() {
        let mut rows = vec![["DIFFERENCE", "OBJECT", "UID", "WHAT"].map(str::to_owned)];
        rows.extend(found.iter().map(row));
        text = table(&rows);
    }
    if wrong > 0 {
        return Err(AuditError::Differs { count: wrong, text });
    }
    text.push_str(&format!(
        "{objects} objects say what is on record; {gone} runs on record are gone\n"
    ));
    Ok(text)
}

fn row(difference: &Difference) -> [String; 4] {
    let object = &difference.object;
    [
        difference.weight.to_string(),
        format!("{} {}/{}", object.kind, object.namespace, object.name),
        object.uid.clone(),
        difference.what.clone(),
    ]
    .map(|cell| harmless(&cell).replace(['\n', '\t'], " "))
}

async fn connect(kubeconfig: Option<&PathBuf>) -> Result<Client, AuditError> {
    let config = client::configure(kubeconfig).await;
    let config = config.map_err(AuditError::cluster("objects"))?;
    client::connect_impatient(config, PATIENCE).map_err(AuditError::cluster("objects"))
}

/// Everything on record, of all logs.
async fn records(opened: &Opened) -> Result<OnRecord, AuditError> {
    let mut all = OnRecord::default();
    for log in opened.logs().await? {
        let mut from = 0;
        loop {
            let leaves = opened
                .ask(|store| store.leaves(log.number, from, PAGE))
                .await?;
            for leaf in &leaves {
                all.take(&record(leaf)?);
            }
            from += leaves.len() as u64;
            if (leaves.len() as u64) < u64::from(PAGE) {
                break;
            }
        }
    }
    Ok(all)
}

/// What every object says now.
async fn objects(client: &Client) -> Result<Vec<Seen>, AuditError> {
    let kinds = [
        Read {
            kind: "Orchestration",
            resource: ApiResource::erase::<Orchestration>(&()),
            says: |data| Says::Run {
                stage: text(data, "/status/stage"),
                outcome: text(data, "/status/outcome"),
            },
        },
        Read {
            kind: "Gate",
            resource: ApiResource::erase::<Gate>(&()),
            says: |data| Says::Gate {
                state: text(data, "/status/state").unwrap_or_else(|| "Open".to_owned()),
                plan: text(data, "/spec/subject/planDigest"),
            },
        },
        Read {
            kind: "Playbook",
            resource: ApiResource::erase::<Playbook>(&()),
            says: playbook,
        },
    ];
    let mut all = Vec::new();
    for Read {
        kind,
        resource,
        says,
    } in kinds
    {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        for object in listed(&api).await? {
            let meta = &object.metadata;
            let named = Named {
                kind,
                namespace: meta.namespace.clone().unwrap_or_default(),
                name: meta.name.clone().unwrap_or_default(),
                uid: meta.uid.clone().unwrap_or_default(),
            };
            all.push((named, says(&object.data)));
        }
    }
    Ok(all)
}

async fn listed(api: &Api<DynamicObject>) -> Result<Vec<DynamicObject>, AuditError> {
    let mut all = Vec::new();
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&parameters).await;
        let page = page.map_err(AuditError::cluster("objects"))?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(all),
        }
    }
}

fn playbook(data: &Value) -> Says {
    let conditions = data.pointer("/status/conditions");
    let conditions = conditions.and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().any(|condition| {
        let word = |field: &str| condition.get(field).and_then(Value::as_str);
        (word("type"), word("status")) == (Some("Ready"), Some("True"))
    });
    Says::Playbook {
        ready,
        digest: text(data, "/status/digest"),
    }
}

fn text(data: &Value, pointer: &str) -> Option<String> {
    data.pointer(pointer)
        .and_then(Value::as_str)
        .map(str::to_owned)
}
