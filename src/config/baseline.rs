//! Settings put into a run specification by path.
//!
//! Hides how a path is laid over the baseline's table and which part is to blame when the result
//! cannot be read. Must not know about axes.

use serde_json::Value;

use super::deserialize::{deserialize, deserialize_all};
use super::diagnostic::{Diagnostic, DiagnosticKind, SourceSpan};
use super::spanned_value::SpannedValue;
use super::{RunSpec, nearest_name, value_label};

/// A value for the field at a dotted path.
#[derive(Clone, Debug)]
pub struct FieldOverride {
    /// The field, e.g. `collect.teacher`.
    pub path: String,
    /// Who sets it, for messages, e.g. "axis `weighting`".
    pub(super) origin: String,
    pub(super) value: SpannedValue,
}

impl FieldOverride {
    pub(super) fn new(path: &str, origin: &str, value: &SpannedValue) -> Self {
        Self {
            path: path.to_owned(),
            origin: origin.to_owned(),
            value: value.clone(),
        }
    }

    /// The value in a few characters.
    #[must_use]
    pub fn label(&self) -> String {
        value_label(&self.value.to_json())
    }

    /// A fault of this setting, shown where it is written.
    #[must_use]
    pub fn diagnostic(&self, complaint: impl Into<String>) -> Diagnostic {
        Diagnostic::new("", complaint).with_span(self.span())
    }

    fn span(&self) -> Option<&SourceSpan> {
        self.value.key_span.as_ref().or(self.value.span.as_ref())
    }

    /// Whether this setting decides the field at `path`, lies in it, or holds it.
    fn affects(&self, path: &str) -> bool {
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
pub struct Baseline {
    table: SpannedValue,
    spec: RunSpec,
}

impl Baseline {
    pub(super) fn new(table: SpannedValue) -> Result<Self, Vec<Diagnostic>> {
        let spec = deserialize_all(&table, "run")?;
        let template = Self { table, spec };
        let faults = template
            .spec
            .diagnostics()
            .into_iter()
            .map(|fault| template.locate_in_baseline(fault))
            .collect::<Vec<_>>();
        if faults.is_empty() {
            Ok(template)
        } else {
            Err(faults)
        }
    }

    /// The baseline itself.
    #[must_use]
    pub const fn run_spec(&self) -> &RunSpec {
        &self.spec
    }

    /// The baseline's value at a path in a few characters, or `-` where it has no such field.
    #[must_use]
    pub fn label(&self, path: &str) -> String {
        if let Some(node) = self.table.find(path) {
            return value_label(&node.to_json());
        }
        let spec = serde_json::to_value(&self.spec).expect("settings are plain data");
        path.split('.')
            .try_fold(&spec, |value, step| value.get(step))
            .map_or_else(|| "-".to_owned(), value_label)
    }

    /// The baseline with some settings, later ones over earlier ones.
    ///
    /// # Errors
    /// If a path does not exist, a value does not fit, or the settings contradict each other.
    pub fn with_overrides(&self, settings: &[FieldOverride]) -> Result<RunSpec, Vec<Diagnostic>> {
        let spec = self
            .apply_overrides(settings)
            .map_err(|fault| vec![fault])?;
        let faults = spec
            .diagnostics()
            .into_iter()
            .map(|fault| self.attribute_to(fault, settings))
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
    pub fn has_value(
        &self,
        settings: &[FieldOverride],
        wanted: &FieldOverride,
    ) -> Result<bool, Diagnostic> {
        let Ok(before) = self.apply_overrides(settings) else {
            return Ok(false);
        };
        let mut all = settings.to_vec();
        all.push(wanted.clone());
        match self.apply_overrides(&all) {
            Ok(after) => Ok(after == before),
            Err(fault)
                if matches!(
                    fault.kind,
                    DiagnosticKind::UnknownField | DiagnosticKind::UnknownVariant
                ) =>
            {
                Err(fault)
            }
            Err(_) => Ok(false),
        }
    }

    /// The baseline with some settings, whether or not they fit together.
    fn apply_overrides(&self, settings: &[FieldOverride]) -> Result<RunSpec, Diagnostic> {
        let mut table = self.table.clone();
        for setting in settings {
            if setting.path == "seed" {
                return Err(setting
                    .diagnostic("`seed` is not set here")
                    .with_hint(SEEDS_HINT));
            }
            let laid = table.overlay(&setting.path, &setting.value, &is_struct_path);
            laid.map_err(|fault| self.attribute_to(fault, settings))?;
        }
        deserialize(&table).map_err(|fault| self.attribute_to(fault, settings))
    }

    /// Shows a fault of the baseline where it is written.
    fn locate_in_baseline(&self, fault: Diagnostic) -> Diagnostic {
        let place = self.table.innermost_span(&fault.path);
        let fault = fault.with_span(place);
        Diagnostic {
            path: super::spanned_value::join_path("run", &fault.path),
            ..fault
        }
    }

    /// Shows a fault at the last setting that concerns it, or else in the baseline.
    fn attribute_to(&self, fault: Diagnostic, settings: &[FieldOverride]) -> Diagnostic {
        let Some(setting) = settings
            .iter()
            .rev()
            .find(|setting| setting.affects(&fault.path))
        else {
            return self.locate_in_baseline(fault);
        };
        let unknown =
            fault.kind == DiagnosticKind::UnknownField && setting.path.starts_with(&fault.path);
        let mut fault = fault.with_span(setting.value.span.as_ref());
        if unknown {
            fault.message = format!("{} names no field of a run", setting.origin);
            if let Some(path) = self.nearest_path(&setting.path) {
                fault.hints.retain(|hint| !hint.starts_with("did you mean"));
                fault.hints.insert(0, format!("did you mean `{path}`?"));
            }
            fault.path.clone_from(&setting.path);
            return fault;
        }
        let hint = format!("set by {} to `{}`.", setting.origin, setting.label());
        fault.with_hint(hint)
    }

    /// The path that was most likely meant.
    fn nearest_path(&self, path: &str) -> Option<String> {
        let spec = serde_json::to_value(&self.spec).expect("settings are plain data");
        let mut paths = vec![];
        list_paths("", &spec, &mut paths);
        let last = |path: &str| path.rsplit('.').next().map(str::to_owned);
        // The right name in the wrong table is a closer miss than a similar path.
        let moved = paths
            .iter()
            .find(|other| last(other) == last(path))
            .cloned();
        moved.or_else(|| nearest_name(path, paths.iter().map(String::as_str)).map(str::to_owned))
    }
}

/// What to do with a seed that stands in the wrong place.
pub(super) const SEEDS_HINT: &str =
    "seeds are listed at the top of the experiment: seeds = [0, 1].";

fn list_paths(above: &str, value: &Value, paths: &mut Vec<String>) {
    let Value::Object(members) = value else {
        return;
    };
    for (name, member) in members {
        let path = super::spanned_value::join_path(above, name);
        list_paths(&path, member, paths);
        paths.push(path);
    }
}

/// Whether a path of a run specification holds named fields, as against a choice or a plain
/// value: only there is a table that names no field possible.
pub(super) fn is_struct_path(path: &str) -> bool {
    let mut probe = SpannedValue::empty();
    probe
        .overlay(path, &SpannedValue::empty(), &|_| false)
        .is_ok()
        && deserialize::<RunSpec>(&probe)
            .map_or_else(|fault| fault.kind == DiagnosticKind::MissingField, |_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_from_choices() {
        for path in ["collect", "collect.sampling", "train", "evaluate"] {
            assert!(is_struct_path(path), "{path}");
        }
        for path in [
            "task",
            "weighting",
            "collect.teacher",
            "evaluate.window",
            "base",
            "nothing",
        ] {
            assert!(!is_struct_path(path), "{path}");
        }
    }
}
