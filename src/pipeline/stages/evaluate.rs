//! The evaluate stage: one sequential log without oracle and parallel first turns, and their scores.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::domain::{Episode, EvalShape, Problem};
use crate::eval::{self, Metric};
use crate::model::LanguageModel;
use crate::rollout::{RolloutConfig, TurnProtocol, parallel_samples, sequential_rollouts};
use crate::store::{MetricRow, ScoreRow};

use super::collect::sampled_tokens;
use super::cost::ComputeCost;
use crate::pipeline::execute::{CHUNK_PROBLEMS, StageContext, StageOutput, WORKING_FILE};
use crate::pipeline::stage_files::{self, EPISODES, PROBLEMS, SCORES};
use crate::pipeline::{StageError, StageNode, StageSpec};

pub fn run(desk: &mut StageContext<'_>, job: &StageSpec) -> Result<StageOutput, StageError> {
    let StageSpec::Evaluate {
        problems,
        grader,
        policy,
        turns,
        window,
        samples,
        protocol,
        oracle,
        prompt,
        sampling,
        seed,
        backend,
        ..
    } = job
    else {
        unreachable!("the caller matched the job")
    };
    let extent = eval_shape(job).expect("the caller matched the job");
    let problems: Vec<Problem> =
        stage_files::read_jsonl(&desk.workspace.stage_file(problems, PROBLEMS))?;
    let mut model = desk.load_model(policy, backend)?;
    let plan = RolloutConfig {
        window: *window,
        stop_on_success: *oracle,
        protocol: *protocol,
        ..RolloutConfig::new(*turns, *prompt, *sampling)
    };
    let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
    let episodes = desk.process_in_chunks(
        (WORKING_FILE, CHUNK_PROBLEMS),
        &problems,
        |episodes: &Vec<Episode>| sampled_tokens(episodes),
        |chunk| {
            let logs = sequential_rollouts(&mut model, chunk, &plan, *seed, &grade)?;
            Ok(group_by_problem(
                logs,
                parallel_samples(&mut model, chunk, &plan, *samples, *seed, &grade)?,
            ))
        },
    )?;
    let scores: Vec<ScoreRow> = episodes
        .iter()
        .flat_map(|episodes| score_rows(episodes, extent))
        .collect();
    stage_files::write_jsonl(&desk.folder.join(SCORES), &scores)?;
    let episodes = episodes.concat();
    stage_files::write_jsonl(&desk.folder.join(EPISODES), &episodes)?;
    let counts = stage_counts(&episodes, &scores, &model);
    Ok(StageOutput::new_without_backend(&[EPISODES, SCORES], counts).with_backend(backend))
}

/// Each problem's log, then its parallel samples.
fn group_by_problem(logs: Vec<Episode>, more: Vec<Episode>) -> Vec<Vec<Episode>> {
    let mut samples: BTreeMap<String, Vec<Episode>> = BTreeMap::new();
    for episode in more {
        samples
            .entry(episode.problem.clone())
            .or_default()
            .push(episode);
    }
    logs.into_iter()
        .map(|log| {
            let more = samples.remove(&log.problem).unwrap_or_default();
            std::iter::once(log).chain(more).collect()
        })
        .collect()
}

/// How far an evaluation goes; none for another job.
pub fn eval_shape(job: &StageSpec) -> Option<EvalShape> {
    let StageSpec::Evaluate {
        turns,
        samples,
        protocol,
        oracle,
        ..
    } = job
    else {
        return None;
    };
    let verifies = *protocol == TurnProtocol::SelfVerify;
    let stops = *oracle || verifies;
    Some(EvalShape {
        turns: *turns as usize,
        samples: *samples as usize,
        may_stop_early: stops,
        self_verifies: verifies,
    })
}

/// The scores of one problem: its log, then the parallel samples.
pub fn score_rows(episodes: &[Episode], extent: EvalShape) -> Vec<ScoreRow> {
    let (log, parallel) = episodes.split_first().expect("every problem has its log");
    let row = |(metric, value)| ScoreRow {
        metric,
        problem: log.problem.clone(),
        value,
    };
    eval::score_problem(log, parallel, extent)
        .into_iter()
        .map(row)
        .collect()
}

fn stage_counts(episodes: &[Episode], scores: &[ScoreRow], model: &LanguageModel) -> Value {
    let mut counts = json!({
        "problems": episodes.iter().filter(|episode| episode.sample == 0).count(),
        "attempts": episodes.iter().map(|episode| episode.turns.len()).sum::<usize>(),
        "scores": scores.len(),
    });
    ComputeCost::for_sampling(episodes, model).add_to_counts(&mut counts);
    counts
}

/// What the scores of these stages mean.
#[must_use]
pub fn stage_metrics(stages: &[StageNode]) -> Vec<MetricRow> {
    let mut rows = BTreeMap::new();
    for metric in stages.iter().flat_map(|stage| spec_metrics(&stage.spec)) {
        rows.insert(metric.name.clone(), metric_row(metric));
    }
    rows.into_values().collect()
}

fn spec_metrics(job: &StageSpec) -> Vec<Metric> {
    match job {
        StageSpec::Evaluate { .. } => {
            eval_shape(job).map_or_else(Vec::new, eval::evaluation_metrics)
        }
        StageSpec::Unsolved {
            target: asked,
            budgets,
        } => eval::unsolved_metrics(budgets, asked.turns),
        StageSpec::Likelihood {
            target: asked,
            rollouts,
        } => eval::likelihood_metrics(asked.turns, *rollouts),
        StageSpec::Rank { samples, .. } => eval::ranking_metrics(*samples as usize),
        StageSpec::Refine { .. } => {
            let mut metrics = eval::evaluation_metrics(super::refine::DRAFT_EVAL_SHAPE);
            metrics.extend(eval::refinement_metrics());
            metrics
        }
        _ => Vec::new(),
    }
}

/// A metric as the store has it.
pub fn metric_row(metric: Metric) -> MetricRow {
    MetricRow {
        name: metric.name,
        version: metric.version,
        unit: metric.unit.name().to_owned(),
        higher_is_better: metric.higher_is_better,
        meaning: metric.meaning,
    }
}
