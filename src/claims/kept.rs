//! Verdicts of an earlier report on experiments that are no longer in the store.
//!
//! Responsible for telling whether it is still the same comparison for the same stakes. Must not know how a
//! comparison is made.

use super::claim::Claim;
use super::draft::{
    DEFAULT_SMALLEST_EFFECT, PendingClaim, claim_hypothesis, claim_result, combine_comparisons,
};
use super::format;
use super::outcome::{ClaimResult, ClaimsReport, ExperimentRunCounts};

/// A claim as an earlier report settled it, if it was the same comparison for the same stakes.
pub(super) fn carry_over(claim: &Claim, earlier: &ClaimsReport) -> Option<PendingClaim> {
    let before = earlier.find_claim(&claim.id)?;
    let unit = format::claim_unit(before);
    let worth = claim.smallest_effect.unwrap_or(DEFAULT_SMALLEST_EFFECT);
    let now = claim_result(claim, unit, worth, before.outcomes.clone());
    let asked = |claim: &ClaimResult| {
        (
            claim.comparison.clone(),
            claim.experiment.clone(),
            claim.unit.clone(),
        )
    };
    let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
    let same = asked(&now) == asked(before) && now.direction == before.direction;
    if !same
        || !close(now.margin, before.margin)
        || !close(now.smallest_effect, before.smallest_effect)
    {
        return None;
    }
    let stakes = claim_hypothesis(claim, unit, worth);
    let wholes = before
        .outcomes
        .iter()
        .map(|outcome| combine_comparisons(&outcome.comparisons, &stakes))
        .collect();
    Some(PendingClaim {
        result: now,
        combined_tests: wholes,
    })
}

/// What an earlier report says of an experiment's runs.
pub(super) fn carry_over_experiment(
    name: &str,
    earlier: &ClaimsReport,
) -> Option<ExperimentRunCounts> {
    let before = earlier
        .experiments
        .iter()
        .find(|known| known.name == name && (known.in_store || known.carried_over))?;
    Some(ExperimentRunCounts {
        in_store: false,
        carried_over: true,
        ..before.clone()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::claims::evaluate_claims;
    use crate::claims::fixtures::{
        SINGLE_CLAIM_TOML as CLAIM, evaluate_on, first_outcome, parse_claims, single_experiment,
    };
    use crate::claims::outcome::ClaimVerdict;
    use crate::report::fixtures;

    use super::*;

    #[test]
    fn an_experiment_that_is_no_longer_in_the_store_keeps_its_verdicts() {
        let before = evaluate_on(fixtures::sample_data(), CLAIM);
        let read: ClaimsReport = serde_json::from_str(&before.to_json()).unwrap();
        let kept = evaluate_claims(&parse_claims(CLAIM), &BTreeMap::new(), Some(&read)).unwrap();
        let words = |verdicts: &ClaimsReport| -> Vec<ClaimVerdict> {
            verdicts.groups[0].claims[0]
                .outcomes
                .iter()
                .map(|outcome| outcome.verdict)
                .collect()
        };
        assert_eq!(words(&kept), words(&before));
        assert!(
            words(&kept)
                .iter()
                .all(|&verdict| verdict != ClaimVerdict::NotRun)
        );
        assert_eq!(
            read.json_round_trip(),
            read,
            "what is written and read stays as it is"
        );
        let standing = &kept.experiments[0];
        assert_eq!(
            (standing.in_store, standing.carried_over, standing.done),
            (false, true, before.experiments[0].done)
        );
        // What stands in the store is settled by the store, and kept verdicts can be kept again.
        let again = evaluate_claims(
            &parse_claims(CLAIM),
            &single_experiment(fixtures::sample_data()),
            Some(&kept),
        )
        .unwrap();
        assert_eq!(again, before);
        assert_eq!(
            evaluate_claims(&parse_claims(CLAIM), &BTreeMap::new(), Some(&kept)).unwrap(),
            kept
        );
    }

    #[test]
    fn a_claim_that_reads_otherwise_than_before_is_not_run() {
        let before = evaluate_on(fixtures::sample_data(), CLAIM);
        for other in [
            CLAIM.replace("m1@t1", "m5@t1"),
            format!("{CLAIM}margin = 1\n"),
            format!("{CLAIM}worth = 3\n"),
            format!("{CLAIM}direction = \"below\"\n"),
            CLAIM.replace("ablations", "others"),
        ] {
            let now =
                evaluate_claims(&parse_claims(&other), &BTreeMap::new(), Some(&before)).unwrap();
            assert_eq!(first_outcome(&now).verdict, ClaimVerdict::NotRun, "{other}");
        }
    }

    #[test]
    fn more_claims_in_a_row_correct_what_was_kept_anew() {
        let before = evaluate_on(fixtures::sample_data(), CLAIM);
        let two = format!("{CLAIM}{}", CLAIM.replace("improves\"", "improves-more\""));
        let both: ClaimsReport = evaluate_claims(
            &parse_claims(&two),
            &single_experiment(fixtures::sample_data()),
            None,
        )
        .unwrap();
        let kept = evaluate_claims(&parse_claims(&two), &BTreeMap::new(), Some(&both)).unwrap();
        let corrected =
            |verdicts: &ClaimsReport| first_outcome(verdicts).corrected_p_value.unwrap();
        assert!((corrected(&kept) - corrected(&both)).abs() < 1e-9);
        assert!(corrected(&kept) >= corrected(&before));
    }
}
