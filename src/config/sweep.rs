//! `[sweep]` of an experiment file, before its expansion into cells.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::baseline::FieldOverride;
use super::deserialize::deserialize_all;
use super::diagnostic::{Diagnostic, SourceSpan};
use super::experiment::seeds_error;
use super::spanned_value::{SpannedValue, TomlValue, join_path};
use super::spelling::is_same_setting;
use super::value_label;

/// How the values of several axes are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SweepMode {
    /// Every combination.
    #[default]
    Grid,
    /// Only the cells that are spelled out.
    List,
    /// The first values together, the second values together, and so on.
    Zip,
    /// The baseline, and one axis changed at a time.
    #[serde(rename = "around")]
    OneAtATime,
}

/// One value of an axis.
#[derive(Clone, Debug)]
pub struct AxisValue {
    /// Its short name.
    pub label: String,
    /// The settings that it gives.
    pub overrides: Vec<FieldOverride>,
    pub(super) span: Option<SourceSpan>,
}

impl AxisValue {
    /// A fault of this value, shown where it is written.
    #[must_use]
    pub fn diagnostic(&self, complaint: impl Into<String>) -> Diagnostic {
        Diagnostic::new("", complaint).with_span(self.span.as_ref())
    }
}

/// Something that varies: one field, or several together under a name of their own.
#[derive(Clone, Debug)]
pub struct SweepAxis {
    /// The field's path, or the given name.
    pub name: String,
    /// Whether the values are named sets of several fields.
    pub is_named: bool,
    /// Its values, in the order of the file.
    pub values: Vec<AxisValue>,
    pub(super) span: Option<SourceSpan>,
}

impl SweepAxis {
    /// A fault of the axis as a whole, shown where it is written.
    #[must_use]
    pub fn diagnostic(&self, complaint: impl Into<String>) -> Diagnostic {
        Diagnostic::new("", complaint).with_span(self.span.as_ref())
    }
}

/// A cell that is spelled out: values of axes or fields; the baseline has the others.
#[derive(Clone, Debug)]
pub struct ListedCell {
    /// In the order of the file.
    pub overrides: Vec<FieldOverride>,
    pub(super) span: Option<SourceSpan>,
}

impl ListedCell {
    /// A fault of the cell as a whole, shown where it is written.
    #[must_use]
    pub fn diagnostic(&self, complaint: impl Into<String>) -> Diagnostic {
        Diagnostic::new("", complaint).with_span(self.span.as_ref())
    }
}

/// Other seeds for some of the cells.
#[derive(Clone, Debug)]
pub struct SeedOverride {
    /// Which cells.
    pub cells: ListedCell,
    /// Their seeds.
    pub seeds: Vec<u64>,
}

/// The differences between the runs of an experiment.
#[derive(Clone, Debug, Default)]
pub struct SweepSpec {
    /// How axes are combined.
    pub mode: SweepMode,
    /// The axes; those with a name come first.
    pub axes: Vec<SweepAxis>,
    /// Cells besides those that the axes make.
    pub list: Vec<ListedCell>,
    /// Cells to leave out.
    pub exclude: Vec<ListedCell>,
    /// Cells with other seeds than the rest; the last rule that fits a cell counts.
    pub seed_overrides: Vec<SeedOverride>,
}

impl SweepSpec {
    /// Gives the settings of cells the names that their axes have, where the file has another one.
    fn use_names_of_axes(&mut self) {
        let rules = self.seed_overrides.iter_mut().map(|rule| &mut rule.cells);
        let cells = self.list.iter_mut().chain(&mut self.exclude).chain(rules);
        for setting in cells.flat_map(|cell| &mut cell.overrides) {
            let axis = self.axes.iter().filter(|axis| !axis.is_named);
            let mut same = axis.filter(|axis| is_same_setting(&axis.name, &setting.path));
            if let Some(axis) = same.next() {
                setting.path.clone_from(&axis.name);
            }
        }
    }
}

/// Fields and values that are looked at later.
type RawTable = Map<String, Value>;

/// The form of `[sweep]`; values of fields are looked at later.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SweepTable {
    mode: SweepMode,
    #[serde(rename = "axes")]
    _axes: RawTable,
    #[serde(rename = "axis")]
    _axis: Vec<AxisTable>,
    #[serde(rename = "list")]
    _list: Vec<RawTable>,
    #[serde(rename = "exclude")]
    _exclude: Vec<RawTable>,
    seeds: Vec<SeedOverrideTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AxisTable {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "values")]
    _values: Vec<AxisValueTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AxisValueTable {
    #[serde(rename = "label")]
    _label: String,
    #[serde(rename = "set")]
    _set: RawTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedOverrideTable {
    #[serde(rename = "where")]
    _where: RawTable,
    seeds: Vec<u64>,
}

/// Reads `[sweep]`.
pub(super) fn parse_sweep(node: &SpannedValue) -> Result<SweepSpec, Vec<Diagnostic>> {
    let form: SweepTable = deserialize_all(node, "sweep")?;
    let mut axes: Vec<SweepAxis> = node.list("axis").iter().map(named_axis).collect();
    if let Some(table) = node.get("axes") {
        path_axes("", table, &mut axes)?;
    }
    let rules: Vec<SeedOverride> = node
        .list("seeds")
        .iter()
        .zip(form.seeds)
        .map(|(node, form)| SeedOverride {
            cells: member_cell(node, "where", "this rule"),
            seeds: form.seeds,
        })
        .collect();
    let diagnostics: Vec<Diagnostic> = rules
        .iter()
        .filter_map(|rule| Some(rule.cells.diagnostic(seeds_error(&rule.seeds)?)))
        .collect();
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    let mut sweep = SweepSpec {
        mode: form.mode,
        axes,
        list: listed_cells(node, "list", "this cell"),
        exclude: listed_cells(node, "exclude", "this exclusion"),
        seed_overrides: rules,
    };
    sweep.use_names_of_axes();
    Ok(sweep)
}

fn listed_cells(node: &SpannedValue, name: &str, origin: &str) -> Vec<ListedCell> {
    let cells = node.list(name).iter();
    cells.map(|cell| listed_cell(origin, cell)).collect()
}

fn named_axis(node: &SpannedValue) -> SweepAxis {
    let name = member_label(node, "name");
    let values = node.list("values").iter().map(|value| {
        let label = member_label(value, "label");
        let origin = format!("axis `{name}`, value `{label}`,");
        AxisValue {
            overrides: member_cell(value, "set", &origin).overrides,
            label,
            span: value.span.clone(),
        }
    });
    let span = node.get("name").and_then(|name| name.span.clone());
    SweepAxis {
        values: values.collect(),
        name,
        is_named: true,
        span,
    }
}

fn member_label(node: &SpannedValue, name: &str) -> String {
    node.get(name)
        .map(|node| value_label(&node.to_json()))
        .unwrap_or_default()
}

/// Axes by path; a path may be written in quotes or as tables within tables.
fn path_axes(
    above: &str,
    table: &SpannedValue,
    axes: &mut Vec<SweepAxis>,
) -> Result<(), Vec<Diagnostic>> {
    for (name, node) in table.members() {
        let path = join_path(above, name);
        match &node.content {
            TomlValue::Array(values) => axes.push(path_axis(&path, node, values)),
            TomlValue::Table(_) => path_axes(&path, node, axes)?,
            _ => {
                let complaint =
                    format!("axis `{path}` has one value where a list of values is expected");
                let diagnostic = Diagnostic::new(format!("sweep.axes.{path}"), complaint)
                    .with_span(node.span.as_ref());
                return Err(vec![diagnostic.with_hint("put brackets around it: [...].")]);
            }
        }
    }
    Ok(())
}

fn path_axis(path: &str, node: &SpannedValue, values: &[SpannedValue]) -> SweepAxis {
    let origin = format!("axis `{path}`");
    SweepAxis {
        name: path.to_owned(),
        is_named: false,
        values: values
            .iter()
            .map(|value: &SpannedValue| {
                // The name is where a wrong path is shown, the place where a wrong value is.
                let setting = FieldOverride::new(
                    path,
                    &origin,
                    &SpannedValue {
                        key_span: node.key_span.clone(),
                        ..value.clone()
                    },
                );
                AxisValue {
                    label: setting.label(),
                    overrides: vec![setting],
                    span: value.span.clone(),
                }
            })
            .collect(),
        span: node.key_span.clone(),
    }
}

fn listed_cell(origin: &str, node: &SpannedValue) -> ListedCell {
    let settings = node
        .members()
        .iter()
        .map(|(path, value)| FieldOverride::new(path, origin, value));
    ListedCell {
        overrides: settings.collect(),
        span: node.span.clone(),
    }
}

fn member_cell(node: &SpannedValue, name: &str, origin: &str) -> ListedCell {
    node.get(name).map_or_else(
        || ListedCell {
            overrides: vec![],
            span: node.span.clone(),
        },
        |node| listed_cell(origin, node),
    )
}
