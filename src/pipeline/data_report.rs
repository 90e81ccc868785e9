//! What is known of the data behind some runs, for a person to check before any work.
//!
//! Responsible for gathering it: files, splits, known errors, deviations from the originals, leaks.
//! Hides which runs share what. Changes nothing, and must not know how it is shown.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::config::RunSpec;
use crate::data::{
    DataError, DataFile, KnownError, LeakedQuestion, NamedProblems, PartCount, TaskConfig,
    is_official, known_errors, problem_fingerprint, problems_fingerprint,
};
use crate::domain::{Key, Split};

use super::contamination::{ContaminationCheck, SplitUse};
use super::{BaseModelRegistry, PlanError};

/// The data behind some runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DataReport {
    /// Every task, in the order in which the runs name them.
    pub tasks: Vec<TaskReport>,
    /// Questions that are both trained on and evaluated on.
    pub leaks: Vec<LeakedQuestion>,
    /// Why a sweep would refuse the data, if it would.
    pub refusal: Option<String>,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskReport {
    /// Its name.
    pub task: String,
    /// The files that it is read from; none where problems are generated.
    pub files: Vec<TaskFileReport>,
    /// The splits that the runs use.
    pub splits: Vec<TaskSplitReport>,
    /// Where the files hold other numbers of problems than the originals, and what else is odd.
    pub notes: Vec<String>,
    /// The problems of these splits whose reference is known to be wrong, or to look so.
    pub known_errors: Vec<KnownError>,
}

/// One file, or a folder as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskFileReport {
    /// What the data set calls it.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its SHA-256.
    pub sha256: Key,
    /// Whether it is the one that its authors ship; none where that is not known.
    pub official: Option<bool>,
}

/// One split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskSplitReport {
    /// The split.
    pub split: Split,
    /// Its problems.
    pub problems: usize,
    /// Characters of its longest question.
    #[serde(rename = "longest")]
    pub longest_question: usize,
    /// The problem that asks it.
    pub longest_id: String,
    /// The fingerprint of its problems.
    pub fingerprint: Key,
    /// The fingerprint of each of them, by id, in order.
    #[serde(rename = "prints")]
    pub fingerprints: Vec<(String, Key)>,
}

/// Looks at the data behind some runs. Corpora that are generated are left out, since they are long
/// to make and hold nothing unexpected.
///
/// # Errors
/// If a base model is not there, or a file cannot be used at all.
pub fn build_data_report<'a>(
    runs: impl IntoIterator<Item = &'a RunSpec>,
    models: &BaseModelRegistry,
) -> Result<DataReport, PlanError> {
    let mut survey = DataReport::default();
    let mut drawn: Vec<SplitUse> = Vec::new();
    let mut compared: Vec<ContaminationCheck> = Vec::new();
    let mut met: HashSet<LeakedQuestion> = HashSet::new();
    for run in runs {
        let base = models.for_task(&run.base, &run.task)?;
        let exposure = ContaminationCheck::for_run(run, &base);
        for one in exposure
            .training_splits
            .iter()
            .chain([&exposure.evaluation_split])
        {
            add_split_use(&mut drawn, one);
        }
        survey.record_refusal(models.check_data(run, &base))?;
        if !exposure.is_generated_only() && !compared.contains(&exposure) {
            let found = exposure.find_leaks()?;
            survey
                .leaks
                .extend(found.into_iter().filter(|leak| met.insert(leak.clone())));
            compared.push(exposure);
        }
    }
    while let Some(first) = drawn.first().cloned() {
        let (own, others) = drawn.into_iter().partition(|one| one.task == first.task);
        survey.tasks.push(task_report(&first.task, own)?);
        drawn = others;
    }
    Ok(survey)
}

/// Notes a split, or more of one that is noted.
fn add_split_use(drawn: &mut Vec<SplitUse>, one: &SplitUse) {
    let same = |other: &&mut SplitUse| {
        (&other.task, other.split, other.seed) == (&one.task, one.split, one.seed)
    };
    match drawn.iter_mut().find(same) {
        Some(other) => other.count = other.count.max(one.count),
        None => drawn.push(one.clone()),
    }
}

impl DataReport {
    /// Keeps the first complaint about questions that are asked twice; anything else ends the survey.
    fn record_refusal(&mut self, checked: Result<(), PlanError>) -> Result<(), PlanError> {
        match checked {
            Ok(()) => Ok(()),
            Err(PlanError::Data(error @ (DataError::Leak { .. } | DataError::Overlap { .. }))) => {
                self.refusal.get_or_insert_with(|| error.to_string());
                Ok(())
            }
            Err(other) => Err(other),
        }
    }
}

fn task_report(task: &TaskConfig, mut drawn: Vec<SplitUse>) -> Result<TaskReport, DataError> {
    drawn.sort_by_key(|one| one.split);
    let parts: Vec<(Split, NamedProblems)> = drawn
        .iter()
        .map(|one| Ok((one.split, one.load_problems()?)))
        .collect::<Result<_, DataError>>()?;
    let files: Vec<TaskFileReport> = task
        .files()?
        .into_iter()
        .map(|one| file_report(task, one))
        .collect();
    let mut notes: Vec<String> = task
        .part_counts()?
        .iter()
        .filter_map(PartCount::mismatch)
        .collect();
    notes.extend(task.notes()?);
    let in_use = |known: &KnownError| {
        parts
            .iter()
            .any(|(_, part)| part.problems.iter().any(|problem| problem.id == known.id))
    };
    let known_errors = known_errors(task.kind())
        .into_iter()
        .filter(|known| is_about_official_file(&files, &known.id) && in_use(known))
        .collect();
    let splits = parts
        .iter()
        .map(|(split, part)| split_report(*split, part))
        .collect();
    Ok(TaskReport {
        task: task.name().to_owned(),
        files,
        splits,
        notes,
        known_errors,
    })
}

fn file_report(task: &TaskConfig, file: DataFile) -> TaskFileReport {
    let official = is_official(task.kind(), file.name, &file.sha256);
    TaskFileReport {
        name: file.name.to_owned(),
        path: file.path,
        sha256: file.sha256,
        official,
    }
}

/// Whether the file that an id names is the official one: in another file, a row may be another problem.
fn is_about_official_file(files: &[TaskFileReport], id: &str) -> bool {
    let of =
        |file: &TaskFileReport| files.len() == 1 || id.split('/').any(|step| step == file.name);
    files
        .iter()
        .any(|file| file.official == Some(true) && of(file))
}

fn split_report(split: Split, part: &NamedProblems) -> TaskSplitReport {
    let length = |question: &str| question.chars().count();
    let longest = part.problems.iter().max_by(|one, other| {
        let lengths = length(&one.question).cmp(&length(&other.question));
        lengths.then_with(|| other.id.cmp(&one.id))
    });
    TaskSplitReport {
        split,
        problems: part.problems.len(),
        longest_question: longest.map_or(0, |problem| length(&problem.question)),
        longest_id: longest
            .map(|problem| problem.id.clone())
            .unwrap_or_default(),
        fingerprint: problems_fingerprint(&part.problems),
        fingerprints: part
            .problems
            .iter()
            .map(|problem| (problem.id.clone(), problem_fingerprint(problem)))
            .collect(),
    }
}
