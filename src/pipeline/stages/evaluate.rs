//! The evaluate stage: one sequential log without oracle and parallel first turns, and their scores.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::domain::{Episode, Problem};
use crate::eval::{self, Extent, Metric};
use crate::model::LanguageModel;
use crate::rollout::{Protocol, Unroll, parallel, rollout};
use crate::store::{MetricRow, ScoreRow};

use super::collect::sampled;
use super::cost::Cost;
use crate::pipeline::execute::{CHUNK, Desk, Made, WORKING};
use crate::pipeline::files::{self, EPISODES, PROBLEMS, SCORES};
use crate::pipeline::{Job, Stage, StageError};

pub fn run(desk: &mut Desk<'_>, job: &Job) -> Result<Made, StageError> {
    let Job::Evaluate {
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
    let extent = extent(job).expect("the caller matched the job");
    let problems: Vec<Problem> = files::read(&desk.workspace.file(problems, PROBLEMS))?;
    let mut model = desk.model(policy, backend)?;
    let plan = Unroll {
        window: *window,
        stop_on_success: *oracle,
        protocol: *protocol,
        ..Unroll::new(*turns, *prompt, *sampling)
    };
    let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
    let episodes = desk.in_chunks(
        (WORKING, CHUNK),
        &problems,
        |episodes: &Vec<Episode>| sampled(episodes),
        |chunk| {
            let logs = rollout(&mut model, chunk, &plan, *seed, &grade)?;
            Ok(by_problem(
                logs,
                parallel(&mut model, chunk, &plan, *samples, *seed, &grade)?,
            ))
        },
    )?;
    let scores: Vec<ScoreRow> = episodes
        .iter()
        .flat_map(|episodes| score(episodes, extent))
        .collect();
    files::write(&desk.folder.join(SCORES), &scores)?;
    let episodes = episodes.concat();
    files::write(&desk.folder.join(EPISODES), &episodes)?;
    let counts = counts(&episodes, &scores, &model);
    Ok(Made::plain(&[EPISODES, SCORES], counts).on(backend))
}

/// Each problem's log, then its parallel samples.
fn by_problem(logs: Vec<Episode>, more: Vec<Episode>) -> Vec<Vec<Episode>> {
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
pub fn extent(job: &Job) -> Option<Extent> {
    let Job::Evaluate {
        turns,
        samples,
        protocol,
        oracle,
        ..
    } = job
    else {
        return None;
    };
    let verifies = *protocol == Protocol::SelfVerify;
    let stops = *oracle || verifies;
    Some(Extent {
        turns: *turns as usize,
        samples: *samples as usize,
        stops,
        verifies,
    })
}

/// The scores of one problem: its log, then the parallel samples.
pub fn score(episodes: &[Episode], extent: Extent) -> Vec<ScoreRow> {
    let (log, parallel) = episodes.split_first().expect("every problem has its log");
    let row = |(metric, value)| ScoreRow {
        metric,
        problem: log.problem.clone(),
        value,
    };
    eval::score(log, parallel, extent)
        .into_iter()
        .map(row)
        .collect()
}

fn counts(episodes: &[Episode], scores: &[ScoreRow], model: &LanguageModel) -> Value {
    let mut counts = json!({
        "problems": episodes.iter().filter(|episode| episode.sample == 0).count(),
        "attempts": episodes.iter().map(|episode| episode.turns.len()).sum::<usize>(),
        "scores": scores.len(),
    });
    Cost::of_sampling(episodes, model).write(&mut counts);
    counts
}

/// What the scores of these stages mean.
#[must_use]
pub fn metrics(stages: &[Stage]) -> Vec<MetricRow> {
    let mut rows = BTreeMap::new();
    for metric in stages.iter().flat_map(|stage| metrics_of(&stage.job)) {
        rows.insert(metric.name.clone(), row(metric));
    }
    rows.into_values().collect()
}

fn metrics_of(job: &Job) -> Vec<Metric> {
    match job {
        Job::Evaluate { .. } => extent(job).map_or_else(Vec::new, eval::metrics),
        Job::Unsolved { asked, budgets } => eval::unsolved_metrics(budgets, asked.turns),
        Job::Likelihood { asked, rollouts } => eval::likelihood_metrics(asked.turns, *rollouts),
        Job::Rank { samples, .. } => eval::ranking_metrics(*samples as usize),
        Job::Refine { .. } => {
            let mut metrics = eval::metrics(super::refine::EXTENT);
            metrics.extend(eval::refinement_metrics());
            metrics
        }
        _ => Vec::new(),
    }
}

/// A metric as the store has it.
pub fn row(metric: Metric) -> MetricRow {
    MetricRow {
        name: metric.name,
        version: metric.version,
        unit: metric.unit.name().to_owned(),
        higher_is_better: metric.higher_is_better,
        meaning: metric.meaning,
    }
}
