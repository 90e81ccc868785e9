//! How small a difference a comparison could have found.

use super::sample_std;

/// The chance of finding the smallest detectable effect.
pub const POWER: f64 = 0.80;

/// The smallest true mean difference that a two-sided test at 5 % finds with 80 % power.
///
/// Normal approximation from the standard deviation of the paired differences, before any correction
/// for several tests; none for fewer than two problems.
#[must_use]
pub fn min_detectable_effect(differences: &[f64]) -> Option<f64> {
    // Standard normal quantiles at 0.975 and at POWER.
    const Z: f64 = 1.959_964 + 0.841_621;
    sample_std(differences).map(|deviation| Z * deviation / (differences.len() as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // 100 problems, half +1 and half -1: deviation sqrt(100/99), so 2.801585 * 1.00504 / 10.
        let differences: Vec<f64> = (0..100)
            .map(|i| if i % 2 == 0 { 1.0 } else { -1.0 })
            .collect();
        assert!((min_detectable_effect(&differences).unwrap() - 0.281_57).abs() < 1e-4);
        assert_eq!(min_detectable_effect(&[1.0]), None);
    }
}
