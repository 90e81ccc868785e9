//! How a claim is written in TOML: its table, the parts that may be left out, a right side that is a number, a
//! quantity or a list of such, and what is wrong with a table in itself.
//!
//! Hides the reading by hand that keeps the places of faults. Must not know what is in the store.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::config::{AxisLabels, Diagnostic, TomlFile, labels};
use crate::stats::EffectDirection;

use super::claim::MeasuredQuantity;
use super::groups;

/// A claim's table in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimTable {
    pub id: String,
    pub row: String,
    pub statement: String,
    pub source: String,
    #[serde(default)]
    pub population: String,
    pub experiment: String,
    pub left: PartialQuantity,
    pub right: ComparatorTables,
    #[serde(default)]
    pub direction: EffectDirection,
    #[serde(default)]
    pub margin: f64,
    #[serde(default)]
    pub worth: Option<f64>,
    #[serde(default)]
    pub per: Vec<String>,
}

impl ClaimTable {
    /// What is wrong with a claim in itself.
    pub fn validate(&self, written: &TomlFile) -> Vec<Diagnostic> {
        let mut faults = Vec::new();
        let names = groups::group_names();
        if !names.contains(&self.row.as_str()) {
            let complaint = format!("there is no row `{}`", self.row);
            faults.push(written.unknown_value(&["row"], complaint, &self.row, &names));
        }
        if self.id.is_empty() {
            faults.push(written.diagnostic(&["id"], "a claim needs a name"));
        }
        if self.left.metric.is_none() {
            faults.push(
                written
                    .diagnostic(&["left"], "`metric` is required here")
                    .with_hint("write metric = \"m1@t5\" or another."),
            );
        }
        if matches!(&self.right, ComparatorTables::Each(all) if all.is_empty()) {
            faults.push(
                written.diagnostic(&["right"], "an empty list leaves nothing to compare with"),
            );
        }
        if !self.margin.is_finite() {
            faults.push(written.diagnostic(&["margin"], "the margin is not a number"));
        }
        if self
            .worth
            .is_some_and(|worth| !(worth.is_finite() && worth > 0.0))
        {
            faults.push(written.diagnostic(
                &["worth"],
                "the smallest effect of interest is a number above 0",
            ));
        }
        faults
    }
}

/// A quantity of which parts may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PartialQuantity {
    #[serde(rename = "where", deserialize_with = "some_labels")]
    pub selector: Option<AxisLabels>,
    pub checkpoint: Option<String>,
    pub metric: Option<String>,
    #[serde(rename = "over")]
    pub subtracted_metric: Option<String>,
}

fn some_labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<AxisLabels>, D::Error> {
    labels(deserializer).map(Some)
}

impl PartialQuantity {
    /// What is left out is as on the other side; a metric that is given stands alone.
    pub fn fill_from(self, other: &MeasuredQuantity) -> MeasuredQuantity {
        let over = if self.metric.is_some() {
            None
        } else {
            other.subtracted_metric.clone()
        };
        MeasuredQuantity {
            subtracted_metric: self.subtracted_metric.or(over),
            selector: self.selector.unwrap_or_else(|| other.selector.clone()),
            checkpoint: self.checkpoint.unwrap_or_else(|| other.checkpoint.clone()),
            metric: self.metric.unwrap_or_else(|| other.metric.clone()),
        }
    }
}

/// The right side: a number, a quantity, or a list of such.
#[derive(Debug)]
pub(super) enum ComparatorTables {
    One(OperandTable),
    Each(Vec<OperandTable>),
}

#[derive(Debug)]
pub(super) enum OperandTable {
    Number(f64),
    Measured(PartialQuantity),
}

impl<'de> Deserialize<'de> for ComparatorTables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ComparatorVisitor)
    }
}

impl<'de> Deserialize<'de> for OperandTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OperandVisitor)
    }
}

/// Reads a number or a quantity; by hand, so that faults keep their places.
struct OperandVisitor;

impl<'de> Visitor<'de> for OperandVisitor {
    type Value = OperandTable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or { where = ..., checkpoint = ..., metric = ... }")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<OperandTable, E> {
        Ok(OperandTable::Number(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<OperandTable, E> {
        Ok(OperandTable::Number(number))
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<OperandTable, M::Error> {
        PartialQuantity::deserialize(MapAccessDeserializer::new(map)).map(OperandTable::Measured)
    }
}

struct ComparatorVisitor;

impl<'de> Visitor<'de> for ComparatorVisitor {
    type Value = ComparatorTables;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, { where = ..., checkpoint = ..., metric = ... }, or a list of such")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<ComparatorTables, E> {
        OperandVisitor.visit_i64(number).map(ComparatorTables::One)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<ComparatorTables, E> {
        OperandVisitor.visit_f64(number).map(ComparatorTables::One)
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<ComparatorTables, M::Error> {
        OperandVisitor.visit_map(map).map(ComparatorTables::One)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, items: S) -> Result<ComparatorTables, S::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(items)).map(ComparatorTables::Each)
    }
}
