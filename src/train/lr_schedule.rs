//! The learning rate over the steps of a training.

use super::TrainConfig;

/// Rate of step `step` (from 0) of `total`: a linear rise over the warm-up, times a cosine from 1
/// to `final_rate`.
#[must_use]
pub fn learning_rate(config: &TrainConfig, step: usize, total: usize) -> f64 {
    let warmup = (config.warmup_ratio * total as f64).floor().max(1.0);
    let rise = ((step + 1) as f64 / warmup).min(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / total as f64).cos());
    config.learning_rate * rise * (config.final_rate + (1.0 - config.final_rate) * cosine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls_to_the_final_rate() {
        let config = TrainConfig {
            learning_rate: 1.0,
            warmup_ratio: 0.1,
            final_rate: 0.1,
            ..TrainConfig::default()
        };
        assert!((learning_rate(&config, 0, 100) - 0.1).abs() < 1e-3);
        assert!((learning_rate(&config, 9, 100) - 0.982).abs() < 1e-3);
        assert!((learning_rate(&config, 50, 100) - 0.55).abs() < 1e-9);
        assert!((learning_rate(&config, 99, 100) - 0.1).abs() < 1e-3);
        assert!(learning_rate(&config, 0, 1) > 0.0);
    }
}
