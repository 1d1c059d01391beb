//! Floor 2: what Prometheus answers, read strictly: a part of it, or another form of it, is no answer. Pure.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// As many as an expression looks at.
const MOST_SERIES: usize = 256;
/// What of its words fits into a status.
const LONGEST_WORDS: usize = 400;

/// What a query comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Each series as `{metric: {label: value}, value: number}`; a scalar is one without labels.
    pub series: Vec<Value>,
    /// A value that is no number (`NaN`, `+Inf`, `-Inf`), if there is one; then the series are those before it.
    pub no_number: Option<String>,
}

#[derive(Deserialize)]
struct Whole {
    status: String,
    data: Option<Data>,
    #[serde(default)]
    warnings: Vec<String>,
    /// How VictoriaMetrics says that some of its storage did not answer.
    #[serde(rename = "isPartial", default)]
    partial: bool,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(rename = "errorType")]
    kind: String,
    error: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Series {
    metric: Map<String, Value>,
    value: (Value, String),
}

/// The answer; or what is the matter with it, as the end of a sentence about who answered.
pub(super) fn read(bytes: &[u8]) -> Result<Answer, String> {
    // The error's own text may quote what is there.
    let whole: Whole = serde_json::from_slice(bytes).map_err(|error| {
        format!(
            "answers what is no answer of Prometheus (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    if whole.status != "success" {
        return Err("answers 200 and does not say success".to_owned());
    }
    if let Some(warning) = whole.warnings.first() {
        return Err(format!(
            "warns that its answer is not whole: {}",
            words(warning)
        ));
    }
    if whole.partial {
        return Err("says that its answer is not whole".to_owned());
    }
    let data = whole.data.ok_or("answers success and nothing else")?;
    match data.kind.as_str() {
        "vector" => vector(data.result),
        "scalar" => {
            let (_, value): (Value, String) =
                serde_json::from_value(data.result).map_err(|_| another("a scalar"))?;
            Ok(gathered([(Map::new(), value)]))
        }
        other => Err(format!(
            "answers with a {}; an expression looks at an instant vector or a scalar",
            words(other)
        )),
    }
}

fn vector(result: Value) -> Result<Answer, String> {
    let Value::Array(items) = result else {
        return Err(another("a vector"));
    };
    if items.len() > MOST_SERIES {
        return Err(format!(
            "answers with {} series, {MOST_SERIES} are looked at: let the query aggregate",
            items.len()
        ));
    }
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        let series: Series = serde_json::from_value(item).map_err(|_| another("a vector"))?;
        if !series.metric.values().all(Value::is_string) {
            return Err(another("a vector"));
        }
        found.push((series.metric, series.value.1));
    }
    Ok(gathered(found))
}

fn gathered(found: impl IntoIterator<Item = (Map<String, Value>, String)>) -> Answer {
    let mut series = Vec::new();
    for (metric, text) in found {
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => {
                series.push(json!({"metric": metric, "value": value}))
            }
            _ => {
                let no_number = Some(words(&text));
                return Answer { series, no_number };
            }
        }
    }
    Answer {
        series,
        no_number: None,
    }
}

fn another(kind: &str) -> String {
    format!("answers with {kind} of a form that is not Prometheus'")
}

/// The kind and the words of an error, if it is one of Prometheus'.
pub(super) fn refusal(bytes: &[u8]) -> Option<(String, String)> {
    let refused: Refused = serde_json::from_slice(bytes).ok()?;
    Some((words(&refused.kind), words(&refused.error)))
}

/// The beginning of what somebody else says, in one line.
fn words(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut brief: String = plain.take(LONGEST_WORDS).collect();
    if brief.len() < text.len() {
        brief.push('…');
    }
    brief
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(data: Value) -> Result<Answer, String> {
        read(
            json!({"status": "success", "data": data})
                .to_string()
                .as_bytes(),
        )
    }

    #[test]
    fn a_vector_and_a_scalar_are_read() {
        let vector = json!({"resultType": "vector", "result": [
            {"metric": {"app": "a"}, "value": [1.5, "0.25"]}, {"metric": {}, "value": [1, "1e3"]},
        ]});
        let expected = [
            json!({"metric": {"app": "a"}, "value": 0.25}),
            json!({"metric": {}, "value": 1000.0}),
        ];
        assert_eq!(answered(vector).unwrap().series, expected);
        let scalar = json!({"resultType": "scalar", "result": [1, "3"]});
        assert_eq!(
            answered(scalar).unwrap().series,
            [json!({"metric": {}, "value": 3.0})]
        );
        let nothing = json!({"resultType": "vector", "result": []});
        assert_eq!(
            answered(nothing).unwrap(),
            Answer {
                series: Vec::new(),
                no_number: None
            }
        );
    }

    #[test]
    fn what_is_no_number_is_told_apart() {
        for text in ["NaN", "+Inf", "-Inf", "many", ""] {
            let data = json!({"resultType": "scalar", "result": [1, text]});
            assert_eq!(answered(data).unwrap().no_number.as_deref(), Some(text));
        }
    }

    #[test]
    fn everything_else_is_no_answer() {
        let many: Vec<Value> = (0..257)
            .map(|_| json!({"metric": {}, "value": [1, "1"]}))
            .collect();
        for (data, said) in [
            (
                json!({"resultType": "matrix", "result": []}),
                "with a matrix",
            ),
            (
                json!({"resultType": "string", "result": [1, "up"]}),
                "with a string",
            ),
            (
                json!({"resultType": "vector", "result": {}}),
                "a vector of a form",
            ),
            (
                json!({"resultType": "vector", "result": [{"metric": {}}]}),
                "a vector of a form",
            ),
            (
                json!({"resultType": "vector", "result": [{"metric": {}, "value": [1, 1]}]}),
                "a vector of a form",
            ),
            (
                json!({"resultType": "vector", "result": [{"metric": {"a": 1}, "value": [1, "1"]}]}),
                "a vector of a form",
            ),
            (
                json!({"resultType": "vector", "result": [{"metric": {}, "histogram": [1, {}]}]}),
                "a vector of a form",
            ),
            (
                json!({"resultType": "vector", "result": many}),
                "257 series",
            ),
            (
                json!({"resultType": "scalar", "result": "1"}),
                "a scalar of a form",
            ),
            (Value::Null, "nothing else"),
            (json!({}), "no answer of Prometheus"),
        ] {
            let refused = answered(data.clone()).unwrap_err();
            assert!(refused.contains(said), "{data} gave {refused}");
        }
    }

    #[test]
    fn an_answer_that_is_not_whole_is_none() {
        let good = json!({"resultType": "vector", "result": []});
        for (whole, said) in [
            (
                json!({"status": "error", "data": good}),
                "does not say success",
            ),
            (
                json!({"status": "success", "data": good, "warnings": ["store \u{7} a\nis away"]}),
                "not whole: store   a is away",
            ),
            (
                json!({"status": "success", "data": good, "isPartial": true}),
                "not whole",
            ),
            (json!([]), "no answer of Prometheus"),
            (json!({"data": good}), "no answer of Prometheus"),
        ] {
            let refused = read(whole.to_string().as_bytes()).unwrap_err();
            assert!(refused.contains(said), "{whole} gave {refused}");
        }
        assert!(read(b"<html>c4n4ry").is_err_and(|told| !told.contains("c4n4ry")));
    }

    #[test]
    fn errors_are_told_in_its_own_words() {
        let error =
            json!({"status": "error", "errorType": "bad_data", "error": "1:4: parse error\nno"});
        let found = refusal(error.to_string().as_bytes());
        assert_eq!(
            found,
            Some(("bad_data".to_owned(), "1:4: parse error no".to_owned()))
        );
        assert_eq!(refusal(b"<html>"), None);
    }
}
