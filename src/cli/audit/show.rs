//! Floor 3: `neuralops audit show`: one record, and the text beside it while that is kept.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::{
    AuditError,
    leaf::{Output, Shown, WhichArgs, harmless, record},
    store::StoreArgs,
};

/// What `--help` ends with.
pub const HELP: &str = "\
What is shown is what the store says; `neuralops audit prove` and `verify` show that it is so.

Example
  neuralops audit show --store sqlite:///var/lib/neuralops/audit.db --index 17";

/// Show one record.
#[derive(clap::Args, Debug)]
pub struct ShowArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    which: WhichArgs,
    /// How
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Serialize)]
struct WithText {
    #[serde(flatten)]
    leaf: Shown,
    /// Beside the log; absent when there never was one or its time is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &ShowArgs) -> Result<String, AuditError> {
    let opened = args.store.open().await?;
    let (leaf, log) = args.which.find(&opened).await?;
    let record = record(&leaf)?;
    let payload = match &record.fact.details {
        Some(digest) => opened.ask(|store| store.payload(digest)).await?,
        None => None,
    };
    let text = payload
        .as_ref()
        .map(|payload| String::from_utf8(payload.body.clone()));
    if args.output == Output::Json {
        let shown = WithText {
            leaf: Shown::new(&leaf)?,
            base64: match (&text, &payload) {
                (Some(Err(_)), Some(payload)) => Some(STANDARD.encode(&payload.body)),
                _ => None,
            },
            text: text.and_then(Result::ok),
        };
        return Ok(json(&shown));
    }
    let mut shown = format!(
        "leaf {} of log {} ({})\n{}\n",
        leaf.at.index,
        leaf.at.log.0,
        log.origin,
        serde_json::to_string_pretty(&record).unwrap_or_default()
    );
    match (&record.fact.details, text) {
        (None, _) => {}
        (Some(_), None) => shown.push_str("\nThe text beside it is erased: its time is over.\n"),
        (Some(_), Some(Ok(text))) => {
            shown.push_str(&format!("\nThe text beside it:\n{}\n", harmless(&text)));
        }
        (Some(_), Some(Err(_))) => {
            shown.push_str("\nWhat lies beside it is no text; -o json prints it.\n");
        }
    }
    Ok(shown)
}

/// As JSON, with its newline.
pub fn json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}
