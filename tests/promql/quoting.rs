//! Prometheus itself reads each value as nothing but the value.

use std::collections::BTreeMap;

use neuralops::domain::promql::filled;
use serde_json::json;

use crate::{
    bed::{Metrics, asked, until},
    prometheus,
};

const VALUES: [&str; 13] = [
    "checkout",
    "\"",
    "\\",
    "\\\"",
    "a\"} or vector(1) #",
    "a\\\"} or vector(1) or up{a=\"",
    "'`'",
    "{}()[]=~!$#,",
    "$other",
    "a\nb\tc",
    "é ß 漢 😀 \u{fffd} \u{2028}",
    ".*",
    "^(a|b)+[c]{2}?\\d$",
];

fn with(query: &str, value: &str) -> String {
    let vars = BTreeMap::from([("v".to_owned(), value.to_owned())]);
    filled(query, &vars).unwrap()
}

/// `absent` tells of a selector what it would have to match.
#[tokio::test]
async fn prometheus_reads_each_value_as_it_is() {
    let offered = prometheus!();
    let controls = ["\u{0}\u{1f}\u{7f}", "\r"];
    for value in VALUES.into_iter().chain(controls) {
        let query = with("absent(nothing_like_it{app=$v})", value);
        let answer = asked(offered.settings(), &query).await.unwrap();
        let expected = [json!({"metric": {"app": value}, "value": 1.0})];
        assert_eq!(answer.series, expected, "{query}");
    }
}

/// Where it stands as a pattern, it matches itself and none of the others.
#[tokio::test]
async fn a_pattern_matches_the_value_and_nothing_else() {
    let offered = prometheus!();
    let escaped = |value: &str| {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        escaped.replace('\n', "\\n")
    };
    let lines = VALUES.map(|value| format!("quoted{{app=\"{}\"}} 1", escaped(value)));
    let _metrics = Metrics::serve(&offered, "quoting", &lines.join("\n")).await;
    let all = [VALUES.len() as f64];
    until(&offered.settings(), "count(quoted)", &all).await;
    for value in VALUES {
        let query = with("sum by (app) (quoted{app=~$v})", value);
        let answer = asked(offered.settings(), &query).await.unwrap();
        let expected = [json!({"metric": {"app": value}, "value": 1.0})];
        assert_eq!(answer.series, expected, "{query}");
        let query = with("count(quoted{app!~$v})", value);
        let answer = asked(offered.settings(), &query).await.unwrap();
        assert_eq!(answer.series[0]["value"], all[0] - 1.0, "{query}");
    }
}
