//! Floor 3: `neuralops audit list`: records by object, actor, event and time, page by page.

use jiff::Timestamp;
use serde::Serialize;

use super::{
    AuditError,
    leaf::{Output, Shown, harmless, parse_place, parse_time, place, record},
    show::json,
    store::StoreArgs,
};
use crate::{
    domain::audit::{
        event::Event,
        record::{Object, Record},
    },
    ports::{Leaf, LeafIndex, Query},
};

/// What `--help` ends with.
pub const HELP: &str = "\
All conditions hold together. A page that is not the last ends with the --after of the next one.
The event codes are in docs/reference/events.md.

Examples
  neuralops audit list --store sqlite:///var/lib/neuralops/audit.db --code playbook.accepted
  neuralops audit list --actor alice --since 2026-03-01T00:00:00Z -o json";

/// List records.
#[derive(clap::Args, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// About the object with this uid
    #[arg(long, value_name = "UID")]
    object: Option<String>,
    /// By this actor
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Of this event
    #[arg(long, value_parser = code)]
    code: Option<Event>,
    /// At or after
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Before
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// After this one: the last of the page before
    #[arg(long, value_name = "LOG/INDEX", value_parser = parse_place)]
    after: Option<LeafIndex>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// How
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

fn code(text: &str) -> Result<Event, String> {
    Event::parse(text).ok_or_else(|| {
        let codes: Vec<&str> = Event::ALL.iter().map(|event| event.code()).collect();
        format!("there are {}", codes.join(", "))
    })
}

#[derive(Serialize)]
struct Page {
    items: Vec<Shown>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &ListArgs) -> Result<String, AuditError> {
    let opened = args.store.open().await?;
    let query = Query {
        after: args.after,
        object: args.object.clone(),
        actor: args.actor.clone(),
        code: args.code,
        since: args.since,
        until: args.until,
        limit: args.limit,
    };
    let leaves = opened.ask(|store| store.query(query)).await?;
    let full = leaves.len() as u64 >= u64::from(args.limit);
    let next = leaves.last().filter(|_| full).map(|leaf| place(leaf.at));
    if args.output == Output::Json {
        let items = leaves.iter().map(Shown::new).collect::<Result<_, _>>()?;
        return Ok(json(&Page { items, next }));
    }
    let mut rows =
        vec![["LOG/INDEX", "TIME", "EVENT", "ACTOR", "OBJECT", "OUTCOME"].map(str::to_owned)];
    for leaf in &leaves {
        rows.push(row(leaf, &record(leaf)?));
    }
    let mut text = table(&rows);
    if let Some(next) = next {
        text.push_str(&format!("there may be more: --after {next}\n"));
    }
    Ok(text)
}

fn row(leaf: &Leaf, record: &Record) -> [String; 6] {
    let fact = &record.fact;
    let time = match record.late {
        // When it happened is what one looks for.
        Some(late) => format!("{late} (late)"),
        None => record.time.to_string(),
    };
    let object = |object: &Object| match &object.namespace {
        Some(namespace) => format!(
            "{} {}/{}",
            object.kind.as_str(),
            namespace.as_str(),
            object.name.as_str()
        ),
        None => format!("{} {}", object.kind.as_str(), object.name.as_str()),
    };
    [
        place(leaf.at),
        time,
        fact.code.code().to_owned(),
        fact.actor.subject.as_str().to_owned(),
        fact.object.as_ref().map(object).unwrap_or_default(),
        fact.outcome
            .as_ref()
            .map(|outcome| outcome.as_str().to_owned())
            .unwrap_or_default(),
    ]
    .map(|cell| harmless(&cell))
}

/// Rows as columns that stand below each other; the first row names them.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let line: Vec<String> = cells.collect();
        format!("{}\n", line.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
