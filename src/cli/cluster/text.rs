//! Floor 3: how things are shown: as a table, as an object for programs, and never with what would steer a terminal or
//! hide a line of a diff. Most of what is shown was written by somebody else.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::CommandError;
use crate::domain::duration;

/// An object for programs instead of text for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// How the object is printed.
#[derive(clap::Args, Debug)]
pub struct OutputArgs {
    /// Print the object instead of text
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

impl OutputArgs {
    /// Whether people read it.
    pub fn is_text(&self) -> bool {
        self.output.is_none()
    }

    /// The object if a program asked, else what people are told.
    pub fn print<T: Serialize>(
        &self,
        object: &T,
        people: impl FnOnce() -> String,
    ) -> Result<String, CommandError> {
        match self.output {
            None => Ok(people()),
            Some(Format::Json) => serde_json::to_string_pretty(object)
                .map(|text| text + "\n")
                .map_err(|error| CommandError::Render("JSON", Box::new(error))),
            Some(Format::Yaml) => yaml(object),
        }
    }
}

/// One document.
pub fn yaml<T: Serialize>(object: &T) -> Result<String, CommandError> {
    serde_saphyr::to_string(object).map_err(|error| CommandError::Render("YAML", Box::new(error)))
}

/// A text of several lines that others wrote, with everything visible that a terminal would act upon: controls, and the
/// marks that turn the direction of writing round or take no room.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || c == '\t' || !steers(c) {
            shown.push(c);
        } else {
            shown.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
        }
    }
    shown
}

/// The same for what has to fit into one line.
pub fn line(text: &str) -> String {
    visible(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Columns as wide as their widest cell.
pub fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let header = header.map(ToOwned::to_owned);
    let all = || std::iter::once(&header).chain(rows);
    let mut widths = [0; N];
    for row in all() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(line(cell).chars().count());
        }
    }
    all()
        .map(|row| {
            let cells = row.iter().zip(widths);
            let cells: Vec<_> = cells
                .map(|(cell, width)| format!("{:width$}", line(cell)))
                .collect();
            format!("{}\n", cells.join("  ").trim_end())
        })
        .collect()
}

/// How long until then, in whole units that people care about; none once it is over.
pub fn left(deadline: Timestamp, now: Timestamp) -> Option<String> {
    let seconds = u64::try_from(deadline.as_second() - now.as_second()).ok()?;
    let whole = match seconds {
        0 => return None,
        1..60 => seconds,
        60..86_400 => seconds - seconds % 60,
        _ => seconds - seconds % 3600,
    };
    Some(duration::render(Duration::from_secs(whole)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_others_wrote_steers_the_terminal() {
        assert_eq!(
            visible("a\u{1b}[2K\r\u{202e}b\tc\n"),
            "a\\u{1b}[2K\\u{d}\\u{202e}b\tc\n"
        );
        assert_eq!(line("one\ntwo  three"), "one two three");
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [
            ["a".to_owned(), "b".to_owned()],
            ["long".to_owned(), String::new()],
        ];
        assert_eq!(table(["X", "Y"], &rows), "X     Y\na     b\nlong\n");
    }

    #[test]
    fn what_is_left_is_told_in_whole_units() {
        let at = |second: i64| Timestamp::from_second(second).unwrap_or_default();
        let told = |seconds: i64| left(at(1000 + seconds), at(1000));
        assert_eq!(told(59).as_deref(), Some("59s"));
        assert_eq!(told(119).as_deref(), Some("1m"));
        assert_eq!(told(5430).as_deref(), Some("1h30m"));
        assert_eq!(told(90_061).as_deref(), Some("25h"));
        assert_eq!(told(0), None);
        assert_eq!(told(-5), None);
    }
}
