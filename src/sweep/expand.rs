//! From an experiment to its cells: every run, with its label and its value on every axis.
//!
//! Responsible for how axes are combined and for refusing sweeps in which two cells are the same.
//! Must not know how settings are written or checked, nor what happens to a cell.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{
    AxisValue, ConfigError, Diagnostic, ExperimentSpec, ListedCell, RunSpec, SweepMode, SweepSpec,
    nearest_name,
};
use crate::domain::Key;

use super::axis::{self, CellBuilder, SweepAxes};

/// One run of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepCell {
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
pub fn expand_experiment(experiment: &ExperimentSpec) -> Result<Vec<SweepCell>, ConfigError> {
    let sweep = &experiment.sweep;
    check_diagnostics(axis::axis_diagnostics(sweep))?;
    check_diagnostics(mode_diagnostics(experiment))?;
    let axes = SweepAxes::new(&experiment.baseline, sweep);
    let mut drafts = combine_axes(sweep, &axes);
    for cell in &sweep.list {
        drafts.push(axes.listed_cell(&cell.overrides)?);
    }
    let drafts = remove_excluded(drafts, sweep, &axes)?;
    if drafts.is_empty() {
        return Err(experiment
            .diagnostic("sweep", "every cell is excluded")
            .into());
    }
    let seeds = cell_seeds(&drafts, experiment, &axes)?;
    let mut cells = vec![];
    let mut faults = vec![];
    for (draft, seeds) in drafts.iter().zip(seeds) {
        match experiment.baseline.with_overrides(&draft.overrides) {
            Ok(spec) => cells.extend(
                seeds
                    .iter()
                    .map(|&seed| build_cell(draft, &axes, sweep.mode, &spec, seed)),
            ),
            Err(more) => {
                faults.extend(
                    more.into_iter()
                        .map(|fault| with_cell_hint(fault, draft, &axes, sweep.mode)),
                );
            }
        }
    }
    check_diagnostics(faults)?;
    check_diagnostics(duplicate_cell_diagnostics(&cells, experiment))?;
    check_diagnostics(report_option_diagnostics(&cells, &axes, experiment))?;
    Ok(cells)
}

/// Stops if there are faults; those of one cause that show in several cells are told once.
fn check_diagnostics(faults: Vec<Diagnostic>) -> Result<(), ConfigError> {
    const SHOWN: usize = 12;
    let mut told: Vec<Diagnostic> = vec![];
    for fault in faults {
        let known = |other: &Diagnostic| other.has_same_cause(&fault);
        if told.len() < SHOWN && !told.iter().any(known) {
            told.push(fault);
        }
    }
    if told.is_empty() {
        Ok(())
    } else {
        Err(ConfigError::Invalid(told))
    }
}

/// What is wrong with the way in which axes are to be combined.
fn mode_diagnostics(experiment: &ExperimentSpec) -> Vec<Diagnostic> {
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
    let by_path = sweep.axes.iter().find(|axis| !axis.is_named);
    match sweep.mode {
        SweepMode::Zip if uneven => {
            let complaint = format!(
                "`zip` takes one value of each axis at a time, but {}",
                lengths.join(", ")
            );
            vec![
                experiment
                    .diagnostic("sweep.mode", complaint)
                    .with_hint("give every axis as many values."),
            ]
        }
        SweepMode::List if sweep.list.is_empty() => {
            vec![experiment.diagnostic(
                "sweep.mode",
                "`list` runs the cells of [[sweep.list]], and there are none",
            )]
        }
        SweepMode::List => by_path
            .map(|axis| {
                axis.diagnostic(format!(
                    "mode `list` makes no cells of axis `{}`",
                    axis.name
                ))
            })
            .map(|fault| {
                fault.with_hint("choose another mode, or write its values into [[sweep.list]].")
            })
            .into_iter()
            .collect(),
        _ => vec![],
    }
}

/// The cells that the axes make.
fn combine_axes(sweep: &SweepSpec, axes: &SweepAxes<'_>) -> Vec<CellBuilder> {
    match sweep.mode {
        SweepMode::List => vec![],
        SweepMode::Grid => grid(sweep, axes),
        SweepMode::Zip => zip(sweep, axes),
        SweepMode::OneAtATime => one_at_a_time(sweep, axes),
    }
}

/// Every combination; the last axis changes fastest.
fn grid(sweep: &SweepSpec, axes: &SweepAxes<'_>) -> Vec<CellBuilder> {
    sweep
        .axes
        .iter()
        .enumerate()
        .fold(vec![axes.baseline_cell()], |drafts, (index, axis)| {
            let moved = drafts
                .iter()
                .flat_map(|draft| axis.values.iter().map(move |value| (draft, value)));
            moved
                .map(|(draft, value)| with_axis_value(draft, index, value))
                .collect()
        })
}

/// The first values together, the second values together, and so on; the baseline if nothing varies.
fn zip(sweep: &SweepSpec, axes: &SweepAxes<'_>) -> Vec<CellBuilder> {
    let length = sweep.axes.first().map_or(1, |axis| axis.values.len());
    let row = |row: usize| {
        let values = sweep
            .axes
            .iter()
            .enumerate()
            .map(|(index, axis)| (index, &axis.values[row]));
        values.fold(axes.baseline_cell(), |draft, (index, value)| {
            with_axis_value(&draft, index, value)
        })
    };
    (0..length).map(row).collect()
}

/// The baseline, then each other value of each axis alone.
fn one_at_a_time(sweep: &SweepSpec, axes: &SweepAxes<'_>) -> Vec<CellBuilder> {
    let start = axes.baseline_cell();
    let values = sweep
        .axes
        .iter()
        .enumerate()
        .flat_map(|(index, axis)| axis.values.iter().map(move |v| (index, v)));
    let others = values.filter(|(_, value)| !axes.is_baseline_value(value));
    let moved: Vec<CellBuilder> = others
        .map(|(index, value)| with_axis_value(&start, index, value))
        .collect();
    [start].into_iter().chain(moved).collect()
}

fn with_axis_value(draft: &CellBuilder, index: usize, value: &AxisValue) -> CellBuilder {
    let mut draft = draft.clone();
    draft.set_axis_value(index, value);
    draft
}

fn remove_excluded(
    drafts: Vec<CellBuilder>,
    sweep: &SweepSpec,
    axes: &SweepAxes<'_>,
) -> Result<Vec<CellBuilder>, ConfigError> {
    let mut excluded = vec![false; drafts.len()];
    for exclusion in &sweep.exclude {
        for index in matching_cells(&drafts, exclusion, axes, "this exclusion")? {
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
fn cell_seeds(
    drafts: &[CellBuilder],
    experiment: &ExperimentSpec,
    axes: &SweepAxes<'_>,
) -> Result<Vec<Vec<u64>>, ConfigError> {
    let mut seeds = vec![experiment.seeds.clone(); drafts.len()];
    for rule in &experiment.sweep.seed_overrides {
        for index in matching_cells(drafts, &rule.cells, axes, "this rule for seeds")? {
            seeds[index].clone_from(&rule.seeds);
        }
    }
    Ok(seeds)
}

/// The cells that have all values of a table; at least one.
fn matching_cells(
    drafts: &[CellBuilder],
    table: &ListedCell,
    axes: &SweepAxes<'_>,
    what: &str,
) -> Result<Vec<usize>, ConfigError> {
    let mut found = vec![];
    for (index, draft) in drafts.iter().enumerate() {
        if axes.matches_cell(draft, &table.overrides)? {
            found.push(index);
        }
    }
    if found.is_empty() {
        Err(table.diagnostic(format!("{what} fits no cell")).into())
    } else {
        Ok(found)
    }
}

fn build_cell(
    draft: &CellBuilder,
    axes: &SweepAxes<'_>,
    mode: SweepMode,
    spec: &RunSpec,
    seed: u64,
) -> SweepCell {
    SweepCell {
        label: format!("{} seed={seed}", cell_name(draft, axes, mode)),
        axes: axes
            .axis_names
            .iter()
            .cloned()
            .zip(draft.axis_labels.iter().cloned())
            .collect(),
        spec: RunSpec {
            seed,
            ..spec.clone()
        },
    }
}

/// A cell's name without its seed: all axes where cells are combinations, only what differs from
/// the baseline where that is what makes a cell.
fn cell_name(draft: &CellBuilder, axes: &SweepAxes<'_>, mode: SweepMode) -> String {
    let all = matches!(mode, SweepMode::Grid | SweepMode::Zip);
    let values = axes
        .axis_names
        .iter()
        .zip(&draft.axis_labels)
        .zip(&axes.baseline_labels);
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

fn with_cell_hint(
    fault: Diagnostic,
    draft: &CellBuilder,
    axes: &SweepAxes<'_>,
    mode: SweepMode,
) -> Diagnostic {
    fault.with_hint(format!("in cell `{}`.", cell_name(draft, axes, mode)))
}

/// Cells that are the same run, or that cannot be told apart by their labels.
fn duplicate_cell_diagnostics(cells: &[SweepCell], experiment: &ExperimentSpec) -> Vec<Diagnostic> {
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
                .diagnostic("sweep", complaint)
                .with_hint("leave one of them out.");
            let backend = cell.axes.iter().any(|(axis, _)| axis == "backend");
            let hint = "the backend is not part of what a run is, so it cannot be compared within a sweep.";
            faults.push(if backend {
                fault.with_hint(hint)
            } else {
                fault
            });
        } else if !labels.insert(label) {
            faults.push(
                experiment.diagnostic("sweep", format!("two different cells are called `{label}`")),
            );
        }
    }
    faults
}

/// Wishes for the report that name axes or values which no cell has.
fn report_option_diagnostics(
    cells: &[SweepCell],
    axes: &SweepAxes<'_>,
    experiment: &ExperimentSpec,
) -> Vec<Diagnostic> {
    let wishes = &experiment.report_options;
    let headline = wishes.headline.iter().enumerate();
    let tables = headline
        .map(|(index, family)| (format!("report.headline.{index}.where"), &family.selector));
    let mut faults = vec![];
    for (path, table) in tables.chain([("report.baseline".to_owned(), &wishes.baseline)]) {
        let held = |cell: &SweepCell| {
            table
                .iter()
                .all(|(axis, label)| cell.axes.contains(&(axis.clone(), label.clone())))
        };
        let unknown = table
            .keys()
            .filter_map(|axis| unknown_axis_diagnostic(&path, axis, axes, experiment));
        let before = faults.len();
        faults.extend(unknown);
        if faults.len() == before && !cells.iter().any(held) {
            faults.push(
                experiment
                    .diagnostic(&path, "no cell has these values")
                    .with_hint(describe_axis_values(cells, table.keys())),
            );
        }
    }
    let regimes = wishes.regimes.iter().flatten();
    faults.extend(
        regimes
            .filter_map(|axis| unknown_axis_diagnostic("report.regimes", axis, axes, experiment)),
    );
    faults
}

fn unknown_axis_diagnostic(
    path: &str,
    name: &str,
    axes: &SweepAxes<'_>,
    experiment: &ExperimentSpec,
) -> Option<Diagnostic> {
    if axes.axis_names.iter().any(|axis| axis == name) {
        return None;
    }
    let fault = experiment.diagnostic(path, format!("`{name}` is not an axis of this sweep"));
    let meant = nearest_name(name, axes.axis_names.iter().map(String::as_str));
    let all = axes
        .axis_names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    Some(match meant {
        Some(meant) => fault.with_hint(format!("did you mean `{meant}`?")),
        None => fault.with_hint(format!("its axes: {all}.")),
    })
}

/// The values that cells have on some axes.
fn describe_axis_values<'a>(cells: &[SweepCell], axes: impl Iterator<Item = &'a String>) -> String {
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
