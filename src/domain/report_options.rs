//! The `[report]` table of an experiment file; every setting is optional.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::value_label;

/// Value labels by axis path, such as `base` to `weak`.
pub type AxisLabels = BTreeMap<String, String>;

/// A group of conditions that share a table; its p values are corrected together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableGroup {
    /// The title of the table; by default the values in `selector`.
    pub title: String,
    /// A condition belongs to the group if it has all of these values.
    #[serde(rename = "where", deserialize_with = "labels")]
    pub selector: AxisLabels,
}

impl TableGroup {
    /// The title, or the values that the conditions share.
    #[must_use]
    pub fn title_or_values(&self) -> String {
        if !self.title.is_empty() {
            return self.title.clone();
        }
        if self.selector.is_empty() {
            return "All runs".to_owned();
        }
        let values = self.selector.iter();
        let values = values.map(|(path, label)| format!("{path} = {label}"));
        values.collect::<Vec<_>>().join(", ")
    }
}

/// The `[report]` table of an experiment file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportOptions {
    /// Groups with a main table; by default one per regime.
    pub headline: Vec<TableGroup>,
    /// The values that others are compared with; by default the most common value of each axis.
    #[serde(deserialize_with = "labels")]
    pub baseline: AxisLabels,
    /// Axes that define a regime; by default those that change the base model or the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regimes: Option<Vec<String>>,
}

/// Reads values of any type as their labels.
///
/// # Errors
/// If the input is not a table.
pub fn labels<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<AxisLabels, D::Error> {
    let values = Map::<String, Value>::deserialize(deserializer)?.into_iter();
    Ok(values
        .map(|(path, value)| (path, value_label(&value)))
        .collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_is_optional_and_numbers_become_labels() {
        let empty: ReportOptions = serde_json::from_value(json!({})).unwrap();
        assert_eq!(empty, ReportOptions::default());
        let options: ReportOptions = serde_json::from_value(json!({
            "headline": [{ "title": "Weak", "where": { "base": "weak", "rounds.count": 2 } }],
            "baseline": { "collect.stop_on_success": true },
        }))
        .unwrap();
        assert_eq!(options.headline[0].selector["rounds.count"], "2");
        assert_eq!(options.baseline["collect.stop_on_success"], "true");
    }

    #[test]
    fn a_group_without_a_title_is_called_by_its_values() {
        let mut group = TableGroup::default();
        assert_eq!(group.title_or_values(), "All runs");
        group.selector.insert("base".to_owned(), "weak".to_owned());
        assert_eq!(group.title_or_values(), "base = weak");
    }
}
