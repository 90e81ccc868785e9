//! How a claim is written in TOML: its table, the parts that may be left out, a right side that is a number, a
//! quantity or a list of such, and what is wrong with a table in itself.
//!
//! Hides the reading by hand that keeps the places of faults. Must not know what is in the store.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::spec::{Fault, Labels, Located, labels};
use crate::stats::Direction;

use super::claim::Quantity;
use super::matrix;

/// A claim's table in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    pub id: String,
    pub row: String,
    pub statement: String,
    pub source: String,
    #[serde(default)]
    pub population: String,
    pub experiment: String,
    pub left: Measured,
    pub right: Against,
    #[serde(default)]
    pub direction: Direction,
    #[serde(default)]
    pub margin: f64,
    #[serde(default)]
    pub worth: Option<f64>,
    #[serde(default)]
    pub per: Vec<String>,
}

impl Form {
    /// What is wrong with a claim in itself.
    pub fn faults(&self, written: &Located) -> Vec<Fault> {
        let mut faults = Vec::new();
        let names = matrix::names();
        if !names.contains(&self.row.as_str()) {
            let complaint = format!("there is no row `{}`", self.row);
            faults.push(written.unknown(&["row"], complaint, &self.row, &names));
        }
        if self.id.is_empty() {
            faults.push(written.fault(&["id"], "a claim needs a name"));
        }
        if self.left.metric.is_none() {
            faults.push(
                written
                    .fault(&["left"], "`metric` is required here")
                    .hint("write metric = \"m1@t5\" or another."),
            );
        }
        if matches!(&self.right, Against::Each(all) if all.is_empty()) {
            faults.push(written.fault(&["right"], "an empty list leaves nothing to compare with"));
        }
        if !self.margin.is_finite() {
            faults.push(written.fault(&["margin"], "the margin is not a number"));
        }
        if self
            .worth
            .is_some_and(|worth| !(worth.is_finite() && worth > 0.0))
        {
            faults.push(written.fault(
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
pub(super) struct Measured {
    #[serde(rename = "where", deserialize_with = "some_labels")]
    pub cells: Option<Labels>,
    pub checkpoint: Option<String>,
    pub metric: Option<String>,
    pub over: Option<String>,
}

fn some_labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Labels>, D::Error> {
    labels(deserializer).map(Some)
}

impl Measured {
    /// What is left out is as on the other side; a metric that is given stands alone.
    pub fn beside(self, other: &Quantity) -> Quantity {
        let over = if self.metric.is_some() {
            None
        } else {
            other.over.clone()
        };
        Quantity {
            over: self.over.or(over),
            cells: self.cells.unwrap_or_else(|| other.cells.clone()),
            checkpoint: self.checkpoint.unwrap_or_else(|| other.checkpoint.clone()),
            metric: self.metric.unwrap_or_else(|| other.metric.clone()),
        }
    }
}

/// The right side: a number, a quantity, or a list of such.
#[derive(Debug)]
pub(super) enum Against {
    One(One),
    Each(Vec<One>),
}

#[derive(Debug)]
pub(super) enum One {
    Number(f64),
    Measured(Measured),
}

impl<'de> Deserialize<'de> for Against {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RightSide)
    }
}

impl<'de> Deserialize<'de> for One {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneSide)
    }
}

/// Reads a number or a quantity; by hand, so that faults keep their places.
struct OneSide;

impl<'de> Visitor<'de> for OneSide {
    type Value = One;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or { where = ..., checkpoint = ..., metric = ... }")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<One, E> {
        Ok(One::Number(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<One, E> {
        Ok(One::Number(number))
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<One, M::Error> {
        Measured::deserialize(MapAccessDeserializer::new(map)).map(One::Measured)
    }
}

struct RightSide;

impl<'de> Visitor<'de> for RightSide {
    type Value = Against;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, { where = ..., checkpoint = ..., metric = ... }, or a list of such")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Against, E> {
        OneSide.visit_i64(number).map(Against::One)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Against, E> {
        OneSide.visit_f64(number).map(Against::One)
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Against, M::Error> {
        OneSide.visit_map(map).map(Against::One)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, items: S) -> Result<Against, S::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(items)).map(Against::Each)
    }
}
