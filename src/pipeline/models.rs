//! Base models by name, and why a run cannot be planned.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::data::{DataError, Sizes, TaskConfig};
use crate::domain::{Key, Split};
use crate::spec::{BaseSpec, RunSpec, SpecError, resolve};

use super::exposure::Exposure;

/// Finds base models in a folder.
#[derive(Debug)]
pub struct Models {
    folder: PathBuf,
    rebuild: bool,
    found: RefCell<BTreeMap<String, BaseSpec>>,
    /// What tasks are made of, by their settings: MATH alone has 12,500 files to read for it.
    prints: RefCell<BTreeMap<Key, Value>>,
    checked: RefCell<BTreeSet<Key>>,
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
            Self::Data(DataError::TooFew { split: Split::Test, available, .. }) => Some(*available),
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
            found: RefCell::default(),
            prints: RefCell::default(),
            checked: RefCell::default(),
        }
    }

    /// The same, but every base model is made from its recipe even if a checkpoint comes with it.
    #[must_use]
    pub fn rebuilding(folder: impl Into<PathBuf>) -> Self {
        Self { rebuild: true, ..Self::new(folder) }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The recipe called `name`, with the paths of its shipped files made absolute.
    ///
    /// # Errors
    /// If there is no such recipe, it is wrong, or its checkpoint is not there or was made from
    /// another one.
    pub fn get(&self, name: &str) -> Result<BaseSpec, PlanError> {
        if let Some(base) = self.found.borrow().get(name) {
            return Ok(base.clone());
        }
        let mut base = resolve(&self.folder, name)?;
        if self.rebuild {
            base.checkpoint = None;
        }
        let recipe = base.recipe().to_string();
        if let Some(shipped) = &mut base.checkpoint {
            let (name, file) = (base.name.clone(), self.folder.join(format!("{}.toml", base.name)));
            if shipped.recipe != recipe {
                let made_from = shipped.recipe.clone();
                return Err(PlanError::StaleCheckpoint { name, file, recipe, made_from });
            }
            let files = [&shipped.file, &shipped.tokenizer].map(|file| self.folder.join(file));
            if let Some(missing) = files.into_iter().find(|file| !file.exists()) {
                return Err(PlanError::MissingCheckpoint { name, file, missing });
            }
            let folder = std::path::absolute(&self.folder).unwrap_or_else(|_| self.folder.clone());
            shipped.file = folder.join(&shipped.file);
            shipped.tokenizer = folder.join(&shipped.tokenizer);
        }
        self.found.borrow_mut().insert(name.to_owned(), base.clone());
        Ok(base)
    }

    /// The same for a run on `task`: a base model on the same data set reads the run's files, so
    /// that their place is given once.
    ///
    /// # Errors
    /// As [`Models::get`].
    pub fn for_task(&self, name: &str, task: &TaskConfig) -> Result<BaseSpec, PlanError> {
        let base = self.get(name)?;
        Ok(BaseSpec { task: base.task.placed_as(task), ..base })
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
    pub fn check_data(&self, run: &RunSpec, base: &BaseSpec) -> Result<(), PlanError> {
        let same = self.fingerprint(&run.task)? == self.fingerprint(&base.task)?;
        // Generated splits are disjoint by construction and their corpus is long to make.
        let corpus = if same && !run.task.is_generated() { base.problems } else { 0 };
        let sizes = Sizes { corpus, ..run.data.clone() };
        self.check_problems(&run.task, &sizes)?;
        if let Some(asked) = &run.evaluate.task {
            let split = run.evaluate.split;
            let sizes = Sizes { allow_leaks: run.data.allow_leaks, ..Sizes::none(run.data.seed) };
            self.check_problems(asked, &sizes.with(split, run.data.of(split)))?;
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
    fn check_leaks(&self, run: &RunSpec, base: &BaseSpec) -> Result<(), PlanError> {
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
