//! Floor 0: label values put into a query of Prometheus. A value is quoted where `$name` stands and read as nothing but
//! the value, so that no value can change what is asked. What a query means is Prometheus' business. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

/// Why no values can be put into a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A name without a value.
    #[error("${0} is not in vars: give it a value there")]
    NoValue(String),
    /// A value that asks for more than one thing.
    #[error(
        "${0} has an empty value, and that would select whatever lacks the label: give it a value, or write \"\" into the query if that is meant"
    )]
    Empty(String),
    /// A value would end up within a text.
    #[error("${0} stands in quotes: leave them out, its value is put in quoted")]
    InQuotes(String),
    /// Only label values are put in.
    #[error(
        "${0} stands where no label value does: it belongs behind =, !=, =~ or !~ in the braces of a selector"
    )]
    NoLabelValue(String),
    /// Nothing that Prometheus would take.
    #[error("a $ stands outside of quotes and names nothing")]
    NoName,
    /// It would swallow the rest.
    #[error("a text in quotes does not end")]
    Open,
}

/// A part of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    /// What stands there as it is, with a text in quotes or a remark.
    Plain(&'a str),
    /// A text, with its quotes.
    Quoted(&'a str),
    /// `$name`, where a label value stands; `pattern` if that is read as a regular expression.
    Value { name: &'a str, pattern: bool },
    /// `$name` elsewhere.
    Elsewhere(&'a str),
    /// `$` and nothing that follows from it.
    Bare,
}

/// The query with each `$name` replaced by its value, in quotes.
pub fn filled(query: &str, values: &BTreeMap<String, String>) -> Result<String, QueryError> {
    let mut text = String::with_capacity(query.len());
    for part in parts(query)? {
        match part {
            Part::Plain(plain) => text.push_str(plain),
            Part::Quoted(quoted) => {
                let named = names_within(quoted).find(|name| values.contains_key(*name));
                if let Some(name) = named {
                    return Err(QueryError::InQuotes(name.to_owned()));
                }
                text.push_str(quoted);
            }
            Part::Value { name, pattern } => {
                let value = values.get(name);
                let value = value.ok_or_else(|| QueryError::NoValue(name.to_owned()))?;
                if value.is_empty() {
                    return Err(QueryError::Empty(name.to_owned()));
                }
                if pattern {
                    quote(&mut text, &literal(value));
                } else {
                    quote(&mut text, value);
                }
            }
            Part::Elsewhere(name) => return Err(QueryError::NoLabelValue(name.to_owned())),
            Part::Bare => return Err(QueryError::NoName),
        }
    }
    Ok(text)
}

/// The names that the query takes values for.
pub fn wanted(query: &str) -> Result<Vec<&str>, QueryError> {
    let parts = parts(query)?.into_iter();
    let names = parts.filter_map(|part| match part {
        Part::Value { name, .. } | Part::Elsewhere(name) => Some(name),
        Part::Plain(_) | Part::Quoted(_) | Part::Bare => None,
    });
    Ok(names.collect())
}

/// Whether a value can have this name.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && name(text).len() == text.len()
}

/// The name that a text begins with; empty, if it begins with none.
fn name(text: &str) -> &str {
    let goes_on = |(at, c): &(usize, char)| {
        c.is_ascii_alphabetic() || *c == '_' || (*at > 0 && c.is_ascii_digit())
    };
    let length = text.char_indices().take_while(goes_on).count();
    text.get(..length).unwrap_or_default()
}

fn names_within(quoted: &str) -> impl Iterator<Item = &str> {
    let names = quoted.split('$').skip(1).map(name);
    names.filter(|name| !name.is_empty())
}

/// The parts of a query, as Prometheus' own reader tells them apart.
fn parts(query: &str) -> Result<Vec<Part<'_>>, QueryError> {
    let mut parts = Vec::new();
    let (mut rest, mut depth) = (query, 0_usize);
    // What stands before, without spaces and remarks: an operator has two signs at most.
    let mut before = String::new();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' | '`' => {
                let length = quotation(rest, first)?;
                let (quoted, behind) = split(rest, length);
                parts.push(Part::Quoted(quoted));
                before.clear();
                rest = behind;
                continue;
            }
            '$' => {
                let name = name(split(rest, 1).1);
                let operator = (depth > 0).then(|| matcher(&before)).flatten();
                parts.push(match operator {
                    _ if name.is_empty() => Part::Bare,
                    Some(pattern) => Part::Value { name, pattern },
                    None => Part::Elsewhere(name),
                });
                before.clear();
                rest = split(rest, 1 + name.len()).1;
                continue;
            }
            '#' => rest.find(['\n', '\r']).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        match first {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if first != '#' && !first.is_whitespace() {
            before.push(first);
        }
        let (plain, behind) = split(rest, length);
        parts.push(Part::Plain(plain));
        rest = behind;
    }
    Ok(parts)
}

fn split(text: &str, at: usize) -> (&str, &str) {
    text.split_at_checked(at).unwrap_or((text, ""))
}

/// How long the text in these quotes is, with them.
fn quotation(text: &str, mark: char) -> Result<usize, QueryError> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            // Backquotes take everything as it is.
            '\\' if mark != '`' => escaped = true,
            c if c == mark => return Ok(at + 1),
            _ => {}
        }
    }
    Err(QueryError::Open)
}

/// Whether what stands before compares a label with a value, and whether it does so by a regular expression.
fn matcher(before: &str) -> Option<bool> {
    if before.ends_with("=~") || before.ends_with("!~") {
        return Some(true);
    }
    let compares = ["==", ">=", "<="].iter().any(|end| before.ends_with(end));
    (before.ends_with('=') && !compares).then_some(false)
}

/// A regular expression that matches exactly this text.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// The text in quotes. Whatever is no plain sign is written by its number, so that nobody reads it in another way.
fn quote(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => {
                text.push('\\');
                text.push(c);
            }
            ' '..='~' => text.push(c),
            // Writing to a text does not fail.
            c if u32::from(c) <= 0xffff => drop(write!(text, "\\u{:04x}", u32::from(c))),
            c => drop(write!(text, "\\U{:08x}", u32::from(c))),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests;
