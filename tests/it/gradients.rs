//! Gradients of both engines against those of burn's autodiff on odd shapes, and of the CPU engine
//! on several numbers of threads.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use rise_lab::domain::Seed;
use rise_lab::model::{
    Decoder, Engine, ExecutionContext, Gradients, LossTargets, ModelConfig, ParameterVisitor,
    RaggedBatch, Threads, Weights,
};

use crate::reference;

const VOCABULARY: usize = 23;

fn decoder(config: &ModelConfig, kernels: Engine, threads: usize) -> Decoder {
    let place = ExecutionContext::open("flex").unwrap();
    let place = ExecutionContext {
        engine: kernels,
        threads: Threads::new(threads),
        ..place
    };
    let weights = Weights::init_random(config, VOCABULARY, Seed(3), &place.device);
    Decoder::new(config.clone(), weights, &place)
}

/// Sequences of these lengths, with some targets of either sign and some rows that are none.
fn batch(lengths: &[usize]) -> (RaggedBatch, LossTargets) {
    let rows: usize = lengths.iter().sum();
    let mut draws = Seed(5).rng();
    let mut token = || (draws.normal().abs() * 1000.0) as u32 % VOCABULARY as u32;
    let tokens = (0..rows).map(|_| token()).collect();
    let ids = (0..rows).map(|_| token()).collect();
    let weights = (0..rows)
        .map(|row| [0.0, 0.4, -0.1, 0.25, 0.0][row % 5] / rows as f32)
        .collect();
    (
        RaggedBatch {
            tokens,
            lengths: Arc::from(lengths),
        },
        LossTargets { ids, weights },
    )
}

fn names(decoder: &Decoder) -> Vec<String> {
    struct Names(Vec<String>);
    impl ParameterVisitor for Names {
        fn visit<const R: usize>(&mut self, name: &str, parameter: Tensor<R>) -> Tensor<R> {
            self.0.push(name.to_owned());
            parameter
        }
    }
    let mut names = Names(Vec::new());
    let _ = decoder.weights().clone().map_parameters(&mut names);
    names.0
}

/// Largest difference over all parameters, each relative to its largest expected magnitude.
fn difference(ours: &Gradients, expected: &BTreeMap<String, Vec<f32>>) -> f32 {
    let mut worst = 0.0_f32;
    for (name, expected) in expected {
        let ours = ours.values(name).unwrap();
        assert_eq!(ours.len(), expected.len(), "{name}");
        let largest = expected.iter().fold(1e-12_f32, |a, b| a.max(b.abs()));
        let apart = ours
            .iter()
            .zip(expected)
            .fold(0.0_f32, |a, (x, y)| a.max((x - y).abs()));
        worst = worst.max(apart / largest);
    }
    worst
}

fn small() -> ModelConfig {
    ModelConfig {
        width: 24,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        hidden: 20,
        positions: 1500,
        ..Default::default()
    }
}

#[test]
fn gradients_of_both_engines_are_those_of_the_reference() {
    let one_head = ModelConfig {
        width: 6,
        heads: 1,
        kv_heads: 1,
        hidden: 7,
        ..small()
    };
    let tied = ModelConfig {
        tied: true,
        kv_heads: 4,
        ..small()
    };
    let shapes: [&[usize]; 6] = [
        &[1],
        &[1, 1, 1],
        &[12, 12, 12],
        &[17, 1, 48, 49, 16],
        &[97, 3],
        &[130, 64, 200, 5],
    ];
    for config in [small(), one_head, tied] {
        for lengths in shapes {
            let (batch, targets) = batch(lengths);
            for engine in [Engine::Cpu, Engine::Portable] {
                let decoder = decoder(&config, engine, 1);
                let (expected_loss, expected) =
                    reference::loss_and_gradients(&decoder, &batch, &targets);
                let (loss, ours) = decoder.loss_and_gradients(&batch, &targets);
                let case = format!("{lengths:?} on {engine:?}");
                assert!(
                    (loss - expected_loss).abs() < 1e-6,
                    "{case}: {loss} {expected_loss}"
                );
                assert_eq!(names(&decoder).len(), expected.len());
                let worst = difference(&ours, &expected);
                assert!(worst < 3e-5, "{case}: relative difference {worst}");
            }
        }
    }
}

#[test]
fn many_shards_and_groups_add_up_to_the_same_gradients() {
    // 4,600 rows: four groups of several shards.
    let lengths: Vec<usize> = (0..46).map(|i| 20 + i * 37 % 161).collect();
    let (batch, targets) = batch(&lengths);
    let decoder = decoder(&small(), Engine::Cpu, 1);
    let (_, ours) = decoder.loss_and_gradients(&batch, &targets);
    let (_, expected) = reference::loss_and_gradients(&decoder, &batch, &targets);
    let worst = difference(&ours, &expected);
    assert!(worst < 3e-5, "relative difference {worst}");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let lengths: Vec<usize> = (0..60).map(|i| 10 + i * 53 % 170).collect();
    let (batch, targets) = batch(&lengths);
    let alone = decoder(&small(), Engine::Cpu, 1);
    let (loss, expected) = alone.loss_and_gradients(&batch, &targets);
    for threads in [2, 3, 5] {
        let (other, ours) =
            decoder(&small(), Engine::Cpu, threads).loss_and_gradients(&batch, &targets);
        assert_eq!(loss.to_bits(), other.to_bits());
        for name in names(&alone) {
            let bits = |gradients: &Gradients| -> Vec<u32> {
                gradients
                    .values(&name)
                    .unwrap()
                    .iter()
                    .map(|value| value.to_bits())
                    .collect()
            };
            assert_eq!(bits(&ours), bits(&expected), "{name} on {threads} threads");
        }
    }
}

#[test]
fn a_batch_without_rows_or_targets_has_zero_gradients() {
    let decoder = decoder(&small(), Engine::Cpu, 1);
    let empty = RaggedBatch {
        tokens: Vec::new(),
        lengths: Arc::from([]),
    };
    for batch in [empty, batch(&[9, 4]).0] {
        let rows = batch.tokens.len();
        let (ids, weights) = (vec![0; rows].into(), vec![0.0; rows].into());
        let (loss, gradients) = decoder.loss_and_gradients(&batch, &LossTargets { ids, weights });
        assert_eq!(loss.to_bits(), 0.0_f64.to_bits());
        for name in names(&decoder) {
            assert!(
                gradients
                    .values(&name)
                    .unwrap()
                    .iter()
                    .all(|value| *value == 0.0),
                "{name}"
            );
        }
    }
}
