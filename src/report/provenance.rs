//! Where the numbers come from: runs, stages, programs, versions. Leaves out whatever depends on when,
//! where or by how many workers the work was done.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::store::Status;

use super::ReportData;

/// The fields of a stage's origin that can be shown; others name hosts or depend on chance.
const ORIGIN_FIELDS: [&str; 4] = ["backend", "instruction_set", "program", "shipped"];

/// Where the numbers come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportProvenance {
    /// Stages asked for, summed over runs.
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
    /// Name and version of the graders behind the scores.
    pub graders: Vec<(String, u64)>,
    /// Metrics that occur here: name, version, meaning.
    pub metrics: Vec<MetricMeaning>,
    /// Every run.
    pub runs: Vec<RunSummary>,
}

/// A metric and what it means.
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

/// Gathers the provenance of a frame.
#[must_use]
pub fn collect_provenance(frame: &ReportData) -> ReportProvenance {
    let done = || {
        frame
            .stages
            .iter()
            .filter(|stage| stage.status == Status::Done)
    };
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    done().for_each(|stage| *kinds.entry(stage.kind.clone()).or_default() += 1);
    let origins: BTreeSet<Vec<(String, String)>> = done()
        .map(|stage| reportable_origin(&stage.origin))
        .filter(|origin| !origin.is_empty())
        .collect();
    let used: BTreeSet<&str> = frame
        .scores
        .values()
        .flat_map(|scores| scores.keys().map(String::as_str))
        .collect();
    // The newest version of a name is the one that scores are read under.
    let newest: BTreeMap<&str, MetricMeaning> = frame
        .metrics
        .iter()
        .filter(|metric| used.contains(metric.name.as_str()))
        .map(|metric| {
            let (name, version, meaning) =
                (metric.name.clone(), metric.version, metric.meaning.clone());
            (
                metric.name.as_str(),
                MetricMeaning {
                    name,
                    version,
                    meaning,
                },
            )
        })
        .collect();
    ReportProvenance {
        requested_stages: frame.stage_counts.0,
        distinct_stages: frame.stage_counts.1,
        stages_by_kind: kinds,
        origins: origins.into_iter().collect(),
        graders: frame.graders.iter().cloned().collect(),
        metrics: newest.into_values().collect(),
        runs: frame.runs.iter().map(run_summary).collect(),
    }
}

fn reportable_origin(value: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    ORIGIN_FIELDS
        .iter()
        .filter_map(|&name| Some((name.to_owned(), text(value.get(name)?))))
        .collect()
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

/// A run's state as a report sees it: whatever is neither done nor failed is missing.
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
        let frame = fixtures::sample_data();
        let provenance = collect_provenance(&frame);
        let expected: [&[(&str, &str)]; 1] = [&[
            ("backend", "flex"),
            ("instruction_set", "avx2"),
            ("program", "0.1.0"),
        ]];
        let shown: Vec<Vec<(&str, &str)>> = provenance
            .origins
            .iter()
            .map(|origin| {
                origin
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect()
            })
            .collect();
        assert_eq!(shown, expected);
        assert!(
            !serde_json::to_string(&provenance)
                .unwrap()
                .contains("laptop")
        );
    }

    #[test]
    fn a_failed_run_keeps_its_error() {
        let mut frame = fixtures::sample_data();
        frame.runs[0].status = Status::Failed;
        frame.runs[0].error = Some("no space left".to_owned());
        frame.runs[1].status = Status::Interrupted;
        let runs = collect_provenance(&frame).runs;
        assert_eq!(
            (runs[0].state.as_str(), runs[0].error.as_deref()),
            ("failed", Some("no space left"))
        );
        assert_eq!(runs[1].state, "missing");
    }
}
