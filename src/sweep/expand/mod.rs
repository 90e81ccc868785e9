//! From an experiment to its cells: every run, with its label and its value on every axis.
//!
//! ```text
//! axes  the axes, their combinations and the names of cells
//! mod   seeds, exclusions, and the refusal of sweeps that contradict themselves
//! ```
//!
//! Must not know how settings are written or checked.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{ConfigError, Diagnostic, ExperimentSpec, RunSpec, SweepMode};
use crate::domain::Key;

use self::axes::{CellBuilder, SweepAxes, axis_diagnostics, quoted_list};

mod axes;
#[cfg(test)]
mod tests;

/// One run of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepCell {
    /// Readable name, e.g. `weighting=exp(0.4) collect.teacher=reference seed=0`.
    pub label: String,
    /// (axis, short label of its value) for every axis of the sweep, without the seed.
    pub axes: Vec<(String, String)>,
    /// The run's settings.
    pub spec: RunSpec,
}

/// Expands an experiment into its cells: the combinations of the axes, then the listed cells;
/// each with all of its seeds.
///
/// # Errors
/// If an axis or cell cannot be read, is empty or contradicts itself, if two cells are the same
/// run, or if an exclusion, a seed rule or a report option fits no cell.
pub fn expand_experiment(experiment: &ExperimentSpec) -> Result<Vec<SweepCell>, ConfigError> {
    let sweep = &experiment.sweep;
    check_diagnostics(axis_diagnostics(sweep))?;
    check_diagnostics(mode_diagnostics(experiment))?;
    let axes = SweepAxes::new(&experiment.baseline, sweep);
    let builders = remove_excluded(axes.cells()?, experiment, &axes)?;
    let seeds = cell_seeds(&builders, experiment, &axes)?;
    let mut cells = vec![];
    let mut diagnostics = vec![];
    for (builder, seeds) in builders.iter().zip(seeds) {
        match experiment.baseline.with_overrides(&builder.overrides) {
            Ok(spec) => cells.extend(
                seeds
                    .iter()
                    .map(|&seed| axes.build_cell(builder, &spec, seed)),
            ),
            Err(more) => {
                let hint = format!("in cell `{}`.", axes.cell_name(builder));
                diagnostics.extend(more.into_iter().map(|error| error.with_hint(hint.clone())));
            }
        }
    }
    check_diagnostics(diagnostics)?;
    check_diagnostics(duplicate_cell_diagnostics(&cells, experiment))?;
    check_diagnostics(report_option_diagnostics(&cells, &axes, experiment))?;
    Ok(cells)
}

/// Fails on the first dozen diagnostics; one cause that shows in several cells counts once.
fn check_diagnostics(diagnostics: Vec<Diagnostic>) -> Result<(), ConfigError> {
    const MAX_SHOWN: usize = 12;
    let mut shown: Vec<Diagnostic> = vec![];
    for diagnostic in diagnostics {
        if shown.len() < MAX_SHOWN && !shown.iter().any(|other| other.has_same_cause(&diagnostic)) {
            shown.push(diagnostic);
        }
    }
    if shown.is_empty() {
        Ok(())
    } else {
        Err(ConfigError::Invalid(shown))
    }
}

/// Errors of the sweep's mode: axes of unequal length for `zip`, nothing to list for `list`.
fn mode_diagnostics(experiment: &ExperimentSpec) -> Vec<Diagnostic> {
    let sweep = &experiment.sweep;
    match sweep.mode {
        SweepMode::Zip => uneven_axes_diagnostic(experiment).into_iter().collect(),
        SweepMode::List if sweep.list.is_empty() => vec![experiment.diagnostic(
            "sweep.mode",
            "`list` runs the cells of [[sweep.list]], and there are none",
        )],
        SweepMode::List => sweep
            .axes
            .iter()
            .find(|axis| !axis.is_named)
            .map(|axis| {
                axis.diagnostic(format!(
                    "mode `list` makes no cells of axis `{}`",
                    axis.name
                ))
                .with_hint("choose another mode, or write its values into [[sweep.list]].")
            })
            .into_iter()
            .collect(),
        SweepMode::Grid | SweepMode::OneAtATime => vec![],
    }
}

fn uneven_axes_diagnostic(experiment: &ExperimentSpec) -> Option<Diagnostic> {
    let axes = &experiment.sweep.axes;
    if axes
        .windows(2)
        .all(|pair| pair[0].values.len() == pair[1].values.len())
    {
        return None;
    }
    let lengths: Vec<String> = axes
        .iter()
        .map(|axis| format!("`{}` has {}", axis.name, axis.values.len()))
        .collect();
    let message = format!(
        "`zip` takes one value of each axis at a time, but {}",
        lengths.join(", ")
    );
    Some(
        experiment
            .diagnostic("sweep.mode", message)
            .with_hint("give every axis as many values."),
    )
}

fn remove_excluded(
    cells: Vec<CellBuilder>,
    experiment: &ExperimentSpec,
    axes: &SweepAxes<'_>,
) -> Result<Vec<CellBuilder>, ConfigError> {
    let mut excluded = BTreeSet::new();
    for exclusion in &experiment.sweep.exclude {
        excluded.extend(axes.matching_cells(&cells, exclusion, "this exclusion")?);
    }
    if excluded.len() == cells.len() {
        return Err(experiment
            .diagnostic("sweep", "every cell is excluded")
            .into());
    }
    Ok((0..)
        .zip(cells)
        .filter(|(index, _)| !excluded.contains(index))
        .map(|(_, cell)| cell)
        .collect())
}

/// The seeds of each cell.
fn cell_seeds(
    cells: &[CellBuilder],
    experiment: &ExperimentSpec,
    axes: &SweepAxes<'_>,
) -> Result<Vec<Vec<u64>>, ConfigError> {
    let mut seeds = vec![experiment.seeds.clone(); cells.len()];
    for rule in &experiment.sweep.seed_overrides {
        for index in axes.matching_cells(cells, &rule.cells, "this rule for seeds")? {
            seeds[index].clone_from(&rule.seeds);
        }
    }
    Ok(seeds)
}

/// Cells that are the same run, or that share a label.
fn duplicate_cell_diagnostics(cells: &[SweepCell], experiment: &ExperimentSpec) -> Vec<Diagnostic> {
    let mut keys: BTreeMap<Key, &str> = BTreeMap::new();
    let mut labels = BTreeSet::new();
    let mut diagnostics = vec![];
    for cell in cells {
        let label = cell.label.as_str();
        if let Some(first) = keys.insert(cell.spec.key(), label) {
            let message = if first == label {
                format!("cell `{label}` is there twice")
            } else {
                format!("cells `{first}` and `{label}` are the same run")
            };
            let mut diagnostic = experiment
                .diagnostic("sweep", message)
                .with_hint("leave one of them out.");
            if cell.axes.iter().any(|(axis, _)| axis == "backend") {
                diagnostic = diagnostic.with_hint(
                    "the backend is not part of a run's key, so a sweep cannot compare backends.",
                );
            }
            diagnostics.push(diagnostic);
        } else if !labels.insert(label) {
            let message = format!("two different cells are called `{label}`");
            diagnostics.push(experiment.diagnostic("sweep", message));
        }
    }
    diagnostics
}

/// Report options that name an axis or a value that no cell has.
fn report_option_diagnostics(
    cells: &[SweepCell],
    axes: &SweepAxes<'_>,
    experiment: &ExperimentSpec,
) -> Vec<Diagnostic> {
    let options = &experiment.report_options;
    let headline = options.headline.iter().enumerate();
    let tables = headline
        .map(|(index, family)| (format!("report.headline.{index}.where"), &family.selector));
    let mut diagnostics = vec![];
    for (path, table) in tables.chain([("report.baseline".to_owned(), &options.baseline)]) {
        let unknown = unknown_axis_diagnostics(&path, table.keys(), axes, experiment);
        let is_some_cell = cells.iter().any(|cell| {
            table
                .iter()
                .all(|(axis, label)| cell.axes.contains(&(axis.clone(), label.clone())))
        });
        if unknown.is_empty() && !is_some_cell {
            diagnostics.push(
                experiment
                    .diagnostic(&path, "no cell has these values")
                    .with_hint(describe_axis_values(cells, table.keys())),
            );
        }
        diagnostics.extend(unknown);
    }
    let regimes = options.regimes.iter().flatten();
    diagnostics.extend(unknown_axis_diagnostics(
        "report.regimes",
        regimes,
        axes,
        experiment,
    ));
    diagnostics
}

fn unknown_axis_diagnostics<'a>(
    path: &str,
    names: impl Iterator<Item = &'a String>,
    axes: &SweepAxes<'_>,
    experiment: &ExperimentSpec,
) -> Vec<Diagnostic> {
    names
        .filter_map(|name| {
            let hint = axes.unknown_axis_hint(name)?;
            let message = format!("`{name}` is not an axis of this sweep");
            Some(experiment.diagnostic(path, message).with_hint(hint))
        })
        .collect()
}

/// The values that cells have on some axes.
fn describe_axis_values<'a>(cells: &[SweepCell], axes: impl Iterator<Item = &'a String>) -> String {
    let values: Vec<String> = axes
        .map(|axis| {
            let mut labels: Vec<&str> = vec![];
            for (name, label) in cells.iter().flat_map(|cell| &cell.axes) {
                if name == axis && !labels.contains(&label.as_str()) {
                    labels.push(label);
                }
            }
            format!("`{axis}` is one of {}", quoted_list(&labels))
        })
        .collect();
    format!("{}.", values.join("; "))
}
