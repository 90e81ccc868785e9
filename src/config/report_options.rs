//! What an experiment file asks of its report; checked in form only, and handed on.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::value_label;

/// Values of axes, by axis name; each as the short label under which cells carry it.
pub type AxisLabels = std::collections::BTreeMap<String, String>;

/// A group of cells that a table shows together and whose comparisons are corrected together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableGroup {
    /// Heading of the table or row.
    pub title: String,
    /// The cells that have these values.
    #[serde(rename = "where", deserialize_with = "labels")]
    pub cells: AxisLabels,
}

/// The `[report]` part of an experiment file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportOptions {
    /// The rows of the main table; all cells where none are named.
    pub headline: Vec<TableGroup>,
    /// The cell that others are compared with; the `[run]` table where none is named.
    #[serde(deserialize_with = "labels")]
    pub baseline: AxisLabels,
    /// Axes whose values are told apart throughout, never averaged over; the report knows a default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regimes: Option<Vec<String>>,
}

/// Reads values of any type as their labels.
///
/// # Errors
/// If it is not a table.
pub fn labels<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<AxisLabels, D::Error> {
    let values = Map::<String, Value>::deserialize(deserializer)?;
    Ok(values
        .into_iter()
        .map(|(name, value)| (name, value_label(&value)))
        .collect())
}
