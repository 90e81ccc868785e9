//! The registry of tasks: one enum variant each.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::Key;

use super::tasks::{
    FileTaskConfig, Gsm8kReader, JsonlReader, JsonlTaskConfig, MathReader, MathTaskConfig,
    PartCount, StoryWording, SvampReader, WordProblems,
};
use super::{AnswerForm, DataError, GraderConfig, RiseCompat, SplitSizes, TaskSplits};

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
    Gsm8k(FileTaskConfig),
    /// Varied arithmetic problems (Patel et al. 2021) from `SVAMP.json` or its folder.
    Svamp(FileTaskConfig),
    /// Competition problems (Hendrycks et al. 2021) from the user's own folder `MATH`.
    Math(MathTaskConfig),
    /// The user's own problems, in JSONL files whose fields are named.
    Jsonl(JsonlTaskConfig),
}

/// A file, or a folder as a whole, that a task is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Its name in the data set.
    pub name: &'static str,
    /// Where it is.
    pub path: PathBuf,
    /// The SHA-256 of its bytes; of a folder, that of the lines that `sha256sum` prints for its files.
    pub sha256: Key,
}

impl TaskConfig {
    /// The same task without the place of its files, which is not part of its identity.
    #[must_use]
    pub fn without_path(&self) -> Self {
        match self {
            Self::Gsm8k(_) => Self::Gsm8k(FileTaskConfig {
                path: PathBuf::new(),
            }),
            Self::Svamp(_) => Self::Svamp(FileTaskConfig {
                path: PathBuf::new(),
            }),
            Self::Math(task) => Self::Math(MathTaskConfig {
                path: PathBuf::new(),
                ..task.clone()
            }),
            Self::Jsonl(task) => Self::Jsonl(task.without_path()),
            generated => generated.clone(),
        }
    }

    /// The same task, read from where `other` is read if both are the same data set. Files of the
    /// user's own differ in their places alone, so these stay.
    #[must_use]
    pub fn with_path_of(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Gsm8k(_), Self::Gsm8k(_)) | (Self::Svamp(_), Self::Svamp(_)) => other.clone(),
            (Self::Math(task), Self::Math(other)) => Self::Math(MathTaskConfig {
                path: other.path.clone(),
                ..task.clone()
            }),
            _ => self.clone(),
        }
    }

    /// Whether its problems are made by a generator rather than read from files.
    #[must_use]
    pub const fn is_generated(&self) -> bool {
        !matches!(
            self,
            Self::Gsm8k(_) | Self::Svamp(_) | Self::Math(_) | Self::Jsonl(_)
        )
    }

    /// The name in problem ids and reports.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Jsonl(task) => task.name(),
            other => other.kind(),
        }
    }

    /// The name as written in experiment files.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::WordProblems(_) => "word-problems",
            Self::WordProblemsLarger(_) => "word-problems-larger",
            Self::WordProblemsLonger(_) => "word-problems-longer",
            Self::WordProblemsReworded(_) => "word-problems-reworded",
            Self::Gsm8k(_) => "gsm8k",
            Self::Svamp(_) => "svamp",
            Self::Math(_) => "math",
            Self::Jsonl(_) => "jsonl",
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
            | Self::Svamp(_)
            | Self::Math(_)
            | Self::Jsonl(_) => 1,
        }
    }

    /// Checks the settings alone, before any work and without looking at a file.
    ///
    /// # Errors
    /// [`DataError::Setting`] for the first setting that makes no sense.
    pub fn validate(&self) -> Result<(), DataError> {
        let fault = match self.source() {
            TaskSource::WordProblems(settings, _) => settings.first_error(),
            TaskSource::Gsm8k(settings) | TaskSource::Svamp(settings) => settings.first_error(),
            TaskSource::Math(settings) => settings.first_error(),
            TaskSource::Jsonl(settings) => settings.first_error(),
        };
        match fault {
            None => Ok(()),
            Some((field, fault)) => Err(DataError::Setting {
                task: self.kind(),
                field,
                fault,
            }),
        }
    }

    /// All that decides the problems, besides the sizes: name, version, and the generator's settings
    /// or the SHA-256 of each data file. Paths are not in it, so moved data stays the same data.
    ///
    /// # Errors
    /// If a data file cannot be read.
    pub fn fingerprint(&self) -> Result<Value, DataError> {
        let mut print = json!({ "name": self.name(), "version": self.version() });
        match self.source() {
            TaskSource::WordProblems(settings, _) => print["settings"] = json!(settings),
            TaskSource::Gsm8k(_) | TaskSource::Svamp(_) => {}
            TaskSource::Math(task) => print["settings"] = settings_without(task, &["path"]),
            TaskSource::Jsonl(task) => {
                print["settings"] = settings_without(task, &["train", "test", "name"]);
            }
        }
        if !self.is_generated() {
            let files = self.files()?.into_iter();
            let files = files.map(|file| (file.name.to_owned(), json!(file.sha256)));
            print["files"] = files.collect::<serde_json::Map<_, _>>().into();
        }
        Ok(print)
    }

    /// The files that it is read from.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn files(&self) -> Result<Vec<DataFile>, DataError> {
        let files = match self.source() {
            TaskSource::WordProblems(..) => Vec::new(),
            TaskSource::Gsm8k(task) => Gsm8kReader(&task.path).files()?,
            TaskSource::Svamp(task) => SvampReader(&task.path).files()?,
            TaskSource::Math(task) => MathReader(task).files()?,
            TaskSource::Jsonl(task) => JsonlReader(task).files()?,
        };
        Ok(files
            .into_iter()
            .map(|(name, path, sha256)| DataFile { name, path, sha256 })
            .collect())
    }

    /// The size of each part of a known data set.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn part_counts(&self) -> Result<Vec<PartCount>, DataError> {
        match self.source() {
            TaskSource::WordProblems(..) | TaskSource::Jsonl(_) => Ok(Vec::new()),
            TaskSource::Gsm8k(task) => Gsm8kReader(&task.path).part_counts(),
            TaskSource::Svamp(task) => SvampReader(&task.path).part_counts(),
            TaskSource::Math(task) => MathReader(task).part_counts(),
        }
    }

    /// Further notes on the files for people.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn notes(&self) -> Result<Vec<String>, DataError> {
        match self.source() {
            TaskSource::Math(task) => MathReader(task).notes(),
            TaskSource::WordProblems(..)
            | TaskSource::Gsm8k(_)
            | TaskSource::Svamp(_)
            | TaskSource::Jsonl(_) => Ok(Vec::new()),
        }
    }

    /// All splits. No question is in two of them; the same settings, files and sizes give the
    /// same problems; and a split does not change with the size of another.
    ///
    /// # Errors
    /// If a setting makes no sense, a file or row is at fault, a question occurs twice, or a
    /// split is larger than its source.
    pub fn load(&self, sizes: &SplitSizes) -> Result<TaskSplits, DataError> {
        self.validate()?;
        let splits = match self.source() {
            TaskSource::WordProblems(settings, wording) => {
                settings.load(self.kind(), wording, sizes)?
            }
            TaskSource::Gsm8k(task) => Gsm8kReader(&task.path).load(sizes)?,
            TaskSource::Svamp(task) => SvampReader(&task.path).load(sizes)?,
            TaskSource::Math(task) => MathReader(task).load(sizes)?,
            TaskSource::Jsonl(task) => JsonlReader(task).load(sizes)?,
        };
        splits.validate(sizes)?;
        Ok(splits)
    }

    /// The task's headline grader, behind rewards and scores unless a run names another.
    #[must_use]
    pub const fn grader(&self) -> GraderConfig {
        match self.source() {
            TaskSource::WordProblems(..) | TaskSource::Gsm8k(_) | TaskSource::Svamp(_) => {
                GraderConfig::Numeric
            }
            TaskSource::Math(_) => GraderConfig::BoxedLatex,
            TaskSource::Jsonl(task) => task.grader,
        }
    }

    /// The graders that apply to the task: whichever of them is behind rewards and scores, the others'
    /// grades are stored beside its.
    #[must_use]
    pub const fn graders(&self) -> &'static [GraderConfig] {
        match self.grader() {
            GraderConfig::BoxedLatex => &[
                GraderConfig::BoxedLatex,
                GraderConfig::RiseCompat(RiseCompat::OFFICIAL),
            ],
            GraderConfig::Numeric | GraderConfig::RiseCompat(_) => &[
                GraderConfig::Numeric,
                GraderConfig::RiseCompat(RiseCompat::OFFICIAL),
            ],
        }
    }

    /// The sentence about the form of answers, unless a run says otherwise: the form that `grader`
    /// reads. Models that are pre-trained here know the form of the older tasks from their corpus, and
    /// get no sentence.
    #[must_use]
    pub const fn answer_form(&self, grader: GraderConfig) -> Option<AnswerForm> {
        match self.source() {
            TaskSource::WordProblems(..) | TaskSource::Gsm8k(_) | TaskSource::Svamp(_) => None,
            TaskSource::Math(_) | TaskSource::Jsonl(_) => Some(grader.answer_form()),
        }
    }

    const fn source(&self) -> TaskSource<'_> {
        match self {
            Self::WordProblems(settings)
            | Self::WordProblemsLarger(settings)
            | Self::WordProblemsLonger(settings) => {
                TaskSource::WordProblems(settings, StoryWording::Plain)
            }
            Self::WordProblemsReworded(settings) => {
                TaskSource::WordProblems(settings, StoryWording::Reworded)
            }
            Self::Gsm8k(settings) => TaskSource::Gsm8k(settings),
            Self::Svamp(settings) => TaskSource::Svamp(settings),
            Self::Math(settings) => TaskSource::Math(settings),
            Self::Jsonl(settings) => TaskSource::Jsonl(settings),
        }
    }
}

/// The tasks by how their problems are made.
enum TaskSource<'a> {
    WordProblems(&'a WordProblems, StoryWording),
    Gsm8k(&'a FileTaskConfig),
    Svamp(&'a FileTaskConfig),
    Math(&'a MathTaskConfig),
    Jsonl(&'a JsonlTaskConfig),
}

/// The settings of a task without some of them.
fn settings_without(task: &impl Serialize, without: &[&str]) -> Value {
    let mut settings = serde_json::to_value(task).expect("settings are plain data");
    if let Some(members) = settings.as_object_mut() {
        members.retain(|name, _| !without.contains(&name.as_str()));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct TaskFile {
        task: TaskConfig,
    }

    fn task(toml: &str) -> Result<TaskConfig, String> {
        toml::from_str::<TaskFile>(toml)
            .map(|file| file.task)
            .map_err(|error| error.message().to_owned())
    }

    #[test]
    fn settings_left_out_are_those_of_the_task() {
        let words = WordProblems {
            steps: [2, 3],
            ..WordProblems::default()
        };
        assert_eq!(
            task("[task.word-problems]\nsteps = [2, 3]"),
            Ok(TaskConfig::WordProblems(words))
        );
        let larger = WordProblems {
            largest: 60,
            steps: [2, 3],
            corpus_steps: [1, 4],
        };
        assert_eq!(
            task("[task.word-problems-larger]\nsteps = [2, 3]"),
            Ok(TaskConfig::WordProblemsLarger(larger))
        );
        let longer = WordProblems {
            largest: 9,
            steps: [5, 6],
            corpus_steps: [1, 6],
        };
        assert_eq!(
            task("[task.word-problems-longer]\nlargest = 9"),
            Ok(TaskConfig::WordProblemsLonger(longer))
        );
        let file = FileTaskConfig {
            path: "data/gsm8k".into(),
        };
        assert_eq!(
            task("task = { gsm8k = { path = \"data/gsm8k\" } }"),
            Ok(TaskConfig::Gsm8k(file))
        );
    }

    #[test]
    fn unknown_tasks_and_settings_are_refused_with_the_known_ones() {
        insta::assert_snapshot!(task("[task.word-problem]").unwrap_err(), @"unknown variant `word-problem`, expected one of `word-problems`, `word-problems-larger`, `word-problems-longer`, `word-problems-reworded`, `gsm8k`, `svamp`, `math`, `jsonl`");
        for name in ["word-problems", "word-problems-longer"] {
            let error = task(&format!("[task.{name}]\nstep = [1, 2]")).unwrap_err();
            assert_eq!(
                error,
                "unknown field `step`, expected one of `steps`, `corpus_steps`, `largest`"
            );
        }
        insta::assert_snapshot!(task("[task.svamp]").unwrap_err(), @"missing field `path`");
    }

    #[test]
    fn senseless_settings_are_refused_before_any_work() {
        let fault = |toml| task(toml).unwrap().validate().unwrap_err().to_string();
        insta::assert_snapshot!(fault("[task.word-problems-larger]\nsteps = [5, 2]"), @"task `word-problems-larger`: `steps` = [5, 2]: write the smaller number first");
        insta::assert_snapshot!(fault("[task.word-problems]\nlargest = 1"), @"task `word-problems`: `largest` = 1: numbers start at 2");
        insta::assert_snapshot!(fault("[task.gsm8k]\npath = \"\""), @"task `gsm8k`: `path` is empty: give the place of the data");
    }

    #[test]
    fn a_fingerprint_holds_settings() {
        let print = TaskConfig::WordProblemsLarger(WordProblems::larger())
            .fingerprint()
            .unwrap();
        insta::assert_snapshot!(print, @r#"{"name":"word-problems-larger","version":1,"settings":{"steps":[3,4],"corpus_steps":[1,4],"largest":60}}"#);
    }

    #[test]
    fn a_fingerprint_holds_the_content_of_files_and_not_their_place() {
        let print = |rows: &str| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("SVAMP.json"), rows).unwrap();
            TaskConfig::Svamp(FileTaskConfig {
                path: folder.path().to_owned(),
            })
            .fingerprint()
            .unwrap()
        };
        assert_eq!(print("[]"), print("[]"));
        assert_ne!(print("[]"), print("[ ]"));
        insta::assert_snapshot!(print("[]"), @r#"{"name":"svamp","version":1,"files":{"SVAMP.json":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"}}"#);
    }
}
