//! The reinforce stage: a checkpoint from another one by online reinforcement learning.
//!
//! Each iteration draws problems in a shuffled order and samples several whole episodes of each.
//! The iteration names its random numbers, so a stopped stage resumes with nothing but its weights.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::{Episode, GradeVerdict, Key, PolicyError, Problem, Turn};
use crate::model::{Decoder, LanguageModel, Tokenizer};
use crate::pipeline::context::{StageContext, StageError, StageOutput};
use crate::pipeline::stage::{Stage, StageKind};
use crate::pipeline::time_estimate::RunSizes;
use crate::rollout::grouped_rollouts;
use crate::train::{
    EncodeError, EncodedEpisode, OnlineConfig, PolicyGradientObjective, SampledGroups, TrainConfig,
    TrainError, TrainingResult, run_objectives, shuffled_batches,
};

use super::cost::{ComputeCost, sampled_tokens};
use super::sampling_task::SamplingTask;
use super::training::{load_for_training, save_training};

/// Train a checkpoint on its own answers, online.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnlineStage {
    /// The problems, and the way in which the checkpoint answers them.
    #[serde(flatten)]
    pub on: SamplingTask,
    /// The checkpoint to start from.
    pub start: Key,
    /// The checkpoint that the training stays near.
    pub reference: Key,
    /// Sampling and loss.
    pub settings: OnlineConfig,
    /// Optimizer and schedule; epochs and batch are not read.
    pub train: TrainConfig,
}

impl Stage for OnlineStage {
    fn kind(&self) -> StageKind {
        StageKind::TrainOnline
    }

    fn inputs(&self) -> Vec<Key> {
        [&self.on.problems, &self.start, &self.reference]
            .map(Key::clone)
            .to_vec()
    }

    fn estimated_seconds(&self, sizes: &RunSizes) -> f64 {
        sizes.time.online_training_seconds(&self.settings)
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let (on, settings) = (&self.on, &self.settings);
        let problems = on.read_problems(context)?;
        let LanguageModel { decoder, tokenizer } =
            load_for_training(context, &self.start, &self.train, on.seed, &on.backend)?;
        let is_start = self.reference == self.start || !settings.policy_loss.needs_reference();
        let reference = if is_start {
            decoder.clone()
        } else {
            context.load_model(&self.reference, &on.backend)?.decoder
        };
        let sampler = OnlineSampler {
            on,
            settings,
            tokenizer: &tokenizer,
            positions: decoder.config().positions,
            problems: &problems,
        };
        let mut sample = |decoder: &Decoder, iteration| sampler.sample_batch(decoder, iteration);
        let train = self.train.clone();
        let mut objective = PolicyGradientObjective::new(*settings, train, reference, &mut sample);
        let trained = run_objectives(
            &context.folder,
            decoder,
            &mut [&mut objective],
            context.observer,
        )?;
        let counts = stage_counts(&trained);
        let output = save_training(context, &self.start, &trained, &tokenizer, counts)?;
        Ok(output.with_backend(&on.backend))
    }
}

fn stage_counts(trained: &TrainingResult) -> Value {
    let mut counts = json!({ "steps": trained.steps });
    let mut cost = ComputeCost {
        trained_tokens: trained.tokens,
        ..ComputeCost::for_model(&trained.decoder)
    };
    for (name, count) in &trained.counts {
        match name.as_str() {
            "prompt_tokens" => cost.prompt_tokens = *count,
            "sampled_tokens" => cost.sampled_tokens = *count,
            "forward_tokens" => cost.scored_tokens = *count,
            name => counts[name] = json!(count),
        }
    }
    cost.add_to_counts(&mut counts);
    counts
}

/// Samples the episodes of each iteration.
struct OnlineSampler<'a> {
    on: &'a SamplingTask,
    settings: &'a OnlineConfig,
    tokenizer: &'a Tokenizer,
    positions: usize,
    problems: &'a [Problem],
}

impl OnlineSampler<'_> {
    fn sample_batch(&self, decoder: &Decoder, iteration: u32) -> Result<SampledGroups, TrainError> {
        let problems = self.iteration_problems(iteration);
        let config = self.on.rollout_config(self.settings.turns);
        let grade = |problem: &Problem, text: &str| self.on.grade(problem, text);
        let iterations = self.on.seed.derive("iteration");
        let seed = iterations.derive_indexed(u64::from(iteration));
        // The end of this function drops it, so the training alone holds the weights when they move.
        let mut policy = LanguageModel {
            decoder: decoder.clone(),
            tokenizer: self.tokenizer.clone(),
        };
        let group_size = self.settings.group_size;
        let groups = grouped_rollouts(&mut policy, &problems, &config, group_size, seed, &grade)?;
        let trajectories = problems
            .iter()
            .zip(&groups)
            .map(|(problem, group)| {
                group
                    .iter()
                    .map(|episode| self.encode_trajectory(problem, episode))
                    .collect()
            })
            .collect::<Result<Vec<Vec<EncodedEpisode>>, TrainError>>()?;
        let counts = count_attempts(&groups, &trajectories);
        Ok(SampledGroups {
            groups: trajectories,
            counts,
        })
    }

    /// The problems of an iteration; every pass over all of them has its own order.
    fn iteration_problems(&self, iteration: u32) -> Vec<Problem> {
        let (count, batch) = (self.problems.len(), self.settings.batch_problems);
        let per_epoch = count.div_ceil(batch) as u32;
        let orders = self.on.seed.derive("order");
        let seed = orders.derive_indexed(u64::from(iteration / per_epoch));
        let batches = shuffled_batches(count, &|_| 1, batch, seed);
        batches[(iteration % per_epoch) as usize]
            .iter()
            .map(|&index| self.problems[index].clone())
            .collect()
    }

    fn encode_trajectory(
        &self,
        problem: &Problem,
        episode: &Episode,
    ) -> Result<EncodedEpisode, TrainError> {
        let attempts = || episode.turns.iter().map(Turn::chosen);
        let texts: Vec<&str> = attempts().map(|attempt| attempt.text.as_str()).collect();
        let (last, earlier) = texts.split_last().expect("an episode has a turn");
        let dialogue = self.on.prompt.dialogue(&problem.question, earlier);
        let messages = dialogue.assistant(*last).0;
        let rewards: Vec<(bool, f64)> = attempts()
            .map(|attempt| (attempt.finished, self.reward(attempt.grade.verdict)))
            .collect();
        let positions = self.positions;
        EncodedEpisode::new(&messages, &rewards, self.tokenizer, positions).map_err(|error| {
            match error {
                EncodeError::TooLong { tokens } => TrainError::TooLong { tokens, positions },
                EncodeError::NoTarget => TrainError::NoExamples,
                EncodeError::Tokenizer(error) => {
                    TrainError::Policy(PolicyError::Other(error.to_string()))
                }
            }
        })
    }

    const fn reward(&self, verdict: GradeVerdict) -> f64 {
        match verdict {
            GradeVerdict::Right => 1.0,
            GradeVerdict::Wrong => 0.0,
            GradeVerdict::Unreadable => self.settings.unreadable_reward,
        }
    }
}

/// Counts of an iteration's episodes.
fn count_attempts(
    groups: &[Vec<Episode>],
    encoded: &[Vec<EncodedEpisode>],
) -> Vec<(&'static str, u64)> {
    let attempts = || {
        let episodes = groups.iter().flatten();
        episodes
            .flat_map(|episode| &episode.turns)
            .map(Turn::chosen)
    };
    let mut counts = BTreeMap::from([
        ("attempts", 0),
        ("right", 0),
        ("cut_off", 0),
        ("respelt", 0),
    ]);
    let targets = encoded
        .iter()
        .flatten()
        .flat_map(|episode| &episode.example.targets);
    for (attempt, target) in attempts().zip(targets) {
        // The tokenizer writes the same text in other tokens than the sampled ones.
        let respelt = attempt.finished && target.end - target.start != attempt.tokens as usize;
        for (name, counts_here) in [
            ("attempts", true),
            ("right", attempt.grade.verdict.is_right()),
            ("cut_off", !attempt.finished),
            ("respelt", respelt),
        ] {
            *counts.entry(name).or_default() += u64::from(counts_here);
        }
    }
    let sampled = groups.iter().map(|group| sampled_tokens(group)).sum();
    counts.insert("sampled_tokens", sampled);
    let prompts = attempts().map(|attempt| u64::from(attempt.prompt_tokens));
    counts.insert("prompt_tokens", prompts.sum());
    counts.into_iter().collect()
}
