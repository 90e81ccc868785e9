//! The files of a finished stage as rows for the store.

use crate::data::GraderConfig;
use crate::domain::{Episode, MetricPoint, Problem};
use crate::store::{ArtifactRow, RegradeResults, ScoreRow, StageResults};

use super::regrade::{EvalScorer, problems_by_id, regrade};
use super::stage_files::{self, EPISODES, POINTS, PROBLEMS, SCORES};
use super::{StageError, StageManifest, StageNode, StageSpec, Workspace};

/// Reads what a finished stage has to say to the store.
///
/// # Errors
/// If a file is missing or is not what its manifest says.
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
    if let StageSpec::Prepare { split, .. } = stage.spec {
        let problems = stage_files::read_jsonl::<Problem>(&path(PROBLEMS))?;
        results.problems = problems
            .into_iter()
            .map(|problem| (split, problem))
            .collect();
    }
    if holds(EPISODES) {
        results.episodes = stage_files::read_jsonl::<Episode>(&path(EPISODES))?;
        if let Some((problems, task, grader)) = stage.spec.grading() {
            results.grader = Some(grader.identity());
            let graders: Vec<&GraderConfig> = task
                .graders()
                .iter()
                .filter(|further| *further != grader)
                .collect();
            // Where the problems' folder was removed after the stage was done, its texts can be
            // graded from the database later.
            let problems =
                stage_files::read_jsonl::<Problem>(&workspace.stage_file(problems, PROBLEMS))
                    .unwrap_or_default();
            results.regrades =
                regrade_with_further_graders(stage, &graders, &problems, &mut results.episodes);
        }
    }
    if holds(POINTS) {
        results.points = stage_files::read_jsonl::<MetricPoint>(&path(POINTS))?;
    }
    if holds(SCORES) {
        results.grader = stage.spec.grading().map(|(_, _, grader)| grader.identity());
        results.scores = stage_files::read_jsonl::<ScoreRow>(&path(SCORES))?;
    }
    Ok(results)
}

/// What further graders make of a stage's texts; none without the texts' problems.
fn regrade_with_further_graders(
    stage: &StageNode,
    graders: &[&GraderConfig],
    problems: &[Problem],
    episodes: &mut [Episode],
) -> Vec<RegradeResults> {
    let problems = problems_by_id(problems);
    let scoring = EvalScorer::for_stage(&stage.spec);
    graders
        .iter()
        .filter_map(|grader| regrade(grader, &problems, episodes, scoring))
        .collect()
}
