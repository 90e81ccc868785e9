//! The likelihood stage: how likely reference solutions are, at once and after own attempts.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::{Dialogue, Episode, Problem};
use crate::eval::Likelihoods;
use crate::model::LanguageModel;
use crate::pipeline::StageError;
use crate::pipeline::execute::{CHUNK, Desk, Made, WORKING};
use crate::pipeline::files::{self, PROBLEMS, SCORES};
use crate::pipeline::job::Asked;
use crate::rollout::{Environment, Unroll, rollout};
use crate::store::ScoreRow;

use super::collect::sampled;
use super::cost::Cost;

/// The scores of one problem, and what they cost in tokens shown, sampled and scored.
#[derive(Serialize, Deserialize)]
struct Done {
    scores: Vec<ScoreRow>,
    prompt: u64,
    sampled: u64,
    scored: u64,
}

pub fn run(desk: &mut Desk<'_>, asked: &Asked, rollouts: u32) -> Result<Made, StageError> {
    let problems: Vec<Problem> = files::read(&desk.workspace.file(&asked.problems, PROBLEMS))?;
    // Without a reference there is nothing to ask for.
    let problems: Vec<Problem> = problems
        .into_iter()
        .filter(|problem| problem.solution.is_some())
        .collect();
    let mut model = desk.model(&asked.policy, &asked.backend)?;
    let done = desk.in_chunks(
        (WORKING, CHUNK),
        &problems,
        |one: &Done| one.sampled,
        |chunk| of_chunk(&mut model, asked, rollouts, chunk),
    )?;
    let mut cost = Cost {
        parameters: model.decoder.weights().count() as u64,
        ..Cost::default()
    };
    for one in &done {
        cost.prompt += one.prompt;
        cost.sampled += one.sampled;
        cost.scored += one.scored;
    }
    let mut counts = json!({ "problems": done.len() });
    cost.write(&mut counts);
    let scores: Vec<ScoreRow> = done.into_iter().flat_map(|one| one.scores).collect();
    files::write(&desk.folder.join(SCORES), &scores)?;
    Ok(Made::plain(&[SCORES], counts).on(&asked.backend))
}

fn of_chunk(
    model: &mut LanguageModel,
    asked: &Asked,
    rollouts: u32,
    problems: &[Problem],
) -> Result<Vec<Done>, StageError> {
    let grade = |problem: &Problem, text: &str| asked.grader.grade(problem, text);
    let plan = Unroll {
        window: asked.window,
        ..Unroll::new(asked.turns - 1, asked.prompt, asked.sampling)
    };
    let mut logs: Vec<Vec<Episode>> = Vec::new();
    for number in 0..if plan.turns > 0 { rollouts } else { 0 } {
        let seed = asked.seed.named("rollout").at(u64::from(number));
        logs.push(rollout(model, problems, &plan, seed, &grade)?);
    }
    let of = |(place, problem): (usize, &Problem)| {
        let own: Vec<&Episode> = logs.iter().map(|log| &log[place]).collect();
        of_problem(model, asked, problem, &own)
    };
    problems.iter().enumerate().map(of).collect()
}

fn of_problem(
    model: &LanguageModel,
    asked: &Asked,
    problem: &Problem,
    own: &[&Episode],
) -> Result<Done, StageError> {
    let solution = problem.solution.clone().unwrap_or_default();
    let environment = Environment {
        prompt: &asked.prompt,
        window: asked.window,
        stop_on_success: false,
        inquiry: None,
    };
    let after = |attempts: usize| {
        own.iter()
            .map(move |log| environment.state(&problem.question, &log.turns[..attempts]))
    };
    let states: Vec<Dialogue> = std::iter::once(environment.state(&problem.question, &[]))
        .chain((1..asked.turns as usize).flat_map(after))
        .collect();
    let tokens = model.tokenizer.encode(&solution).len() + 1;
    let prompts = states
        .iter()
        .map(|state| Ok(model.tokenizer.prompt(state)?.len() + tokens));
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
    let scores = Likelihoods {
        tokens,
        at_once: logs[0],
        after,
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
        .map(|turn| u64::from(turn.chosen().prompt))
        .sum();
    let scores = scores.into_iter().map(row).collect();
    Ok(Done {
        scores,
        prompt: shown,
        sampled: sampled(&own),
        scored: read as u64,
    })
}
