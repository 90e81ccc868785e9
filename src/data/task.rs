//! The registry of tasks: one enum variant each.
//!
//! Responsible for what every task can do. Hides which task does it how. Must not know any file
//! format or sentence.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::Key;

use super::tasks::{FileTask, Gsm8k, Svamp, WordProblems, Wording};
use super::{DataError, GraderConfig, RiseCompat, Sizes, Splits};

/// Where problems come from.
///
/// The word-problem tasks differ in their default settings and their wording. The same question
/// is in the same split in all of them, so a model trained on one may be tested on another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TaskConfig {
    /// Generated problems of 3 or 4 steps with numbers up to 20.
    WordProblems(WordProblems),
    /// Out of distribution: numbers up to 60.
    #[serde(deserialize_with = "WordProblems::over_larger")]
    WordProblemsLarger(WordProblems),
    /// Out of distribution: 5 or 6 steps.
    #[serde(deserialize_with = "WordProblems::over_longer")]
    WordProblemsLonger(WordProblems),
    /// Out of distribution: the same arithmetic in other words.
    WordProblemsReworded(WordProblems),
    /// Grade-school problems (Cobbe et al. 2021) from a folder with `train.jsonl` and `test.jsonl`.
    Gsm8k(FileTask),
    /// Varied arithmetic problems (Patel et al. 2021) from `SVAMP.json` or its folder.
    Svamp(FileTask),
}

impl TaskConfig {
    /// The same task without the place of its files, which is not part of what it is.
    #[must_use]
    pub fn without_path(&self) -> Self {
        match self {
            Self::Gsm8k(_) => Self::Gsm8k(FileTask { path: PathBuf::new() }),
            Self::Svamp(_) => Self::Svamp(FileTask { path: PathBuf::new() }),
            generated => generated.clone(),
        }
    }

    /// The same task, read from where `other` is read if both are the same data set.
    #[must_use]
    pub fn placed_as(&self, other: &Self) -> Self {
        let same = !self.is_generated() && self.without_path() == other.without_path();
        if same { other.clone() } else { self.clone() }
    }

    /// Whether its problems are made by a generator rather than read from files.
    #[must_use]
    pub const fn is_generated(&self) -> bool {
        !matches!(self, Self::Gsm8k(_) | Self::Svamp(_))
    }

    /// The name as written in experiment files and problem ids.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WordProblems(_) => "word-problems",
            Self::WordProblemsLarger(_) => "word-problems-larger",
            Self::WordProblemsLonger(_) => "word-problems-longer",
            Self::WordProblemsReworded(_) => "word-problems-reworded",
            Self::Gsm8k(_) => "gsm8k",
            Self::Svamp(_) => "svamp",
        }
    }

    /// Raised when the same settings or files give other problems.
    #[must_use]
    pub const fn version(&self) -> u32 {
        match self {
            Self::WordProblems(_)
            | Self::WordProblemsLarger(_)
            | Self::WordProblemsLonger(_)
            | Self::WordProblemsReworded(_)
            | Self::Gsm8k(_)
            | Self::Svamp(_) => 1,
        }
    }

    /// Checks the settings alone, before any work and without looking at a file.
    ///
    /// # Errors
    /// [`DataError::Setting`] for the first setting that makes no sense.
    pub fn check(&self) -> Result<(), DataError> {
        let fault = match self.source() {
            Source::Words(settings, _) => settings.fault(),
            Source::Gsm8k(settings) | Source::Svamp(settings) => settings.fault(),
        };
        match fault {
            None => Ok(()),
            Some((field, fault)) => Err(DataError::Setting { task: self.name(), field, fault }),
        }
    }

    /// What decides the problems, besides the sizes: name, version, and the generator's settings
    /// or the SHA-256 of each data file. Paths are not in it, so moved data stays the same data.
    ///
    /// # Errors
    /// If a data file cannot be read.
    pub fn fingerprint(&self) -> Result<Value, DataError> {
        let mut print = json!({ "name": self.name(), "version": self.version() });
        match self.source() {
            Source::Words(settings, _) => print["settings"] = json!(settings),
            Source::Gsm8k(task) => print["files"] = by_name(Gsm8k(&task.path).files()?),
            Source::Svamp(task) => print["files"] = by_name(Svamp(&task.path).files()?),
        }
        Ok(print)
    }

    /// All splits. No question is in two of them; the same settings, files and sizes give the
    /// same problems; and a split does not change with the size of another.
    ///
    /// # Errors
    /// If a setting makes no sense, a file or row is at fault, a question occurs twice, or a
    /// split is to be larger than what there is.
    pub fn load(&self, sizes: &Sizes) -> Result<Splits, DataError> {
        self.check()?;
        let splits = match self.source() {
            Source::Words(settings, wording) => settings.load(self.name(), wording, sizes)?,
            Source::Gsm8k(task) => Gsm8k(&task.path).load(sizes)?,
            Source::Svamp(task) => Svamp(&task.path).load(sizes)?,
        };
        splits.check()?;
        Ok(splits)
    }

    /// The task's headline grader, behind rewards and scores unless a run names another.
    #[must_use]
    pub const fn grader(&self) -> GraderConfig {
        match self.source() {
            Source::Words(..) | Source::Gsm8k(_) | Source::Svamp(_) => GraderConfig::Numeric,
        }
    }

    /// The graders that apply to the task: whichever of them is behind rewards and scores, the others'
    /// grades are stored beside its.
    #[must_use]
    pub const fn graders(&self) -> &'static [GraderConfig] {
        match self.source() {
            Source::Words(..) | Source::Gsm8k(_) | Source::Svamp(_) => {
                &[GraderConfig::Numeric, GraderConfig::RiseCompat(RiseCompat::OFFICIAL)]
            }
        }
    }

    const fn source(&self) -> Source<'_> {
        match self {
            Self::WordProblems(settings)
            | Self::WordProblemsLarger(settings)
            | Self::WordProblemsLonger(settings) => Source::Words(settings, Wording::Plain),
            Self::WordProblemsReworded(settings) => Source::Words(settings, Wording::Reworded),
            Self::Gsm8k(settings) => Source::Gsm8k(settings),
            Self::Svamp(settings) => Source::Svamp(settings),
        }
    }
}

/// The tasks by how their problems are made.
enum Source<'a> {
    Words(&'a WordProblems, Wording),
    Gsm8k(&'a FileTask),
    Svamp(&'a FileTask),
}

fn by_name(files: Vec<(&'static str, Key)>) -> Value {
    files
        .into_iter()
        .map(|(name, key)| (name.to_owned(), json!(key)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        task: TaskConfig,
    }

    fn task(toml: &str) -> Result<TaskConfig, String> {
        toml::from_str::<File>(toml).map(|file| file.task).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn settings_left_out_are_those_of_the_task() {
        let words = WordProblems { steps: [2, 3], ..WordProblems::default() };
        assert_eq!(task("[task.word-problems]\nsteps = [2, 3]"), Ok(TaskConfig::WordProblems(words)));
        let larger = WordProblems { largest: 60, steps: [2, 3], corpus_steps: [1, 4] };
        assert_eq!(
            task("[task.word-problems-larger]\nsteps = [2, 3]"),
            Ok(TaskConfig::WordProblemsLarger(larger))
        );
        let longer = WordProblems { largest: 9, steps: [5, 6], corpus_steps: [1, 6] };
        assert_eq!(
            task("[task.word-problems-longer]\nlargest = 9"),
            Ok(TaskConfig::WordProblemsLonger(longer))
        );
        let file = FileTask { path: "data/gsm8k".into() };
        assert_eq!(task("task = { gsm8k = { path = \"data/gsm8k\" } }"), Ok(TaskConfig::Gsm8k(file)));
    }

    #[test]
    fn unknown_tasks_and_settings_are_refused_with_the_known_ones() {
        insta::assert_snapshot!(task("[task.word-problem]").unwrap_err(), @"unknown variant `word-problem`, expected one of `word-problems`, `word-problems-larger`, `word-problems-longer`, `word-problems-reworded`, `gsm8k`, `svamp`");
        for name in ["word-problems", "word-problems-longer"] {
            let error = task(&format!("[task.{name}]\nstep = [1, 2]")).unwrap_err();
            assert_eq!(error, "unknown field `step`, expected one of `steps`, `corpus_steps`, `largest`");
        }
        insta::assert_snapshot!(task("[task.svamp]").unwrap_err(), @"missing field `path`");
    }

    #[test]
    fn senseless_settings_are_refused_before_any_work() {
        let fault = |toml| task(toml).unwrap().check().unwrap_err().to_string();
        insta::assert_snapshot!(fault("[task.word-problems-larger]\nsteps = [5, 2]"), @"task `word-problems-larger`: `steps` = [5, 2]: write the smaller number first");
        insta::assert_snapshot!(fault("[task.word-problems]\nlargest = 1"), @"task `word-problems`: `largest` = 1: numbers start at 2");
        insta::assert_snapshot!(fault("[task.gsm8k]\npath = \"\""), @"task `gsm8k`: `path` is empty: give the place of the data");
    }

    #[test]
    fn a_fingerprint_holds_settings() {
        let print = TaskConfig::WordProblemsLarger(WordProblems::larger()).fingerprint().unwrap();
        insta::assert_snapshot!(print, @r#"{"name":"word-problems-larger","version":1,"settings":{"steps":[3,4],"corpus_steps":[1,4],"largest":60}}"#);
    }

    #[test]
    fn a_fingerprint_holds_the_content_of_files_and_not_their_place() {
        let print = |rows: &str| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("SVAMP.json"), rows).unwrap();
            TaskConfig::Svamp(FileTask { path: folder.path().to_owned() }).fingerprint().unwrap()
        };
        assert_eq!(print("[]"), print("[]"));
        assert_ne!(print("[]"), print("[ ]"));
        insta::assert_snapshot!(print("[]"), @r#"{"name":"svamp","version":1,"files":{"SVAMP.json":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"}}"#);
    }
}
