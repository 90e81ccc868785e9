//! The runs, stages, programs and versions behind the numbers, without times, hosts and workers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::store::Status;

use super::{GraderVersion, ReportData};

/// The fields of a stage's origin on the page; others name hosts or depend on chance.
const ORIGIN_FIELDS: [&str; 4] = ["backend", "instruction_set", "program", "shipped"];

/// The origin of the numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportProvenance {
    /// Stages that the runs need, summed over runs.
    #[serde(rename = "asked")]
    pub requested_stages: u64,
    /// Different stages among them, each executed once.
    #[serde(rename = "distinct")]
    pub distinct_stages: u64,
    /// Finished stages by kind.
    #[serde(rename = "kinds")]
    pub stages_by_kind: BTreeMap<String, u64>,
    /// Different origins of finished stages as `name: value` lists.
    pub origins: Vec<Vec<(String, String)>>,
    /// The graders behind the scores.
    pub graders: Vec<GraderVersion>,
    /// Metrics that occur here: name, version, meaning.
    pub metrics: Vec<MetricMeaning>,
    /// Every run.
    pub runs: Vec<RunSummary>,
}

/// A metric with its meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricMeaning {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// One sentence.
    pub meaning: String,
}

/// One run in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Readable name.
    pub label: String,
    /// First digits of its key.
    pub key: String,
    /// `done`, `failed` or `missing`.
    pub state: String,
    /// Evaluated checkpoints.
    pub checkpoints: usize,
    /// Why it failed.
    pub error: Option<String>,
}

/// Gathers the provenance of a report.
#[must_use]
pub fn collect_provenance(data: &ReportData) -> ReportProvenance {
    let mut stages_by_kind: BTreeMap<String, u64> = BTreeMap::new();
    let mut origins = BTreeSet::new();
    for stage in &data.stages {
        if stage.status == Status::Done {
            *stages_by_kind.entry(stage.kind.clone()).or_default() += 1;
            origins.insert(reportable_origin(&stage.origin));
        }
    }
    origins.remove(&Vec::new());
    ReportProvenance {
        requested_stages: data.stage_counts.requested,
        distinct_stages: data.stage_counts.distinct,
        stages_by_kind,
        origins: origins.into_iter().collect(),
        graders: data.graders.iter().cloned().collect(),
        metrics: metric_meanings(data),
        runs: data.runs.iter().map(run_summary).collect(),
    }
}

/// The metrics with scores, at their newest version.
fn metric_meanings(data: &ReportData) -> Vec<MetricMeaning> {
    let used: BTreeSet<&str> = data
        .scores
        .values()
        .flat_map(|scores| scores.keys().map(|name| &**name))
        .collect();
    let metrics = data
        .metrics
        .iter()
        .filter(|metric| used.contains(metric.name.as_str()));
    // The newest version of a name is the one that scores are read under.
    let newest: BTreeMap<&str, MetricMeaning> = metrics
        .map(|metric| {
            let meaning = MetricMeaning {
                name: metric.name.clone(),
                version: metric.version,
                meaning: metric.meaning.clone(),
            };
            (metric.name.as_str(), meaning)
        })
        .collect();
    newest.into_values().collect()
}

fn reportable_origin(value: &Value) -> Vec<(String, String)> {
    let fields = ORIGIN_FIELDS.iter().filter_map(|&name| {
        let value = value.get(name)?;
        let text = value.as_str().map(str::to_owned);
        Some((name.to_owned(), text.unwrap_or_else(|| value.to_string())))
    });
    fields.collect()
}

fn run_summary(run: &super::ReportRun) -> RunSummary {
    RunSummary {
        label: run.label.clone(),
        key: run.key.short().to_owned(),
        state: run_state(run.status).to_owned(),
        checkpoints: run.checkpoints.len(),
        error: run.error.clone().filter(|_| run.status == Status::Failed),
    }
}

/// The state of a run in a report; a run that is neither done nor failed is missing.
#[must_use]
pub const fn run_state(status: Status) -> &'static str {
    match status {
        Status::Done => "done",
        Status::Failed => "failed",
        Status::Queued | Status::Running | Status::Interrupted => "missing",
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn hosts_and_durations_stay_out() {
        let data = fixtures::sample_data();
        let provenance = collect_provenance(&data);
        let expected: [&[(&str, &str)]; 1] = [&[
            ("backend", "flex"),
            ("instruction_set", "avx2"),
            ("program", "0.1.0"),
        ]];
        let origins: Vec<Vec<(&str, &str)>> = provenance
            .origins
            .iter()
            .map(|origin| {
                origin
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect()
            })
            .collect();
        assert_eq!(origins, expected);
        assert!(
            !serde_json::to_string(&provenance)
                .unwrap()
                .contains("laptop")
        );
    }

    #[test]
    fn a_failed_run_keeps_its_error() {
        let mut data = fixtures::sample_data();
        data.runs[0].status = Status::Failed;
        data.runs[0].error = Some("no space left".to_owned());
        data.runs[1].status = Status::Interrupted;
        let runs = collect_provenance(&data).runs;
        assert_eq!(
            (runs[0].state.as_str(), runs[0].error.as_deref()),
            ("failed", Some("no space left"))
        );
        assert_eq!(runs[1].state, "missing");
    }
}
