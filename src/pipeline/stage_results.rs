//! The files of a finished stage as rows for the store.

use std::collections::BTreeMap;

use crate::domain::{Episode, MetricPoint, Problem};
use crate::store::{ArtifactRow, MetricRow, RegradeResults, ScoreRow, StageResults};

use super::context::StageError;
use super::regrade::{EvalScorer, problems_by_id, regrade};
use super::stage::StageGrading;
use super::stage_files::{self, EPISODES, POINTS, PROBLEMS, SCORES};
use super::stage_node::StageNode;
use super::stage_spec::StageSpec;
use super::stages::scores::metric_row;
use super::workspace::{StageManifest, Workspace};

/// Reads the results of a finished stage for the store.
///
/// # Errors
/// If a file is missing or does not match its manifest.
pub fn read_results(
    stage: &StageNode,
    workspace: &Workspace,
    manifest: &StageManifest,
) -> Result<StageResults, StageError> {
    workspace.verify(manifest)?;
    let holds = |name: &str| {
        manifest
            .artifacts
            .iter()
            .any(|artifact| artifact.name == name)
    };
    let path = |name: &str| workspace.stage_file(&stage.key, name);
    let mut results = StageResults {
        seconds: manifest.seconds,
        peak_bytes: manifest.peak_bytes,
        counts: manifest.counts.clone(),
        origin: manifest.origin.clone(),
        artifacts: manifest
            .artifacts
            .iter()
            .map(|file| ArtifactRow {
                name: file.name.clone(),
                sha256: file.sha256.clone(),
                bytes: file.bytes,
            })
            .collect(),
        ..StageResults::default()
    };
    if let StageSpec::Prepare(prepare) = &stage.spec {
        let problems = stage_files::read_jsonl::<Problem>(&path(PROBLEMS))?;
        results.problems = problems
            .into_iter()
            .map(|problem| (prepare.split, problem))
            .collect();
    }
    let grading = stage.spec.stage().grading();
    if holds(EPISODES) || holds(SCORES) {
        results.grader = grading.as_ref().map(|grading| grading.grader.identity());
    }
    if holds(EPISODES) {
        results.episodes = stage_files::read_jsonl::<Episode>(&path(EPISODES))?;
        if let Some(grading) = grading {
            let scoring = EvalScorer::for_stage(&stage.spec);
            results.regrades =
                regrade_with_further_graders(&grading, workspace, &mut results.episodes, scoring);
        }
    }
    if holds(POINTS) {
        results.points = stage_files::read_jsonl::<MetricPoint>(&path(POINTS))?;
    }
    if holds(SCORES) {
        results.scores = stage_files::read_jsonl::<ScoreRow>(&path(SCORES))?;
    }
    Ok(results)
}

/// The grades by the task's further graders; none without the texts' problems.
fn regrade_with_further_graders(
    grading: &StageGrading<'_>,
    workspace: &Workspace,
    episodes: &mut [Episode],
    scoring: Option<EvalScorer>,
) -> Vec<RegradeResults> {
    // After someone has removed the problems' folder, `rescore` can still grade from the database.
    let problems = workspace.stage_file(grading.problems, PROBLEMS);
    let problems = stage_files::read_jsonl::<Problem>(&problems).unwrap_or_default();
    let problems = problems_by_id(&problems);
    grading
        .task
        .graders()
        .iter()
        .filter(|further| **further != grading.grader)
        .filter_map(|grader| regrade(grader, &problems, episodes, scoring))
        .collect()
}

/// The meaning of the scores of these stages.
#[must_use]
pub fn stage_metrics(stages: &[StageNode]) -> Vec<MetricRow> {
    stages
        .iter()
        .flat_map(|stage| stage.spec.stage().metrics())
        .map(|metric| (metric.name.clone(), metric_row(metric)))
        .collect::<BTreeMap<_, _>>()
        .into_values()
        .collect()
}
