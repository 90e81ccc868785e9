//! The steps of GLoRe: verifiers of whole and of begun attempts, refinements, and their evaluation.

use serde_json::{Value, json};

use crate::data::{Inquiry, Prompt};
use crate::domain::Key;
use crate::pipeline::base_plan::texts;
use crate::pipeline::{ExampleSource, Job, Kind, Stage};
use crate::spec::canonical;

use super::Plan;

/// The checkpoints that draft, judge and refine.
pub struct Bench {
    /// Drafts.
    pub generator: Key,
    /// Judges whole attempts.
    pub outcome: Key,
    /// Judges attempts up to a step.
    pub stepwise: Key,
    /// Refines a draft.
    pub global: Key,
    /// Refines a draft from the step that it is told.
    pub local: Key,
}

impl Plan<'_> {
    /// Attempts and whether they are right.
    pub fn outcomes(&mut self, name: &str, episodes: &[Key]) -> Key {
        let source = ExampleSource::Outcomes {
            episodes: episodes.to_vec(),
        };
        let content = json!({ "outcomes": { "inquiry": self.verify_key() } });
        self.filtered(name, source, episodes, content)
    }

    /// Samples judged step by step by going on from each step.
    pub fn steps(&mut self, name: &str, episodes: &Key, policy: &Key) -> Key {
        let (prompt, sampling, glore) = (self.prompt(), self.run.collect.sampling, self.run.glore);
        let seed = self.seed("steps");
        let content = json!({
            "task": self.task, "grader": self.run.grader().identity(), "steps": glore, "prompt": texts(prompt),
            "sampling": canonical(&sampling), "seed": seed,
        });
        let inputs = vec![self.train.clone(), episodes.clone(), policy.clone()];
        let job = Job::Steps {
            problems: self.train.clone(),
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
        let estimate = self.estimate.sampling(rollouts);
        self.add(Stage::new(
            Kind::Steps,
            self.label("steps", name),
            job,
            inputs,
            &content,
            estimate,
        ))
    }

    /// Beginnings of attempts and whether a right answer is within reach.
    pub fn stepwise(&mut self, name: &str, steps: &Key) -> Key {
        let source = ExampleSource::Stepwise {
            steps: steps.clone(),
        };
        let content = json!({ "stepwise": { "inquiry": self.verify_key() } });
        self.filtered(name, source, std::slice::from_ref(steps), content)
    }

    /// Wrong attempts, each with the step that went wrong and a right attempt that keeps the others.
    pub fn refinements(&mut self, name: &str, steps: &Key) -> Key {
        let references = self.has_references();
        let source = ExampleSource::Refinements {
            steps: steps.clone(),
            references,
        };
        let content = json!({ "refinements": { "references": references, "request": Prompt::refinement_key() } });
        self.filtered(name, source, std::slice::from_ref(steps), content)
    }

    /// Drafts on the problems of the evaluation, refined and reranked.
    pub fn refine(&mut self, name: &str, bench: &Bench) {
        let Bench {
            generator,
            outcome,
            stepwise,
            global,
            local,
        } = bench;
        let prompt = Prompt {
            answer_form: self.run.evaluated_form(),
            ..self.prompt()
        };
        let sampling = self.run.evaluate.sampling;
        // The first drafts are the first attempts of the generator's own evaluation.
        let seed = self.seed("evaluate");
        let content = json!({
            "task": self.asked, "grader": self.asked_grader().identity(), "prompt": texts(prompt), "inquiry": self.verify_key(),
            "request": Prompt::refinement_key(), "sampling": canonical(&sampling), "seed": seed,
        });
        let mut inputs = vec![self.test.clone()];
        inputs.extend([generator, outcome, stepwise, global, local].map(Clone::clone));
        let job = Job::Refine {
            problems: self.test.clone(),
            task: self.run.evaluated_task().clone(),
            grader: self.asked_grader(),
            generator: generator.clone(),
            outcome: outcome.clone(),
            stepwise: stepwise.clone(),
            global: global.clone(),
            local: local.clone(),
            prompt,
            sampling,
            seed,
            backend: self.run.backend.clone(),
        };
        let estimate = self
            .estimate
            .sampling(self.run.data.of(self.run.evaluate.split) * 12);
        let label = self.label("refine", name);
        let key = self.add(Stage::new(
            Kind::Refine,
            label,
            job,
            inputs,
            &content,
            estimate,
        ));
        self.scored(name, global, key);
    }

    fn verify_key(&self) -> Value {
        json!(self.prompt().inquiry_key(Inquiry::Verify))
    }
}
