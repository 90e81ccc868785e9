//! Verdicts of an earlier report on experiments that are no longer in the store.
//!
//! Responsible for telling whether it is still the same comparison for the same stakes. Must not know how a
//! comparison is made.

use super::claim::Claim;
use super::draft::{Drafted, WORTH, settled, stakes, whole};
use super::outcome::{Experiment, Settled, Verdicts};
use super::words;

/// A claim as an earlier report settled it, if it was the same comparison for the same stakes.
pub(super) fn kept(claim: &Claim, earlier: &Verdicts) -> Option<Drafted> {
    let before = earlier.claim(&claim.id)?;
    let unit = words::unit(before);
    let worth = claim.worth.unwrap_or(WORTH);
    let now = settled(claim, unit, worth, before.outcomes.clone());
    let asked = |claim: &Settled| {
        (
            claim.compared.clone(),
            claim.experiment.clone(),
            claim.unit.clone(),
        )
    };
    let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
    let same = asked(&now) == asked(before) && now.direction == before.direction;
    if !same || !close(now.margin, before.margin) || !close(now.worth, before.worth) {
        return None;
    }
    let stakes = stakes(claim, unit, worth);
    let wholes = before
        .outcomes
        .iter()
        .map(|outcome| whole(&outcome.parts, &stakes))
        .collect();
    Some(Drafted {
        settled: now,
        wholes,
    })
}

/// What an earlier report says of an experiment's runs.
pub(super) fn experiment(name: &str, earlier: &Verdicts) -> Option<Experiment> {
    let before = earlier
        .experiments
        .iter()
        .find(|known| known.name == name && (known.known || known.kept))?;
    Some(Experiment {
        known: false,
        kept: true,
        ..before.clone()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::claims::outcome::Verdict;
    use crate::claims::sample::{ONE as CLAIM, claims, first, frames, settled_on};
    use crate::claims::settle;
    use crate::report::sample;

    use super::*;

    #[test]
    fn an_experiment_that_is_no_longer_in_the_store_keeps_its_verdicts() {
        let before = settled_on(sample::frame(), CLAIM);
        let read: Verdicts = serde_json::from_str(&before.json()).unwrap();
        let kept = settle(&claims(CLAIM), &BTreeMap::new(), Some(&read)).unwrap();
        let words = |verdicts: &Verdicts| -> Vec<Verdict> {
            verdicts.rows[0].claims[0]
                .outcomes
                .iter()
                .map(|outcome| outcome.verdict)
                .collect()
        };
        assert_eq!(words(&kept), words(&before));
        assert!(
            words(&kept)
                .iter()
                .all(|&verdict| verdict != Verdict::NotRun)
        );
        assert_eq!(
            read.as_written(),
            read,
            "what is written and read stays as it is"
        );
        let standing = &kept.experiments[0];
        assert_eq!(
            (standing.known, standing.kept, standing.done),
            (false, true, before.experiments[0].done)
        );
        // What stands in the store is settled by the store, and kept verdicts can be kept again.
        let again = settle(&claims(CLAIM), &frames(sample::frame()), Some(&kept)).unwrap();
        assert_eq!(again, before);
        assert_eq!(
            settle(&claims(CLAIM), &BTreeMap::new(), Some(&kept)).unwrap(),
            kept
        );
    }

    #[test]
    fn a_claim_that_reads_otherwise_than_before_is_not_run() {
        let before = settled_on(sample::frame(), CLAIM);
        for other in [
            CLAIM.replace("m1@t1", "m5@t1"),
            format!("{CLAIM}margin = 1\n"),
            format!("{CLAIM}worth = 3\n"),
            format!("{CLAIM}direction = \"below\"\n"),
            CLAIM.replace("ablations", "others"),
        ] {
            let now = settle(&claims(&other), &BTreeMap::new(), Some(&before)).unwrap();
            assert_eq!(first(&now).verdict, Verdict::NotRun, "{other}");
        }
    }

    #[test]
    fn more_claims_in_a_row_correct_what_was_kept_anew() {
        let before = settled_on(sample::frame(), CLAIM);
        let two = format!("{CLAIM}{}", CLAIM.replace("improves\"", "improves-more\""));
        let both: Verdicts = settle(&claims(&two), &frames(sample::frame()), None).unwrap();
        let kept = settle(&claims(&two), &BTreeMap::new(), Some(&both)).unwrap();
        let corrected = |verdicts: &Verdicts| first(verdicts).corrected.unwrap();
        assert!((corrected(&kept) - corrected(&both)).abs() < 1e-9);
        assert!(corrected(&kept) >= corrected(&before));
    }
}
