//! Experiment files: a question, a baseline run, a sweep, and the report's options.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::ReportOptions;
use super::baseline::{Baseline, SEEDS_HINT, is_struct_path};
use super::deserialize::{deserialize as typed, deserialize_all};
use super::diagnostic::{ConfigError, Diagnostic};
use super::spanned_value::{SpannedValue, TomlValue, join_path};
use super::spelling::{kept_settings, kept_table, use_kept_mode};
use super::sweep::{SweepSpec, parse_sweep};

/// An experiment as its file describes it, not yet expanded into runs.
#[derive(Clone, Debug)]
pub struct ExperimentSpec {
    /// Its name; also the name of its folder of reports.
    pub name: String,
    /// The question it asks.
    pub question: String,
    /// The seeds of every cell that no rule gives others.
    pub seeds: Vec<u64>,
    /// The TOML text of the file itself.
    pub text: String,
    /// The report's options.
    pub report_options: ReportOptions,
    /// The report's options as JSON.
    pub report_json: Value,
    /// The baseline run, and the way to settings of other runs.
    pub baseline: Baseline,
    /// The sweep.
    pub sweep: SweepSpec,
    /// The file.
    pub path: PathBuf,
    document: SpannedValue,
}

impl ExperimentSpec {
    /// A fault of the experiment, shown at the value with this dotted path; items of lists are
    /// numbered from 0.
    #[must_use]
    pub fn diagnostic(&self, path: &str, complaint: impl Into<String>) -> Diagnostic {
        Diagnostic::new(path, complaint).with_span(self.document.innermost_span(path))
    }

    /// The folder of base models: `models` in the experiment file's folder.
    #[must_use]
    pub fn models_folder(&self) -> PathBuf {
        self.path
            .parent()
            .unwrap_or_else(|| Path::new(""))
            .join("models")
    }
}

/// The form of an experiment file; its tables are looked at one by one later.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ExperimentTable {
    name: String,
    question: String,
    extends: Option<String>,
    seeds: Option<Vec<u64>>,
    #[serde(rename = "run")]
    _run: IgnoredAny,
    #[serde(rename = "sweep")]
    _sweep: IgnoredAny,
    #[serde(rename = "report")]
    _report: IgnoredAny,
}

/// Reads an experiment file; `overrides` are (path, value) pairs laid over its `[run]` table,
/// each value being TOML or, failing that, a plain text.
///
/// # Errors
/// If a file cannot be read, or anything in it or in the overrides is wrong: all separate faults,
/// each with its place.
pub fn read_experiment(
    path: &Path,
    overrides: &[(String, String)],
) -> Result<ExperimentSpec, ConfigError> {
    let text = read_text_file(path, "is this the right path?")?;
    let (form, tree) = read_layers(path, &text, overrides)?;
    let mut diagnostics = header_diagnostics(&tree);
    let seeds = parse_seeds(&tree, &mut diagnostics);
    let baseline = parse_baseline(&tree)
        .map_err(|more| diagnostics.extend(more))
        .ok();
    let empty = SpannedValue::empty();
    let sweep = parse_sweep(tree.get("sweep").unwrap_or(&empty))
        .map_err(|more| diagnostics.extend(more))
        .ok();
    let report = tree.get("report").unwrap_or(&empty);
    let report_options = deserialize_all::<ReportOptions>(report, "report")
        .map_err(|more| diagnostics.extend(more))
        .ok();
    match (baseline, sweep, report_options) {
        (Some(baseline), Some(sweep), Some(options)) if diagnostics.is_empty() => {
            Ok(ExperimentSpec {
                name: form.name,
                question: form.question,
                seeds,
                text,
                report_json: serde_json::to_value(&options).expect("options are plain data"),
                report_options: options,
                baseline,
                sweep,
                path: path.to_owned(),
                document: tree,
            })
        }
        _ => Err(ConfigError::Invalid(diagnostics)),
    }
}

/// The file laid over the one that it extends, and the overrides over both.
fn read_layers(
    path: &Path,
    text: &str,
    overrides: &[(String, String)],
) -> Result<(ExperimentTable, SpannedValue), ConfigError> {
    let mut tree = SpannedValue::parse(&path.display().to_string(), text)?;
    let form: ExperimentTable = deserialize_all(&tree, "").map_err(ConfigError::Invalid)?;
    use_kept_names(&mut tree)?;
    if let Some(parent) = &form.extends {
        apply_extends(&mut tree, path, parent)?;
    }
    for (at, value) in overrides {
        apply_override(&mut tree, at, value)?;
    }
    Ok((form, tree))
}

fn parse_baseline(tree: &SpannedValue) -> Result<Baseline, Vec<Diagnostic>> {
    let Some(run) = tree.get("run") else {
        let diagnostic =
            Diagnostic::new("run", "this table is required: it holds the baseline run");
        return Err(vec![
            diagnostic
                .with_hint("write [run] with at least `base` and `task`.")
                .with_span(tree.span.as_ref()),
        ]);
    };
    Baseline::new(run.clone())
}

/// The text of a file, or why there is none.
pub(super) fn read_text_file(path: &Path, advice: &str) -> Result<String, ConfigError> {
    let (cause, advice) = match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => return Ok(text),
        Ok(Err(error)) => {
            let good = error.utf8_error().valid_up_to();
            let cause = format!("byte {good} is not UTF-8");
            (cause, "save the file as UTF-8 text")
        }
        Err(error) => (error.to_string(), advice),
    };
    Err(ConfigError::Unreadable {
        path: path.to_owned(),
        cause,
        advice: advice.to_owned(),
    })
}

/// Lays a file over the one it extends: `[run]` field by field, other tables as a whole.
fn apply_extends(tree: &mut SpannedValue, path: &Path, parent: &str) -> Result<(), ConfigError> {
    let span = tree.get("extends").and_then(|node| node.span.clone());
    let file = path.parent().unwrap_or_else(|| Path::new("")).join(parent);
    let text = read_text_file(
        &file,
        "`extends` is a path relative to the file that says it",
    )?;
    let mut below = SpannedValue::parse(&file.display().to_string(), &text)?;
    let form: ExperimentTable = deserialize_all(&below, "").map_err(ConfigError::Invalid)?;
    if form.extends.is_some() {
        let complaint = format!("{parent} extends another file itself");
        let diagnostic = Diagnostic::new("extends", complaint)
            .with_hint("only one level is possible; write the settings out.");
        return Err(diagnostic.with_span(span.as_ref()).into());
    }
    use_kept_names(&mut below)?;
    for name in ["name", "question"] {
        below.remove(name);
    }
    let inside_run =
        |path: &str| path == "run" || path.strip_prefix("run.").is_some_and(is_struct_path);
    for (name, node) in tree.members() {
        below.overlay(name, node, &inside_run)?;
    }
    below.span.clone_from(&tree.span);
    *tree = below;
    Ok(())
}

/// Lays a value from the command line over `[run]`.
fn apply_override(tree: &mut SpannedValue, at: &str, value: &str) -> Result<(), ConfigError> {
    let quoted = Value::String(value.to_owned());
    let node = SpannedValue::parse("--set", &format!("{at} = {value}"))
        .or_else(|_| SpannedValue::parse("--set", &format!("{at} = {quoted}")))?;
    let Some(node) = node.find(at) else {
        return Err(Diagnostic::new(at, "not a path of fields").into());
    };
    for (path, value) in kept_settings(at, node)? {
        tree.overlay(&format!("run.{path}"), &value, &|path| {
            path.strip_prefix("run.").is_some_and(is_struct_path)
        })?;
    }
    Ok(())
}

/// Puts the settings of `[run]` where a run keeps them, and names the mode of `[sweep]` as reports do.
fn use_kept_names(tree: &mut SpannedValue) -> Result<(), Diagnostic> {
    let TomlValue::Table(members) = &mut tree.content else {
        return Ok(());
    };
    for (name, node) in members {
        match name.as_str() {
            "run" => {
                *node = kept_table(node).map_err(|diagnostic| Diagnostic {
                    path: join_path("run", &diagnostic.path),
                    ..diagnostic
                })?;
            }
            "sweep" => use_kept_mode(node),
            _ => {}
        }
    }
    Ok(())
}

fn header_diagnostics(tree: &SpannedValue) -> Vec<Diagnostic> {
    let mut diagnostics = vec![];
    if let Some(SpannedValue {
        content: TomlValue::String(name),
        span,
        ..
    }) = tree.get("name")
    {
        if name.is_empty()
            || !name.chars().all(|letter: char| {
                letter.is_ascii_alphanumeric() || letter == '-' || letter == '_'
            })
        {
            let diagnostic =
                Diagnostic::new("name", format!("\"{name}\" cannot be the name of a folder"));
            diagnostics.push(
                diagnostic
                    .with_hint("use letters, digits, - and _ only.")
                    .with_span(span.as_ref()),
            );
        }
    } else {
        let diagnostic = Diagnostic::new("name", "this field is required")
            .with_hint("write name = \"...\" in the first line.");
        diagnostics.push(diagnostic.with_span(tree.span.as_ref()));
    }
    if let Some(seed) = tree.find("run.seed") {
        diagnostics.push(
            Diagnostic::new("run.seed", "not set here")
                .with_hint(SEEDS_HINT)
                .with_span(seed.key_span.as_ref().or(seed.span.as_ref())),
        );
    }
    diagnostics
}

fn parse_seeds(tree: &SpannedValue, diagnostics: &mut Vec<Diagnostic>) -> Vec<u64> {
    let Some(node) = tree.get("seeds") else {
        return vec![0];
    };
    let seeds: Vec<u64> = typed(node).unwrap_or_default();
    if let Some(complaint) = seeds_error(&seeds) {
        diagnostics.push(Diagnostic::new("seeds", complaint).with_span(node.span.as_ref()));
    }
    seeds
}

/// The fault of a list of seeds, if it has one.
pub(super) fn seeds_error(seeds: &[u64]) -> Option<String> {
    let repeated = seeds
        .iter()
        .enumerate()
        .find(|(index, seed)| seeds[..*index].contains(seed));
    match repeated {
        _ if seeds.is_empty() => {
            Some("an empty list of seeds leaves no run; leave it out for seeds = [0]".to_owned())
        }
        Some((_, seed)) => Some(format!("seed {seed} is listed twice")),
        None => None,
    }
}
