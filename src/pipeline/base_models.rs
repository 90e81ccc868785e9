//! Base models by name, and why a run cannot be planned.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::{
    BaseModel, BaseModelRef, BaseModelSpec, ConfigError, HfCheckpoint, RunSpec, read_base_model,
};
use crate::data::{DataError, SplitSizes, TaskConfig};
use crate::domain::{Key, Split};
use crate::model::CheckpointError;

use super::contamination::ContaminationCheck;
use super::external_checkpoint::ExternalCheckpoint;
use super::file_hashes::FileHashes;
use super::stages::FingerprintedTask;

/// Finds base models in a folder.
#[derive(Debug)]
pub struct BaseModelRegistry {
    folder: PathBuf,
    rebuild: bool,
    hashes: FileHashes,
    by_name: RefCell<BTreeMap<String, BaseModel>>,
    external_checkpoints: RefCell<Vec<ExternalCheckpoint>>,
    /// What tasks are made of, by their settings: MATH alone has 12,500 files to read for it.
    fingerprints: RefCell<BTreeMap<Key, Value>>,
    checked_data: RefCell<BTreeSet<Key>>,
}

/// A base model as it is used in a run.
#[derive(Clone, Debug)]
pub enum ResolvedBaseModel {
    /// One that is pre-trained here, or comes with its recipe.
    Recipe(Box<BaseModelSpec>),
    /// One that was trained elsewhere.
    External(Box<ExternalCheckpoint>),
}

/// Why a run cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A base model is missing or its recipe is wrong.
    #[error(transparent)]
    Base(#[from] ConfigError),
    /// A data file is missing or cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The checkpoint beside a recipe was made from another recipe.
    #[error(
        "the checkpoint of base model `{name}` was made from another recipe ({made_from}) than the one in its file ({recipe}); make it again with `rise-lab base {} --ship`, or remove `[checkpoint]` from the file",
        file.display()
    )]
    StaleCheckpoint {
        /// The base model.
        name: String,
        /// The file of its recipe.
        file: PathBuf,
        /// Key of the recipe in the file.
        recipe: String,
        /// Key of the recipe that the checkpoint was made from.
        made_from: String,
    },
    /// A checkpoint that was trained elsewhere cannot be used.
    #[error("base model `{name}`: {error}")]
    Checkpoint {
        /// The base model.
        name: String,
        /// What is wrong with it.
        error: CheckpointError,
    },
    /// The folder of a checkpoint is not there.
    #[error(
        "base model `{name}`: there is no folder {}; give the place of a checkpoint in Hugging Face's layout (`config.json`, `tokenizer.json`, `*.safetensors`), for example with `--set base.hf=/path/to/checkpoint`",
        folder.display()
    )]
    MissingCheckpointFolder {
        /// The base model.
        name: String,
        /// The folder.
        folder: PathBuf,
    },
    /// A file that a recipe says comes with it does not.
    #[error(
        "base model `{name}` comes with {}, which is not there; fetch it again, or make it anew with `rise-lab base {} --ship`",
        missing.display(), file.display()
    )]
    MissingShippedFile {
        /// The base model.
        name: String,
        /// The file of its recipe.
        file: PathBuf,
        /// The file that is not there.
        missing: PathBuf,
    },
}

impl PlanError {
    /// How many test problems there are, where more were asked for than there are.
    #[must_use]
    pub const fn available_test_problems(&self) -> Option<usize> {
        match self {
            Self::Data(DataError::TooFew {
                split: Split::Test,
                available,
                ..
            }) => Some(*available),
            _ => None,
        }
    }
}

impl BaseModelRegistry {
    /// The base models in `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            rebuild: false,
            hashes: FileHashes::default(),
            by_name: RefCell::default(),
            external_checkpoints: RefCell::default(),
            fingerprints: RefCell::default(),
            checked_data: RefCell::default(),
        }
    }

    /// The same, with the hashes of large files kept in the store at `root`.
    #[must_use]
    pub fn with_hash_cache(self, root: &Path) -> Self {
        Self {
            hashes: FileHashes::open(root),
            ..self
        }
    }

    /// The same, but every base model is made from its recipe even if a checkpoint comes with it.
    #[must_use]
    pub fn without_shipped_checkpoints(folder: impl Into<PathBuf>) -> Self {
        Self {
            rebuild: true,
            ..Self::new(folder)
        }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The base model called `name`, with the paths of shipped files made absolute.
    ///
    /// # Errors
    /// If there is no such file, it is wrong, or its checkpoint is not there or was made from
    /// another recipe.
    pub fn get(&self, name: &str) -> Result<BaseModel, PlanError> {
        if let Some(base) = self.by_name.borrow().get(name) {
            return Ok(base.clone());
        }
        let mut base = read_base_model(&self.folder, name)?;
        if let BaseModel::Recipe(recipe) = &mut base {
            self.resolve_shipped_files(recipe)?;
        }
        self.by_name
            .borrow_mut()
            .insert(name.to_owned(), base.clone());
        Ok(base)
    }

    /// Makes the paths of shipped files absolute, and makes sure that they are what the recipe says.
    fn resolve_shipped_files(&self, base: &mut BaseModelSpec) -> Result<(), PlanError> {
        if self.rebuild {
            base.checkpoint = None;
        }
        let recipe = base.recipe_key().to_string();
        let Some(shipped) = &mut base.checkpoint else {
            return Ok(());
        };
        let (name, file) = (
            base.name.clone(),
            self.folder.join(format!("{}.toml", base.name)),
        );
        if shipped.recipe != recipe {
            let made_from = shipped.recipe.clone();
            return Err(PlanError::StaleCheckpoint {
                name,
                file,
                recipe,
                made_from,
            });
        }
        let files = [&shipped.file, &shipped.tokenizer].map(|file| self.folder.join(file));
        if let Some(missing) = files.into_iter().find(|file| !file.exists()) {
            return Err(PlanError::MissingShippedFile {
                name,
                file,
                missing,
            });
        }
        let folder = std::path::absolute(&self.folder).unwrap_or_else(|_| self.folder.clone());
        shipped.file = folder.join(&shipped.file);
        shipped.tokenizer = folder.join(&shipped.tokenizer);
        Ok(())
    }

    /// A base model for a run on `task`: one that learns from the same data set reads the run's
    /// files, so that their place is given once.
    ///
    /// # Errors
    /// As [`BaseModelRegistry::get`], or if a checkpoint cannot be used.
    pub fn for_task(
        &self,
        base: &BaseModelRef,
        task: &TaskConfig,
    ) -> Result<ResolvedBaseModel, PlanError> {
        let model = match base {
            BaseModelRef::Named(name) => self.get(name)?,
            BaseModelRef::Checkpoint(checkpoint) => BaseModel::Checkpoint(checkpoint.clone()),
        };
        match model {
            BaseModel::Recipe(recipe) => {
                let task = recipe.task.with_path_of(task);
                Ok(ResolvedBaseModel::Recipe(Box::new(BaseModelSpec {
                    task,
                    ..*recipe
                })))
            }
            BaseModel::Checkpoint(checkpoint) => Ok(ResolvedBaseModel::External(Box::new(
                self.external_checkpoint(checkpoint)?,
            ))),
        }
    }

    /// A checkpoint with the hashes of its files, which are made once.
    fn external_checkpoint(
        &self,
        checkpoint: HfCheckpoint,
    ) -> Result<ExternalCheckpoint, PlanError> {
        if let Some(found) = self
            .external_checkpoints
            .borrow()
            .iter()
            .find(|linked| linked.checkpoint == checkpoint)
        {
            return Ok(found.clone());
        }
        let linked = ExternalCheckpoint::read(checkpoint, &self.hashes)?;
        self.external_checkpoints.borrow_mut().push(linked.clone());
        Ok(linked)
    }

    /// A task with its fingerprint.
    ///
    /// # Errors
    /// If a data file cannot be read.
    pub(super) fn fingerprinted(&self, task: &TaskConfig) -> Result<FingerprintedTask, DataError> {
        Ok(FingerprintedTask {
            config: task.clone(),
            fingerprint: self.fingerprint(task)?,
        })
    }

    /// A task's [fingerprint](TaskConfig::fingerprint), its files read once.
    ///
    /// # Errors
    /// If a data file cannot be read.
    pub fn fingerprint(&self, task: &TaskConfig) -> Result<Value, DataError> {
        let key = Key::from_value(task);
        if let Some(print) = self.fingerprints.borrow().get(&key) {
            return Ok(print.clone());
        }
        let print = task.fingerprint()?;
        self.fingerprints.borrow_mut().insert(key, print.clone());
        Ok(print)
    }

    /// Loads a run's problems once, so that a missing, cut or overlapping file is found before any
    /// work; the base model's corpus is checked with them where it comes from the same task.
    ///
    /// # Errors
    /// If the data cannot be used, or a question is both trained on and evaluated on.
    pub fn check_data(&self, run: &RunSpec, base: &ResolvedBaseModel) -> Result<(), PlanError> {
        // Generated splits are disjoint by construction and their corpus is long to make.
        let corpus = match base {
            ResolvedBaseModel::Recipe(recipe) if !run.task.is_generated() => {
                let same = self.fingerprint(&run.task)? == self.fingerprint(&recipe.task)?;
                if same { recipe.problems } else { 0 }
            }
            ResolvedBaseModel::Recipe(_) | ResolvedBaseModel::External(_) => 0,
        };
        let sizes = SplitSizes {
            corpus,
            ..run.data.clone()
        };
        self.check_problems(&run.task, &sizes)?;
        let drawn = |split, seed| {
            let sizes = SplitSizes {
                allow_leaks: run.data.allow_leaks,
                ..SplitSizes::empty(seed)
            };
            sizes.with_split(split, run.data.get(split))
        };
        if run.train_data_seed() != run.data.seed {
            self.check_problems(&run.task, &drawn(Split::Train, run.train_data_seed()))?;
        }
        if run.evaluate.task.is_some() || run.evaluate.data_seed.is_some() {
            let sizes = drawn(run.evaluate.split, run.eval_data_seed());
            self.check_problems(run.eval_task(), &sizes)?;
        }
        self.check_leaks(run, base)
    }

    fn check_problems(&self, task: &TaskConfig, sizes: &SplitSizes) -> Result<(), PlanError> {
        let key = Key::from_value(&(self.fingerprint(task)?, sizes));
        if !self.checked_data.borrow().contains(&key) {
            task.load(sizes)?;
            self.checked_data.borrow_mut().insert(key);
        }
        Ok(())
    }

    /// Refuses a run that is evaluated on a question which it, or its base model, is trained on.
    fn check_leaks(&self, run: &RunSpec, base: &ResolvedBaseModel) -> Result<(), PlanError> {
        let exposure = ContaminationCheck::for_run(run, base);
        if run.data.allow_leaks || exposure.is_generated_only() {
            return Ok(());
        }
        let key = exposure.key(self)?;
        if !self.checked_data.borrow().contains(&key) {
            exposure.reject_leaks()?;
            self.checked_data.borrow_mut().insert(key);
        }
        Ok(())
    }
}
