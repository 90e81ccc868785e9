//! The portable engine against the CPU engine.

use std::sync::Arc;

use proptest::prelude::*;

use crate::domain::{SamplingConfig, Seed};
use crate::model::fixtures::{VOCABULARY, decoder_with};
use crate::model::{
    BlockMatrix, Decoder, Engine, GenerationPrompt, Gradient, Gradients, LoraAdapters, LoraConfig,
    LossTargets, Precision, Projection, RaggedBatch, Weights, generate,
};

fn batch(lengths: &[usize], seed: u64, share: f64) -> (RaggedBatch, LossTargets) {
    let mut draws = Seed(seed).rng();
    let count = lengths.iter().sum();
    let mut token = || draws.int_between(0, VOCABULARY as i64 - 1) as u32;
    let tokens: Vec<u32> = (0..count).map(|_| token()).collect();
    let ids: Vec<u32> = (0..count).map(|_| token()).collect();
    let mut draws = Seed(seed).derive_indexed(1).rng();
    let mut weight = || {
        if draws.uniform() < share {
            (draws.normal() * 0.1) as f32
        } else {
            0.0
        }
    };
    let weights: Vec<f32> = (0..count).map(|_| weight()).collect();
    let targets = LossTargets {
        ids: ids.into(),
        weights: weights.into(),
    };
    (
        RaggedBatch {
            tokens,
            lengths: Arc::from(lengths),
        },
        targets,
    )
}

/// Names of parameters whose gradients differ by more than a part of the largest.
fn different(a: &Gradients, b: &Gradients, names: &[String], part: f32) -> Vec<String> {
    let differ = |name: &&String| {
        let (a, b) = (a.values(name).unwrap(), b.values(name).unwrap());
        let largest = a.iter().fold(1e-6_f32, |m, x| m.max(x.abs()));
        a.len() != b.len()
            || a.iter()
                .zip(&*b)
                .any(|(a, b)| (a - b).abs() > part * largest)
    };
    names.iter().filter(differ).cloned().collect()
}

fn names(decoder: &Decoder) -> Vec<String> {
    let mut names = vec!["embedding".to_owned(), "norm".to_owned()];
    names.extend(decoder.weights().head.as_ref().map(|_| "head".to_owned()));
    for layer in 0..decoder.config().layers {
        let parts = [
            "attention_norm",
            "packed",
            "output",
            "mlp_norm",
            "gate_up",
            "down",
        ];
        names.extend(parts.map(|part| format!("{layer}.{part}")));
    }
    names
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn loss_and_gradients_are_those_of_the_fused_kernels(
        tied: bool,
        lengths in prop::collection::vec(1..60_usize, 1..7),
        kept: bool,
        seed: u64,
    ) {
        let fused = decoder_with(Engine::Cpu, tied);
        let mut plain = decoder_with(Engine::Portable, tied);
        plain.activation_budget = if kept { usize::MAX } else { 0 };
        let (batch, targets) = batch(&lengths, seed, 0.7);
        prop_assume!(targets.weights.iter().any(|&weight| weight != 0.0));
        let (loss, gradients) = plain.loss_and_gradients(&batch, &targets);
        let (expected, wanted) = fused.loss_and_gradients(&batch, &targets);
        prop_assert!((loss - expected).abs() < 1e-4 * expected.abs().max(1.0), "{} {}", loss, expected);
        prop_assert_eq!(different(&wanted, &gradients, &names(&plain), 1e-3), Vec::<String>::new());
        prop_assert!((gradients.norm() / wanted.norm() - 1.0).abs() < 1e-3);
    }
}

#[test]
fn half_the_bits_give_about_the_same_gradients() {
    let plain = decoder_with(Engine::Portable, false);
    let mut half = plain.clone();
    half.precision = Precision::Bf16;
    let (batch, targets) = batch(&[30, 22, 25], 5, 0.8);
    let (loss, gradients) = plain.loss_and_gradients(&batch, &targets);
    let (rough, rounded) = half
        .with_weights(plain.weights().clone())
        .loss_and_gradients(&batch, &targets);
    assert!(
        (loss - rough).abs() < 0.03 * loss.abs().max(1.0),
        "{loss} {rough}"
    );
    let cosine = |name: &String| {
        let (a, b) = (
            gradients.values(name).unwrap(),
            rounded.values(name).unwrap(),
        );
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
    };
    for name in names(&plain) {
        assert!(cosine(&name) > 0.98, "{name}: {}", cosine(&name));
    }
}

#[test]
fn log_probabilities_are_those_of_the_fused_kernels() {
    let (batch, targets) = batch(&[5, 1, 33, 20], 8, 0.5);
    let [fused, plain] = [Engine::Cpu, Engine::Portable]
        .map(|kernels| decoder_with(kernels, true).log_probabilities(&batch, &targets));
    for (fused, plain) in fused.iter().zip(&plain) {
        assert!((fused - plain).abs() < 1e-3, "{fused} {plain}");
    }
}

/// More samples than there is room for at once, of unequal lengths, that end at different times.
#[test]
fn greedy_samples_are_those_of_the_fused_kernels() {
    let sampling = SamplingConfig {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        max_tokens: 90,
    };
    let prompts: Vec<GenerationPrompt> = (0..300_u32)
        .map(|i| GenerationPrompt {
            tokens: (0..=i * 7 % 41).map(|j| (i * j + j + i) % 37).collect(),
            seeds: (0..u64::from(i % 4))
                .map(|sample| Seed(u64::from(i)).derive_indexed(sample))
                .collect(),
        })
        .collect();
    let [fused, plain] = [Engine::Cpu, Engine::Portable]
        .map(|kernels| generate(&decoder_with(kernels, false), &prompts, &sampling, &[3, 4]));
    let all = || fused.iter().flatten().zip(plain.iter().flatten());
    assert_eq!(all().count(), 450);
    // A tie between two logits may fall either way.
    let equal = all().filter(|(fused, plain)| fused == plain).count();
    assert!(equal >= 445, "{equal} of 450");
    let lengths: Vec<usize> = all().map(|(fused, _)| fused.len()).collect();
    assert!(lengths.contains(&90) && lengths.iter().any(|&length| length < 20));
}

#[test]
fn samples_are_those_of_the_fused_kernels() {
    for (top_k, top_p) in [(0, 1.0), (5, 1.0), (0, 0.8)] {
        let sampling = SamplingConfig {
            temperature: 0.9,
            top_k,
            top_p,
            max_tokens: 12,
        };
        let prompt = |i: u32| GenerationPrompt {
            tokens: vec![i, 2],
            seeds: vec![Seed(u64::from(i)), Seed(9)],
        };
        let prompts: Vec<GenerationPrompt> = (0..30).map(prompt).collect();
        let [fused, plain] = [Engine::Cpu, Engine::Portable].map(|kernels| {
            generate(&decoder_with(kernels, false), &prompts, &sampling, &[3]).concat()
        });
        // A draw at the edge between two tokens may fall either way.
        let equal = fused.iter().zip(&plain).filter(|(a, b)| a == b).count();
        assert!(
            equal >= 58,
            "{equal} of 60 with top-k {top_k} and top-p {top_p}"
        );
    }
}

#[test]
fn half_at_a_time_gives_the_same() {
    let whole = decoder_with(Engine::Portable, false);
    let mut half = whole.clone();
    half.half_batch = true;
    let (batch, targets) = batch(&[20, 9, 31, 14], 5, 0.8);
    let (loss, gradients) = whole.loss_and_gradients(&batch, &targets);
    let (again, halved) = half.loss_and_gradients(&batch, &targets);
    assert!((loss - again).abs() < 1e-4 * loss.abs(), "{loss} {again}");
    assert_eq!(
        different(&gradients, &halved, &names(&whole), 1e-3),
        Vec::<String>::new()
    );
    let sampling = SamplingConfig {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        max_tokens: 12,
    };
    // One prompt has more samples than half of all.
    let prompt = |i: u32, samples: u64| GenerationPrompt {
        tokens: vec![i, 2],
        seeds: (0..samples).map(Seed).collect(),
    };
    let prompts = [prompt(5, 9), prompt(6, 1), prompt(7, 0), prompt(8, 2)];
    let [whole, half] = [whole, half].map(|decoder| generate(&decoder, &prompts, &sampling, &[3]));
    assert_eq!(whole.iter().map(Vec::len).collect::<Vec<_>>(), [9, 1, 0, 2]);
    assert_eq!(whole, half);
}

/// A decoder with adapters that do something, and the same with them multiplied out.
fn adapted(targets: &[Projection]) -> (Decoder, Decoder) {
    let plain = decoder_with(Engine::Portable, false);
    let lora = LoraConfig {
        rank: 3,
        alpha: 6.0,
        targets: targets.iter().copied().collect(),
        ..LoraConfig::default()
    };
    let device = plain.weights().norm.device();
    let mut adapters = LoraAdapters::init(&lora, plain.config(), Seed(5), &device);
    let mut merged = plain.weights().clone();
    for (block, adapters) in merged.blocks.iter_mut().zip(&mut adapters.blocks) {
        for adapter in adapters {
            adapter.up = adapter.up.clone() + 0.05;
            let (packed, rows, columns) = adapter.projection.location(plain.config());
            let delta = adapter.down.clone().matmul(adapter.up.clone()) * 2.0;
            let matrix = match packed {
                BlockMatrix::Qkv => &mut block.qkv,
                BlockMatrix::Output => &mut block.output,
                BlockMatrix::GateUp => &mut block.gate_up,
                BlockMatrix::Down => &mut block.down,
            };
            let old = matrix.clone().slice([0..rows, columns.clone()]);
            *matrix = matrix.clone().slice_assign([0..rows, columns], old + delta);
        }
    }
    let weights = Weights {
        adapters: Some(adapters),
        ..plain.weights().clone()
    };
    (plain.with_weights(weights), plain.with_weights(merged))
}

#[test]
fn adapters_are_the_sum_of_two_matrices_and_their_gradients_follow_from_its_gradient() {
    for targets in [
        &Projection::ALL[..],
        &[Projection::Queries, Projection::Values],
        &[Projection::Ups],
    ] {
        let (adapted, merged) = adapted(targets);
        let (batch, targets) = batch(&[20, 11, 25], 5, 0.8);
        let (loss, gradients) = adapted.loss_and_gradients(&batch, &targets);
        let (expected, wanted) = merged.loss_and_gradients(&batch, &targets);
        assert!(
            (loss - expected).abs() < 1e-4 * expected.abs().max(1.0),
            "{loss} {expected}"
        );
        assert!(gradients.values("embedding").is_none() && gradients.values("0.packed").is_none());
        let config = adapted.config();
        for (layer, adapters) in adapted
            .weights()
            .adapters
            .as_ref()
            .unwrap()
            .blocks
            .iter()
            .enumerate()
        {
            for adapter in adapters {
                let (packed, rows, columns) = adapter.projection.location(config);
                let name = match packed {
                    BlockMatrix::Qkv => "packed",
                    BlockMatrix::Output => "output",
                    BlockMatrix::GateUp => "gate_up",
                    BlockMatrix::Down => "down",
                };
                let Some(Gradient::Device(whole)) = wanted.gradient(&format!("{layer}.{name}"))
                else {
                    panic!()
                };
                let width = whole.dims()[0] / rows;
                let dw = whole
                    .clone()
                    .reshape([rows, width])
                    .slice([0..rows, columns])
                    * 2.0;
                let halves = [
                    ("down", dw.clone().matmul(adapter.up.clone().transpose())),
                    ("up", adapter.down.clone().transpose().matmul(dw)),
                ];
                for (half, expected) in halves {
                    let name = format!("{layer}.{}.{half}", adapter.projection.name());
                    let found = gradients.values(&name).unwrap().into_owned();
                    let expected: Vec<f32> = expected.into_data().try_into_vec().unwrap();
                    let largest = expected.iter().fold(1e-6_f32, |m, x| m.max(x.abs()));
                    let worst = found
                        .iter()
                        .zip(&expected)
                        .fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
                    assert!(worst < 1e-3 * largest, "{name}: {worst} of {largest}");
                }
            }
        }
    }
}

#[test]
fn adapters_that_are_fresh_change_nothing_and_are_sampled_with_once_trained() {
    let plain = decoder_with(Engine::Portable, false);
    let device = plain.weights().norm.device();
    let adapters = LoraAdapters::init(&LoraConfig::default(), plain.config(), Seed(1), &device);
    let fresh = plain.with_weights(Weights {
        adapters: Some(adapters),
        ..plain.weights().clone()
    });
    let sampling = SamplingConfig {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        max_tokens: 20,
    };
    let prompts: Vec<GenerationPrompt> = (0..20)
        .map(|i| GenerationPrompt {
            tokens: vec![i, 2, i + 1],
            seeds: vec![Seed(1)],
        })
        .collect();
    let write = |decoder: &Decoder| generate(decoder, &prompts, &sampling, &[3]);
    assert_eq!(write(&plain), write(&fresh));
    let (adapted, merged) = adapted(&Projection::ALL);
    let equal = write(&adapted)
        .iter()
        .zip(&write(&merged))
        .filter(|(a, b)| a == b)
        .count();
    assert!(equal >= 19, "{equal} of 20");
    assert_ne!(write(&adapted), write(&plain));
}
