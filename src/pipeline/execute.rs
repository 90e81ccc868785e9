//! One stage from its job to its published files.
//!
//! Gives every stage the same surroundings: a working folder that survives kills, the files of
//! its inputs, an observer. Must not know what any stage computes.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::{ApiClient, ApiError, Endpoint};
use crate::data::DataError;
use crate::domain::{Key, Observer, PolicyError, StageEvent};
use crate::model::{
    CheckpointError, CheckpointFolder, ExecutionContext, LanguageModel, OutOfMemory, Threads,
    TokenizerError, instruction_set, release_memory,
};
use crate::rollout::TeacherError;
use crate::train::{TrainError, TrainerStateError};

use super::oom_retry::retry_on_oom;
use super::peak_rss::PeakRss;
use super::stage_files::JsonlAppender;
use super::stages::{
    base, build_examples, collect, evaluate, improve, label_steps, likelihood, link, online,
    prefer, prepare, rank, refine, sample, tokenize, train, unsolved,
};
use super::{StageManifest, StageNode, StageSpec, Workspace, WorkspaceError};

/// Why a stage did not finish.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A stop was asked for; what was done is kept.
    #[error("stopped on request")]
    Stopped,
    /// Problems cannot be loaded.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Files cannot be read or written.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// A file of an earlier stage is damaged.
    #[error("{}, line {line}: {reason}; delete the stage's folder and run the same command again", path.display())]
    CorruptLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The backend cannot be used.
    #[error("{0}")]
    Backend(String),
    /// The backend's device has no memory left, even for half of a batch at a time.
    #[error(
        "the device has no memory left{}, with half of a batch at a time either; lower `batch` or `max_tokens`, use a smaller base model, or a device with more memory", requested_bytes_note(.0)
    )]
    OutOfMemory(OutOfMemory),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A shipped checkpoint is not the one its recipe names.
    #[error("{} has SHA-256 {found}, but the base model's file says {expected}; get the file again, or make it anew with `rise-lab base` and `--ship`", path.display())]
    ShippedWeightsMismatch {
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The hash that the recipe's file names.
        expected: String,
    },
    /// A shipped tokenizer is not the one that its recipe gives.
    #[error("{} is not the tokenizer that the base model's recipe gives; get the file again, or make it anew with `rise-lab base` and `--ship`", path.display())]
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

/// How much was asked for, in brackets; nothing if the backend did not tell.
pub(super) fn requested_bytes_note(
    OutOfMemory {
        requested_bytes: asked,
    }: &OutOfMemory,
) -> String {
    asked.map_or_else(String::new, |bytes| {
        format!(" ({bytes} bytes were asked for at once)")
    })
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

/// What a stage works with.
pub(super) struct StageContext<'a> {
    /// Where its files go until they are published.
    pub folder: PathBuf,
    /// Where the files of its inputs are.
    pub workspace: &'a Workspace,
    /// Who is told how far it is.
    pub observer: &'a mut dyn Observer,
    /// Threads that it may use; their number may change while it works.
    pub threads: &'a Threads,
    /// Tokens sampled so far.
    pub sampled_tokens: u64,
    /// Whether to work on half of a batch at a time.
    pub half_batch: bool,
    /// Where work was done.
    pub opened_contexts: RefCell<Vec<ExecutionContext>>,
}

impl<'a> StageContext<'a> {
    /// A desk on which nothing was done yet.
    pub fn new(
        folder: PathBuf,
        workspace: &'a Workspace,
        threads: &'a Threads,
        observer: &'a mut dyn Observer,
    ) -> Self {
        let places = RefCell::default();
        Self {
            folder,
            workspace,
            observer,
            threads,
            sampled_tokens: 0,
            half_batch: false,
            opened_contexts: places,
        }
    }
}

impl StageContext<'_> {
    /// The backend, with the stage's threads.
    pub fn open_backend(&self, backend: &str) -> Result<ExecutionContext, StageError> {
        let place = ExecutionContext::open(backend).map_err(StageError::Backend)?;
        self.opened_contexts.borrow_mut().push(place.clone());
        Ok(ExecutionContext {
            threads: self.threads.clone(),
            half_batch: self.half_batch,
            ..place
        })
    }

    /// A language model from a finished stage.
    pub fn load_model(&self, key: &Key, backend: &str) -> Result<LanguageModel, StageError> {
        Ok(CheckpointFolder::load(
            &self.workspace.stage_folder(key),
            &self.open_backend(backend)?,
        )?)
    }

    /// A model behind an API. Its answers are kept beside the stages, for all that ask the same.
    pub fn open_client(&self, endpoint: &Endpoint) -> Result<ApiClient, StageError> {
        let answers = self.workspace.root().join(RESPONSE_CACHE_FOLDER);
        Ok(ApiClient::open(
            endpoint,
            &answers,
            &self.folder.join(API_USAGE_FILE),
        )?)
    }

    /// Tells how many problems are done, and stops if that was asked for.
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
}

/// Problems that are mostly worked through together; what is lost at most when a stage is killed.
pub(super) const CHUNK_PROBLEMS: usize = 250;

/// The store's folder of answers from models behind an API.
const RESPONSE_CACHE_FOLDER: &str = "answers";

/// What asking a model behind an API came to, while a stage works.
const API_USAGE_FILE: &str = "asked.json";

/// Entries by item while a stage works on them.
pub(super) const WORKING_FILE: &str = "working.jsonl";

impl StageContext<'_> {
    /// One entry per item, made a chunk of items at a time and kept in a file of lines, so that a
    /// stage that was stopped goes on where it was; `sampled` is what an entry cost in tokens.
    pub fn process_in_chunks<I, T: Serialize + DeserializeOwned>(
        &mut self,
        place: (&str, usize),
        items: &[I],
        sampled: impl Fn(&T) -> u64,
        mut make: impl FnMut(&[I]) -> Result<Vec<T>, StageError>,
    ) -> Result<Vec<T>, StageError> {
        self.process_in_observed_chunks(place, items, sampled, |_, _, items| make(items))
    }

    /// The same for work that tells the observer how far it is within a chunk: it is handed the desk, and
    /// how many items are done.
    pub fn process_in_observed_chunks<I, T: Serialize + DeserializeOwned>(
        &mut self,
        (file, chunk): (&str, usize),
        items: &[I],
        sampled: impl Fn(&T) -> u64,
        mut make: impl FnMut(&mut Self, usize, &[I]) -> Result<Vec<T>, StageError>,
    ) -> Result<Vec<T>, StageError> {
        let (mut file, mut done) = JsonlAppender::open::<T>(&self.folder.join(file))?;
        self.sampled_tokens = done.iter().map(&sampled).sum();
        while done.len() < items.len() {
            self.report_progress(done.len(), items.len())?;
            let new = make(
                self,
                done.len(),
                &items[done.len()..items.len().min(done.len() + chunk)],
            )?;
            file.append(&new)?;
            self.sampled_tokens += new.iter().map(&sampled).sum::<u64>();
            done.extend(new);
        }
        self.report_progress(items.len(), items.len())?;
        Ok(done)
    }
}

/// What a stage made.
pub(super) struct StageOutput {
    /// Names of the files to publish.
    pub files: Vec<&'static str>,
    /// What was counted.
    pub counts: Value,
    /// The backend whose numbers are in the files, if any.
    pub backend: Option<String>,
    /// Where a shipped checkpoint was made, if the files are one.
    pub shipped_instruction_set: Option<String>,
    /// The model behind an API whose answers are in the files, if any.
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
            backend: None,
            shipped_instruction_set: None,
            api_origin: None,
            earlier_seconds: 0.0,
        }
    }

    /// The same, made on a backend.
    pub fn with_backend(self, backend: &str) -> Self {
        Self {
            backend: Some(backend.to_owned()),
            ..self
        }
    }

    /// The same, with answers from a model behind an API.
    pub fn with_api_origin(self, client: &ApiClient) -> Self {
        let Endpoint { model, .. } = client.endpoint();
        let place = client.endpoint().host_name();
        Self {
            api_origin: Some(
                json!({ "place": place, "model": model, "served": client.served_model() }),
            ),
            ..self
        }
    }

    fn origin(&self) -> Value {
        let mut origin = json!({ "program": env!("CARGO_PKG_VERSION"), "shipped": self.shipped_instruction_set.is_some() });
        if let Some(backend) = &self.backend {
            origin["backend"] = json!(backend);
            origin["instruction_set"] = json!(
                self.shipped_instruction_set
                    .clone()
                    .unwrap_or_else(instruction_set)
            );
        }
        if let Some(asked) = &self.api_origin {
            origin["asked"] = asked.clone();
        }
        origin
    }
}

/// Performs a stage and publishes its files; what they hold does not depend on `threads`.
///
/// # Errors
/// If the stage fails, or was asked to stop; in both cases what was done stays in its working
/// folder and is taken up by the next call.
pub fn execute_stage(
    stage: &StageNode,
    workspace: &Workspace,
    threads: &Threads,
    observer: &mut dyn Observer,
) -> Result<StageManifest, StageError> {
    // Before the measuring begins: what the stage before it worked with is not this one's need.
    release_memory();
    let (began, memory) = (Instant::now(), PeakRss::start());
    let folder = workspace.working_folder(&stage.key)?;
    let mut desk = StageContext::new(folder, workspace, threads, observer);
    let made = retry_on_oom(&mut desk, &mut |desk| run_stage(desk, stage))?;
    let seconds = began.elapsed().as_secs_f64() + made.earlier_seconds;
    let origin = made.origin();
    let cost = (seconds, memory.peak_bytes());
    Ok(workspace.publish(&stage.key, &made.files, cost, made.counts, origin)?)
}

fn run_stage(desk: &mut StageContext<'_>, stage: &StageNode) -> Result<StageOutput, StageError> {
    match &stage.spec {
        StageSpec::Prepare { task, split, sizes } => prepare::run(desk, task, *split, sizes),
        StageSpec::Tokenize { problems, base } => tokenize::run(desk, problems, base),
        StageSpec::Base {
            problems,
            tokenizer,
            base,
            backend,
        } => base::run(desk, problems, tokenizer, base, backend),
        StageSpec::Link(job) => link::run(desk, job),
        job @ StageSpec::Collect { .. } => collect::run(desk, job),
        job @ StageSpec::Sample { .. } => sample::run(desk, job),
        job @ StageSpec::Improve { .. } => improve::run(desk, job),
        StageSpec::BuildExamples {
            problems,
            source,
            prompt,
        } => build_examples::run(desk, problems, source, *prompt),
        StageSpec::Train {
            start,
            examples,
            train,
            seed,
            backend,
        } => train::run(desk, start, examples, train, *seed, backend),
        job @ StageSpec::Prefer { .. } => prefer::run(desk, job),
        job @ StageSpec::TrainOnline { .. } => online::run(desk, job),
        job @ StageSpec::Evaluate { .. } => evaluate::run(desk, job),
        StageSpec::Unsolved {
            target: asked,
            budgets,
        } => unsolved::run(desk, asked, budgets),
        StageSpec::Likelihood {
            target: asked,
            rollouts,
        } => likelihood::run(desk, asked, *rollouts),
        job @ StageSpec::LabelSteps { .. } => label_steps::run(desk, job),
        job @ StageSpec::Refine { .. } => refine::run(desk, job),
        job @ StageSpec::Rank { .. } => rank::run(desk, job),
    }
}
