//! What a run has seen when it is evaluated: the splits that are trained on, and the one asked.
//!
//! Responsible for comparing them across sets: the run's task, another one that it is evaluated on,
//! and the corpus of its base model where that is read from files. Hides that generated tasks need no
//! comparison. Must not know how two questions are compared.

use crate::data::{DataError, Leak, Part, Sizes, TaskConfig, leaks};
use crate::domain::{Key, Split};
use crate::spec::RunSpec;

use super::{Base, Models};

/// One split of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// The task.
    pub task: TaskConfig,
    /// The split.
    pub split: Split,
    /// How many problems of it.
    pub count: usize,
    /// The seed of generated problems.
    pub seed: u64,
}

impl Drawn {
    /// The name for messages.
    pub fn name(&self) -> String {
        format!("the {} split of {}", self.split.name(), self.task.name())
    }

    /// Its problems. Repeats within a task are found where the task is checked.
    ///
    /// # Errors
    /// If the data cannot be used.
    pub fn part(&self) -> Result<Part, DataError> {
        let sizes = Sizes {
            allow_leaks: true,
            ..Sizes::none(self.seed)
        }
        .with(self.split, self.count);
        Ok(Part {
            name: self.name(),
            problems: self.task.load(&sizes)?.of(self.split).to_vec(),
        })
    }
}

/// What is trained on, and what is evaluated on.
#[derive(Clone, Debug, PartialEq)]
pub struct Exposure {
    /// The splits that are trained on: the run's, and the corpus of its base model if it is read from
    /// files.
    pub trained: Vec<Drawn>,
    /// The split that is evaluated on.
    pub evaluated: Drawn,
}

impl Exposure {
    /// That of a run on this base model.
    pub fn of(run: &RunSpec, base: &Base) -> Self {
        // Problems that are read from files are the same for every seed.
        let drawn = |task: &TaskConfig, split, count, seed| {
            let seed = if task.is_generated() { seed } else { 0 };
            Drawn {
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
            run.train_seed(),
        )];
        // What a checkpoint from elsewhere was trained on is not known here.
        if let Base::Recipe(base) = base
            && !base.task.is_generated()
        {
            trained.push(drawn(&base.task, Split::Corpus, base.problems, base.seed));
        }
        let split = run.evaluate.split;
        let evaluated = drawn(
            run.evaluated_task(),
            split,
            run.data.of(split),
            run.evaluated_seed(),
        );
        Self { trained, evaluated }
    }

    /// Whether everything is generated: no two of these splits share a question by construction.
    pub fn is_harmless(&self) -> bool {
        self.trained
            .iter()
            .chain([&self.evaluated])
            .all(|drawn| drawn.task.is_generated())
    }

    /// The identity of the comparison.
    ///
    /// # Errors
    /// If a data file cannot be read.
    pub fn key(&self, models: &Models) -> Result<Key, DataError> {
        let drawn = self.trained.iter().chain([&self.evaluated]);
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
        Ok(Key::of(&("exposure", prints?)))
    }

    /// Every question that is trained on and evaluated on.
    ///
    /// # Errors
    /// If the data cannot be used.
    pub fn leaks(&self) -> Result<Vec<Leak>, DataError> {
        let trained: Vec<Part> = self
            .trained
            .iter()
            .map(Drawn::part)
            .collect::<Result<_, _>>()?;
        Ok(leaks(&trained, &self.evaluated.part()?))
    }

    /// The first of them as an error.
    ///
    /// # Errors
    /// If there is one, or the data cannot be used.
    pub fn refuse_leaks(&self) -> Result<(), DataError> {
        let found = self.leaks()?;
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
