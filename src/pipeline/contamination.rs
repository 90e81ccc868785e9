//! What a run has seen when it is evaluated: the splits that are trained on, and the one asked.
//!
//! Responsible for comparing them across sets: the run's task, another one that it is evaluated on,
//! and the corpus of its base model where that is read from files. Hides that generated tasks need no
//! comparison. Must not know how two questions are compared.

use crate::config::RunSpec;
use crate::data::{DataError, LeakedQuestion, NamedProblems, SplitSizes, TaskConfig, find_leaks};
use crate::domain::{Key, Split};

use super::base_models::{BaseModelRegistry, ResolvedBaseModel};

/// One split of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitUse {
    /// The task.
    pub task: TaskConfig,
    /// The split.
    pub split: Split,
    /// How many problems of it.
    pub count: usize,
    /// The seed of generated problems.
    pub seed: u64,
}

impl SplitUse {
    /// The name for messages.
    pub fn name(&self) -> String {
        format!("the {} split of {}", self.split.name(), self.task.name())
    }

    /// Its problems. Repeats within a task are found where the task is checked.
    ///
    /// # Errors
    /// If the data cannot be used.
    pub fn load_problems(&self) -> Result<NamedProblems, DataError> {
        let sizes = SplitSizes {
            allow_leaks: true,
            ..SplitSizes::empty(self.seed)
        }
        .with_split(self.split, self.count);
        Ok(NamedProblems {
            name: self.name(),
            problems: self.task.load(&sizes)?.problems(self.split).to_vec(),
        })
    }
}

/// What is trained on, and what is evaluated on.
#[derive(Clone, Debug, PartialEq)]
pub struct ContaminationCheck {
    /// The splits that are trained on: the run's, and the corpus of its base model if it is read from
    /// files.
    pub training_splits: Vec<SplitUse>,
    /// The split that is evaluated on.
    pub evaluation_split: SplitUse,
}

impl ContaminationCheck {
    /// That of a run on this base model.
    pub fn for_run(run: &RunSpec, base: &ResolvedBaseModel) -> Self {
        // Problems that are read from files are the same for every seed.
        let drawn = |task: &TaskConfig, split, count, seed| {
            let seed = if task.is_generated() { seed } else { 0 };
            SplitUse {
                task: task.clone(),
                split,
                count,
                seed,
            }
        };
        let mut trained = vec![drawn(
            &run.task,
            Split::Train,
            run.data.train,
            run.train_data_seed(),
        )];
        // What a checkpoint from elsewhere was trained on is not known here.
        if let ResolvedBaseModel::Recipe(base) = base
            && !base.task.is_generated()
        {
            trained.push(drawn(&base.task, Split::Corpus, base.problems, base.seed));
        }
        let split = run.evaluate.split;
        let evaluated = drawn(
            run.eval_task(),
            split,
            run.data.get(split),
            run.eval_data_seed(),
        );
        Self {
            training_splits: trained,
            evaluation_split: evaluated,
        }
    }

    /// Whether everything is generated: no two of these splits share a question by construction.
    pub fn is_generated_only(&self) -> bool {
        self.training_splits
            .iter()
            .chain([&self.evaluation_split])
            .all(|drawn| drawn.task.is_generated())
    }

    /// The identity of the comparison.
    ///
    /// # Errors
    /// If a data file cannot be read.
    pub fn key(&self, models: &BaseModelRegistry) -> Result<Key, DataError> {
        let drawn = self.training_splits.iter().chain([&self.evaluation_split]);
        let prints: Result<Vec<_>, DataError> = drawn
            .map(|drawn| {
                Ok((
                    models.fingerprint(&drawn.task)?,
                    drawn.split,
                    drawn.count,
                    drawn.seed,
                ))
            })
            .collect();
        Ok(Key::from_value(&("exposure", prints?)))
    }

    /// Every question that is trained on and evaluated on.
    ///
    /// # Errors
    /// If the data cannot be used.
    pub fn find_leaks(&self) -> Result<Vec<LeakedQuestion>, DataError> {
        let trained: Vec<NamedProblems> = self
            .training_splits
            .iter()
            .map(SplitUse::load_problems)
            .collect::<Result<_, _>>()?;
        Ok(find_leaks(
            &trained,
            &self.evaluation_split.load_problems()?,
        ))
    }

    /// The first of them as an error.
    ///
    /// # Errors
    /// If there is one, or the data cannot be used.
    pub fn reject_leaks(&self) -> Result<(), DataError> {
        let found = self.find_leaks()?;
        match found.first() {
            None => Ok(()),
            Some(leak) => Err(DataError::Leak {
                trained: format!("{} in {}", leak.trained_id, leak.trained),
                evaluated: format!("{} in {}", leak.evaluated_id, leak.evaluated),
                question: leak.question.clone(),
                others: found.len() - 1,
            }),
        }
    }
}
