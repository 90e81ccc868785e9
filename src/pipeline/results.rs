//! The files of a finished stage as rows for the store.

use crate::data::GRADER;
use crate::domain::{Episode, Point, Problem};
use crate::store::{ArtifactRow, ScoreRow, StageResults};

use super::files::{self, EPISODES, POINTS, PROBLEMS, SCORES};
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
    let holds = |name: &str| manifest.artifacts.iter().any(|artifact| artifact.name == name);
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
        results.problems = problems.into_iter().map(|problem| (split, problem)).collect();
    }
    if holds(EPISODES) {
        results.episodes = files::read::<Episode>(&path(EPISODES))?;
    }
    if holds(EPISODES) || holds(SCORES) {
        results.grader = Some((GRADER.0.to_owned(), GRADER.1));
    }
    if holds(POINTS) {
        results.points = files::read::<Point>(&path(POINTS))?;
    }
    if holds(SCORES) {
        results.scores = files::read::<ScoreRow>(&path(SCORES))?;
    }
    Ok(results)
}
