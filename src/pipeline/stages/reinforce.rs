//! The reinforce stage: a checkpoint from another one by online reinforcement learning.
//!
//! Responsible for who is asked what in each iteration: problems in a shuffled order, each answered
//! by several whole episodes, and for what their attempts earn. Random numbers are named by the
//! iteration, so a stage that goes on where it was stopped needs nothing but its weights.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::data::{GraderConfig, Prompt};
use crate::domain::{Episode, PolicyError, Problem, Sampling, Seed, Turn, Verdict};
use crate::model::{Decoder, LanguageModel, Tokenizer};
use crate::rollout::{Unroll, grouped};
use crate::train::{
    Practice, Reinforce, Sampled, TrainError, Trained, Trajectory, Unfit, optimise, order,
};

use super::collect::sampled;
use super::cost::Cost;
use super::start::{save, start as begin};
use crate::pipeline::execute::{Desk, Made};
use crate::pipeline::files::{self, POINTS, PROBLEMS};
use crate::pipeline::{Job, StageError};

pub fn run(desk: &mut Desk<'_>, job: &Job) -> Result<Made, StageError> {
    let Job::Reinforce {
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
    let problems: Vec<Problem> = files::read(&desk.workspace.file(problems, PROBLEMS))?;
    let LanguageModel { decoder, tokenizer } = begin(desk, start, train, *seed, backend)?;
    let is_start = reference == start || !settings.rule.has_reference();
    let reference = if is_start {
        decoder.clone()
    } else {
        desk.model(reference, backend)?.decoder
    };
    let mut field = Field {
        tokenizer: tokenizer.clone(),
        positions: decoder.config().positions,
        problems: &problems,
        grader: *grader,
        settings,
        prompt: *prompt,
        sampling: *sampling,
        seed: *seed,
    };
    let mut sampler = |decoder: &Decoder, iteration| field.sample(decoder, iteration);
    let mut objective = Practice::new(*settings, train.clone(), reference, &mut sampler);
    let trained = optimise(&desk.folder, decoder, &mut [&mut objective], desk.observer)?;
    let (counts, earlier) = (counts(&trained), trained.earlier);
    let mut files = save(
        desk,
        start,
        &LanguageModel {
            decoder: trained.decoder,
            tokenizer,
        },
    )?;
    files::write(&desk.folder.join(POINTS), &trained.points)?;
    files.push(POINTS);
    Ok(Made {
        earlier,
        ..Made::plain(&files, counts).on(backend)
    })
}

fn counts(trained: &Trained) -> Value {
    let mut counts = json!({ "steps": trained.steps });
    let mut cost = Cost {
        parameters: trained.decoder.weights().count() as u64,
        trained: trained.tokens,
        ..Cost::default()
    };
    for (name, count) in &trained.counts {
        match name.as_str() {
            "prompt_tokens" => cost.prompt = *count,
            "sampled_tokens" => cost.sampled = *count,
            "forward_tokens" => cost.scored = *count,
            name => counts[name] = json!(count),
        }
    }
    cost.write(&mut counts);
    counts
}

/// What the policy is put to.
struct Field<'a> {
    tokenizer: Tokenizer,
    positions: usize,
    problems: &'a [Problem],
    grader: GraderConfig,
    settings: &'a Reinforce,
    prompt: Prompt,
    sampling: Sampling,
    seed: Seed,
}

impl Field<'_> {
    fn sample(&mut self, decoder: &Decoder, iteration: u32) -> Result<Sampled, TrainError> {
        let problems = self.drawn(iteration);
        let plan = Unroll::new(self.settings.turns, self.prompt, self.sampling);
        let grader = self.grader;
        let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
        let seed = self.seed.named("iteration").at(u64::from(iteration));
        // It goes when this returns, so nobody else holds the weights when they are moved.
        let mut policy = LanguageModel {
            decoder: decoder.clone(),
            tokenizer: self.tokenizer.clone(),
        };
        let groups = grouped(
            &mut policy,
            &problems,
            &plan,
            self.settings.samples,
            seed,
            &grade,
        )?;
        let trajectories = problems.iter().zip(&groups);
        let trajectories = trajectories
            .map(|(problem, group)| {
                group
                    .iter()
                    .map(|episode| self.trajectory(problem, episode))
                    .collect()
            })
            .collect::<Result<Vec<Vec<Trajectory>>, TrainError>>()?;
        let counts = attempts(&groups, &trajectories);
        Ok(Sampled {
            groups: trajectories,
            counts,
        })
    }

    /// The problems of an iteration: the training problems in one order after the other.
    fn drawn(&self, iteration: u32) -> Vec<Problem> {
        let per_epoch = self.problems.len().div_ceil(self.settings.problems) as u32;
        let seed = self
            .seed
            .named("order")
            .at(u64::from(iteration / per_epoch));
        let batches = order(self.problems.len(), &|_| 1, self.settings.problems, seed);
        batches[(iteration % per_epoch) as usize]
            .iter()
            .map(|&index| self.problems[index].clone())
            .collect()
    }

    fn trajectory(&self, problem: &Problem, episode: &Episode) -> Result<Trajectory, TrainError> {
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
            Verdict::Right => 1.0,
            Verdict::Wrong => 0.0,
            Verdict::Unreadable => self.settings.unreadable,
        };
        let chosen = episode.turns.iter().map(Turn::chosen);
        let attempts: Vec<(bool, f64)> = chosen
            .map(|attempt| (attempt.finished, earned(attempt.grade.verdict)))
            .collect();
        let positions = self.positions;
        let made = Trajectory::new(&messages, &attempts, &self.tokenizer, positions);
        made.map_err(|unfit| match unfit {
            Unfit::TooLong { tokens } => TrainError::TooLong { tokens, positions },
            Unfit::NoTarget => TrainError::NoExamples,
            Unfit::Unwritable(error) => TrainError::Policy(PolicyError::Other(error.to_string())),
        })
    }
}

/// What is counted of an iteration's episodes.
fn attempts(groups: &[Vec<Episode>], made: &[Vec<Trajectory>]) -> Vec<(&'static str, u64)> {
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
    let spans = made.iter().flatten().flat_map(|one| &one.encoded.targets);
    for (attempt, (from, to, _)) in all.zip(spans) {
        let mut count = |name, yes| *counts.entry(name).or_default() += u64::from(yes);
        count("attempts", true);
        count("right", attempt.grade.verdict.is_right());
        count("cut_off", !attempt.finished);
        // Sampled in other tokens than those in which the tokenizer writes the same text.
        count(
            "respelt",
            attempt.finished && to - from != attempt.tokens as usize,
        );
    }
    counts.insert(
        "sampled_tokens",
        groups.iter().map(|group| sampled(group)).sum(),
    );
    let shown = groups
        .iter()
        .flatten()
        .flat_map(|episode| &episode.turns)
        .map(|turn| turn.chosen().prompt);
    counts.insert("prompt_tokens", shown.map(u64::from).sum());
    counts.into_iter().collect()
}
