//! From an experiment to its cells: every run, with its label and its value on every axis.
//!
//! Responsible for how axes are combined and for refusing sweeps in which two cells are the same.
//! Must not know how settings are written or checked, nor what happens to a cell.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::Key;
use crate::spec::{
    AxisValue, ExperimentSpec, Extra, Fault, Mode, RunSpec, SpecError, SweepSpec, nearest,
};

use super::axis::{self, Axes, Draft};

/// One run of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Readable name, e.g. `weighting=exp(0.4) collect.teacher=reference seed=0`.
    pub label: String,
    /// (axis, short label of its value) for every axis of the sweep, without the seed.
    pub axes: Vec<(String, String)>,
    /// What is to be run.
    pub spec: RunSpec,
}

/// Expands an experiment into its cells: the combinations of the axes, then the spelled-out
/// cells; each with all of its seeds.
///
/// # Errors
/// If an axis or cell cannot be read, is empty or contradicts itself, if two cells are the same
/// run, or if an exclusion, a rule for seeds or a wish for the report fits no cell.
pub fn expand(experiment: &ExperimentSpec) -> Result<Vec<Cell>, SpecError> {
    let sweep = &experiment.sweep;
    refuse(axis::faults(sweep))?;
    refuse(mode_faults(experiment))?;
    let axes = Axes::of(&experiment.template, sweep);
    let mut drafts = combined(sweep, &axes);
    for cell in &sweep.list {
        drafts.push(axes.spelled_out(&cell.settings)?);
    }
    let drafts = without_excluded(drafts, sweep, &axes)?;
    if drafts.is_empty() {
        return Err(experiment.fault("sweep", "every cell is excluded").into());
    }
    let seeds = seeds_of(&drafts, experiment, &axes)?;
    let mut cells = vec![];
    let mut faults = vec![];
    for (draft, seeds) in drafts.iter().zip(seeds) {
        match experiment.template.with(&draft.settings) {
            Ok(spec) => cells.extend(
                seeds
                    .iter()
                    .map(|&seed| cell(draft, &axes, sweep.mode, &spec, seed)),
            ),
            Err(more) => {
                faults.extend(
                    more.into_iter()
                        .map(|fault| in_cell(fault, draft, &axes, sweep.mode)),
                );
            }
        }
    }
    refuse(faults)?;
    refuse(repeated(&cells, experiment))?;
    refuse(wish_faults(&cells, &axes, experiment))?;
    Ok(cells)
}

/// Stops if there are faults; those of one cause that show in several cells are told once.
fn refuse(faults: Vec<Fault>) -> Result<(), SpecError> {
    const SHOWN: usize = 12;
    let mut told: Vec<Fault> = vec![];
    for fault in faults {
        let known = |other: &Fault| other.same_cause(&fault);
        if told.len() < SHOWN && !told.iter().any(known) {
            told.push(fault);
        }
    }
    if told.is_empty() {
        Ok(())
    } else {
        Err(SpecError::Faulty(told))
    }
}

/// What is wrong with the way in which axes are to be combined.
fn mode_faults(experiment: &ExperimentSpec) -> Vec<Fault> {
    let sweep = &experiment.sweep;
    let lengths: Vec<String> = sweep
        .axes
        .iter()
        .map(|axis| format!("`{}` has {}", axis.name, axis.values.len()))
        .collect();
    let uneven = sweep
        .axes
        .windows(2)
        .any(|pair| pair[0].values.len() != pair[1].values.len());
    let by_path = sweep.axes.iter().find(|axis| !axis.named);
    match sweep.mode {
        Mode::Zip if uneven => {
            let complaint = format!(
                "`zip` takes one value of each axis at a time, but {}",
                lengths.join(", ")
            );
            vec![
                experiment
                    .fault("sweep.mode", complaint)
                    .hint("give every axis as many values."),
            ]
        }
        Mode::List if sweep.list.is_empty() => {
            vec![experiment.fault(
                "sweep.mode",
                "`list` runs the cells of [[sweep.list]], and there are none",
            )]
        }
        Mode::List => by_path
            .map(|axis| {
                axis.fault(format!(
                    "mode `list` makes no cells of axis `{}`",
                    axis.name
                ))
            })
            .map(|fault| {
                fault.hint("choose another mode, or write its values into [[sweep.list]].")
            })
            .into_iter()
            .collect(),
        _ => vec![],
    }
}

/// The cells that the axes make.
fn combined(sweep: &SweepSpec, axes: &Axes<'_>) -> Vec<Draft> {
    match sweep.mode {
        Mode::List => vec![],
        Mode::Grid => grid(sweep, axes),
        Mode::Zip => zip(sweep, axes),
        Mode::Around => around(sweep, axes),
    }
}

/// Every combination; the last axis changes fastest.
fn grid(sweep: &SweepSpec, axes: &Axes<'_>) -> Vec<Draft> {
    sweep
        .axes
        .iter()
        .enumerate()
        .fold(vec![axes.start()], |drafts, (index, axis)| {
            let moved = drafts
                .iter()
                .flat_map(|draft| axis.values.iter().map(move |value| (draft, value)));
            moved
                .map(|(draft, value)| placed(draft, index, value))
                .collect()
        })
}

/// The first values together, the second values together, and so on; the baseline if nothing varies.
fn zip(sweep: &SweepSpec, axes: &Axes<'_>) -> Vec<Draft> {
    let length = sweep.axes.first().map_or(1, |axis| axis.values.len());
    let row = |row: usize| {
        let values = sweep
            .axes
            .iter()
            .enumerate()
            .map(|(index, axis)| (index, &axis.values[row]));
        values.fold(axes.start(), |draft, (index, value)| {
            placed(&draft, index, value)
        })
    };
    (0..length).map(row).collect()
}

/// The baseline, then each other value of each axis alone.
fn around(sweep: &SweepSpec, axes: &Axes<'_>) -> Vec<Draft> {
    let start = axes.start();
    let values = sweep
        .axes
        .iter()
        .enumerate()
        .flat_map(|(index, axis)| axis.values.iter().map(move |v| (index, v)));
    let others = values.filter(|(_, value)| !axes.is_baseline(value));
    let moved: Vec<Draft> = others
        .map(|(index, value)| placed(&start, index, value))
        .collect();
    [start].into_iter().chain(moved).collect()
}

fn placed(draft: &Draft, index: usize, value: &AxisValue) -> Draft {
    let mut draft = draft.clone();
    draft.place(index, value);
    draft
}

fn without_excluded(
    drafts: Vec<Draft>,
    sweep: &SweepSpec,
    axes: &Axes<'_>,
) -> Result<Vec<Draft>, SpecError> {
    let mut excluded = vec![false; drafts.len()];
    for exclusion in &sweep.exclude {
        for index in matching(&drafts, exclusion, axes, "this exclusion")? {
            excluded[index] = true;
        }
    }
    Ok(drafts
        .into_iter()
        .zip(excluded)
        .filter(|(_, excluded)| !excluded)
        .map(|(draft, _)| draft)
        .collect())
}

/// The seeds of each cell.
fn seeds_of(
    drafts: &[Draft],
    experiment: &ExperimentSpec,
    axes: &Axes<'_>,
) -> Result<Vec<Vec<u64>>, SpecError> {
    let mut seeds = vec![experiment.seeds.clone(); drafts.len()];
    for rule in &experiment.sweep.seeds {
        for index in matching(drafts, &rule.cells, axes, "this rule for seeds")? {
            seeds[index].clone_from(&rule.seeds);
        }
    }
    Ok(seeds)
}

/// The cells that have all values of a table; at least one.
fn matching(
    drafts: &[Draft],
    table: &Extra,
    axes: &Axes<'_>,
    what: &str,
) -> Result<Vec<usize>, SpecError> {
    let mut found = vec![];
    for (index, draft) in drafts.iter().enumerate() {
        if axes.matches(draft, &table.settings)? {
            found.push(index);
        }
    }
    if found.is_empty() {
        Err(table.fault(format!("{what} fits no cell")).into())
    } else {
        Ok(found)
    }
}

fn cell(draft: &Draft, axes: &Axes<'_>, mode: Mode, spec: &RunSpec, seed: u64) -> Cell {
    Cell {
        label: format!("{} seed={seed}", name(draft, axes, mode)),
        axes: axes
            .names
            .iter()
            .cloned()
            .zip(draft.labels.iter().cloned())
            .collect(),
        spec: RunSpec {
            seed,
            ..spec.clone()
        },
    }
}

/// A cell's name without its seed: all axes where cells are combinations, only what differs from
/// the baseline where that is what makes a cell.
fn name(draft: &Draft, axes: &Axes<'_>, mode: Mode) -> String {
    let all = matches!(mode, Mode::Grid | Mode::Zip);
    let values = axes.names.iter().zip(&draft.labels).zip(&axes.baseline);
    let told = values.filter(|((_, label), baseline)| all || label != baseline);
    let told: Vec<String> = told
        .map(|((axis, label), _)| format!("{axis}={label}"))
        .collect();
    if told.is_empty() {
        "baseline".to_owned()
    } else {
        told.join(" ")
    }
}

fn in_cell(fault: Fault, draft: &Draft, axes: &Axes<'_>, mode: Mode) -> Fault {
    fault.hint(format!("in cell `{}`.", name(draft, axes, mode)))
}

/// Cells that are the same run, or that cannot be told apart by their labels.
fn repeated(cells: &[Cell], experiment: &ExperimentSpec) -> Vec<Fault> {
    let mut keys: BTreeMap<Key, &str> = BTreeMap::new();
    let mut labels = BTreeSet::new();
    let mut faults = vec![];
    for cell in cells {
        let label = cell.label.as_str();
        if let Some(first) = keys.insert(cell.spec.key(), label) {
            let complaint = if first == label {
                format!("cell `{label}` is there twice")
            } else {
                format!("cells `{first}` and `{label}` are the same run")
            };
            let fault = experiment
                .fault("sweep", complaint)
                .hint("leave one of them out.");
            let backend = cell.axes.iter().any(|(axis, _)| axis == "backend");
            let hint = "the backend is not part of what a run is, so it cannot be compared within a sweep.";
            faults.push(if backend { fault.hint(hint) } else { fault });
        } else if !labels.insert(label) {
            faults.push(
                experiment.fault("sweep", format!("two different cells are called `{label}`")),
            );
        }
    }
    faults
}

/// Wishes for the report that name axes or values which no cell has.
fn wish_faults(cells: &[Cell], axes: &Axes<'_>, experiment: &ExperimentSpec) -> Vec<Fault> {
    let wishes = &experiment.wishes;
    let headline = wishes.headline.iter().enumerate();
    let tables =
        headline.map(|(index, family)| (format!("report.headline.{index}.where"), &family.cells));
    let mut faults = vec![];
    for (path, table) in tables.chain([("report.baseline".to_owned(), &wishes.baseline)]) {
        let held = |cell: &Cell| {
            table
                .iter()
                .all(|(axis, label)| cell.axes.contains(&(axis.clone(), label.clone())))
        };
        let unknown = table
            .keys()
            .filter_map(|axis| unknown_axis(&path, axis, axes, experiment));
        let before = faults.len();
        faults.extend(unknown);
        if faults.len() == before && !cells.iter().any(held) {
            faults.push(
                experiment
                    .fault(&path, "no cell has these values")
                    .hint(values_of(cells, table.keys())),
            );
        }
    }
    let regimes = wishes.regimes.iter().flatten();
    faults
        .extend(regimes.filter_map(|axis| unknown_axis("report.regimes", axis, axes, experiment)));
    faults
}

fn unknown_axis(
    path: &str,
    name: &str,
    axes: &Axes<'_>,
    experiment: &ExperimentSpec,
) -> Option<Fault> {
    if axes.names.iter().any(|axis| axis == name) {
        return None;
    }
    let fault = experiment.fault(path, format!("`{name}` is not an axis of this sweep"));
    let meant = nearest(name, axes.names.iter().map(String::as_str));
    let all = axes
        .names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    Some(match meant {
        Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
        None => fault.hint(format!("its axes: {all}.")),
    })
}

/// The values that cells have on some axes.
fn values_of<'a>(cells: &[Cell], axes: impl Iterator<Item = &'a String>) -> String {
    let told = axes.map(|axis| {
        let mut labels: Vec<&str> = vec![];
        for (_, label) in cells
            .iter()
            .flat_map(|cell| &cell.axes)
            .filter(|(name, _)| name == axis)
        {
            if !labels.contains(&label.as_str()) {
                labels.push(label);
            }
        }
        format!(
            "`{axis}` is one of {}",
            labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect::<Vec<_>>()
                .join(", ")
        )
    });
    format!("{}.", told.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests;
