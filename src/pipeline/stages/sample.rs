//! The sample stage: several attempts at every training problem.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::data::PromptConfig;
use crate::domain::{Episode, Key, Problem};
use crate::model::LanguageModel;
use crate::pipeline::context::{
    CHUNK_PROBLEMS, StageContext, StageError, StageOutput, WORKING_FILE,
};
use crate::pipeline::stage::{Stage, StageGrading, StageKind};
use crate::pipeline::stage_files::EPISODES;
use crate::pipeline::time_estimate::RunSizes;
use crate::rollout::{parallel_samples, rationalise};

use super::cost::{ComputeCost, sampled_tokens};
use super::sampling_task::{SamplingTask, is_default};

/// Draw several attempts at every training problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleStage {
    /// The problems, and the way in which the policy answers them.
    #[serde(flatten)]
    pub on: SamplingTask,
    /// The checkpoint that answers.
    pub policy: Key,
    /// Attempts per problem.
    pub samples: u32,
    /// Whether an unsolved problem gets one more attempt, with the answer as a hint.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rationalise: bool,
}

impl Stage for SampleStage {
    fn kind(&self) -> StageKind {
        StageKind::Sample
    }

    fn inputs(&self) -> Vec<Key> {
        vec![self.on.problems.clone(), self.policy.clone()]
    }

    /// The text of the hint.
    fn map_key(&self, content: &mut Map<String, Value>) {
        if content.remove("rationalise").is_some() {
            content.insert("hint".to_owned(), json!(PromptConfig::hint_key()));
        }
    }

    fn estimated_seconds(&self, sizes: &RunSizes) -> f64 {
        let attempts = sizes.train_problems * self.samples as usize;
        sizes.time.sampling_seconds(attempts)
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let problems = self.on.read_problems(context)?;
        let mut model = context.load_model(&self.policy, &self.on.backend)?;
        let done = context.process_in_chunks(
            (WORKING_FILE, CHUNK_PROBLEMS),
            &problems,
            |episodes: &Vec<Episode>| sampled_tokens(episodes),
            |chunk| self.sample_chunk(&mut model, chunk),
        )?;
        let episodes = done.concat();
        context.write_rows(EPISODES, &episodes)?;
        let solved = |all: &&Vec<Episode>| all.iter().any(Episode::ends_right);
        let mut counts = json!({
            "episodes": episodes.len(),
            "right": episodes.iter().filter(|episode| episode.ends_right()).count(),
            "problems_solved": done.iter().filter(solved).count(),
        });
        ComputeCost::for_sampling(&episodes, &model.decoder).add_to_counts(&mut counts);
        Ok(StageOutput::new_without_backend(&[EPISODES], counts).with_backend(&self.on.backend))
    }

    fn grading(&self) -> Option<StageGrading<'_>> {
        Some(self.on.grading())
    }
}

impl SampleStage {
    /// The attempts at each problem.
    fn sample_chunk(
        &self,
        model: &mut LanguageModel,
        problems: &[Problem],
    ) -> Result<Vec<Vec<Episode>>, StageError> {
        let SamplingTask {
            prompt,
            sampling,
            seed,
            ..
        } = &self.on;
        let grade = |problem: &Problem, text: &str| self.on.grade(problem, text);
        let config = self.on.rollout_config(1);
        // Sample 0 belongs to sequential logs.
        let number = self.samples + 1;
        let sampled = parallel_samples(model, problems, &config, number, *seed, &grade)?;
        let mut attempts: Vec<Vec<Episode>> = sampled
            .chunks(self.samples as usize)
            .map(<[Episode]>::to_vec)
            .collect();
        if self.rationalise {
            let unsolved: Vec<&Problem> = problems
                .iter()
                .zip(&attempts)
                .filter(|(_, all)| !all.iter().any(Episode::ends_right))
                .map(|(problem, _)| problem)
                .collect();
            let wording = (prompt, sampling);
            for episode in rationalise(model, &unsolved, wording, number, *seed, &grade)? {
                let index = problems
                    .iter()
                    .position(|problem| problem.id == episode.problem);
                attempts[index.expect("the problem is of this chunk")].push(episode);
            }
        }
        Ok(attempts)
    }
}
