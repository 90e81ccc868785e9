//! Whether a claim about a difference is borne out: it holds, it fails, or the data cannot tell.
//!
//! A claim states a direction, a *margin* that the difference has to pass, and what a difference is
//! *worth*: the smallest effect beyond the margin that is of interest. Below, `d` is the difference in the
//! claim's direction (for [`Direction::Below`] its sign is turned), `[low, high]` its interval.
//!
//! | claim | holds | fails |
//! |---|---|---|
//! | above, below | `low > margin` | `high < margin + worth` |
//! | not above, not below | `high < margin + worth` | `low > margin` |
//!
//! Anything else is under-powered. Where both conditions are true, the effect is certain and too small to
//! matter: either claim holds then, and [`Tested::small`] says so. This is a superiority test beside an
//! equivalence test with a smallest effect of interest (Lakens 2017).

use serde::{Deserialize, Serialize};

use super::{Estimate, LEVEL, Panel, Stream, detectable, sign_flip};

/// Above this corrected p value nothing is settled.
const ALPHA: f64 = 0.05;

/// What a claim says about a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
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

impl Direction {
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

    const fn denies(self) -> bool {
        matches!(self, Self::NotAbove | Self::NotBelow)
    }
}

/// What the data say of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ruling {
    /// The data bear it out.
    Holds,
    /// The data speak against it.
    Fails,
    /// The data cannot tell.
    UnderPowered,
}

/// What is claimed of a difference, in the unit of the scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stakes {
    /// Which way it lies.
    pub direction: Direction,
    /// What it has to pass; may be negative, for "at most so much worse".
    pub margin: f64,
    /// The smallest effect of interest beyond the margin; above 0.
    pub worth: f64,
}

impl Stakes {
    /// The interval in the claim's direction.
    fn turned(&self, difference: &Estimate) -> (f64, f64) {
        let ends = (
            self.direction.sign() * difference.low,
            self.direction.sign() * difference.high,
        );
        (ends.0.min(ends.1), ends.0.max(ends.1))
    }

    /// Whether the effect is certain, and whether it is too small to matter.
    fn certain_and_small(&self, difference: &Estimate) -> (bool, bool) {
        let (low, high) = self.turned(difference);
        (low > self.margin, high < self.margin + self.worth)
    }

    /// The ruling by the interval alone.
    #[must_use]
    pub fn by_interval(&self, difference: &Estimate) -> Ruling {
        match (self.certain_and_small(difference), self.direction.denies()) {
            ((true, _), false) | ((_, true), true) => Ruling::Holds,
            ((_, true), false) | ((true, _), true) => Ruling::Fails,
            ((false, false), _) => Ruling::UnderPowered,
        }
    }

    /// The difference that the ruling has to tell the data from: the margin where the claim rests on
    /// passing it, the end of what is of no interest where it rests on staying within. With the sign
    /// of the data.
    fn rival(&self, ruling: Ruling) -> f64 {
        let passes = (ruling == Ruling::Fails) == self.direction.denies();
        self.direction.sign()
            * if passes {
                self.margin
            } else {
                self.margin + self.worth
            }
    }
}

/// A difference that was put to the test of a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// The mean difference, with interval.
    pub difference: Estimate,
    /// What the interval alone says.
    pub by_interval: Ruling,
    /// Whether the effect is certain but smaller than what is of interest.
    pub small: bool,
    /// The difference that the p value is against.
    pub rival: f64,
    /// Two-sided p value of the sign-flip test over problems that the difference is the rival one.
    pub p: f64,
    /// The smallest true difference that would be found with 80 % power.
    pub detectable: Option<f64>,
}

impl Tested {
    /// Puts paired differences, or what lies above a number, to the test; none where there are none.
    ///
    /// `bounds` are the least and the greatest possible difference, where there are such (fractions).
    /// Where all problems have the same difference, resampling would claim certainty; there the exact
    /// limit on how many could differ (Clopper and Pearson 1934) widens the interval, within the
    /// bounds, and gives the p value.
    #[must_use]
    pub fn of(differences: &Panel, stakes: &Stakes, bounds: Option<(f64, f64)>) -> Option<Self> {
        let mut difference = Estimate::of(differences)?;
        let uniform = bounds.filter(|_| difference.high <= difference.low);
        if let Some((least, most)) = uniform {
            let reach = 1.0 - ((1.0 - LEVEL) / 2.0).powf(1.0 / difference.problems as f64);
            difference.low = difference.value - reach * (difference.value - least);
            difference.high = difference.value + reach * (most - difference.value);
        }
        let by_interval = stakes.by_interval(&difference);
        let (certain, small) = stakes.certain_and_small(&difference);
        let rival = stakes.rival(by_interval);
        let values: Vec<f64> = differences
            .by_problem()
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        let shifted: Vec<f64> = values.iter().map(|value| value - rival).collect();
        let p = uniform.map_or_else(
            || sign_flip(&shifted, Stream::of(&shifted)),
            |bounds| p_of_uniform(&difference, rival, bounds),
        );
        Some(Self {
            by_interval,
            small: certain && small,
            rival,
            p,
            detectable: detectable(&values),
            difference,
        })
    }

    /// How many independent seeds have a difference of the same sign as all together.
    #[must_use]
    pub fn agreeing(&self) -> usize {
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
fn p_of_uniform(difference: &Estimate, rival: f64, (least, most): (f64, f64)) -> f64 {
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
pub struct Whole {
    /// What the intervals alone say.
    pub by_interval: Ruling,
    /// The part that decides, by number.
    pub decisive: usize,
    /// The p value of that: the greatest of all parts where all have to hold (intersection–union), and
    /// the least one times their number where one of them failing is enough (Bonferroni).
    pub p: f64,
}

impl Whole {
    /// Sums up parts that were all tested for the same stakes; none where there are none.
    #[must_use]
    pub fn of(parts: &[Tested], stakes: &Stakes) -> Option<Self> {
        let failing = |at: &usize| parts[*at].by_interval == Ruling::Fails;
        let places = || 0..parts.len();
        if let Some(at) = places()
            .filter(failing)
            .min_by(|&a, &b| parts[a].p.total_cmp(&parts[b].p))
        {
            let p = (parts[at].p * parts.len() as f64).min(1.0);
            return Some(Self {
                by_interval: Ruling::Fails,
                decisive: at,
                p,
            });
        }
        let by_interval = parts.iter().map(|part| part.by_interval).max()?;
        let favour = |at: usize| {
            let turned = stakes.direction.sign() * parts[at].difference.value;
            if stakes.direction.denies() {
                -turned
            } else {
                turned
            }
        };
        let decisive = places().min_by(|&a, &b| favour(a).total_cmp(&favour(b)))?;
        let p = parts.iter().map(|part| part.p).fold(0.0, f64::max);
        Some(Self {
            by_interval,
            decisive,
            p,
        })
    }

    /// The ruling, given the p value after Holm's correction within its family: interval and test must
    /// agree.
    #[must_use]
    pub fn ruling(&self, corrected: f64) -> Ruling {
        if corrected <= ALPHA {
            self.by_interval
        } else {
            Ruling::UnderPowered
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Row;
    use super::*;

    fn interval(low: f64, high: f64) -> Estimate {
        let value = f64::midpoint(low, high);
        Estimate {
            value,
            low,
            high,
            level: LEVEL,
            problems: 100,
            seeds: 1,
            by_seed: vec![value],
        }
    }

    fn ruled(direction: Direction, low: f64, high: f64) -> Ruling {
        // At least 1 point, of interest from 3 points on.
        Stakes {
            direction,
            margin: 0.01,
            worth: 0.02,
        }
        .by_interval(&interval(low, high))
    }

    #[test]
    fn every_boundary_of_a_claim_by_hand() {
        use Ruling::{Fails, Holds, UnderPowered};
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
                ruled(Direction::Above, low, high),
                above,
                "above {low} {high}"
            );
            assert_eq!(
                ruled(Direction::NotAbove, low, high),
                not_above,
                "not above {low} {high}"
            );
            assert_eq!(
                ruled(Direction::Below, -high, -low),
                above,
                "below {low} {high}"
            );
            assert_eq!(
                ruled(Direction::NotBelow, -high, -low),
                not_above,
                "not below {low} {high}"
            );
        }
    }

    #[test]
    fn the_test_is_against_what_the_ruling_denies() {
        let stakes = |direction| Stakes {
            direction,
            margin: 0.01,
            worth: 0.02,
        };
        let rival = |direction, ruling| (stakes(direction).rival(ruling) * 100.0).round() as i32;
        assert_eq!(rival(Direction::Above, Ruling::Holds), 1);
        assert_eq!(rival(Direction::Above, Ruling::UnderPowered), 1);
        assert_eq!(rival(Direction::Above, Ruling::Fails), 3);
        assert_eq!(rival(Direction::NotAbove, Ruling::Holds), 3);
        assert_eq!(rival(Direction::NotAbove, Ruling::UnderPowered), 3);
        assert_eq!(rival(Direction::NotAbove, Ruling::Fails), 1);
        assert_eq!(rival(Direction::Below, Ruling::Holds), -1);
        assert_eq!(rival(Direction::NotBelow, Ruling::Holds), -3);
    }

    fn differences(values: &[f64]) -> Panel {
        let scores = values
            .iter()
            .zip(0..)
            .map(|(&value, problem)| (problem, value))
            .collect();
        Panel(vec![Row {
            seed: 0,
            source: "s".to_owned(),
            scores,
        }])
    }

    const ABOVE: Stakes = Stakes {
        direction: Direction::Above,
        margin: 0.0,
        worth: 0.02,
    };
    const FRACTIONS: Option<(f64, f64)> = Some((-1.0, 1.0));

    #[test]
    fn a_clear_gain_holds_with_the_p_value_of_mcnemar() {
        let values = [vec![1.0; 9], vec![-1.0; 1], vec![0.0; 40]].concat();
        let tested = Tested::of(&differences(&values), &ABOVE, FRACTIONS).unwrap();
        assert_eq!((tested.by_interval, tested.small), (Ruling::Holds, false));
        // 9 against 1 discordant pair: 2 * (1 + 10) / 2^10.
        assert!((tested.p - 22.0 / 1024.0).abs() < 1e-12, "{}", tested.p);
        assert!((tested.difference.value - 0.16).abs() < 1e-12);
        assert!(
            (tested.detectable.unwrap() - 2.801_585 * 0.421_900_9 / 50.0_f64.sqrt()).abs() < 1e-4
        );
    }

    #[test]
    fn interval_and_corrected_test_must_agree() {
        let values = [vec![1.0; 9], vec![-1.0; 1], vec![0.0; 40]].concat();
        let tested = Tested::of(&differences(&values), &ABOVE, FRACTIONS).unwrap();
        let whole = Whole::of(std::slice::from_ref(&tested), &ABOVE).unwrap();
        assert_eq!(
            (whole.ruling(tested.p), whole.ruling(0.05)),
            (Ruling::Holds, Ruling::Holds)
        );
        assert_eq!(whole.ruling(0.051), Ruling::UnderPowered);
        assert_eq!(Whole::of(&[], &ABOVE), None);
    }

    #[test]
    fn nothing_ever_differing_is_not_certainty() {
        // 1 - 0.025^(1/50) = 0.071: with 50 problems up to 7 % of them could differ.
        let few = Tested::of(&differences(&[0.0; 50]), &ABOVE, FRACTIONS).unwrap();
        assert!(
            (few.difference.high - 0.071_122).abs() < 1e-5
                && few.by_interval == Ruling::UnderPowered
        );
        assert!((few.p - 1.0).abs() < 1e-12, "{}", few.p);
        // 1 - 0.025^(1/500) = 0.0074, below the 2 points of interest; 2 * 0.98^500 is the chance to
        // miss that many.
        let many = Tested::of(&differences(&[0.0; 500]), &ABOVE, FRACTIONS).unwrap();
        assert!(
            (many.difference.high - 0.007_350_6).abs() < 1e-6 && many.by_interval == Ruling::Fails
        );
        assert!(
            (many.p - 2.0 * 0.98_f64.powi(500)).abs() < 1e-12,
            "{}",
            many.p
        );
        let denied = Stakes {
            direction: Direction::NotAbove,
            ..ABOVE
        };
        let open = Tested::of(&differences(&[0.0; 50]), &denied, FRACTIONS).unwrap();
        assert_eq!(open.by_interval, Ruling::UnderPowered);
        assert!(
            (open.p - 2.0 * 0.98_f64.powi(50)).abs() < 1e-12,
            "{}",
            open.p
        );
        // What lies above 0 cannot be negative.
        let none = Tested::of(&differences(&[0.0; 500]), &ABOVE, Some((0.0, 1.0))).unwrap();
        assert!(none.difference.low.abs() < 1e-12);
    }

    #[test]
    fn seeds_of_the_same_sign_are_counted() {
        let row = |seed, value: f64| Row {
            seed,
            source: format!("s{seed}"),
            scores: (0..40).map(|problem| (problem, value)).collect(),
        };
        let panel = Panel(vec![row(0, 0.25), row(1, -0.125), row(2, 0.0), row(3, 0.5)]);
        assert_eq!(Tested::of(&panel, &ABOVE, FRACTIONS).unwrap().agreeing(), 2);
    }

    #[test]
    fn a_whole_holds_if_all_parts_do_and_fails_if_one_does() {
        let part = |value: f64, by_interval, p| Tested {
            difference: interval(value - 0.01, value + 0.01),
            by_interval,
            small: false,
            rival: 0.0,
            p,
            detectable: None,
        };
        let holds = [
            part(0.2, Ruling::Holds, 0.001),
            part(0.1, Ruling::Holds, 0.02),
        ];
        let whole = Whole::of(&holds, &ABOVE).unwrap();
        assert_eq!(
            (whole.by_interval, whole.decisive, whole.p),
            (Ruling::Holds, 1, 0.02)
        );
        let open = [
            part(0.2, Ruling::Holds, 0.001),
            part(0.03, Ruling::UnderPowered, 0.4),
        ];
        let whole = Whole::of(&open, &ABOVE).unwrap();
        assert_eq!(
            (whole.by_interval, whole.decisive, whole.p),
            (Ruling::UnderPowered, 1, 0.4)
        );
        let fails = [
            part(-0.2, Ruling::Fails, 0.01),
            part(0.03, Ruling::UnderPowered, 0.4),
        ];
        let whole = Whole::of(&fails, &ABOVE).unwrap();
        assert_eq!(
            (whole.by_interval, whole.decisive, whole.p),
            (Ruling::Fails, 0, 0.02)
        );
    }
}
