//! What was measured and how it is printed: a figure, its ratio to the limit of the same run, and the goal.

use std::time::Duration;

/// How long each of many took, the shortest first.
pub struct Spread(Vec<Duration>);

impl Spread {
    pub fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        Self(took)
    }

    pub fn percentile(&self, percent: usize) -> f64 {
        self.0[(self.0.len() - 1) * percent / 100].as_secs_f64()
    }

    /// In a second, one after the other.
    pub fn rate(&self) -> f64 {
        self.0.len() as f64 / self.0.iter().sum::<Duration>().as_secs_f64()
    }

    /// `unit` is 1e3 for milliseconds, 1e6 for microseconds.
    pub fn percentiles(&self, unit: f64) -> String {
        let (half, most) = (self.percentile(50) * unit, self.percentile(99) * unit);
        format!("p50 {half:.2}, p99 {most:.2}")
    }
}

pub fn line(what: &str, figure: &str, ratio: &str, goal: &str) {
    println!("{what:<46}  {figure:<42}  {ratio:>15}  {goal}");
}

pub fn goal(text: &str, met: bool) -> String {
    format!("{text}: {}", if met { "met" } else { "missed" })
}

/// With a comma before every three digits.
pub fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
