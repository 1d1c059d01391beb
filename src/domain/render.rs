//! Floor 0: the steps of a Playbook with the values of its parameters. A string whose whole value is `$(params.NAME)`
//! takes that value with its type; nothing is ever pieced together, and what a value says is not looked into again.

use serde_json::{Map, Value};

use super::reference::parameter_name;

/// A step uses a parameter that has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{place} takes the parameter {name}, which has no value: give it one, or let the Playbook say a default"
)]
pub struct NoValue {
    /// Where.
    pub place: String,
    /// Which.
    pub name: String,
}

/// The steps of this spec, rendered.
pub fn steps(spec: &Value, parameters: &Map<String, Value>) -> Result<Vec<Value>, NoValue> {
    let steps = spec.get("steps").and_then(Value::as_array);
    let steps = steps.into_iter().flatten().enumerate();
    steps
        .map(|(index, step)| rendered(step, &format!("spec.steps[{index}]"), parameters))
        .collect()
}

fn rendered(value: &Value, place: &str, parameters: &Map<String, Value>) -> Result<Value, NoValue> {
    match value {
        Value::String(text) => match parameter_name(text) {
            None => Ok(value.clone()),
            Some(name) => parameters.get(name).cloned().ok_or_else(|| NoValue {
                place: place.to_owned(),
                name: name.to_owned(),
            }),
        },
        Value::Array(items) => {
            let items = items.iter().enumerate();
            let items =
                items.map(|(index, item)| rendered(item, &format!("{place}[{index}]"), parameters));
            items.collect::<Result<_, _>>().map(Value::Array)
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| {
                let field = rendered(field, &format!("{place}.{name}"), parameters)?;
                Ok((name.clone(), field))
            });
            fields.collect::<Result<_, _>>().map(Value::Object)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_keeps_its_type_and_is_not_looked_into() {
        let spec = json!({"steps": [{"name": "a", "scale": {"replicas": "$(params.n)", "x": ["$(params.t)", "$(params.n) and more"]}}]});
        let parameters = json!({"n": 3, "t": "$(params.n)"});
        let found = steps(&spec, parameters.as_object().unwrap()).unwrap();
        assert_eq!(
            found,
            [
                json!({"name": "a", "scale": {"replicas": 3, "x": ["$(params.n)", "$(params.n) and more"]}})
            ]
        );
    }

    #[test]
    fn a_parameter_without_a_value_is_named_with_its_place() {
        let spec = json!({"steps": [{"name": "a", "job": {"env": [{"value": "$(params.n)"}]}}]});
        let error = steps(&spec, &Map::new()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("spec.steps[0].job.env[0].value takes the parameter n"),
            "{error}"
        );
    }
}
