//! Experiment files: a question, a baseline run, what varies, and what the report should show.
//!
//! Hides how a file, the one it extends and the command line are laid over each other.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::ReportOptions;
use super::baseline::{Baseline, SEEDS_HINT, is_struct_path};
use super::deserialize::{deserialize as typed, deserialize_all};
use super::diagnostic::{ConfigError, Diagnostic};
use super::spanned_value::{SpannedValue, TomlValue};
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
    /// What the report should show.
    pub report_options: ReportOptions,
    /// The wishes as JSON.
    pub report_json: Value,
    /// The baseline run, and the way to settings of other runs.
    pub baseline: Baseline,
    /// What varies.
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

    /// The folder of base models: `models` beside the experiment file.
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
/// If a file cannot be read, or anything in it or in the overrides is wrong: all faults that can
/// be told apart, each with its place.
pub fn read_experiment(
    path: &Path,
    overrides: &[(String, String)],
) -> Result<ExperimentSpec, ConfigError> {
    let text = read_text_file(path, "is this the right path?")?;
    let mut tree = SpannedValue::parse(&path.display().to_string(), &text)?;
    let form: ExperimentTable = deserialize_all(&tree, "").map_err(ConfigError::Invalid)?;
    if let Some(parent) = &form.extends {
        apply_extends(&mut tree, path, parent)?;
    }
    for (at, value) in overrides {
        apply_override(&mut tree, at, value)?;
    }
    let mut faults = header_diagnostics(&tree);
    let seeds = parse_seeds(&tree, &mut faults);
    let template = parse_baseline(&tree)
        .map_err(|more| faults.extend(more))
        .ok();
    let parts = |name: &str| tree.get(name).cloned().unwrap_or_else(SpannedValue::empty);
    let sweep = parse_sweep(&parts("sweep"))
        .map_err(|more| faults.extend(more))
        .ok();
    let wishes = deserialize_all::<ReportOptions>(&parts("report"), "report")
        .map_err(|more| faults.extend(more))
        .ok();
    match (template, sweep, wishes) {
        (Some(template), Some(sweep), Some(wishes)) if faults.is_empty() => Ok(ExperimentSpec {
            name: form.name,
            question: form.question,
            seeds,
            text,
            report_json: serde_json::to_value(&wishes).expect("wishes are plain data"),
            report_options: wishes,
            baseline: template,
            sweep,
            path: path.to_owned(),
            document: tree,
        }),
        _ => Err(ConfigError::Invalid(faults)),
    }
}

fn parse_baseline(tree: &SpannedValue) -> Result<Baseline, Vec<Diagnostic>> {
    let Some(run) = tree.get("run") else {
        let fault = Diagnostic::new("run", "this table is required: it holds the baseline run");
        return Err(vec![
            fault
                .with_hint("write [run] with at least `base` and `task`.")
                .with_span(tree.span.as_ref()),
        ]);
    };
    Baseline::new(run.clone())
}

/// The text of a file, or why there is none.
pub(super) fn read_text_file(path: &Path, advice: &str) -> Result<String, ConfigError> {
    let unreadable = |cause: String, advice: &str| ConfigError::Unreadable {
        path: path.to_owned(),
        cause,
        advice: advice.to_owned(),
    };
    let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string(), advice))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        unreadable(
            format!("byte {good} is not UTF-8"),
            "save the file as UTF-8 text",
        )
    })
}

/// Lays a file over the one it extends: `[run]` field by field, other tables as a whole.
fn apply_extends(tree: &mut SpannedValue, path: &Path, parent: &str) -> Result<(), ConfigError> {
    let place = tree.get("extends").and_then(|node| node.span.clone());
    let file = path.parent().unwrap_or_else(|| Path::new("")).join(parent);
    let text = read_text_file(
        &file,
        "`extends` is a path relative to the file that says it",
    )?;
    let mut below = SpannedValue::parse(&file.display().to_string(), &text)?;
    let form: ExperimentTable = deserialize_all(&below, "").map_err(ConfigError::Invalid)?;
    if form.extends.is_some() {
        let complaint = format!("{parent} extends another file itself");
        let fault = Diagnostic::new("extends", complaint)
            .with_hint("only one level is possible; write the settings out.");
        return Err(fault.with_span(place.as_ref()).into());
    }
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
    let line = |value: &str| SpannedValue::parse("--set", &format!("{at} = {value}"));
    let quoted = || line(&Value::String(value.to_owned()).to_string());
    let node = line(value).or_else(|_| quoted())?;
    let Some(node) = node.find(at) else {
        return Err(Diagnostic::new(at, "not a path of fields").into());
    };
    let inside_run = |path: &str| path.strip_prefix("run.").is_some_and(is_struct_path);
    tree.overlay(&format!("run.{at}"), node, &inside_run)?;
    Ok(())
}

fn header_diagnostics(tree: &SpannedValue) -> Vec<Diagnostic> {
    let mut faults = vec![];
    if let Some(SpannedValue {
        content: TomlValue::String(name),
        span: place,
        ..
    }) = tree.get("name")
    {
        let tame = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        if name.is_empty() || !name.chars().all(tame) {
            let fault =
                Diagnostic::new("name", format!("\"{name}\" cannot be the name of a folder"));
            faults.push(
                fault
                    .with_hint("use letters, digits, - and _ only.")
                    .with_span(place.as_ref()),
            );
        }
    } else {
        let fault = Diagnostic::new("name", "this field is required")
            .with_hint("write name = \"...\" in the first line.");
        faults.push(fault.with_span(tree.span.as_ref()));
    }
    if let Some(seed) = tree.find("run.seed") {
        faults.push(
            Diagnostic::new("run.seed", "not set here")
                .with_hint(SEEDS_HINT)
                .with_span(seed.key_span.as_ref().or(seed.span.as_ref())),
        );
    }
    faults
}

fn parse_seeds(tree: &SpannedValue, faults: &mut Vec<Diagnostic>) -> Vec<u64> {
    let Some(node) = tree.get("seeds") else {
        return vec![0];
    };
    let seeds: Vec<u64> = typed(node).unwrap_or_default();
    if let Some(complaint) = seeds_error(&seeds) {
        faults.push(Diagnostic::new("seeds", complaint).with_span(node.span.as_ref()));
    }
    seeds
}

/// What is wrong with a list of seeds, if anything.
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
