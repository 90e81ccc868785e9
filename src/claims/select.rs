//! The runs, checkpoint and metric that a claim names, among those of its experiment.

use std::collections::BTreeSet;

use crate::config::{AxisLabels, Diagnostic};
use crate::report::{Analysis, ConditionId};

use super::file::{Claim, MeasuredQuantity, join_path};

/// A value on each axis of the claim's `per`.
pub type RegimeValues = Vec<(String, String)>;

/// The axes, values, checkpoints and metrics of a claim that its experiment does not have.
pub fn check_references(claim: &Claim, analysis: &Analysis<'_>) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for (path, quantity) in claim.quantities() {
        diagnostics.extend(check_selector(claim, analysis, &path, quantity));
        diagnostics.extend(check_names(claim, analysis, &path, quantity));
    }
    for (index, axis) in claim.per_axes.iter().enumerate() {
        if axis_values(analysis, axis).is_empty() {
            diagnostics.push(claim.table.unknown_value(
                &["per", &index.to_string()],
                unknown_axis_message(claim, axis),
                axis,
                &axis_names(analysis),
            ));
        }
    }
    diagnostics
}

fn check_selector(
    claim: &Claim,
    analysis: &Analysis<'_>,
    side: &[String],
    quantity: &MeasuredQuantity,
) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for (axis, label) in &quantity.selector {
        let path = join_path(side, &["where", axis.as_str()]);
        if !claim.table.contains(&path) {
            continue; // The left side, which it comes from, has the diagnostic.
        }
        let labels = axis_values(analysis, axis);
        if labels.is_empty() {
            let message = unknown_axis_message(claim, axis);
            let known = axis_names(analysis);
            diagnostics.push(claim.table.unknown_key(&path, message, &known));
        } else if !labels.contains(label) {
            let experiment = &claim.experiment;
            let message = format!("no run of `{experiment}` has `{axis}` = `{label}`");
            let known: Vec<&str> = labels.iter().map(String::as_str).collect();
            diagnostics.push(claim.table.unknown_value(&path, message, label, &known));
        }
    }
    diagnostics
}

/// Checks the names of metrics and of the checkpoint.
fn check_names(
    claim: &Claim,
    analysis: &Analysis<'_>,
    side: &[String],
    quantity: &MeasuredQuantity,
) -> Vec<Diagnostic> {
    let metrics: BTreeSet<&str> = analysis
        .data
        .metrics
        .iter()
        .map(|row| row.name.as_str())
        .collect();
    let metrics: Vec<&str> = metrics.into_iter().collect();
    let checkpoints = checkpoint_names(analysis);
    let missing_metric = "there is no metric `{}` in this store";
    let missing_checkpoint = format!("no run of `{}` has a checkpoint `{{}}`", claim.experiment);
    let over = quantity.subtracted_metric.as_ref();
    [
        ("metric", Some(&quantity.metric), &metrics, missing_metric),
        ("over", over, &metrics, missing_metric),
        (
            "checkpoint",
            Some(&quantity.checkpoint),
            &checkpoints,
            missing_checkpoint.as_str(),
        ),
    ]
    .into_iter()
    .filter_map(|(field, name, known, message)| {
        let (name, path) = (name?, join_path(side, &[field]));
        let is_wrong = claim.table.contains(&path) && !known.contains(&name.as_str());
        let message = message.replace("{}", name);
        is_wrong.then(|| claim.table.unknown_value(&path, message, name, known))
    })
    .collect()
}

fn unknown_axis_message(claim: &Claim, axis: &str) -> String {
    format!("no run of `{}` has an axis `{axis}`", claim.experiment)
}

fn axis_names<'a>(analysis: &'a Analysis<'_>) -> Vec<&'a str> {
    analysis.axes.iter().map(String::as_str).collect()
}

/// The values of all conditions on an axis, in order of first appearance.
fn axis_values(analysis: &Analysis<'_>, axis: &str) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for condition in analysis.conditions() {
        let value = analysis.axis_value(condition, axis);
        values.extend(value.filter(|value| !values.contains(value)));
    }
    values
}

fn checkpoint_names<'d>(analysis: &Analysis<'d>) -> Vec<&'d str> {
    let mut names = vec!["first", "last"];
    for checkpoint in analysis.data.runs.iter().flat_map(|run| &run.checkpoints) {
        if !names.contains(&&*checkpoint.name) {
            names.push(&checkpoint.name);
        }
    }
    names
}

/// The regimes of a claim: every combination of values on its `per` axes that some run has; one
/// regime without values if `per` is empty.
pub fn claim_regimes(claim: &Claim, analysis: &Analysis<'_>) -> Vec<RegimeValues> {
    let mut regimes: Vec<RegimeValues> = Vec::new();
    for condition in analysis.conditions() {
        let regime: Option<RegimeValues> = claim
            .per_axes
            .iter()
            .map(|axis| Some((axis.clone(), analysis.axis_value(condition, axis)?)))
            .collect();
        // The left side may fix the value of a `per` axis.
        let fitting = regime.filter(|regime| {
            regime.iter().all(|(axis, value)| {
                let fixed = claim.left.selector.get(axis);
                fixed.is_none_or(|fixed| fixed == value)
            })
        });
        regimes.extend(fitting.filter(|regime| !regimes.contains(regime)));
    }
    regimes
}

/// The condition of a side in a regime; none if no run has these values.
///
/// An axis without value takes the value of the `other` side's condition if a run has it, else the
/// experiment's baseline value. Neither rule chooses between the experiment's regimes: a claim must
/// name its base model and its task.
///
/// # Errors
/// If several conditions match: the axes in which they differ.
pub fn select_condition(
    analysis: &Analysis<'_>,
    selector: &AxisLabels,
    regime: &RegimeValues,
    other: Option<ConditionId>,
) -> Result<Option<ConditionId>, String> {
    let mut fixed: AxisLabels = regime.iter().cloned().collect();
    fixed.extend(selector.clone());
    let matching = matching_conditions(analysis, &fixed);
    if matching.is_empty() {
        return Ok(None);
    }
    let open: Vec<&String> = analysis
        .axes
        .iter()
        .filter(|axis| !fixed.contains_key(*axis))
        .collect();
    only(&matching, |_| true)
        .or_else(|| {
            let other = other?;
            only(&matching, |condition| {
                open.iter().all(|axis| {
                    analysis.axis_value(condition, axis) == analysis.axis_value(other, axis)
                })
            })
        })
        .or_else(|| {
            let several_regimes = open.iter().any(|axis| {
                analysis.regime_axes.contains(axis)
                    && distinct_values(analysis, &matching, axis).len() > 1
            });
            only(&matching, |condition| {
                !several_regimes && is_baseline(analysis, condition, &open)
            })
        })
        .map(Some)
        .ok_or_else(|| ambiguity_message(analysis, &matching, &open))
}

fn matching_conditions(analysis: &Analysis<'_>, values: &AxisLabels) -> Vec<ConditionId> {
    analysis
        .conditions()
        .filter(|&condition| {
            values
                .iter()
                .all(|(axis, label)| analysis.axis_value(condition, axis).as_ref() == Some(label))
        })
        .collect()
}

/// The only condition that passes.
fn only(conditions: &[ConditionId], passes: impl Fn(ConditionId) -> bool) -> Option<ConditionId> {
    let mut passing = conditions.iter().copied().filter(|&at| passes(at));
    passing.next().filter(|_| passing.next().is_none())
}

/// Whether a condition has the experiment's baseline value on some axes.
fn is_baseline(analysis: &Analysis<'_>, condition: ConditionId, axes: &[&String]) -> bool {
    axes.iter().all(|axis| {
        let value = analysis.axis_value(condition, axis);
        value.is_none_or(|value| analysis.baseline.get(*axis) == Some(&value))
    })
}

/// The values of some conditions on an axis.
fn distinct_values(
    analysis: &Analysis<'_>,
    conditions: &[ConditionId],
    axis: &str,
) -> BTreeSet<String> {
    conditions
        .iter()
        .filter_map(|&condition| analysis.axis_value(condition, axis))
        .collect()
}

fn ambiguity_message(
    analysis: &Analysis<'_>,
    matching: &[ConditionId],
    open: &[&String],
) -> String {
    let differences: Vec<String> = open
        .iter()
        .filter_map(|axis| {
            let values = distinct_values(analysis, matching, axis);
            let labels: Vec<String> = values.into_iter().collect();
            (labels.len() > 1).then(|| format!("`{axis}` ({})", labels.join(", ")))
        })
        .collect();
    let (count, differences) = (matching.len(), differences.join(" and "));
    format!("{count} conditions match, which differ in {differences}")
}

/// The name of a checkpoint of a condition.
///
/// # Errors
/// If there is none: the reason.
pub fn select_checkpoint(
    analysis: &Analysis<'_>,
    condition: ConditionId,
    name: &str,
) -> Result<String, String> {
    if name == "last" {
        let last = analysis.last_checkpoint(condition);
        return last
            .map(|last| last.name.to_string())
            .ok_or_else(|| "no run is finished".to_owned());
    }
    let checkpoints = &analysis.runs(condition)[0].checkpoints;
    let names: Vec<&str> = checkpoints.iter().map(|c| &*c.name).collect();
    let found = if name == "first" {
        names.first()
    } else {
        names.iter().find(|known| **known == name)
    };
    found.map(|&found| found.to_owned()).ok_or_else(|| {
        let names = names.join(", ");
        format!("its runs have no checkpoint `{name}` (they have {names})")
    })
}
