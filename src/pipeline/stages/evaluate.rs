//! The evaluate stage: one sequential log and parallel first turns, and their scores.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::{Episode, EvalShape, Key, Problem};
use crate::eval::{self, Metric};
use crate::pipeline::context::{
    CHUNK_PROBLEMS, StageContext, StageError, StageOutput, WORKING_FILE,
};
use crate::pipeline::stage::{Stage, StageGrading, StageKind};
use crate::pipeline::stage_files::{EPISODES, SCORES};
use crate::pipeline::time_estimate::RunSizes;
use crate::rollout::{RolloutConfig, TurnProtocol, parallel_samples, sequential_rollouts};
use crate::store::ScoreRow;

use super::cost::{ComputeCost, sampled_tokens};
use super::sampling_task::{SamplingTask, is_default};
use super::scores::evaluation_score_rows;

/// Let a checkpoint answer the test problems.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluateStage {
    /// The problems, and the way in which the checkpoint answers them.
    #[serde(flatten)]
    pub on: SamplingTask,
    /// The checkpoint.
    pub policy: Key,
    /// Turns of the sequential log.
    pub turns: u32,
    /// First-turn samples.
    pub samples: u32,
    /// The number of earlier attempts that the policy sees; none means all.
    pub window: Option<u32>,
    /// The order of turns.
    #[serde(default, skip_serializing_if = "is_default")]
    pub protocol: TurnProtocol,
    /// Whether a dialogue ends at its first right attempt.
    #[serde(default, skip_serializing_if = "is_default")]
    pub oracle: bool,
}

impl EvaluateStage {
    /// The shape of its episodes.
    fn shape(&self) -> EvalShape {
        let self_verifies = self.protocol == TurnProtocol::SelfVerify;
        EvalShape {
            turns: self.turns as usize,
            samples: self.samples as usize,
            may_stop_early: self.oracle || self_verifies,
            self_verifies,
        }
    }
}

impl Stage for EvaluateStage {
    fn kind(&self) -> StageKind {
        StageKind::Evaluate
    }

    fn inputs(&self) -> Vec<Key> {
        vec![self.on.problems.clone(), self.policy.clone()]
    }

    /// The texts of a review.
    fn map_key(&self, content: &mut Map<String, Value>) {
        if let Some(review) = self.protocol.self_review() {
            let texts = self.on.prompt.self_review_key(review);
            content.insert("inquiry".to_owned(), json!(texts));
        }
    }

    fn estimated_seconds(&self, sizes: &RunSizes) -> f64 {
        let (turns, samples) = (self.turns, self.samples);
        sizes
            .time
            .evaluation_seconds(sizes.eval_problems, turns, samples)
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let SamplingTask { seed, backend, .. } = &self.on;
        let problems = self.on.read_problems(context)?;
        let mut model = context.load_model(&self.policy, backend)?;
        let config = RolloutConfig {
            window: self.window,
            stop_on_success: self.oracle,
            protocol: self.protocol,
            ..self.on.rollout_config(self.turns)
        };
        let grade = |problem: &Problem, text: &str| self.on.grade(problem, text);
        let done = context.process_in_chunks(
            (WORKING_FILE, CHUNK_PROBLEMS),
            &problems,
            |episodes: &Vec<Episode>| sampled_tokens(episodes),
            |chunk| {
                let logs = sequential_rollouts(&mut model, chunk, &config, *seed, &grade)?;
                let samples =
                    parallel_samples(&mut model, chunk, &config, self.samples, *seed, &grade)?;
                Ok(group_by_problem(logs, samples))
            },
        )?;
        let scores: Vec<ScoreRow> = done
            .iter()
            .flat_map(|episodes| evaluation_score_rows(episodes, self.shape()))
            .collect();
        context.write_rows(SCORES, &scores)?;
        let episodes = done.concat();
        context.write_rows(EPISODES, &episodes)?;
        let mut counts = json!({
            "problems": episodes.iter().filter(|episode| episode.sample == 0).count(),
            "attempts": episodes.iter().map(|episode| episode.turns.len()).sum::<usize>(),
            "scores": scores.len(),
        });
        ComputeCost::for_sampling(&episodes, &model.decoder).add_to_counts(&mut counts);
        Ok(StageOutput::new_without_backend(&[EPISODES, SCORES], counts).with_backend(backend))
    }

    fn metrics(&self) -> Vec<Metric> {
        eval::evaluation_metrics(self.shape())
    }

    fn grading(&self) -> Option<StageGrading<'_>> {
        Some(self.on.grading())
    }

    fn eval_shape(&self) -> Option<EvalShape> {
        Some(self.shape())
    }
}

/// Each problem's log, then its parallel samples.
fn group_by_problem(logs: Vec<Episode>, samples: Vec<Episode>) -> Vec<Vec<Episode>> {
    let mut by_problem: BTreeMap<String, Vec<Episode>> = BTreeMap::new();
    for episode in samples {
        by_problem
            .entry(episode.problem.clone())
            .or_default()
            .push(episode);
    }
    logs.into_iter()
        .map(|log| {
            let samples = by_problem.remove(&log.problem).unwrap_or_default();
            std::iter::once(log).chain(samples).collect()
        })
        .collect()
}
