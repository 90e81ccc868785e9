//! Optimizer steps: batch, loss, gradients, clipping, AdamW.

use std::error::Error;

use rise_lab::model::{Decoder, Place};
use rise_lab::train::{AdamW, Batch, Encoded, Normalise, Stepped, TrainConfig, step};
use serde_json::{Value, json};

use crate::inputs::Setting;
use crate::player::Player;

const RATE: f64 = 5e-4;
/// Steps whose losses both sides compare.
const CHECKED: usize = 4;

/// A training that goes round its batches.
pub struct Training {
    decoder: Decoder,
    place: Place,
    examples: Vec<Vec<Encoded>>,
    adam: AdamW,
    config: TrainConfig,
}

impl Training {
    /// Loads model and batches; every position is a target and counts alike.
    pub fn open(setting: &Setting, threads: usize) -> Result<Self, Box<dyn Error>> {
        let data = setting.data()?;
        let (decoder, place) = setting.decoder(data.vocabulary, threads)?;
        let encoded = |tokens: Vec<u32>| Encoded { targets: vec![(1, tokens.len(), 1.0)], tokens };
        let examples =
            data.batches.into_iter().map(|batch| batch.into_iter().map(encoded).collect()).collect();
        Ok(Self { decoder, place, examples, adam: AdamW::default(), config: TrainConfig::default() })
    }

    fn step(&mut self) -> (usize, Stepped) {
        let turn = self.adam.steps as usize % self.examples.len();
        let examples: Vec<&Encoded> = self.examples[turn].iter().collect();
        let batch = Batch::new(&examples, Normalise::Token);
        let stepped = step(&self.decoder, &batch, &mut self.adam, &self.config, RATE, &self.place);
        self.decoder = self.decoder.with_weights(stepped.weights.clone());
        (batch.inputs.tokens.len(), stepped)
    }
}

impl Player for Training {
    fn check(&mut self) -> Value {
        let steps: Vec<Stepped> = (0..CHECKED).map(|_| self.step().1).collect();
        let (losses, norms): (Vec<f64>, Vec<f64>) = steps.iter().map(|step| (step.loss, step.norm)).unzip();
        json!({ "losses": losses, "norms": norms })
    }

    fn run(&mut self) -> (usize, Value) {
        let (tokens, stepped) = self.step();
        (tokens, json!({ "loss": stepped.loss }))
    }
}
