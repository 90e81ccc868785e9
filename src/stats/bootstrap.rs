//! The percentile bootstrap of a mean (Efron 1979). Hides the resampling scheme.

use super::{CONFIDENCE_LEVEL, ResampleRng, mean};

/// How often the sample is drawn again.
pub const RESAMPLES: usize = 2_000;

/// The percentile interval of the mean of `values` at [`LEVEL`]; the mean itself twice where
/// resampling cannot say anything (fewer than two values).
#[must_use]
pub fn mean_interval(values: &[f64], mut stream: ResampleRng) -> (f64, f64) {
    let count = values.len();
    if count < 2 {
        return (mean(values), mean(values));
    }
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| (0..count).map(|_| values[stream.below(count)]).sum::<f64>() / count as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE_LEVEL) / 2.0;
    (quantile(&means, tail), quantile(&means, 1.0 - tail))
}

/// The quantile of sorted numbers, linear between neighbours.
fn quantile(sorted: &[f64], at: f64) -> f64 {
    let place = at * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_by_hand() {
        let sorted = [0.0, 10.0, 20.0, 30.0];
        assert!((quantile(&sorted, 0.5) - 15.0).abs() < 1e-12);
        assert!((quantile(&sorted, 1.0) - 30.0).abs() < 1e-12);
    }

    #[test]
    fn interval_agrees_with_the_normal_one_on_many_coins() {
        let values: Vec<f64> = (0..500).map(|i| f64::from(u8::from(i % 5 < 2))).collect();
        let (low, high) = mean_interval(&values, ResampleRng::from_name("coins"));
        let half = 1.96 * (0.4_f64 * 0.6 / 500.0).sqrt();
        assert!(
            (low - (0.4 - half)).abs() < 0.005 && (high - (0.4 + half)).abs() < 0.005,
            "{low} {high}"
        );
    }

    #[test]
    fn covers_the_truth_about_as_often_as_it_says() {
        let mut draw = ResampleRng::from_name("truth");
        let covered = (0..400)
            .filter(|sample| {
                let values: Vec<f64> = (0..120)
                    .map(|_| f64::from(u8::from(draw.uniform() < 0.3)))
                    .collect();
                let (low, high) =
                    mean_interval(&values, ResampleRng::from_name(&format!("sample {sample}")));
                low <= 0.3 && 0.3 <= high
            })
            .count();
        // 95 % of 400 is 380; five standard errors are 22.
        assert!((355..=398).contains(&covered), "{covered} of 400");
    }

    #[test]
    fn one_value_has_no_width() {
        assert_eq!(
            mean_interval(&[0.25], ResampleRng::from_name("x")),
            (0.25, 0.25)
        );
    }
}
