//! Which runs, checkpoint and metric a claim means, among those of its experiment.
//!
//! Responsible for finding one setting per side and regime, and for telling names that do not exist.
//! Must not know what is made of the scores.

use std::collections::BTreeSet;

use crate::report::Study;
use crate::spec::{Fault, Labels};

use super::claim::{Claim, Quantity, Rival};

/// A value on each axis that a claim is settled per.
pub type Regime = Vec<(String, String)>;

/// What is wrong with a claim's axes, values, checkpoints and metrics, given the runs that there are.
pub fn faults(claim: &Claim, study: &Study<'_>) -> Vec<Fault> {
    let mut faults = of_side(claim, study, &["left"], &claim.left);
    for (at, right) in claim.right.iter().enumerate() {
        if let Rival::Quantity(quantity) = right {
            let steps = claim.right_steps(at);
            faults.extend(of_side(
                claim,
                study,
                &steps.iter().map(String::as_str).collect::<Vec<_>>(),
                quantity,
            ));
        }
    }
    for (at, axis) in claim.per.iter().enumerate() {
        if values(study, axis).is_empty() {
            let complaint = format!("no run of `{}` has an axis `{axis}`", claim.experiment);
            faults.push(claim.written.unknown(
                &["per", &at.to_string()],
                complaint,
                axis,
                &axes(study),
            ));
        }
    }
    faults
}

/// What is wrong with what is written on one side.
fn of_side(claim: &Claim, study: &Study<'_>, side: &[&str], quantity: &Quantity) -> Vec<Fault> {
    let (written, experiment) = (&claim.written, &claim.experiment);
    let steps = |more: &[&'static str]| [side, more].concat();
    let mut faults = Vec::new();
    for (axis, label) in &quantity.cells {
        let place = [side, &["where", axis.as_str()]].concat();
        if !written.holds(&place) {
            continue; // It is told where it is written, on the left.
        }
        let labels = values(study, axis);
        if labels.is_empty() {
            let complaint = format!("no run of `{experiment}` has an axis `{axis}`");
            faults.push(written.unknown_name(&place, complaint, &axes(study)));
        } else if !labels.contains(label) {
            let complaint = format!("no run of `{experiment}` has `{axis}` = `{label}`");
            let known: Vec<&str> = labels.iter().map(String::as_str).collect();
            faults.push(written.unknown(&place, complaint, label, &known));
        }
    }
    let known: Vec<&str> = metrics(study).into_iter().collect();
    for (field, metric) in [
        ("metric", Some(&quantity.metric)),
        ("over", quantity.over.as_ref()),
    ] {
        let Some(metric) = metric.filter(|metric| !known.contains(&metric.as_str())) else {
            continue;
        };
        if written.holds(&steps(&[field])) {
            let complaint = format!("there is no metric `{metric}` in this store");
            faults.push(written.unknown(&steps(&[field]), complaint, metric, &known));
        }
    }
    let checkpoint = &quantity.checkpoint;
    let known = checkpoints(study);
    if written.holds(&steps(&["checkpoint"])) && !known.contains(&checkpoint.as_str()) {
        let complaint = format!("no run of `{experiment}` has a checkpoint `{checkpoint}`");
        faults.push(written.unknown(&steps(&["checkpoint"]), complaint, checkpoint, &known));
    }
    faults
}

fn metrics<'f>(study: &Study<'f>) -> BTreeSet<&'f str> {
    study
        .frame
        .metrics
        .iter()
        .map(|row| row.name.as_str())
        .collect()
}

fn axes<'s>(study: &'s Study<'_>) -> Vec<&'s str> {
    study.axes.iter().map(String::as_str).collect()
}

/// The values that settings have on an axis, in order of first appearance.
fn values(study: &Study<'_>, axis: &str) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for value in (0..study.settings.len()).filter_map(|at| study.value(at, axis)) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

fn checkpoints<'f>(study: &Study<'f>) -> Vec<&'f str> {
    let mut names = vec!["first", "last"];
    for checkpoint in study.frame.runs.iter().flat_map(|run| &run.checkpoints) {
        if !names.contains(&checkpoint.name.as_str()) {
            names.push(&checkpoint.name);
        }
    }
    names
}

/// The regimes in which a claim is settled: every combination of values on its `per` axes that some
/// run has; one without values where it has no such axes.
pub fn regimes(claim: &Claim, study: &Study<'_>) -> Vec<Regime> {
    let mut regimes: Vec<Regime> = Vec::new();
    for setting in 0..study.settings.len() {
        let value = |axis: &String| Some((axis.clone(), study.value(setting, axis)?));
        let Some(regime) = claim.per.iter().map(value).collect::<Option<Regime>>() else {
            continue;
        };
        // A value that one side names is not a regime of its own.
        let named = regime.iter().all(|(axis, value)| {
            claim
                .left
                .cells
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
pub fn setting(
    study: &Study<'_>,
    cells: &Labels,
    regime: &Regime,
    beside: Option<usize>,
) -> Result<Option<usize>, String> {
    let mut named: Labels = regime.iter().cloned().collect();
    named.extend(cells.clone());
    let fits = |&at: &usize| {
        named
            .iter()
            .all(|(axis, label)| study.value(at, axis).as_ref() == Some(label))
    };
    let could: Vec<usize> = (0..study.settings.len()).filter(fits).collect();
    let open: Vec<&String> = study
        .axes
        .iter()
        .filter(|axis| !named.contains_key(*axis))
        .collect();
    let only = |fits: &dyn Fn(usize) -> bool| {
        let mut found = could.iter().copied().filter(|&at| fits(at));
        found.next().filter(|_| found.next().is_none())
    };
    let same = |at, other| {
        open.iter()
            .all(|axis| study.value(at, axis) == study.value(other, axis))
    };
    let alike = || only(&|at| beside.is_some_and(|other| same(at, other)));
    let usual = |axis: &String, at| {
        study
            .value(at, axis)
            .is_none_or(|value| study.baseline.get(axis) == Some(&value))
    };
    let separate = open
        .iter()
        .any(|axis| study.regimes.contains(axis) && labels(study, &could, axis).len() > 1);
    let at_baseline = || only(&|at| !separate && open.iter().all(|axis| usual(axis, at)));
    if could.is_empty() {
        return Ok(None);
    }
    let found = only(&|_| true).or_else(alike).or_else(at_baseline);
    found
        .map(Some)
        .ok_or_else(|| differing(study, &could, &open))
}

/// The values that some settings have on an axis.
fn labels(study: &Study<'_>, settings: &[usize], axis: &str) -> BTreeSet<String> {
    settings
        .iter()
        .filter_map(|&at| study.value(at, axis))
        .collect()
}

fn differing(study: &Study<'_>, could: &[usize], open: &[&String]) -> String {
    let of = |axis: &&String| {
        let labels: Vec<String> = labels(study, could, axis).into_iter().collect();
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
pub fn checkpoint(study: &Study<'_>, setting: usize, name: &str) -> Result<String, String> {
    let runs = &study.settings[setting].runs;
    let names: Vec<&str> = runs[0]
        .checkpoints
        .iter()
        .map(|checkpoint| checkpoint.name.as_str())
        .collect();
    let found = match name {
        "last" => {
            return study
                .last(setting)
                .map(str::to_owned)
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
