//! The steps that give new weights.

use serde_json::json;

use crate::config::{PreferenceConfig, canonical_json};
use crate::domain::Key;
use crate::pipeline::base_plan::prompt_key_content;
use crate::pipeline::{StageKind, StageNode, StageSpec};
use crate::train::{OnlineConfig, TrainConfig};

use super::RunPlanner;

impl RunPlanner<'_> {
    /// New weights.
    pub fn train(&mut self, name: &str, start: &Key, examples: &[Key]) -> Key {
        let (train, seed) = (self.run.train.clone(), self.stage_seed("train"));
        let content = json!({ "train": canonical_json(&train), "seed": seed });
        let inputs: Vec<Key> = std::iter::once(start).chain(examples).cloned().collect();
        let estimate = self
            .estimator
            .training_seconds(self.total_expected_turns(examples), &train);
        let job = StageSpec::Train {
            start: start.clone(),
            examples: examples.to_vec(),
            train,
            seed,
            backend: self.run.backend.clone(),
        };
        self.add_stage(StageNode::new(
            StageKind::Train,
            self.stage_label("train", name),
            job,
            inputs,
            &content,
            estimate,
        ))
    }

    /// New weights by direct preference optimisation against the checkpoint that it starts from.
    pub fn train_dpo(&mut self, name: &str, start: &Key, pairs: &[Key]) -> Key {
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
        let seed = self.stage_seed("prefer");
        let content = json!({ "train": canonical_json(&train), "beta": beta, "seed": seed });
        let inputs: Vec<Key> = std::iter::once(start).chain(pairs).cloned().collect();
        // A pass without gradients before the one with them.
        let estimate = 4.0 / 3.0
            * self
                .estimator
                .training_seconds(self.total_expected_turns(pairs), &train);
        let (start, pairs, backend) = (start.clone(), pairs.to_vec(), self.run.backend.clone());
        let job = StageSpec::Prefer {
            start,
            pairs,
            beta,
            train,
            seed,
            backend,
        };
        self.add_stage(StageNode::new(
            StageKind::Prefer,
            self.stage_label("prefer", name),
            job,
            inputs,
            &content,
            estimate,
        ))
    }

    /// New weights by online reinforcement learning, held near `reference`.
    pub fn train_online(
        &mut self,
        name: &str,
        start: &Key,
        reference: &Key,
        settings: OnlineConfig,
        learning_rate: f64,
    ) -> Key {
        let defaults = TrainConfig::default();
        let (epochs, batch) = (defaults.epochs, defaults.batch_size);
        let train = TrainConfig {
            epochs,
            batch_size: batch,
            learning_rate,
            ..self.run.train.clone()
        };
        let (prompt, sampling) = (self.prompt(), self.run.collect.sampling);
        let seed = self.stage_seed("reinforce").derive(name);
        let content = json!({
            "task": self.task_fingerprint, "grader": self.run.grader().identity(), "settings": settings, "prompt": prompt_key_content(prompt),
            "sampling": canonical_json(&sampling), "train": canonical_json(&train), "seed": seed,
        });
        let inputs = vec![
            self.train_problems.clone(),
            start.clone(),
            reference.clone(),
        ];
        let job = StageSpec::TrainOnline {
            problems: self.train_problems.clone(),
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
        let estimate = self.estimator.online_training_seconds(&settings);
        let label = self.stage_label("reinforce", name);
        self.add_stage(StageNode::new(
            StageKind::TrainOnline,
            label,
            job,
            inputs,
            &content,
            estimate,
        ))
    }
}
