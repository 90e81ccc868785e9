//! Numbers for people: percent, points, intervals, p values, with a real minus sign.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::stats::MeanEstimate;

/// The unit in which a number is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DisplayUnit {
    /// A fraction, written as percent with one decimal.
    Fraction,
    /// A count such as tokens, written with one decimal.
    Count,
    /// Natural units of information, written with three decimals.
    Nats,
}

impl DisplayUnit {
    /// The unit of a metric, by the name that the database has for it.
    #[must_use]
    pub fn from_label(name: &str) -> Self {
        match name {
            "fraction" => Self::Fraction,
            name if name.starts_with("nats") => Self::Nats,
            _ => Self::Count,
        }
    }

    /// The unit of a metric by its own name, where the database does not say.
    #[must_use]
    pub fn for_metric(name: &str) -> Self {
        match name {
            "tokens" => Self::Count,
            name if name.starts_with("nll") => Self::Nats,
            _ => Self::Fraction,
        }
    }

    /// The number in this unit.
    #[must_use]
    pub fn format_value(self, value: f64) -> String {
        use_minus_sign(&format!("{:.*}", self.decimals(), self.to_display(value)))
    }

    /// The number with its sign, also when it is positive.
    #[must_use]
    pub fn format_signed(self, value: f64) -> String {
        use_minus_sign(&format!("{:+.*}", self.decimals(), self.to_display(value)))
    }

    const fn decimals(self) -> usize {
        match self {
            Self::Fraction | Self::Count => 1,
            Self::Nats => 3,
        }
    }

    /// The name of a difference in this unit.
    #[must_use]
    pub const fn difference_unit(self) -> &'static str {
        match self {
            Self::Fraction => "points",
            Self::Count => "units",
            Self::Nats => "nats",
        }
    }

    /// The factor from a stored number to this unit.
    #[must_use]
    pub const fn display_factor(self) -> f64 {
        match self {
            Self::Fraction => 100.0,
            Self::Count | Self::Nats => 1.0,
        }
    }

    /// `[low, high]`.
    #[must_use]
    pub fn format_interval(self, estimate: &MeanEstimate) -> String {
        format!(
            "[{}, {}]",
            self.format_value(estimate.low),
            self.format_value(estimate.high)
        )
    }

    fn to_display(self, value: f64) -> f64 {
        let scaled = round_to_nine_decimals(value) * self.display_factor();
        // No "-0.0".
        if scaled.abs() < 0.5 * 0.1_f64.powi(self.decimals() as i32) {
            0.0
        } else {
            scaled
        }
    }
}

/// The number without its last digits, which differ between processors and orders of summation.
#[must_use]
pub fn round_to_nine_decimals(number: f64) -> f64 {
    // Adding 0 turns -0 into 0.
    (number * 1e9).round() / 1e9 + 0.0
}

/// `66.5 % [62.4, 70.6]`.
#[must_use]
pub fn format_percent(estimate: &MeanEstimate) -> String {
    format!(
        "{} % {}",
        DisplayUnit::Fraction.format_value(estimate.value),
        DisplayUnit::Fraction.format_interval(estimate)
    )
}

/// `+16.8 points [13.1, 20.6]`.
#[must_use]
pub fn format_points(difference: &MeanEstimate) -> String {
    format!(
        "{} points {}",
        DisplayUnit::Fraction.format_signed(difference.value),
        DisplayUnit::Fraction.format_interval(difference)
    )
}

/// A difference in words: `16.8 points [13.1, 20.6] above`.
#[must_use]
pub fn above_or_below(difference: &MeanEstimate) -> String {
    let unit = DisplayUnit::Fraction;
    if difference.is_above_zero() {
        format!(
            "{} points {} above",
            unit.format_value(difference.value),
            unit.format_interval(difference)
        )
    } else if difference.is_below_zero() {
        let (low, high) = (
            unit.format_value(-difference.high),
            unit.format_value(-difference.low),
        );
        format!(
            "{} points [{low}, {high}] below",
            unit.format_value(-difference.value)
        )
    } else {
        format!("not clearly different ({}) from", format_points(difference))
    }
}

/// A large number in three digits: `61.2 k`, `8.37 G`.
#[must_use]
pub fn format_amount(number: f64) -> String {
    const PREFIXES: [&str; 7] = ["", " k", " M", " G", " T", " P", " E"];
    let digits = |value: f64| match value {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    let (mut value, mut place) = (number, 0);
    while value >= 999.5 && place + 1 < PREFIXES.len() {
        value /= 1000.0;
        place += 1;
    }
    let text = format!("{value:.*}", digits(value));
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{}", PREFIXES[place])
}

/// An amount of money: two decimals, or three digits below one unit.
#[must_use]
pub fn format_money(amount: f64) -> String {
    if amount >= 1.0 || amount <= 0.0 {
        return format!("{amount:.2}");
    }
    let decimals = (2.0 - amount.log10().floor()) as usize;
    format!("{amount:.decimals$}")
}

/// A p value: three decimals, or `< 0.001`.
#[must_use]
pub fn format_p_value(p: f64) -> String {
    if p < 0.001 {
        "p < 0.001".to_owned()
    } else {
        format!("p = {p:.3}")
    }
}

/// The text with its first letter in lower case.
#[must_use]
pub fn lowercase_first(text: &str) -> String {
    map_first(text, |letter| letter.to_lowercase().collect())
}

/// The text with its first letter in upper case.
#[must_use]
pub fn uppercase_first(text: &str) -> String {
    map_first(text, |letter| letter.to_uppercase().collect())
}

fn map_first(text: &str, map: impl Fn(char) -> String) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(map).unwrap_or_default();
    first + letters.as_str()
}

/// A name for files and anchors: lower-case letters, digits and single dashes.
#[must_use]
pub fn slug(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                ' '
            }
        })
        .collect();
    spaced.split_whitespace().collect::<Vec<_>>().join("-")
}

/// Gives later ones of equal names a number, so that no file overwrites another.
pub fn deduplicate_names<'n>(names: impl Iterator<Item = &'n mut String>) {
    let mut seen = BTreeSet::new();
    for name in names {
        let mut candidate = name.clone();
        let mut count = 1;
        while !seen.insert(candidate.clone()) {
            count += 1;
            candidate = format!("{name}-{count}");
        }
        *name = candidate;
    }
}

/// The text of a number with a real minus sign, and without a sign if it reads as zero.
#[must_use]
pub fn use_minus_sign(text: &str) -> String {
    let digits = text.trim_start_matches(['+', '-']);
    if digits.chars().all(|c| "0.".contains(c)) {
        digits.to_owned()
    } else {
        text.replace('-', "\u{2212}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64, low: f64, high: f64) -> MeanEstimate {
        MeanEstimate {
            value,
            low,
            high,
            level: 0.95,
            problems: 9,
            seeds: 1,
            by_seed: vec![value],
        }
    }

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!(
            format_percent(&estimate(0.665, 0.6244, 0.706)),
            "66.5 % [62.4, 70.6]"
        );
        assert_eq!(
            format_points(&estimate(-0.038, -0.054, -0.022)),
            "−3.8 points [−5.4, −2.2]"
        );
        assert_eq!(DisplayUnit::Fraction.format_signed(-0.0001), "0.0");
        assert_eq!(DisplayUnit::Count.format_value(28.04), "28.0");
        assert_eq!(
            (
                DisplayUnit::Nats.format_signed(-0.0123).as_str(),
                DisplayUnit::Nats.format_signed(0.0004).as_str()
            ),
            ("−0.012", "0.000")
        );
        assert_eq!(
            (
                format_p_value(0.000_2).as_str(),
                format_p_value(0.04).as_str()
            ),
            ("p < 0.001", "p = 0.040")
        );
    }

    #[test]
    fn a_tie_reads_alike_wherever_it_is_written() {
        for value in [0.0095, 0.009_499_999_999_99, 0.009_500_000_000_01] {
            let below = estimate(-value, -0.017, -0.001);
            assert_eq!(DisplayUnit::Fraction.format_signed(-value), "−0.9");
            assert_eq!(above_or_below(&below), "0.9 points [0.1, 1.7] below");
        }
        assert_eq!(round_to_nine_decimals(-1e-12).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn large_numbers_have_three_digits() {
        let shown = [
            0.0, 7.0, 40.5, 999.4, 61_200.0, 999_600.0, 8.37e9, 1.65e11, 2.9e18,
        ]
        .map(format_amount);
        assert_eq!(
            shown,
            [
                "0", "7", "40.5", "999", "61.2 k", "1 M", "8.37 G", "165 G", "2.9 E"
            ]
        );
    }

    #[test]
    fn a_loss_reads_as_a_loss() {
        assert_eq!(
            above_or_below(&estimate(0.168, 0.131, 0.206)),
            "16.8 points [13.1, 20.6] above"
        );
        assert_eq!(
            above_or_below(&estimate(-0.038, -0.054, -0.022)),
            "3.8 points [2.2, 5.4] below"
        );
        let unclear = "not clearly different (+0.4 points [−1.0, 1.8]) from";
        assert_eq!(above_or_below(&estimate(0.004, -0.01, 0.018)), unclear);
    }

    #[test]
    fn repeated_names_are_numbered() {
        let mut names = ["a", "a", "a-2", "a"].map(str::to_owned);
        deduplicate_names(names.iter_mut());
        assert_eq!(names, ["a", "a-2", "a-2-2", "a-3"]);
    }

    #[test]
    fn slugs_are_safe_names() {
        assert_eq!(slug("Weak base, 3–4 steps/../x"), "weak-base-3-4-steps-x");
    }
}
