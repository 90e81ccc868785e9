//! Models of the sizes that people fine-tune, with random weights, on one device: seconds of
//! optimizer steps and of generation.
//!
//! One JSON object in, one out; `benches/size.py` asks and compares.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use rise_lab::domain::{SamplingConfig, Seed};
use rise_lab::model::{
    Decoder, ExecutionContext, GenerationPrompt, LoraAdapters, LoraConfig, LossTargets,
    ModelConfig, ParameterVisitor, Precision, RaggedBatch, Weights, device_name, generate,
};
use rise_lab::train::{AdamW, Batch, TrainConfig, train_step};
use serde::Deserialize;
use serde_json::{Value, json};

/// What is measured.
#[derive(Debug, Deserialize)]
struct SizeSetting {
    backend: String,
    precision: Precision,
    model: ModelConfig,
    vocabulary: usize,
    /// Gibibytes that activations may take.
    activations: usize,
    /// Sequences of a step, tokens of each, and how many steps are timed; 0 for none.
    batch: usize,
    length: usize,
    steps: usize,
    /// Prompts, tokens of each, and tokens that are written; 0 for none.
    prompts: usize,
    prompt: usize,
    tokens: usize,
    /// Rank of adapters, which are trained alone; 0 to train everything.
    #[serde(default)]
    lora: usize,
}

/// Measures one setting, given as JSON.
pub fn report(setting: &str) -> Result<(), Box<dyn Error>> {
    let setting: SizeSetting = serde_json::from_str(setting)?;
    let activations = setting.activations << 30;
    let place = ExecutionContext {
        precision: setting.precision,
        activation_budget: activations,
        ..ExecutionContext::open(&setting.backend)?
    };
    place
        .threads
        .set_count(std::thread::available_parallelism()?.get().min(8));
    let began = Instant::now();
    let mut weights = random(&setting, &place.device);
    let count = weights.parameter_count();
    if setting.lora > 0 {
        weights = frozen(weights, &setting, &place.device);
    }
    let decoder = Decoder::new(setting.model.clone(), weights, &place);
    place.device.sync().map_err(|error| format!("{error:?}"))?;
    let mut answer = json!({
        "device": device_name(&place.device),
        "parameters": count,
        "making weights": began.elapsed().as_secs_f64(),
    });
    if setting.prompts > 0 {
        answer["generation"] = generation(&setting, &decoder);
    }
    if setting.steps > 0 {
        answer["training"] = training(&setting, decoder, &place)?;
    }
    println!("{answer}");
    Ok(())
}

/// Weights with the spread of a fresh model, drawn on the device.
fn random(setting: &SizeSetting, device: &Device) -> Weights {
    struct RandomFill<'a>(&'a Device, &'a [(String, Vec<usize>)], usize);
    impl ParameterVisitor for RandomFill<'_> {
        fn visit<const R: usize>(&mut self, _: &str, _: Tensor<R>) -> Tensor<R> {
            let (name, shape) = &self.1[self.2];
            self.2 += 1;
            let shape: [usize; R] = shape.clone().try_into().expect("the parameter's rank");
            let spread = if name == "embedding" {
                0.02
            } else {
                (3.0 * shape[0] as f64).sqrt().recip()
            };
            if R == 1 {
                Tensor::ones(shape, self.0)
            } else {
                Tensor::random(shape, Distribution::Normal(0.0, spread), self.0)
            }
        }
    }
    let shapes = shapes(&setting.model, setting.vocabulary);
    empty(&setting.model, device).map_parameters(&mut RandomFill(device, &shapes, 0))
}

/// The weights in the precision of products, as they are not trained, with fresh adapters.
fn frozen(weights: Weights, setting: &SizeSetting, device: &Device) -> Weights {
    struct Bf16Cast;
    impl ParameterVisitor for Bf16Cast {
        fn visit<const R: usize>(&mut self, _: &str, parameter: Tensor<R>) -> Tensor<R> {
            if R == 1 {
                parameter
            } else {
                parameter.cast(FloatDType::BF16)
            }
        }
    }
    let weights = if setting.precision == Precision::Bf16 {
        weights.map_parameters(&mut Bf16Cast)
    } else {
        weights
    };
    let lora = LoraConfig {
        rank: setting.lora,
        alpha: 2.0 * setting.lora as f64,
        ..LoraConfig::default()
    };
    Weights {
        adapters: Some(LoraAdapters::init(&lora, &setting.model, Seed(2), device)),
        ..weights
    }
}

/// Names and shapes of all parameters, in the order in which they are visited.
fn shapes(model: &ModelConfig, vocabulary: usize) -> Vec<(String, Vec<usize>)> {
    let (d, f) = (model.width, model.hidden);
    let packed = (model.heads + 2 * model.kv_heads) * model.head_size();
    let mut shapes = vec![("embedding".to_owned(), vec![vocabulary, d])];
    for layer in 0..model.layers {
        let block = [
            vec![d],
            vec![d, packed],
            vec![d, d],
            vec![d],
            vec![d, 2 * f],
            vec![f, d],
        ];
        shapes.extend(block.map(|shape| (format!("block {layer}"), shape)));
    }
    shapes.push(("norm".to_owned(), vec![d]));
    if !model.tied {
        shapes.push(("head".to_owned(), vec![d, vocabulary]));
    }
    shapes
}

/// Weights of no size with the right number of layers.
fn empty(model: &ModelConfig, device: &Device) -> Weights {
    let small = ModelConfig {
        width: 2,
        heads: 1,
        kv_heads: 1,
        hidden: 1,
        ..model.clone()
    };
    Weights::init_random(&small, 1, Seed(0), device)
}

fn tokens(seed: u64, count: usize, vocabulary: usize) -> Vec<u32> {
    let mut draws = Seed(seed).rng();
    (0..count)
        .map(|_| draws.int_between(0, vocabulary as i64 - 1) as u32)
        .collect()
}

/// Every position is a target.
fn batch(setting: &SizeSetting, seed: u64) -> Batch {
    let count = setting.batch * setting.length;
    let ids = |seed| tokens(seed, count, setting.vocabulary);
    let weights: Arc<[f32]> = vec![1.0 / count as f32; count].into();
    let lengths = vec![setting.length; setting.batch].into();
    Batch {
        inputs: RaggedBatch {
            tokens: ids(2 * seed),
            lengths,
        },
        targets: LossTargets {
            ids: ids(2 * seed + 1).into(),
            weights,
        },
        target_tokens: count,
    }
}

fn training(
    setting: &SizeSetting,
    mut decoder: Decoder,
    place: &ExecutionContext,
) -> Result<Value, Box<dyn Error>> {
    let (mut adam, config) = (AdamW::default(), TrainConfig::default());
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    // Two for kernels to be compiled, chosen and warm.
    for number in 0..setting.steps + 2 {
        let batch = batch(setting, number as u64);
        let began = Instant::now();
        let stepped = train_step(decoder, &batch, &mut adam, &config, 1e-5);
        decoder = stepped.decoder;
        place.device.sync().map_err(|error| format!("{error:?}"))?;
        seconds.push(began.elapsed().as_secs_f64());
        losses.push(stepped.loss);
    }
    Ok(json!({ "tokens": setting.batch * setting.length, "seconds": seconds, "losses": losses }))
}

fn generation(setting: &SizeSetting, decoder: &Decoder) -> Value {
    let sampling = SamplingConfig {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        max_tokens: setting.tokens,
    };
    let play = |seed: u64| {
        let prompt = |i| GenerationPrompt {
            tokens: tokens(seed + i, setting.prompt, setting.vocabulary),
            seeds: vec![Seed(i)],
        };
        let prompts: Vec<GenerationPrompt> = (0..setting.prompts as u64).map(prompt).collect();
        let began = Instant::now();
        let written: usize = generate(decoder, &prompts, &sampling, &[])
            .iter()
            .flatten()
            .map(Vec::len)
            .sum();
        (written, began.elapsed().as_secs_f64())
    };
    let runs: Vec<(usize, f64)> = [0, 1000, 2000].map(play).to_vec();
    json!({
        "tokens": runs[0].0,
        "seconds": runs.iter().map(|run| run.1).collect::<Vec<_>>(),
    })
}
