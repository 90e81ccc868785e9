//! The steps that give new weights.

use serde_json::json;

use crate::domain::Key;
use crate::pipeline::base_plan::texts;
use crate::pipeline::{Job, Kind, Stage};
use crate::spec::{PreferenceConfig, canonical};
use crate::train::{Reinforce, TrainConfig};

use super::Plan;

impl Plan<'_> {
    /// New weights.
    pub fn train(&mut self, name: &str, start: &Key, examples: &[Key]) -> Key {
        let (train, seed) = (self.run.train.clone(), self.seed("train"));
        let content = json!({ "train": canonical(&train), "seed": seed });
        let inputs: Vec<Key> = std::iter::once(start).chain(examples).cloned().collect();
        let estimate = self.estimate.training(self.turns(examples), &train);
        let job = Job::Train {
            start: start.clone(),
            examples: examples.to_vec(),
            train,
            seed,
            backend: self.run.backend.clone(),
        };
        self.add(Stage::new(
            Kind::Train,
            self.label("train", name),
            job,
            inputs,
            &content,
            estimate,
        ))
    }

    /// New weights by direct preference optimisation against the checkpoint that it starts from.
    pub fn prefer(&mut self, name: &str, start: &Key, pairs: &[Key]) -> Key {
        let PreferenceConfig {
            beta,
            epochs,
            learning_rate,
        } = self.run.preference;
        let train = TrainConfig {
            epochs,
            learning_rate,
            ..self.run.train.clone()
        };
        let seed = self.seed("prefer");
        let content = json!({ "train": canonical(&train), "beta": beta, "seed": seed });
        let inputs: Vec<Key> = std::iter::once(start).chain(pairs).cloned().collect();
        // A pass without gradients before the one with them.
        let estimate = 4.0 / 3.0 * self.estimate.training(self.turns(pairs), &train);
        let (start, pairs, backend) = (start.clone(), pairs.to_vec(), self.run.backend.clone());
        let job = Job::Prefer {
            start,
            pairs,
            beta,
            train,
            seed,
            backend,
        };
        self.add(Stage::new(
            Kind::Prefer,
            self.label("prefer", name),
            job,
            inputs,
            &content,
            estimate,
        ))
    }

    /// New weights by online reinforcement learning, held near `reference`.
    pub fn reinforce(
        &mut self,
        name: &str,
        start: &Key,
        reference: &Key,
        settings: Reinforce,
        learning_rate: f64,
    ) -> Key {
        let defaults = TrainConfig::default();
        let (epochs, batch) = (defaults.epochs, defaults.batch);
        let train = TrainConfig {
            epochs,
            batch,
            learning_rate,
            ..self.run.train.clone()
        };
        let (prompt, sampling) = (self.prompt(), self.run.collect.sampling);
        let seed = self.seed("reinforce").named(name);
        let content = json!({
            "task": self.task, "grader": self.run.grader().identity(), "settings": settings, "prompt": texts(prompt),
            "sampling": canonical(&sampling), "train": canonical(&train), "seed": seed,
        });
        let inputs = vec![self.train.clone(), start.clone(), reference.clone()];
        let job = Job::Reinforce {
            problems: self.train.clone(),
            grader: self.run.grader(),
            start: start.clone(),
            reference: reference.clone(),
            settings,
            prompt,
            sampling,
            train,
            seed,
            backend: self.run.backend.clone(),
        };
        let estimate = self.estimate.practice(&settings);
        let label = self.label("reinforce", name);
        self.add(Stage::new(
            Kind::Reinforce,
            label,
            job,
            inputs,
            &content,
            estimate,
        ))
    }
}
