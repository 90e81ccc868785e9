//! Graders and metrics over texts that are in the store already; nothing is sampled.
//!
//! Responsible for what a store lacks (a grader's grades of a stage's texts, the scores they come
//! to, scores of metrics that are newer than the evaluation) and for adding it. Rows that are there
//! stay. Must not know how anything is shown.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::data::{GraderConfig, TaskConfig};
use crate::domain::{Key, Problem};
use crate::pipeline::{EvalScorer, StageKind, regrade};
use crate::store::{
    GraderCoverage, InsertedCounts, RegradeResults, RunRow, StageRow, Status, Store, StoreReader,
};

use super::SweepError;

/// What one stage lacks.
#[derive(Clone, Debug, PartialEq)]
pub struct MissingScores {
    /// The stage.
    pub stage: Key,
    /// Its readable name.
    pub label: String,
    /// The grader whose grades are there and whose scores are not.
    unscored_grader: Option<(String, u32)>,
    /// Graders that have not graded every text, or not scored every problem.
    missing_graders: Vec<GraderConfig>,
    scorer: Option<EvalScorer>,
}

impl MissingScores {
    /// The graders whose rows are to be added, by name and version.
    pub fn graders(&self) -> impl Iterator<Item = (String, u32)> {
        self.unscored_grader
            .iter()
            .cloned()
            .chain(self.missing_graders.iter().map(GraderConfig::identity))
    }
}

/// What was looked at, and what of it lacks something.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RescorePlan {
    /// Finished stages with texts.
    pub stages: usize,
    /// Those that lack rows, in the order in which runs need them.
    pub missing: Vec<MissingScores>,
}

/// Rows that were added under one grader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RescoreTotals {
    /// Stages with new rows.
    pub stages: u64,
    /// New grades.
    pub grades: u64,
    /// New scores.
    pub scores: u64,
    /// Stages in which the grader was found to read no answer at all.
    pub unread: u64,
}

impl RescoreTotals {
    fn add(&mut self, added: InsertedCounts) {
        let InsertedCounts {
            grades,
            scores,
            reads_nothing: unread,
        } = added;
        self.stages += u64::from(grades > 0 || scores > 0 || unread);
        self.grades += grades;
        self.scores += scores;
        self.unread += u64::from(unread);
    }
}

impl RescorePlan {
    /// What the finished stages of some experiments lack: of `grader`, or else of every grader that
    /// applies to their tasks.
    ///
    /// # Errors
    /// If an experiment is unknown, or the database cannot be read.
    pub fn for_experiments(
        reader: &StoreReader,
        experiments: &[String],
        grader: Option<GraderConfig>,
    ) -> Result<Self, SweepError> {
        let (mut seen, mut rescoring) = (BTreeSet::new(), Self::default());
        for experiment in experiments {
            for run in reader.runs(&reader.find_experiment(experiment)?.name)? {
                let wanted = grader.map_or_else(|| applicable_graders(&run), |grader| vec![grader]);
                for stage in reader.run_stages(experiment, &run.key)? {
                    let fresh = stage.status == Status::Done
                        && has_texts(&stage)
                        && seen.insert(stage.key.clone());
                    if fresh {
                        rescoring.stages += 1;
                        rescoring.missing.extend(find_missing(
                            reader,
                            &stage,
                            &wanted,
                            grader.is_some(),
                        )?);
                    }
                }
            }
        }
        Ok(rescoring)
    }

    /// Adds what is lacking; `watch` is told of each stage before its turn. Returns the rows that
    /// are new, by name and version of the grader.
    ///
    /// # Errors
    /// If the problem of a text is not in the database, or the database fails. What was added to
    /// earlier stages stays, and the same call goes on.
    pub fn execute(
        &self,
        store: &mut Store,
        watch: &mut dyn FnMut(usize, &MissingScores),
    ) -> Result<BTreeMap<(String, u32), RescoreTotals>, SweepError> {
        let mut sums: BTreeMap<(String, u32), RescoreTotals> = BTreeMap::new();
        for (number, lack) in self.missing.iter().enumerate() {
            watch(number, lack);
            if let Some(scoring) = lack.scorer {
                store.record_metrics(&scoring.metric_rows())?;
            }
            let mut episodes = store.episodes(&lack.stage)?;
            let problems = store.ancestor_problems(&lack.stage)?;
            let problems: BTreeMap<&str, &Problem> = problems
                .iter()
                .map(|(id, problem)| (id.as_str(), problem))
                .collect();
            let own = lack
                .unscored_grader
                .iter()
                .zip(lack.scorer)
                .map(|(grader, scoring)| RegradeResults {
                    grader: grader.clone(),
                    grades: Vec::new(),
                    scores: scoring.score_rows(&episodes),
                });
            let mut all: Vec<RegradeResults> = own.collect();
            for grader in &lack.missing_graders {
                let regraded = regrade(grader, &problems, &mut episodes, lack.scorer);
                all.push(regraded.ok_or_else(|| SweepError::BadResults {
                    label: lack.label.clone(),
                    reason: "a problem behind its texts is not in the database".to_owned(),
                })?);
            }
            for under in all {
                let added = store.add_regrade(&lack.stage, &episodes, &under)?;
                sums.entry(under.grader).or_default().add(added);
            }
        }
        Ok(sums)
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
    let rows = reader.grader_coverage(&stage.key)?;
    let extent = if stage.kind == StageKind::Evaluate.name() {
        reader.eval_shape(&stage.key)?
    } else {
        None
    };
    let scoring = extent.map(EvalScorer::from_stored);
    let problems = extent.map_or(0, |extent| extent.problems);
    let scored = |rows: &GraderCoverage| {
        let has = |metric: (String, u32)| {
            rows.scores
                .get(&metric)
                .is_some_and(|&count| count >= problems)
        };
        let metrics = scoring.map(EvalScorer::metric_rows).unwrap_or_default();
        metrics
            .into_iter()
            .all(|metric| has((metric.name, metric.version)))
    };
    let complete = |rows: &GraderCoverage| {
        rows.reads_nothing || (rows.graded >= rows.attempts && scored(rows))
    };
    let named = |grader: &(String, u32)| wanted.iter().any(|wanted| wanted.identity() == *grader);
    let own = rows
        .iter()
        .find(|rows| rows.is_stage_grader && (!only || named(&rows.grader)));
    let scores_of = own.filter(|own| !scored(own)).map(|own| own.grader.clone());
    let present = |grader: &GraderConfig| rows.iter().find(|rows| rows.grader == grader.identity());
    let missing = |grader: &&GraderConfig| {
        !present(grader).is_some_and(|rows| rows.is_stage_grader || complete(rows))
    };
    let graders: Vec<GraderConfig> = wanted.iter().filter(missing).copied().collect();
    let lack = MissingScores {
        stage: stage.key.clone(),
        label: stage.label.clone(),
        unscored_grader: scores_of,
        missing_graders: graders,
        scorer: scoring,
    };
    let lacking = lack.graders().next().is_some();
    Ok(lacking.then_some(lack))
}
