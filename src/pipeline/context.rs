//! What a stage works with, what it gives back, and why it can fail.

use std::cell::RefCell;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::{ApiClient, ApiError, Endpoint};
use crate::data::DataError;
use crate::domain::{Key, Observer, PolicyError, StageEvent};
use crate::model::{
    CheckpointError, CheckpointFolder, ExecutionContext, LanguageModel, OutOfMemory, Threads,
    TokenizerError, instruction_set,
};
use crate::rollout::TeacherError;
use crate::train::{TrainError, TrainerStateError};

use super::stage_files::{self, JsonlAppender};
use super::workspace::{Workspace, WorkspaceError};

/// Problems of a chunk: the most work that is lost when a stage is killed.
pub(super) const CHUNK_PROBLEMS: usize = 250;

/// Entries by item while a stage works on them.
pub(super) const WORKING_FILE: &str = "working.jsonl";

/// The store's folder of answers from API models.
const RESPONSE_CACHE_FOLDER: &str = "answers";

/// The usage of an API model, while a stage works.
const API_USAGE_FILE: &str = "asked.json";

/// What a stage works with.
pub(super) struct StageContext<'a> {
    /// Where its files go until they are published.
    pub folder: PathBuf,
    /// Where the files of its inputs are.
    pub workspace: &'a Workspace,
    /// Receives its progress.
    pub observer: &'a mut dyn Observer,
    /// Threads that it may use; their number may change while it works.
    pub threads: &'a Threads,
    /// Tokens sampled so far.
    pub sampled_tokens: u64,
    /// Whether to work on half of a batch at a time.
    pub half_batch: bool,
    /// The devices that it opened.
    pub opened_contexts: RefCell<Vec<ExecutionContext>>,
}

impl<'a> StageContext<'a> {
    /// The context of a stage that starts.
    pub fn new(
        folder: PathBuf,
        workspace: &'a Workspace,
        threads: &'a Threads,
        observer: &'a mut dyn Observer,
    ) -> Self {
        Self {
            folder,
            workspace,
            observer,
            threads,
            sampled_tokens: 0,
            half_batch: false,
            opened_contexts: RefCell::default(),
        }
    }

    /// The rows of a finished stage's file.
    pub fn read_rows<T: DeserializeOwned>(
        &self,
        stage: &Key,
        file: &str,
    ) -> Result<Vec<T>, StageError> {
        Ok(stage_files::read_jsonl(
            &self.workspace.stage_file(stage, file),
        )?)
    }

    /// The rows of several finished stages, in order.
    pub fn read_all_rows<T: DeserializeOwned>(
        &self,
        stages: &[Key],
        file: &str,
    ) -> Result<Vec<T>, StageError> {
        let rows: Result<Vec<Vec<T>>, StageError> = stages
            .iter()
            .map(|stage| self.read_rows(stage, file))
            .collect();
        Ok(rows?.into_iter().flatten().collect())
    }

    /// Writes a file of the stage.
    pub fn write_rows<T: Serialize>(&self, file: &str, rows: &[T]) -> Result<(), StageError> {
        Ok(stage_files::write_jsonl(&self.folder.join(file), rows)?)
    }

    /// The backend, with the stage's threads.
    pub fn open_backend(&self, backend: &str) -> Result<ExecutionContext, StageError> {
        let opened = ExecutionContext::open(backend).map_err(StageError::Backend)?;
        self.opened_contexts.borrow_mut().push(opened.clone());
        Ok(ExecutionContext {
            threads: self.threads.clone(),
            half_batch: self.half_batch,
            ..opened
        })
    }

    /// A language model from a finished stage.
    pub fn load_model(&self, key: &Key, backend: &str) -> Result<LanguageModel, StageError> {
        Ok(CheckpointFolder::load(
            &self.workspace.stage_folder(key),
            &self.open_backend(backend)?,
        )?)
    }

    /// An API model. The store keeps its answers, for every stage that sends the same request.
    pub fn open_client(&self, endpoint: &Endpoint) -> Result<ApiClient, StageError> {
        let answers = self.workspace.root().join(RESPONSE_CACHE_FOLDER);
        Ok(ApiClient::open(
            endpoint,
            &answers,
            &self.folder.join(API_USAGE_FILE),
        )?)
    }

    /// Reports the number of finished problems, and stops on request.
    pub fn report_progress(&mut self, done: usize, total: usize) -> Result<(), StageError> {
        self.observer.on_event(StageEvent::Progress {
            done: done as u64,
            total: total as u64,
            unit: "problems".to_owned(),
            tokens: self.sampled_tokens,
            loss: None,
        });
        if self.observer.stop_requested() && done < total {
            Err(StageError::Stopped)
        } else {
            Ok(())
        }
    }

    /// One entry per item, made a chunk of items at a time and kept in a file of lines, so that a
    /// stopped stage resumes; `sampled` is the cost of an entry in tokens.
    pub fn process_in_chunks<I, T: Serialize + DeserializeOwned>(
        &mut self,
        (file, chunk_size): (&str, usize),
        items: &[I],
        sampled: impl Fn(&T) -> u64,
        mut process: impl FnMut(&[I]) -> Result<Vec<T>, StageError>,
    ) -> Result<Vec<T>, StageError> {
        let entries = (file, chunk_size);
        self.process_in_observed_chunks(entries, items, sampled, |_, _, items| process(items))
    }

    /// The same for work that reports its progress within a chunk: it receives the context, and the
    /// number of finished items.
    pub fn process_in_observed_chunks<I, T: Serialize + DeserializeOwned>(
        &mut self,
        (file, chunk_size): (&str, usize),
        items: &[I],
        sampled: impl Fn(&T) -> u64,
        mut process: impl FnMut(&mut Self, usize, &[I]) -> Result<Vec<T>, StageError>,
    ) -> Result<Vec<T>, StageError> {
        let (mut file, mut done) = JsonlAppender::open::<T>(&self.folder.join(file))?;
        self.sampled_tokens = done.iter().map(&sampled).sum();
        while done.len() < items.len() {
            self.report_progress(done.len(), items.len())?;
            let end = items.len().min(done.len() + chunk_size);
            let new = process(self, done.len(), &items[done.len()..end])?;
            file.append(&new)?;
            self.sampled_tokens += new.iter().map(&sampled).sum::<u64>();
            done.extend(new);
        }
        self.report_progress(items.len(), items.len())?;
        Ok(done)
    }
}

/// The files of a stage, and their origin.
#[derive(Default)]
pub(super) struct StageOutput {
    /// Names of the files to publish.
    pub files: Vec<&'static str>,
    /// Counts of the work.
    pub counts: Value,
    /// The backend whose numbers are in the files, if any.
    pub backend: Option<String>,
    /// The instruction set that made a shipped checkpoint, if the files are one.
    pub shipped_instruction_set: Option<String>,
    /// The API model whose answers are in the files, if any.
    pub api_origin: Option<Value>,
    /// Seconds of earlier attempts that went into the files.
    pub earlier_seconds: f64,
}

impl StageOutput {
    /// Files and counts of a stage without tensors.
    pub fn new_without_backend(files: &[&'static str], counts: Value) -> Self {
        Self {
            files: files.to_vec(),
            counts,
            ..Self::default()
        }
    }

    /// The same, made on a backend.
    pub fn with_backend(self, backend: &str) -> Self {
        Self {
            backend: Some(backend.to_owned()),
            ..self
        }
    }

    /// The same, with answers from an API model.
    pub fn with_api_origin(self, client: &ApiClient) -> Self {
        let Endpoint { model, .. } = client.endpoint();
        let host = client.endpoint().host_name();
        Self {
            api_origin: Some(
                json!({ "place": host, "model": model, "served": client.served_model() }),
            ),
            ..self
        }
    }

    /// The program, backend and API model behind the files.
    pub fn origin(&self) -> Value {
        let mut origin = json!({
            "program": env!("CARGO_PKG_VERSION"),
            "shipped": self.shipped_instruction_set.is_some(),
        });
        if let Some(backend) = &self.backend {
            origin["backend"] = json!(backend);
            let shipped = self.shipped_instruction_set.clone();
            origin["instruction_set"] = json!(shipped.unwrap_or_else(instruction_set));
        }
        if let Some(api) = &self.api_origin {
            origin["asked"] = api.clone();
        }
        origin
    }
}

/// Why a stage did not finish.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The user stopped it; its finished work is kept.
    #[error("stopped on request")]
    Stopped,
    /// Problems cannot be loaded.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Files cannot be read or written.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The backend cannot be used.
    #[error("{0}")]
    Backend(String),
    /// The backend's device has no memory left, even for half of a batch at a time.
    #[error(
        "out of device memory{}, even at half the batch size; lower `batch` or `max_tokens`, or use a smaller base model or a device with more memory", requested_bytes_note(.0)
    )]
    OutOfMemory(OutOfMemory),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A shipped checkpoint is not the one its recipe names.
    #[error("{} has SHA-256 {found}, but the base model's file says {expected}; download the file again, or make it with `rise-lab base` and `--ship`", path.display())]
    ShippedWeightsMismatch {
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The hash that the recipe's file names.
        expected: String,
    },
    /// A shipped tokenizer is not the one that its recipe gives.
    #[error("{} is not the tokenizer that the base model's recipe gives; download the file again, or make it with `rise-lab base` and `--ship`", path.display())]
    ShippedTokenizerMismatch {
        /// The file.
        path: PathBuf,
    },
    /// A policy could not answer.
    #[error("{0}")]
    Policy(PolicyError),
    /// A teacher could not improve an episode.
    #[error("{0}")]
    Teacher(TeacherError),
    /// A training failed.
    #[error("{0}")]
    Train(TrainError),
    /// An example does not fit the model.
    #[error(
        "{count} of {total} examples are longer than the model's {positions} positions (the longest has {longest} tokens); lower `max_tokens` or `collect.own_turns`, or leave `repeat_question` out, or give the model more: `model.positions` in the recipe of a base model, `base.positions` where it lowers what the `config.json` of a checkpoint from elsewhere allows"
    )]
    ExamplesTooLong {
        /// Examples that do not fit.
        count: usize,
        /// All examples.
        total: usize,
        /// Positions of the model.
        positions: usize,
        /// Tokens of the longest one.
        longest: usize,
    },
}

/// The size of the request in brackets; empty if the backend names none.
pub(super) fn requested_bytes_note(OutOfMemory { requested_bytes }: &OutOfMemory) -> String {
    requested_bytes.map_or_else(String::new, |bytes| format!(" ({bytes} bytes at once)"))
}

impl From<PolicyError> for StageError {
    fn from(error: PolicyError) -> Self {
        if matches!(error, PolicyError::Stopped) {
            Self::Stopped
        } else {
            Self::Policy(error)
        }
    }
}

impl From<ApiError> for StageError {
    fn from(error: ApiError) -> Self {
        PolicyError::from(error).into()
    }
}

impl From<TeacherError> for StageError {
    fn from(error: TeacherError) -> Self {
        if matches!(error, TeacherError::Policy(PolicyError::Stopped)) {
            Self::Stopped
        } else {
            Self::Teacher(error)
        }
    }
}

impl From<TrainError> for StageError {
    fn from(error: TrainError) -> Self {
        if matches!(error, TrainError::Stopped) {
            Self::Stopped
        } else {
            Self::Train(error)
        }
    }
}

impl From<TrainerStateError> for StageError {
    fn from(error: TrainerStateError) -> Self {
        Self::Train(error.into())
    }
}

impl From<TokenizerError> for StageError {
    fn from(error: TokenizerError) -> Self {
        Self::Checkpoint(error.into())
    }
}
