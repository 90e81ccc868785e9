//! The steps stage: samples judged step by step, by continuations from each step.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::{Episode, Key, Problem, StepLabeledAttempt};
use crate::pipeline::context::{StageContext, StageError, StageOutput, WORKING_FILE};
use crate::pipeline::stage::{Stage, StageGrading, StageKind};
use crate::pipeline::stage_files::{EPISODES, STEPS};
use crate::pipeline::time_estimate::RunSizes;
use crate::rollout::{
    ContinuationConfig, GloreConfig, ProblemStepLabels, StepLabelRequest, label_steps,
};
use crate::train::AttemptPool;

use super::cost::ComputeCost;
use super::sampling_task::SamplingTask;

/// Problems whose attempts are judged together.
const CHUNK_PROBLEMS: usize = 50;

/// Judge samples step by step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelStepsStage {
    /// The problems, and the way in which the policy answers them.
    #[serde(flatten)]
    pub on: SamplingTask,
    /// The stage with the samples.
    pub episodes: Key,
    /// The checkpoint that continues from each step.
    pub policy: Key,
    /// The number of attempts and of continuations.
    #[serde(rename = "steps")]
    pub glore: GloreConfig,
}

impl Stage for LabelStepsStage {
    fn kind(&self) -> StageKind {
        StageKind::LabelSteps
    }

    fn inputs(&self) -> Vec<Key> {
        [&self.on.problems, &self.episodes, &self.policy]
            .map(Key::clone)
            .to_vec()
    }

    fn estimated_seconds(&self, sizes: &RunSizes) -> f64 {
        // About three steps to continue from.
        let rollouts = 3 * (self.glore.attempts * self.glore.rollouts) as usize;
        sizes.time.sampling_seconds(sizes.train_problems * rollouts)
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let SamplingTask { seed, backend, .. } = &self.on;
        let problems = self.on.read_problems(context)?;
        let episodes: Vec<Episode> = context.read_rows(&self.episodes, EPISODES)?;
        let requests: Vec<StepLabelRequest<'_>> =
            AttemptPool::for_problems(&problems, &episodes, false)
                .iter()
                .map(|pool| choose_attempts(pool, self.glore.attempts as usize))
                .collect();
        let mut model = context.load_model(&self.policy, backend)?;
        let config = ContinuationConfig {
            prompt: self.on.prompt,
            sampling: self.on.sampling,
            continuations: self.glore.rollouts,
        };
        let grade = |problem: &Problem, text: &str| self.on.grade(problem, text);
        let done = context.process_in_chunks(
            (WORKING_FILE, CHUNK_PROBLEMS),
            &requests,
            |labels: &ProblemStepLabels| labels.sampled_tokens,
            |chunk| Ok(label_steps(&mut model, chunk, config, *seed, &grade)?),
        )?;
        let cost = ComputeCost {
            prompt_tokens: done.iter().map(|labels| labels.prompt_tokens).sum(),
            sampled_tokens: context.sampled_tokens,
            ..ComputeCost::for_model(&model.decoder)
        };
        let attempts: Vec<StepLabeledAttempt> = done
            .into_iter()
            .flat_map(|labels| labels.attempts)
            .collect();
        context.write_rows(STEPS, &attempts)?;
        let steps = || attempts.iter().flat_map(|attempt| &attempt.steps);
        let mut counts = json!({
            "attempts": attempts.len(),
            "right": attempts.iter().filter(|attempt| attempt.right).count(),
            "steps": steps().count(),
            "good": steps().filter(|step| step.right_completion.is_some()).count(),
        });
        cost.add_to_counts(&mut counts);
        Ok(StageOutput::new_without_backend(&[STEPS], counts).with_backend(backend))
    }

    fn grading(&self) -> Option<StageGrading<'_>> {
        Some(self.on.grading())
    }
}

/// At most `attempts` attempts, wrong ones first; one of them is right where any is.
fn choose_attempts<'a>(pool: &AttemptPool<'a>, attempts: usize) -> StepLabelRequest<'a> {
    let right = pool
        .right
        .len()
        .min(attempts.saturating_sub(pool.wrong.len()).max(1));
    let wrong = pool.wrong.len().min(attempts - right.min(attempts));
    StepLabelRequest {
        problem: pool.problem,
        wrong: pool.wrong[..wrong].to_vec(),
        right: pool.right[..right].to_vec(),
        fresh_attempt: pool.right.first().copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_attempts_come_first_and_a_right_one_is_among_them() {
        let problem = Problem {
            id: "p".to_owned(),
            question: "?".to_owned(),
            answer: "1".to_owned(),
            solution: None,
        };
        let counts = |wrong: usize, right: usize| {
            let pool = AttemptPool {
                problem: &problem,
                wrong: vec!["w"; wrong],
                right: vec!["r"; right],
            };
            let chosen = choose_attempts(&pool, 4);
            assert_eq!(chosen.fresh_attempt.is_some(), right > 0);
            (chosen.wrong.len(), chosen.right.len())
        };
        assert_eq!(counts(8, 0), (4, 0));
        assert_eq!(counts(8, 5), (3, 1));
        assert_eq!(counts(2, 5), (2, 2));
        assert_eq!(counts(0, 9), (0, 4));
        assert_eq!(counts(1, 1), (1, 1));
    }
}
