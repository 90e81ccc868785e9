//! Table cells, and their one wording for every kind of output.

use serde::{Deserialize, Serialize};

use super::super::format::{DisplayUnit, format_amount, format_p_value};
use crate::stats::{ComparisonVerdict, MeanEstimate};

/// A table cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum TableCell {
    /// Nothing was measured.
    Missing,
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// A number that was counted, without uncertainty.
    Amount {
        /// The number.
        amount: f64,
    },
    /// A metric with its interval, and its gain over the first turn of the same row.
    #[serde(rename = "measured")]
    Metric {
        /// The metric.
        estimate: MeanEstimate,
        /// Its unit.
        unit: DisplayUnit,
        /// The paired difference in parentheses.
        delta: Option<MeanEstimate>,
    },
    /// A paired difference with its interval.
    Difference {
        /// The difference.
        difference: MeanEstimate,
        /// Its verdict, where more is better.
        verdict: Option<ComparisonVerdict>,
    },
    /// A metric and its comparison with the baseline.
    #[serde(rename = "compared")]
    Comparison {
        /// The metric.
        estimate: MeanEstimate,
        /// The comparison; none for the baseline itself.
        comparison: Option<CorrectedComparison>,
    },
    /// Values of single seeds, and their spread.
    Seeds {
        /// The metric over all seeds.
        estimate: MeanEstimate,
    },
}

/// A comparison with a corrected test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CorrectedComparison {
    /// The paired difference to the baseline.
    pub difference: MeanEstimate,
    /// p value of the sign-flip test.
    #[serde(rename = "p")]
    pub p_value: f64,
    /// The same after Holm's correction within the family.
    #[serde(rename = "corrected")]
    pub corrected_p_value: f64,
    /// Smallest detectable effect.
    #[serde(rename = "detectable")]
    pub min_detectable_effect: Option<f64>,
    /// The verdict.
    pub verdict: ComparisonVerdict,
}

/// A cell in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RenderedCell {
    /// The number or words.
    pub main: String,
    /// The paired difference in parentheses.
    pub delta: String,
    /// Further lines, smaller.
    pub lines: Vec<String>,
    /// `better`, `worse` or empty.
    pub tone: &'static str,
    /// Whether nothing was measured.
    pub missing: bool,
}

impl RenderedCell {
    fn new(main: impl Into<String>) -> Self {
        Self {
            main: main.into(),
            ..Self::default()
        }
    }
}

impl TableCell {
    /// A metric of fractions; missing where there is none.
    #[must_use]
    pub fn from_fraction(estimate: Option<MeanEstimate>) -> Self {
        Self::from_metric(estimate, DisplayUnit::Fraction, None)
    }

    /// A metric; missing where there is none.
    #[must_use]
    pub fn from_metric(
        estimate: Option<MeanEstimate>,
        unit: DisplayUnit,
        delta: Option<MeanEstimate>,
    ) -> Self {
        estimate.map_or(Self::Missing, |estimate| Self::Metric {
            estimate,
            unit,
            delta,
        })
    }

    /// A cell of words.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// A dash, for a metric that the method does not have.
    #[must_use]
    pub fn dash() -> Self {
        Self::text("–")
    }

    /// A paired difference of which more is better; missing where there is none.
    #[must_use]
    pub fn from_gain(difference: Option<MeanEstimate>) -> Self {
        difference.map_or(Self::Missing, |difference| {
            let verdict = Some(ComparisonVerdict::from_estimate(&difference, None));
            Self::Difference {
                difference,
                verdict,
            }
        })
    }

    /// The cell in words.
    #[must_use]
    pub fn render(&self) -> RenderedCell {
        let unit = DisplayUnit::Fraction;
        match self {
            Self::Missing => RenderedCell {
                missing: true,
                ..RenderedCell::new("missing")
            },
            Self::Text { text } => RenderedCell::new(text),
            Self::Amount { amount } => RenderedCell::new(format_amount(*amount)),
            Self::Metric {
                estimate,
                unit,
                delta,
            } => {
                let delta = delta.as_ref().map(|delta| unit.format_signed(delta.value));
                RenderedCell {
                    delta: delta.map(|delta| format!("({delta})")).unwrap_or_default(),
                    lines: vec![unit.format_interval(estimate)],
                    ..RenderedCell::new(unit.format_value(estimate.value))
                }
            }
            Self::Difference {
                difference,
                verdict,
            } => RenderedCell {
                lines: vec![unit.format_interval(difference)],
                tone: verdict.map_or("", verdict_tone),
                ..RenderedCell::new(unit.format_signed(difference.value))
            },
            Self::Comparison {
                estimate,
                comparison,
            } => render_comparison(estimate, comparison.as_ref()),
            Self::Seeds { estimate } => render_seeds(estimate),
        }
    }

    /// The numbers of the cell by name, as a CSV file has them: fractions, not percent.
    #[must_use]
    pub fn csv_values(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Missing => Vec::new(),
            Self::Text { text } => vec![("text", text.clone())],
            Self::Amount { amount } => vec![(VALUE_COLUMNS[0], csv_number(*amount))],
            Self::Metric {
                estimate, delta, ..
            } => {
                let mut values = csv_interval(VALUE_COLUMNS, estimate);
                let delta = delta.iter();
                values.extend(delta.flat_map(|delta| csv_interval(DIFFERENCE_COLUMNS, delta)));
                values.extend(sample_sizes(estimate));
                values
            }
            Self::Difference { difference, .. } => {
                let mut values = csv_interval(DIFFERENCE_COLUMNS, difference);
                values.extend(sample_sizes(difference));
                values
            }
            Self::Comparison {
                estimate,
                comparison,
            } => {
                let mut values = csv_interval(VALUE_COLUMNS, estimate);
                values.extend(comparison.iter().flat_map(csv_comparison));
                values.extend(sample_sizes(estimate));
                values
            }
            Self::Seeds { estimate } => {
                let mut values = csv_interval(VALUE_COLUMNS, estimate);
                let spread = estimate.std_between_seeds();
                values.extend(spread.map(|spread| ("between_seeds", csv_number(spread))));
                values.extend(sample_sizes(estimate));
                values
            }
        }
    }
}

fn csv_interval(names: [&'static str; 3], e: &MeanEstimate) -> Vec<(&'static str, String)> {
    let values = [e.value, e.low, e.high].map(csv_number);
    names.into_iter().zip(values).collect()
}

fn csv_comparison(compared: &CorrectedComparison) -> Vec<(&'static str, String)> {
    let mut values = csv_interval(DIFFERENCE_COLUMNS, &compared.difference);
    values.push(("p", csv_number(compared.p_value)));
    values.push(("p_holm", csv_number(compared.corrected_p_value)));
    let detectable = compared.min_detectable_effect;
    values.extend(detectable.map(|effect| ("detectable", csv_number(effect))));
    values.push(("verdict", compared.verdict.label().to_owned()));
    values
}

const VALUE_COLUMNS: [&str; 3] = ["value", "low", "high"];
const DIFFERENCE_COLUMNS: [&str; 3] = ["difference", "difference_low", "difference_high"];

/// The columns that a CSV file has, in order.
pub const CSV_COLUMNS: [&str; 14] = [
    "value",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "p",
    "p_holm",
    "detectable",
    "verdict",
    "between_seeds",
    "problems",
    "seeds",
    "text",
];

fn sample_sizes(estimate: &MeanEstimate) -> [(&'static str, String); 2] {
    [
        ("problems", estimate.problems.to_string()),
        ("seeds", estimate.seeds.to_string()),
    ]
}

/// Six decimals at most, so that files stay readable.
fn csv_number(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

const fn verdict_tone(verdict: ComparisonVerdict) -> &'static str {
    match verdict {
        ComparisonVerdict::Better => "better",
        ComparisonVerdict::Worse => "worse",
        ComparisonVerdict::NoClearDifference => "",
    }
}

fn render_comparison(
    estimate: &MeanEstimate,
    comparison: Option<&CorrectedComparison>,
) -> RenderedCell {
    let unit = DisplayUnit::Fraction;
    let mut rendered = RenderedCell {
        main: unit.format_value(estimate.value),
        lines: vec![unit.format_interval(estimate)],
        ..RenderedCell::default()
    };
    match comparison {
        None => rendered.lines.push("baseline".to_owned()),
        Some(compared) => {
            let difference = &compared.difference;
            rendered.lines.push(format!(
                "{} {}",
                unit.format_signed(difference.value),
                unit.format_interval(difference)
            ));
            let detectable = compared
                .min_detectable_effect
                .map(|x| format!(", detects ≥ {}", unit.format_value(x)));
            rendered.lines.push(format!(
                "{}{}",
                format_p_value(compared.corrected_p_value),
                detectable.unwrap_or_default()
            ));
            rendered.lines.push(compared.verdict.label().to_owned());
            rendered.tone = verdict_tone(compared.verdict);
        }
    }
    rendered
}

fn render_seeds(estimate: &MeanEstimate) -> RenderedCell {
    let unit = DisplayUnit::Fraction;
    let values: Vec<String> = estimate
        .by_seed
        .iter()
        .map(|&value| unit.format_value(value))
        .collect();
    let spread = estimate.std_between_seeds().map_or_else(
        || "one seed: spread unknown".to_owned(),
        |sd| format!("sd {}", unit.format_value(sd)),
    );
    RenderedCell {
        main: values.join(" · "),
        lines: vec![spread],
        ..RenderedCell::default()
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
            problems: 500,
            seeds: 2,
            by_seed: vec![value - 0.01, value + 0.01],
        }
    }

    #[test]
    fn the_paper_prints_the_gain_in_parentheses() {
        let delta = Some(estimate(0.168, 0.131, 0.206));
        let rendered = TableCell::from_metric(
            Some(estimate(0.665, 0.624, 0.706)),
            DisplayUnit::Fraction,
            delta,
        )
        .render();
        assert_eq!(
            (rendered.main.as_str(), rendered.delta.as_str()),
            ("66.5", "(+16.8)")
        );
        assert_eq!(rendered.lines, ["[62.4, 70.6]"]);
    }

    #[test]
    fn a_comparison_says_everything_a_reader_needs_to_doubt_it() {
        let comparison = CorrectedComparison {
            difference: estimate(-0.031, -0.05, -0.012),
            p_value: 0.001,
            corrected_p_value: 0.004,
            min_detectable_effect: Some(0.027),
            verdict: ComparisonVerdict::Worse,
        };
        let rendered = TableCell::Comparison {
            estimate: estimate(0.4, 0.36, 0.44),
            comparison: Some(comparison),
        }
        .render();
        let expected = [
            "[36.0, 44.0]",
            "−3.1 [−5.0, −1.2]",
            "p = 0.004, detects ≥ 2.7",
            "worse",
        ];
        assert_eq!(
            (rendered.lines, rendered.tone),
            (expected.map(str::to_owned).to_vec(), "worse")
        );
    }

    #[test]
    fn seeds_show_each_value_and_their_spread() {
        let rendered = TableCell::Seeds {
            estimate: estimate(0.5, 0.4, 0.6),
        }
        .render();
        assert_eq!(
            (rendered.main.as_str(), rendered.lines[0].as_str()),
            ("49.0 · 51.0", "sd 1.4")
        );
        let single = MeanEstimate {
            by_seed: vec![0.5],
            seeds: 1,
            ..estimate(0.5, 0.4, 0.6)
        };
        assert_eq!(
            TableCell::Seeds { estimate: single }.render().lines[0],
            "one seed: spread unknown"
        );
    }

    #[test]
    fn every_number_has_a_column() {
        let cell = TableCell::Seeds {
            estimate: estimate(0.5, 0.4, 0.6),
        };
        assert!(
            cell.csv_values()
                .iter()
                .all(|(name, _)| CSV_COLUMNS.contains(name))
        );
        assert_eq!(TableCell::Missing.render().main, "missing");
    }
}
