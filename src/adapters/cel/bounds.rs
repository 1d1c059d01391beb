//! Floor 2: what an expression and its input may be, so that neither reading nor evaluating it can be made to take long.
//! Nothing is evaluated here.

use cel::{
    IdedExpr,
    common::ast::{EntryExpr, Expr, LiteralValue},
};
use serde_json::Value;

use super::CelError;

/// Bytes of an expression.
const LONGEST: usize = 1024;
/// Brackets within brackets.
const DEEPEST: usize = 24;
/// Words and signs: the parser goes down with each operator of a chain.
const MOST: usize = 400;
/// Entries of a list of the input.
const LIST: usize = 256;
/// Entries of a map of the input.
const MAP: usize = 1024;
/// Names that are there without anybody's saying so.
const TYPES: [&str; 10] = [
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
];

/// What there is to call, apart from operators and loops.
const FUNCTIONS: [&str; 16] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "hasValue",
    "int",
    "or",
    "orValue",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
    "value",
];

fn not_allowed(why: impl Into<String>) -> CelError {
    CelError::NotAllowed(why.into())
}

/// The text, before anything reads it. Brackets and signs in quoted texts count too: telling them apart would be reading.
pub(super) fn source(text: &str) -> Result<(), CelError> {
    if text.len() > LONGEST {
        return Err(not_allowed(format!(
            "it has {} bytes, {LONGEST} are allowed",
            text.len()
        )));
    }
    let (mut depth, mut count, mut within) = (0_usize, 0, false);
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let word = c.is_alphanumeric() || c == '_';
        let goes_on = word && within;
        if !goes_on && !c.is_whitespace() {
            count += 1;
        }
        within = word;
        if depth > DEEPEST {
            return Err(not_allowed(format!(
                "its brackets are more than {DEEPEST} deep"
            )));
        }
    }
    if count > MOST {
        return Err(not_allowed(format!(
            "it has {count} words and signs, {MOST} are allowed"
        )));
    }
    Ok(())
}

/// A variable, with all that lies in it.
pub(super) fn input(name: &str, value: &Value) -> Result<(), CelError> {
    let mut left = vec![(name.to_owned(), value)];
    while let Some((place, value)) = left.pop() {
        let (found, allowed) = match value {
            Value::Array(items) => (items.len(), LIST),
            Value::Object(fields) => (fields.len(), MAP),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => continue,
        };
        if found > allowed {
            return Err(CelError::Input {
                place,
                found,
                allowed,
            });
        }
        match value {
            Value::Array(items) => left.extend(items.iter().map(|item| (place.clone(), item))),
            Value::Object(fields) => left.extend(
                fields
                    .iter()
                    .map(|(name, field)| (format!("{place}.{name}"), field)),
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Ok(())
}

/// What was read: no loop within a loop, no pattern, no name that is not known.
pub(super) fn expression(whole: &IdedExpr, variables: &[String]) -> Result<(), CelError> {
    let mut known: Vec<&str> = variables.iter().map(String::as_str).collect();
    walk(whole, &mut known, 0)?;
    // Whoever approves must not find out afterwards that it could never hold.
    match other_than_truth(&whole.expr) {
        Some(sort) => Err(CelError::NoTruth(sort)),
        None => Ok(()),
    }
}

/// What an expression gives that can be no truth value, whatever it is evaluated with; none, if it may be one.
fn other_than_truth(expression: &Expr) -> Option<&'static str> {
    match expression {
        Expr::Literal(LiteralValue::Boolean(_)) => None,
        Expr::Literal(LiteralValue::String(_)) => Some("a text"),
        Expr::Literal(LiteralValue::Null) => Some("null"),
        Expr::Literal(LiteralValue::Bytes(_)) => Some("something else"),
        Expr::Literal(_) => Some("a number"),
        Expr::List(_) => Some("a list"),
        Expr::Map(_) | Expr::Struct(_) => Some("a map"),
        Expr::Call(call) => match call.func_name.as_str() {
            "-_" | "_-_" | "_*_" | "_/_" | "_%_" | "size" | "int" | "uint" | "double" => {
                Some("a number")
            }
            "_+_" => Some("a number, text or list"),
            "string" => Some("a text"),
            "bytes" | "type" => Some("something else"),
            _ => None,
        },
        Expr::Unspecified | Expr::Ident(_) | Expr::Select(_) | Expr::Comprehension(_) => None,
    }
}

/// Operators bear names that nobody can write.
fn callable(name: &str) -> Result<(), CelError> {
    if name == "matches" {
        return Err(not_allowed(
            "matches is not offered: a pattern can take for ever; use contains, startsWith or endsWith",
        ));
    }
    if FUNCTIONS.contains(&name) || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Ok(());
    }
    Err(not_allowed(format!(
        "there is no function {name}; there are {}",
        FUNCTIONS.join(", ")
    )))
}

fn walk<'a>(part: &'a IdedExpr, known: &mut Vec<&'a str>, loops: u32) -> Result<(), CelError> {
    match &part.expr {
        Expr::Unspecified | Expr::Literal(_) => Ok(()),
        Expr::Ident(name) => {
            if known.contains(&name.as_str()) || TYPES.contains(&name.as_str()) {
                return Ok(());
            }
            Err(not_allowed(format!(
                "there is no variable {name}; there are {}",
                known.join(", ")
            )))
        }
        Expr::Select(select) => walk(&select.operand, known, loops),
        Expr::Call(call) => {
            callable(&call.func_name)?;
            let target = call.target.iter().map(AsRef::as_ref);
            target
                .chain(&call.args)
                .try_for_each(|part| walk(part, known, loops))
        }
        Expr::List(list) => {
            let mut items = list.elements.iter();
            items.try_for_each(|part| walk(part, known, loops))
        }
        Expr::Map(map) => {
            let mut entries = map.entries.iter();
            entries.try_for_each(|entry| walk_entry(&entry.expr, known, loops))
        }
        Expr::Struct(made) => {
            let mut entries = made.entries.iter();
            entries.try_for_each(|entry| walk_entry(&entry.expr, known, loops))
        }
        Expr::Comprehension(comprehension) => {
            if loops > 0 {
                return Err(not_allowed(
                    "a loop (all, exists, exists_one, map, filter) stands within a loop",
                ));
            }
            walk(&comprehension.iter_range, known, loops)?;
            walk(&comprehension.accu_init, known, loops)?;
            let outside = known.len();
            known.push(&comprehension.iter_var);
            known.extend(comprehension.iter_var2.as_deref());
            known.push(&comprehension.accu_var);
            let inside = [
                &comprehension.loop_cond,
                &comprehension.loop_step,
                &comprehension.result,
            ];
            let walked = inside
                .into_iter()
                .try_for_each(|part| walk(part, known, loops + 1));
            known.truncate(outside);
            walked
        }
    }
}

fn walk_entry<'a>(
    entry: &'a EntryExpr,
    known: &mut Vec<&'a str>,
    loops: u32,
) -> Result<(), CelError> {
    match entry {
        EntryExpr::StructField(field) => walk(&field.value, known, loops),
        EntryExpr::MapEntry(entry) => {
            walk(&entry.key, known, loops)?;
            walk(&entry.value, known, loops)
        }
    }
}
