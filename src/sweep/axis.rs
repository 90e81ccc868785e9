//! The axes of a sweep, and one cell in the making.
//!
//! Responsible for what an axis is called, which value the baseline has on it, and what a list of
//! (axis, value) pairs sets. Must not know how axes are combined.

use crate::config::{
    AxisValue, Baseline, Diagnostic, FieldOverride, SweepAxis, SweepSpec, nearest_name,
};

/// A cell in the making: what it sets, and its value on every axis.
#[derive(Clone, Debug)]
pub(super) struct CellBuilder {
    pub(super) overrides: Vec<FieldOverride>,
    pub(super) axis_labels: Vec<String>,
}

impl CellBuilder {
    /// Moves the cell to a value of the `index`-th axis.
    pub(super) fn set_axis_value(&mut self, index: usize, value: &AxisValue) {
        self.overrides.extend_from_slice(&value.overrides);
        self.axis_labels[index].clone_from(&value.label);
    }
}

/// Every axis of a sweep, those included that only spelled-out cells move along.
#[derive(Debug)]
pub(super) struct SweepAxes<'a> {
    baseline_config: &'a Baseline,
    declared_axes: &'a [SweepAxis],
    /// Names of all axes, in the order of the file.
    pub(super) axis_names: Vec<String>,
    /// The baseline's value on each axis.
    pub(super) baseline_labels: Vec<String>,
}

impl<'a> SweepAxes<'a> {
    pub(super) fn new(template: &'a Baseline, sweep: &'a SweepSpec) -> Self {
        let mut names: Vec<String> = sweep.axes.iter().map(|axis| axis.name.clone()).collect();
        for setting in sweep.list.iter().flat_map(|cell| &cell.overrides) {
            if !names.contains(&setting.path) {
                names.push(setting.path.clone());
            }
        }
        let axes = Self {
            baseline_config: template,
            declared_axes: &sweep.axes,
            axis_names: names,
            baseline_labels: vec![],
        };
        let baseline = axes
            .axis_names
            .iter()
            .map(|name| axes.baseline_label(name))
            .collect();
        Self {
            baseline_labels: baseline,
            ..axes
        }
    }

    fn declared_axis(&self, name: &str) -> Option<&'a SweepAxis> {
        self.declared_axes.iter().find(|axis| axis.name == name)
    }

    /// What the baseline is called on an axis: the value that changes nothing, if there is one.
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
            None => self.baseline_config.label(name),
        }
    }

    /// Whether a value changes nothing about the baseline.
    pub(super) fn is_baseline_value(&self, value: &AxisValue) -> bool {
        self.baseline_config
            .with_overrides(&value.overrides)
            .is_ok_and(|spec| spec == *self.baseline_config.run_spec())
    }

    /// The cell that changes nothing.
    pub(super) fn baseline_cell(&self) -> CellBuilder {
        CellBuilder {
            overrides: vec![],
            axis_labels: self.baseline_labels.clone(),
        }
    }

    /// The cell that some pairs of axis or field and value spell out.
    pub(super) fn listed_cell(&self, pairs: &[FieldOverride]) -> Result<CellBuilder, Diagnostic> {
        let mut draft = self.baseline_cell();
        for pair in pairs {
            let index = self.axis_names.iter().position(|name| *name == pair.path);
            let index = index.expect("every pair of a spelled-out cell has its axis");
            if let Some(axis) = self.declared_axis(&pair.path).filter(|axis| axis.is_named) {
                draft.set_axis_value(index, find_named_value(axis, pair)?);
            } else {
                draft.overrides.push(pair.clone());
                draft.axis_labels[index] = pair.label();
            }
        }
        Ok(draft)
    }

    /// Whether a cell has all of these values.
    pub(super) fn matches_cell(
        &self,
        draft: &CellBuilder,
        pairs: &[FieldOverride],
    ) -> Result<bool, Diagnostic> {
        for pair in pairs {
            let index = self.axis_names.iter().position(|name| *name == pair.path);
            let label = index.map(|index| draft.axis_labels[index].as_str());
            let named = self.declared_axis(&pair.path).filter(|axis| axis.is_named);
            if label == Some(pair.label().as_str()) {
                continue;
            }
            if let Some(axis) = named {
                find_named_value(axis, pair)?;
                return Ok(false);
            }
            if !self.baseline_config.has_value(&draft.overrides, pair)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The value of a named axis that a pair asks for by its label.
fn find_named_value<'a>(
    axis: &'a SweepAxis,
    pair: &FieldOverride,
) -> Result<&'a AxisValue, Diagnostic> {
    let wanted = pair.label();
    axis.values
        .iter()
        .find(|value| value.label == wanted)
        .ok_or_else(|| {
            let labels: Vec<&str> = axis
                .values
                .iter()
                .map(|value| value.label.as_str())
                .collect();
            let fault = pair.diagnostic(format!("axis `{}` has no value `{wanted}`", axis.name));
            let meant = nearest_name(&wanted, labels.iter().copied())
                .map(|meant| format!("did you mean `{meant}`?"));
            let all = format!(
                "it has: {}.",
                labels
                    .iter()
                    .map(|label| format!("`{label}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            );
            meant
                .into_iter()
                .chain([all])
                .fold(fault, Diagnostic::with_hint)
        })
}

/// What is wrong with the axes themselves.
pub(super) fn axis_diagnostics(sweep: &SweepSpec) -> Vec<Diagnostic> {
    let mut faults = vec![];
    for (index, axis) in sweep.axes.iter().enumerate() {
        if sweep.axes[..index]
            .iter()
            .any(|other| other.name == axis.name)
        {
            faults.push(axis.diagnostic(format!("axis `{}` is there twice", axis.name)));
        }
        if axis.values.is_empty() {
            faults.push(
                axis.diagnostic(format!("axis `{}` has no values", axis.name))
                    .with_hint("list values or remove the axis."),
            );
        }
        for (index, value) in axis.values.iter().enumerate() {
            if axis.values[..index]
                .iter()
                .any(|other| other.label == value.label)
            {
                faults.push(value.diagnostic(format!(
                    "axis `{}` has the value `{}` twice",
                    axis.name, value.label
                )));
            }
        }
    }
    faults
}
