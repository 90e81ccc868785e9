//! What a table cell holds, and its one wording for every kind of output.

use serde::{Deserialize, Serialize};

use super::super::format::{Unit, amount, p_value};
use crate::stats::{Estimate, Verdict};

/// What a cell holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Cell {
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
    /// A metric with its interval, and what it has above the first turn of the same row.
    Measured {
        /// The metric.
        estimate: Estimate,
        /// What it counts.
        unit: Unit,
        /// The paired difference that stands in parentheses.
        delta: Option<Estimate>,
    },
    /// A paired difference with its interval.
    Difference {
        /// The difference.
        difference: Estimate,
        /// What it comes down to, where more is better or worse.
        verdict: Option<Verdict>,
    },
    /// A metric, and how it compares with the baseline's.
    Compared {
        /// The metric.
        estimate: Estimate,
        /// The comparison; none for the baseline itself.
        comparison: Option<Compared>,
    },
    /// Values of single seeds, and their spread.
    Seeds {
        /// The metric over all seeds.
        estimate: Estimate,
    },
}

/// A comparison with a corrected test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// The paired difference to the baseline.
    pub difference: Estimate,
    /// p value of the sign-flip test.
    pub p: f64,
    /// The same after Holm's correction within the family.
    pub corrected: f64,
    /// Smallest detectable effect.
    pub detectable: Option<f64>,
    /// What it comes down to.
    pub verdict: Verdict,
}

/// A cell in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The number or words.
    pub main: String,
    /// The paired difference in parentheses.
    pub delta: String,
    /// Further lines, smaller.
    pub lines: Vec<String>,
    /// `better`, `worse` or empty.
    pub tone: &'static str,
    /// Whether there is nothing.
    pub missing: bool,
}

impl Cell {
    /// A metric of fractions; missing where there is none.
    #[must_use]
    pub fn fraction(estimate: Option<Estimate>) -> Self {
        Self::measured(estimate, Unit::Fraction, None)
    }

    /// A metric; missing where there is none.
    #[must_use]
    pub fn measured(estimate: Option<Estimate>, unit: Unit, delta: Option<Estimate>) -> Self {
        estimate.map_or(Self::Missing, |estimate| Self::Measured {
            estimate,
            unit,
            delta,
        })
    }

    /// What stands where a method has no such number.
    #[must_use]
    pub fn dash() -> Self {
        Self::Text {
            text: "–".to_owned(),
        }
    }

    /// A paired difference of which more is better; missing where there is none.
    #[must_use]
    pub fn gain(difference: Option<Estimate>) -> Self {
        difference.map_or(Self::Missing, |difference| {
            let verdict = Some(Verdict::of(&difference, None));
            Self::Difference {
                difference,
                verdict,
            }
        })
    }

    /// The cell in words.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let unit = Unit::Fraction;
        match self {
            Self::Missing => Shown {
                main: "missing".to_owned(),
                missing: true,
                ..Shown::default()
            },
            Self::Text { text } => Shown {
                main: text.clone(),
                ..Shown::default()
            },
            Self::Amount { amount: number } => Shown {
                main: amount(*number),
                ..Shown::default()
            },
            Self::Measured {
                estimate,
                unit,
                delta,
            } => Shown {
                main: unit.number(estimate.value),
                delta: delta
                    .as_ref()
                    .map(|d| format!("({})", unit.signed(d.value)))
                    .unwrap_or_default(),
                lines: vec![unit.interval(estimate)],
                ..Shown::default()
            },
            Self::Difference {
                difference,
                verdict,
            } => Shown {
                main: unit.signed(difference.value),
                lines: vec![unit.interval(difference)],
                tone: verdict.map_or("", tone),
                ..Shown::default()
            },
            Self::Compared {
                estimate,
                comparison,
            } => compared(estimate, comparison.as_ref()),
            Self::Seeds { estimate } => seeds(estimate),
        }
    }

    /// The numbers of the cell by name, as they stand in a CSV file: fractions, not percent.
    #[must_use]
    pub fn numbers(&self) -> Vec<(&'static str, String)> {
        let three = |prefix: [&'static str; 3], e: &Estimate| {
            prefix
                .into_iter()
                .zip([e.value, e.low, e.high])
                .map(|(name, x)| (name, number(x)))
                .collect::<Vec<_>>()
        };
        match self {
            Self::Missing => Vec::new(),
            Self::Text { text } => vec![("text", text.clone())],
            Self::Amount { amount } => vec![(VALUE[0], number(*amount))],
            Self::Measured {
                estimate, delta, ..
            } => {
                let mut numbers = three(VALUE, estimate);
                numbers.extend(delta.iter().flat_map(|delta| three(DIFFERENCE, delta)));
                numbers.extend(behind(estimate));
                numbers
            }
            Self::Difference { difference, .. } => {
                let mut numbers = three(DIFFERENCE, difference);
                numbers.extend(behind(difference));
                numbers
            }
            Self::Compared {
                estimate,
                comparison,
            } => {
                let mut numbers = three(VALUE, estimate);
                if let Some(compared) = comparison {
                    numbers.extend(three(DIFFERENCE, &compared.difference));
                    numbers.push(("p", number(compared.p)));
                    numbers.push(("p_holm", number(compared.corrected)));
                    numbers.extend(compared.detectable.map(|x| ("detectable", number(x))));
                    numbers.push(("verdict", compared.verdict.word().to_owned()));
                }
                numbers.extend(behind(estimate));
                numbers
            }
            Self::Seeds { estimate } => {
                let mut numbers = three(VALUE, estimate);
                numbers.extend(
                    estimate
                        .between_seeds()
                        .map(|sd| ("between_seeds", number(sd))),
                );
                numbers.extend(behind(estimate));
                numbers
            }
        }
    }
}

const VALUE: [&str; 3] = ["value", "low", "high"];
const DIFFERENCE: [&str; 3] = ["difference", "difference_low", "difference_high"];

/// The columns that a CSV file has, in order.
pub const NUMBERS: [&str; 14] = [
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

fn behind(estimate: &Estimate) -> [(&'static str, String); 2] {
    [
        ("problems", estimate.problems.to_string()),
        ("seeds", estimate.seeds.to_string()),
    ]
}

/// Six decimals at most, so that files stay readable.
fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

const fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::NoClearDifference => "",
    }
}

fn compared(estimate: &Estimate, comparison: Option<&Compared>) -> Shown {
    let unit = Unit::Fraction;
    let mut shown = Shown {
        main: unit.number(estimate.value),
        lines: vec![unit.interval(estimate)],
        ..Shown::default()
    };
    match comparison {
        None => shown.lines.push("baseline".to_owned()),
        Some(compared) => {
            let difference = &compared.difference;
            shown.lines.push(format!(
                "{} {}",
                unit.signed(difference.value),
                unit.interval(difference)
            ));
            let detectable = compared
                .detectable
                .map(|x| format!(", finds ≥ {}", unit.number(x)));
            shown.lines.push(format!(
                "{}{}",
                p_value(compared.corrected),
                detectable.unwrap_or_default()
            ));
            shown.lines.push(compared.verdict.word().to_owned());
            shown.tone = tone(compared.verdict);
        }
    }
    shown
}

fn seeds(estimate: &Estimate) -> Shown {
    let unit = Unit::Fraction;
    let values: Vec<String> = estimate
        .by_seed
        .iter()
        .map(|&value| unit.number(value))
        .collect();
    let spread = estimate.between_seeds().map_or_else(
        || "one seed: spread unknown".to_owned(),
        |sd| format!("sd {}", unit.number(sd)),
    );
    Shown {
        main: values.join(" · "),
        lines: vec![spread],
        ..Shown::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64, low: f64, high: f64) -> Estimate {
        Estimate {
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
        let shown =
            Cell::measured(Some(estimate(0.665, 0.624, 0.706)), Unit::Fraction, delta).shown();
        assert_eq!(
            (shown.main.as_str(), shown.delta.as_str()),
            ("66.5", "(+16.8)")
        );
        assert_eq!(shown.lines, ["[62.4, 70.6]"]);
    }

    #[test]
    fn a_comparison_says_everything_a_reader_needs_to_doubt_it() {
        let comparison = Compared {
            difference: estimate(-0.031, -0.05, -0.012),
            p: 0.001,
            corrected: 0.004,
            detectable: Some(0.027),
            verdict: Verdict::Worse,
        };
        let shown = Cell::Compared {
            estimate: estimate(0.4, 0.36, 0.44),
            comparison: Some(comparison),
        }
        .shown();
        let expected = [
            "[36.0, 44.0]",
            "−3.1 [−5.0, −1.2]",
            "p = 0.004, finds ≥ 2.7",
            "worse",
        ];
        assert_eq!(
            (shown.lines, shown.tone),
            (expected.map(str::to_owned).to_vec(), "worse")
        );
    }

    #[test]
    fn seeds_show_each_value_and_their_spread() {
        let shown = Cell::Seeds {
            estimate: estimate(0.5, 0.4, 0.6),
        }
        .shown();
        assert_eq!(
            (shown.main.as_str(), shown.lines[0].as_str()),
            ("49.0 · 51.0", "sd 1.4")
        );
        let single = Estimate {
            by_seed: vec![0.5],
            seeds: 1,
            ..estimate(0.5, 0.4, 0.6)
        };
        assert_eq!(
            Cell::Seeds { estimate: single }.shown().lines[0],
            "one seed: spread unknown"
        );
    }

    #[test]
    fn every_number_has_a_column() {
        let cell = Cell::Seeds {
            estimate: estimate(0.5, 0.4, 0.6),
        };
        assert!(
            cell.numbers()
                .iter()
                .all(|(name, _)| NUMBERS.contains(name))
        );
        assert_eq!(Cell::Missing.shown().main, "missing");
    }
}
