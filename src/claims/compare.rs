//! A claim beside the runs of its experiment: both sides, paired on the same problems.
//!
//! Responsible for finding runs, checkpoints and scores, and for telling what is missing. Hides panels; the
//! arithmetic is `stats::claim`.

use std::collections::BTreeSet;

use crate::config::Diagnostic;
use crate::domain::{Key, MetricName};
use crate::report::{Analysis, CheckpointId, ConditionId, DisplayUnit, ReportRun};
use crate::stats::{Hypothesis, MeanEstimate, ScorePanel, SeedScores as Scores, TestResult};
use crate::store::Status;

use super::claim::{Claim, Comparator, MeasuredQuantity};
use super::draft::{self, DEFAULT_SMALLEST_EFFECT, claim_hypothesis};
use super::format;
use super::outcome::{
    ClaimComparison, ClaimOutcome, ClaimResult, Operand, ResolvedComparator, SourceRun,
};
use super::select::{self, RegimeValues};

const AMBIGUOUS_HINT: &str = "name a value in `where`, or settle the claim `per` that axis.";
const NO_COMMON_PROBLEMS: &str = "left and right have scores of no problem in common";

/// A claim beside the runs of its experiment.
pub(super) struct ClaimEvaluator<'c> {
    claim: &'c Claim,
    analysis: &'c Analysis<'c>,
    unit: DisplayUnit,
    smallest_effect: f64,
    pub hypothesis: Hypothesis,
}

/// A side that was looked for.
struct OperandScores {
    operand: Operand,
    condition: Option<ConditionId>,
    panel: ScorePanel,
    missing_reason: Option<String>,
}

impl<'c> ClaimEvaluator<'c> {
    pub fn new(claim: &'c Claim, study: &'c Analysis<'c>) -> Result<Self, Diagnostic> {
        let unit = study.metric_unit(&claim.left.metric);
        let other = |metric: &&String| study.metric_unit(metric) != unit;
        let complaint = |metric: &String| {
            let (own, other) = (
                unit.difference_unit(),
                study.metric_unit(metric).difference_unit(),
            );
            format!(
                "`{}` is counted in {own} and `{metric}` in {other}",
                claim.left.metric
            )
        };
        if let Some(over) = claim.left.subtracted_metric.as_ref().filter(other) {
            return Err(claim.toml.diagnostic(&["left", "over"], complaint(over)));
        }
        for (at, right) in claim.right.iter().enumerate() {
            let Comparator::Quantity(right) = right else {
                continue;
            };
            if let Some(metric) = [&right.metric]
                .into_iter()
                .chain(&right.subtracted_metric)
                .find(other)
            {
                return Err(right_side_diagnostic(claim, at, complaint(metric)));
            }
        }
        let Some(worth) = claim
            .smallest_effect
            .or((unit == DisplayUnit::Fraction).then_some(DEFAULT_SMALLEST_EFFECT))
        else {
            let complaint = format!(
                "`{}` is counted in {}, for which nothing is of interest by itself",
                claim.left.metric,
                unit.difference_unit()
            );
            return Err(claim
                .toml
                .diagnostic(&["left", "metric"], complaint)
                .with_hint("write worth = ..., in that unit."));
        };
        Ok(Self {
            claim,
            analysis: study,
            unit,
            smallest_effect: worth,
            hypothesis: claim_hypothesis(claim, unit, worth),
        })
    }

    pub fn build_result(&self, outcomes: Vec<ClaimOutcome>) -> ClaimResult {
        draft::claim_result(self.claim, self.unit, self.smallest_effect, outcomes)
    }

    /// The comparison with the `at`-th thing on the right.
    pub fn compare_with(
        &self,
        regime: &RegimeValues,
        at: usize,
    ) -> Result<ClaimComparison, Diagnostic> {
        let claim = self.claim;
        let left = self
            .resolve_operand(&claim.left, regime, None)
            .map_err(|fault| {
                claim
                    .toml
                    .diagnostic(&["left"], fault)
                    .with_hint(AMBIGUOUS_HINT)
            })?;
        let rival = match &claim.right[at] {
            Comparator::Number(number) => return Ok(self.compare_with_number(left, *number)),
            Comparator::Quantity(quantity) => quantity,
        };
        let right = self
            .resolve_operand(rival, regime, left.condition)
            .map_err(|fault| right_side_diagnostic(claim, at, fault).with_hint(AMBIGUOUS_HINT))?;
        let missing = [("left", &left), ("right", &right)]
            .into_iter()
            .find_map(|(name, found)| Some(format!("{name}: {}", found.missing_reason.as_ref()?)));
        if missing.is_none() && !self.shares_problems(&left, &right) {
            let complaint =
                "left and right were measured on different problems, so nothing can be paired";
            return Err(right_side_diagnostic(claim, at, complaint)
                .with_hint("compare what has the same `task`, `data` and `evaluate` settings."));
        }
        let differences = left.panel.paired_difference(&right.panel);
        let reach = if claim.left.subtracted_metric.is_some() || rival.subtracted_metric.is_some() {
            2.0
        } else {
            1.0
        };
        let tested = missing
            .is_none()
            .then(|| self.test_differences(&differences, (-reach, reach)));
        let tested = tested.flatten();
        let missing = missing.or_else(|| tested.is_none().then(|| NO_COMMON_PROBLEMS.to_owned()));
        let caution = self
            .sample_shortage_caution(&right, rival)
            .or_else(|| self.sample_shortage_caution(&left, &claim.left));
        Ok(ClaimComparison {
            left: left.operand,
            right: ResolvedComparator::Measured(right.operand),
            test: tested,
            missing_reason: missing,
            caution,
        })
    }

    /// On how many problems a vote at equal tokens could have had more samples than were drawn.
    fn sample_shortage_caution(
        &self,
        found: &OperandScores,
        quantity: &MeasuredQuantity,
    ) -> Option<String> {
        let at = found
            .condition
            .filter(|_| quantity.metric == MetricName::EQUAL_TOKENS)?;
        let short = self
            .analysis
            .estimate(
                &CheckpointId::new(at, found.operand.checkpoint.as_str())
                    .metric(MetricName::EQUAL_TOKENS_SHORTAGE),
            )?
            .value;
        (short > 0.0).then(|| {
            let share = DisplayUnit::Fraction.format_value(short);
            format!(
                "`{}` has fewer samples than it could afford on {share} % of the problems",
                MetricName::EQUAL_TOKENS
            )
        })
    }

    fn compare_with_number(&self, left: OperandScores, number: f64) -> ClaimComparison {
        let scaled = number / self.unit.display_factor();
        let least = if self.claim.left.subtracted_metric.is_some() {
            -1.0
        } else {
            0.0
        };
        let above = |row: &Scores| Scores {
            scores: row
                .scores
                .iter()
                .map(|(problem, score)| (*problem, score - scaled))
                .collect(),
            ..row.clone()
        };
        let differences = ScorePanel(left.panel.0.iter().map(above).collect());
        let tested = self.test_differences(&differences, (least - scaled, 1.0 - scaled));
        ClaimComparison {
            left: left.operand,
            right: ResolvedComparator::Number(number),
            test: tested,
            missing_reason: left.missing_reason,
            caution: None,
        }
    }

    fn test_differences(&self, differences: &ScorePanel, bounds: (f64, f64)) -> Option<TestResult> {
        TestResult::from_differences(
            differences,
            &self.hypothesis,
            (self.unit == DisplayUnit::Fraction).then_some(bounds),
        )
    }

    /// The runs, checkpoint and scores that a quantity means; the complaint where several settings fit.
    fn resolve_operand(
        &self,
        quantity: &MeasuredQuantity,
        regime: &RegimeValues,
        beside: Option<ConditionId>,
    ) -> Result<OperandScores, String> {
        let mut side = draft::unresolved_operand(quantity, regime);
        let none = |side, missing| OperandScores {
            operand: side,
            condition: None,
            panel: ScorePanel::default(),
            missing_reason: Some(missing),
        };
        let Some(at) = select::select_condition(self.analysis, &quantity.selector, regime, beside)?
        else {
            let wanted = format::values_text(&side.axis_values);
            return Ok(none(side, format!("no run has {wanted}")));
        };
        let runs = self.analysis.runs(at);
        side.axis_values.clone_from(&runs[0].axes);
        let checkpoint = select::select_checkpoint(self.analysis, at, &quantity.checkpoint);
        if let Ok(name) = &checkpoint {
            side.checkpoint.clone_from(name);
        }
        let panel = checkpoint.as_ref().map_or_else(
            |_| ScorePanel::default(),
            |name| self.operand_panel(at, name, quantity),
        );
        side.runs = runs.iter().map(|run| source_run(run, &panel)).collect();
        let scored = panel.0.iter().any(|row| !row.scores.is_empty());
        let broken = format::unfinished_runs_text(&side.runs);
        let missing = match checkpoint {
            Err(why) if broken.is_empty() => Some(why),
            Err(why) => Some(format!("{why}; {broken}")),
            Ok(_) if scored => None,
            Ok(_) if broken.is_empty() => Some(format!(
                "no scores of `{}` at `{}`",
                side.metric, side.checkpoint
            )),
            Ok(_) => Some(broken),
        };
        side.estimate = match &quantity.subtracted_metric {
            None => {
                let checkpoint = CheckpointId::new(at, side.checkpoint.as_str());
                self.analysis
                    .estimate(&checkpoint.metric(quantity.metric.as_str()))
            }
            Some(_) => MeanEstimate::from_panel(&panel),
        };
        Ok(OperandScores {
            operand: side,
            condition: Some(at),
            panel,
            missing_reason: missing,
        })
    }

    /// A metric by seed and problem, or what it gains over another one.
    fn operand_panel(
        &self,
        setting: ConditionId,
        checkpoint: &str,
        quantity: &MeasuredQuantity,
    ) -> ScorePanel {
        let checkpoint = CheckpointId::new(setting, checkpoint);
        let of = |metric: &String| {
            self.analysis
                .score_panel(&checkpoint.metric(metric.as_str()))
        };
        let panel = of(&quantity.metric);
        quantity
            .subtracted_metric
            .as_ref()
            .map_or_else(|| panel.clone(), |over| panel.paired_difference(&of(over)))
    }

    /// Whether both sides were asked the same problems: those of the same prepared stage, where the
    /// evaluations say so, and else any that have the same id.
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

    fn evaluation_keys<'a>(&'a self, found: &'a OperandScores) -> impl Iterator<Item = &'a Key> {
        let runs = found
            .condition
            .into_iter()
            .flat_map(|at| self.analysis.runs(at));
        let checkpoints = runs.flat_map(|run| &run.checkpoints);
        checkpoints
            .filter(|c| c.name == *found.operand.checkpoint)
            .map(|c| &c.evaluation)
    }

    fn prepare_stage_keys(&self, found: &OperandScores) -> BTreeSet<&Key> {
        let frame = self.analysis.data;
        let prepared = |key: &&Key| {
            frame
                .stages
                .iter()
                .any(|stage| stage.key == **key && stage.kind == "prepare")
        };
        let inputs = self
            .evaluation_keys(found)
            .filter_map(|evaluation| frame.inputs.get(evaluation));
        inputs.flatten().filter(prepared).collect()
    }

    fn scored_problems(&self, found: &OperandScores) -> BTreeSet<u32> {
        let scores = self
            .evaluation_keys(found)
            .filter_map(|evaluation| self.analysis.data.scores.get(evaluation));
        scores
            .flat_map(|scores| scores.values())
            .flatten()
            .map(|(problem, _)| *problem)
            .collect()
    }
}

fn right_side_diagnostic(claim: &Claim, at: usize, complaint: impl Into<String>) -> Diagnostic {
    let steps = claim.right_side_path(at);
    claim.toml.diagnostic(
        &steps.iter().map(String::as_str).collect::<Vec<_>>(),
        complaint,
    )
}

fn source_run(run: &ReportRun, panel: &ScorePanel) -> SourceRun {
    SourceRun {
        key: run.key.as_str().to_owned(),
        label: run.label.clone(),
        seed: run.seed,
        state: run_state(run.status).to_owned(),
        scored: panel
            .0
            .iter()
            .any(|row| row.seed == run.seed && !row.scores.is_empty()),
        error: run.error.clone().filter(|_| run.status == Status::Failed),
    }
}

/// A run's state as a report sees it.
pub(super) const fn run_state(status: Status) -> &'static str {
    match status {
        Status::Done => "done",
        Status::Failed => "failed",
        Status::Queued | Status::Running | Status::Interrupted => "missing",
    }
}
