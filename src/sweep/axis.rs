//! The axes of a sweep, and one cell in the making.
//!
//! Responsible for what an axis is called, which value the baseline has on it, and what a list of
//! (axis, value) pairs sets. Must not know how axes are combined.

use crate::spec::{Axis, AxisValue, Fault, Setting, SweepSpec, Template, nearest};

/// A cell in the making: what it sets, and its value on every axis.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) settings: Vec<Setting>,
    pub(super) labels: Vec<String>,
}

impl Draft {
    /// Moves the cell to a value of the `index`-th axis.
    pub(super) fn place(&mut self, index: usize, value: &AxisValue) {
        self.settings.extend_from_slice(&value.settings);
        self.labels[index].clone_from(&value.label);
    }
}

/// Every axis of a sweep, those included that only spelled-out cells move along.
#[derive(Debug)]
pub(super) struct Axes<'a> {
    template: &'a Template,
    declared: &'a [Axis],
    /// Names of all axes, in the order of the file.
    pub(super) names: Vec<String>,
    /// The baseline's value on each axis.
    pub(super) baseline: Vec<String>,
}

impl<'a> Axes<'a> {
    pub(super) fn of(template: &'a Template, sweep: &'a SweepSpec) -> Self {
        let mut names: Vec<String> = sweep.axes.iter().map(|axis| axis.name.clone()).collect();
        for setting in sweep.list.iter().flat_map(|cell| &cell.settings) {
            if !names.contains(&setting.path) {
                names.push(setting.path.clone());
            }
        }
        let axes = Self {
            template,
            declared: &sweep.axes,
            names,
            baseline: vec![],
        };
        let baseline = axes
            .names
            .iter()
            .map(|name| axes.baseline_label(name))
            .collect();
        Self { baseline, ..axes }
    }

    fn declared(&self, name: &str) -> Option<&'a Axis> {
        self.declared.iter().find(|axis| axis.name == name)
    }

    /// What the baseline is called on an axis: the value that changes nothing, if there is one.
    fn baseline_label(&self, name: &str) -> String {
        let axis = self.declared(name);
        let same = axis.and_then(|axis| axis.values.iter().find(|value| self.is_baseline(value)));
        match same {
            Some(value) => value.label.clone(),
            None if axis.is_some_and(|axis| axis.named) => "baseline".to_owned(),
            None => self.template.label(name),
        }
    }

    /// Whether a value changes nothing about the baseline.
    pub(super) fn is_baseline(&self, value: &AxisValue) -> bool {
        self.template
            .with(&value.settings)
            .is_ok_and(|spec| spec == *self.template.baseline())
    }

    /// The cell that changes nothing.
    pub(super) fn start(&self) -> Draft {
        Draft {
            settings: vec![],
            labels: self.baseline.clone(),
        }
    }

    /// The cell that some pairs of axis or field and value spell out.
    pub(super) fn spelled_out(&self, pairs: &[Setting]) -> Result<Draft, Fault> {
        let mut draft = self.start();
        for pair in pairs {
            let index = self.names.iter().position(|name| *name == pair.path);
            let index = index.expect("every pair of a spelled-out cell has its axis");
            if let Some(axis) = self.declared(&pair.path).filter(|axis| axis.named) {
                draft.place(index, named_value(axis, pair)?);
            } else {
                draft.settings.push(pair.clone());
                draft.labels[index] = pair.label();
            }
        }
        Ok(draft)
    }

    /// Whether a cell has all of these values.
    pub(super) fn matches(&self, draft: &Draft, pairs: &[Setting]) -> Result<bool, Fault> {
        for pair in pairs {
            let index = self.names.iter().position(|name| *name == pair.path);
            let label = index.map(|index| draft.labels[index].as_str());
            let named = self.declared(&pair.path).filter(|axis| axis.named);
            if label == Some(pair.label().as_str()) {
                continue;
            }
            if let Some(axis) = named {
                named_value(axis, pair)?;
                return Ok(false);
            }
            if !self.template.holds(&draft.settings, pair)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The value of a named axis that a pair asks for by its label.
fn named_value<'a>(axis: &'a Axis, pair: &Setting) -> Result<&'a AxisValue, Fault> {
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
            let fault = pair.fault(format!("axis `{}` has no value `{wanted}`", axis.name));
            let meant = nearest(&wanted, labels.iter().copied())
                .map(|meant| format!("did you mean `{meant}`?"));
            let all = format!(
                "it has: {}.",
                labels
                    .iter()
                    .map(|label| format!("`{label}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            );
            meant.into_iter().chain([all]).fold(fault, Fault::hint)
        })
}

/// What is wrong with the axes themselves.
pub(super) fn faults(sweep: &SweepSpec) -> Vec<Fault> {
    let mut faults = vec![];
    for (index, axis) in sweep.axes.iter().enumerate() {
        if sweep.axes[..index]
            .iter()
            .any(|other| other.name == axis.name)
        {
            faults.push(axis.fault(format!("axis `{}` is there twice", axis.name)));
        }
        if axis.values.is_empty() {
            faults.push(
                axis.fault(format!("axis `{}` has no values", axis.name))
                    .hint("list values or remove the axis."),
            );
        }
        for (index, value) in axis.values.iter().enumerate() {
            if axis.values[..index]
                .iter()
                .any(|other| other.label == value.label)
            {
                faults.push(value.fault(format!(
                    "axis `{}` has the value `{}` twice",
                    axis.name, value.label
                )));
            }
        }
    }
    faults
}
