//! The likelihood stage: how likely reference solutions are, at once and after own attempts.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::{Dialogue, Episode, Key, Problem};
use crate::eval::{self, Metric, ReferenceLikelihoods};
use crate::model::LanguageModel;
use crate::pipeline::context::{
    CHUNK_PROBLEMS, StageContext, StageError, StageOutput, WORKING_FILE,
};
use crate::pipeline::stage::{Stage, StageGrading, StageKind};
use crate::pipeline::stage_files::SCORES;
use crate::pipeline::time_estimate::RunSizes;
use crate::rollout::{RolloutConfig, RolloutEnvironment, sequential_rollouts};
use crate::store::ScoreRow;

use super::cost::{ComputeCost, sampled_tokens};
use super::sampling_task::SamplingTask;
use super::scores::score_rows;

/// Score reference solutions, at once and after own attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LikelihoodStage {
    /// The problems, and the way in which the checkpoint answers them.
    #[serde(flatten)]
    pub on: SamplingTask,
    /// The checkpoint.
    pub policy: Key,
    /// The turn at which the last solution is scored.
    pub turns: u32,
    /// The number of earlier attempts that the policy sees; none means all.
    pub window: Option<u32>,
    /// Rollouts per problem.
    pub rollouts: u32,
}

/// The scores of one problem, and their cost in tokens shown, sampled and scored.
#[derive(Serialize, Deserialize)]
struct LikelihoodResult {
    scores: Vec<ScoreRow>,
    prompt: u64,
    sampled: u64,
    scored: u64,
}

impl Stage for LikelihoodStage {
    fn kind(&self) -> StageKind {
        StageKind::Likelihood
    }

    fn inputs(&self) -> Vec<Key> {
        vec![self.on.problems.clone(), self.policy.clone()]
    }

    fn map_key(&self, content: &mut Map<String, Value>) {
        let rollouts = content.remove("rollouts");
        content.insert("analysis".to_owned(), json!({ "rollouts": rollouts }));
    }

    fn estimated_seconds(&self, sizes: &RunSizes) -> f64 {
        let attempts = sizes.eval_problems * (self.turns * self.rollouts) as usize;
        sizes.time.sampling_seconds(attempts)
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let mut problems = self.on.read_problems(context)?;
        // Only reference solutions are scored.
        problems.retain(|problem| problem.solution.is_some());
        let mut model = context.load_model(&self.policy, &self.on.backend)?;
        let done = context.process_in_chunks(
            (WORKING_FILE, CHUNK_PROBLEMS),
            &problems,
            |result: &LikelihoodResult| result.sampled,
            |chunk| self.score_chunk(&mut model, chunk),
        )?;
        let mut cost = ComputeCost::for_model(&model.decoder);
        for result in &done {
            cost.prompt_tokens += result.prompt;
            cost.sampled_tokens += result.sampled;
            cost.scored_tokens += result.scored;
        }
        let mut counts = json!({ "problems": done.len() });
        cost.add_to_counts(&mut counts);
        let scores: Vec<ScoreRow> = done.into_iter().flat_map(|result| result.scores).collect();
        context.write_rows(SCORES, &scores)?;
        Ok(StageOutput::new_without_backend(&[SCORES], counts).with_backend(&self.on.backend))
    }

    fn metrics(&self) -> Vec<Metric> {
        eval::likelihood_metrics(self.turns, self.rollouts)
    }

    fn grading(&self) -> Option<StageGrading<'_>> {
        Some(self.on.grading())
    }
}

impl LikelihoodStage {
    fn score_chunk(
        &self,
        model: &mut LanguageModel,
        problems: &[Problem],
    ) -> Result<Vec<LikelihoodResult>, StageError> {
        let grade = |problem: &Problem, text: &str| self.on.grade(problem, text);
        let config = RolloutConfig {
            window: self.window,
            ..self.on.rollout_config(self.turns - 1)
        };
        let mut rollouts: Vec<Vec<Episode>> = Vec::new();
        for number in 0..if config.turns > 0 { self.rollouts } else { 0 } {
            let seed = self.on.seed.derive("rollout");
            let seed = seed.derive_indexed(u64::from(number));
            rollouts.push(sequential_rollouts(model, problems, &config, seed, &grade)?);
        }
        problems
            .iter()
            .enumerate()
            .map(|(index, problem)| {
                let own = rollouts.iter().map(|episodes| episodes[index].clone());
                self.score_problem(model, problem, &own.collect::<Vec<_>>())
            })
            .collect()
    }

    fn score_problem(
        &self,
        model: &LanguageModel,
        problem: &Problem,
        rollouts: &[Episode],
    ) -> Result<LikelihoodResult, StageError> {
        let solution = problem.solution.clone().unwrap_or_default();
        let states = self.states(&problem.question, rollouts);
        let tokens = model.tokenizer.encode(&solution).len() + 1;
        let mut scored = 0;
        for state in &states {
            scored += model.tokenizer.encode_prompt(state)?.len() + tokens;
        }
        let answers: Vec<(Dialogue, String)> = states
            .into_iter()
            .map(|state| (state, solution.clone()))
            .collect();
        let log_probs = model.log_likelihoods(&answers)?;
        let likelihoods = ReferenceLikelihoods {
            tokens,
            first_turn: log_probs[0],
            later_turns: log_probs[1..]
                .chunks(rollouts.len().max(1))
                .map(<[f64]>::to_vec)
                .collect(),
        };
        let turns = rollouts.iter().flat_map(|episode| &episode.turns);
        Ok(LikelihoodResult {
            scores: score_rows(&problem.id, likelihoods.scores()),
            prompt: turns
                .map(|turn| u64::from(turn.chosen().prompt_tokens))
                .sum(),
            sampled: sampled_tokens(rollouts),
            scored: scored as u64,
        })
    }

    /// The plain question, then the dialogue of every rollout after 1, 2, ... attempts.
    fn states(&self, question: &str, rollouts: &[Episode]) -> Vec<Dialogue> {
        let environment = RolloutEnvironment {
            prompt: &self.on.prompt,
            window: self.window,
            stop_on_success: false,
            self_review: None,
        };
        let mut states = vec![environment.next_dialogue(question, &[])];
        for attempts in 1..self.turns as usize {
            for rollout in rollouts {
                states.push(environment.next_dialogue(question, &rollout.turns[..attempts]));
            }
        }
        states
    }
}
