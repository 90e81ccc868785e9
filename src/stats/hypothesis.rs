//! Whether a claim about a difference is borne out: it holds, it fails, or the data cannot tell.
//!
//! A claim states a direction, a *margin* that the difference has to pass, and what a difference is
//! *worth*: the smallest effect beyond the margin that is of interest. Below, `d` is the difference in the
//! claim's direction (for [`EffectDirection::Below`] its sign is turned), `[low, high]` its interval.
//!
//! | claim | holds | fails |
//! |---|---|---|
//! | above, below | `low > margin` | `high < margin + worth` |
//! | not above, not below | `high < margin + worth` | `low > margin` |
//!
//! Anything else is under-powered. Where both conditions are true, the effect is certain and too small to
//! matter: either claim holds then, and [`TestResult::small`] says so. This is a superiority test beside an
//! equivalence test with a smallest effect of interest (Lakens 2017).

use serde::{Deserialize, Serialize};

use super::{
    CONFIDENCE_LEVEL, MeanEstimate, ResampleRng, ScorePanel, min_detectable_effect, sign_flip_test,
};

/// Above this corrected p value nothing is settled.
const ALPHA: f64 = 0.05;

/// What a claim says about a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffectDirection {
    /// It is above the margin.
    #[default]
    Above,
    /// It is below the margin's negative.
    Below,
    /// It is not above the margin by anything of interest.
    NotAbove,
    /// It is not below the margin's negative by anything of interest.
    NotBelow,
}

impl EffectDirection {
    /// The words between what is compared.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
            Self::NotAbove => "not above",
            Self::NotBelow => "not below",
        }
    }

    /// 1 where more is meant, −1 where less is.
    #[must_use]
    pub const fn sign(self) -> f64 {
        match self {
            Self::Above | Self::NotAbove => 1.0,
            Self::Below | Self::NotBelow => -1.0,
        }
    }

    const fn is_negated(self) -> bool {
        matches!(self, Self::NotAbove | Self::NotBelow)
    }
}

/// What the data say of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The data bear it out.
    Holds,
    /// The data speak against it.
    Fails,
    /// The data cannot tell.
    UnderPowered,
}

/// What is claimed of a difference, in the unit of the scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hypothesis {
    /// Which way it lies.
    pub direction: EffectDirection,
    /// What it has to pass; may be negative, for "at most so much worse".
    pub margin: f64,
    /// The smallest effect of interest beyond the margin; above 0.
    pub smallest_effect: f64,
}

impl Hypothesis {
    /// The interval in the claim's direction.
    fn oriented_interval(&self, difference: &MeanEstimate) -> (f64, f64) {
        let ends = (
            self.direction.sign() * difference.low,
            self.direction.sign() * difference.high,
        );
        (ends.0.min(ends.1), ends.0.max(ends.1))
    }

    /// Whether the effect is certain, and whether it is too small to matter.
    fn certain_and_negligible(&self, difference: &MeanEstimate) -> (bool, bool) {
        let (low, high) = self.oriented_interval(difference);
        (low > self.margin, high < self.margin + self.smallest_effect)
    }

    /// The ruling by the interval alone.
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

    /// The difference that the ruling has to tell the data from: the margin where the claim rests on
    /// passing it, the end of what is of no interest where it rests on staying within. With the sign
    /// of the data.
    fn null_value(&self, ruling: Decision) -> f64 {
        let passes = (ruling == Decision::Fails) == self.direction.is_negated();
        self.direction.sign()
            * if passes {
                self.margin
            } else {
                self.margin + self.smallest_effect
            }
    }
}

/// A difference that was put to the test of a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// The mean difference, with interval.
    pub difference: MeanEstimate,
    /// What the interval alone says.
    pub by_interval: Decision,
    /// Whether the effect is certain but smaller than what is of interest.
    #[serde(rename = "small")]
    pub negligible: bool,
    /// The difference that the p value is against.
    #[serde(rename = "rival")]
    pub null_value: f64,
    /// Two-sided p value of the sign-flip test over problems that the difference is the rival one.
    pub p: f64,
    /// The smallest true difference that would be found with 80 % power.
    #[serde(rename = "detectable")]
    pub min_detectable_effect: Option<f64>,
}

impl TestResult {
    /// Puts paired differences, or what lies above a number, to the test; none where there are none.
    ///
    /// `bounds` are the least and the greatest possible difference, where there are such (fractions).
    /// Where all problems have the same difference, resampling would claim certainty; there the exact
    /// limit on how many could differ (Clopper and Pearson 1934) widens the interval, within the
    /// bounds, and gives the p value.
    #[must_use]
    pub fn from_differences(
        differences: &ScorePanel,
        stakes: &Hypothesis,
        bounds: Option<(f64, f64)>,
    ) -> Option<Self> {
        let mut difference = MeanEstimate::from_panel(differences)?;
        let uniform = bounds.filter(|_| difference.high <= difference.low);
        if let Some((least, most)) = uniform {
            let reach =
                1.0 - ((1.0 - CONFIDENCE_LEVEL) / 2.0).powf(1.0 / difference.problems as f64);
            difference.low = difference.value - reach * (difference.value - least);
            difference.high = difference.value + reach * (most - difference.value);
        }
        let by_interval = stakes.decide_by_interval(&difference);
        let (certain, small) = stakes.certain_and_negligible(&difference);
        let rival = stakes.null_value(by_interval);
        let values: Vec<f64> = differences
            .by_problem()
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        let shifted: Vec<f64> = values.iter().map(|value| value - rival).collect();
        let p = uniform.map_or_else(
            || sign_flip_test(&shifted, ResampleRng::from_values(&shifted)),
            |bounds| constant_p_value(&difference, rival, bounds),
        );
        Some(Self {
            by_interval,
            negligible: certain && small,
            null_value: rival,
            p,
            min_detectable_effect: min_detectable_effect(&values),
            difference,
        })
    }

    /// How many independent seeds have a difference of the same sign as all together.
    #[must_use]
    pub fn agreeing_seeds(&self) -> usize {
        let sign = |value: f64| {
            if value == 0.0 {
                0
            } else {
                value.signum() as i32
            }
        };
        let all = sign(self.difference.value);
        self.difference
            .by_seed
            .iter()
            .filter(|&&value| sign(value) == all)
            .count()
    }
}

/// Two-sided p value that the mean is the rival one where every problem has the same value: so many
/// problems, as far off as the bounds allow, would have to be missed.
fn constant_p_value(difference: &MeanEstimate, rival: f64, (least, most): (f64, f64)) -> f64 {
    let distance = (rival - difference.value).abs();
    if distance < f64::EPSILON {
        return 1.0;
    }
    let room = if rival < difference.value {
        difference.value - least
    } else {
        most - difference.value
    };
    let share = (distance / room).min(1.0);
    (2.0 * (1.0 - share).powi(difference.problems as i32)).min(1.0)
}

/// What a claim of one or more parts comes to, all of which must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CombinedTest {
    /// What the intervals alone say.
    pub by_interval: Decision,
    /// The part that decides, by number.
    pub decisive_part: usize,
    /// The p value of that: the greatest of all parts where all have to hold (intersection–union), and
    /// the least one times their number where one of them failing is enough (Bonferroni).
    pub p: f64,
}

impl CombinedTest {
    /// Sums up parts that were all tested for the same stakes; none where there are none.
    #[must_use]
    pub fn combine(parts: &[TestResult], stakes: &Hypothesis) -> Option<Self> {
        let failing = |at: &usize| parts[*at].by_interval == Decision::Fails;
        let places = || 0..parts.len();
        if let Some(at) = places()
            .filter(failing)
            .min_by(|&a, &b| parts[a].p.total_cmp(&parts[b].p))
        {
            let p = (parts[at].p * parts.len() as f64).min(1.0);
            return Some(Self {
                by_interval: Decision::Fails,
                decisive_part: at,
                p,
            });
        }
        let by_interval = parts.iter().map(|part| part.by_interval).max()?;
        let favour = |at: usize| {
            let turned = stakes.direction.sign() * parts[at].difference.value;
            if stakes.direction.is_negated() {
                -turned
            } else {
                turned
            }
        };
        let decisive = places().min_by(|&a, &b| favour(a).total_cmp(&favour(b)))?;
        let p = parts.iter().map(|part| part.p).fold(0.0, f64::max);
        Some(Self {
            by_interval,
            decisive_part: decisive,
            p,
        })
    }

    /// The ruling, given the p value after Holm's correction within its family: interval and test must
    /// agree.
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
    use super::super::SeedScores;
    use super::*;

    fn interval(low: f64, high: f64) -> MeanEstimate {
        let value = f64::midpoint(low, high);
        MeanEstimate {
            value,
            low,
            high,
            level: CONFIDENCE_LEVEL,
            problems: 100,
            seeds: 1,
            by_seed: vec![value],
        }
    }

    fn ruled(direction: EffectDirection, low: f64, high: f64) -> Decision {
        // At least 1 point, of interest from 3 points on.
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
        let cases = [
            ((1.1, 9.0), Holds, Fails),
            ((1.0, 9.0), UnderPowered, UnderPowered), // the margin itself is not passed
            ((0.9, 3.0), UnderPowered, UnderPowered), // the end of no interest is not left out
            ((0.9, 2.9), Fails, Holds),
            ((-9.0, -4.0), Fails, Holds),
            ((1.1, 2.9), Holds, Holds), // certain and too small to matter
            ((-5.0, 5.0), UnderPowered, UnderPowered),
            ((1.1, 3.0), Holds, Fails),
        ];
        for ((low, high), above, not_above) in cases {
            let (low, high) = (low / 100.0, high / 100.0);
            assert_eq!(
                ruled(EffectDirection::Above, low, high),
                above,
                "above {low} {high}"
            );
            assert_eq!(
                ruled(EffectDirection::NotAbove, low, high),
                not_above,
                "not above {low} {high}"
            );
            assert_eq!(
                ruled(EffectDirection::Below, -high, -low),
                above,
                "below {low} {high}"
            );
            assert_eq!(
                ruled(EffectDirection::NotBelow, -high, -low),
                not_above,
                "not below {low} {high}"
            );
        }
    }

    #[test]
    fn the_test_is_against_what_the_ruling_denies() {
        let stakes = |direction| Hypothesis {
            direction,
            margin: 0.01,
            smallest_effect: 0.02,
        };
        let rival =
            |direction, ruling| (stakes(direction).null_value(ruling) * 100.0).round() as i32;
        assert_eq!(rival(EffectDirection::Above, Decision::Holds), 1);
        assert_eq!(rival(EffectDirection::Above, Decision::UnderPowered), 1);
        assert_eq!(rival(EffectDirection::Above, Decision::Fails), 3);
        assert_eq!(rival(EffectDirection::NotAbove, Decision::Holds), 3);
        assert_eq!(rival(EffectDirection::NotAbove, Decision::UnderPowered), 3);
        assert_eq!(rival(EffectDirection::NotAbove, Decision::Fails), 1);
        assert_eq!(rival(EffectDirection::Below, Decision::Holds), -1);
        assert_eq!(rival(EffectDirection::NotBelow, Decision::Holds), -3);
    }

    fn differences(values: &[f64]) -> ScorePanel {
        let scores = values
            .iter()
            .zip(0..)
            .map(|(&value, problem)| (problem, value))
            .collect();
        ScorePanel(vec![SeedScores {
            seed: 0,
            source: "s".to_owned(),
            scores,
        }])
    }

    const ABOVE: Hypothesis = Hypothesis {
        direction: EffectDirection::Above,
        margin: 0.0,
        smallest_effect: 0.02,
    };
    const FRACTIONS: Option<(f64, f64)> = Some((-1.0, 1.0));

    #[test]
    fn a_clear_gain_holds_with_the_p_value_of_mcnemar() {
        let values = [vec![1.0; 9], vec![-1.0; 1], vec![0.0; 40]].concat();
        let tested =
            TestResult::from_differences(&differences(&values), &ABOVE, FRACTIONS).unwrap();
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
        let values = [vec![1.0; 9], vec![-1.0; 1], vec![0.0; 40]].concat();
        let tested =
            TestResult::from_differences(&differences(&values), &ABOVE, FRACTIONS).unwrap();
        let whole = CombinedTest::combine(std::slice::from_ref(&tested), &ABOVE).unwrap();
        assert_eq!(
            (whole.decide(tested.p), whole.decide(0.05)),
            (Decision::Holds, Decision::Holds)
        );
        assert_eq!(whole.decide(0.051), Decision::UnderPowered);
        assert_eq!(CombinedTest::combine(&[], &ABOVE), None);
    }

    #[test]
    fn nothing_ever_differing_is_not_certainty() {
        // 1 - 0.025^(1/50) = 0.071: with 50 problems up to 7 % of them could differ.
        let few =
            TestResult::from_differences(&differences(&[0.0; 50]), &ABOVE, FRACTIONS).unwrap();
        assert!(
            (few.difference.high - 0.071_122).abs() < 1e-5
                && few.by_interval == Decision::UnderPowered
        );
        assert!((few.p - 1.0).abs() < 1e-12, "{}", few.p);
        // 1 - 0.025^(1/500) = 0.0074, below the 2 points of interest; 2 * 0.98^500 is the chance to
        // miss that many.
        let many =
            TestResult::from_differences(&differences(&[0.0; 500]), &ABOVE, FRACTIONS).unwrap();
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
        let open =
            TestResult::from_differences(&differences(&[0.0; 50]), &denied, FRACTIONS).unwrap();
        assert_eq!(open.by_interval, Decision::UnderPowered);
        assert!(
            (open.p - 2.0 * 0.98_f64.powi(50)).abs() < 1e-12,
            "{}",
            open.p
        );
        // What lies above 0 cannot be negative.
        let none =
            TestResult::from_differences(&differences(&[0.0; 500]), &ABOVE, Some((0.0, 1.0)))
                .unwrap();
        assert!(none.difference.low.abs() < 1e-12);
    }

    #[test]
    fn seeds_of_the_same_sign_are_counted() {
        let row = |seed, value: f64| SeedScores {
            seed,
            source: format!("s{seed}"),
            scores: (0..40).map(|problem| (problem, value)).collect(),
        };
        let panel = ScorePanel(vec![row(0, 0.25), row(1, -0.125), row(2, 0.0), row(3, 0.5)]);
        assert_eq!(
            TestResult::from_differences(&panel, &ABOVE, FRACTIONS)
                .unwrap()
                .agreeing_seeds(),
            2
        );
    }

    #[test]
    fn a_whole_holds_if_all_parts_do_and_fails_if_one_does() {
        let part = |value: f64, by_interval, p| TestResult {
            difference: interval(value - 0.01, value + 0.01),
            by_interval,
            negligible: false,
            null_value: 0.0,
            p,
            min_detectable_effect: None,
        };
        let holds = [
            part(0.2, Decision::Holds, 0.001),
            part(0.1, Decision::Holds, 0.02),
        ];
        let whole = CombinedTest::combine(&holds, &ABOVE).unwrap();
        assert_eq!(
            (whole.by_interval, whole.decisive_part, whole.p),
            (Decision::Holds, 1, 0.02)
        );
        let open = [
            part(0.2, Decision::Holds, 0.001),
            part(0.03, Decision::UnderPowered, 0.4),
        ];
        let whole = CombinedTest::combine(&open, &ABOVE).unwrap();
        assert_eq!(
            (whole.by_interval, whole.decisive_part, whole.p),
            (Decision::UnderPowered, 1, 0.4)
        );
        let fails = [
            part(-0.2, Decision::Fails, 0.01),
            part(0.03, Decision::UnderPowered, 0.4),
        ];
        let whole = CombinedTest::combine(&fails, &ABOVE).unwrap();
        assert_eq!(
            (whole.by_interval, whole.decisive_part, whole.p),
            (Decision::Fails, 0, 0.02)
        );
    }
}
