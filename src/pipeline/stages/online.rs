//! The reinforce stage: a checkpoint from another one by online reinforcement learning.
//!
//! Responsible for who is asked what in each iteration: problems in a shuffled order, each answered
//! by several whole episodes, and for what their attempts earn. Random numbers are named by the
//! iteration, so a stage that goes on where it was stopped needs nothing but its weights.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::data::{GraderConfig, PromptConfig};
use crate::domain::{Episode, GradeVerdict, PolicyError, Problem, SamplingConfig, Seed, Turn};
use crate::model::{Decoder, LanguageModel, Tokenizer};
use crate::rollout::{RolloutConfig, grouped_rollouts};
use crate::train::{
    EncodeError, EncodedEpisode, OnlineConfig, PolicyGradientObjective, SampledGroups, TrainError,
    TrainingResult, run_objectives, shuffled_batches,
};

use super::collect::sampled_tokens;
use super::cost::ComputeCost;
use super::training_checkpoint::{load_for_training as begin, save_trained};
use crate::pipeline::execute::{StageContext, StageOutput};
use crate::pipeline::stage_files::{self, POINTS, PROBLEMS};
use crate::pipeline::{StageError, StageSpec};

pub fn run(desk: &mut StageContext<'_>, job: &StageSpec) -> Result<StageOutput, StageError> {
    let StageSpec::TrainOnline {
        problems,
        grader,
        start,
        reference,
        settings,
        prompt,
        sampling,
        train,
        seed,
        backend,
    } = job
    else {
        unreachable!("the caller matched the job")
    };
    let problems: Vec<Problem> =
        stage_files::read_jsonl(&desk.workspace.stage_file(problems, PROBLEMS))?;
    let LanguageModel { decoder, tokenizer } = begin(desk, start, train, *seed, backend)?;
    let is_start = reference == start || !settings.policy_loss.needs_reference();
    let reference = if is_start {
        decoder.clone()
    } else {
        desk.load_model(reference, backend)?.decoder
    };
    let mut field = OnlineSampler {
        tokenizer: tokenizer.clone(),
        positions: decoder.config().positions,
        problems: &problems,
        grader: *grader,
        settings,
        prompt: *prompt,
        sampling: *sampling,
        seed: *seed,
    };
    let mut sampler = |decoder: &Decoder, iteration| field.sample_batch(decoder, iteration);
    let mut objective =
        PolicyGradientObjective::new(*settings, train.clone(), reference, &mut sampler);
    let trained = run_objectives(&desk.folder, decoder, &mut [&mut objective], desk.observer)?;
    let (counts, earlier) = (stage_counts(&trained), trained.earlier_seconds);
    let mut files = save_trained(
        desk,
        start,
        &LanguageModel {
            decoder: trained.decoder,
            tokenizer,
        },
    )?;
    stage_files::write_jsonl(&desk.folder.join(POINTS), &trained.curve)?;
    files.push(POINTS);
    Ok(StageOutput {
        earlier_seconds: earlier,
        ..StageOutput::new_without_backend(&files, counts).with_backend(backend)
    })
}

fn stage_counts(trained: &TrainingResult) -> Value {
    let mut counts = json!({ "steps": trained.steps });
    let mut cost = ComputeCost {
        parameters: trained.decoder.weights().parameter_count() as u64,
        trained_tokens: trained.tokens,
        ..ComputeCost::default()
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

/// What the policy is put to.
struct OnlineSampler<'a> {
    tokenizer: Tokenizer,
    positions: usize,
    problems: &'a [Problem],
    grader: GraderConfig,
    settings: &'a OnlineConfig,
    prompt: PromptConfig,
    sampling: SamplingConfig,
    seed: Seed,
}

impl OnlineSampler<'_> {
    fn sample_batch(
        &mut self,
        decoder: &Decoder,
        iteration: u32,
    ) -> Result<SampledGroups, TrainError> {
        let problems = self.iteration_problems(iteration);
        let plan = RolloutConfig::new(self.settings.turns, self.prompt, self.sampling);
        let grader = self.grader;
        let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
        let seed = self
            .seed
            .derive("iteration")
            .derive_indexed(u64::from(iteration));
        // It goes when this returns, so nobody else holds the weights when they are moved.
        let mut policy = LanguageModel {
            decoder: decoder.clone(),
            tokenizer: self.tokenizer.clone(),
        };
        let groups = grouped_rollouts(
            &mut policy,
            &problems,
            &plan,
            self.settings.group_size,
            seed,
            &grade,
        )?;
        let trajectories = problems.iter().zip(&groups);
        let trajectories = trajectories
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

    /// The problems of an iteration: the training problems in one order after the other.
    fn iteration_problems(&self, iteration: u32) -> Vec<Problem> {
        let per_epoch = self.problems.len().div_ceil(self.settings.batch_problems) as u32;
        let seed = self
            .seed
            .derive("order")
            .derive_indexed(u64::from(iteration / per_epoch));
        let batches = shuffled_batches(
            self.problems.len(),
            &|_| 1,
            self.settings.batch_problems,
            seed,
        );
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
        let texts: Vec<&str> = episode
            .turns
            .iter()
            .map(|turn| turn.chosen().text.as_str())
            .collect();
        let (last, earlier) = texts.split_last().expect("an episode has a turn");
        let messages = self
            .prompt
            .dialogue(&problem.question, earlier)
            .assistant(*last)
            .0;
        let earned = |verdict| match verdict {
            GradeVerdict::Right => 1.0,
            GradeVerdict::Wrong => 0.0,
            GradeVerdict::Unreadable => self.settings.unreadable_reward,
        };
        let chosen = episode.turns.iter().map(Turn::chosen);
        let attempts: Vec<(bool, f64)> = chosen
            .map(|attempt| (attempt.finished, earned(attempt.grade.verdict)))
            .collect();
        let positions = self.positions;
        let made = EncodedEpisode::new(&messages, &attempts, &self.tokenizer, positions);
        made.map_err(|unfit| match unfit {
            EncodeError::TooLong { tokens } => TrainError::TooLong { tokens, positions },
            EncodeError::NoTarget => TrainError::NoExamples,
            EncodeError::Tokenizer(error) => {
                TrainError::Policy(PolicyError::Other(error.to_string()))
            }
        })
    }
}

/// What is counted of an iteration's episodes.
fn count_attempts(
    groups: &[Vec<Episode>],
    made: &[Vec<EncodedEpisode>],
) -> Vec<(&'static str, u64)> {
    let episodes = groups.iter().flatten();
    let all = episodes
        .flat_map(|episode| &episode.turns)
        .map(Turn::chosen);
    let mut counts = BTreeMap::from([
        ("attempts", 0),
        ("right", 0),
        ("cut_off", 0),
        ("respelt", 0),
    ]);
    let spans = made.iter().flatten().flat_map(|one| &one.example.targets);
    for (attempt, target) in all.zip(spans) {
        let mut count = |name, yes| *counts.entry(name).or_default() += u64::from(yes);
        count("attempts", true);
        count("right", attempt.grade.verdict.is_right());
        count("cut_off", !attempt.finished);
        // Sampled in other tokens than those in which the tokenizer writes the same text.
        count(
            "respelt",
            attempt.finished && target.end - target.start != attempt.tokens as usize,
        );
    }
    counts.insert(
        "sampled_tokens",
        groups.iter().map(|group| sampled_tokens(group)).sum(),
    );
    let shown = groups
        .iter()
        .flatten()
        .flat_map(|episode| &episode.turns)
        .map(|turn| turn.chosen().prompt_tokens);
    counts.insert("prompt_tokens", shown.map(u64::from).sum());
    counts.into_iter().collect()
}
