//! The unsolved stage: sequences, and as many further first attempts, on the problems that parallel
//! samples leave unsolved.

use serde_json::json;

use crate::domain::{Episode, Policy, PolicyError, Problem};
use crate::eval::Unsolved;
use crate::pipeline::StageError;
use crate::pipeline::execute::{CHUNK, Desk, Made, WORKING};
use crate::pipeline::files::{self, EPISODES, PROBLEMS, SCORES};
use crate::pipeline::job::Asked;
use crate::rollout::{Grader, Unroll, parallel, rollout};
use crate::store::ScoreRow;

use super::collect::sampled;
use super::cost::Cost;

pub fn run(desk: &mut Desk<'_>, asked: &Asked, budgets: &[u32]) -> Result<Made, StageError> {
    let problems: Vec<Problem> = files::read(&desk.workspace.file(&asked.problems, PROBLEMS))?;
    let mut model = desk.model(&asked.policy, &asked.backend)?;
    let grade = |problem: &Problem, text: &str| asked.grader.grade(problem, text);
    let done = desk.in_chunks(
        (WORKING, CHUNK),
        &problems,
        |episodes: &Vec<Episode>| sampled(episodes),
        |chunk| {
            Ok(Search {
                policy: &mut model,
                asked,
                budgets,
                grade: &grade,
            }
            .chunk(chunk)?)
        },
    )?;
    let scores: Vec<ScoreRow> = done
        .iter()
        .flat_map(|all| scores(all, asked.turns, budgets))
        .collect();
    files::write(&desk.folder.join(SCORES), &scores)?;
    let episodes = done.concat();
    files::write(&desk.folder.join(EPISODES), &episodes)?;
    let mut counts =
        json!({ "problems": done.len(), "episodes": episodes.len(), "scores": scores.len() });
    Cost::of_sampling(&episodes, &model).write(&mut counts);
    Ok(Made::plain(&[EPISODES, SCORES], counts).on(&asked.backend))
}

/// What is drawn for some problems.
struct Search<'a> {
    policy: &'a mut dyn Policy,
    asked: &'a Asked,
    budgets: &'a [u32],
    grade: Grader<'a>,
}

impl Search<'_> {
    /// All episodes of each problem: first attempts, numbered from 1, then sequences, numbered on.
    fn chunk(&mut self, problems: &[Problem]) -> Result<Vec<Vec<Episode>>, PolicyError> {
        let turns = self.asked.turns;
        let [least, most] =
            [self.budgets.first(), self.budgets.last()].map(|k| k.map_or(0, |k| k * turns));
        let mut drawn = self.firsts(problems, 0, most)?;
        let open: Vec<usize> = (0..problems.len())
            .filter(|&at| !drawn[at][..least as usize].iter().any(Episode::ends_right))
            .collect();
        let left: Vec<Problem> = open.iter().map(|&at| problems[at].clone()).collect();
        for (&at, more) in open.iter().zip(self.firsts(&left, most, most)?) {
            drawn[at].extend(more);
        }
        for number in 0..self.budgets.last().copied().unwrap_or(0) {
            let seed = self.asked.seed.named("sequence").at(u64::from(number));
            for (&at, episode) in open.iter().zip(rollout(
                self.policy,
                &left,
                &plan(self.asked),
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
    fn firsts(
        &mut self,
        problems: &[Problem],
        before: u32,
        count: u32,
    ) -> Result<Vec<Vec<Episode>>, PolicyError> {
        let seed = self.asked.seed.named("first").at(u64::from(before));
        let episodes = parallel(
            self.policy,
            problems,
            &plan(self.asked),
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

const fn plan(asked: &Asked) -> Unroll {
    Unroll {
        window: asked.window,
        ..Unroll::new(asked.turns, asked.prompt, asked.sampling)
    }
}

fn scores(episodes: &[Episode], turns: u32, budgets: &[u32]) -> Vec<ScoreRow> {
    let most = budgets.last().map_or(0, |budget| budget * turns);
    let firsts = episodes.partition_point(|episode| episode.sample <= 2 * most);
    let (firsts, sequences) = episodes.split_at(firsts);
    let problem = episodes.first().map_or("", |episode| &episode.problem);
    let row = |(metric, value)| ScoreRow {
        metric,
        problem: problem.to_owned(),
        value,
    };
    Unsolved {
        firsts,
        sequences,
        turns: turns as usize,
    }
    .scores(budgets)
    .into_iter()
    .map(row)
    .collect()
}
