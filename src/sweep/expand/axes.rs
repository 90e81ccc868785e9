//! The axes of a sweep, and how they combine into cells.

use crate::config::{
    AxisValue, Baseline, Diagnostic, FieldOverride, ListedCell, RunSpec, SweepAxis, SweepMode,
    SweepSpec, nearest_name,
};

use super::SweepCell;

/// A cell in the making: its overrides, and its value on every axis.
#[derive(Clone, Debug)]
pub(super) struct CellBuilder {
    pub(super) overrides: Vec<FieldOverride>,
    axis_labels: Vec<String>,
}

impl CellBuilder {
    /// The same cell at another value of the `index`-th axis.
    fn with_axis_value(&self, index: usize, value: &AxisValue) -> Self {
        let mut cell = self.clone();
        cell.overrides.extend_from_slice(&value.overrides);
        cell.axis_labels[index].clone_from(&value.label);
        cell
    }
}

/// Every axis of a sweep, including those that only listed cells use.
#[derive(Debug)]
pub(super) struct SweepAxes<'a> {
    baseline: &'a Baseline,
    sweep: &'a SweepSpec,
    /// Names of all axes, in the order of the file.
    names: Vec<String>,
    /// The baseline's value on each axis.
    baseline_labels: Vec<String>,
}

impl<'a> SweepAxes<'a> {
    pub(super) fn new(baseline: &'a Baseline, sweep: &'a SweepSpec) -> Self {
        let mut names: Vec<String> = sweep.axes.iter().map(|axis| axis.name.clone()).collect();
        for setting in sweep.list.iter().flat_map(|cell| &cell.overrides) {
            if !names.contains(&setting.path) {
                names.push(setting.path.clone());
            }
        }
        let mut axes = Self {
            baseline,
            sweep,
            names,
            baseline_labels: vec![],
        };
        axes.baseline_labels = axes
            .names
            .iter()
            .map(|name| axes.baseline_label(name))
            .collect();
        axes
    }

    fn declared_axis(&self, name: &str) -> Option<&'a SweepAxis> {
        self.sweep.axes.iter().find(|axis| axis.name == name)
    }

    fn named_axis(&self, name: &str) -> Option<&'a SweepAxis> {
        self.declared_axis(name).filter(|axis| axis.is_named)
    }

    /// The baseline's label on an axis: that of the value that changes nothing, if there is one.
    fn baseline_label(&self, name: &str) -> String {
        let axis = self.declared_axis(name);
        let same = axis.and_then(|axis| {
            axis.values
                .iter()
                .find(|value| self.is_baseline_value(value))
        });
        match same {
            Some(value) => value.label.clone(),
            None if axis.is_some_and(|axis| axis.is_named) => "baseline".to_owned(),
            None => self.baseline.label(name),
        }
    }

    /// Whether a value changes nothing about the baseline.
    fn is_baseline_value(&self, value: &AxisValue) -> bool {
        self.baseline
            .with_overrides(&value.overrides)
            .is_ok_and(|spec| spec == *self.baseline.run_spec())
    }

    /// The cell that changes nothing.
    fn baseline_cell(&self) -> CellBuilder {
        CellBuilder {
            overrides: vec![],
            axis_labels: self.baseline_labels.clone(),
        }
    }

    /// All cells: the combinations of the axes, then the listed ones.
    pub(super) fn cells(&self) -> Result<Vec<CellBuilder>, Diagnostic> {
        let mut cells = match self.sweep.mode {
            SweepMode::List => vec![],
            SweepMode::Grid => self.grid(),
            SweepMode::Zip => self.zip(),
            SweepMode::OneAtATime => self.one_at_a_time(),
        };
        for listed in &self.sweep.list {
            cells.push(self.listed_cell(&listed.overrides)?);
        }
        Ok(cells)
    }

    /// Every combination; the last axis changes fastest.
    fn grid(&self) -> Vec<CellBuilder> {
        let mut cells = vec![self.baseline_cell()];
        for (index, axis) in self.sweep.axes.iter().enumerate() {
            cells = cells
                .iter()
                .flat_map(|cell| {
                    axis.values
                        .iter()
                        .map(move |value| cell.with_axis_value(index, value))
                })
                .collect();
        }
        cells
    }

    /// The first values together, the second values together, and so on; the baseline if there is
    /// no axis.
    fn zip(&self) -> Vec<CellBuilder> {
        let axes = &self.sweep.axes;
        (0..axes.first().map_or(1, |axis| axis.values.len()))
            .map(|row| {
                axes.iter()
                    .enumerate()
                    .fold(self.baseline_cell(), |cell, (index, axis)| {
                        cell.with_axis_value(index, &axis.values[row])
                    })
            })
            .collect()
    }

    /// The baseline, then each other value of each axis alone.
    fn one_at_a_time(&self) -> Vec<CellBuilder> {
        let baseline = self.baseline_cell();
        let mut cells = vec![baseline.clone()];
        for (index, axis) in self.sweep.axes.iter().enumerate() {
            cells.extend(
                axis.values
                    .iter()
                    .filter(|value| !self.is_baseline_value(value))
                    .map(|value| baseline.with_axis_value(index, value)),
            );
        }
        cells
    }

    /// The cell of a list of (axis or field, value) pairs.
    fn listed_cell(&self, pairs: &[FieldOverride]) -> Result<CellBuilder, Diagnostic> {
        let mut cell = self.baseline_cell();
        for pair in pairs {
            let index = self.names.iter().position(|name| *name == pair.path);
            let index = index.expect("every pair of a listed cell has its axis");
            if let Some(axis) = self.named_axis(&pair.path) {
                cell = cell.with_axis_value(index, find_named_value(axis, pair)?);
            } else {
                cell.overrides.push(pair.clone());
                cell.axis_labels[index] = pair.label();
            }
        }
        Ok(cell)
    }

    /// The indices of the cells that have all values of a table; at least one.
    pub(super) fn matching_cells(
        &self,
        cells: &[CellBuilder],
        table: &ListedCell,
        rule: &str,
    ) -> Result<Vec<usize>, Diagnostic> {
        let mut matching = vec![];
        for (index, cell) in cells.iter().enumerate() {
            if self.matches_cell(cell, &table.overrides)? {
                matching.push(index);
            }
        }
        if matching.is_empty() {
            return Err(table.diagnostic(format!("{rule} fits no cell")));
        }
        Ok(matching)
    }

    fn matches_cell(
        &self,
        cell: &CellBuilder,
        pairs: &[FieldOverride],
    ) -> Result<bool, Diagnostic> {
        for pair in pairs {
            let index = self.names.iter().position(|name| *name == pair.path);
            let label = index.map(|index| cell.axis_labels[index].as_str());
            if label == Some(pair.label().as_str()) {
                continue;
            }
            if let Some(axis) = self.named_axis(&pair.path) {
                find_named_value(axis, pair)?;
                return Ok(false);
            }
            if !self.baseline.has_value(&cell.overrides, pair)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A cell's name without its seed: all axes where cells are combinations, otherwise those
    /// that differ from the baseline.
    pub(super) fn cell_name(&self, cell: &CellBuilder) -> String {
        let all = matches!(self.sweep.mode, SweepMode::Grid | SweepMode::Zip);
        let values: Vec<String> = self
            .names
            .iter()
            .zip(&cell.axis_labels)
            .zip(&self.baseline_labels)
            .filter(|((_, label), baseline)| all || label != baseline)
            .map(|((axis, label), _)| format!("{axis}={label}"))
            .collect();
        if values.is_empty() {
            "baseline".to_owned()
        } else {
            values.join(" ")
        }
    }

    /// One run of a cell.
    pub(super) fn build_cell(&self, cell: &CellBuilder, spec: &RunSpec, seed: u64) -> SweepCell {
        SweepCell {
            label: format!("{} seed={seed}", self.cell_name(cell)),
            axes: self
                .names
                .iter()
                .cloned()
                .zip(cell.axis_labels.iter().cloned())
                .collect(),
            spec: RunSpec {
                seed,
                ..spec.clone()
            },
        }
    }

    /// A hint for a name that is not an axis; none for an axis.
    pub(super) fn unknown_axis_hint(&self, name: &str) -> Option<String> {
        if self.names.iter().any(|axis| axis == name) {
            return None;
        }
        let nearest = nearest_name(name, self.names.iter().map(String::as_str));
        Some(match nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("its axes: {}.", quoted_list(&self.names)),
        })
    }
}

/// Names in backticks, separated by commas.
pub(super) fn quoted_list<T: AsRef<str>>(names: &[T]) -> String {
    names
        .iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The value of a named axis with the label that a pair gives.
fn find_named_value<'a>(
    axis: &'a SweepAxis,
    pair: &FieldOverride,
) -> Result<&'a AxisValue, Diagnostic> {
    let wanted = pair.label();
    if let Some(value) = axis.values.iter().find(|value| value.label == wanted) {
        return Ok(value);
    }
    let labels: Vec<&str> = axis
        .values
        .iter()
        .map(|value| value.label.as_str())
        .collect();
    let mut diagnostic = pair.diagnostic(format!("axis `{}` has no value `{wanted}`", axis.name));
    if let Some(nearest) = nearest_name(&wanted, labels.iter().copied()) {
        diagnostic = diagnostic.with_hint(format!("did you mean `{nearest}`?"));
    }
    Err(diagnostic.with_hint(format!("it has: {}.", quoted_list(&labels))))
}

/// Errors of the axes themselves: repeated or empty axes, repeated values.
pub(super) fn axis_diagnostics(sweep: &SweepSpec) -> Vec<Diagnostic> {
    let mut diagnostics = vec![];
    for (index, axis) in sweep.axes.iter().enumerate() {
        let name = &axis.name;
        let before = &sweep.axes[..index];
        if before.iter().any(|other| other.name == *name) {
            diagnostics.push(axis.diagnostic(format!("axis `{name}` is there twice")));
        }
        if axis.values.is_empty() {
            diagnostics.push(
                axis.diagnostic(format!("axis `{name}` has no values"))
                    .with_hint("list values or remove the axis."),
            );
        }
        for (index, value) in axis.values.iter().enumerate() {
            let label = &value.label;
            let before = &axis.values[..index];
            if before.iter().any(|other| other.label == *label) {
                diagnostics
                    .push(value.diagnostic(format!("axis `{name}` has the value `{label}` twice")));
            }
        }
    }
    diagnostics
}
