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
    results.values_mut().for_each(|claims| decide(claims));
    let names: BTreeSet<&String> = claims.iter().map(|claim| &claim.experiment).collect();
    Ok(ClaimsReport {
        version: FORMAT_VERSION,
        groups: CLAIM_GROUPS
            .into_iter()
            .map(|(id, title)| ClaimGroup {
                id: id.to_owned(),
                title: title.to_owned(),
                claims: results.remove(id).unwrap_or_default(),
            })
            .collect(),
        experiments: names
            .into_iter()
            .map(|name| experiment_run_counts(name, experiments.get(name)))
            .collect(),
    })
}

fn experiment_run_counts(name: &str, data: Option<&ReportData>) -> ExperimentRunCounts {
    let runs = data.map(|data| data.runs.as_slice()).unwrap_or_default();
    let count = |state: &str| {
        let states = runs.iter().map(|run| run_state(run.status));
        states.filter(|known| *known == state).count()
    };
    ExperimentRunCounts {
        name: name.to_owned(),
        in_store: data.is_some(),
        done: count("done"),
        failed: count("failed"),
        missing: count("missing"),
        carried_over: false,
    }
}

/// Corrects the p values of a group, and gives the verdicts that hold with them.
fn decide(claims: &mut [ClaimResult]) {
    let mut tested: Vec<(&mut ClaimOutcome, CombinedTest)> = Vec::new();
    for claim in claims {
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
        assert_eq!(part.difference_text(unit), "+25.8 [18.3, 34.2]");
        // The axis that is named nowhere is at the baseline, and both seeds are behind the number.
        assert!(
            part.left
                .axis_values
                .contains(&("weighting".to_owned(), "exp(0.4)".to_owned()))
        );
        assert_eq!(
            (part.left.checkpoint.as_str(), part.short_run_keys().len()),
            ("round 2", 2)
        );
        assert_eq!(part.seeds_text(unit), "2/2, sd 13.0");
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
        let why = first_outcome(&verdicts).remarks().concat();
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
        let why = first_outcome(&verdicts).remarks().concat();
        assert!(
            why.starts_with("left: no run is finished; base=weak")
                && why.contains("failed: no space left"),
            "{why}"
        );
        let verdicts = evaluate_on(
            fixtures::sample_data(),
            &CLAIM.replace("\"ablations\"", "\"ablation\""),
        );
        let why = first_outcome(&verdicts).remarks().concat();
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
            outcome.remarks().concat().contains("seed=1"),
            "{:?}",
            outcome.remarks()
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
            first_outcome(&verdicts)
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
    fn a_number_may_stand_on_the_right() {
        let above = CLAIM.replace("right = { metric = \"m1@t1\" }", "right = 50");
        let verdicts = evaluate_on(fixtures::sample_data(), &above);
        // 76.7 % [69.2, 83.3] in the sample's report.
        assert_eq!(
            first_outcome(&verdicts)
                .decisive_comparison()
                .unwrap()
                .difference_text(DisplayUnit::Fraction),
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
            part.difference_text(DisplayUnit::Fraction)
                .starts_with("+32.5 ["),
            "{}",
            part.difference_text(DisplayUnit::Fraction)
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
        claims.toml:8:8: `claim[0].left`: 3 conditions match, which differ in `base` (strong, weak) and `weighting` (exp(0.4), uniform)
          |
        8 | left = { where = { method = "rise" }, metric = "m1@t5" }
          |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = name a value in `where`, or add the axis to `per`.
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
        claims.toml:9:9: `claim[0].right`: cannot pair left and right, which were measured on different problems
          |
        9 | right = { where = { base = "weak", method = "sft" }, metric = "m1@t1" }
          |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = compare runs with the same `task`, `data` and `evaluate` settings.
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
        claims.toml:8:48: `claim[0].left.metric`: `m1@t5` is measured in nats, which has no default smallest effect
          |
        8 | left = { where = { method = "rise" }, metric = "m1@t5" }
          |                                                ^^^^^^^
          = write smallest_effect = ..., in that unit.
        "#);
        frame.metrics[0].unit = "fraction".to_owned();
        insta::assert_snapshot!(error_text(frame, CLAIM), @r#"
        claims.toml:9:20: `claim[0].right.metric`: `m1@t5` is measured in nats and `m1@t1` in points
          |
        9 | right = { metric = "m1@t1" }
          |                    ^^^^^^^
        "#);
    }
}
