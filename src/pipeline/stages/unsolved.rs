//! The unsolved stage: sequences, and as many further first attempts, on the problems that parallel
//! samples leave unsolved.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::{Episode, Key, Policy, PolicyError, Problem};
use crate::eval::{self, Metric, UnsolvedSamples};
use crate::pipeline::context::{
    CHUNK_PROBLEMS, StageContext, StageError, StageOutput, WORKING_FILE,
};
use crate::pipeline::stage::{Stage, StageGrading, StageKind};
use crate::pipeline::stage_files::{EPISODES, SCORES};
use crate::pipeline::time_estimate::RunSizes;
use crate::rollout::{RolloutConfig, parallel_samples, sequential_rollouts};
use crate::store::ScoreRow;

use super::cost::{ComputeCost, sampled_tokens};
use super::sampling_task::SamplingTask;
use super::scores::score_rows;

/// Try sequences on problems that parallel samples leave unsolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnsolvedStage {
    /// The problems, and the way in which the checkpoint answers them.
    #[serde(flatten)]
    pub on: SamplingTask,
    /// The checkpoint.
    pub policy: Key,
    /// The most turns of a sequence.
    pub turns: u32,
    /// The number of earlier attempts that the policy sees; none means all.
    pub window: Option<u32>,
    /// Budgets in sequences, rising.
    pub budgets: Vec<u32>,
}

impl Stage for UnsolvedStage {
    fn kind(&self) -> StageKind {
        StageKind::Unsolved
    }

    fn inputs(&self) -> Vec<Key> {
        vec![self.on.problems.clone(), self.policy.clone()]
    }

    fn map_key(&self, content: &mut Map<String, Value>) {
        let budgets = content.remove("budgets");
        content.insert("analysis".to_owned(), json!({ "budgets": budgets }));
    }

    fn estimated_seconds(&self, sizes: &RunSizes) -> f64 {
        let attempts = (2 * self.most_samples()) as usize;
        sizes.time.sampling_seconds(sizes.eval_problems * attempts)
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let problems = self.on.read_problems(context)?;
        let mut model = context.load_model(&self.policy, &self.on.backend)?;
        let done = context.process_in_chunks(
            (WORKING_FILE, CHUNK_PROBLEMS),
            &problems,
            |episodes: &Vec<Episode>| sampled_tokens(episodes),
            |chunk| Ok(self.search_chunk(&mut model, chunk)?),
        )?;
        let scores: Vec<ScoreRow> = done.iter().flat_map(|all| self.score_rows(all)).collect();
        context.write_rows(SCORES, &scores)?;
        let episodes = done.concat();
        context.write_rows(EPISODES, &episodes)?;
        let mut counts = json!({
            "problems": done.len(), "episodes": episodes.len(), "scores": scores.len(),
        });
        ComputeCost::for_sampling(&episodes, &model.decoder).add_to_counts(&mut counts);
        let output = StageOutput::new_without_backend(&[EPISODES, SCORES], counts);
        Ok(output.with_backend(&self.on.backend))
    }

    fn metrics(&self) -> Vec<Metric> {
        eval::unsolved_metrics(&self.budgets, self.turns)
    }

    fn grading(&self) -> Option<StageGrading<'_>> {
        Some(self.on.grading())
    }
}

impl UnsolvedStage {
    /// Attempts of the largest budget.
    fn most_samples(&self) -> u32 {
        self.budgets.last().map_or(0, |budget| budget * self.turns)
    }

    fn rollout_config(&self) -> RolloutConfig {
        RolloutConfig {
            window: self.window,
            ..self.on.rollout_config(self.turns)
        }
    }

    /// All episodes of each problem: first attempts, numbered from 1, then sequences, numbered on.
    fn search_chunk(
        &self,
        policy: &mut dyn Policy,
        problems: &[Problem],
    ) -> Result<Vec<Vec<Episode>>, PolicyError> {
        let most = self.most_samples();
        let least = self.budgets.first().map_or(0, |budget| budget * self.turns);
        let mut sampled = self.sample_first_attempts(policy, problems, 0, most)?;
        let unsolved: Vec<usize> = (0..problems.len())
            .filter(|&index| {
                let first = &sampled[index][..least as usize];
                !first.iter().any(Episode::ends_right)
            })
            .collect();
        let left: Vec<Problem> = unsolved
            .iter()
            .map(|&index| problems[index].clone())
            .collect();
        let further = self.sample_first_attempts(policy, &left, most, most)?;
        for (&index, further) in unsolved.iter().zip(further) {
            sampled[index].extend(further);
        }
        let config = self.rollout_config();
        let grade = |problem: &Problem, text: &str| self.on.grade(problem, text);
        for number in 0..self.budgets.last().copied().unwrap_or(0) {
            let sequences = self.on.seed.derive("sequence");
            let seed = sequences.derive_indexed(u64::from(number));
            let episodes = sequential_rollouts(policy, &left, &config, seed, &grade)?;
            for (&index, episode) in unsolved.iter().zip(episodes) {
                sampled[index].push(Episode {
                    sample: 2 * most + 1 + number,
                    ..episode
                });
            }
        }
        Ok(sampled)
    }

    /// `count` first attempts at each problem, numbered after the `before` earlier ones.
    fn sample_first_attempts(
        &self,
        policy: &mut dyn Policy,
        problems: &[Problem],
        before: u32,
        count: u32,
    ) -> Result<Vec<Vec<Episode>>, PolicyError> {
        let seed = self
            .on
            .seed
            .derive("first")
            .derive_indexed(u64::from(before));
        let config = self.rollout_config();
        let grade = |problem: &Problem, text: &str| self.on.grade(problem, text);
        let mut episodes = parallel_samples(policy, problems, &config, count + 1, seed, &grade)?;
        for episode in &mut episodes {
            episode.sample += before;
        }
        let chunks = episodes.chunks(count.max(1) as usize);
        Ok(chunks.map(<[Episode]>::to_vec).collect())
    }

    /// The scores of one problem's episodes.
    fn score_rows(&self, episodes: &[Episode]) -> Vec<ScoreRow> {
        let last_first = 2 * self.most_samples();
        let firsts = episodes.partition_point(|episode| episode.sample <= last_first);
        let (first_attempts, sequences) = episodes.split_at(firsts);
        let problem = episodes.first().map_or("", |episode| &episode.problem);
        let samples = UnsolvedSamples {
            first_attempts,
            sequences,
            turns: self.turns as usize,
        };
        score_rows(problem, samples.scores(&self.budgets))
    }
}
