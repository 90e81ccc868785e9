//! Experiment files: a question, a baseline run, what varies, and what the report should show.
//!
//! Hides how a file, the one it extends and the command line are laid over each other.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::fault::{Fault, SpecError};
use super::read::{read as typed, read_all};
use super::setting::{SEEDS, Template, is_record};
use super::sweep::{SweepSpec, sweep};
use super::tree::{Content, Node};
use super::wishes::Wishes;

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
    pub wishes: Wishes,
    /// The wishes as JSON.
    pub report: Value,
    /// The baseline run, and the way to settings of other runs.
    pub template: Template,
    /// What varies.
    pub sweep: SweepSpec,
    /// The file.
    pub path: PathBuf,
    tree: Node,
}

impl ExperimentSpec {
    /// A fault of the experiment, shown at the value with this dotted path; items of lists are
    /// numbered from 0.
    #[must_use]
    pub fn fault(&self, path: &str, complaint: impl Into<String>) -> Fault {
        Fault::new(path, complaint).at(self.tree.closest(path))
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
struct Form {
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
pub fn read(path: &Path, overrides: &[(String, String)]) -> Result<ExperimentSpec, SpecError> {
    let text = text_of(path, "is this the right path?")?;
    let mut tree = Node::parse(&path.display().to_string(), &text)?;
    let form: Form = read_all(&tree, "").map_err(SpecError::Faulty)?;
    if let Some(parent) = &form.extends {
        extend(&mut tree, path, parent)?;
    }
    for (at, value) in overrides {
        set(&mut tree, at, value)?;
    }
    let mut faults = header_faults(&tree);
    let seeds = seeds_of(&tree, &mut faults);
    let template = template_of(&tree).map_err(|more| faults.extend(more)).ok();
    let parts = |name: &str| tree.get(name).cloned().unwrap_or_else(Node::empty);
    let sweep = sweep(&parts("sweep"))
        .map_err(|more| faults.extend(more))
        .ok();
    let wishes = read_all::<Wishes>(&parts("report"), "report")
        .map_err(|more| faults.extend(more))
        .ok();
    match (template, sweep, wishes) {
        (Some(template), Some(sweep), Some(wishes)) if faults.is_empty() => Ok(ExperimentSpec {
            name: form.name,
            question: form.question,
            seeds,
            text,
            report: serde_json::to_value(&wishes).expect("wishes are plain data"),
            wishes,
            template,
            sweep,
            path: path.to_owned(),
            tree,
        }),
        _ => Err(SpecError::Faulty(faults)),
    }
}

fn template_of(tree: &Node) -> Result<Template, Vec<Fault>> {
    let Some(run) = tree.get("run") else {
        let fault = Fault::new("run", "this table is required: it holds the baseline run");
        return Err(vec![
            fault
                .hint("write [run] with at least `base` and `task`.")
                .at(tree.place.as_ref()),
        ]);
    };
    Template::new(run.clone())
}

/// The text of a file, or why there is none.
pub(super) fn text_of(path: &Path, advice: &str) -> Result<String, SpecError> {
    let unreadable = |cause: String, advice: &str| SpecError::Unreadable {
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
fn extend(tree: &mut Node, path: &Path, parent: &str) -> Result<(), SpecError> {
    let place = tree.get("extends").and_then(|node| node.place.clone());
    let file = path.parent().unwrap_or_else(|| Path::new("")).join(parent);
    let text = text_of(
        &file,
        "`extends` is a path relative to the file that says it",
    )?;
    let mut below = Node::parse(&file.display().to_string(), &text)?;
    let form: Form = read_all(&below, "").map_err(SpecError::Faulty)?;
    if form.extends.is_some() {
        let complaint = format!("{parent} extends another file itself");
        let fault = Fault::new("extends", complaint)
            .hint("only one level is possible; write the settings out.");
        return Err(fault.at(place.as_ref()).into());
    }
    for name in ["name", "question"] {
        below.remove(name);
    }
    let inside_run = |path: &str| path == "run" || path.strip_prefix("run.").is_some_and(is_record);
    for (name, node) in tree.members() {
        below.lay(name, node, &inside_run)?;
    }
    below.place.clone_from(&tree.place);
    *tree = below;
    Ok(())
}

/// Lays a value from the command line over `[run]`.
fn set(tree: &mut Node, at: &str, value: &str) -> Result<(), SpecError> {
    let line = |value: &str| Node::parse("--set", &format!("{at} = {value}"));
    let quoted = || line(&Value::String(value.to_owned()).to_string());
    let node = line(value).or_else(|_| quoted())?;
    let Some(node) = node.find(at) else {
        return Err(Fault::new(at, "not a path of fields").into());
    };
    let inside_run = |path: &str| path.strip_prefix("run.").is_some_and(is_record);
    tree.lay(&format!("run.{at}"), node, &inside_run)?;
    Ok(())
}

fn header_faults(tree: &Node) -> Vec<Fault> {
    let mut faults = vec![];
    if let Some(Node {
        content: Content::Text(name),
        place,
        ..
    }) = tree.get("name")
    {
        let tame = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        if name.is_empty() || !name.chars().all(tame) {
            let fault = Fault::new("name", format!("\"{name}\" cannot be the name of a folder"));
            faults.push(
                fault
                    .hint("use letters, digits, - and _ only.")
                    .at(place.as_ref()),
            );
        }
    } else {
        let fault = Fault::new("name", "this field is required")
            .hint("write name = \"...\" in the first line.");
        faults.push(fault.at(tree.place.as_ref()));
    }
    if let Some(seed) = tree.find("run.seed") {
        faults.push(
            Fault::new("run.seed", "not set here")
                .hint(SEEDS)
                .at(seed.name.as_ref().or(seed.place.as_ref())),
        );
    }
    faults
}

fn seeds_of(tree: &Node, faults: &mut Vec<Fault>) -> Vec<u64> {
    let Some(node) = tree.get("seeds") else {
        return vec![0];
    };
    let seeds: Vec<u64> = typed(node).unwrap_or_default();
    if let Some(complaint) = seeds_complaint(&seeds) {
        faults.push(Fault::new("seeds", complaint).at(node.place.as_ref()));
    }
    seeds
}

/// What is wrong with a list of seeds, if anything.
pub(super) fn seeds_complaint(seeds: &[u64]) -> Option<String> {
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
