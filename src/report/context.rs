//! Everything a page needs, as one value that can be written as JSON and read back.
//!
//! Holds no times, hosts or worker counts: the same database content gives the same bytes.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use crate::store::Status;

use super::dialogues::{self, DialogueExcerpt};
use super::figures::{self, Figure};
use super::findings::{HeadlineAnswer, ReportFinding, headline_answers, report_findings};
use super::format::round_to_nine_decimals;
use super::metric_columns::MetricColumns;
use super::provenance::{ReportProvenance, collect_provenance};
use super::tables::{self, ReportTable};
use super::{Analysis, ReportData, ReportError};

/// Raised when the meaning of a field changes.
const CONTEXT_VERSION: u32 = 1;

/// All of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportContext {
    /// Version of this form.
    pub version: u32,
    /// The experiment's name.
    pub experiment: String,
    /// The question it asks.
    pub question: String,
    /// The runs behind it.
    pub summary: ReportSummary,
    /// The names of the main metrics.
    #[serde(rename = "measures")]
    pub metric_columns: MetricColumns,
    /// The headline of each group.
    pub answers: Vec<HeadlineAnswer>,
    /// Every table.
    pub tables: Vec<ReportTable>,
    /// Every figure.
    pub figures: Vec<Figure>,
    /// Where RISE wins and where it does not.
    pub findings: Vec<ReportFinding>,
    /// Real dialogues.
    pub dialogues: Vec<DialogueExcerpt>,
    /// Where the numbers come from.
    pub provenance: ReportProvenance,
}

/// The conditions, runs and problems of an experiment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportSummary {
    /// Conditions, seeds not counted.
    #[serde(rename = "cells")]
    pub conditions: usize,
    /// Runs: conditions times seeds.
    pub runs: usize,
    /// Finished runs.
    pub done: usize,
    /// Runs that ended with an error.
    pub failed: usize,
    /// Runs that have not ended yet.
    pub missing: usize,
    /// The training seeds.
    pub seeds: Vec<u64>,
    /// Different problems with scores.
    pub problems: usize,
    /// The axes and their values, in order of first appearance.
    pub axes: Vec<(String, Vec<String>)>,
}

impl ReportContext {
    /// The context of an experiment, its numbers rounded to nine decimals.
    ///
    /// # Panics
    /// Never: a context is plain data.
    #[must_use]
    pub fn from_data(data: &ReportData) -> Self {
        let analysis = Analysis::new(data);
        let context = Self {
            version: CONTEXT_VERSION,
            experiment: data.name.clone(),
            question: data.question.clone(),
            summary: report_summary(&analysis),
            metric_columns: analysis.metric_columns.clone(),
            answers: headline_answers(&analysis),
            tables: tables::build_tables(&analysis),
            figures: figures::build_figures(&analysis),
            findings: report_findings(&analysis),
            dialogues: dialogues::choose_dialogues(&analysis),
            provenance: collect_provenance(data),
        };
        serde_json::from_value(context.to_value()).expect("a context is what it was written from")
    }

    /// The context as a JSON value, numbers rounded to nine decimals.
    fn to_value(&self) -> Value {
        round_numbers(serde_json::to_value(self).expect("a context is plain data"))
    }

    /// The context as one line of JSON.
    ///
    /// # Panics
    /// Never: a context is plain data.
    #[must_use]
    pub fn to_json(&self) -> String {
        format!("{}\n", self.to_value())
    }

    /// Reads a `context.json`.
    ///
    /// # Errors
    /// If the file cannot be read, is no context, or is one of another version.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        Self::parse(path).map_err(|problem| ReportError::InvalidContext {
            path: path.to_owned(),
            problem: problem.to_string(),
        })
    }

    fn parse(path: &Path) -> Result<Self, Box<dyn Error>> {
        let value: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
        let version = value["version"].as_u64();
        if let Some(version) = version.filter(|&found| found != u64::from(CONTEXT_VERSION)) {
            return Err(format!(
                "it has version {version}, and this program reads version {CONTEXT_VERSION}"
            )
            .into());
        }
        Ok(serde_json::from_value(value)?)
    }
}

fn report_summary(analysis: &Analysis<'_>) -> ReportSummary {
    let runs = &analysis.data.runs;
    let [done, failed] = [Status::Done, Status::Failed]
        .map(|status| runs.iter().filter(|run| run.status == status).count());
    let seeds: BTreeSet<u64> = runs.iter().map(|run| run.seed).collect();
    ReportSummary {
        conditions: analysis.conditions().count(),
        runs: runs.len(),
        done,
        failed,
        missing: runs.len() - done - failed,
        seeds: seeds.into_iter().collect(),
        problems: analysis.data.problems.len(),
        axes: axis_values(analysis),
    }
}

fn axis_values(analysis: &Analysis<'_>) -> Vec<(String, Vec<String>)> {
    let axes = analysis.axes.iter().map(|path| {
        let mut values: Vec<String> = Vec::new();
        for value in analysis
            .conditions()
            .filter_map(|id| analysis.axis_value(id, path))
        {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        (path.clone(), values)
    });
    axes.collect()
}

/// The value with its numbers rounded to nine decimals.
#[must_use]
pub fn round_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let number = round_to_nine_decimals(number.as_f64().unwrap_or_default());
            Number::from_f64(number).map_or(Value::Null, Value::Number)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(round_numbers).collect()),
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, member)| (name, round_numbers(member)))
                .collect(),
        ),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn the_same_content_gives_the_same_bytes_whatever_the_way_there() {
        let data = fixtures::sample_data();
        let mut other = data.clone();
        other.stages.reverse();
        for stage in &mut other.stages {
            stage.seconds = Some(99.0);
            stage.attempts = 7;
            stage.peak_bytes = Some(5 << 30);
        }
        assert_eq!(
            ReportContext::from_data(&data).to_json(),
            ReportContext::from_data(&other).to_json()
        );
    }

    #[test]
    fn a_context_survives_its_file() {
        let context = ReportContext::from_data(&fixtures::sample_data());
        let json = context.to_json();
        let back: ReportContext = serde_json::from_str(&json).unwrap();
        assert_eq!(back.to_json(), json);
        assert_eq!(back.summary, context.summary);
    }

    #[test]
    fn a_file_that_is_no_context_is_refused_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("context.json");
        let refused = |text: &str| {
            fs::write(&path, text).unwrap();
            ReportContext::read(&path).unwrap_err().to_string()
        };
        assert!(refused("{").contains("EOF"));
        assert!(refused("{\"version\":7}").contains("it has version 7"));
        assert!(refused("{\"version\":1}").contains("missing field"));
        assert!(refused("[]").contains("context.json"));
    }

    #[test]
    fn numbers_are_rounded_and_never_minus_zero() {
        let value = round_numbers(serde_json::json!([0.1 + 0.2, -1e-12, 3]));
        assert_eq!(value.to_string(), "[0.3,0.0,3]");
    }
}
