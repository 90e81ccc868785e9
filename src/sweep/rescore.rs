//! Adds missing grades and scores to stored outputs; samples nothing and keeps existing rows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::data::{GraderConfig, TaskConfig};
use crate::domain::{Episode, Key, Problem};
use crate::pipeline::{EvalScorer, StageKind, regrade};
use crate::store::{
    GraderCoverage, InsertedCounts, RegradeResults, RunRow, StageRow, Status, Store, StoreReader,
};

use super::SweepError;

/// The grades and scores that one stage lacks.
#[derive(Clone, Debug, PartialEq)]
pub struct MissingScores {
    /// The stage.
    pub stage: Key,
    /// Its readable name.
    pub label: String,
    /// The stage's own grader, if its grades are stored and its scores are not.
    unscored_grader: Option<(String, u32)>,
    /// Graders that have not graded every text or not scored every problem.
    missing_graders: Vec<GraderConfig>,
    scorer: Option<EvalScorer>,
}

impl MissingScores {
    /// The graders with missing rows, by name and version.
    pub fn graders(&self) -> impl Iterator<Item = (String, u32)> {
        self.unscored_grader
            .iter()
            .cloned()
            .chain(self.missing_graders.iter().map(GraderConfig::identity))
    }
}

/// The stages that lack grades or scores.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RescorePlan {
    /// The number of finished stages with texts.
    pub stages: usize,
    /// The stages that lack rows, in the order in which runs need them.
    pub missing: Vec<MissingScores>,
}

/// The number of new rows of one grader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RescoreTotals {
    /// Stages with new rows.
    pub stages: u64,
    /// New grades.
    pub grades: u64,
    /// New scores.
    pub scores: u64,
    /// Stages in which the grader reads no answer at all.
    pub unread: u64,
}

impl RescoreTotals {
    fn add(&mut self, added: InsertedCounts) {
        let changed = added.grades > 0 || added.scores > 0 || added.reads_nothing;
        self.stages += u64::from(changed);
        self.grades += added.grades;
        self.scores += added.scores;
        self.unread += u64::from(added.reads_nothing);
    }
}

impl RescorePlan {
    /// The missing rows in the finished stages of some experiments: of `grader`, or else of every
    /// grader that applies to their tasks.
    ///
    /// # Errors
    /// If an experiment is unknown, or the database cannot be read.
    pub fn for_experiments(
        reader: &StoreReader,
        experiments: &[String],
        grader: Option<GraderConfig>,
    ) -> Result<Self, SweepError> {
        let (mut seen, mut plan) = (BTreeSet::new(), Self::default());
        for experiment in experiments {
            for run in reader.runs(&reader.find_experiment(experiment)?.name)? {
                let wanted = grader.map_or_else(|| applicable_graders(&run), |grader| vec![grader]);
                for stage in reader.run_stages(experiment, &run.key)? {
                    let is_new = stage.status == Status::Done
                        && has_texts(&stage)
                        && seen.insert(stage.key.clone());
                    if is_new {
                        plan.stages += 1;
                        plan.missing.extend(find_missing(
                            reader,
                            &stage,
                            &wanted,
                            grader.is_some(),
                        )?);
                    }
                }
            }
        }
        Ok(plan)
    }

    /// Adds the missing rows; `watch` receives each stage before its turn. Returns the totals by
    /// name and version of the grader.
    ///
    /// # Errors
    /// If the problem of a text is not in the database, or the database fails. Rows of earlier
    /// stages stay, and the same call resumes.
    pub fn execute(
        &self,
        store: &mut Store,
        watch: &mut dyn FnMut(usize, &MissingScores),
    ) -> Result<BTreeMap<(String, u32), RescoreTotals>, SweepError> {
        let mut totals: BTreeMap<(String, u32), RescoreTotals> = BTreeMap::new();
        for (number, missing) in self.missing.iter().enumerate() {
            watch(number, missing);
            let mut episodes = store.episodes(&missing.stage)?;
            for results in missing.regrade(store, &mut episodes)? {
                let added = store.add_regrade(&missing.stage, &episodes, &results)?;
                totals.entry(results.grader).or_default().add(added);
            }
        }
        Ok(totals)
    }
}

impl MissingScores {
    /// Grades and scores the texts of the stage with every missing grader.
    fn regrade(
        &self,
        store: &mut Store,
        episodes: &mut [Episode],
    ) -> Result<Vec<RegradeResults>, SweepError> {
        if let Some(scorer) = self.scorer {
            store.record_metrics(&scorer.metric_rows())?;
        }
        let problems = store.ancestor_problems(&self.stage)?;
        let problems: BTreeMap<&str, &Problem> = problems
            .iter()
            .map(|(id, problem)| (id.as_str(), problem))
            .collect();
        let mut results = Vec::new();
        for (grader, scorer) in self.unscored_grader.iter().zip(self.scorer) {
            results.push(RegradeResults {
                grader: grader.clone(),
                grades: Vec::new(),
                scores: scorer.score_rows(episodes),
            });
        }
        for grader in &self.missing_graders {
            let regraded = regrade(grader, &problems, episodes, self.scorer);
            results.push(regraded.ok_or_else(|| SweepError::BadResults {
                label: self.label.clone(),
                reason: "a problem of its texts is not in the database".to_owned(),
            })?);
        }
        Ok(results)
    }
}

fn has_texts(stage: &StageRow) -> bool {
    [
        StageKind::Collect,
        StageKind::Sample,
        StageKind::Improve,
        StageKind::Evaluate,
        StageKind::Unsolved,
    ]
    .iter()
    .any(|kind| kind.name() == stage.kind)
}

/// The graders that apply to a run's task; none for a task that this program does not know.
fn applicable_graders(run: &RunRow) -> Vec<GraderConfig> {
    let task = run.spec.get("task").cloned().unwrap_or_default();
    serde_json::from_value::<TaskConfig>(task)
        .map(|task| task.graders().to_vec())
        .unwrap_or_default()
}

fn find_missing(
    reader: &StoreReader,
    stage: &StageRow,
    wanted: &[GraderConfig],
    only: bool,
) -> Result<Option<MissingScores>, SweepError> {
    let coverage = reader.grader_coverage(&stage.key)?;
    let shape = if stage.kind == StageKind::Evaluate.name() {
        reader.eval_shape(&stage.key)?
    } else {
        None
    };
    let scorer = shape.map(EvalScorer::from_stored);
    let problems = shape.map_or(0, |shape| shape.problems);
    let own = coverage.iter().find(|rows| {
        rows.is_stage_grader
            && (!only || wanted.iter().any(|grader| grader.identity() == rows.grader))
    });
    let missing_graders = wanted.iter().filter(|grader| {
        let rows = coverage
            .iter()
            .find(|rows| rows.grader == grader.identity());
        !rows.is_some_and(|rows| {
            rows.is_stage_grader
                || rows.reads_nothing
                || (rows.graded >= rows.attempts && has_all_scores(rows, scorer, problems))
        })
    });
    let missing = MissingScores {
        stage: stage.key.clone(),
        label: stage.label.clone(),
        unscored_grader: own
            .filter(|own| !has_all_scores(own, scorer, problems))
            .map(|own| own.grader.clone()),
        missing_graders: missing_graders.copied().collect(),
        scorer,
    };
    let is_missing = missing.graders().next().is_some();
    Ok(is_missing.then_some(missing))
}

/// Whether a grader has scored every problem with every metric.
fn has_all_scores(rows: &GraderCoverage, scorer: Option<EvalScorer>, problems: u64) -> bool {
    let metrics = scorer.map(EvalScorer::metric_rows).unwrap_or_default();
    metrics.into_iter().all(|metric| {
        rows.scores
            .get(&(metric.name, metric.version))
            .is_some_and(|&count| count >= problems)
    })
}
