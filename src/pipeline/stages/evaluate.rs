//! The evaluate stage: one sequential log without oracle and parallel first turns, and their scores.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::domain::{Author, Episode, Problem};
use crate::eval;
use crate::rollout::{Unroll, parallel, rollout};
use crate::store::{MetricRow, ScoreRow};

use super::collect::{CHUNK, sampled};
use crate::pipeline::execute::{Desk, Made};
use crate::pipeline::files::{self, EPISODES, Growing, PROBLEMS, SCORES};
use crate::pipeline::{Job, Stage, StageError};

pub fn run(desk: &mut Desk<'_>, job: &Job) -> Result<Made, StageError> {
    let Job::Evaluate {
        problems,
        grader,
        policy,
        turns,
        samples,
        window,
        prompt,
        sampling,
        seed,
        backend,
        ..
    } = job
    else {
        unreachable!("the caller matched the job")
    };
    let problems: Vec<Problem> = files::read(&desk.workspace.file(problems, PROBLEMS))?;
    let mut model = desk.model(policy, backend)?;
    let plan = Unroll {
        turns: *turns,
        window: *window,
        stop_on_success: false,
        prompt: *prompt,
        sampling: *sampling,
        author: Author::Policy,
    };
    let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
    let (mut file, mut episodes) = Growing::open::<Vec<Episode>>(&desk.folder.join(WORKING))?;
    while episodes.len() < problems.len() {
        desk.problems_done(episodes.len(), problems.len())?;
        let chunk = &problems[episodes.len()..problems.len().min(episodes.len() + CHUNK)];
        let logs = rollout(&mut model, chunk, &plan, *seed, &grade)?;
        let more = parallel(&mut model, chunk, &plan, *samples, *seed, &grade)?;
        desk.tokens += sampled(&logs) + sampled(&more);
        let new = by_problem(logs, more);
        file.append(&new)?;
        episodes.extend(new);
    }
    desk.problems_done(problems.len(), problems.len())?;
    let scores: Vec<ScoreRow> =
        episodes.iter().flat_map(|episodes| score(episodes, *turns, *samples)).collect();
    files::write(&desk.folder.join(SCORES), &scores)?;
    let episodes = episodes.concat();
    files::write(&desk.folder.join(EPISODES), &episodes)?;
    let counts = counts(&episodes, &scores);
    Ok(Made::plain(&[EPISODES, SCORES], counts).on(backend))
}

/// Problem by problem while the stage works: the log, then the parallel samples.
const WORKING: &str = "working.jsonl";

fn by_problem(logs: Vec<Episode>, more: Vec<Episode>) -> Vec<Vec<Episode>> {
    let mut samples: BTreeMap<String, Vec<Episode>> = BTreeMap::new();
    for episode in more {
        samples.entry(episode.problem.clone()).or_default().push(episode);
    }
    logs.into_iter()
        .map(|log| {
            let more = samples.remove(&log.problem).unwrap_or_default();
            std::iter::once(log).chain(more).collect()
        })
        .collect()
}

/// The scores of one problem: its log, then the parallel samples.
pub fn score(episodes: &[Episode], turns: u32, samples: u32) -> Vec<ScoreRow> {
    let (log, parallel) = episodes.split_first().expect("every problem has its log");
    let row = |(metric, value)| ScoreRow { metric, problem: log.problem.clone(), value };
    eval::score(log, parallel, turns, samples).into_iter().map(row).collect()
}

fn counts(episodes: &[Episode], scores: &[ScoreRow]) -> Value {
    json!({
        "problems": episodes.iter().filter(|episode| episode.sample == 0).count(),
        "attempts": episodes.iter().map(|episode| episode.turns.len()).sum::<usize>(),
        "sampled_tokens": sampled(episodes),
        "scores": scores.len(),
    })
}

/// What the scores of these stages mean.
#[must_use]
pub fn metrics(stages: &[Stage]) -> Vec<MetricRow> {
    let mut rows = BTreeMap::new();
    for stage in stages {
        if let Job::Evaluate { turns, samples, .. } = stage.job {
            for metric in eval::metrics(turns, samples) {
                rows.insert(metric.name.clone(), row(metric));
            }
        }
    }
    rows.into_values().collect()
}

/// A metric as the store has it.
pub fn row(metric: eval::Metric) -> MetricRow {
    MetricRow {
        name: metric.name,
        version: metric.version,
        unit: metric.unit.name().to_owned(),
        higher_is_better: metric.higher_is_better,
        meaning: metric.meaning,
    }
}
