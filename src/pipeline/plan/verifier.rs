//! The steps of methods that compare answers: preferences between them, and ranks by a verifier.

use serde_json::json;

use crate::data::{Inquiry, Prompt};
use crate::domain::Key;
use crate::pipeline::base_plan::texts;
use crate::pipeline::{ExampleSource, Job, Kind, Stage};

use super::Plan;

impl Plan<'_> {
    /// Right answers against wrong ones.
    pub fn preferences(&mut self, name: &str, episodes: &[Key]) -> Key {
        let (references, seed) = (self.has_references(), self.seed("preferences"));
        let source = ExampleSource::Preferences {
            episodes: episodes.to_vec(),
            references,
            seed,
        };
        let content = json!({ "preferences": { "references": references, "seed": seed } });
        self.filtered(name, source, episodes, content)
    }

    /// Dialogues that end right against dialogues that end wrong.
    pub fn trajectories(&mut self, name: &str, episodes: &[Key]) -> Key {
        let source = ExampleSource::Trajectories {
            episodes: episodes.to_vec(),
        };
        let texts = self.prompt().inquiry_key(Inquiry::Verify);
        let content = json!({ "trajectories": { "inquiry": texts } });
        self.filtered(name, source, episodes, content)
    }

    /// The first attempts of an evaluation in a verifier's order; `generator` made them.
    pub fn rank(&mut self, name: &str, verifier: &Key, generator: &Key, evaluation: &Key) {
        let config = self.run.verifier;
        let prompt = Prompt {
            answer_form: self.run.evaluated_form(),
            ..self.prompt()
        };
        let reference = config.ratio.then(|| generator.clone());
        let mut inputs = vec![self.test.clone(), evaluation.clone(), verifier.clone()];
        inputs.extend(reference.clone());
        let content = json!({ "samples": config.samples, "prompt": texts(prompt) });
        let job = Job::Rank {
            problems: self.test.clone(),
            task: self.run.evaluated_task().clone(),
            grader: self.asked_grader(),
            episodes: evaluation.clone(),
            verifier: verifier.clone(),
            reference,
            samples: config.samples,
            prompt,
            backend: self.run.backend.clone(),
        };
        let attempts = self.run.data.of(self.run.evaluate.split) * config.samples as usize;
        let estimate = self.estimate.sampling(attempts);
        let key = self.add(Stage::new(
            Kind::Rank,
            self.label("rank", name),
            job,
            inputs,
            &content,
            estimate,
        ));
        self.scored(name, verifier, key);
    }
}
