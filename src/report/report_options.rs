//! What an experiment file asks of its report: headline groups, baseline, regimes; all optional.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::ReportError;

/// One group of runs that gets a main table of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadlineSelector {
    /// What the group is called; by default its values.
    #[serde(default)]
    pub title: String,
    /// Axis path to value label; a run belongs to the group if all of them hold.
    #[serde(default, rename = "where", deserialize_with = "labels")]
    pub selector: BTreeMap<String, String>,
}

impl HeadlineSelector {
    /// The title, or what the group's runs have in common.
    #[must_use]
    pub fn title_or_values(&self) -> String {
        let values: Vec<String> = self
            .selector
            .iter()
            .map(|(path, label)| format!("{path} = {label}"))
            .collect();
        match (self.title.is_empty(), values.is_empty()) {
            (false, _) => self.title.clone(),
            (true, true) => "All runs".to_owned(),
            (true, false) => values.join(", "),
        }
    }
}

/// The `[report]` part of an experiment file. Fields that are not for the report's contents are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StoredReportOptions {
    /// Groups with a main table; by default one per regime.
    pub headline: Vec<HeadlineSelector>,
    /// Axis path to the value label that others are compared with; by default the most common one.
    #[serde(deserialize_with = "labels")]
    pub baseline: BTreeMap<String, String>,
    /// Axis paths that define a regime; by default the base model and the task.
    pub regimes: Option<Vec<String>>,
}

impl StoredReportOptions {
    /// Reads the wishes stored with an experiment; `null` asks for nothing.
    ///
    /// # Errors
    /// If a field has the wrong shape.
    pub fn from_json(experiment: &str, report: &Value) -> Result<Self, ReportError> {
        if report.is_null() {
            return Ok(Self::default());
        }
        serde_json::from_value(report.clone()).map_err(|error| ReportError::InvalidOptions {
            experiment: experiment.to_owned(),
            problem: error.to_string(),
        })
    }
}

/// Value labels may be written as numbers or booleans; they are compared as the text of the label.
fn labels<'de, D: serde::Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values = BTreeMap::<String, Value>::deserialize(from)?;
    let label = |value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(values
        .into_iter()
        .map(|(path, value)| (path, label(value)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_optional_and_numbers_become_labels() {
        assert_eq!(
            StoredReportOptions::from_json("x", &Value::Null).unwrap(),
            StoredReportOptions::default()
        );
        let json = serde_json::json!({
            "headline": [{ "title": "Weak", "where": { "base": "weak", "rounds.count": 2 } }],
            "baseline": { "collect.stop_on_success": true },
        });
        let wishes = StoredReportOptions::from_json("x", &json).unwrap();
        assert_eq!(wishes.headline[0].selector["rounds.count"], "2");
        assert_eq!(wishes.baseline["collect.stop_on_success"], "true");
    }

    #[test]
    fn a_group_without_a_title_is_called_by_its_values() {
        let selector = BTreeMap::from([("base".to_owned(), "weak".to_owned())]);
        assert_eq!(
            HeadlineSelector {
                title: String::new(),
                selector
            }
            .title_or_values(),
            "base = weak"
        );
        assert_eq!(HeadlineSelector::default().title_or_values(), "All runs");
    }

    #[test]
    fn a_misspelt_field_of_a_group_is_named() {
        let json = serde_json::json!({ "headline": [{ "title": "Weak", "were": {} }] });
        let message = StoredReportOptions::from_json("ablations", &json)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("ablations") && message.contains("were"),
            "{message}"
        );
    }
}
