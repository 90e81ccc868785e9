//! The files of a finished stage as rows for the store.

use crate::data::GraderConfig;
use crate::domain::{Episode, Point, Problem};
use crate::store::{ArtifactRow, Regraded, ScoreRow, StageResults};

use super::files::{self, EPISODES, POINTS, PROBLEMS, SCORES};
use super::regrade::{Scoring, problems_by_id, regrade};
use super::{Job, Manifest, Stage, StageError, Workspace};

/// Reads what a finished stage has to say to the store.
///
/// # Errors
/// If a file is missing or is not what its manifest says.
pub fn results(
    stage: &Stage,
    workspace: &Workspace,
    manifest: &Manifest,
) -> Result<StageResults, StageError> {
    workspace.verify(manifest)?;
    let holds = |name: &str| {
        manifest
            .artifacts
            .iter()
            .any(|artifact| artifact.name == name)
    };
    let path = |name: &str| workspace.file(&stage.key, name);
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
    if let Job::Prepare { split, .. } = stage.job {
        let problems = files::read::<Problem>(&path(PROBLEMS))?;
        results.problems = problems
            .into_iter()
            .map(|problem| (split, problem))
            .collect();
    }
    if holds(EPISODES) {
        results.episodes = files::read::<Episode>(&path(EPISODES))?;
        if let Some((problems, task, grader)) = stage.job.grading() {
            results.grader = Some(grader.identity());
            let graders: Vec<&GraderConfig> = task
                .graders()
                .iter()
                .filter(|further| *further != grader)
                .collect();
            // Where the problems' folder was removed after the stage was done, its texts can be
            // graded from the database later.
            let problems =
                files::read::<Problem>(&workspace.file(problems, PROBLEMS)).unwrap_or_default();
            results.beside = beside(stage, &graders, &problems, &mut results.episodes);
        }
    }
    if holds(POINTS) {
        results.points = files::read::<Point>(&path(POINTS))?;
    }
    if holds(SCORES) {
        results.grader = stage.job.grading().map(|(_, _, grader)| grader.identity());
        results.scores = files::read::<ScoreRow>(&path(SCORES))?;
    }
    Ok(results)
}

/// What further graders make of a stage's texts; none without the texts' problems.
fn beside(
    stage: &Stage,
    graders: &[&GraderConfig],
    problems: &[Problem],
    episodes: &mut [Episode],
) -> Vec<Regraded> {
    let problems = problems_by_id(problems);
    let scoring = Scoring::of_job(&stage.job);
    graders
        .iter()
        .filter_map(|grader| regrade(grader, &problems, episodes, scoring))
        .collect()
}
