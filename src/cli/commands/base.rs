//! `rise-lab base` builds a base model from its recipe, with the stages of a sweep.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use toml_edit::{DocumentMut, Item, Table, value};

use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::event_sink::EventSink;
use crate::cli::experiment::available_cores;
use crate::cli::format::{ProportionEstimate, wilson_interval};
use crate::cli::interrupt::InterruptHandler;
use crate::config::{BaseModelSpec, BundledCheckpoint, RunSpec, read_base_model_spec};
use crate::domain::Key;
use crate::pipeline::{
    BaseModelRegistry, PlanError, StageGraph, StageManifest, StageSpec, Workspace, plan_run,
    read_results,
};
use crate::sweep::{SweepError, WorkerCommand, execute_graph};

use super::show::paper_metrics;

/// `rise-lab base`.
#[derive(Debug, Args)]
pub struct BaseArguments {
    /// The base model's recipe
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Retrain it, even if it is shipped or in the store
    #[arg(long)]
    pub rebuild: bool,
    /// Write checkpoint and tokenizer into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Write checkpoint, tokenizer and hash next to the recipe
    #[arg(long, conflicts_with = "out")]
    pub ship: bool,
}

/// The tokenizer's file name, and the end of a shipped one's.
const TOKENIZER_FILE: &str = "tokenizer.json";

/// The end of the weights' file name.
const WEIGHTS_EXTENSION: &str = "safetensors";

/// Builds a base model, evaluates it, and compares it with the shipped one.
///
/// # Errors
/// If the recipe is wrong, a stage fails, or a file cannot be written.
pub fn base(
    arguments: &BaseArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let (folder, name) = recipe_folder_and_name(&arguments.file)?;
    let mut spec = read_base_model_spec(&folder, &name)?;
    // The lock on the store keeps others from working on the same stages.
    let _store = environment.open_store()?;
    // A retrained model has the key of the shipped one, so it needs another workspace.
    let retrains = arguments.rebuild || arguments.ship;
    let (models, workspace) = if retrains {
        (
            BaseModelRegistry::without_shipped_checkpoints(&folder),
            Workspace::new(environment.store_dir.join("rebuild")),
        )
    } else {
        (BaseModelRegistry::new(&folder), environment.workspace())
    };
    let plan = BaseModelPlan::for_base_model(&spec, &name, &models)?;
    if retrains {
        remove_weights(&workspace, &plan.weights)?;
    }
    if let Some(exit) = execute_open_stages(&plan.graph, &workspace, environment)? {
        return Ok(exit);
    }
    let built = BuiltBaseModel::read(&workspace, &plan)?;
    if arguments.ship {
        built.ship(&workspace, &spec, &arguments.file)?;
        spec = read_base_model_spec(&folder, &name)?;
    } else if let Some(folder) = &arguments.out {
        built.copy_files(&workspace, folder, &spec.name)?;
    }
    environment
        .output
        .print_result(|| built.text(&spec), &built.document(&spec))?;
    Ok(ExitReason::Success)
}

/// The folder and the name of the base model in this file.
fn recipe_folder_and_name(file: &Path) -> Result<(PathBuf, String), CliError> {
    let name = file.file_stem().filter(|_| {
        file.extension()
            .is_some_and(|extension| extension == "toml")
    });
    let Some(name) = name else {
        return Err(CliError::usage(format!(
            "{} is not the TOML file of a base model",
            file.display()
        )));
    };
    Ok((
        file.parent().unwrap_or_else(|| Path::new("")).to_owned(),
        name.to_string_lossy().into_owned(),
    ))
}

/// The stages of a base model and of its evaluation on its own task.
struct BaseModelPlan {
    graph: StageGraph,
    weights: Key,
    evaluation: Key,
}

impl BaseModelPlan {
    fn for_base_model(
        spec: &BaseModelSpec,
        name: &str,
        models: &BaseModelRegistry,
    ) -> Result<Self, CliError> {
        let mut run =
            evaluation_run(spec, name).map_err(|error| CliError::new(ExitReason::Bug, error))?;
        let mut graph = StageGraph::default();
        let mut planned = plan_run(&run, models, &mut graph);
        if let Some(available) = planned
            .as_ref()
            .err()
            .and_then(PlanError::available_test_problems)
        {
            run.data.test = available;
            graph = StageGraph::default();
            planned = plan_run(&run, models, &mut graph);
        }
        let planned = planned.map_err(|error| CliError::new(ExitReason::Usage, error))?;
        match planned.checkpoints.into_iter().next() {
            Some(checkpoint) => Ok(Self {
                graph,
                weights: checkpoint.weights,
                evaluation: checkpoint.evaluation,
            }),
            None => Err(CliError::new(
                ExitReason::Bug,
                anyhow::anyhow!("a run without rounds has no base model"),
            )),
        }
    }
}

/// A run without rounds: only the base model and its evaluation, with the prompts of its training.
/// It needs no training problems, so it requests the minimum.
fn evaluation_run(spec: &BaseModelSpec, name: &str) -> serde_json::Result<RunSpec> {
    serde_json::from_value(json!({
        "base": name,
        "task": spec.task,
        "rounds": { "count": 0 },
        "data": { "train": 1, "validation": 0 },
        "collect": {
            "retry": spec.prompt.retry,
            "repeat_question": spec.prompt.repeat_question,
            "answer_form": spec.prompt.answer_form,
        },
    }))
}

/// Removes finished weights, so that they are trained again; partial training resumes.
fn remove_weights(workspace: &Workspace, weights: &Key) -> Result<(), CliError> {
    let folder = workspace.stage_folder(weights);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| CliError::cannot_write(&folder, error))?;
    }
    Ok(())
}

/// Executes the open stages; returns the exit code if a stop interrupts it.
fn execute_open_stages(
    graph: &StageGraph,
    workspace: &Workspace,
    environment: &CliEnvironment,
) -> Result<Option<ExitReason>, CliError> {
    let interrupt = InterruptHandler::install()?;
    let command = WorkerCommand::this_program(workspace.root()).map_err(SweepError::SpawnWorker)?;
    let mut events = EventSink::new(environment.output);
    let outcome = execute_graph(
        graph,
        workspace,
        command,
        available_cores(),
        interrupt.stop_signal(),
        &mut |event| events.on_event(&event),
    );
    interrupt.disarm();
    events.finish()?;
    let outcome = outcome?;
    if outcome.interrupted {
        environment
            .output
            .print_note("stopped; run the same command to resume");
        return Ok(Some(ExitReason::Interrupted));
    }
    match outcome.failed.into_values().next() {
        Some(reason) => Err(CliError::new(
            ExitReason::RunsFailed,
            anyhow::anyhow!("{reason}"),
        )),
        None => Ok(None),
    }
}

/// A base model in a workspace.
struct BuiltBaseModel {
    manifest: StageManifest,
    /// File name of the weights in the stage's folder.
    weights_file: String,
    sha256: Key,
    scores: BTreeMap<String, ProportionEstimate>,
}

impl BuiltBaseModel {
    fn read(workspace: &Workspace, plan: &BaseModelPlan) -> Result<Self, CliError> {
        let manifest = workspace.find_manifest(&plan.weights)?;
        let weights = manifest.as_ref().and_then(|manifest| {
            let mut files = manifest.artifacts.iter();
            files.find(|file| file.name.ends_with(WEIGHTS_EXTENSION))
        });
        let weights = weights.cloned();
        let Some((manifest, weights)) = manifest.zip(weights) else {
            let error = anyhow::anyhow!("the base model's stage left no weights");
            return Err(CliError::new(ExitReason::Bug, error));
        };
        Ok(Self {
            weights_file: weights.name,
            sha256: weights.sha256,
            manifest,
            scores: evaluation_scores(workspace, plan)?,
        })
    }

    fn instruction_set(&self) -> &str {
        self.manifest
            .origin
            .get("instruction_set")
            .and_then(Value::as_str)
            .unwrap_or("unknown")
    }

    /// Whether it has the bytes of the shipped one; none without a shipped one.
    fn matches_bundled(&self, spec: &BaseModelSpec) -> Option<bool> {
        spec.checkpoint
            .as_ref()
            .map(|shipped| shipped.sha256 == self.sha256.as_str())
    }

    /// Copies weights and tokenizer into a folder under the model's name.
    fn copy_files(
        &self,
        workspace: &Workspace,
        folder: &Path,
        name: &str,
    ) -> Result<(PathBuf, PathBuf), CliError> {
        fs::create_dir_all(folder).map_err(|error| CliError::cannot_write(folder, error))?;
        let files = (
            PathBuf::from(format!("{name}.{WEIGHTS_EXTENSION}")),
            PathBuf::from(format!("{name}.{TOKENIZER_FILE}")),
        );
        let pairs = [
            (
                workspace.stage_file(&self.manifest.key, &self.weights_file),
                &files.0,
            ),
            (
                workspace.stage_file(&self.manifest.key, TOKENIZER_FILE),
                &files.1,
            ),
        ];
        for (from, to) in pairs {
            let to = folder.join(to);
            fs::copy(from, &to).map_err(|error| CliError::cannot_write(&to, error))?;
        }
        Ok(files)
    }

    /// Copies weights and tokenizer next to the recipe and writes their hash into it.
    fn ship(
        &self,
        workspace: &Workspace,
        spec: &BaseModelSpec,
        file: &Path,
    ) -> Result<(), CliError> {
        let folder = file.parent().unwrap_or_else(|| Path::new(""));
        let (weights, tokenizer) = self.copy_files(workspace, folder, &spec.name)?;
        let shipped = BundledCheckpoint {
            file: weights,
            tokenizer,
            sha256: self.sha256.to_string(),
            instruction_set: self.instruction_set().to_owned(),
            recipe: spec.recipe_key().to_string(),
        };
        let text = fs::read_to_string(file).map_err(|error| CliError::cannot_write(file, error))?;
        fs::write(file, with_checkpoint(&text, &shipped)?)
            .map_err(|error| CliError::cannot_write(file, error))
    }

    fn text(&self, spec: &BaseModelSpec) -> String {
        let verdict = match (&spec.checkpoint, self.matches_bundled(spec)) {
            (Some(_), Some(true)) => "the same bytes as the shipped checkpoint".to_owned(),
            (Some(shipped), _) => format!(
                "other bytes than the shipped checkpoint ({}, made on {}); \
                 only another instruction set explains this",
                shipped.sha256, shipped.instruction_set
            ),
            (None, _) => "no checkpoint is shipped with this recipe".to_owned(),
        };
        let mut lines = vec![spec.name.clone()];
        lines.push(format!("  sha256: {}", self.sha256));
        lines.push(format!("  made on: {}", self.instruction_set()));
        let counts = self.manifest.counts.as_object().into_iter().flatten();
        lines.extend(counts.map(|(name, count)| format!("  {name}: {count}")));
        lines.extend(
            self.scores
                .iter()
                .map(|(name, score)| format!("  {name}: {score} %")),
        );
        lines.push(verdict + "\n");
        lines.join("\n")
    }

    fn document(&self, spec: &BaseModelSpec) -> Value {
        json!({
            "name": spec.name,
            "recipe": spec.recipe_key(),
            "sha256": self.sha256,
            "origin": self.manifest.origin,
            "counts": self.manifest.counts,
            "seconds": self.manifest.seconds,
            "scores": self.scores,
            "shipped": spec.checkpoint,
            "equal": self.matches_bundled(spec),
        })
    }
}

/// The scores on the model's own task, by metric, in [0, 1] with 95 % intervals.
fn evaluation_scores(
    workspace: &Workspace,
    plan: &BaseModelPlan,
) -> Result<BTreeMap<String, ProportionEstimate>, CliError> {
    let (Some(stage), Some(manifest)) = (
        plan.graph.get(&plan.evaluation),
        workspace.find_manifest(&plan.evaluation)?,
    ) else {
        return Ok(BTreeMap::new());
    };
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let wanted = match &stage.spec {
        StageSpec::Evaluate(stage) => paper_metrics(stage.turns.into(), stage.samples.into()),
        _ => Vec::new(),
    };
    for score in read_results(stage, workspace, &manifest)?.scores {
        if wanted.contains(&score.metric) {
            values.entry(score.metric).or_default().push(score.value);
        }
    }
    Ok(values
        .into_iter()
        .filter_map(|(name, values)| Some((name, wilson_interval(&values)?)))
        .collect())
}

/// A recipe's text with its `[checkpoint]` replaced; comments and order stay.
fn with_checkpoint(text: &str, shipped: &BundledCheckpoint) -> Result<String, CliError> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error| CliError::new(ExitReason::Usage, anyhow::Error::new(error)))?;
    let mut table = Table::new();
    table["file"] = value(shipped.file.to_string_lossy().as_ref());
    table["tokenizer"] = value(shipped.tokenizer.to_string_lossy().as_ref());
    table["sha256"] = value(&shipped.sha256);
    table["instruction_set"] = value(&shipped.instruction_set);
    table["recipe"] = value(&shipped.recipe);
    document["checkpoint"] = Item::Table(table);
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_keeps_its_comments_when_a_checkpoint_is_shipped() {
        let shipped = BundledCheckpoint {
            file: "weak.safetensors".into(),
            tokenizer: "weak.tokenizer.json".into(),
            sha256: "ab".to_owned(),
            instruction_set: "avx2".to_owned(),
            recipe: "cd".to_owned(),
        };
        let text = "# A weak one.\nproblems = 3 # few\n\n[checkpoint]\nfile = \"old\"\n";
        insta::assert_snapshot!(with_checkpoint(text, &shipped).unwrap(), @r#"
        # A weak one.
        problems = 3 # few

        [checkpoint]
        file = "weak.safetensors"
        tokenizer = "weak.tokenizer.json"
        sha256 = "ab"
        instruction_set = "avx2"
        recipe = "cd"
        "#);
    }
}
