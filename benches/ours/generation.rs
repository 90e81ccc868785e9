//! Batched greedy generation from prompts of unequal lengths.

use std::error::Error;

use rise_lab::domain::{SamplingConfig, Seed};
use rise_lab::model::{Decoder, GenerationPrompt, generate};
use serde_json::{Value, json};

use crate::inputs::BenchmarkSetting;
use crate::player::BenchmarkPlayer;

/// Prompts with the model that continues them.
pub struct GenerationBenchmark {
    decoder: Decoder,
    prompts: Vec<GenerationPrompt>,
    sampling: SamplingConfig,
    stops: Vec<u32>,
}

impl GenerationBenchmark {
    /// Loads model and prompts.
    pub fn open(setting: &BenchmarkSetting, threads: usize) -> Result<Self, Box<dyn Error>> {
        let data = setting.data()?;
        let (decoder, _) = setting.decoder(data.vocabulary, threads)?;
        let prompt = |tokens| GenerationPrompt {
            tokens,
            seeds: vec![Seed(0)],
        };
        let prompts = data.prompts.into_iter().map(prompt).collect();
        let sampling = SamplingConfig {
            temperature: 0.0,
            max_tokens: setting.tokens,
            ..SamplingConfig::default()
        };
        Ok(Self {
            decoder,
            prompts,
            sampling,
            stops: data.stops,
        })
    }

    /// The continuation of each prompt.
    fn continuations(&self) -> Vec<Vec<u32>> {
        generate(&self.decoder, &self.prompts, &self.sampling, &self.stops)
            .into_iter()
            .map(|mut samples| samples.pop().expect("one seed gives one sample"))
            .collect()
    }
}

impl BenchmarkPlayer for GenerationBenchmark {
    fn check(&mut self) -> Value {
        json!({ "continuations": self.continuations() })
    }

    fn run(&mut self) -> (usize, Value) {
        (self.continuations().iter().map(Vec::len).sum(), Value::Null)
    }
}
