//! What an experiment file says about its sweep, before it is expanded.
//!
//! Responsible for the form of `[sweep]`. Must not know how cells are made of it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::experiment::seeds_complaint;
use super::fault::{Fault, Place};
use super::label;
use super::read::read_all;
use super::setting::Setting;
use super::tree::{Content, Node, join};

/// How the values of several axes are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Every combination.
    #[default]
    Grid,
    /// Only the cells that are spelled out.
    List,
    /// The first values together, the second values together, and so on.
    Zip,
    /// The baseline, and one axis changed at a time.
    Around,
}

/// One value of an axis.
#[derive(Clone, Debug)]
pub struct AxisValue {
    /// Its short name.
    pub label: String,
    /// What it sets.
    pub settings: Vec<Setting>,
    pub(super) place: Option<Place>,
}

impl AxisValue {
    /// A fault of this value, shown where it is written.
    #[must_use]
    pub fn fault(&self, complaint: impl Into<String>) -> Fault {
        Fault::new("", complaint).at(self.place.as_ref())
    }
}

/// Something that varies: one field, or several together under a name of their own.
#[derive(Clone, Debug)]
pub struct Axis {
    /// The field's path, or the given name.
    pub name: String,
    /// Whether the values are named sets of several fields.
    pub named: bool,
    /// Its values, in the order of the file.
    pub values: Vec<AxisValue>,
    pub(super) place: Option<Place>,
}

impl Axis {
    /// A fault of the axis as a whole, shown where it is written.
    #[must_use]
    pub fn fault(&self, complaint: impl Into<String>) -> Fault {
        Fault::new("", complaint).at(self.place.as_ref())
    }
}

/// A cell that is spelled out: values of axes or fields; the baseline has the others.
#[derive(Clone, Debug)]
pub struct Extra {
    /// In the order of the file.
    pub settings: Vec<Setting>,
    pub(super) place: Option<Place>,
}

impl Extra {
    /// A fault of the cell as a whole, shown where it is written.
    #[must_use]
    pub fn fault(&self, complaint: impl Into<String>) -> Fault {
        Fault::new("", complaint).at(self.place.as_ref())
    }
}

/// Other seeds for some of the cells.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which cells.
    pub cells: Extra,
    /// Their seeds.
    pub seeds: Vec<u64>,
}

/// What varies between the runs of an experiment.
#[derive(Clone, Debug, Default)]
pub struct SweepSpec {
    /// How axes are combined.
    pub mode: Mode,
    /// What varies; axes with names of their own come first.
    pub axes: Vec<Axis>,
    /// Cells beside those that the axes make.
    pub list: Vec<Extra>,
    /// Cells to leave out.
    pub exclude: Vec<Extra>,
    /// Cells with other seeds than the rest; the last rule that fits a cell counts.
    pub seeds: Vec<Rule>,
}

/// Fields and values that are looked at later.
type Table = Map<String, Value>;

/// The form of `[sweep]`; values of fields are looked at later.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Form {
    mode: Mode,
    #[serde(rename = "axes")]
    _axes: Table,
    #[serde(rename = "axis")]
    _axis: Vec<AxisForm>,
    #[serde(rename = "list")]
    _list: Vec<Table>,
    #[serde(rename = "exclude")]
    _exclude: Vec<Table>,
    seeds: Vec<RuleForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AxisForm {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "values")]
    _values: Vec<ValueForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueForm {
    #[serde(rename = "label")]
    _label: String,
    #[serde(rename = "set")]
    _set: Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleForm {
    #[serde(rename = "where")]
    _where: Table,
    seeds: Vec<u64>,
}

/// Reads `[sweep]`.
pub(super) fn sweep(node: &Node) -> Result<SweepSpec, Vec<Fault>> {
    let form: Form = read_all(node, "sweep")?;
    let items = |name: &str| node.get(name).map_or(&[][..], Node::items);
    let mut axes: Vec<Axis> = items("axis").iter().map(named_axis).collect();
    if let Some(table) = node.get("axes") {
        path_axes("", table, &mut axes)?;
    }
    let rules: Vec<Rule> = items("seeds")
        .iter()
        .zip(form.seeds)
        .map(|(node, form)| rule(node, form))
        .collect();
    let wrong = rules
        .iter()
        .filter_map(|rule| Some(rule.cells.fault(seeds_complaint(&rule.seeds)?)));
    let wrong: Vec<Fault> = wrong.collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(SweepSpec {
        mode: form.mode,
        axes,
        list: items("list")
            .iter()
            .map(|cell| extra("this cell", cell))
            .collect(),
        exclude: items("exclude")
            .iter()
            .map(|cell| extra("this exclusion", cell))
            .collect(),
        seeds: rules,
    })
}

fn rule(node: &Node, form: RuleForm) -> Rule {
    Rule {
        cells: member(node, "where", "this rule"),
        seeds: form.seeds,
    }
}

fn named_axis(node: &Node) -> Axis {
    let text = |node: &Node, name: &str| {
        node.get(name)
            .map(|node| label(&node.value()))
            .unwrap_or_default()
    };
    let name = text(node, "name");
    let values = node
        .get("values")
        .map_or(&[][..], Node::items)
        .iter()
        .map(|value| {
            let label = text(value, "label");
            let origin = format!("axis `{name}`, value `{label}`,");
            AxisValue {
                settings: member(value, "set", &origin).settings,
                label,
                place: value.place.clone(),
            }
        });
    let place = node.get("name").and_then(|name| name.place.clone());
    Axis {
        values: values.collect(),
        name,
        named: true,
        place,
    }
}

/// Axes by path; a path may be written in quotes or as tables within tables.
fn path_axes(above: &str, table: &Node, axes: &mut Vec<Axis>) -> Result<(), Vec<Fault>> {
    for (name, node) in table.members() {
        let path = join(above, name);
        match &node.content {
            Content::List(values) => axes.push(path_axis(&path, node, values)),
            Content::Table(_) => path_axes(&path, node, axes)?,
            _ => {
                let complaint =
                    format!("axis `{path}` has one value where a list of values is expected");
                let fault =
                    Fault::new(format!("sweep.axes.{path}"), complaint).at(node.place.as_ref());
                return Err(vec![fault.hint("put brackets around it: [...].")]);
            }
        }
    }
    Ok(())
}

fn path_axis(path: &str, node: &Node, values: &[Node]) -> Axis {
    let origin = format!("axis `{path}`");
    let value = |value: &Node| {
        // The name is where a wrong path is shown, the place where a wrong value is.
        let setting = Setting::new(
            path,
            &origin,
            &Node {
                name: node.name.clone(),
                ..value.clone()
            },
        );
        AxisValue {
            label: setting.label(),
            settings: vec![setting],
            place: value.place.clone(),
        }
    };
    Axis {
        name: path.to_owned(),
        named: false,
        values: values.iter().map(value).collect(),
        place: node.name.clone(),
    }
}

fn extra(origin: &str, node: &Node) -> Extra {
    let settings = node
        .members()
        .iter()
        .map(|(path, value)| Setting::new(path, origin, value));
    Extra {
        settings: settings.collect(),
        place: node.place.clone(),
    }
}

fn member(node: &Node, name: &str, origin: &str) -> Extra {
    node.get(name).map_or_else(
        || Extra {
            settings: vec![],
            place: node.place.clone(),
        },
        |node| extra(origin, node),
    )
}
