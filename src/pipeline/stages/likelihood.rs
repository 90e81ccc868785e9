//! The likelihood stage: how likely reference solutions are, at once and after own attempts.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::{Dialogue, Episode, Problem};
use crate::eval::ReferenceLikelihoods;
use crate::model::LanguageModel;
use crate::pipeline::StageError;
use crate::pipeline::execute::{CHUNK_PROBLEMS, StageContext, StageOutput, WORKING_FILE};
use crate::pipeline::stage_files::{self, PROBLEMS, SCORES};
use crate::pipeline::stage_spec::EvalTarget;
use crate::rollout::{RolloutConfig, RolloutEnvironment, sequential_rollouts};
use crate::store::ScoreRow;

use super::collect::sampled_tokens;
use super::cost::ComputeCost;

/// The scores of one problem, and what they cost in tokens shown, sampled and scored.
#[derive(Serialize, Deserialize)]
struct LikelihoodResult {
    scores: Vec<ScoreRow>,
    prompt: u64,
    sampled: u64,
    scored: u64,
}

pub fn run(
    desk: &mut StageContext<'_>,
    asked: &EvalTarget,
    rollouts: u32,
) -> Result<StageOutput, StageError> {
    let problems: Vec<Problem> =
        stage_files::read_jsonl(&desk.workspace.stage_file(&asked.problems, PROBLEMS))?;
    // Without a reference there is nothing to ask for.
    let problems: Vec<Problem> = problems
        .into_iter()
        .filter(|problem| problem.solution.is_some())
        .collect();
    let mut model = desk.load_model(&asked.policy, &asked.backend)?;
    let done = desk.process_in_chunks(
        (WORKING_FILE, CHUNK_PROBLEMS),
        &problems,
        |one: &LikelihoodResult| one.sampled,
        |chunk| score_chunk(&mut model, asked, rollouts, chunk),
    )?;
    let mut cost = ComputeCost {
        parameters: model.decoder.weights().parameter_count() as u64,
        ..ComputeCost::default()
    };
    for one in &done {
        cost.prompt_tokens += one.prompt;
        cost.sampled_tokens += one.sampled;
        cost.scored_tokens += one.scored;
    }
    let mut counts = json!({ "problems": done.len() });
    cost.add_to_counts(&mut counts);
    let scores: Vec<ScoreRow> = done.into_iter().flat_map(|one| one.scores).collect();
    stage_files::write_jsonl(&desk.folder.join(SCORES), &scores)?;
    Ok(StageOutput::new_without_backend(&[SCORES], counts).with_backend(&asked.backend))
}

fn score_chunk(
    model: &mut LanguageModel,
    asked: &EvalTarget,
    rollouts: u32,
    problems: &[Problem],
) -> Result<Vec<LikelihoodResult>, StageError> {
    let grade = |problem: &Problem, text: &str| asked.grader.grade(problem, text);
    let plan = RolloutConfig {
        window: asked.window,
        ..RolloutConfig::new(asked.turns - 1, asked.prompt, asked.sampling)
    };
    let mut logs: Vec<Vec<Episode>> = Vec::new();
    for number in 0..if plan.turns > 0 { rollouts } else { 0 } {
        let seed = asked
            .seed
            .derive("rollout")
            .derive_indexed(u64::from(number));
        logs.push(sequential_rollouts(model, problems, &plan, seed, &grade)?);
    }
    let of = |(place, problem): (usize, &Problem)| {
        let own: Vec<&Episode> = logs.iter().map(|log| &log[place]).collect();
        score_problem(model, asked, problem, &own)
    };
    problems.iter().enumerate().map(of).collect()
}

fn score_problem(
    model: &LanguageModel,
    asked: &EvalTarget,
    problem: &Problem,
    own: &[&Episode],
) -> Result<LikelihoodResult, StageError> {
    let solution = problem.solution.clone().unwrap_or_default();
    let environment = RolloutEnvironment {
        prompt: &asked.prompt,
        window: asked.window,
        stop_on_success: false,
        self_review: None,
    };
    let after = |attempts: usize| {
        own.iter()
            .map(move |log| environment.next_dialogue(&problem.question, &log.turns[..attempts]))
    };
    let states: Vec<Dialogue> = std::iter::once(environment.next_dialogue(&problem.question, &[]))
        .chain((1..asked.turns as usize).flat_map(after))
        .collect();
    let tokens = model.tokenizer.encode(&solution).len() + 1;
    let prompts = states
        .iter()
        .map(|state| Ok(model.tokenizer.encode_prompt(state)?.len() + tokens));
    let read: usize = prompts.sum::<Result<usize, StageError>>()?;
    let asked_for: Vec<_> = states
        .into_iter()
        .map(|state| (state, solution.clone()))
        .collect();
    let logs = model.log_likelihoods(&asked_for)?;
    let after = logs[1..]
        .chunks(own.len().max(1))
        .map(<[f64]>::to_vec)
        .collect();
    let scores = ReferenceLikelihoods {
        tokens,
        first_turn: logs[0],
        later_turns: after,
    }
    .scores();
    let row = |(metric, value)| ScoreRow {
        metric,
        problem: problem.id.clone(),
        value,
    };
    let own: Vec<Episode> = own.iter().map(|&log| log.clone()).collect();
    let shown = own
        .iter()
        .flat_map(|log| &log.turns)
        .map(|turn| u64::from(turn.chosen().prompt_tokens))
        .sum();
    let scores = scores.into_iter().map(row).collect();
    Ok(LikelihoodResult {
        scores,
        prompt: shown,
        sampled: sampled_tokens(&own),
        scored: read as u64,
    })
}
