//! Settings put into a run specification by path.
//!
//! Hides how a path is laid over the baseline's table and which part is to blame when the result
//! cannot be read. Must not know about axes.

use serde_json::Value;

use super::fault::{Fault, Kind, Place, nearest};
use super::read::{read, read_all};
use super::tree::Node;
use super::{RunSpec, label};

/// A value for the field at a dotted path.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The field, e.g. `collect.teacher`.
    pub path: String,
    /// Who sets it, for messages, e.g. "axis `weighting`".
    pub(super) origin: String,
    pub(super) value: Node,
}

impl Setting {
    pub(super) fn new(path: &str, origin: &str, value: &Node) -> Self {
        Self {
            path: path.to_owned(),
            origin: origin.to_owned(),
            value: value.clone(),
        }
    }

    /// The value in a few characters.
    #[must_use]
    pub fn label(&self) -> String {
        label(&self.value.value())
    }

    /// A fault of this setting, shown where it is written.
    #[must_use]
    pub fn fault(&self, complaint: impl Into<String>) -> Fault {
        Fault::new("", complaint).at(self.place())
    }

    fn place(&self) -> Option<&Place> {
        self.value.name.as_ref().or(self.value.place.as_ref())
    }

    /// Whether this setting decides the field at `path`, lies in it, or holds it.
    fn concerns(&self, path: &str) -> bool {
        let within = |inner: &str, outer: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        within(path, &self.path) || within(&self.path, path)
    }
}

/// The baseline of an experiment, to which settings can be applied.
#[derive(Clone, Debug)]
pub struct Template {
    table: Node,
    spec: RunSpec,
}

impl Template {
    pub(super) fn new(table: Node) -> Result<Self, Vec<Fault>> {
        let spec = read_all(&table, "run")?;
        let template = Self { table, spec };
        let faults = template
            .spec
            .faults()
            .into_iter()
            .map(|fault| template.placed(fault))
            .collect::<Vec<_>>();
        if faults.is_empty() {
            Ok(template)
        } else {
            Err(faults)
        }
    }

    /// The baseline itself.
    #[must_use]
    pub const fn baseline(&self) -> &RunSpec {
        &self.spec
    }

    /// The baseline's value at a path in a few characters, or `-` where it has no such field.
    #[must_use]
    pub fn label(&self, path: &str) -> String {
        if let Some(node) = self.table.find(path) {
            return label(&node.value());
        }
        let spec = serde_json::to_value(&self.spec).expect("settings are plain data");
        path.split('.')
            .try_fold(&spec, |value, step| value.get(step))
            .map_or_else(|| "-".to_owned(), label)
    }

    /// The baseline with some settings, later ones over earlier ones.
    ///
    /// # Errors
    /// If a path does not exist, a value does not fit, or the settings contradict each other.
    pub fn with(&self, settings: &[Setting]) -> Result<RunSpec, Vec<Fault>> {
        let spec = self.compose(settings).map_err(|fault| vec![fault])?;
        let faults = spec
            .faults()
            .into_iter()
            .map(|fault| self.blamed(fault, settings))
            .collect::<Vec<_>>();
        if faults.is_empty() {
            Ok(spec)
        } else {
            Err(faults)
        }
    }

    /// Whether a run has a value at a path: giving it this value changes nothing.
    ///
    /// # Errors
    /// If no run could have it, because a name in it does not exist.
    pub fn holds(&self, settings: &[Setting], wanted: &Setting) -> Result<bool, Fault> {
        let Ok(before) = self.compose(settings) else {
            return Ok(false);
        };
        let mut all = settings.to_vec();
        all.push(wanted.clone());
        match self.compose(&all) {
            Ok(after) => Ok(after == before),
            Err(fault) if matches!(fault.kind, Kind::Unknown | Kind::Choice) => Err(fault),
            Err(_) => Ok(false),
        }
    }

    /// The baseline with some settings, whether or not they fit together.
    fn compose(&self, settings: &[Setting]) -> Result<RunSpec, Fault> {
        let mut table = self.table.clone();
        for setting in settings {
            if setting.path == "seed" {
                return Err(setting.fault("`seed` is not set here").hint(SEEDS));
            }
            let laid = table.lay(&setting.path, &setting.value, &is_record);
            laid.map_err(|fault| self.blamed(fault, settings))?;
        }
        read(&table).map_err(|fault| self.blamed(fault, settings))
    }

    /// Shows a fault of the baseline where it is written.
    fn placed(&self, fault: Fault) -> Fault {
        let place = self.table.closest(&fault.path);
        let fault = fault.at(place);
        Fault {
            path: super::tree::join("run", &fault.path),
            ..fault
        }
    }

    /// Shows a fault at the last setting that concerns it, or else in the baseline.
    fn blamed(&self, fault: Fault, settings: &[Setting]) -> Fault {
        let Some(setting) = settings
            .iter()
            .rev()
            .find(|setting| setting.concerns(&fault.path))
        else {
            return self.placed(fault);
        };
        let unknown = fault.kind == Kind::Unknown && setting.path.starts_with(&fault.path);
        let mut fault = fault.at(setting.value.place.as_ref());
        if unknown {
            fault.complaint = format!("{} names no field of a run", setting.origin);
            if let Some(path) = self.nearest(&setting.path) {
                fault.hints.retain(|hint| !hint.starts_with("did you mean"));
                fault.hints.insert(0, format!("did you mean `{path}`?"));
            }
            fault.path.clone_from(&setting.path);
            return fault;
        }
        let hint = format!("set by {} to `{}`.", setting.origin, setting.label());
        fault.hint(hint)
    }

    /// The path that was most likely meant.
    fn nearest(&self, path: &str) -> Option<String> {
        let spec = serde_json::to_value(&self.spec).expect("settings are plain data");
        let mut paths = vec![];
        list_paths("", &spec, &mut paths);
        let last = |path: &str| path.rsplit('.').next().map(str::to_owned);
        // The right name in the wrong table is a closer miss than a similar path.
        let moved = paths
            .iter()
            .find(|other| last(other) == last(path))
            .cloned();
        moved.or_else(|| nearest(path, paths.iter().map(String::as_str)).map(str::to_owned))
    }
}

/// What to do with a seed that stands in the wrong place.
pub(super) const SEEDS: &str = "seeds are listed at the top of the experiment: seeds = [0, 1].";

fn list_paths(above: &str, value: &Value, paths: &mut Vec<String>) {
    let Value::Object(members) = value else {
        return;
    };
    for (name, member) in members {
        let path = super::tree::join(above, name);
        list_paths(&path, member, paths);
        paths.push(path);
    }
}

/// Whether a path of a run specification holds named fields, as against a choice or a plain
/// value: only there is a table that names no field possible.
pub(super) fn is_record(path: &str) -> bool {
    let mut probe = Node::empty();
    probe.lay(path, &Node::empty(), &|_| false).is_ok()
        && read::<RunSpec>(&probe).map_or_else(|fault| fault.kind == Kind::Missing, |_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_from_choices() {
        for path in ["collect", "collect.sampling", "train", "evaluate"] {
            assert!(is_record(path), "{path}");
        }
        for path in [
            "task",
            "weighting",
            "collect.teacher",
            "evaluate.window",
            "base",
            "nothing",
        ] {
            assert!(!is_record(path), "{path}");
        }
    }
}
