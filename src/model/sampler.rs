//! From logits to one token: temperature, top-k, top-p, greedy.

use crate::domain::{Sampling, Seed};

use super::ops::exponential;

/// Draws the `index`-th token of an attempt. The draw depends on the logits, the seed and the
/// index alone.
///
/// # Panics
/// If there are no logits.
pub fn sample(logits: &[f32], sampling: &Sampling, seed: Seed, index: usize) -> u32 {
    assert!(!logits.is_empty(), "no logits to sample from");
    if sampling.temperature == 0.0 {
        return greedy(logits);
    }
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let inverse = (1.0 / sampling.temperature) as f32;
    let mut masses: Vec<f32> =
        logits.iter().map(|logit| exponential::exp((logit - highest) * inverse)).collect();
    if sampling.top_k > 0 || sampling.top_p < 1.0 {
        truncate(&mut masses, sampling);
    }
    let total: f64 = masses.iter().map(|&mass| f64::from(mass)).sum();
    pick(&masses, seed.uniform(index as u64) * total)
}

/// The first of the most likely tokens.
fn greedy(logits: &[f32]) -> u32 {
    let best =
        logits.iter().enumerate().fold(0, |best, (i, logit)| if *logit > logits[best] { i } else { best });
    best as u32
}

/// The token in whose stretch of the running sum `point` falls.
fn pick(masses: &[f32], point: f64) -> u32 {
    let mut reached = 0.0;
    let mut last = 0;
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

/// Sets the mass of every token outside top-k and top-p to 0. Among equal masses the smaller
/// token id is kept.
fn truncate(masses: &mut [f32], sampling: &Sampling) {
    let mut order: Vec<usize> = (0..masses.len()).collect();
    order.sort_by(|&a, &b| masses[b].total_cmp(&masses[a]).then(a.cmp(&b)));
    let mut keep = if sampling.top_k > 0 { sampling.top_k.min(order.len()) } else { order.len() };
    if sampling.top_p < 1.0 {
        let total: f64 = order[..keep].iter().map(|&token| f64::from(masses[token])).sum();
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
    use super::*;

    const LOGITS: [f32; 4] = [0.0, 1.0, 2.0, -1.0];

    fn shares(sampling: &Sampling) -> [f64; 4] {
        let mut counts = [0.0; 4];
        for i in 0..20_000 {
            counts[sample(&LOGITS, sampling, Seed(5).at(i), 3) as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    #[test]
    fn temperature_one_follows_the_softmax() {
        let total: f64 = LOGITS.iter().map(|&x| f64::from(x).exp()).sum();
        for (share, logit) in shares(&Sampling::default()).iter().zip(LOGITS) {
            assert!((share - f64::from(logit).exp() / total).abs() < 0.01, "{share} {logit}");
        }
    }

    #[test]
    fn temperature_sharpens_and_zero_is_greedy() {
        let cold = shares(&Sampling { temperature: 0.5, ..Sampling::default() });
        let total: f64 = LOGITS.iter().map(|&x| (2.0 * f64::from(x)).exp()).sum();
        assert!((cold[2] - 4.0_f64.exp() / total).abs() < 0.01, "{cold:?}");
        assert_eq!(shares(&Sampling { temperature: 0.0, ..Sampling::default() })[2].round(), 1.0);
        assert_eq!(greedy(&[1.0, 3.0, 3.0]), 1);
    }

    #[test]
    fn top_k_and_top_p_leave_tokens_out() {
        let two = shares(&Sampling { top_k: 2, ..Sampling::default() });
        assert_eq!((two[0], two[3]), (0.0, 0.0));
        // Masses 0.64, 0.24, 0.09, 0.03: 0.6 needs one token, 0.7 needs two.
        assert!((shares(&Sampling { top_p: 0.6, ..Sampling::default() })[2] - 1.0).abs() < 1e-9);
        let wider = shares(&Sampling { top_p: 0.7, ..Sampling::default() });
        assert!(wider[1] > 0.2 && wider[0] == 0.0, "{wider:?}");
    }
}
