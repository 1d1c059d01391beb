//! Floor 2: CEL that authors write, in a cage: the library has no limit of its own, and an expression that is deep enough ends
//! the process. Here it is bounded before it is read, and compiled and evaluated on a thread with a stack and a time of
//! its own. What an expression means is the caller's business.

mod bounds;

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use cel::{Context, ExecutionError, Program};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// What an expression may take, of a processor.
const TIME: Duration = Duration::from_millis(50);
/// What it may take on the wall clock, on a machine that is busy with others.
const PATIENCE: Duration = Duration::from_secs(5);
/// Threads that compile, evaluate, or were given up and are not done yet.
const PLACES: usize = 4;
/// How long to wait for one of them.
const QUEUE: Duration = Duration::from_secs(1);
/// The parser goes down with every operator.
const STACK: usize = 16 * 1024 * 1024;
/// Expressions that took too long and are not tried for a while.
const REFUSED: usize = 256;
/// How long: a machine that was busy for a moment condemns no expression for good.
pub const REFUSED_FOR: Duration = Duration::from_secs(10 * 60);

/// Why there is no answer. No value of the input is ever part of it.
#[derive(Debug, thiserror::Error)]
pub enum CelError {
    /// It is no CEL.
    #[error("the expression does not compile: {0}")]
    Syntax(String),
    /// It is more than what is allowed.
    #[error("the expression is not allowed: {0}")]
    NotAllowed(String),
    /// What it asks for is not there (yet).
    #[error("there is no {0}")]
    Missing(String),
    /// It says something else than yes or no.
    #[error("the expression gives no truth value but {0}")]
    NoTruth(&'static str),
    /// It cannot be evaluated.
    #[error("the expression fails: {0}")]
    Fails(String),
    /// The input is more than what is allowed.
    #[error("{place} has {found} entries; expressions look at lists of at most {allowed}")]
    Input {
        /// Where.
        place: String,
        /// How many.
        found: usize,
        /// How many there may be.
        allowed: usize,
    },
    /// It takes too long, now or the last time.
    #[error(
        "the expression takes more than {} ms and is not evaluated again within {} minutes",
        TIME.as_millis(),
        REFUSED_FOR.as_secs() / 60
    )]
    Slow,
    /// All places are taken by others.
    #[error("too many expressions are evaluated at this moment")]
    Busy,
    /// No thread could be started.
    #[error("could not start a thread for the expression")]
    Thread(#[source] std::io::Error),
    /// The evaluation came to no end of its own.
    #[error("the evaluation of the expression broke off")]
    BrokeOff,
}

impl CelError {
    /// Whether the same expression may do better another time, with nothing mended.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Busy | Self::Thread(_))
    }
}

/// The cage.
pub struct Cel {
    places: Arc<Semaphore>,
    refused: Mutex<VecDeque<(String, Instant)>>,
}

impl Default for Cel {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(PLACES)),
            refused: Mutex::default(),
        }
    }
}

impl Cel {
    /// Whether the expression is one at all, with no other variables than these.
    pub async fn check(&self, expression: &str, variables: &[&str]) -> Result<(), CelError> {
        bounds::source(expression)?;
        let source = expression.to_owned();
        let names: Vec<String> = variables.iter().map(|name| (*name).to_owned()).collect();
        self.caged(expression, move || compile(&source, &names).map(drop))
            .await?
    }

    /// Whether the expression holds.
    pub async fn holds(
        &self,
        expression: &str,
        variables: BTreeMap<&str, Value>,
    ) -> Result<bool, CelError> {
        bounds::source(expression)?;
        for (name, value) in &variables {
            bounds::input(name, value)?;
        }
        let source = expression.to_owned();
        let names: Vec<String> = variables.keys().map(|name| (*name).to_owned()).collect();
        let values: Vec<Value> = variables.into_values().collect();
        self.caged(expression, move || evaluate(&source, &names, &values))
            .await?
    }

    async fn caged<T: Send + 'static>(
        &self,
        expression: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CelError> {
        if self.refuses(expression, Instant::now()) {
            return Err(CelError::Slow);
        }
        let place = tokio::time::timeout(QUEUE, Arc::clone(&self.places).acquire_owned());
        let Ok(Ok(place)) = place.await else {
            return Err(CelError::Busy);
        };
        let running = Evaluation::start(place, work)?;
        match running.finish().await {
            Err(CelError::Slow) => {
                let mut refused = self.refused();
                if refused.len() == REFUSED {
                    refused.pop_front();
                }
                refused.push_back((expression.to_owned(), Instant::now()));
                Err(CelError::Slow)
            }
            other => other,
        }
    }

    /// Whether it took too long a short while ago.
    fn refuses(&self, expression: &str, now: Instant) -> bool {
        let mut refused = self.refused();
        refused.retain(|(_, since)| now.saturating_duration_since(*since) < REFUSED_FOR);
        refused.iter().any(|(refused, _)| refused == expression)
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, VecDeque<(String, Instant)>> {
        // Whoever panicked here left the list as good as it was.
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work on a thread of its own, which is left to itself once it has had its time: nothing can end it from outside.
struct Evaluation<T> {
    answer: oneshot::Receiver<T>,
    account: oneshot::Receiver<Option<PathBuf>>,
}

impl<T: Send + 'static> Evaluation<T> {
    fn start(
        place: OwnedSemaphorePermit,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Self, CelError> {
        let (tell, answer) = oneshot::channel();
        let (open, account) = oneshot::channel();
        let body = move || {
            // The place is taken until the work is over, whether anybody still waits for it or not.
            let _place = place;
            // Nobody listens any more: it was given up before it began.
            let _ = open.send(own_account());
            let _ = tell.send(work());
        };
        std::thread::Builder::new()
            .name("cel".to_owned())
            .stack_size(STACK)
            .spawn(body)
            .map_err(CelError::Thread)?;
        Ok(Self { answer, account })
    }

    async fn finish(mut self) -> Result<T, CelError> {
        let began = Instant::now();
        let mut account = None;
        loop {
            match tokio::time::timeout(TIME, &mut self.answer).await {
                Ok(answer) => return answer.map_err(|_| CelError::BrokeOff),
                Err(_) => {
                    if account.is_none() {
                        account = self.account.try_recv().ok();
                    }
                    let waited = began.elapsed();
                    // Where nobody counts, the wall clock does.
                    let used = match &account {
                        None => Duration::ZERO,
                        Some(path) => path.as_deref().and_then(used).unwrap_or(waited),
                    };
                    if used >= TIME || waited >= PATIENCE {
                        return Err(CelError::Slow);
                    }
                }
            }
        }
    }
}

/// Where the kernel keeps account of the calling thread. A machine that is busy with others is not the author's fault.
fn own_account() -> Option<PathBuf> {
    let own = std::fs::read_link("/proc/thread-self").ok()?;
    Some(PathBuf::from("/proc").join(own).join("schedstat"))
}

/// The time that a thread has had on a processor.
fn used(account: &std::path::Path) -> Option<Duration> {
    let text = std::fs::read_to_string(account).ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

fn compile(source: &str, variables: &[String]) -> Result<Program, CelError> {
    let program = Program::compile(source).map_err(|errors| {
        let first = errors.errors.first();
        CelError::Syntax(first.map_or_else(String::new, |error| {
            format!(
                "{} (line {}, column {})",
                error.msg, error.pos.0, error.pos.1
            )
        }))
    })?;
    bounds::expression(program.expression(), variables)?;
    Ok(program)
}

fn evaluate(source: &str, names: &[String], values: &[Value]) -> Result<bool, CelError> {
    let program = compile(source, names)?;
    let mut context = Context::default();
    for (name, value) in names.iter().zip(values) {
        context.add_variable_from_value(name.clone(), taken(value));
    }
    match program.execute(&context) {
        Ok(cel::Value::Bool(holds)) => Ok(holds),
        Ok(other) => Err(CelError::NoTruth(sort(&other))),
        Err(error) => Err(failure(&error)),
    }
}

/// A JSON value as CEL has it. Integers are `int`, as an author writes them: the library would make `uint` of them, which
/// adds up with nothing.
fn taken(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => cel::Value::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => cel::Value::Int(number),
            (_, Some(number), _) => cel::Value::UInt(number),
            (.., number) => cel::Value::Float(number.unwrap_or(f64::NAN)),
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(taken).collect())),
        Value::Object(fields) => {
            let fields: std::collections::HashMap<cel::objects::Key, cel::Value> = fields
                .iter()
                .map(|(name, field)| (name.clone().into(), taken(field)))
                .collect();
            cel::Value::Map(cel::objects::Map {
                map: Arc::new(fields),
            })
        }
    }
}

fn sort(value: &cel::Value) -> &'static str {
    match value {
        cel::Value::List(_) => "a list",
        cel::Value::Map(_) => "a map",
        cel::Value::Int(_) | cel::Value::UInt(_) | cel::Value::Float(_) => "a number",
        cel::Value::String(_) => "a text",
        cel::Value::Null => "null",
        _ => "something else",
    }
}

/// The library shows the values that it stumbled over; here they stay where they are.
fn failure(error: &ExecutionError) -> CelError {
    let fails = |text: &str| CelError::Fails(text.to_owned());
    match error {
        ExecutionError::NoSuchKey(key) => CelError::Missing(key.chars().take(80).collect()),
        ExecutionError::IndexOutOfBounds(_) => CelError::Missing("item at that index".to_owned()),
        ExecutionError::NoSuchOverload(_) | ExecutionError::UnexpectedType { .. } => {
            fails("an operator or function is given values of types that it does not take")
        }
        ExecutionError::UndeclaredReference(name) => CelError::Fails(format!(
            "it names {:?}, which is nothing that there is",
            name.chars().take(80).collect::<String>()
        )),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            fails("it divides by zero")
        }
        ExecutionError::Overflow(..) => fails("a number is too large"),
        ExecutionError::FunctionError { function, .. } => {
            CelError::Fails(format!("{function} cannot do with what it is given"))
        }
        _ => fails("a value is not what an operator or function needs"),
    }
}

#[cfg(test)]
mod tests;
