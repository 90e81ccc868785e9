//! From claims and the runs of their experiments to verdicts.
//!
//! Responsible for the family over which p values are corrected (all claims and regimes of a row). Must not
//! know how a comparison is made (`case`) or kept (`kept`).

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{ConfigError, Diagnostic};
use crate::report::{Analysis, ReportData};
use crate::stats::holm_correction;

use super::claim::Claim;
use super::compare::{ClaimEvaluator, run_state};
use super::draft::{PendingClaim, combine_comparisons, missing_experiment, pending_outcome};
use super::groups::CLAIM_GROUPS;
use super::kept;
use super::outcome::{ClaimGroup, ClaimsReport, ExperimentRunCounts, FORMAT_VERSION};
use super::select;

/// Settles every claim; `frames` holds the experiments that are in the store, by name. Claims about others
/// are as in the `earlier` report, if it has settled the same comparison; p values are corrected anew.
///
/// # Errors
/// If a claim names an axis, a value, a checkpoint or a metric that its experiment does not have, means
/// several settings, or compares different problems: all such faults, with their places.
pub fn evaluate_claims(
    claims: &[Claim],
    frames: &BTreeMap<String, ReportData>,
    earlier: Option<&ClaimsReport>,
) -> Result<ClaimsReport, ConfigError> {
    let studies: BTreeMap<&str, Analysis<'_>> = frames
        .iter()
        .map(|(name, frame)| (name.as_str(), Analysis::new(frame)))
        .collect();
    let (mut settled, mut faults): (Vec<(&Claim, PendingClaim)>, Vec<Diagnostic>) =
        (Vec::new(), Vec::new());
    for claim in claims {
        let kept = || earlier.and_then(|earlier| kept::carry_over(claim, earlier));
        let study = studies.get(claim.experiment.as_str());
        match evaluate_claim(claim, study, &|| {
            kept().unwrap_or_else(|| missing_experiment(claim, frames))
        }) {
            Ok(draft) => settled.push((claim, draft)),
            Err(more) => faults.extend(more),
        }
    }
    if !faults.is_empty() {
        return Err(ConfigError::Invalid(faults));
    }
    let row = |(id, title): (&str, &str)| {
        let mut claims: Vec<PendingClaim> = settled
            .iter()
            .filter(|(claim, _)| claim.group == id)
            .map(|(_, draft)| draft.clone())
            .collect();
        apply_holm(&mut claims);
        let claims = claims.into_iter().map(|draft| draft.result).collect();
        ClaimGroup {
            id: id.to_owned(),
            title: title.to_owned(),
            claims,
        }
    };
    let names: BTreeSet<&str> = claims
        .iter()
        .map(|claim| claim.experiment.as_str())
        .collect();
    Ok(ClaimsReport {
        version: FORMAT_VERSION,
        groups: CLAIM_GROUPS.into_iter().map(row).collect(),
        experiments: names
            .into_iter()
            .map(|name| experiment_run_counts(name, frames.get(name), earlier))
            .collect(),
    })
}

fn experiment_run_counts(
    name: &str,
    frame: Option<&ReportData>,
    earlier: Option<&ClaimsReport>,
) -> ExperimentRunCounts {
    if let Some(before) = earlier
        .filter(|_| frame.is_none())
        .and_then(|earlier| kept::carry_over_experiment(name, earlier))
    {
        return before;
    }
    let count = |wanted: &str| {
        frame.map_or(0, |frame| {
            frame
                .runs
                .iter()
                .filter(|run| run_state(run.status) == wanted)
                .count()
        })
    };
    ExperimentRunCounts {
        name: name.to_owned(),
        in_store: frame.is_some(),
        done: count("done"),
        failed: count("failed"),
        missing: count("missing"),
        carried_over: false,
    }
}

/// Corrects the p values of a row, and gives the verdicts that hold with them.
fn apply_holm(claims: &mut [PendingClaim]) {
    let wholes = claims
        .iter()
        .flat_map(|claim| &claim.combined_tests)
        .flatten();
    let mut corrected =
        holm_correction(&wholes.map(|whole| whole.p).collect::<Vec<_>>()).into_iter();
    for PendingClaim {
        result: settled,
        combined_tests: wholes,
    } in claims
    {
        for (outcome, whole) in settled.outcomes.iter_mut().zip(wholes) {
            let Some((whole, corrected)) = whole.and_then(|whole| Some((whole, corrected.next()?)))
            else {
                continue;
            };
            outcome.verdict = whole.decide(corrected).into();
            (outcome.p_value, outcome.corrected_p_value) = (Some(whole.p), Some(corrected));
            outcome.decisive_index = whole.decisive_part;
        }
    }
}

fn evaluate_claim(
    claim: &Claim,
    study: Option<&Analysis<'_>>,
    otherwise: &dyn Fn() -> PendingClaim,
) -> Result<PendingClaim, Vec<Diagnostic>> {
    let Some(study) = study else {
        return Ok(otherwise());
    };
    let faults = select::check_references(claim, study);
    if !faults.is_empty() {
        return Err(faults);
    }
    let case = ClaimEvaluator::new(claim, study).map_err(|fault| vec![fault])?;
    let (mut outcomes, mut wholes) = (Vec::new(), Vec::new());
    for regime in select::claim_regimes(claim, study) {
        let parts = (0..claim.right.len())
            .map(|at| case.compare_with(&regime, at))
            .collect::<Result<Vec<_>, _>>();
        let parts = parts.map_err(|fault| vec![fault])?;
        wholes.push(combine_comparisons(&parts, &case.hypothesis));
        outcomes.push(pending_outcome(regime, parts));
    }
    Ok(PendingClaim {
        result: case.build_result(outcomes),
        combined_tests: wholes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::fixtures::{
        SINGLE_CLAIM_TOML as CLAIM, error_text, evaluate_on, first_outcome,
    };
    use crate::claims::format;
    use crate::claims::outcome::ClaimVerdict;
    use crate::claims::render::{render, short_run_keys};
    use crate::domain::Key;
    use crate::report::{DisplayUnit, fixtures};
    use crate::store::{StageRow, Status};

    #[test]
    fn a_claim_is_settled_per_regime_with_the_numbers_of_the_report() {
        let verdicts = evaluate_on(fixtures::sample_data(), CLAIM);
        let outcomes = &verdicts.groups[0].claims[0].outcomes;
        let words: Vec<String> = outcomes
            .iter()
            .map(|outcome| format!("{}: {}", outcome.regime_label(), outcome.verdict.label()))
            .collect();
        assert_eq!(words, ["base = weak: holds", "base = strong: holds"]);
        // The sample's report says: 25.8 points [18.3, 34.2] above the same model's first turn.
        let part = outcomes[0].decisive_comparison().unwrap();
        let unit = DisplayUnit::Fraction;
        assert_eq!(format::difference_text(part, unit), "+25.8 [18.3, 34.2]");
        // The axis that is named nowhere is at the baseline, and both seeds are behind the number.
        assert!(
            part.left
                .axis_values
                .contains(&("weighting".to_owned(), "exp(0.4)".to_owned()))
        );
        assert_eq!(
            (part.left.checkpoint.as_str(), short_run_keys(part).len()),
            ("round 2", 2)
        );
        assert_eq!(format::seeds_text(part, unit), "2/2, sd 13.0");
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.corrected_p_value >= outcome.p_value)
        );
    }

    #[test]
    fn every_row_is_there_and_the_whole_survives_its_file() {
        let verdicts = evaluate_on(fixtures::sample_data(), CLAIM);
        assert_eq!(verdicts.groups.len(), 16);
        let back: ClaimsReport = serde_json::from_str(&verdicts.to_json()).unwrap();
        assert_eq!(back.to_json(), verdicts.to_json());
        assert_eq!(render(&back).unwrap(), render(&verdicts).unwrap());
    }

    #[test]
    fn an_unseen_setting_a_failed_run_and_an_unknown_experiment_were_not_run() {
        let uniform = CLAIM.replace(
            "method = \"rise\"",
            "weighting = \"uniform\", method = \"sft\"",
        );
        let verdicts = evaluate_on(fixtures::sample_data(), &uniform);
        assert_eq!(first_outcome(&verdicts).verdict, ClaimVerdict::NotRun);
        let why = format::remarks(first_outcome(&verdicts)).concat();
        assert_eq!(
            why,
            "left: no run has method = sft, weighting = uniform, base = weak"
        );
        let mut frame = fixtures::sample_data();
        for run in frame.runs.iter_mut().filter(|run| run.axes[0].1 == "weak") {
            run.status = Status::Failed;
            run.error = Some("no space left".to_owned());
        }
        let verdicts = evaluate_on(frame, CLAIM);
        assert_eq!(first_outcome(&verdicts).verdict, ClaimVerdict::NotRun);
        let why = format::remarks(first_outcome(&verdicts)).concat();
        assert!(
            why.starts_with("left: no run is finished; base=weak")
                && why.contains("failed: no space left"),
            "{why}"
        );
        let verdicts = evaluate_on(
            fixtures::sample_data(),
            &CLAIM.replace("\"ablations\"", "\"ablation\""),
        );
        let why = format::remarks(first_outcome(&verdicts)).concat();
        assert_eq!(
            why,
            "experiment `ablation` is not in this store (did you mean `ablations`?)"
        );
    }

    #[test]
    fn a_failed_seed_is_named_beside_the_verdict() {
        let mut frame = fixtures::sample_data();
        let evaluations: Vec<Key> = frame.runs[1]
            .checkpoints
            .iter()
            .map(|c| c.evaluation.clone())
            .collect();
        frame.scores.retain(|key, _| !evaluations.contains(key));
        frame.runs[1].status = Status::Failed;
        frame.runs[1].error = Some("no space left".to_owned());
        let verdicts = evaluate_on(frame, CLAIM);
        let outcome = first_outcome(&verdicts);
        assert_eq!(
            outcome
                .decisive_comparison()
                .unwrap()
                .test
                .as_ref()
                .unwrap()
                .difference
                .seeds,
            1
        );
        assert!(
            format::remarks(outcome).concat().contains("seed=1"),
            "{:?}",
            format::remarks(outcome)
        );
    }

    #[test]
    fn several_rivals_all_have_to_be_beaten_and_the_worst_one_decides() {
        let both = CLAIM.replace(
            "right = { metric",
            "right = [{ metric = \"m1@t1\" }, { checkpoint = \"base\" }] # {",
        );
        let verdicts = evaluate_on(fixtures::sample_data(), &both);
        let outcome = first_outcome(&verdicts);
        assert_eq!(
            (
                outcome.verdict,
                outcome.comparisons.len(),
                outcome.decisive_index
            ),
            (ClaimVerdict::Holds, 2, 0)
        );
        // One that is missing leaves the whole open, unless another one fails.
        let gone = CLAIM.replace(
            "right = { metric",
            "right = [{ metric = \"m1@t1\" }, { checkpoint = \"sft\" }] # {",
        );
        let verdicts = evaluate_on(fixtures::sample_data(), &gone);
        assert_eq!(first_outcome(&verdicts).verdict, ClaimVerdict::NotRun);
        assert!(
            format::remarks(first_outcome(&verdicts))
                .concat()
                .contains("no checkpoint `sft` (they have base, round 1, round 2)")
        );
        let failing = gone
            .replace("\"m1@t1\" }, {", "\"m1@t5\", checkpoint = \"last\" }, {")
            .replace("per =", "direction = \"below\"\nmargin = 5\nper =");
        assert_eq!(
            first_outcome(&evaluate_on(fixtures::sample_data_with(500), &failing)).verdict,
            ClaimVerdict::Fails
        );
    }

    #[test]
    fn a_number_may_stand_on_the_right() {
        let above = CLAIM.replace("right = { metric = \"m1@t1\" }", "right = 50");
        let verdicts = evaluate_on(fixtures::sample_data(), &above);
        // 76.7 % [69.2, 83.3] in the sample's report.
        assert_eq!(
            format::difference_text(
                first_outcome(&verdicts).decisive_comparison().unwrap(),
                DisplayUnit::Fraction
            ),
            "+26.7 [19.2, 33.3]"
        );
        assert_eq!(first_outcome(&verdicts).verdict, ClaimVerdict::Holds);
    }

    #[test]
    fn gains_may_be_compared_with_gains() {
        let gain = CLAIM
            .replace("metric = \"m1@t5\"", "metric = \"m1@t5\", over = \"m1@t1\"")
            .replace(
                "right = { metric = \"m1@t1\" }",
                "right = { checkpoint = \"base\" }",
            );
        let verdicts = evaluate_on(fixtures::sample_data(), &gain);
        let part = first_outcome(&verdicts).decisive_comparison().unwrap();
        // +25.8 after round 2 and −6.7 of the base, in the sample's report.
        assert_eq!(part.left.metric, "m1@t5 − m1@t1");
        assert!(
            format::difference_text(part, DisplayUnit::Fraction).starts_with("+32.5 ["),
            "{}",
            format::difference_text(part, DisplayUnit::Fraction)
        );
    }

    #[test]
    fn names_that_do_not_exist_are_shown_where_they_are_written() {
        let change =
            |from: &str, to: &str| error_text(fixtures::sample_data(), &CLAIM.replace(from, to));
        insta::assert_snapshot!(change("{ method =", "{ metod ="), @r#"
        claims.toml:8:20: `claim[0].left.where.metod`: no run of `ablations` has an axis `metod`
          |
        8 | left = { where = { metod = "rise" }, metric = "m1@t5" }
          |                    ^^^^^
          = did you mean `method`?
          = valid here: `base`, `weighting`, `method`.
        "#);
        insta::assert_snapshot!(change("\"rise\"", "\"rice\""), @r#"
        claims.toml:8:29: `claim[0].left.where.method`: no run of `ablations` has `method` = `rice`
          |
        8 | left = { where = { method = "rice" }, metric = "m1@t5" }
          |                             ^^^^^^
          = did you mean `rise`?
          = valid here: `rise`, `sft`.
        "#);
        insta::assert_snapshot!(change("right = { metric = \"m1@t1\"", "right = { checkpoint = \"rond 2\""), @r#"
        claims.toml:9:24: `claim[0].right.checkpoint`: no run of `ablations` has a checkpoint `rond 2`
          |
        9 | right = { checkpoint = "rond 2" }
          |                        ^^^^^^^^
          = did you mean `round 2`?
          = valid here: `first`, `last`, `base`, `round 1`, `round 2`, `sft`.
        "#);
        insta::assert_snapshot!(change("\"m1@t1\"", "\"m1@t11\""), @r#"
            claims.toml:9:20: `claim[0].right.metric`: there is no metric `m1@t11` in this store
              |
            9 | right = { metric = "m1@t11" }
              |                    ^^^^^^^^
              = did you mean `m1@t1`?
              = valid here: `m1@t1`, `m1@t5`, `nll@t1`, `nll@t2`, `nll@t3`.
        "#);
        insta::assert_snapshot!(change("[\"base\"]", "[\"bas\"]"), @r#"
        claims.toml:10:8: `claim[0].per[0]`: no run of `ablations` has an axis `bas`
           |
        10 | per = ["bas"]
           |        ^^^^^
           = did you mean `base`?
           = valid here: `base`, `weighting`, `method`.
        "#);
        insta::assert_snapshot!(change("per = [\"base\"]", ""), @r#"
        claims.toml:8:8: `claim[0].left`: 3 settings fit, which differ in `base` (strong, weak) and `weighting` (exp(0.4), uniform)
          |
        8 | left = { where = { method = "rise" }, metric = "m1@t5" }
          |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = name a value in `where`, or settle the claim `per` that axis.
        "#);
    }

    #[test]
    fn different_problems_are_refused() {
        let mut frame = fixtures::sample_data();
        let sft: Vec<Key> = frame.runs[3]
            .checkpoints
            .iter()
            .map(|c| c.evaluation.clone())
            .collect();
        let stage = |name: &str| StageRow {
            key: Key::from_value(name),
            kind: "prepare".to_owned(),
            ..frame.stages[0].clone()
        };
        frame.stages.extend(["one", "other"].map(stage));
        for evaluation in frame.scores.keys() {
            let name = if sft.contains(evaluation) {
                "other"
            } else {
                "one"
            };
            frame
                .inputs
                .insert(evaluation.clone(), vec![Key::from_value(name)]);
        }
        let other = CLAIM.replace(
            "right = {",
            "right = { where = { base = \"weak\", method = \"sft\" },",
        );
        insta::assert_snapshot!(error_text(frame, &other), @r#"
        claims.toml:9:9: `claim[0].right`: left and right were measured on different problems, so nothing can be paired
          |
        9 | right = { where = { base = "weak", method = "sft" }, metric = "m1@t1" }
          |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = compare what has the same `task`, `data` and `evaluate` settings.
        "#);
    }

    #[test]
    fn a_unit_without_a_natural_size_needs_one() {
        let mut frame = fixtures::sample_data();
        frame
            .metrics
            .iter_mut()
            .for_each(|metric| metric.unit = "nats".to_owned());
        insta::assert_snapshot!(error_text(frame.clone(), CLAIM), @r#"
        claims.toml:8:48: `claim[0].left.metric`: `m1@t5` is counted in nats, for which nothing is of interest by itself
          |
        8 | left = { where = { method = "rise" }, metric = "m1@t5" }
          |                                                ^^^^^^^
          = write worth = ..., in that unit.
        "#);
        frame.metrics[0].unit = "fraction".to_owned();
        insta::assert_snapshot!(error_text(frame, CLAIM), @r#"
        claims.toml:9:9: `claim[0].right`: `m1@t5` is counted in nats and `m1@t1` in points
          |
        9 | right = { metric = "m1@t1" }
          |         ^^^^^^^^^^^^^^^^^^^^
        "#);
    }
}
