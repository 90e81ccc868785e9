//! Which checkpoint is meant: a folder, a base model's recipe, or a run; and what is known of how it
//! samples and what it was told.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::args::SourceArguments;
use crate::cli::commands::show::find;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Fault};
use crate::data::{Prompt, Retry};
use crate::domain::Sampling;
use crate::model::checkpoint::{
    ADAPTER_CONFIG, CONFIG, GENERATION, Inspected, LINK, Link, inspect, inspect_linked, read_sizes,
};
use crate::model::{Checkpoint, LanguageModel, ModelConfig, Place, Precision};
use crate::pipeline::Models;
use crate::spec::{BaseModel, HfCheckpoint, RunSpec};
use crate::store::{CheckpointRow, RunRow, StoreError};

/// The most tokens of an answer of a checkpoint that says nothing of it.
const MAX_TOKENS: usize = 512;

/// A checkpoint, and what is known of it.
#[derive(Debug)]
pub struct Source {
    parts: Parts,
    /// What it is called.
    pub name: String,
    /// Where it comes from, as lines of a name and a value.
    pub origin: Vec<(&'static str, String)>,
    /// The settings of the run, or of the base model.
    pub settings: Option<Value>,
    /// How it samples where nothing else is said.
    pub sampling: Sampling,
    /// What it is told after an attempt.
    pub prompt: Prompt,
}

/// Where the files are.
#[derive(Debug)]
enum Parts {
    Folder(PathBuf),
    Linked(Box<Link>),
    Files {
        config: Box<ModelConfig>,
        weights: PathBuf,
        tokenizer: PathBuf,
    },
}

impl Source {
    /// Finds what is meant.
    ///
    /// # Errors
    /// If there is no such folder, recipe or run, or it has no such checkpoint.
    pub fn find(arguments: &SourceArguments, environment: &Environment) -> Result<Self, Fault> {
        let path = Path::new(&arguments.source);
        let is_recipe = path.is_file()
            && path
                .extension()
                .is_some_and(|extension| extension == "toml");
        if (path.is_dir() || path.is_file()) && arguments.checkpoint.is_some() {
            return Err(Fault::usage(format!(
                "--checkpoint is for runs, and {} is none",
                path.display()
            )));
        }
        if is_recipe {
            Self::recipe(path)
        } else if path.is_dir() {
            Self::folder(path)
        } else if path.is_file() {
            Err(Fault::usage(format!(
                "{} is a file, and no base model's recipe",
                path.display()
            ))
            .hint("name the folder that the checkpoint's files are in"))
        } else {
            Self::run(arguments, environment)
        }
    }

    /// Reads the model.
    ///
    /// # Errors
    /// If a file is missing or damaged, or the parts do not fit each other.
    pub fn load(&self, place: &Place) -> Result<LanguageModel, Fault> {
        let model = match &self.parts {
            Parts::Folder(folder) => Checkpoint::load(folder, place),
            Parts::Linked(link) => Checkpoint::load_linked(link, place),
            Parts::Files {
                config,
                weights,
                tokenizer,
            } => Checkpoint::load_parts(config, weights, tokenizer, place),
        };
        Ok(model?)
    }

    /// The numbers that it computes in; none where another checkpoint, whose adapters these are, says so.
    pub fn precision(&self) -> Option<Precision> {
        match &self.parts {
            Parts::Linked(link) => Some(link.precision),
            Parts::Files { .. } => Some(Precision::default()),
            Parts::Folder(folder) if refers(folder) => None,
            Parts::Folder(folder) => Some(own_precision(folder).unwrap_or_default()),
        }
    }

    /// The same checkpoint, computing in these numbers.
    ///
    /// # Errors
    /// If something else decides: the run that it is of, the base of its adapters, or the kernels of a shipped model.
    pub fn computing_in(mut self, precision: Precision) -> Result<Self, Fault> {
        if self.precision() == Some(precision) {
            return Ok(self);
        }
        match &mut self.parts {
            Parts::Linked(link) => link.precision = precision,
            Parts::Folder(folder) if !refers(folder) && own_precision(folder).is_none() => {
                let mut link = Link::to(folder);
                link.precision = precision;
                self.parts = Parts::Linked(Box::new(link));
            }
            Parts::Folder(_) | Parts::Files { .. } => {
                let fault = Fault::usage(format!("--precision does not apply to {}", self.name));
                return Err(fault.hint("what a base model's `precision` says goes for its runs"));
            }
        }
        Ok(self)
    }

    /// Looks into the files.
    pub fn inspect(&self) -> Inspected {
        match &self.parts {
            Parts::Folder(folder) => inspect(folder),
            Parts::Linked(link) => inspect_linked(link),
            Parts::Files {
                config,
                weights,
                tokenizer,
            } => Inspected::parts(config, weights, tokenizer),
        }
    }

    fn folder(path: &Path) -> Result<Self, Fault> {
        let is_checkpoint = [CONFIG, LINK, ADAPTER_CONFIG]
            .iter()
            .any(|name| path.join(name).exists());
        if !is_checkpoint {
            let fault = Fault::usage(format!(
                "{} is no checkpoint: it has no {CONFIG}",
                path.display()
            ));
            return Err(
                fault.hint("name a folder with config.json, model.safetensors and tokenizer.json")
            );
        }
        let called = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let name = called.file_name().map_or_else(
            || path.display().to_string(),
            |n| n.to_string_lossy().into(),
        );
        Ok(Self {
            parts: Parts::Folder(path.to_owned()),
            name,
            origin: vec![("checkpoint", path.display().to_string())],
            settings: None,
            sampling: configured(path),
            prompt: Prompt::default(),
        })
    }

    /// A checkpoint as a base model's file says that it is used.
    fn elsewhere(given: HfCheckpoint) -> Result<Self, Fault> {
        let mut source = Self::folder(&given.hf)?;
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
        let mut link = Link::to(&hf);
        (link.precision, link.chat_template, link.positions) =
            (precision, chat_template, positions);
        source.parts = Parts::Linked(Box::new(link));
        Ok(source)
    }

    fn recipe(path: &Path) -> Result<Self, Fault> {
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let base = match Models::new(folder)
            .get(&name)
            .map_err(|error| Fault::new(Exit::Usage, error))?
        {
            BaseModel::Recipe(base) => *base,
            BaseModel::Checkpoint(elsewhere) => return Self::elsewhere(elsewhere),
        };
        let Some(shipped) = &base.checkpoint else {
            let fault = Fault::usage(format!("no checkpoint comes with {}", path.display()));
            return Err(fault.hint(format!(
                "make one with `rise-lab base {} --ship`",
                path.display()
            )));
        };
        Ok(Self {
            parts: Parts::Files {
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
            sampling: Sampling::default(),
            prompt: base.wording(),
        })
    }

    fn run(arguments: &SourceArguments, environment: &Environment) -> Result<Self, Fault> {
        let reader = environment
            .reader()
            .map_err(|fault| nothing(&arguments.source, fault))?;
        let run = find(&reader, &arguments.source)?;
        let rows = reader
            .checkpoints(&run.experiment)?
            .into_iter()
            .filter(|row| row.run == run.key);
        let (row, folder) = checkpoint(
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
            parts: Parts::Folder(folder),
            name: format!("{}, {}", run.label, row.name),
            origin,
            sampling: setting(&run.spec["evaluate"]["sampling"]).unwrap_or_default(),
            prompt: prompt(&run.spec),
            settings: Some(run.spec),
        })
    }
}

/// The numbers that a run computed in, where they were not the usual ones.
fn own_precision(folder: &Path) -> Option<Precision> {
    read_sizes(&folder.join(CONFIG)).ok()?.precision
}

/// Whether a folder's weights, or some of them, lie elsewhere.
fn refers(folder: &Path) -> bool {
    [LINK, ADAPTER_CONFIG]
        .iter()
        .any(|name| folder.join(name).exists())
}

/// Nothing of that name, where there is no store to look for a run either.
fn nothing(given: &str, fault: Fault) -> Fault {
    let is_missing = fault
        .error
        .downcast_ref::<StoreError>()
        .is_some_and(|error| matches!(error, StoreError::Missing { .. }));
    if !is_missing {
        return fault;
    }
    Fault::usage(format!(
        "there is no folder and no file `{given}`, and no store in which it could be a run"
    ))
    .hint("name a checkpoint's folder, a base model's recipe, or a run and its store with --store")
}

/// The checkpoint of that name, or the last one whose weights are there.
fn checkpoint(
    run: &RunRow,
    rows: Vec<CheckpointRow>,
    name: Option<&str>,
    environment: &Environment,
) -> Result<(CheckpointRow, PathBuf), Fault> {
    let workspace = environment.workspace();
    let mut there = Vec::new();
    for row in rows {
        if workspace.finished(&row.weights)?.is_some() {
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
            let folder = workspace.folder(&row.weights);
            Ok((row, folder))
        }
        (None, Some(name)) if !names.is_empty() => Err(Fault::usage(format!(
            "run `{}` has no finished checkpoint `{name}`; it has {names}",
            run.label
        ))),
        (None, _) => Err(Fault::usage(format!(
            "run `{}` has no finished checkpoint yet",
            run.label
        ))
        .hint("perform it with `rise-lab sweep`")),
    }
}

/// What a run says after an attempt, when it is evaluated.
fn prompt(spec: &Value) -> Prompt {
    let (collect, evaluate) = (&spec["collect"], &spec["evaluate"]);
    let retry: Option<Retry> = setting(&evaluate["retry"]).or_else(|| setting(&collect["retry"]));
    let default = Prompt::default();
    Prompt {
        retry: retry.unwrap_or(default.retry),
        repeat_question: setting(&collect["repeat_question"]).unwrap_or(default.repeat_question),
        answer_form: setting::<RunSpec>(spec).and_then(|run| run.evaluated_form()),
    }
}

fn setting<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
    if value.is_null() {
        None
    } else {
        serde_json::from_value(value.clone()).ok()
    }
}

/// How a checkpoint's own configuration samples.
fn configured(folder: &Path) -> Sampling {
    let text = fs::read_to_string(folder.join(GENERATION)).unwrap_or_default();
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    let default = Sampling {
        max_tokens: MAX_TOKENS,
        ..Sampling::default()
    };
    let greedy = json["do_sample"] == Value::Bool(false);
    let sampling = Sampling {
        temperature: if greedy {
            0.0
        } else {
            setting(&json["temperature"]).unwrap_or(default.temperature)
        },
        top_k: setting(&json["top_k"]).unwrap_or(default.top_k),
        top_p: setting(&json["top_p"]).unwrap_or(default.top_p),
        max_tokens: setting(&json["max_new_tokens"]).unwrap_or(default.max_tokens),
    };
    if sampling.fault().is_some() {
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
            prompt(&spec),
            Prompt {
                retry: Retry::Neutral,
                repeat_question: false,
                answer_form: None
            }
        );
        let spec = json!({ "collect": { "retry": "neutral" }, "evaluate": { "retry": "none" } });
        assert_eq!(
            prompt(&spec),
            Prompt {
                retry: Retry::None,
                repeat_question: true,
                answer_form: None
            }
        );
        assert_eq!(prompt(&json!({})), Prompt::default());
    }

    #[test]
    fn a_checkpoint_samples_as_its_configuration_says() {
        let folder = tempfile::tempdir().unwrap();
        let default = Sampling {
            max_tokens: 512,
            ..Sampling::default()
        };
        assert_eq!(configured(folder.path()), default);
        let write = |json: Value| {
            fs::write(
                folder.path().join("generation_config.json"),
                json.to_string(),
            )
        };
        write(json!({ "temperature": 0.7, "top_p": 0.8, "top_k": 20, "do_sample": true })).unwrap();
        let own = Sampling {
            temperature: 0.7,
            top_p: 0.8,
            top_k: 20,
            max_tokens: 512,
        };
        assert_eq!(configured(folder.path()), own);
        write(json!({ "do_sample": false, "temperature": 0.7 })).unwrap();
        assert_eq!(
            configured(folder.path()),
            Sampling {
                temperature: 0.0,
                ..default
            }
        );
        write(json!({ "temperature": -1.0 })).unwrap();
        assert_eq!(configured(folder.path()), default);
    }
}
