//! Settings put into a run specification by path.

use serde_json::Value;

use super::deserialize::{deserialize, deserialize_all};
use super::diagnostic::{Diagnostic, DiagnosticKind, SourceSpan};
use super::spanned_value::SpannedValue;
use super::spelling::{kept_path, kept_settings};
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

    /// Whether its own path lies in the field at `path`, or is it.
    fn is_within(&self, path: &str) -> bool {
        self.path.starts_with(path) || kept_path(&self.path).starts_with(path)
    }

    /// Whether this setting decides the field at `path`, lies in it, or holds it.
    fn affects(&self, path: &str) -> bool {
        let kept = kept_settings(&self.path, &self.value).unwrap_or_default();
        let paths = kept.iter().map(|(kept, _)| kept.as_str());
        paths
            .chain([self.path.as_str()])
            .any(|own| lies_within(path, own) || lies_within(own, path))
    }
}

/// Whether a path is another one, or leads to a part of it.
fn lies_within(inner: &str, outer: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
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
        let baseline = Self { table, spec };
        let diagnostics = baseline
            .spec
            .diagnostics()
            .into_iter()
            .map(|diagnostic| baseline.locate_in_baseline(diagnostic))
            .collect::<Vec<_>>();
        if diagnostics.is_empty() {
            Ok(baseline)
        } else {
            Err(diagnostics)
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
        let path = kept_path(path);
        if let Some(node) = self.table.find(&path) {
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
            .map_err(|diagnostic| vec![diagnostic])?;
        let diagnostics = spec
            .diagnostics()
            .into_iter()
            .map(|diagnostic| self.attribute_to(diagnostic, settings))
            .collect::<Vec<_>>();
        if diagnostics.is_empty() {
            Ok(spec)
        } else {
            Err(diagnostics)
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
            Err(diagnostic)
                if matches!(
                    diagnostic.kind,
                    DiagnosticKind::UnknownField | DiagnosticKind::UnknownVariant
                ) =>
            {
                Err(diagnostic)
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
            kept_settings(&setting.path, &setting.value)
                .and_then(|kept| {
                    kept.iter()
                        .try_for_each(|(path, value)| table.overlay(path, value, &is_struct_path))
                })
                .map_err(|diagnostic| self.attribute_to(diagnostic, settings))?;
        }
        deserialize(&table).map_err(|diagnostic| self.attribute_to(diagnostic, settings))
    }

    /// Shows a fault of the baseline where it is written.
    fn locate_in_baseline(&self, diagnostic: Diagnostic) -> Diagnostic {
        let span = self.table.innermost_span(&diagnostic.path);
        let diagnostic = diagnostic.with_span(span);
        Diagnostic {
            path: super::spanned_value::join_path("run", &diagnostic.path),
            ..diagnostic
        }
    }

    /// Shows a fault at the last setting that concerns it, or else in the baseline.
    fn attribute_to(&self, diagnostic: Diagnostic, settings: &[FieldOverride]) -> Diagnostic {
        let Some(setting) = settings
            .iter()
            .rev()
            .find(|setting| setting.affects(&diagnostic.path))
        else {
            return self.locate_in_baseline(diagnostic);
        };
        let unknown =
            diagnostic.kind == DiagnosticKind::UnknownField && setting.is_within(&diagnostic.path);
        let mut diagnostic = diagnostic.with_span(setting.value.span.as_ref());
        if unknown {
            diagnostic.message = format!("{} names no field of a run", setting.origin);
            if let Some(path) = self.nearest_path(&setting.path) {
                diagnostic
                    .hints
                    .retain(|hint| !hint.starts_with("did you mean"));
                diagnostic
                    .hints
                    .insert(0, format!("did you mean `{path}`?"));
            }
            diagnostic.path.clone_from(&setting.path);
            return diagnostic;
        }
        let hint = format!("set by {} to `{}`.", setting.origin, setting.label());
        diagnostic.with_hint(hint)
    }

    /// The path that was most likely meant.
    fn nearest_path(&self, path: &str) -> Option<String> {
        let spec = serde_json::to_value(&self.spec).expect("settings are plain data");
        let mut paths = vec![];
        list_paths("", &spec, &mut paths);
        // The right name in the wrong table is a closer miss than a similar path.
        let name = path.rsplit('.').next();
        let moved = paths
            .iter()
            .find(|other| other.rsplit('.').next() == name)
            .cloned();
        moved.or_else(|| nearest_name(path, paths.iter().map(String::as_str)).map(str::to_owned))
    }
}

/// Advice about a seed in the wrong place.
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
        && deserialize::<RunSpec>(&probe).map_or_else(
            |diagnostic| diagnostic.kind == DiagnosticKind::MissingField,
            |_| true,
        )
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
