//! A claim's outcomes before p values are corrected over its row.
//!
//! Responsible for what is common to claims that are settled now, were settled earlier, or cannot be.

use std::collections::BTreeMap;

use crate::report::{DisplayUnit, ReportData};
use crate::stats::{CombinedTest, Decision, Hypothesis, TestResult};

use super::claim::{Claim, Comparator, MeasuredQuantity};
use super::format;
use super::outcome::{
    ClaimComparison, ClaimOutcome, ClaimResult, ClaimVerdict, Operand, ResolvedComparator,
};
use super::select::RegimeValues;

/// What is of interest where a claim about fractions does not say: two points.
pub(super) const DEFAULT_SMALLEST_EFFECT: f64 = 2.0;

/// A claim before p values are corrected over its row: with each outcome goes what it comes to.
#[derive(Clone)]
pub(super) struct PendingClaim {
    pub result: ClaimResult,
    /// What each outcome comes to; none where that is not known.
    pub combined_tests: Vec<Option<CombinedTest>>,
}

/// An outcome of which nothing is known yet; the first part that lacks something speaks for it.
pub(super) fn pending_outcome(regime: RegimeValues, parts: Vec<ClaimComparison>) -> ClaimOutcome {
    let decisive = parts
        .iter()
        .position(|part| part.missing_reason.is_some())
        .unwrap_or(0);
    ClaimOutcome {
        regime,
        verdict: ClaimVerdict::NotRun,
        p_value: None,
        corrected_p_value: None,
        decisive_index: decisive,
        comparisons: parts,
    }
}

/// What the parts come to; none where one that was not run could change it.
pub(super) fn combine_comparisons(
    parts: &[ClaimComparison],
    stakes: &Hypothesis,
) -> Option<CombinedTest> {
    let (places, tested): (Vec<usize>, Vec<TestResult>) = parts
        .iter()
        .enumerate()
        .filter_map(|(at, part)| Some((at, part.test.clone()?)))
        .unzip();
    let whole = CombinedTest::combine(&tested, stakes)?;
    let complete = tested.len() == parts.len() || whole.by_interval == Decision::Fails;
    complete.then(|| CombinedTest {
        decisive_part: places[whole.decisive_part],
        ..whole
    })
}

/// A claim's stakes in the unit of the scores.
pub(super) fn claim_hypothesis(claim: &Claim, unit: DisplayUnit, worth: f64) -> Hypothesis {
    let scaled = |number: f64| number / unit.display_factor();
    Hypothesis {
        direction: claim.direction,
        margin: scaled(claim.margin),
        smallest_effect: scaled(worth),
    }
}

/// What a quantity means before any run of it is found.
pub(super) fn unresolved_operand(quantity: &MeasuredQuantity, regime: &RegimeValues) -> Operand {
    let own = quantity
        .selector
        .iter()
        .map(|(axis, value)| (axis.clone(), value.clone()));
    let regime = regime
        .iter()
        .filter(|(axis, _)| !quantity.selector.contains_key(axis))
        .cloned();
    Operand {
        axis_values: own.chain(regime).collect(),
        checkpoint: quantity.checkpoint.clone(),
        metric: format::metric_text(quantity),
        estimate: None,
        runs: Vec::new(),
    }
}

/// A claim in its own words, with its outcomes.
pub(super) fn claim_result(
    claim: &Claim,
    unit: DisplayUnit,
    worth: f64,
    outcomes: Vec<ClaimOutcome>,
) -> ClaimResult {
    ClaimResult {
        id: claim.id.clone(),
        statement: claim.statement.clone(),
        source: claim.source.clone(),
        population: claim.population.clone(),
        experiment: claim.experiment.clone(),
        comparison: format::comparison_text(claim, unit),
        direction: claim.direction,
        margin: claim.margin,
        smallest_effect: worth,
        unit: unit.difference_unit().to_owned(),
        outcomes,
    }
}

/// A claim whose experiment is not in the store.
pub(super) fn missing_experiment(
    claim: &Claim,
    frames: &BTreeMap<String, ReportData>,
) -> PendingClaim {
    let meant = crate::config::nearest_name(&claim.experiment, frames.keys().map(String::as_str));
    let hint = meant
        .map(|name| format!(" (did you mean `{name}`?)"))
        .unwrap_or_default();
    let why = format!(
        "experiment `{}` is not in this store{hint}",
        claim.experiment
    );
    let part = |right: &Comparator| ClaimComparison {
        left: unresolved_operand(&claim.left, &Vec::new()),
        right: match right {
            Comparator::Number(number) => ResolvedComparator::Number(*number),
            Comparator::Quantity(quantity) => {
                ResolvedComparator::Measured(unresolved_operand(quantity, &Vec::new()))
            }
        },
        test: None,
        missing_reason: Some(why.clone()),
        caution: None,
    };
    let outcome = pending_outcome(Vec::new(), claim.right.iter().map(part).collect());
    let settled = claim_result(
        claim,
        DisplayUnit::for_metric(&claim.left.metric),
        claim.smallest_effect.unwrap_or(DEFAULT_SMALLEST_EFFECT),
        vec![outcome],
    );
    PendingClaim {
        result: settled,
        combined_tests: vec![None],
    }
}
