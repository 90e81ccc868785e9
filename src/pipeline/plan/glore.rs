//! The steps of GLoRe: verifiers of whole and of begun attempts, refinements, and their evaluation.

use serde_json::{Value, json};

use crate::config::canonical_json;
use crate::data::{PromptConfig, SelfReview};
use crate::domain::Key;
use crate::pipeline::base_plan::prompt_key_content;
use crate::pipeline::{ExampleSource, StageKind, StageNode, StageSpec};

use super::RunPlanner;

/// The checkpoints that draft, judge and refine.
pub struct GloreCheckpoints {
    /// Drafts.
    pub generator: Key,
    /// Judges whole attempts.
    pub outcome_verifier: Key,
    /// Judges attempts up to a step.
    pub step_verifier: Key,
    /// Refines a draft.
    pub global_refiner: Key,
    /// Refines a draft from the step that it is told.
    pub local_refiner: Key,
}

impl RunPlanner<'_> {
    /// Attempts and whether they are right.
    pub fn outcome_examples(&mut self, name: &str, episodes: &[Key]) -> Key {
        let source = ExampleSource::OutcomeLabels {
            episodes: episodes.to_vec(),
        };
        let content = json!({ "outcomes": { "inquiry": self.verify_prompt_key() } });
        self.add_train_examples(name, source, episodes, content)
    }

    /// Samples judged step by step by going on from each step.
    pub fn label_steps(&mut self, name: &str, episodes: &Key, policy: &Key) -> Key {
        let (prompt, sampling, glore) = (self.prompt(), self.run.collect.sampling, self.run.glore);
        let seed = self.stage_seed("steps");
        let content = json!({
            "task": self.task_fingerprint, "grader": self.run.grader().identity(), "steps": glore, "prompt": prompt_key_content(prompt),
            "sampling": canonical_json(&sampling), "seed": seed,
        });
        let inputs = vec![
            self.train_problems.clone(),
            episodes.clone(),
            policy.clone(),
        ];
        let job = StageSpec::LabelSteps {
            problems: self.train_problems.clone(),
            task: self.run.task.clone(),
            grader: self.run.grader(),
            episodes: episodes.clone(),
            policy: policy.clone(),
            glore,
            prompt,
            sampling,
            seed,
            backend: self.run.backend.clone(),
        };
        // About three steps to go on from.
        let rollouts = self.run.data.train * 3 * (glore.attempts * glore.rollouts) as usize;
        let estimate = self.estimator.sampling_seconds(rollouts);
        self.add_stage(StageNode::new(
            StageKind::LabelSteps,
            self.stage_label("steps", name),
            job,
            inputs,
            &content,
            estimate,
        ))
    }

    /// Beginnings of attempts and whether a right answer is within reach.
    pub fn step_examples(&mut self, name: &str, steps: &Key) -> Key {
        let source = ExampleSource::StepLabels {
            steps: steps.clone(),
        };
        let content = json!({ "stepwise": { "inquiry": self.verify_prompt_key() } });
        self.add_train_examples(name, source, std::slice::from_ref(steps), content)
    }

    /// Wrong attempts, each with the step that went wrong and a right attempt that keeps the others.
    pub fn refinement_examples(&mut self, name: &str, steps: &Key) -> Key {
        let references = self.can_train_on_references();
        let source = ExampleSource::Refinements {
            steps: steps.clone(),
            include_references: references,
        };
        let content = json!({ "refinements": { "references": references, "request": PromptConfig::refinement_key() } });
        self.add_train_examples(name, source, std::slice::from_ref(steps), content)
    }

    /// Drafts on the problems of the evaluation, refined and reranked.
    pub fn refine_drafts(&mut self, name: &str, bench: &GloreCheckpoints) {
        let GloreCheckpoints {
            generator,
            outcome_verifier: outcome,
            step_verifier: stepwise,
            global_refiner: global,
            local_refiner: local,
        } = bench;
        let prompt = PromptConfig {
            answer_form: self.run.eval_answer_form(),
            ..self.prompt()
        };
        let sampling = self.run.evaluate.sampling;
        // The first drafts are the first attempts of the generator's own evaluation.
        let seed = self.stage_seed("evaluate");
        let content = json!({
            "task": self.eval_task_fingerprint, "grader": self.eval_grader().identity(), "prompt": prompt_key_content(prompt), "inquiry": self.verify_prompt_key(),
            "request": PromptConfig::refinement_key(), "sampling": canonical_json(&sampling), "seed": seed,
        });
        let mut inputs = vec![self.eval_problems.clone()];
        inputs.extend([generator, outcome, stepwise, global, local].map(Clone::clone));
        let job = StageSpec::Refine {
            problems: self.eval_problems.clone(),
            task: self.run.eval_task().clone(),
            grader: self.eval_grader(),
            generator: generator.clone(),
            outcome_verifier: outcome.clone(),
            step_verifier: stepwise.clone(),
            global_refiner: global.clone(),
            local_refiner: local.clone(),
            prompt,
            sampling,
            seed,
            backend: self.run.backend.clone(),
        };
        let estimate = self
            .estimator
            .sampling_seconds(self.run.data.get(self.run.evaluate.split) * 12);
        let label = self.stage_label("refine", name);
        let key = self.add_stage(StageNode::new(
            StageKind::Refine,
            label,
            job,
            inputs,
            &content,
            estimate,
        ));
        self.record_checkpoint(name, global, key);
    }

    fn verify_prompt_key(&self) -> Value {
        json!(self.prompt().self_review_key(SelfReview::Verify))
    }
}
