//! Everything a page needs, as one value that can be written as JSON and read back.
//!
//! Holds no times, hosts or worker counts: the same database content gives the same bytes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use crate::store::Status;

use super::dialogues::{self, Shown};
use super::figures::{self, Figure};
use super::findings::{Answer, Finding, answers, findings};
use super::format::nine_decimals;
use super::measures::Measures;
use super::provenance::{Provenance, provenance};
use super::tables::{self, Table};
use super::{Frame, Study};

/// Raised when the meaning of a field changes.
const VERSION: u32 = 1;

/// All of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// Version of this form.
    pub version: u32,
    /// The experiment's name.
    pub experiment: String,
    /// The question it asks.
    pub question: String,
    /// What was run.
    pub summary: Summary,
    /// The names of the main metrics.
    pub measures: Measures,
    /// The headline of each group.
    pub answers: Vec<Answer>,
    /// Every table.
    pub tables: Vec<Table>,
    /// Every figure.
    pub figures: Vec<Figure>,
    /// Where RISE wins and where it does not.
    pub findings: Vec<Finding>,
    /// Real dialogues.
    pub dialogues: Vec<Shown>,
    /// Where the numbers come from.
    pub provenance: Provenance,
}

/// What was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Settings, seeds not counted.
    pub cells: usize,
    /// Runs: settings times seeds.
    pub runs: usize,
    /// Finished runs.
    pub done: usize,
    /// Runs that ended with an error.
    pub failed: usize,
    /// Runs that are not there yet.
    pub missing: usize,
    /// The training seeds.
    pub seeds: Vec<u64>,
    /// Different problems with scores.
    pub problems: usize,
    /// The axes and their values, in order of first appearance.
    pub axes: Vec<(String, Vec<String>)>,
}

impl Context {
    /// The context of a frame, its numbers rounded to nine decimals.
    ///
    /// # Panics
    /// Never: a context is plain data.
    #[must_use]
    pub fn of(frame: &Frame) -> Self {
        let study = Study::of(frame);
        let context = Self {
            version: VERSION,
            experiment: frame.name.clone(),
            question: frame.question.clone(),
            summary: summary(&study),
            measures: study.measures.clone(),
            answers: answers(&study),
            tables: tables::all(&study),
            figures: figures::all(&study),
            findings: findings(&study),
            dialogues: dialogues::choose(&study),
            provenance: provenance(frame),
        };
        serde_json::from_value(context.value()).expect("a context is what it was written from")
    }

    /// The context as a JSON value, numbers rounded to nine decimals.
    fn value(&self) -> Value {
        rounded(serde_json::to_value(self).expect("a context is plain data"))
    }

    /// The context as pretty JSON.
    ///
    /// # Panics
    /// Never: a context is plain data.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(&self.value()).expect("plain data is valid JSON");
        text.push('\n');
        text
    }
}

fn summary(study: &Study<'_>) -> Summary {
    let runs = &study.frame.runs;
    let with = |status: Status| runs.iter().filter(|run| run.status == status).count();
    let (done, failed) = (with(Status::Done), with(Status::Failed));
    let seeds: BTreeSet<u64> = runs.iter().map(|run| run.seed).collect();
    let values = |path: &String| {
        let mut values: Vec<String> = Vec::new();
        for value in (0..study.settings.len()).filter_map(|at| study.value(at, path)) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        (path.clone(), values)
    };
    Summary {
        cells: study.settings.len(),
        runs: runs.len(),
        done,
        failed,
        missing: runs.len() - done - failed,
        seeds: seeds.into_iter().collect(),
        problems: study.frame.problems.len(),
        axes: study.axes.iter().map(values).collect(),
    }
}

/// The value with its numbers rounded to nine decimals.
#[must_use]
pub fn rounded(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let number = nine_decimals(number.as_f64().unwrap_or_default());
            Number::from_f64(number).map_or(Value::Null, Value::Number)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(rounded).collect()),
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, member)| (name, rounded(member)))
                .collect(),
        ),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_same_content_gives_the_same_bytes_whatever_the_way_there() {
        let frame = sample::frame();
        let mut other = frame.clone();
        other.stages.reverse();
        for stage in &mut other.stages {
            stage.seconds = Some(99.0);
            stage.attempts = 7;
            stage.peak_bytes = Some(5 << 30);
        }
        assert_eq!(Context::of(&frame).json(), Context::of(&other).json());
    }

    #[test]
    fn a_context_survives_its_file() {
        let context = Context::of(&sample::frame());
        let json = context.json();
        let back: Context = serde_json::from_str(&json).unwrap();
        assert_eq!(back.json(), json);
        assert_eq!(back.summary, context.summary);
    }

    #[test]
    fn numbers_are_rounded_and_never_minus_zero() {
        let value = rounded(serde_json::json!([0.1 + 0.2, -1e-12, 3]));
        assert_eq!(value.to_string(), "[0.3,0.0,3]");
    }
}
