//! The unsolved stage: sequences, and as many further first attempts, on the problems that parallel
//! samples leave unsolved.

use serde_json::json;

use crate::domain::{Episode, Policy, PolicyError, Problem};
use crate::eval::UnsolvedSamples;
use crate::pipeline::StageError;
use crate::pipeline::execute::{CHUNK_PROBLEMS, StageContext, StageOutput, WORKING_FILE};
use crate::pipeline::stage_files::{self, EPISODES, PROBLEMS, SCORES};
use crate::pipeline::stage_spec::EvalTarget;
use crate::rollout::{GradeFn, RolloutConfig, parallel_samples, sequential_rollouts};
use crate::store::ScoreRow;

use super::collect::sampled_tokens;
use super::cost::ComputeCost;

pub fn run(
    desk: &mut StageContext<'_>,
    asked: &EvalTarget,
    budgets: &[u32],
) -> Result<StageOutput, StageError> {
    let problems: Vec<Problem> =
        stage_files::read_jsonl(&desk.workspace.stage_file(&asked.problems, PROBLEMS))?;
    let mut model = desk.load_model(&asked.policy, &asked.backend)?;
    let grade = |problem: &Problem, text: &str| asked.grader.grade(problem, text);
    let done = desk.process_in_chunks(
        (WORKING_FILE, CHUNK_PROBLEMS),
        &problems,
        |episodes: &Vec<Episode>| sampled_tokens(episodes),
        |chunk| {
            Ok(UnsolvedSearch {
                policy: &mut model,
                target: asked,
                budgets,
                grade: &grade,
            }
            .search_chunk(chunk)?)
        },
    )?;
    let scores: Vec<ScoreRow> = done
        .iter()
        .flat_map(|all| score_rows(all, asked.turns, budgets))
        .collect();
    stage_files::write_jsonl(&desk.folder.join(SCORES), &scores)?;
    let episodes = done.concat();
    stage_files::write_jsonl(&desk.folder.join(EPISODES), &episodes)?;
    let mut counts =
        json!({ "problems": done.len(), "episodes": episodes.len(), "scores": scores.len() });
    ComputeCost::for_sampling(&episodes, &model).add_to_counts(&mut counts);
    Ok(StageOutput::new_without_backend(&[EPISODES, SCORES], counts).with_backend(&asked.backend))
}

/// What is drawn for some problems.
struct UnsolvedSearch<'a> {
    policy: &'a mut dyn Policy,
    target: &'a EvalTarget,
    budgets: &'a [u32],
    grade: GradeFn<'a>,
}

impl UnsolvedSearch<'_> {
    /// All episodes of each problem: first attempts, numbered from 1, then sequences, numbered on.
    fn search_chunk(&mut self, problems: &[Problem]) -> Result<Vec<Vec<Episode>>, PolicyError> {
        let turns = self.target.turns;
        let [least, most] =
            [self.budgets.first(), self.budgets.last()].map(|k| k.map_or(0, |k| k * turns));
        let mut drawn = self.sample_first_attempts(problems, 0, most)?;
        let open: Vec<usize> = (0..problems.len())
            .filter(|&at| !drawn[at][..least as usize].iter().any(Episode::ends_right))
            .collect();
        let left: Vec<Problem> = open.iter().map(|&at| problems[at].clone()).collect();
        for (&at, more) in open
            .iter()
            .zip(self.sample_first_attempts(&left, most, most)?)
        {
            drawn[at].extend(more);
        }
        for number in 0..self.budgets.last().copied().unwrap_or(0) {
            let seed = self
                .target
                .seed
                .derive("sequence")
                .derive_indexed(u64::from(number));
            for (&at, episode) in open.iter().zip(sequential_rollouts(
                self.policy,
                &left,
                &rollout_config(self.target),
                seed,
                self.grade,
            )?) {
                drawn[at].push(Episode {
                    sample: 2 * most + 1 + number,
                    ..episode
                });
            }
        }
        Ok(drawn)
    }

    /// So many first attempts at each problem, after those that were drawn before.
    fn sample_first_attempts(
        &mut self,
        problems: &[Problem],
        before: u32,
        count: u32,
    ) -> Result<Vec<Vec<Episode>>, PolicyError> {
        let seed = self
            .target
            .seed
            .derive("first")
            .derive_indexed(u64::from(before));
        let episodes = parallel_samples(
            self.policy,
            problems,
            &rollout_config(self.target),
            count + 1,
            seed,
            self.grade,
        )?;
        let numbered = |episode: &Episode| Episode {
            sample: episode.sample + before,
            ..episode.clone()
        };
        let chunks = episodes.chunks(count.max(1) as usize);
        Ok(chunks
            .map(|chunk| chunk.iter().map(numbered).collect())
            .collect())
    }
}

const fn rollout_config(asked: &EvalTarget) -> RolloutConfig {
    RolloutConfig {
        window: asked.window,
        ..RolloutConfig::new(asked.turns, asked.prompt, asked.sampling)
    }
}

fn score_rows(episodes: &[Episode], turns: u32, budgets: &[u32]) -> Vec<ScoreRow> {
    let most = budgets.last().map_or(0, |budget| budget * turns);
    let firsts = episodes.partition_point(|episode| episode.sample <= 2 * most);
    let (firsts, sequences) = episodes.split_at(firsts);
    let problem = episodes.first().map_or("", |episode| &episode.problem);
    let row = |(metric, value)| ScoreRow {
        metric,
        problem: problem.to_owned(),
        value,
    };
    UnsolvedSamples {
        first_attempts: firsts,
        sequences,
        turns: turns as usize,
    }
    .scores(budgets)
    .into_iter()
    .map(row)
    .collect()
}
