//! Which checkpoint is meant: a folder, a base model's recipe, or a run; and what is known of how it
//! samples and what it was told.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
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

/// The most tokens of an answer of a checkpoint that says nothing of it.
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

/// A checkpoint, and what is known of it.
#[derive(Debug)]
pub struct CheckpointSource {
    files: SourceFiles,
    /// What it is called.
    pub name: String,
    /// Where it comes from, as lines of a name and a value.
    pub origin: Vec<(&'static str, String)>,
    /// The settings of the run, or of the base model.
    pub settings: Option<Value>,
    /// How it samples where nothing else is said.
    pub sampling: SamplingConfig,
    /// What it is told after an attempt.
    pub prompt: PromptConfig,
}

/// Where the files are.
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
    /// Finds what is meant.
    ///
    /// # Errors
    /// If there is no such folder, recipe or run, or it has no such checkpoint.
    pub fn find(
        arguments: &CheckpointArguments,
        environment: &CliEnvironment,
    ) -> Result<Self, CliError> {
        let path = Path::new(&arguments.source);
        let is_recipe = path.is_file()
            && path
                .extension()
                .is_some_and(|extension| extension == "toml");
        if (path.is_dir() || path.is_file()) && arguments.checkpoint.is_some() {
            return Err(CliError::usage(format!(
                "--checkpoint is for runs, and {} is none",
                path.display()
            )));
        }
        if is_recipe {
            Self::from_recipe(path)
        } else if path.is_dir() {
            Self::from_folder(path)
        } else if path.is_file() {
            Err(CliError::usage(format!(
                "{} is a file, and no base model's recipe",
                path.display()
            ))
            .with_hint("name the folder that the checkpoint's files are in"))
        } else {
            Self::from_run(arguments, environment)
        }
    }

    /// Reads the model.
    ///
    /// # Errors
    /// If a file is missing or damaged, or the parts do not fit each other.
    pub fn load(&self, place: &ExecutionContext) -> Result<LanguageModel, CliError> {
        let model = match &self.files {
            SourceFiles::Folder(folder) => CheckpointFolder::load(folder, place),
            SourceFiles::Linked(link) => CheckpointFolder::load_linked(link, place),
            SourceFiles::BaseModel {
                config,
                weights,
                tokenizer,
            } => CheckpointFolder::load_parts(config, weights, tokenizer, place),
        };
        Ok(model?)
    }

    /// The numbers that it computes in; none where another checkpoint, whose adapters these are, says so.
    pub fn precision(&self) -> Option<Precision> {
        match &self.files {
            SourceFiles::Linked(link) => Some(link.precision),
            SourceFiles::BaseModel { .. } => Some(Precision::default()),
            SourceFiles::Folder(folder) if has_external_weights(folder) => None,
            SourceFiles::Folder(folder) => Some(configured_precision(folder).unwrap_or_default()),
        }
    }

    /// The same checkpoint, computing in these numbers.
    ///
    /// # Errors
    /// If something else decides: the run that it is of, the base of its adapters, or the kernels of a shipped model.
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
                let fault = CliError::usage(format!("--precision does not apply to {}", self.name));
                return Err(
                    fault.with_hint("what a base model's `precision` says goes for its runs")
                );
            }
        }
        Ok(self)
    }

    /// Looks into the files.
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
            let fault = CliError::usage(format!(
                "{} is no checkpoint: it has no {CONFIG_FILE}",
                path.display()
            ));
            return Err(fault.with_hint(
                "name a folder with config.json, model.safetensors and tokenizer.json",
            ));
        }
        let called = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let name = called.file_name().map_or_else(
            || path.display().to_string(),
            |n| n.to_string_lossy().into(),
        );
        Ok(Self {
            files: SourceFiles::Folder(path.to_owned()),
            name,
            origin: vec![("checkpoint", path.display().to_string())],
            settings: None,
            sampling: configured_sampling(path),
            prompt: PromptConfig::default(),
        })
    }

    /// A checkpoint as a base model's file says that it is used.
    fn from_hf_checkpoint(given: HfCheckpoint) -> Result<Self, CliError> {
        let mut source = Self::from_folder(&given.hf)?;
        source.name = given.label();
        if given.precision != Precision::default() {
            source
                .origin
                .push(("precision", given.precision.name().to_owned()));
        }
        let HfCheckpoint {
            hf,
            precision,
            chat_template,
            positions,
            ..
        } = given;
        let mut link = CheckpointLink::to_folder(&hf);
        (link.precision, link.chat_template, link.positions) =
            (precision, chat_template, positions);
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
            BaseModel::Checkpoint(elsewhere) => return Self::from_hf_checkpoint(elsewhere),
        };
        let Some(shipped) = &base.checkpoint else {
            let fault = CliError::usage(format!("no checkpoint comes with {}", path.display()));
            return Err(fault.with_hint(format!(
                "make one with `rise-lab base {} --ship`",
                path.display()
            )));
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
            .map_err(|fault| not_found(&arguments.source, fault))?;
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

/// The numbers that a run computed in, where they were not the usual ones.
fn configured_precision(folder: &Path) -> Option<Precision> {
    read_checkpoint_config(&folder.join(CONFIG_FILE))
        .ok()?
        .precision
}

/// Whether a folder's weights, or some of them, lie elsewhere.
fn has_external_weights(folder: &Path) -> bool {
    [LINK_FILE, ADAPTER_CONFIG_FILE]
        .iter()
        .any(|name| folder.join(name).exists())
}

/// Nothing of that name, where there is no store to look for a run either.
fn not_found(given: &str, fault: CliError) -> CliError {
    let is_missing = fault
        .error
        .downcast_ref::<StoreError>()
        .is_some_and(|error| matches!(error, StoreError::Missing { .. }));
    if !is_missing {
        return fault;
    }
    CliError::usage(format!(
        "there is no folder and no file `{given}`, and no store in which it could be a run"
    ))
    .with_hint(
        "name a checkpoint's folder, a base model's recipe, or a run and its store with --store",
    )
}

/// The checkpoint of that name, or the last one whose weights are there.
fn find_checkpoint(
    run: &RunRow,
    rows: Vec<CheckpointRow>,
    name: Option<&str>,
    environment: &CliEnvironment,
) -> Result<(CheckpointRow, PathBuf), CliError> {
    let workspace = environment.workspace();
    let mut there = Vec::new();
    for row in rows {
        if workspace.find_manifest(&row.weights)?.is_some() {
            there.push(row);
        }
    }
    let names = there
        .iter()
        .map(|row| format!("`{}`", row.name))
        .collect::<Vec<_>>()
        .join(", ");
    let chosen = match name {
        None => there.pop(),
        Some(name) => there.into_iter().find(|row| row.name == name),
    };
    match (chosen, name) {
        (Some(row), _) => {
            let folder = workspace.stage_folder(&row.weights);
            Ok((row, folder))
        }
        (None, Some(name)) if !names.is_empty() => Err(CliError::usage(format!(
            "run `{}` has no finished checkpoint `{name}`; it has {names}",
            run.label
        ))),
        (None, _) => Err(CliError::usage(format!(
            "run `{}` has no finished checkpoint yet",
            run.label
        ))
        .with_hint("perform it with `rise-lab sweep`")),
    }
}

/// What a run says after an attempt, when it is evaluated.
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

fn parse_setting<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
    if value.is_null() {
        None
    } else {
        serde_json::from_value(value.clone()).ok()
    }
}

/// How a checkpoint's own configuration samples.
fn configured_sampling(folder: &Path) -> SamplingConfig {
    let text = fs::read_to_string(folder.join(GENERATION_CONFIG_FILE)).unwrap_or_default();
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    let default = SamplingConfig {
        max_tokens: DEFAULT_MAX_TOKENS,
        ..SamplingConfig::default()
    };
    let greedy = json["do_sample"] == Value::Bool(false);
    let sampling = SamplingConfig {
        temperature: if greedy {
            0.0
        } else {
            parse_setting(&json["temperature"]).unwrap_or(default.temperature)
        },
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
    fn a_run_is_told_what_it_is_told_in_its_evaluation() {
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
        let write = |json: Value| {
            fs::write(
                folder.path().join("generation_config.json"),
                json.to_string(),
            )
        };
        write(json!({ "temperature": 0.7, "top_p": 0.8, "top_k": 20, "do_sample": true })).unwrap();
        let own = SamplingConfig {
            temperature: 0.7,
            top_p: 0.8,
            top_k: 20,
            max_tokens: 512,
        };
        assert_eq!(configured_sampling(folder.path()), own);
        write(json!({ "do_sample": false, "temperature": 0.7 })).unwrap();
        assert_eq!(
            configured_sampling(folder.path()),
            SamplingConfig {
                temperature: 0.0,
                ..default
            }
        );
        write(json!({ "temperature": -1.0 })).unwrap();
        assert_eq!(configured_sampling(folder.path()), default);
    }
}
