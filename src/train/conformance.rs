//! Whether a place computes what the default backend computes: log-probabilities, optimizer steps
//! and greedy continuations of a small random decoder, side by side.
//!
//! Responsible for what is compared and how far it may differ. Must not know which backends there
//! are.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::{Sampling, Seed};
use crate::model::{
    Decoder, ModelConfig, Place, Precision, Prompted, Ragged, Targets, Weights, generate,
};

use super::{AdamW, Batch, TrainConfig, step};

const VOCABULARY: usize = 96;
/// Optimizer steps whose losses are compared.
const STEPS: usize = 6;

/// How far a place is from the default backend.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Conformance {
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
    pub same: f64,
    /// Seconds that the place took for all of it, compiling its kernels included.
    pub seconds: f64,
    /// What each of these may be.
    pub limits: Limits,
}

/// How far a place may be from the default backend.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// For a token's log-probability.
    pub log_probability: f64,
    /// For losses and norms.
    pub part: f64,
    /// The least share of equal continuations.
    pub same: f64,
}

impl Limits {
    /// Sums in another order differ in their last bits; numbers of 16 bits in their third digit.
    const fn of(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self {
                log_probability: 2e-3,
                part: 1e-3,
                same: 0.95,
            },
            Precision::Bf16 => Self {
                log_probability: 0.3,
                part: 0.05,
                same: 0.5,
            },
        }
    }
}

impl Conformance {
    /// Whether every difference is within its limit.
    #[must_use]
    pub fn holds(&self) -> bool {
        let within = |difference: f64, limit: f64| difference <= limit;
        within(self.log_probability, self.limits.log_probability)
            && within(self.loss, self.limits.part)
            && within(self.norm, self.limits.part)
            && self.same >= self.limits.same
    }
}

/// JSON has no word for what is not a number, and writes `null`.
fn number<'a, D: Deserializer<'a>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// What one place makes of the small decoder.
struct Played {
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
pub fn conformance(place: &Place, reference: &Place) -> Conformance {
    let expected = play(reference);
    let began = Instant::now();
    let played = play(place);
    let seconds = began.elapsed().as_secs_f64();
    let apart =
        |a: &[f32], b: &[f32]| greatest(a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())));
    let parts =
        |a: &[f64], b: &[f64]| greatest(a.iter().zip(b).map(|(a, b)| (a - b).abs() / b.abs()));
    let pairs = || {
        played
            .continuations
            .iter()
            .flatten()
            .zip(expected.continuations.iter().flatten())
    };
    Conformance {
        log_probability: apart(&played.log_probabilities, &expected.log_probabilities),
        loss: parts(&played.losses, &expected.losses),
        norm: parts(&played.norms, &expected.norms),
        same: pairs().filter(|(a, b)| a == b).count() as f64 / pairs().count() as f64,
        seconds,
        limits: Limits::of(place.precision),
    }
}

/// The greatest value; not a number if one is none.
fn greatest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |most, value| {
        if value.is_nan() || most.is_nan() {
            f64::NAN
        } else {
            most.max(value)
        }
    })
}

fn play(place: &Place) -> Played {
    let start = decoder(place);
    let batch = batch();
    let log_probabilities = start.log_probabilities(&batch.inputs, &batch.targets);
    let continuations = generate(&start, &prompts(), &sampling(), &[3]);
    let (mut adam, config) = (AdamW::default(), TrainConfig::default());
    let (mut losses, mut norms, mut decoder) = (Vec::new(), Vec::new(), start);
    for _ in 0..STEPS {
        let stepped = step(decoder, &batch, &mut adam, &config, 1e-3);
        losses.push(stepped.loss);
        norms.push(stepped.norm);
        decoder = stepped.decoder;
    }
    Played {
        log_probabilities,
        losses,
        norms,
        continuations,
    }
}

fn decoder(place: &Place) -> Decoder {
    let config = ModelConfig {
        width: 64,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        hidden: 160,
        positions: 256,
        ..ModelConfig::default()
    };
    let mut weights = Weights::random(&config, VOCABULARY, Seed(3), &place.device);
    // Wide embeddings: what comes next must depend on what came before.
    weights.embedding = weights.embedding * 50.0;
    Decoder::new(config, weights, place)
}

fn tokens(seed: u64, count: usize) -> Vec<u32> {
    let mut draws = Seed(seed).draws();
    (0..count)
        .map(|_| draws.between(0, VOCABULARY as i64 - 1) as u32)
        .collect()
}

/// Sequences of unequal lengths with targets of unequal weights, some of them 0.
fn batch() -> Batch {
    let lengths: Vec<usize> = vec![40, 7, 63, 22, 1, 35];
    let count = lengths.iter().sum();
    let weights: Arc<[f32]> = (0..count)
        .map(|row| (row % 4) as f32 / (1.5 * count as f32))
        .collect();
    let targets = Targets {
        ids: tokens(1, count).into(),
        weights,
    };
    Batch {
        inputs: Ragged {
            tokens: tokens(2, count),
            lengths: lengths.into(),
        },
        target_tokens: count - count.div_ceil(4),
        targets,
    }
}

fn prompts() -> Vec<Prompted> {
    (0..24)
        .map(|i| Prompted {
            tokens: tokens(i, 1 + 5 * i as usize),
            seeds: vec![Seed(i)],
        })
        .collect()
}

const fn sampling() -> Sampling {
    Sampling {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        max_tokens: 24,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kernels;

    fn flex() -> Place {
        Place::open("flex").unwrap()
    }

    #[test]
    fn a_place_conforms_to_itself() {
        let same = conformance(&flex(), &flex());
        assert_eq!(
            (same.log_probability, same.loss, same.norm, same.same),
            (0.0, 0.0, 0.0, 1.0)
        );
        assert!(same.holds());
    }

    #[test]
    fn the_way_through_tensors_conforms() {
        let plain = conformance(
            &Place {
                kernels: Kernels::Plain,
                ..flex()
            },
            &flex(),
        );
        assert!(plain.holds() && plain.log_probability > 0.0, "{plain:?}");
        let half = Place {
            kernels: Kernels::Plain,
            precision: Precision::Bf16,
            ..flex()
        };
        let half = conformance(&half, &flex());
        assert!(
            half.holds() && half.log_probability > plain.log_probability,
            "{half:?}"
        );
    }

    #[test]
    fn what_is_not_a_number_does_not_conform() {
        let fine = conformance(&flex(), &flex());
        let wrong = Conformance {
            loss: f64::NAN,
            ..fine.clone()
        };
        assert!(!wrong.holds());
        let read: Conformance =
            serde_json::from_str(&serde_json::to_string(&wrong).unwrap()).unwrap();
        assert!(read.loss.is_nan() && !read.holds() && (read.same - fine.same).abs() < 1e-9);
        assert!(!Conformance { same: 0.9, ..fine }.holds());
        assert!(greatest([1.0, f64::NAN, 2.0].into_iter()).is_nan());
    }
}
