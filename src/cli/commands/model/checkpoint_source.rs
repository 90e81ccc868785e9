//! Finds a checkpoint (a folder, a base-model recipe or a run) with its sampling and its prompts.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::commands::show::find_run;
use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::config::{BaseModel, HfCheckpoint, RunSpec};
use crate::data::{PromptConfig, RetryMessage};
use crate::domain::SamplingConfig;
use crate::model::checkpoint::{
    ADAPTER_CONFIG_FILE, CONFIG_FILE, CheckpointLink, CheckpointReport, GENERATION_CONFIG_FILE,
    LINK_FILE, inspect, inspect_linked, read_checkpoint_config,
};
use crate::model::{CheckpointFolder, ExecutionContext, LanguageModel, ModelConfig, Precision};
use crate::pipeline::BaseModelRegistry;
use crate::store::{CheckpointRow, RunRow, StoreError};

/// The most tokens of an answer, if the checkpoint sets no limit.
const DEFAULT_MAX_TOKENS: usize = 512;

/// The checkpoint that a command works on.
#[derive(Clone, Debug, Args)]
pub struct CheckpointArguments {
    /// A checkpoint folder, a base-model recipe, or a run
    #[arg(value_name = "PATH|RUN")]
    pub source: String,
    /// Use this checkpoint of a run [default: the last finished]
    #[arg(long, value_name = "NAME")]
    pub checkpoint: Option<String>,
}

/// A checkpoint with its settings.
#[derive(Debug)]
pub struct CheckpointSource {
    files: SourceFiles,
    /// Its name.
    pub name: String,
    /// Its origin as (name, value) lines.
    pub origin: Vec<(&'static str, String)>,
    /// The settings of the run, or of the base model.
    pub settings: Option<Value>,
    /// Its default sampling.
    pub sampling: SamplingConfig,
    /// Its prompts.
    pub prompt: PromptConfig,
}

/// The files of a checkpoint.
#[derive(Debug)]
enum SourceFiles {
    Folder(PathBuf),
    Linked(Box<CheckpointLink>),
    BaseModel {
        config: Box<ModelConfig>,
        weights: PathBuf,
        tokenizer: PathBuf,
    },
}

impl CheckpointSource {
    /// Finds the checkpoint that the arguments name.
    ///
    /// # Errors
    /// If there is no such folder, recipe or run, or it has no such checkpoint.
    pub fn find(
        arguments: &CheckpointArguments,
        environment: &CliEnvironment,
    ) -> Result<Self, CliError> {
        let path = Path::new(&arguments.source);
        let is_folder = path.is_dir();
        if !is_folder && !path.is_file() {
            return Self::from_run(arguments, environment);
        }
        let shown = path.display();
        if arguments.checkpoint.is_some() {
            let message = format!("--checkpoint needs a run, and {shown} is not a run");
            return Err(CliError::usage(message));
        }
        if is_folder {
            return Self::from_folder(path);
        }
        if path.extension().is_some_and(|end| end == "toml") {
            return Self::from_recipe(path);
        }
        Err(
            CliError::usage(format!("{shown} is not a base-model recipe"))
                .with_hint("name the folder of the checkpoint's files"),
        )
    }

    /// Reads the model.
    ///
    /// # Errors
    /// If a file is missing or damaged, or the parts do not fit each other.
    pub fn load(&self, context: &ExecutionContext) -> Result<LanguageModel, CliError> {
        let model = match &self.files {
            SourceFiles::Folder(folder) => CheckpointFolder::load(folder, context),
            SourceFiles::Linked(link) => CheckpointFolder::load_linked(link, context),
            SourceFiles::BaseModel {
                config,
                weights,
                tokenizer,
            } => CheckpointFolder::load_parts(config, weights, tokenizer, context),
        };
        Ok(model?)
    }

    /// Its precision; none for adapters, whose base decides.
    pub fn precision(&self) -> Option<Precision> {
        match &self.files {
            SourceFiles::Linked(link) => Some(link.precision),
            SourceFiles::BaseModel { .. } => Some(Precision::default()),
            SourceFiles::Folder(folder) if has_external_weights(folder) => None,
            SourceFiles::Folder(folder) => Some(configured_precision(folder).unwrap_or_default()),
        }
    }

    /// The same checkpoint in another precision.
    ///
    /// # Errors
    /// If its run, the base of its adapters or the kernels of a shipped model decide.
    pub fn with_precision(mut self, precision: Precision) -> Result<Self, CliError> {
        if self.precision() == Some(precision) {
            return Ok(self);
        }
        match &mut self.files {
            SourceFiles::Linked(link) => link.precision = precision,
            SourceFiles::Folder(folder)
                if !has_external_weights(folder) && configured_precision(folder).is_none() =>
            {
                let mut link = CheckpointLink::to_folder(folder);
                link.precision = precision;
                self.files = SourceFiles::Linked(Box::new(link));
            }
            SourceFiles::Folder(_) | SourceFiles::BaseModel { .. } => {
                let error = CliError::usage(format!("--precision does not apply to {}", self.name));
                return Err(error.with_hint("the `precision` of the base model decides"));
            }
        }
        Ok(self)
    }

    /// Inspects the files.
    pub fn inspect(&self) -> CheckpointReport {
        match &self.files {
            SourceFiles::Folder(folder) => inspect(folder),
            SourceFiles::Linked(link) => inspect_linked(link),
            SourceFiles::BaseModel {
                config,
                weights,
                tokenizer,
            } => CheckpointReport::from_files(config, weights, tokenizer),
        }
    }

    fn from_folder(path: &Path) -> Result<Self, CliError> {
        let is_checkpoint = [CONFIG_FILE, LINK_FILE, ADAPTER_CONFIG_FILE]
            .iter()
            .any(|name| path.join(name).exists());
        if !is_checkpoint {
            let error = CliError::usage(format!(
                "{} is not a checkpoint: it has no {CONFIG_FILE}",
                path.display()
            ));
            return Err(error.with_hint(
                "name a folder with config.json, model.safetensors and tokenizer.json",
            ));
        }
        let absolute = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let name = absolute.file_name().unwrap_or(path.as_os_str());
        let name = name.to_string_lossy().into_owned();
        Ok(Self {
            files: SourceFiles::Folder(path.to_owned()),
            name,
            origin: vec![("checkpoint", path.display().to_string())],
            settings: None,
            sampling: configured_sampling(path),
            prompt: PromptConfig::default(),
        })
    }

    /// A Hugging Face checkpoint with the settings of a base model's file.
    fn from_hf_checkpoint(given: HfCheckpoint) -> Result<Self, CliError> {
        let mut source = Self::from_folder(&given.hf)?;
        source.name = given.label();
        if given.precision != Precision::default() {
            source
                .origin
                .push(("precision", given.precision.name().to_owned()));
        }
        let mut link = CheckpointLink::to_folder(&given.hf);
        link.precision = given.precision;
        link.chat_template = given.chat_template;
        link.positions = given.positions;
        source.files = SourceFiles::Linked(Box::new(link));
        Ok(source)
    }

    fn from_recipe(path: &Path) -> Result<Self, CliError> {
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let base = match BaseModelRegistry::new(folder)
            .get(&name)
            .map_err(|error| CliError::new(ExitReason::Usage, error))?
        {
            BaseModel::Recipe(base) => *base,
            BaseModel::Checkpoint(checkpoint) => return Self::from_hf_checkpoint(checkpoint),
        };
        let Some(shipped) = &base.checkpoint else {
            let path = path.display();
            return Err(CliError::usage(format!("{path} has no shipped checkpoint"))
                .with_hint(format!("make one with `rise-lab base {path} --ship`")));
        };
        Ok(Self {
            files: SourceFiles::BaseModel {
                config: Box::new(base.model.clone()),
                weights: shipped.file.clone(),
                tokenizer: shipped.tokenizer.clone(),
            },
            origin: vec![
                ("base model", name.clone()),
                ("description", base.description.clone()),
            ],
            name,
            settings: serde_json::to_value(&base).ok(),
            sampling: SamplingConfig::default(),
            prompt: base.corpus_prompt(),
        })
    }

    fn from_run(
        arguments: &CheckpointArguments,
        environment: &CliEnvironment,
    ) -> Result<Self, CliError> {
        let reader = environment
            .open_reader()
            .map_err(|error| not_found(&arguments.source, error, environment))?;
        let run = find_run(&reader, &arguments.source)?;
        let rows = reader
            .checkpoints(&run.experiment)?
            .into_iter()
            .filter(|row| row.run == run.key);
        let (row, folder) = find_checkpoint(
            &run,
            rows.collect(),
            arguments.checkpoint.as_deref(),
            environment,
        )?;
        let origin = vec![
            ("run", run.label.clone()),
            ("experiment", run.experiment.clone()),
            ("key", run.key.to_string()),
            ("checkpoint", row.name.clone()),
            ("stage", row.weights.to_string()),
        ];
        Ok(Self {
            files: SourceFiles::Folder(folder),
            name: format!("{}, {}", run.label, row.name),
            origin,
            sampling: parse_setting(&run.spec["evaluate"]["sampling"]).unwrap_or_default(),
            prompt: run_prompt(&run.spec),
            settings: Some(run.spec),
        })
    }
}

/// The precision of a run's checkpoint, if it is not the default.
fn configured_precision(folder: &Path) -> Option<Precision> {
    read_checkpoint_config(&folder.join(CONFIG_FILE))
        .ok()?
        .precision
}

/// Whether some of a folder's weights are in another folder.
fn has_external_weights(folder: &Path) -> bool {
    [LINK_FILE, ADAPTER_CONFIG_FILE]
        .iter()
        .any(|name| folder.join(name).exists())
}

/// The error for a name that is no path, where no store can hold a run of that name.
fn not_found(given: &str, error: CliError, environment: &CliEnvironment) -> CliError {
    match error.error.downcast_ref() {
        Some(StoreError::Missing { .. }) => CliError::usage(format!(
            "`{given}` is not a checkpoint folder, a recipe or a run (no store at {})",
            environment.store_dir.display()
        ))
        .with_hint(
            "name a checkpoint folder, a base-model recipe, or a run and its store with --store",
        ),
        _ => error,
    }
}

/// The finished checkpoint with this name, or the last finished one.
fn find_checkpoint(
    run: &RunRow,
    rows: Vec<CheckpointRow>,
    name: Option<&str>,
    environment: &CliEnvironment,
) -> Result<(CheckpointRow, PathBuf), CliError> {
    let workspace = environment.workspace();
    let mut finished = Vec::new();
    for row in rows {
        if workspace.find_manifest(&row.weights)?.is_some() {
            finished.push(row);
        }
    }
    let names = finished
        .iter()
        .map(|row| format!("`{}`", row.name))
        .collect::<Vec<_>>()
        .join(", ");
    let selected = match name {
        None => finished.pop(),
        Some(name) => finished.into_iter().find(|row| row.name == name),
    };
    if let Some(row) = selected {
        let folder = workspace.stage_folder(&row.weights);
        return Ok((row, folder));
    }
    let label = &run.label;
    Err(match name {
        Some(name) if !names.is_empty() => CliError::usage(format!(
            "run `{label}` has no finished checkpoint `{name}`; it has {names}"
        )),
        _ => CliError::usage(format!("run `{label}` has no finished checkpoint yet"))
            .with_hint("train it with `rise-lab sweep`"),
    })
}

/// The prompts of a run's evaluation.
fn run_prompt(spec: &Value) -> PromptConfig {
    let (collect, evaluate) = (&spec["collect"], &spec["evaluate"]);
    let retry: Option<RetryMessage> =
        parse_setting(&evaluate["retry"]).or_else(|| parse_setting(&collect["retry"]));
    let default = PromptConfig::default();
    PromptConfig {
        retry: retry.unwrap_or(default.retry),
        repeat_question: parse_setting(&collect["repeat_question"])
            .unwrap_or(default.repeat_question),
        answer_form: parse_setting::<RunSpec>(spec).and_then(|run| run.eval_answer_form()),
    }
}

fn parse_setting<'a, T: Deserialize<'a>>(value: &'a Value) -> Option<T> {
    let value = Some(value).filter(|value| !value.is_null())?;
    T::deserialize(value).ok()
}

/// The sampling of a checkpoint's generation config.
fn configured_sampling(folder: &Path) -> SamplingConfig {
    let text = fs::read_to_string(folder.join(GENERATION_CONFIG_FILE)).unwrap_or_default();
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    let default = SamplingConfig {
        max_tokens: DEFAULT_MAX_TOKENS,
        ..SamplingConfig::default()
    };
    let temperature = if json["do_sample"] == Value::Bool(false) {
        Some(0.0)
    } else {
        parse_setting(&json["temperature"])
    };
    let sampling = SamplingConfig {
        temperature: temperature.unwrap_or(default.temperature),
        top_k: parse_setting(&json["top_k"]).unwrap_or(default.top_k),
        top_p: parse_setting(&json["top_p"]).unwrap_or(default.top_p),
        max_tokens: parse_setting(&json["max_new_tokens"]).unwrap_or(default.max_tokens),
    };
    if sampling.first_error().is_some() {
        default
    } else {
        sampling
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_has_the_prompts_of_its_evaluation() {
        let spec = json!({ "collect": { "retry": "neutral", "repeat_question": false } });
        assert_eq!(
            run_prompt(&spec),
            PromptConfig {
                retry: RetryMessage::Neutral,
                repeat_question: false,
                answer_form: None
            }
        );
        let spec = json!({ "collect": { "retry": "neutral" }, "evaluate": { "retry": "none" } });
        assert_eq!(
            run_prompt(&spec),
            PromptConfig {
                retry: RetryMessage::None,
                repeat_question: true,
                answer_form: None
            }
        );
        assert_eq!(run_prompt(&json!({})), PromptConfig::default());
    }

    #[test]
    fn a_checkpoint_samples_as_its_configuration_says() {
        let folder = tempfile::tempdir().unwrap();
        let default = SamplingConfig {
            max_tokens: 512,
            ..SamplingConfig::default()
        };
        assert_eq!(configured_sampling(folder.path()), default);
        let own = SamplingConfig {
            temperature: 0.7,
            top_p: 0.8,
            top_k: 20,
            max_tokens: 512,
        };
        let greedy = SamplingConfig {
            temperature: 0.0,
            ..default
        };
        for (config, sampling) in [
            (
                json!({ "temperature": 0.7, "top_p": 0.8, "top_k": 20, "do_sample": true }),
                own,
            ),
            (json!({ "do_sample": false, "temperature": 0.7 }), greedy),
            (json!({ "temperature": -1.0 }), default),
        ] {
            let file = folder.path().join("generation_config.json");
            fs::write(file, config.to_string()).unwrap();
            assert_eq!(configured_sampling(folder.path()), sampling);
        }
    }
}
