//! From claims and the runs of their experiments to verdicts, corrected over each group.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{ConfigError, Diagnostic, nearest_name};
use crate::report::{Analysis, DisplayUnit, ReportData, run_state};
use crate::stats::{CombinedTest, Decision, Hypothesis, TestResult, holm_correction};

use super::compare::{ClaimEvaluator, DEFAULT_SMALLEST_EFFECT, unresolved_operand};
use super::file::{CLAIM_GROUPS, Claim, Comparator};
use super::outcome::{
    ClaimComparison, ClaimGroup, ClaimOutcome, ClaimResult, ClaimsReport, ExperimentRunCounts,
    FORMAT_VERSION,
};
use super::select;

/// Evaluates every claim; `experiments` holds the stored experiments by name.
///
/// # Errors
/// If a claim names an axis, a value, a checkpoint or a metric that its experiment does not have,
/// matches several conditions, or compares different problems: the diagnostics of all claims.
pub fn evaluate_claims(
    claims: &[Claim],
    experiments: &BTreeMap<String, ReportData>,
) -> Result<ClaimsReport, ConfigError> {
    let analyses: BTreeMap<&str, Analysis<'_>> = experiments
        .iter()
        .map(|(name, data)| (name.as_str(), Analysis::new(data)))
        .collect();
    let mut results: BTreeMap<&str, Vec<ClaimResult>> = BTreeMap::new();
    let mut diagnostics = Vec::new();
    for claim in claims {
        let result = match analyses.get(claim.experiment.as_str()) {
            Some(analysis) => evaluate_claim(claim, analysis),
            None => Ok(missing_experiment(claim, experiments)),
        };
        match result {
            Ok(result) => results.entry(&claim.group).or_default().push(result),
            Err(more) => diagnostics.extend(more),
        }
    }
    if !diagnostics.is_empty() {
        return Err(ConfigError::Invalid(diagnostics));
    }
    let names: BTreeSet<&String> = claims.iter().map(|claim| &claim.experiment).collect();
    Ok(ClaimsReport {
        version: FORMAT_VERSION,
        groups: CLAIM_GROUPS
            .into_iter()
            .map(|(id, title)| group(id, title, results.remove(id).unwrap_or_default()))
            .collect(),
        experiments: names
            .into_iter()
            .map(|name| experiment_run_counts(name, experiments.get(name)))
            .collect(),
    })
}

fn experiment_run_counts(name: &str, data: Option<&ReportData>) -> ExperimentRunCounts {
    let mut counts = ExperimentRunCounts {
        name: name.to_owned(),
        in_store: data.is_some(),
        done: 0,
        failed: 0,
        missing: 0,
        carried_over: false,
    };
    for run in data.iter().flat_map(|data| &data.runs) {
        match run_state(run.status) {
            "done" => counts.done += 1,
            "failed" => counts.failed += 1,
            _ => counts.missing += 1,
        }
    }
    counts
}

/// Corrects the p values of a group, and gives the verdicts that follow from them.
fn group(id: &str, title: &str, mut claims: Vec<ClaimResult>) -> ClaimGroup {
    let mut tested: Vec<(&mut ClaimOutcome, CombinedTest)> = Vec::new();
    for claim in &mut claims {
        let hypothesis = claim.hypothesis();
        for outcome in &mut claim.outcomes {
            if let Some(test) = combine_comparisons(&outcome.comparisons, &hypothesis) {
                tested.push((outcome, test));
            }
        }
    }
    let p_values: Vec<f64> = tested.iter().map(|(_, test)| test.p).collect();
    for ((outcome, test), corrected) in tested.into_iter().zip(holm_correction(&p_values)) {
        outcome.verdict = test.decide(corrected).into();
        outcome.p_value = Some(test.p);
        outcome.corrected_p_value = Some(corrected);
        outcome.decisive_index = test.decisive_part;
    }
    ClaimGroup {
        id: id.to_owned(),
        title: title.to_owned(),
        claims,
    }
}

/// The test of all comparisons together; none if a comparison without data could change it.
fn combine_comparisons(
    comparisons: &[ClaimComparison],
    hypothesis: &Hypothesis,
) -> Option<CombinedTest> {
    let (indexes, tests): (Vec<usize>, Vec<TestResult>) = comparisons
        .iter()
        .enumerate()
        .filter_map(|(index, comparison)| Some((index, comparison.test.clone()?)))
        .unzip();
    let combined = CombinedTest::combine(&tests, hypothesis)?;
    let is_final = tests.len() == comparisons.len() || combined.by_interval == Decision::Fails;
    is_final.then(|| CombinedTest {
        decisive_part: indexes[combined.decisive_part],
        ..combined
    })
}

fn evaluate_claim(claim: &Claim, analysis: &Analysis<'_>) -> Result<ClaimResult, Vec<Diagnostic>> {
    let diagnostics = select::check_references(claim, analysis);
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    ClaimEvaluator::new(claim, analysis)
        .and_then(ClaimEvaluator::evaluate)
        .map_err(|diagnostic| vec![diagnostic])
}

/// A claim whose experiment is not in the store.
fn missing_experiment(claim: &Claim, experiments: &BTreeMap<String, ReportData>) -> ClaimResult {
    let name = &claim.experiment;
    let nearest = nearest_name(name, experiments.keys().map(String::as_str));
    let hint = nearest.map_or(String::new(), |name| format!(" (did you mean `{name}`?)"));
    let reason = format!("experiment `{name}` is not in this store{hint}");
    let comparisons = claim.right.iter().map(|right| ClaimComparison {
        left: unresolved_operand(&claim.left, &Vec::new()),
        right: match right {
            Comparator::Number(number) => Comparator::Number(*number),
            Comparator::Measured(quantity) => {
                Comparator::Measured(unresolved_operand(quantity, &Vec::new()))
            }
        },
        test: None,
        missing_reason: Some(reason.clone()),
        caution: None,
    });
    let outcome = ClaimOutcome::not_run(Vec::new(), comparisons.collect());
    let unit = DisplayUnit::for_metric(&claim.left.metric);
    let smallest_effect = claim.smallest_effect.unwrap_or(DEFAULT_SMALLEST_EFFECT);
    ClaimResult::new(claim, unit, smallest_effect, vec![outcome])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::fixtures::{
        SINGLE_CLAIM_TOML as CLAIM, error_text, evaluate_on, first_outcome,
    };
    use crate::claims::outcome::ClaimVerdict;
    use crate::claims::render::render;
    use crate::domain::Key;
    use crate::report::fixtures;
    use crate::store::{StageRow, Status};

    #[test]
    fn each_regime_has_a_verdict_with_the_numbers_of_the_report() {
        let report = evaluate_on(fixtures::sample_data(), CLAIM);
        let outcomes = &report.groups[0].claims[0].outcomes;
        let words: Vec<String> = outcomes
            .iter()
            .map(|outcome| format!("{}: {}", outcome.regime_label(), outcome.verdict.label()))
            .collect();
        assert_eq!(words, ["base = weak: holds", "base = strong: holds"]);
        // 25.8 points [18.3, 34.2] above the same model's first turn in the sample's report.
        let comparison = outcomes[0].decisive_comparison().unwrap();
        let unit = DisplayUnit::Fraction;
        assert_eq!(comparison.difference_text(unit), "+25.8 [18.3, 34.2]");
        // The axis without a value takes the baseline's, and both seeds count.
        assert!(
            comparison
                .left
                .axis_values
                .contains(&("weighting".to_owned(), "exp(0.4)".to_owned()))
        );
        assert_eq!(
            (
                comparison.left.checkpoint.as_str(),
                comparison.short_run_keys().len()
            ),
            ("round 2", 2)
        );
        assert_eq!(comparison.seeds_text(unit), "2/2, sd 13.0");
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.corrected_p_value >= outcome.p_value)
        );
    }

    #[test]
    fn the_report_has_every_group_and_survives_its_file() {
        let report = evaluate_on(fixtures::sample_data(), CLAIM);
        assert_eq!(report.groups.len(), 16);
        let back: ClaimsReport = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(back.to_json(), report.to_json());
        assert_eq!(render(&back).unwrap(), render(&report).unwrap());
    }

    #[test]
    fn an_unseen_condition_a_failed_run_and_an_unknown_experiment_were_not_run() {
        let uniform = CLAIM.replace(
            "method = \"rise\"",
            "weighting = \"uniform\", method = \"sft\"",
        );
        let report = evaluate_on(fixtures::sample_data(), &uniform);
        assert_eq!(first_outcome(&report).verdict, ClaimVerdict::NotRun);
        let remarks = first_outcome(&report).remarks().concat();
        assert_eq!(
            remarks,
            "left: no run has method = sft, weighting = uniform, base = weak"
        );
        let mut data = fixtures::sample_data();
        for run in data.runs.iter_mut().filter(|run| run.axes[0].1 == "weak") {
            run.status = Status::Failed;
            run.error = Some("no space left".to_owned());
        }
        let report = evaluate_on(data, CLAIM);
        assert_eq!(first_outcome(&report).verdict, ClaimVerdict::NotRun);
        let remarks = first_outcome(&report).remarks().concat();
        assert!(
            remarks.starts_with("left: no run is finished; base=weak")
                && remarks.contains("failed: no space left"),
            "{remarks}"
        );
        let report = evaluate_on(
            fixtures::sample_data(),
            &CLAIM.replace("\"ablations\"", "\"ablation\""),
        );
        let remarks = first_outcome(&report).remarks().concat();
        assert_eq!(
            remarks,
            "experiment `ablation` is not in this store (did you mean `ablations`?)"
        );
    }

    #[test]
    fn a_remark_names_the_failed_seed() {
        let mut data = fixtures::sample_data();
        let evaluations: Vec<Key> = data.runs[1]
            .checkpoints
            .iter()
            .map(|c| c.evaluation.clone())
            .collect();
        data.scores.retain(|key, _| !evaluations.contains(key));
        data.runs[1].status = Status::Failed;
        data.runs[1].error = Some("no space left".to_owned());
        let report = evaluate_on(data, CLAIM);
        let outcome = first_outcome(&report);
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
            outcome.remarks().concat().contains("seed=1"),
            "{:?}",
            outcome.remarks()
        );
    }

    #[test]
    fn all_right_sides_must_be_beaten_and_the_worst_one_decides() {
        let both = CLAIM.replace(
            "right = { metric",
            "right = [{ metric = \"m1@t1\" }, { checkpoint = \"base\" }] # {",
        );
        let report = evaluate_on(fixtures::sample_data(), &both);
        let outcome = first_outcome(&report);
        assert_eq!(
            (
                outcome.verdict,
                outcome.comparisons.len(),
                outcome.decisive_index
            ),
            (ClaimVerdict::Holds, 2, 0)
        );
        // A missing right side leaves the claim open, unless another one fails.
        let gone = CLAIM.replace(
            "right = { metric",
            "right = [{ metric = \"m1@t1\" }, { checkpoint = \"sft\" }] # {",
        );
        let report = evaluate_on(fixtures::sample_data(), &gone);
        assert_eq!(first_outcome(&report).verdict, ClaimVerdict::NotRun);
        assert!(
            first_outcome(&report)
                .remarks()
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
    fn the_right_side_may_be_a_number() {
        let above = CLAIM.replace("right = { metric = \"m1@t1\" }", "right = 50");
        let report = evaluate_on(fixtures::sample_data(), &above);
        // 76.7 % [69.2, 83.3] in the sample's report.
        assert_eq!(
            first_outcome(&report)
                .decisive_comparison()
                .unwrap()
                .difference_text(DisplayUnit::Fraction),
            "+26.7 [19.2, 33.3]"
        );
        assert_eq!(first_outcome(&report).verdict, ClaimVerdict::Holds);
    }

    #[test]
    fn gains_may_be_compared_with_gains() {
        let gain = CLAIM
            .replace("metric = \"m1@t5\"", "metric = \"m1@t5\", over = \"m1@t1\"")
            .replace(
                "right = { metric = \"m1@t1\" }",
                "right = { checkpoint = \"base\" }",
            );
        let report = evaluate_on(fixtures::sample_data(), &gain);
        let comparison = first_outcome(&report).decisive_comparison().unwrap();
        // +25.8 after round 2 and −6.7 of the base, in the sample's report.
        assert_eq!(comparison.left.metric, "m1@t5 − m1@t1");
        assert!(
            comparison
                .difference_text(DisplayUnit::Fraction)
                .starts_with("+32.5 ["),
            "{}",
            comparison.difference_text(DisplayUnit::Fraction)
        );
    }

    /// The diagnostics after a change of the claim.
    fn error_after(from: &str, to: &str) -> String {
        error_text(fixtures::sample_data(), &CLAIM.replace(from, to))
    }

    #[test]
    fn unknown_names_on_the_sides_are_shown_in_place() {
        insta::assert_snapshot!(error_after("{ method =", "{ metod ="), @r#"
        claims.toml:8:20: `claim[0].left.where.metod`: no run of `ablations` has an axis `metod`
          |
        8 | left = { where = { metod = "rise" }, metric = "m1@t5" }
          |                    ^^^^^
          = did you mean `method`?
          = valid here: `base`, `weighting`, `method`.
        "#);
        insta::assert_snapshot!(error_after("\"rise\"", "\"rice\""), @r#"
        claims.toml:8:29: `claim[0].left.where.method`: no run of `ablations` has `method` = `rice`
          |
        8 | left = { where = { method = "rice" }, metric = "m1@t5" }
          |                             ^^^^^^
          = did you mean `rise`?
          = valid here: `rise`, `sft`.
        "#);
        insta::assert_snapshot!(error_after("right = { metric = \"m1@t1\"", "right = { checkpoint = \"rond 2\""), @r#"
        claims.toml:9:24: `claim[0].right.checkpoint`: no run of `ablations` has a checkpoint `rond 2`
          |
        9 | right = { checkpoint = "rond 2" }
          |                        ^^^^^^^^
          = did you mean `round 2`?
          = valid here: `first`, `last`, `base`, `round 1`, `round 2`, `sft`.
        "#);
        insta::assert_snapshot!(error_after("\"m1@t1\"", "\"m1@t11\""), @r#"
            claims.toml:9:20: `claim[0].right.metric`: there is no metric `m1@t11` in this store
              |
            9 | right = { metric = "m1@t11" }
              |                    ^^^^^^^^
              = did you mean `m1@t1`?
              = valid here: `m1@t1`, `m1@t5`, `nll@t1`, `nll@t2`, `nll@t3`.
        "#);
    }

    #[test]
    fn an_unknown_axis_and_an_ambiguous_side_are_shown_in_place() {
        insta::assert_snapshot!(error_after("[\"base\"]", "[\"bas\"]"), @r#"
        claims.toml:10:8: `claim[0].per[0]`: no run of `ablations` has an axis `bas`
           |
        10 | per = ["bas"]
           |        ^^^^^
           = did you mean `base`?
           = valid here: `base`, `weighting`, `method`.
        "#);
        insta::assert_snapshot!(error_after("per = [\"base\"]", ""), @r#"
        claims.toml:8:8: `claim[0].left`: 3 conditions match, which differ in `base` (strong, weak) and `weighting` (exp(0.4), uniform)
          |
        8 | left = { where = { method = "rise" }, metric = "m1@t5" }
          |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = name a value in `where`, or add the axis to `per`.
        "#);
    }

    #[test]
    fn different_problems_are_refused() {
        let mut data = fixtures::sample_data();
        let sft: Vec<Key> = data.runs[3]
            .checkpoints
            .iter()
            .map(|c| c.evaluation.clone())
            .collect();
        let stage = |name: &str| StageRow {
            key: Key::from_value(name),
            kind: "prepare".to_owned(),
            ..data.stages[0].clone()
        };
        data.stages.extend(["one", "other"].map(stage));
        for evaluation in data.scores.keys() {
            let name = if sft.contains(evaluation) {
                "other"
            } else {
                "one"
            };
            data.inputs
                .insert(evaluation.clone(), vec![Key::from_value(name)]);
        }
        let other = CLAIM.replace(
            "right = {",
            "right = { where = { base = \"weak\", method = \"sft\" },",
        );
        insta::assert_snapshot!(error_text(data, &other), @r#"
        claims.toml:9:9: `claim[0].right`: cannot pair left and right, which were measured on different problems
          |
        9 | right = { where = { base = "weak", method = "sft" }, metric = "m1@t1" }
          |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = compare runs with the same `task`, `data` and `evaluate` settings.
        "#);
    }

    #[test]
    fn a_unit_without_a_natural_size_needs_one() {
        let mut data = fixtures::sample_data();
        data.metrics
            .iter_mut()
            .for_each(|metric| metric.unit = "nats".to_owned());
        insta::assert_snapshot!(error_text(data.clone(), CLAIM), @r#"
        claims.toml:8:48: `claim[0].left.metric`: `m1@t5` is measured in nats, which has no default smallest effect
          |
        8 | left = { where = { method = "rise" }, metric = "m1@t5" }
          |                                                ^^^^^^^
          = write smallest_effect = ..., in that unit.
        "#);
        data.metrics[0].unit = "fraction".to_owned();
        insta::assert_snapshot!(error_text(data, CLAIM), @r#"
        claims.toml:9:20: `claim[0].right.metric`: `m1@t5` is measured in nats and `m1@t1` in points
          |
        9 | right = { metric = "m1@t1" }
          |                    ^^^^^^^
        "#);
    }
}
