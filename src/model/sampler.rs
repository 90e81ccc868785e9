//! From logits to one token: temperature, top-k, top-p, greedy.

use multiversion::multiversion;

use crate::domain::{SamplingConfig, Seed};

use super::cpu::vector_math;

/// Draws tokens, with buffers that are used again from draw to draw.
#[derive(Debug, Default)]
pub struct Sampler {
    weights: Vec<f32>,
    /// Running sums of the masses.
    cumulative: Vec<f64>,
}

impl Sampler {
    /// Draws the `index`-th token of an attempt. The draw depends on the logits, the seed and the
    /// index alone.
    ///
    /// # Panics
    /// If there are no logits.
    pub fn sample(
        &mut self,
        logits: &[f32],
        sampling: &SamplingConfig,
        seed: Seed,
        index: usize,
    ) -> u32 {
        assert!(!logits.is_empty(), "no logits to sample from");
        if sampling.temperature == 0.0 {
            return argmax(logits);
        }
        self.weights.resize(logits.len(), 0.0);
        softmax_weights(
            logits,
            (1.0 / sampling.temperature) as f32,
            &mut self.weights,
        );
        if sampling.top_k > 0 || sampling.top_p < 1.0 {
            truncate_top_k_top_p(&mut self.weights, sampling);
        }
        self.token_at_share(seed.uniform_at(index as u64))
    }

    /// The token in whose stretch of the running sum the share `share` of the whole falls.
    fn token_at_share(&mut self, share: f64) -> u32 {
        self.cumulative.clear();
        let mut total = 0.0;
        self.cumulative.extend(self.weights.iter().map(|&mass| {
            total += f64::from(mass);
            total
        }));
        let point = share * total;
        // The first sum beyond the point belongs to a token with a mass. Rounding can leave the
        // point at the very end: then it is the last one with a mass.
        let token = self.cumulative.partition_point(|&reached| reached <= point);
        if token < self.weights.len() {
            return token as u32;
        }
        self.weights
            .iter()
            .rposition(|&mass| mass > 0.0)
            .unwrap_or(0) as u32
    }
}

/// Masses of the tokens, as multiples of the most likely one's.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn softmax_weights(logits: &[f32], inverse: f32, masses: &mut [f32]) {
    let highest = vector_math::max(logits);
    for (mass, logit) in masses.iter_mut().zip(logits) {
        *mass = vector_math::exp((logit - highest) * inverse);
    }
}

/// The first of the most likely tokens.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn argmax(logits: &[f32]) -> u32 {
    let highest = vector_math::max(logits);
    logits
        .iter()
        .position(|&logit| logit >= highest)
        .unwrap_or(0) as u32
}

/// Sets the mass of every token outside top-k and top-p to 0. Among equal masses the smaller
/// token id is kept.
fn truncate_top_k_top_p(masses: &mut [f32], sampling: &SamplingConfig) {
    let mut order: Vec<usize> = (0..masses.len()).collect();
    order.sort_by(|&a, &b| masses[b].total_cmp(&masses[a]).then(a.cmp(&b)));
    let mut keep = if sampling.top_k > 0 {
        sampling.top_k.min(order.len())
    } else {
        order.len()
    };
    if sampling.top_p < 1.0 {
        let total: f64 = order[..keep]
            .iter()
            .map(|&token| f64::from(masses[token]))
            .sum();
        let mut reached = 0.0;
        let enough = order[..keep].iter().position(|&token| {
            reached += f64::from(masses[token]);
            reached >= sampling.top_p * total
        });
        keep = enough.map_or(keep, |place| place + 1);
    }
    for &token in &order[keep..] {
        masses[token] = 0.0;
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "what is certain or impossible is exact")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOGITS: [f32; 4] = [0.0, 1.0, 2.0, -1.0];

    fn shares(sampling: &SamplingConfig) -> [f64; 4] {
        let mut counts = [0.0; 4];
        for i in 0..20_000 {
            counts[Sampler::default().sample(&LOGITS, sampling, Seed(5).derive_indexed(i), 3)
                as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    #[test]
    fn temperature_one_follows_the_softmax() {
        let total: f64 = LOGITS.iter().map(|&x| f64::from(x).exp()).sum();
        for (share, logit) in shares(&SamplingConfig::default()).iter().zip(LOGITS) {
            assert!(
                (share - f64::from(logit).exp() / total).abs() < 0.01,
                "{share} {logit}"
            );
        }
    }

    #[test]
    fn temperature_sharpens_and_zero_is_greedy() {
        let cold = shares(&SamplingConfig {
            temperature: 0.5,
            ..SamplingConfig::default()
        });
        let total: f64 = LOGITS.iter().map(|&x| (2.0 * f64::from(x)).exp()).sum();
        assert!((cold[2] - 4.0_f64.exp() / total).abs() < 0.01, "{cold:?}");
        assert_eq!(
            shares(&SamplingConfig {
                temperature: 0.0,
                ..SamplingConfig::default()
            })[2]
                .round(),
            1.0
        );
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
    }

    #[test]
    fn top_k_and_top_p_leave_tokens_out() {
        let two = shares(&SamplingConfig {
            top_k: 2,
            ..SamplingConfig::default()
        });
        assert_eq!((two[0], two[3]), (0.0, 0.0));
        // Masses 0.64, 0.24, 0.09, 0.03: 0.6 needs one token, 0.7 needs two.
        assert!(
            (shares(&SamplingConfig {
                top_p: 0.6,
                ..SamplingConfig::default()
            })[2]
                - 1.0)
                .abs()
                < 1e-9
        );
        let wider = shares(&SamplingConfig {
            top_p: 0.7,
            ..SamplingConfig::default()
        });
        assert!(wider[1] > 0.2 && wider[0] == 0.0, "{wider:?}");
    }

    /// The same draw in one go: where the point falls in the running sum.
    fn walk(masses: &[f32], share: f64) -> u32 {
        let point = share * masses.iter().map(|&mass| f64::from(mass)).sum::<f64>();
        let (mut reached, mut last) = (0.0, 0);
        for (token, &mass) in masses.iter().enumerate() {
            if mass > 0.0 {
                reached += f64::from(mass);
                last = token;
                if point < reached {
                    break;
                }
            }
        }
        last as u32
    }

    proptest! {
        #[test]
        fn a_draw_is_the_token_in_whose_stretch_the_point_falls(
            masses in prop::collection::vec(prop_oneof![Just(0.0_f32), 0.0..1.0_f32, Just(1e-30_f32)], 1..200),
            share in prop_oneof![0.0..1.0, Just(0.0), Just(1.0)],
        ) {
            let mut sampler = Sampler { weights: masses.clone(), cumulative: vec![9.0; 3] };
            prop_assert_eq!(sampler.token_at_share(share), walk(&masses, share));
        }
    }
}
