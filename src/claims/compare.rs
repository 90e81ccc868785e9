//! One claim in one regime: finds the scores of both sides and tests their paired differences.

use std::collections::BTreeSet;

use crate::config::Diagnostic;
use crate::domain::{Key, MetricName};
use crate::report::{Analysis, CheckpointId, ConditionId, DisplayUnit, ReportRun, run_state};
use crate::stats::{Hypothesis, MeanEstimate, ScorePanel, SeedScores, TestResult};
use crate::store::Status;

use super::file::{Claim, Comparator, MeasuredQuantity, join_path, values_text};
use super::outcome::unfinished_runs_text;
use super::outcome::{ClaimComparison, ClaimOutcome, ClaimResult, Operand, SourceRun};
use super::select::{self, RegimeValues};

/// The smallest effect of a claim about fractions that names none: two points.
pub(super) const DEFAULT_SMALLEST_EFFECT: f64 = 2.0;

const AMBIGUOUS_HINT: &str = "name a value in `where`, or add the axis to `per`.";
const NO_COMMON_PROBLEMS: &str = "left and right share no scored problem";

/// A claim with the runs of its experiment.
pub(super) struct ClaimEvaluator<'c> {
    claim: &'c Claim,
    analysis: &'c Analysis<'c>,
    unit: DisplayUnit,
    /// The claim without outcomes.
    result: ClaimResult,
    hypothesis: Hypothesis,
}

/// One side with its scores.
struct OperandScores {
    operand: Operand,
    condition: Option<ConditionId>,
    panel: ScorePanel,
    missing_reason: Option<String>,
}

impl<'c> ClaimEvaluator<'c> {
    /// # Errors
    /// If metrics of the claim have different units, or their unit has no default smallest effect.
    pub fn new(claim: &'c Claim, analysis: &'c Analysis<'c>) -> Result<Self, Diagnostic> {
        let unit = common_unit(claim, analysis)?;
        let default = (unit == DisplayUnit::Fraction).then_some(DEFAULT_SMALLEST_EFFECT);
        let Some(smallest_effect) = claim.smallest_effect.or(default) else {
            let (metric, unit) = (&claim.left.metric, unit.difference_unit());
            let message =
                format!("`{metric}` is measured in {unit}, which has no default smallest effect");
            return Err(claim
                .table
                .diagnostic(&["left", "metric"], message)
                .with_hint("write smallest_effect = ..., in that unit."));
        };
        let result = ClaimResult::new(claim, unit, smallest_effect, Vec::new());
        Ok(Self {
            claim,
            analysis,
            unit,
            hypothesis: result.hypothesis(),
            result,
        })
    }

    /// The claim with one outcome per regime, all of them still without verdict.
    ///
    /// # Errors
    /// If several conditions match a side, or the sides have different problems.
    pub fn evaluate(self) -> Result<ClaimResult, Diagnostic> {
        let mut outcomes = Vec::new();
        for regime in select::claim_regimes(self.claim, self.analysis) {
            let comparisons = (0..self.claim.right.len())
                .map(|index| self.compare_with(&regime, index))
                .collect::<Result<_, _>>()?;
            outcomes.push(ClaimOutcome::not_run(regime, comparisons));
        }
        Ok(ClaimResult {
            outcomes,
            ..self.result
        })
    }

    /// Compares the left side with a right one.
    fn compare_with(
        &self,
        regime: &RegimeValues,
        index: usize,
    ) -> Result<ClaimComparison, Diagnostic> {
        let claim = self.claim;
        let left = self
            .resolve_operand(&claim.left, regime, None)
            .map_err(|message| {
                let diagnostic = claim.table.diagnostic(&["left"], message);
                diagnostic.with_hint(AMBIGUOUS_HINT)
            })?;
        let quantity = match &claim.right[index] {
            Comparator::Number(number) => return Ok(self.compare_with_number(left, *number)),
            Comparator::Measured(quantity) => quantity,
        };
        let right = self
            .resolve_operand(quantity, regime, left.condition)
            .map_err(|message| {
                let diagnostic = claim.right_diagnostic(index, message);
                diagnostic.with_hint(AMBIGUOUS_HINT)
            })?;
        let missing = [("left", &left), ("right", &right)]
            .into_iter()
            .find_map(|(name, side)| Some(format!("{name}: {}", side.missing_reason.as_ref()?)));
        if missing.is_none() && !self.shares_problems(&left, &right) {
            let message = "cannot pair left and right, which were measured on different problems";
            return Err(claim
                .right_diagnostic(index, message)
                .with_hint("compare runs with the same `task`, `data` and `evaluate` settings."));
        }
        Ok(self.compare_with_quantity(left, right, quantity, missing))
    }

    fn compare_with_quantity(
        &self,
        left: OperandScores,
        right: OperandScores,
        quantity: &MeasuredQuantity,
        missing: Option<String>,
    ) -> ClaimComparison {
        let bound = if self.claim.left.is_gain() || quantity.is_gain() {
            2.0
        } else {
            1.0
        };
        let test = if missing.is_none() {
            let differences = left.panel.paired_difference(&right.panel);
            self.test_differences(&differences, (-bound, bound))
        } else {
            None
        };
        let unpaired = test.is_none().then(|| NO_COMMON_PROBLEMS.to_owned());
        let caution = self
            .sample_shortage_caution(&right, quantity)
            .or_else(|| self.sample_shortage_caution(&left, &self.claim.left));
        ClaimComparison {
            left: left.operand,
            right: Comparator::Measured(right.operand),
            test,
            missing_reason: missing.or(unpaired),
            caution,
        }
    }

    fn compare_with_number(&self, left: OperandScores, number: f64) -> ClaimComparison {
        let scaled = number / self.unit.display_factor();
        let least = if self.claim.left.is_gain() { -1.0 } else { 0.0 };
        let mut differences = left.panel;
        for row in &mut differences.0 {
            row.scores
                .iter_mut()
                .for_each(|(_, score)| *score -= scaled);
        }
        ClaimComparison {
            left: left.operand,
            right: Comparator::Number(number),
            test: self.test_differences(&differences, (least - scaled, 1.0 - scaled)),
            missing_reason: left.missing_reason,
            caution: None,
        }
    }

    fn test_differences(&self, differences: &ScorePanel, bounds: (f64, f64)) -> Option<TestResult> {
        let bounds = (self.unit == DisplayUnit::Fraction).then_some(bounds);
        TestResult::from_differences(differences, &self.hypothesis, bounds)
    }

    /// The share of problems on which a vote at equal tokens had too few samples.
    fn sample_shortage_caution(
        &self,
        side: &OperandScores,
        quantity: &MeasuredQuantity,
    ) -> Option<String> {
        let condition = side
            .condition
            .filter(|_| quantity.metric == MetricName::EQUAL_TOKENS)?;
        let checkpoint = CheckpointId::new(condition, side.operand.checkpoint.as_str());
        let shortage = checkpoint.metric(MetricName::EQUAL_TOKENS_SHORTAGE);
        let shortage = self.analysis.estimate(&shortage)?.value;
        (shortage > 0.0).then(|| {
            let share = DisplayUnit::Fraction.format_value(shortage);
            format!(
                "`{}` has fewer samples than it could afford on {share} % of the problems",
                MetricName::EQUAL_TOKENS
            )
        })
    }

    /// Finds the runs, checkpoint and scores of a quantity.
    ///
    /// # Errors
    /// If several conditions match.
    fn resolve_operand(
        &self,
        quantity: &MeasuredQuantity,
        regime: &RegimeValues,
        other: Option<ConditionId>,
    ) -> Result<OperandScores, String> {
        let mut operand = unresolved_operand(quantity, regime);
        let condition = select::select_condition(self.analysis, &quantity.selector, regime, other)?;
        let Some(condition) = condition else {
            let values = &operand.axis_values;
            let values = values_text(values.iter().map(|(axis, value)| (axis, value)));
            return Ok(OperandScores {
                operand,
                condition: None,
                panel: ScorePanel::default(),
                missing_reason: Some(format!("no run has {values}")),
            });
        };
        let checkpoint = select::select_checkpoint(self.analysis, condition, &quantity.checkpoint);
        let mut panel = ScorePanel::default();
        if let Ok(name) = &checkpoint {
            operand.checkpoint.clone_from(name);
            panel = self.operand_panel(condition, name, quantity);
        }
        let runs = self.analysis.runs(condition);
        operand.axis_values.clone_from(&runs[0].axes);
        operand.runs = runs.iter().map(|run| source_run(run, &panel)).collect();
        operand.estimate = if quantity.is_gain() {
            MeanEstimate::from_panel(&panel)
        } else {
            let (checkpoint, metric) = (&operand.checkpoint, &quantity.metric);
            let checkpoint = CheckpointId::new(condition, checkpoint.as_str());
            self.analysis.estimate(&checkpoint.metric(metric.as_str()))
        };
        Ok(OperandScores {
            missing_reason: missing_reason(&operand, checkpoint.err(), &panel),
            operand,
            condition: Some(condition),
            panel,
        })
    }

    /// A metric by seed and problem, or its gain over another one.
    fn operand_panel(
        &self,
        condition: ConditionId,
        checkpoint: &str,
        quantity: &MeasuredQuantity,
    ) -> ScorePanel {
        let checkpoint = CheckpointId::new(condition, checkpoint);
        let metric = quantity.metric.as_str();
        let panel = self.analysis.score_panel(&checkpoint.metric(metric));
        match &quantity.subtracted_metric {
            None => panel,
            Some(metric) => {
                let other = checkpoint.metric(metric.as_str());
                panel.paired_difference(&self.analysis.score_panel(&other))
            }
        }
    }

    /// Whether both sides had the same problems.
    ///
    /// It compares the prepared stages of the evaluations, or the ids if there are none.
    fn shares_problems(&self, left: &OperandScores, right: &OperandScores) -> bool {
        let (a, b) = (
            self.prepare_stage_keys(left),
            self.prepare_stage_keys(right),
        );
        if !a.is_empty() && !b.is_empty() {
            return !a.is_disjoint(&b);
        }
        let (a, b) = (self.scored_problems(left), self.scored_problems(right));
        !a.is_disjoint(&b)
    }

    fn evaluation_keys<'a>(&'a self, side: &'a OperandScores) -> impl Iterator<Item = &'a Key> {
        let conditions = side.condition.into_iter();
        conditions
            .flat_map(|condition| self.analysis.runs(condition))
            .flat_map(|run| &run.checkpoints)
            .filter(|checkpoint| checkpoint.name == *side.operand.checkpoint)
            .map(|checkpoint| &checkpoint.evaluation)
    }

    fn prepare_stage_keys(&self, side: &OperandScores) -> BTreeSet<&Key> {
        let data = self.analysis.data;
        self.evaluation_keys(side)
            .filter_map(|evaluation| data.inputs.get(evaluation))
            .flatten()
            .filter(|key| {
                let mut stages = data.stages.iter();
                stages.any(|stage| stage.key == **key && stage.kind == "prepare")
            })
            .collect()
    }

    fn scored_problems(&self, side: &OperandScores) -> BTreeSet<u32> {
        self.evaluation_keys(side)
            .filter_map(|evaluation| self.analysis.data.scores.get(evaluation))
            .flat_map(|scores| scores.values().flatten())
            .map(|(problem, _)| *problem)
            .collect()
    }
}

/// The unit of all metrics of a claim.
fn common_unit(claim: &Claim, analysis: &Analysis<'_>) -> Result<DisplayUnit, Diagnostic> {
    let unit = analysis.metric_unit(&claim.left.metric);
    for (side, quantity) in claim.quantities() {
        let subtracted = quantity.subtracted_metric.as_ref();
        for (field, metric) in [("metric", Some(&quantity.metric)), ("over", subtracted)] {
            let Some(metric) = metric.filter(|metric| analysis.metric_unit(metric) != unit) else {
                continue;
            };
            let (left, unit) = (&claim.left.metric, unit.difference_unit());
            let other = analysis.metric_unit(metric).difference_unit();
            let message = format!("`{left}` is measured in {unit} and `{metric}` in {other}");
            let path = join_path(&side, &[field]);
            return Err(claim.table.diagnostic(&path, message));
        }
    }
    Ok(unit)
}

/// A side of which no run is known.
pub(super) fn unresolved_operand(quantity: &MeasuredQuantity, regime: &RegimeValues) -> Operand {
    let selector = &quantity.selector;
    let own = selector
        .iter()
        .map(|(axis, value)| (axis.clone(), value.clone()));
    let regime = regime
        .iter()
        .filter(|(axis, _)| !selector.contains_key(axis));
    Operand {
        axis_values: own.chain(regime.cloned()).collect(),
        checkpoint: quantity.checkpoint.clone(),
        metric: quantity.metric_text(),
        estimate: None,
        runs: Vec::new(),
    }
}

/// Why a side has no scores; none if it has some.
fn missing_reason(
    operand: &Operand,
    missing_checkpoint: Option<String>,
    panel: &ScorePanel,
) -> Option<String> {
    let unfinished = unfinished_runs_text(&operand.runs);
    match missing_checkpoint {
        Some(reason) if unfinished.is_empty() => Some(reason),
        Some(reason) => Some(format!("{reason}; {unfinished}")),
        None if panel.0.iter().any(has_scores) => None,
        None if unfinished.is_empty() => {
            let (metric, checkpoint) = (&operand.metric, &operand.checkpoint);
            Some(format!("no scores of `{metric}` at `{checkpoint}`"))
        }
        None => Some(unfinished),
    }
}

fn has_scores(row: &SeedScores) -> bool {
    !row.scores.is_empty()
}

fn source_run(run: &ReportRun, panel: &ScorePanel) -> SourceRun {
    let mut rows = panel.0.iter();
    SourceRun {
        key: run.key.as_str().to_owned(),
        label: run.label.clone(),
        seed: run.seed,
        state: run_state(run.status).to_owned(),
        scored: rows.any(|row| row.seed == run.seed && has_scores(row)),
        error: run.error.clone().filter(|_| run.status == Status::Failed),
    }
}
