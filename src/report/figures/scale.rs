//! Scales from values to pixels, with round numbers at the ticks.

use super::super::format::use_minus_sign;

/// A linear scale from values to pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelScale {
    low: f64,
    high: f64,
    first_pixel: i32,
    last_pixel: i32,
    step: f64,
}

impl PixelScale {
    /// A scale from `low` to `high`, widened to round numbers, over the pixels `from` to `to`, with
    /// about `count` ticks.
    #[must_use]
    pub fn with_round_ends(low: f64, high: f64, (from, to): (i32, i32), count: u32) -> Self {
        let (low, high) = if high - low < 1e-9 {
            (low - 0.005, high + 0.005)
        } else {
            (low, high)
        };
        let step = round_step((high - low) / f64::from(count.max(1)));
        Self {
            low: (low / step).floor() * step,
            high: (high / step).ceil() * step,
            first_pixel: from,
            last_pixel: to,
            step,
        }
    }

    /// A scale from exactly `low` to exactly `high`, with ticks at multiples of a round step.
    #[must_use]
    pub fn with_exact_ends(low: f64, high: f64, (from, to): (i32, i32), count: u32) -> Self {
        let high = if high - low < 1e-9 { low + 1.0 } else { high };
        let step = round_step((high - low) / f64::from(count.max(1)));
        Self {
            low,
            high,
            first_pixel: from,
            last_pixel: to,
            step,
        }
    }

    /// The same scale with ticks no closer than this.
    #[must_use]
    pub fn with_min_step(self, step: f64) -> Self {
        Self {
            step: self.step.max(step),
            ..self
        }
    }

    /// The pixel of a value.
    #[must_use]
    pub fn pixel(&self, value: f64) -> i32 {
        let part = (value - self.low) / (self.high - self.low);
        self.first_pixel + (part * f64::from(self.last_pixel - self.first_pixel)).round() as i32
    }

    /// The round numbers on the scale.
    #[must_use]
    pub fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step - 1e-9).ceil() as i64;
        let last = (self.high / self.step + 1e-9).floor() as i64;
        (first..=last).map(|at| at as f64 * self.step).collect()
    }

    /// A tick's value with as many decimals as the step needs, and a real minus sign.
    #[must_use]
    pub fn tick_label(&self, value: f64) -> String {
        let decimals = (-(self.step.log10() + 1e-9).floor()).max(0.0) as usize;
        use_minus_sign(&format!("{value:.decimals$}"))
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is at least this.
fn round_step(wanted: f64) -> f64 {
    let power = 10_f64.powf(wanted.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|times| power * times >= wanted * (1.0 - 1e-9));
    times.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_ticks_are_round() {
        let scale = PixelScale::with_round_ends(13.0, 71.0, (300, 0), 5);
        assert_eq!(scale.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0]);
        assert_eq!(
            (scale.pixel(0.0), scale.pixel(40.0), scale.pixel(80.0)),
            (300, 150, 0)
        );
        assert_eq!(scale.tick_label(20.0), "20");
    }

    #[test]
    fn small_and_negative_numbers_are_written_out() {
        let scale = PixelScale::with_round_ends(-0.31, 0.12, (0, 100), 4);
        let labels: Vec<String> = scale
            .ticks()
            .iter()
            .map(|&tick| scale.tick_label(tick))
            .collect();
        assert_eq!(labels, ["−0.4", "−0.2", "0.0", "0.2"]);
    }

    #[test]
    fn nothing_to_spread_still_has_a_scale() {
        let scale = PixelScale::with_round_ends(0.0, 0.0, (0, 100), 4);
        assert!(scale.ticks().len() >= 2 && scale.pixel(0.0) == 50);
        assert_eq!(
            PixelScale::with_exact_ends(1.0, 5.0, (0, 400), 4).ticks(),
            [1.0, 2.0, 3.0, 4.0, 5.0]
        );
    }
}
