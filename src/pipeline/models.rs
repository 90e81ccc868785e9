//! Base models by name, and why a run cannot be planned.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::data::{DataError, Sizes, TaskConfig};
use crate::domain::{Key, Split};
use crate::model::CheckpointError;
use crate::spec::{BaseModel, BaseName, BaseSpec, HfCheckpoint, RunSpec, SpecError, resolve_model};

use super::exposure::Exposure;
use super::hashes::Hashes;
use super::linked::Linked;

/// Finds base models in a folder.
#[derive(Debug)]
pub struct Models {
    folder: PathBuf,
    rebuild: bool,
    hashes: Hashes,
    found: RefCell<BTreeMap<String, BaseModel>>,
    linked: RefCell<Vec<Linked>>,
    /// What tasks are made of, by their settings: MATH alone has 12,500 files to read for it.
    prints: RefCell<BTreeMap<Key, Value>>,
    checked: RefCell<BTreeSet<Key>>,
}

/// A base model as it is used in a run.
#[derive(Clone, Debug)]
pub enum Base {
    /// One that is pre-trained here, or comes with its recipe.
    Recipe(Box<BaseSpec>),
    /// One that was trained elsewhere.
    Linked(Box<Linked>),
}

/// Why a run cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A base model is missing or its recipe is wrong.
    #[error(transparent)]
    Base(#[from] SpecError),
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
    NoCheckpoint {
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
    MissingCheckpoint {
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
    pub const fn test_problems(&self) -> Option<usize> {
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

impl Models {
    /// The base models in `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            rebuild: false,
            hashes: Hashes::default(),
            found: RefCell::default(),
            linked: RefCell::default(),
            prints: RefCell::default(),
            checked: RefCell::default(),
        }
    }

    /// The same, with the hashes of large files kept in the store at `root`.
    #[must_use]
    pub fn remembering(self, root: &Path) -> Self {
        Self {
            hashes: Hashes::kept_in(root),
            ..self
        }
    }

    /// The same, but every base model is made from its recipe even if a checkpoint comes with it.
    #[must_use]
    pub fn rebuilding(folder: impl Into<PathBuf>) -> Self {
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
        if let Some(base) = self.found.borrow().get(name) {
            return Ok(base.clone());
        }
        let mut base = resolve_model(&self.folder, name)?;
        if let BaseModel::Recipe(recipe) = &mut base {
            self.place(recipe)?;
        }
        self.found
            .borrow_mut()
            .insert(name.to_owned(), base.clone());
        Ok(base)
    }

    /// Makes the paths of shipped files absolute, and makes sure that they are what the recipe says.
    fn place(&self, base: &mut BaseSpec) -> Result<(), PlanError> {
        if self.rebuild {
            base.checkpoint = None;
        }
        let recipe = base.recipe().to_string();
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
            return Err(PlanError::MissingCheckpoint {
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
    /// As [`Models::get`], or if a checkpoint cannot be used.
    pub fn for_task(&self, base: &BaseName, task: &TaskConfig) -> Result<Base, PlanError> {
        let model = match base {
            BaseName::Named(name) => self.get(name)?,
            BaseName::Checkpoint(checkpoint) => BaseModel::Checkpoint(checkpoint.clone()),
        };
        match model {
            BaseModel::Recipe(recipe) => {
                let task = recipe.task.placed_as(task);
                Ok(Base::Recipe(Box::new(BaseSpec { task, ..*recipe })))
            }
            BaseModel::Checkpoint(checkpoint) => {
                Ok(Base::Linked(Box::new(self.linked(checkpoint)?)))
            }
        }
    }

    /// A checkpoint with the hashes of its files, which are made once.
    fn linked(&self, checkpoint: HfCheckpoint) -> Result<Linked, PlanError> {
        if let Some(found) = self
            .linked
            .borrow()
            .iter()
            .find(|linked| linked.checkpoint == checkpoint)
        {
            return Ok(found.clone());
        }
        let linked = Linked::find(checkpoint, &self.hashes)?;
        self.linked.borrow_mut().push(linked.clone());
        Ok(linked)
    }

    /// A task's [fingerprint](TaskConfig::fingerprint), its files read once.
    ///
    /// # Errors
    /// If a data file cannot be read.
    pub fn fingerprint(&self, task: &TaskConfig) -> Result<Value, DataError> {
        let key = Key::of(task);
        if let Some(print) = self.prints.borrow().get(&key) {
            return Ok(print.clone());
        }
        let print = task.fingerprint()?;
        self.prints.borrow_mut().insert(key, print.clone());
        Ok(print)
    }

    /// Loads a run's problems once, so that a missing, cut or overlapping file is found before any
    /// work; the base model's corpus is checked with them where it comes from the same task.
    ///
    /// # Errors
    /// If the data cannot be used, or a question is both trained on and evaluated on.
    pub fn check_data(&self, run: &RunSpec, base: &Base) -> Result<(), PlanError> {
        // Generated splits are disjoint by construction and their corpus is long to make.
        let corpus = match base {
            Base::Recipe(recipe) if !run.task.is_generated() => {
                let same = self.fingerprint(&run.task)? == self.fingerprint(&recipe.task)?;
                if same { recipe.problems } else { 0 }
            }
            Base::Recipe(_) | Base::Linked(_) => 0,
        };
        let sizes = Sizes {
            corpus,
            ..run.data.clone()
        };
        self.check_problems(&run.task, &sizes)?;
        let drawn = |split, seed| {
            let sizes = Sizes {
                allow_leaks: run.data.allow_leaks,
                ..Sizes::none(seed)
            };
            sizes.with(split, run.data.of(split))
        };
        if run.train_seed() != run.data.seed {
            self.check_problems(&run.task, &drawn(Split::Train, run.train_seed()))?;
        }
        if run.evaluate.task.is_some() || run.evaluate.data_seed.is_some() {
            let sizes = drawn(run.evaluate.split, run.evaluated_seed());
            self.check_problems(run.evaluated_task(), &sizes)?;
        }
        self.check_leaks(run, base)
    }

    fn check_problems(&self, task: &TaskConfig, sizes: &Sizes) -> Result<(), PlanError> {
        let key = Key::of(&(self.fingerprint(task)?, sizes));
        if !self.checked.borrow().contains(&key) {
            task.load(sizes)?;
            self.checked.borrow_mut().insert(key);
        }
        Ok(())
    }

    /// Refuses a run that is evaluated on a question which it, or its base model, is trained on.
    fn check_leaks(&self, run: &RunSpec, base: &Base) -> Result<(), PlanError> {
        let exposure = Exposure::of(run, base);
        if run.data.allow_leaks || exposure.is_harmless() {
            return Ok(());
        }
        let key = exposure.key(self)?;
        if !self.checked.borrow().contains(&key) {
            exposure.refuse_leaks()?;
            self.checked.borrow_mut().insert(key);
        }
        Ok(())
    }
}
