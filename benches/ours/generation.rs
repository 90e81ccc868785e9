//! Batched greedy generation from prompts of unequal lengths.

use std::error::Error;

use rise_lab::domain::{Sampling, Seed};
use rise_lab::model::{Decoder, Prompted, generate};
use serde_json::{Value, json};

use crate::inputs::Setting;
use crate::player::Player;

/// Prompts with the model that continues them.
pub struct Generation {
    decoder: Decoder,
    prompts: Vec<Prompted>,
    sampling: Sampling,
    stops: Vec<u32>,
}

impl Generation {
    /// Loads model and prompts.
    pub fn open(setting: &Setting, threads: usize) -> Result<Self, Box<dyn Error>> {
        let data = setting.data()?;
        let (decoder, _) = setting.decoder(data.vocabulary, threads)?;
        let prompt = |tokens| Prompted {
            tokens,
            seeds: vec![Seed(0)],
        };
        let prompts = data.prompts.into_iter().map(prompt).collect();
        let sampling = Sampling {
            temperature: 0.0,
            max_tokens: setting.tokens,
            ..Sampling::default()
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

impl Player for Generation {
    fn check(&mut self) -> Value {
        json!({ "continuations": self.continuations() })
    }

    fn run(&mut self) -> (usize, Value) {
        (self.continuations().iter().map(Vec::len).sum(), Value::Null)
    }
}
