//! Which runs, checkpoint and metric a claim means, among those of its experiment.
//!
//! Responsible for finding one setting per side and regime, and for telling names that do not exist.
//! Must not know what is made of the scores.

use std::collections::BTreeSet;

use crate::config::{AxisLabels, Diagnostic};
use crate::report::{Analysis, ConditionId};

use super::claim::{Claim, Comparator, MeasuredQuantity};

/// A value on each axis that a claim is settled per.
pub type RegimeValues = Vec<(String, String)>;

/// What is wrong with a claim's axes, values, checkpoints and metrics, given the runs that there are.
pub fn check_references(claim: &Claim, study: &Analysis<'_>) -> Vec<Diagnostic> {
    let mut faults = check_operand(claim, study, &["left"], &claim.left);
    for (at, right) in claim.right.iter().enumerate() {
        if let Comparator::Quantity(quantity) = right {
            let steps = claim.right_side_path(at);
            faults.extend(check_operand(
                claim,
                study,
                &steps.iter().map(String::as_str).collect::<Vec<_>>(),
                quantity,
            ));
        }
    }
    for (at, axis) in claim.per_axes.iter().enumerate() {
        if axis_values(study, axis).is_empty() {
            let complaint = format!("no run of `{}` has an axis `{axis}`", claim.experiment);
            faults.push(claim.toml.unknown_value(
                &["per", &at.to_string()],
                complaint,
                axis,
                &axis_names(study),
            ));
        }
    }
    faults
}

/// What is wrong with what is written on one side.
fn check_operand(
    claim: &Claim,
    study: &Analysis<'_>,
    side: &[&str],
    quantity: &MeasuredQuantity,
) -> Vec<Diagnostic> {
    let (written, experiment) = (&claim.toml, &claim.experiment);
    let steps = |more: &[&'static str]| [side, more].concat();
    let mut faults = Vec::new();
    for (axis, label) in &quantity.selector {
        let place = [side, &["where", axis.as_str()]].concat();
        if !written.contains(&place) {
            continue; // It is told where it is written, on the left.
        }
        let labels = axis_values(study, axis);
        if labels.is_empty() {
            let complaint = format!("no run of `{experiment}` has an axis `{axis}`");
            faults.push(written.unknown_key(&place, complaint, &axis_names(study)));
        } else if !labels.contains(label) {
            let complaint = format!("no run of `{experiment}` has `{axis}` = `{label}`");
            let known: Vec<&str> = labels.iter().map(String::as_str).collect();
            faults.push(written.unknown_value(&place, complaint, label, &known));
        }
    }
    let known: Vec<&str> = metric_names(study).into_iter().collect();
    for (field, metric) in [
        ("metric", Some(&quantity.metric)),
        ("over", quantity.subtracted_metric.as_ref()),
    ] {
        let Some(metric) = metric.filter(|metric| !known.contains(&metric.as_str())) else {
            continue;
        };
        if written.contains(&steps(&[field])) {
            let complaint = format!("there is no metric `{metric}` in this store");
            faults.push(written.unknown_value(&steps(&[field]), complaint, metric, &known));
        }
    }
    let checkpoint = &quantity.checkpoint;
    let known = checkpoint_names(study);
    if written.contains(&steps(&["checkpoint"])) && !known.contains(&checkpoint.as_str()) {
        let complaint = format!("no run of `{experiment}` has a checkpoint `{checkpoint}`");
        faults.push(written.unknown_value(&steps(&["checkpoint"]), complaint, checkpoint, &known));
    }
    faults
}

fn metric_names<'f>(study: &Analysis<'f>) -> BTreeSet<&'f str> {
    study
        .data
        .metrics
        .iter()
        .map(|row| row.name.as_str())
        .collect()
}

fn axis_names<'s>(study: &'s Analysis<'_>) -> Vec<&'s str> {
    study.axes.iter().map(String::as_str).collect()
}

/// The values that settings have on an axis, in order of first appearance.
fn axis_values(study: &Analysis<'_>, axis: &str) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for value in study
        .conditions()
        .filter_map(|at| study.axis_value(at, axis))
    {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

fn checkpoint_names<'f>(study: &Analysis<'f>) -> Vec<&'f str> {
    let mut names = vec!["first", "last"];
    for checkpoint in study.data.runs.iter().flat_map(|run| &run.checkpoints) {
        if !names.contains(&&*checkpoint.name) {
            names.push(&checkpoint.name);
        }
    }
    names
}

/// The regimes in which a claim is settled: every combination of values on its `per` axes that some
/// run has; one without values where it has no such axes.
pub fn claim_regimes(claim: &Claim, study: &Analysis<'_>) -> Vec<RegimeValues> {
    let mut regimes: Vec<RegimeValues> = Vec::new();
    for setting in study.conditions() {
        let value = |axis: &String| Some((axis.clone(), study.axis_value(setting, axis)?));
        let Some(regime) = claim
            .per_axes
            .iter()
            .map(value)
            .collect::<Option<RegimeValues>>()
        else {
            continue;
        };
        // A value that one side names is not a regime of its own.
        let named = regime.iter().all(|(axis, value)| {
            claim
                .left
                .selector
                .get(axis)
                .is_none_or(|label| label == value)
        });
        if named && !regimes.contains(&regime) {
            regimes.push(regime);
        }
    }
    regimes
}

/// The setting that a side means in a regime; none where no run has these values.
///
/// An axis that is named nowhere has the value of the setting `beside` it, where there is such a run,
/// and else the experiment's baseline value. Regimes are never filled in so: which base model or task is
/// meant has to be said.
///
/// # Errors
/// The axes in which the settings that could be meant differ, where there are still several.
pub fn select_condition(
    study: &Analysis<'_>,
    cells: &AxisLabels,
    regime: &RegimeValues,
    beside: Option<ConditionId>,
) -> Result<Option<ConditionId>, String> {
    let mut named: AxisLabels = regime.iter().cloned().collect();
    named.extend(cells.clone());
    let fits = |&at: &ConditionId| {
        named
            .iter()
            .all(|(axis, label)| study.axis_value(at, axis).as_ref() == Some(label))
    };
    let could: Vec<ConditionId> = study.conditions().filter(fits).collect();
    let open: Vec<&String> = study
        .axes
        .iter()
        .filter(|axis| !named.contains_key(*axis))
        .collect();
    let only = |fits: &dyn Fn(ConditionId) -> bool| {
        let mut found = could.iter().copied().filter(|&at| fits(at));
        found.next().filter(|_| found.next().is_none())
    };
    let same = |at, other| {
        open.iter()
            .all(|axis| study.axis_value(at, axis) == study.axis_value(other, axis))
    };
    let alike = || only(&|at| beside.is_some_and(|other| same(at, other)));
    let usual = |axis: &String, at| {
        study
            .axis_value(at, axis)
            .is_none_or(|value| study.baseline.get(axis) == Some(&value))
    };
    let separate = open.iter().any(|axis| {
        study.regime_axes.contains(axis) && distinct_values(study, &could, axis).len() > 1
    });
    let at_baseline = || only(&|at| !separate && open.iter().all(|axis| usual(axis, at)));
    if could.is_empty() {
        return Ok(None);
    }
    let found = only(&|_| true).or_else(alike).or_else(at_baseline);
    found
        .map(Some)
        .ok_or_else(|| ambiguity_message(study, &could, &open))
}

/// The values that some settings have on an axis.
fn distinct_values(study: &Analysis<'_>, settings: &[ConditionId], axis: &str) -> BTreeSet<String> {
    settings
        .iter()
        .filter_map(|&at| study.axis_value(at, axis))
        .collect()
}

fn ambiguity_message(study: &Analysis<'_>, could: &[ConditionId], open: &[&String]) -> String {
    let of = |axis: &&String| {
        let labels: Vec<String> = distinct_values(study, could, axis).into_iter().collect();
        (labels.len() > 1).then(|| format!("`{axis}` ({})", labels.join(", ")))
    };
    let axes: Vec<String> = open.iter().filter_map(of).collect();
    format!(
        "{} settings fit, which differ in {}",
        could.len(),
        axes.join(" and ")
    )
}

/// The checkpoint that is meant by a name; why there is none, if there is none.
pub fn select_checkpoint(
    study: &Analysis<'_>,
    setting: ConditionId,
    name: &str,
) -> Result<String, String> {
    let runs = study.runs(setting);
    let names: Vec<&str> = runs[0]
        .checkpoints
        .iter()
        .map(|checkpoint| &*checkpoint.name)
        .collect();
    let found = match name {
        "last" => {
            return study
                .last_checkpoint(setting)
                .map(|last| last.name.to_string())
                .ok_or_else(|| "no run is finished".to_owned());
        }
        "first" => names.first().copied(),
        name => names.iter().copied().find(|known| *known == name),
    };
    found.map(str::to_owned).ok_or_else(|| {
        format!(
            "its runs have no checkpoint `{name}` (they have {})",
            names.join(", ")
        )
    })
}
