//! Whether a claim about a difference holds, fails, or stays open.
//!
//! A claim states a direction, a *margin* that the difference must pass, and the *smallest effect*
//! of interest beyond the margin. Below, `d` is the difference in the claim's direction (for
//! [`EffectDirection::Below`] its sign is turned), and `[low, high]` its interval.
//!
//! | claim | holds | fails |
//! |---|---|---|
//! | above, below | `low > margin` | `high < margin + smallest effect` |
//! | not above, not below | `high < margin + smallest effect` | `low > margin` |
//!
//! Any other interval is under-powered. If both conditions are true, the effect is certain and too
//! small to matter: either claim holds, and [`TestResult::negligible`] is set. This combines a
//! superiority test with an equivalence test for a smallest effect of interest (Lakens 2017).

use serde::{Deserialize, Serialize};

use super::comparison::{ALPHA, min_detectable_effect, sign_flip_test};
use super::estimate::exact_limit;
use super::{MeanEstimate, ScorePanel};

/// The side on which a claim puts a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffectDirection {
    /// Above the margin.
    #[default]
    Above,
    /// Below the margin's negative.
    Below,
    /// Not above the margin by an effect of interest.
    NotAbove,
    /// Not below the margin's negative by an effect of interest.
    NotBelow,
}

impl EffectDirection {
    /// The words between left and right side.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
            Self::NotAbove => "not above",
            Self::NotBelow => "not below",
        }
    }

    /// 1 for above, −1 for below.
    #[must_use]
    pub const fn sign(self) -> f64 {
        match self {
            Self::Above | Self::NotAbove => 1.0,
            Self::Below | Self::NotBelow => -1.0,
        }
    }

    /// Whether the claim denies an effect.
    #[must_use]
    pub const fn is_negated(self) -> bool {
        matches!(self, Self::NotAbove | Self::NotBelow)
    }
}

/// The answer of the data to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The data confirm it.
    Holds,
    /// The data contradict it.
    Fails,
    /// The data allow both.
    UnderPowered,
}

/// A claim about a difference, in the unit of the scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hypothesis {
    /// The side on which the difference lies.
    pub direction: EffectDirection,
    /// The value that it passes; a negative one allows the difference to be that much worse.
    pub margin: f64,
    /// The smallest effect of interest beyond the margin; above 0.
    pub smallest_effect: f64,
}

impl Hypothesis {
    /// Whether the effect is certain, and whether it is too small to matter.
    fn certain_and_negligible(&self, difference: &MeanEstimate) -> (bool, bool) {
        let ends = [difference.low, difference.high].map(|end| self.direction.sign() * end);
        let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
        (low > self.margin, high < self.margin + self.smallest_effect)
    }

    /// The decision by the interval alone.
    #[must_use]
    pub fn decide_by_interval(&self, difference: &MeanEstimate) -> Decision {
        match (
            self.certain_and_negligible(difference),
            self.direction.is_negated(),
        ) {
            ((true, _), false) | ((_, true), true) => Decision::Holds,
            ((_, true), false) | ((true, _), true) => Decision::Fails,
            ((false, false), _) => Decision::UnderPowered,
        }
    }

    /// The difference that the test must reject for a decision, with the sign of the data.
    ///
    /// It is the margin if the decision needs an effect beyond it, else margin plus smallest effect.
    fn null_value(&self, decision: Decision) -> f64 {
        let passes = (decision == Decision::Fails) == self.direction.is_negated();
        let beyond = if passes { 0.0 } else { self.smallest_effect };
        self.direction.sign() * (self.margin + beyond)
    }
}

/// The test of a difference against a hypothesis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// The mean difference, with interval.
    pub difference: MeanEstimate,
    /// The decision by the interval alone.
    pub by_interval: Decision,
    /// Whether the effect is certain but smaller than the smallest effect of interest.
    #[serde(rename = "small")]
    pub negligible: bool,
    /// The difference that the test assumes.
    #[serde(rename = "rival")]
    pub null_value: f64,
    /// Two-sided p value of the sign-flip test over problems against `null_value`.
    pub p: f64,
    /// The smallest true difference that the test finds with 80 % power.
    #[serde(rename = "detectable")]
    pub min_detectable_effect: Option<f64>,
}

impl TestResult {
    /// Tests paired differences, or scores minus a number; none for an empty panel.
    ///
    /// `bounds` are the smallest and the largest possible difference, if the metric has them
    /// (fractions). If all problems have the same difference, resampling would give an interval of
    /// width 0. The exact limit on the share of other problems then widens the interval, within the
    /// bounds, and gives the p value.
    #[must_use]
    pub fn from_differences(
        differences: &ScorePanel,
        hypothesis: &Hypothesis,
        bounds: Option<(f64, f64)>,
    ) -> Option<Self> {
        let mut difference = MeanEstimate::from_panel(differences)?;
        let constant = bounds.filter(|_| difference.high <= difference.low);
        if let Some((least, most)) = constant {
            let limit = exact_limit(difference.problems);
            difference.low = difference.value - limit * (difference.value - least);
            difference.high = difference.value + limit * (most - difference.value);
        }
        let by_interval = hypothesis.decide_by_interval(&difference);
        let (certain, small) = hypothesis.certain_and_negligible(&difference);
        let null_value = hypothesis.null_value(by_interval);
        let values = differences.problem_means();
        let p = if let Some(bounds) = constant {
            constant_p_value(&difference, null_value, bounds)
        } else {
            let shifted: Vec<f64> = values.iter().map(|value| value - null_value).collect();
            sign_flip_test(&shifted)
        };
        Some(Self {
            by_interval,
            negligible: certain && small,
            null_value,
            p,
            min_detectable_effect: min_detectable_effect(&values),
            difference,
        })
    }

    /// Number of independent seeds whose difference has the sign of the mean.
    #[must_use]
    pub fn agreeing_seeds(&self) -> usize {
        let by_seed = self.difference.by_seed.iter();
        by_seed
            .filter(|value| sign_of(**value) == sign_of(self.difference.value))
            .count()
    }
}

/// −1, 0 or 1.
fn sign_of(value: f64) -> i8 {
    i8::from(value > 0.0) - i8::from(value < 0.0)
}

/// Two-sided p value that the mean is `null_value` although every problem has the same value: the
/// chance to miss all the other problems, if those lie as far off as the bounds allow.
fn constant_p_value(difference: &MeanEstimate, null_value: f64, (least, most): (f64, f64)) -> f64 {
    let distance = (null_value - difference.value).abs();
    if distance < f64::EPSILON {
        return 1.0;
    }
    let room = if null_value < difference.value {
        difference.value - least
    } else {
        most - difference.value
    };
    let share = (distance / room).min(1.0);
    (2.0 * (1.0 - share).powi(difference.problems as i32)).min(1.0)
}

/// The test of a claim with one or more parts, all of which must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CombinedTest {
    /// The decision by the intervals alone.
    pub by_interval: Decision,
    /// Index of the part that decides.
    pub decisive_part: usize,
    /// The p value of the decision: the largest of all parts if all must hold
    /// (intersection–union), the smallest times their number if one failure is enough
    /// (Bonferroni).
    pub p: f64,
}

impl CombinedTest {
    /// Combines parts that were tested against one hypothesis; none for no parts.
    #[must_use]
    pub fn combine(parts: &[TestResult], hypothesis: &Hypothesis) -> Option<Self> {
        let failing = (0..parts.len())
            .filter(|&index| parts[index].by_interval == Decision::Fails)
            .min_by(|&a, &b| parts[a].p.total_cmp(&parts[b].p));
        if let Some(index) = failing {
            return Some(Self {
                by_interval: Decision::Fails,
                decisive_part: index,
                p: (parts[index].p * parts.len() as f64).min(1.0),
            });
        }
        // The part with the least support decides.
        let sign = if hypothesis.direction.is_negated() {
            -hypothesis.direction.sign()
        } else {
            hypothesis.direction.sign()
        };
        let support: Vec<f64> = parts
            .iter()
            .map(|part| sign * part.difference.value)
            .collect();
        Some(Self {
            by_interval: parts.iter().map(|part| part.by_interval).max()?,
            decisive_part: (0..parts.len()).min_by(|&a, &b| support[a].total_cmp(&support[b]))?,
            p: parts.iter().map(|part| part.p).fold(0.0, f64::max),
        })
    }

    /// The decision for a p value after Holm's correction: interval and test must agree.
    #[must_use]
    pub fn decide(&self, corrected: f64) -> Decision {
        if corrected <= ALPHA {
            self.by_interval
        } else {
            Decision::UnderPowered
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{panel, seed_scores};
    use super::*;

    fn interval(low: f64, high: f64) -> MeanEstimate {
        let mut estimate = MeanEstimate::from_panel(&panel(&[f64::midpoint(low, high)])).unwrap();
        (estimate.low, estimate.high) = (low, high);
        estimate
    }

    fn decided(direction: EffectDirection, low: f64, high: f64) -> Decision {
        // More than 1 point; of interest from 3 points on.
        Hypothesis {
            direction,
            margin: 0.01,
            smallest_effect: 0.02,
        }
        .decide_by_interval(&interval(low, high))
    }

    #[test]
    fn every_boundary_of_a_claim_by_hand() {
        use Decision::{Fails, Holds, UnderPowered};
        // (low, high) in points, then above and not above.
        for ((low, high), above, not_above) in [
            ((1.1, 9.0), Holds, Fails),
            ((1.0, 9.0), UnderPowered, UnderPowered), // the margin itself is not passed
            ((0.9, 3.0), UnderPowered, UnderPowered), // the smallest effect is not excluded
            ((0.9, 2.9), Fails, Holds),
            ((-9.0, -4.0), Fails, Holds),
            ((1.1, 2.9), Holds, Holds), // certain and too small to matter
            ((-5.0, 5.0), UnderPowered, UnderPowered),
            ((1.1, 3.0), Holds, Fails),
        ] {
            let (low, high) = (low / 100.0, high / 100.0);
            for (direction, low, high, expected) in [
                (EffectDirection::Above, low, high, above),
                (EffectDirection::NotAbove, low, high, not_above),
                (EffectDirection::Below, -high, -low, above),
                (EffectDirection::NotBelow, -high, -low, not_above),
            ] {
                assert_eq!(
                    decided(direction, low, high),
                    expected,
                    "{direction:?} {low} {high}"
                );
            }
        }
    }

    #[test]
    fn the_test_is_against_the_difference_that_the_decision_denies() {
        let null_value = |direction, decision| {
            let hypothesis = Hypothesis {
                direction,
                margin: 0.01,
                smallest_effect: 0.02,
            };
            (hypothesis.null_value(decision) * 100.0).round() as i32
        };
        assert_eq!(null_value(EffectDirection::Above, Decision::Holds), 1);
        assert_eq!(
            null_value(EffectDirection::Above, Decision::UnderPowered),
            1
        );
        assert_eq!(null_value(EffectDirection::Above, Decision::Fails), 3);
        assert_eq!(null_value(EffectDirection::NotAbove, Decision::Holds), 3);
        assert_eq!(
            null_value(EffectDirection::NotAbove, Decision::UnderPowered),
            3
        );
        assert_eq!(null_value(EffectDirection::NotAbove, Decision::Fails), 1);
        assert_eq!(null_value(EffectDirection::Below, Decision::Holds), -1);
        assert_eq!(null_value(EffectDirection::NotBelow, Decision::Holds), -3);
    }

    const ABOVE: Hypothesis = Hypothesis {
        direction: EffectDirection::Above,
        margin: 0.0,
        smallest_effect: 0.02,
    };

    fn tested(values: &[f64], hypothesis: &Hypothesis) -> TestResult {
        TestResult::from_differences(&panel(values), hypothesis, Some((-1.0, 1.0))).unwrap()
    }

    /// 9 problems better, 1 worse, 40 the same.
    fn clear_gain() -> TestResult {
        tested(
            &[vec![1.0; 9], vec![-1.0; 1], vec![0.0; 40]].concat(),
            &ABOVE,
        )
    }

    #[test]
    fn a_clear_gain_holds_with_the_p_value_of_mcnemar() {
        let tested = clear_gain();
        assert_eq!(
            (tested.by_interval, tested.negligible),
            (Decision::Holds, false)
        );
        // 9 against 1 discordant pair: 2 * (1 + 10) / 2^10.
        assert!((tested.p - 22.0 / 1024.0).abs() < 1e-12, "{}", tested.p);
        assert!((tested.difference.value - 0.16).abs() < 1e-12);
        assert!(
            (tested.min_detectable_effect.unwrap() - 2.801_585 * 0.421_900_9 / 50.0_f64.sqrt())
                .abs()
                < 1e-4
        );
    }

    #[test]
    fn interval_and_corrected_test_must_agree() {
        let tested = clear_gain();
        let whole = CombinedTest::combine(std::slice::from_ref(&tested), &ABOVE).unwrap();
        assert_eq!(
            (whole.decide(tested.p), whole.decide(0.05)),
            (Decision::Holds, Decision::Holds)
        );
        assert_eq!(whole.decide(0.051), Decision::UnderPowered);
        assert_eq!(CombinedTest::combine(&[], &ABOVE), None);
    }

    #[test]
    fn equal_differences_are_not_certainty() {
        // 1 - 0.025^(1/50) = 0.071: with 50 problems up to 7 % of them could differ.
        let few = tested(&[0.0; 50], &ABOVE);
        assert!(
            (few.difference.high - 0.071_122).abs() < 1e-5
                && few.by_interval == Decision::UnderPowered
        );
        assert!((few.p - 1.0).abs() < 1e-12, "{}", few.p);
        // 1 - 0.025^(1/500) = 0.0074, below the 2 points of interest; 2 * 0.98^500 is the chance to
        // miss that many.
        let many = tested(&[0.0; 500], &ABOVE);
        assert!(
            (many.difference.high - 0.007_350_6).abs() < 1e-6
                && many.by_interval == Decision::Fails
        );
        assert!(
            (many.p - 2.0 * 0.98_f64.powi(500)).abs() < 1e-12,
            "{}",
            many.p
        );
        let denied = Hypothesis {
            direction: EffectDirection::NotAbove,
            ..ABOVE
        };
        let open = tested(&[0.0; 50], &denied);
        assert_eq!(open.by_interval, Decision::UnderPowered);
        assert!(
            (open.p - 2.0 * 0.98_f64.powi(50)).abs() < 1e-12,
            "{}",
            open.p
        );
        // A score minus 0 cannot be negative.
        let none =
            TestResult::from_differences(&panel(&[0.0; 500]), &ABOVE, Some((0.0, 1.0))).unwrap();
        assert!(none.difference.low.abs() < 1e-12);
    }

    #[test]
    fn seeds_of_the_same_sign_are_counted() {
        let values = [0.25, -0.125, 0.0, 0.5];
        let seeds = (0..)
            .zip(values)
            .map(|(seed, value)| seed_scores(seed, &[value; 40]));
        let panel = ScorePanel(seeds.collect());
        let tested = TestResult::from_differences(&panel, &ABOVE, Some((-1.0, 1.0))).unwrap();
        assert_eq!(tested.agreeing_seeds(), 2);
    }

    #[test]
    fn a_whole_holds_if_all_parts_do_and_fails_if_one_does() {
        use Decision::{Fails, Holds, UnderPowered};
        let part = |value: f64, by_interval, p| TestResult {
            difference: interval(value - 0.01, value + 0.01),
            by_interval,
            negligible: false,
            null_value: 0.0,
            p,
            min_detectable_effect: None,
        };
        for (parts, expected) in [
            (
                [part(0.2, Holds, 0.001), part(0.1, Holds, 0.02)],
                (Holds, 1, 0.02),
            ),
            (
                [part(0.2, Holds, 0.001), part(0.03, UnderPowered, 0.4)],
                (UnderPowered, 1, 0.4),
            ),
            (
                [part(-0.2, Fails, 0.01), part(0.03, UnderPowered, 0.4)],
                (Fails, 0, 0.02),
            ),
        ] {
            let whole = CombinedTest::combine(&parts, &ABOVE).unwrap();
            assert_eq!((whole.by_interval, whole.decisive_part, whole.p), expected);
        }
    }
}
