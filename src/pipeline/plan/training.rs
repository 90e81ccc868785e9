//! The steps that train new weights.

use crate::config::PreferenceConfig;
use crate::domain::Key;
use crate::pipeline::stages::{OnlineStage, PreferStage, TrainStage};
use crate::train::{OnlineConfig, TrainConfig};

use super::RunPlanner;

impl RunPlanner<'_> {
    /// New weights by fine-tuning on examples.
    pub fn train(&mut self, name: &str, start: &Key, examples: &[Key]) -> Key {
        let stage = TrainStage {
            start: start.clone(),
            examples: examples.to_vec(),
            train: self.run.train.clone(),
            seed: self.stage_seed("train"),
            backend: self.run.backend.clone(),
        };
        self.add_named(name, stage)
    }

    /// New weights by direct preference optimisation against the starting checkpoint.
    pub fn train_dpo(&mut self, name: &str, start: &Key, pairs: &[Key]) -> Key {
        let PreferenceConfig {
            beta,
            epochs,
            learning_rate,
        } = self.run.preference;
        let stage = PreferStage {
            start: start.clone(),
            pairs: pairs.to_vec(),
            beta,
            train: TrainConfig {
                epochs,
                learning_rate,
                ..self.run.train.clone()
            },
            seed: self.stage_seed("prefer"),
            backend: self.run.backend.clone(),
        };
        self.add_named(name, stage)
    }

    /// New weights by online reinforcement learning, close to `reference`.
    pub fn train_online(
        &mut self,
        name: &str,
        start: &Key,
        reference: &Key,
        settings: OnlineConfig,
        learning_rate: f64,
    ) -> Key {
        let TrainConfig {
            epochs, batch_size, ..
        } = TrainConfig::default();
        let stage = OnlineStage {
            on: self.on_train(self.stage_seed("reinforce").derive(name)),
            start: start.clone(),
            reference: reference.clone(),
            settings,
            train: TrainConfig {
                epochs,
                batch_size,
                learning_rate,
                ..self.run.train.clone()
            },
        };
        self.add_named(name, stage)
    }
}
