//! Checkpoints in Hugging Face's layout against what transformers computes with them: logits, greedy
//! continuations, and gradients; in both directions.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Tensor;
use rise_lab::domain::{SamplingConfig, Seed};
use rise_lab::model::checkpoint::{
    CONFIG_FILE, WEIGHTS_FILE, encode_weights, read_config, read_weights, written_config,
};
use rise_lab::model::{
    Decoder, Engine, ExecutionContext, GenerationPrompt, Gradients, LossTargets, ParameterVisitor,
    RaggedBatch, generate,
};
use safetensors::SafeTensors;
use serde::Deserialize;

use crate::support::manifest;

#[derive(Deserialize)]
struct Golden {
    vocabulary: usize,
    sequences: Vec<Vec<u32>>,
    logits: Vec<Vec<Vec<f32>>>,
    #[serde(default)]
    continuations: Vec<Vec<u32>>,
    #[serde(default)]
    loss: f64,
}

const FULL: [&str; 5] = ["llama-2", "llama-3.1", "mistral", "qwen2", "qwen3"];

fn folder(name: &str) -> PathBuf {
    manifest("tests/golden/architectures").join(name)
}

fn golden(name: &str) -> Golden {
    serde_json::from_str(&fs::read_to_string(folder(name).join("golden.json")).unwrap()).unwrap()
}

/// The checkpoint on the fused kernels, where these know the architecture, or on tensors.
fn decoder(name: &str, kernels: Engine) -> Decoder {
    let place = ExecutionContext {
        engine: kernels,
        ..ExecutionContext::open("flex").unwrap()
    };
    let config = read_config(&folder(name).join(CONFIG_FILE)).unwrap();
    let weights = read_weights(
        &folder(name).join(WEIGHTS_FILE),
        &config,
        golden(name).vocabulary,
        &place,
    )
    .unwrap();
    Decoder::new(config, weights, &place)
}

/// Log-probabilities of every token at every position follow from the logits; those of the tokens
/// that came are compared.
fn log_probabilities(golden: &Golden) -> (RaggedBatch, LossTargets, Vec<f32>) {
    let lengths: Vec<usize> = golden
        .sequences
        .iter()
        .map(|sequence| sequence.len() - 1)
        .collect();
    let inputs = golden
        .sequences
        .iter()
        .flat_map(|sequence| &sequence[..sequence.len() - 1]);
    let ids: Vec<u32> = golden
        .sequences
        .iter()
        .flat_map(|sequence| &sequence[1..])
        .copied()
        .collect();
    let expected = golden
        .sequences
        .iter()
        .zip(&golden.logits)
        .flat_map(|(sequence, logits)| {
            sequence[1..].iter().zip(logits).map(|(&id, logits)| {
                let highest = logits.iter().fold(f32::MIN, |a, &b| a.max(b));
                let sum: f32 = logits.iter().map(|logit| (logit - highest).exp()).sum();
                logits[id as usize] - highest - sum.ln()
            })
        });
    let weights: Arc<[f32]> = vec![1.0; ids.len()].into();
    let batch = RaggedBatch {
        tokens: inputs.copied().collect(),
        lengths: lengths.into(),
    };
    (
        batch,
        LossTargets {
            ids: ids.into(),
            weights,
        },
        expected.collect(),
    )
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(1e-6_f32, |most, x| most.max(x.abs()));
    a.iter()
        .zip(b)
        .fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()))
        / largest
}

#[test]
fn log_probabilities_are_those_of_transformers() {
    for name in FULL.into_iter().chain(["llama-2-bf16", "llama-2-f16"]) {
        let (batch, targets, expected) = log_probabilities(&golden(name));
        for kernels in [Engine::Cpu, Engine::Portable] {
            let found = decoder(name, kernels).log_probabilities(&batch, &targets);
            let worst = worst(&found, &expected);
            assert!(worst < 1e-4, "{name}, {kernels:?}: {worst}");
        }
    }
}

#[test]
fn greedy_continuations_are_those_of_transformers() {
    let sampling = SamplingConfig {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        max_tokens: 12,
    };
    for name in FULL {
        let golden = golden(name);
        let prompt = |tokens: &Vec<u32>| GenerationPrompt {
            tokens: tokens.clone(),
            seeds: vec![Seed(0)],
        };
        let prompts: Vec<GenerationPrompt> = golden.sequences.iter().map(prompt).collect();
        for kernels in [Engine::Cpu, Engine::Portable] {
            let written = generate(&decoder(name, kernels), &prompts, &sampling, &[]);
            assert_eq!(
                written.concat(),
                golden.continuations,
                "{name}, {kernels:?}"
            );
        }
    }
}

#[test]
fn the_loss_and_its_gradients_are_those_of_transformers() {
    for name in FULL {
        let golden = golden(name);
        let (batch, targets, _) = log_probabilities(&golden);
        for kernels in [Engine::Cpu, Engine::Portable] {
            let decoder = decoder(name, kernels);
            let (loss, gradients) = decoder.loss_and_gradients(&batch, &targets);
            assert!(
                (loss / golden.loss - 1.0).abs() < 1e-5,
                "{name}: {loss} {}",
                golden.loss
            );
            // The gradients take the places of the weights, and are written as a checkpoint would be.
            let as_weights = decoder.with_weights(
                decoder
                    .weights()
                    .clone()
                    .map_parameters(&mut Swap(&gradients)),
            );
            let (ours, theirs) = (
                encode_weights(&as_weights),
                fs::read(folder(name).join("gradients.safetensors")).unwrap(),
            );
            let (ours, theirs) = (
                SafeTensors::deserialize(&ours).unwrap(),
                SafeTensors::deserialize(&theirs).unwrap(),
            );
            assert_eq!(ours.len(), theirs.len(), "{name}");
            for (parameter, expected) in theirs.tensors() {
                let (found, expected) = (
                    floats(ours.tensor(&parameter).unwrap().data()),
                    floats(expected.data()),
                );
                let worst = worst(&found, &expected);
                assert!(worst < 1e-4, "{name}, {kernels:?}, {parameter}: {worst}");
            }
        }
    }
}

struct Swap<'a>(&'a Gradients);

impl ParameterVisitor for Swap<'_> {
    fn visit<const R: usize>(&mut self, name: &str, parameter: Tensor<R>) -> Tensor<R> {
        let values = self
            .0
            .values(name)
            .expect("every parameter has a gradient")
            .into_owned();
        Tensor::from_data(
            burn::tensor::TensorData::new(values, parameter.shape()),
            &parameter.device(),
        )
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

#[test]
fn what_is_written_is_what_was_read() {
    for name in FULL {
        let decoder = decoder(name, Engine::Portable);
        let bytes = encode_weights(&decoder);
        let written = SafeTensors::deserialize(&bytes).unwrap();
        let read = read_config(&folder(name).join(CONFIG_FILE)).unwrap();
        let json = written_config(&read, golden(name).vocabulary).unwrap();
        let lab = crate::support::Lab::new();
        lab.write("hf/config.json", json.to_string());
        assert_eq!(
            read_config(&lab.path("hf/config.json")).unwrap(),
            read,
            "{name}"
        );
        let original = fs::read(folder(name).join(WEIGHTS_FILE));
        if let Ok(original) = original {
            let original = SafeTensors::deserialize(&original).unwrap();
            for (parameter, view) in original.tensors() {
                assert_eq!(
                    written.tensor(&parameter).unwrap().data(),
                    view.data(),
                    "{name}, {parameter}"
                );
            }
        }
    }
}

#[test]
fn a_checkpoint_that_cannot_be_used_says_why() {
    let lab = crate::support::Lab::new();
    let copy = |name: &str| crate::support::copy(&folder(name), &lab.path(name));
    let place = ExecutionContext::open("flex").unwrap();
    let refused = |name: &str| {
        let config = match read_config(&lab.path(name).join(CONFIG_FILE)) {
            Ok(config) => config,
            Err(error) => return error.to_string(),
        };
        let error =
            read_weights(&lab.path(name).join(WEIGHTS_FILE), &config, 61, &place).unwrap_err();
        error
            .to_string()
            .replace(&lab.path("").display().to_string(), "")
    };
    FULL.into_iter().for_each(copy);
    let edit = |file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(lab.path(file)).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(lab.path(file), text.replace(from, to)).unwrap();
    };
    edit(
        "llama-2/config.json",
        "\"model_type\": \"llama\"",
        "\"model_type\": \"mamba\"",
    );
    assert!(
        refused("llama-2").ends_with(
            "its architecture `mamba` is not one of `llama`, `mistral`, `qwen2`, `qwen3`"
        )
    );
    edit(
        "llama-2/config.json",
        "\"model_type\": \"mamba\"",
        "\"model_type\": \"llama\"",
    );
    edit(
        "llama-2/config.json",
        "\"hidden_act\": \"silu\"",
        "\"hidden_act\": \"gelu\"",
    );
    assert!(refused("llama-2").ends_with("`hidden_act` is `gelu`; only `silu` is known"));
    edit(
        "qwen2/config.json",
        "\"intermediate_size\": 40",
        "\"intermediate_size\": 41",
    );
    assert!(refused("qwen2").ends_with(
        "tensor `model.layers.0.mlp.gate_proj.weight` has shape [40, 32], expected [41, 32]"
    ));
    edit(
        "qwen3/config.json",
        "\"model_type\": \"qwen3\"",
        "\"model_type\": \"qwen2\"",
    );
    assert!(
        refused("qwen3").contains("self_attn.q_proj.bias` is missing"),
        "{}",
        refused("qwen3")
    );
    fs::remove_file(lab.path("llama-3.1/model-00002-of-00002.safetensors")).unwrap();
    assert!(
        refused("llama-3.1").contains("model-00002-of-00002.safetensors"),
        "{}",
        refused("llama-3.1")
    );
    let path = lab.path("mistral").join(WEIGHTS_FILE);
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    assert!(
        refused("mistral").contains("the file is damaged"),
        "{}",
        refused("mistral")
    );
    fs::write(&path, &bytes[..end - 9]).unwrap();
    assert!(
        refused("mistral").starts_with("cannot read "),
        "{}",
        refused("mistral")
    );
}
