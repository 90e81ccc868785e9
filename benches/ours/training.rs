//! Optimizer steps: batch, loss, gradients, clipping, AdamW.

use std::error::Error;

use rise_lab::model::Decoder;
use rise_lab::train::{
    AdamW, Batch, EncodedExample, LossReduction, LossTarget, StepResult, TrainConfig, train_step,
};
use serde_json::{Value, json};

use crate::inputs::BenchmarkSetting;
use crate::player::BenchmarkPlayer;

const RATE: f64 = 5e-4;
/// Steps whose losses both sides compare.
const CHECKED: usize = 4;

/// A training that goes round its batches.
pub struct TrainingBenchmark {
    /// None only within a step, which takes it to move the weights in place.
    decoder: Option<Decoder>,
    examples: Vec<Vec<EncodedExample>>,
    adam: AdamW,
    config: TrainConfig,
}

impl TrainingBenchmark {
    /// Loads model and batches; every position is a target and counts alike.
    pub fn open(setting: &BenchmarkSetting, threads: usize) -> Result<Self, Box<dyn Error>> {
        let data = setting.data()?;
        let (decoder, _) = setting.decoder(data.vocabulary, threads)?;
        let encoded = |tokens: Vec<u32>| EncodedExample {
            targets: vec![LossTarget {
                start: 1,
                end: tokens.len(),
                weight: 1.0,
            }],
            tokens,
        };
        let examples = data
            .batches
            .into_iter()
            .map(|batch| batch.into_iter().map(encoded).collect())
            .collect();
        Ok(Self {
            decoder: Some(decoder),
            examples,
            adam: AdamW::default(),
            config: TrainConfig::default(),
        })
    }

    /// Tokens of a step, its loss, and the norm of its gradient.
    fn step(&mut self) -> (usize, f64, f64) {
        let turn = self.adam.steps as usize % self.examples.len();
        let examples: Vec<&EncodedExample> = self.examples[turn].iter().collect();
        let batch = Batch::new(&examples, LossReduction::PerToken);
        let decoder = self.decoder.take().expect("put back after every step");
        let StepResult {
            decoder,
            loss,
            grad_norm: norm,
        } = train_step(decoder, &batch, &mut self.adam, &self.config, RATE);
        self.decoder = Some(decoder);
        (batch.inputs.tokens.len(), loss, norm)
    }
}

impl BenchmarkPlayer for TrainingBenchmark {
    fn check(&mut self) -> Value {
        let steps = (0..CHECKED).map(|_| self.step());
        let (losses, norms): (Vec<f64>, Vec<f64>) =
            steps.map(|(_, loss, norm)| (loss, norm)).unzip();
        json!({ "losses": losses, "norms": norms })
    }

    fn run(&mut self) -> (usize, Value) {
        let (tokens, loss, _) = self.step();
        (tokens, json!({ "loss": loss }))
    }
}
