//! Short names of values, for labels of runs and rows of tables.

use serde_json::Value;

/// A value in a few characters: `uniform`, `3`, `exp(0.4)`, `self(best_of=8)`, `model(strong)`.
#[must_use]
pub fn value_label(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_i64() && !number.is_u64() => float.to_string(),
            _ => number.to_string(),
        },
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(value_label).collect::<Vec<_>>().join(",")
        ),
        Value::Object(members) if members.len() == 1 => {
            let named = members
                .iter()
                .map(|(name, inner)| (name, inner_label(inner)));
            named
                .map(|(name, inner)| {
                    if inner.is_empty() {
                        name.clone()
                    } else {
                        format!("{name}({inner})")
                    }
                })
                .collect()
        }
        Value::Object(_) => format!("{{{}}}", inner_label(value)),
        other => other.to_string(),
    }
}

/// The text between the brackets; a sole temperature has no name.
fn inner_label(value: &Value) -> String {
    let Value::Object(members) = value else {
        return value_label(value);
    };
    if let (1, Some(temperature)) = (members.len(), members.get("temperature")) {
        return value_label(temperature);
    }
    members
        .iter()
        .map(|(name, member)| format!("{name}={}", value_label(member)))
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_read_as_people_write_them() {
        let labels = [
            (json!("uniform"), "uniform"),
            (json!(3), "3"),
            (json!(1.0), "1"),
            (json!(5e-4), "0.0005"),
            (json!(false), "false"),
            (json!([3, 4]), "[3,4]"),
            (json!({ "exp": { "temperature": 0.4 } }), "exp(0.4)"),
            (json!({ "self": { "best_of": 8 } }), "self(best_of=8)"),
            (json!({ "model": "strong" }), "model(strong)"),
            (json!({ "word-problems": {} }), "word-problems"),
            (
                json!({ "word-problems": { "steps": [3, 4], "most": 20 } }),
                "word-problems(steps=[3,4],most=20)",
            ),
            (
                json!({ "retry": "neutral", "stop_on_success": false }),
                "{retry=neutral,stop_on_success=false}",
            ),
        ];
        for (value, expected) in labels {
            assert_eq!(value_label(&value), expected);
        }
    }
}
