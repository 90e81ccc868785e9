//! Whether a place computes what the default backend computes: log-probabilities, optimizer steps
//! and greedy continuations of a small random decoder, side by side.
//!
//! Responsible for what is compared and how far it may differ. Must not know which backends there
//! are.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::{SamplingConfig, Seed};
use crate::model::{
    Decoder, ExecutionContext, GenerationPrompt, LossTargets, ModelConfig, Precision, RaggedBatch,
    Weights, generate,
};

use super::{AdamW, Batch, TrainConfig, train_step};

const VOCABULARY: usize = 96;
/// Optimizer steps whose losses are compared.
const STEPS: usize = 6;

/// How far a place is from the default backend.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConformanceReport {
    /// Greatest difference of a token's log-probability.
    #[serde(deserialize_with = "number")]
    pub log_probability: f64,
    /// Greatest difference of a loss over a few optimizer steps, as a part of the loss.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// Greatest difference of a gradient's norm over these steps, as a part of the norm.
    #[serde(deserialize_with = "number")]
    pub norm: f64,
    /// Greedy continuations that are the same, as a part of all.
    #[serde(rename = "same")]
    pub matching_share: f64,
    /// Seconds that the place took for all of it, compiling its kernels included.
    pub seconds: f64,
    /// What each of these may be.
    pub limits: ConformanceLimits,
}

/// How far a place may be from the default backend.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ConformanceLimits {
    /// For a token's log-probability.
    pub log_probability: f64,
    /// For losses and norms.
    #[serde(rename = "part")]
    pub relative_error: f64,
    /// The least share of equal continuations.
    #[serde(rename = "same")]
    pub matching_share: f64,
}

impl ConformanceLimits {
    /// Sums in another order differ in their last bits; numbers of 16 bits in their third digit.
    const fn for_precision(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self {
                log_probability: 2e-3,
                relative_error: 1e-3,
                matching_share: 0.95,
            },
            Precision::Bf16 => Self {
                log_probability: 0.3,
                relative_error: 0.05,
                matching_share: 0.5,
            },
        }
    }
}

impl ConformanceReport {
    /// Whether every difference is within its limit.
    #[must_use]
    pub fn passes(&self) -> bool {
        let within = |difference: f64, limit: f64| difference <= limit;
        within(self.log_probability, self.limits.log_probability)
            && within(self.loss, self.limits.relative_error)
            && within(self.norm, self.limits.relative_error)
            && self.matching_share >= self.limits.matching_share
    }
}

/// JSON has no word for what is not a number, and writes `null`.
fn number<'a, D: Deserializer<'a>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// What one place makes of the small decoder.
struct ConformanceRun {
    log_probabilities: Vec<f32>,
    losses: Vec<f64>,
    norms: Vec<f64>,
    continuations: Vec<Vec<Vec<u32>>>,
}

/// Compares `place` with `reference`.
///
/// # Panics
/// If a place fails at computing, as burn's backends do where a device has no memory left, say.
#[must_use]
pub fn check_conformance(
    place: &ExecutionContext,
    reference: &ExecutionContext,
) -> ConformanceReport {
    let expected = run_small_decoder(reference);
    let began = Instant::now();
    let played = run_small_decoder(place);
    let seconds = began.elapsed().as_secs_f64();
    let apart =
        |a: &[f32], b: &[f32]| max_or_nan(a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())));
    let parts =
        |a: &[f64], b: &[f64]| max_or_nan(a.iter().zip(b).map(|(a, b)| (a - b).abs() / b.abs()));
    let pairs = || {
        played
            .continuations
            .iter()
            .flatten()
            .zip(expected.continuations.iter().flatten())
    };
    ConformanceReport {
        log_probability: apart(&played.log_probabilities, &expected.log_probabilities),
        loss: parts(&played.losses, &expected.losses),
        norm: parts(&played.norms, &expected.norms),
        matching_share: pairs().filter(|(a, b)| a == b).count() as f64 / pairs().count() as f64,
        seconds,
        limits: ConformanceLimits::for_precision(place.precision),
    }
}

/// The greatest value; not a number if one is none.
fn max_or_nan(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |most, value| {
        if value.is_nan() || most.is_nan() {
            f64::NAN
        } else {
            most.max(value)
        }
    })
}

fn run_small_decoder(place: &ExecutionContext) -> ConformanceRun {
    let start = small_decoder(place);
    let batch = uneven_batch();
    let log_probabilities = start.log_probabilities(&batch.inputs, &batch.targets);
    let continuations = generate(&start, &prompts(), &greedy_sampling(), &[3]);
    let (mut adam, config) = (AdamW::default(), TrainConfig::default());
    let (mut losses, mut norms, mut decoder) = (Vec::new(), Vec::new(), start);
    for _ in 0..STEPS {
        let stepped = train_step(decoder, &batch, &mut adam, &config, 1e-3);
        losses.push(stepped.loss);
        norms.push(stepped.grad_norm);
        decoder = stepped.decoder;
    }
    ConformanceRun {
        log_probabilities,
        losses,
        norms,
        continuations,
    }
}

fn small_decoder(place: &ExecutionContext) -> Decoder {
    let config = ModelConfig {
        width: 64,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        hidden: 160,
        positions: 256,
        ..ModelConfig::default()
    };
    let mut weights = Weights::init_random(&config, VOCABULARY, Seed(3), &place.device);
    // Wide embeddings: what comes next must depend on what came before.
    weights.embedding = weights.embedding * 50.0;
    Decoder::new(config, weights, place)
}

fn random_tokens(seed: u64, count: usize) -> Vec<u32> {
    let mut draws = Seed(seed).rng();
    (0..count)
        .map(|_| draws.int_between(0, VOCABULARY as i64 - 1) as u32)
        .collect()
}

/// Sequences of unequal lengths with targets of unequal weights, some of them 0.
fn uneven_batch() -> Batch {
    let lengths: Vec<usize> = vec![40, 7, 63, 22, 1, 35];
    let count = lengths.iter().sum();
    let weights: Arc<[f32]> = (0..count)
        .map(|row| (row % 4) as f32 / (1.5 * count as f32))
        .collect();
    let targets = LossTargets {
        ids: random_tokens(1, count).into(),
        weights,
    };
    Batch {
        inputs: RaggedBatch {
            tokens: random_tokens(2, count),
            lengths: lengths.into(),
        },
        target_tokens: count - count.div_ceil(4),
        targets,
    }
}

fn prompts() -> Vec<GenerationPrompt> {
    (0..24)
        .map(|i| GenerationPrompt {
            tokens: random_tokens(i, 1 + 5 * i as usize),
            seeds: vec![Seed(i)],
        })
        .collect()
}

const fn greedy_sampling() -> SamplingConfig {
    SamplingConfig {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        max_tokens: 24,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Engine;

    fn flex() -> ExecutionContext {
        ExecutionContext::open("flex").unwrap()
    }

    #[test]
    fn a_place_conforms_to_itself() {
        let same = check_conformance(&flex(), &flex());
        assert_eq!(
            (
                same.log_probability,
                same.loss,
                same.norm,
                same.matching_share
            ),
            (0.0, 0.0, 0.0, 1.0)
        );
        assert!(same.passes());
    }

    #[test]
    fn the_way_through_tensors_conforms() {
        let plain = check_conformance(
            &ExecutionContext {
                engine: Engine::Portable,
                ..flex()
            },
            &flex(),
        );
        assert!(plain.passes() && plain.log_probability > 0.0, "{plain:?}");
        let half = ExecutionContext {
            engine: Engine::Portable,
            precision: Precision::Bf16,
            ..flex()
        };
        let half = check_conformance(&half, &flex());
        assert!(
            half.passes() && half.log_probability > plain.log_probability,
            "{half:?}"
        );
    }

    #[test]
    fn what_is_not_a_number_does_not_conform() {
        let fine = check_conformance(&flex(), &flex());
        let wrong = ConformanceReport {
            loss: f64::NAN,
            ..fine.clone()
        };
        assert!(!wrong.passes());
        let read: ConformanceReport =
            serde_json::from_str(&serde_json::to_string(&wrong).unwrap()).unwrap();
        assert!(
            read.loss.is_nan()
                && !read.passes()
                && (read.matching_share - fine.matching_share).abs() < 1e-9
        );
        assert!(
            !ConformanceReport {
                matching_share: 0.9,
                ..fine
            }
            .passes()
        );
        assert!(max_or_nan([1.0, f64::NAN, 2.0].into_iter()).is_nan());
    }
}
