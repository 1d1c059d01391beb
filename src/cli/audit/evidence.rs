//! Floor 3: `neuralops evidence`: one file that proves one run on any machine: its records from the store, its plan,
//! Playbook, Gates and Decisions from the cluster. It is verified before it gets its name.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

use super::{
    AuditError,
    keys::KeyArgs,
    leaf::{harmless, record},
    store::{Opened, StoreArgs},
    verify,
};
use crate::{
    domain::{
        audit::{
            checkpoint::Checkpoint,
            event::Event,
            evidence::{Evidence, LogPart, Proven, VERSION},
            record::{Name, Record},
            tree,
        },
        digest::Digest,
        plan::RunRef,
    },
    ports::{Leaf, LogNumber, Query},
};

mod cluster;

use cluster::{ClusterArgs, Found};

/// Leaves that are read at once.
const PAGE: u32 = 1000;

/// What `--help` ends with.
pub const HELP: &str = "\
The file holds the records of the run with their proofs and the signed checkpoints, the plan, the signed Playbook if it
is still the one that ran, the Gate, and the Decisions that counted. What the cluster does not have any more is left out,
and named. Anybody with the log's key checks it, without the store and without the cluster:
  neuralops audit verify FILE --key VKEY

Example
  neuralops evidence checkout-crashes -n shop --store sqlite:///var/lib/neuralops/audit.db --key @keys --to checkout.json";

/// Put everything that proves one run into one file.
#[derive(clap::Args, Debug)]
pub struct EvidenceArgs {
    /// The run
    #[arg(value_name = "RUN")]
    run: String,
    /// Its uid, if its object is gone; then nothing is asked of the cluster
    #[arg(long, value_name = "UID")]
    uid: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    keys: KeyArgs,
    /// Where to write it; nothing may be there yet
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &EvidenceArgs) -> Result<String, AuditError> {
    let keys = args.keys.load()?;
    let opened = args.store.open().await?;
    let found = match &args.uid {
        Some(uid) => Found::gone(uid),
        None => args.cluster.find(&args.run).await?,
    };
    let leaves = leaves(&opened, &found.uid).await?;
    let Some((_, first)) = leaves.first() else {
        return Err(AuditError::NotThere(format!(
            "the store {} has no record of the run {} ({})",
            opened.name, args.run, found.uid
        )));
    };
    let run = named(first, &found.uid);
    let told: Vec<&Record> = leaves.iter().map(|(_, record)| record).collect();
    let about = About::of(&told, &found.uid);
    let mut notes = Vec::new();
    let plan = match &about.plan {
        Some(digest) => {
            let kept = opened.ask(|store| store.plan_of(&found.uid)).await?;
            plan(found.plan.as_ref(), kept, digest, &mut notes)
        }
        None => None,
    };
    let (gates, decisions) = found.gates(&about).await?;
    let evidence = Evidence {
        evidence: VERSION,
        plan,
        playbook: found.playbook(&about, &mut notes).await?,
        gates,
        decisions,
        logs: parts(&opened, &leaves).await?,
        run,
    };
    let text = evidence.to_text().map_err(AuditError::evidence(&args.to))?;
    // Read again: what is handed out is what was verified.
    let read = Evidence::parse(&text).map_err(AuditError::evidence(&args.to))?;
    let sound = read.verify(&keys).map_err(AuditError::evidence(&args.to))?;
    write(&args.to, &text)?;
    let mut said = verify::told_evidence(&read, &sound);
    said.extend(
        notes
            .iter()
            .map(|note| format!("note: {}\n", harmless(note))),
    );
    Ok(format!(
        "{}: {}\n{said}",
        args.to.display(),
        Digest::of(text.as_bytes())
    ))
}

/// What the records say that the run is about.
pub struct About {
    /// The plan.
    pub plan: Option<Digest>,
    /// The Playbook's document.
    pub playbook: Option<Digest>,
    /// The uids of the Gates that it began by.
    pub gates: Vec<String>,
    /// The uids of the Decisions that counted.
    pub decisions: Vec<String>,
}

impl About {
    fn of(records: &[&Record], uid: &str) -> Self {
        let of_run = |record: &&&Record| {
            let object = record.fact.object.as_ref();
            object.is_some_and(|object| object.uid.as_str() == uid)
        };
        let run = || records.iter().filter(of_run);
        let last = |event: Event| run().rfind(|record| record.fact.code == event);
        let about = last(Event::RunStarted).or_else(|| last(Event::RunPlanned));
        let approved = records
            .iter()
            .filter(|record| matches!(record.fact.code, Event::GateApproved | Event::GateAllowed));
        Self {
            plan: about.and_then(|record| record.fact.plan_digest.clone()),
            playbook: about.and_then(|record| record.fact.playbook_digest.clone()),
            gates: texts(run().filter_map(|record| record.fact.gate.as_ref())),
            decisions: texts(approved.flat_map(|record| &record.fact.decisions)),
        }
    }
}

fn texts<'a>(names: impl Iterator<Item = &'a Name>) -> Vec<String> {
    names.map(|name| name.as_str().to_owned()).collect()
}

/// Every record of the run and of the Gates that it began by, in the order of the logs.
async fn leaves(opened: &Opened, uid: &str) -> Result<Vec<(Leaf, Record)>, AuditError> {
    let mut all = about(opened, uid).await?;
    let gates: Vec<String> = all
        .iter()
        .filter_map(|(_, record)| record.fact.gate.as_ref())
        .map(|gate| gate.as_str().to_owned())
        .collect();
    for gate in gates {
        all.extend(about(opened, &gate).await?);
    }
    all.sort_by_key(|(leaf, _)| leaf.at);
    all.dedup_by_key(|(leaf, _)| leaf.at);
    Ok(all)
}

async fn about(opened: &Opened, uid: &str) -> Result<Vec<(Leaf, Record)>, AuditError> {
    let mut found = Vec::new();
    let mut query = Query {
        object: Some(uid.to_owned()),
        limit: PAGE,
        ..Query::default()
    };
    loop {
        let page = opened.ask(|store| store.query(query.clone())).await?;
        query.after = page.last().map(|leaf| leaf.at);
        let full = page.len() as u64 >= u64::from(PAGE);
        for leaf in page {
            let record = record(&leaf)?;
            found.push((leaf, record));
        }
        if !full {
            return Ok(found);
        }
    }
}

fn named(first: &Record, uid: &str) -> RunRef {
    let object = first.fact.object.as_ref();
    let text = |name: Option<&Name>| {
        name.map(|name| name.as_str().to_owned())
            .unwrap_or_default()
    };
    RunRef {
        namespace: text(object.and_then(|object| object.namespace.as_ref())),
        name: text(object.map(|object| &object.name)),
        uid: uid.to_owned(),
    }
}

/// The plan on record: as people were shown it, else as the store keeps it while the run is under way.
fn plan(
    shown: Option<&String>,
    kept: Option<Vec<u8>>,
    wanted: &Digest,
    notes: &mut Vec<String>,
) -> Option<String> {
    let is_it = |text: &String| Digest::of(text.as_bytes()) == *wanted;
    let kept = kept.and_then(|bytes| String::from_utf8(bytes).ok());
    if shown.is_some_and(|shown| !is_it(shown)) {
        notes.push(format!(
            "the plan in its ConfigMap is not {wanted}: it was replaced"
        ));
    }
    shown.cloned().filter(is_it).or_else(|| kept.filter(is_it))
}

/// The leaves by their logs, each with its way to the root of the newest checkpoint.
async fn parts(opened: &Opened, leaves: &[(Leaf, Record)]) -> Result<Vec<LogPart>, AuditError> {
    let mut by_log: BTreeMap<LogNumber, Vec<&Leaf>> = BTreeMap::new();
    for (leaf, _) in leaves {
        by_log.entry(leaf.at.log).or_default().push(leaf);
    }
    let mut parts = Vec::new();
    for (log, leaves) in by_log {
        let saved = opened.ask(|store| store.checkpoint(log)).await?;
        let last = leaves.last().map_or(0, |leaf| leaf.at.index);
        let Some(saved) = saved.filter(|saved| saved.size > last) else {
            return Err(AuditError::NotThere(format!(
                "no checkpoint covers leaf {last} of log {} yet; the operator publishes one within a second while it leads",
                log.0
            )));
        };
        let checkpoint = Checkpoint::read_unverified(&saved.note);
        let size = checkpoint
            .map_err(|source| AuditError::Checkpoint {
                what: format!("the store {}", opened.name),
                source,
            })?
            .size;
        let mut records = Vec::new();
        for leaf in leaves {
            let recipe = tree::inclusion(leaf.at.index, size).unwrap_or_default();
            let hashes = opened
                .ask(|store| store.hashes(log, recipe.positions()))
                .await?;
            let path = recipe.cook(&hashes).unwrap_or_default();
            records.push(Proven {
                index: leaf.at.index,
                record: String::from_utf8_lossy(&leaf.body).into_owned(),
                path: path.iter().map(ToString::to_string).collect(),
            });
        }
        parts.push(LogPart {
            checkpoint: saved.note,
            records,
        });
    }
    Ok(parts)
}

fn write(path: &Path, text: &str) -> Result<(), AuditError> {
    let failed = |source| AuditError::Write {
        path: path.to_owned(),
        source,
    };
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.map_err(failed)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)
}
