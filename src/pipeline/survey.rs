//! What is known of the data behind some runs, for a person to check before any work.
//!
//! Responsible for gathering it: files, splits, known errors, deviations from the originals, leaks.
//! Hides which runs share what. Changes nothing, and must not know how it is shown.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::data::{
    Count, DataError, DataFile, KnownError, Leak, Part, TaskConfig, is_official, known_errors,
    problem_print, problems_print,
};
use crate::domain::{Key, Split};
use crate::spec::RunSpec;

use super::exposure::{Drawn, Exposure};
use super::{Models, PlanError};

/// The data behind some runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Survey {
    /// Every task, in the order in which the runs name them.
    pub tasks: Vec<Surveyed>,
    /// Questions that are both trained on and evaluated on.
    pub leaks: Vec<Leak>,
    /// Why a sweep would refuse the data, if it would.
    pub refusal: Option<String>,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Surveyed {
    /// Its name.
    pub task: String,
    /// The files that it is read from; none where problems are generated.
    pub files: Vec<SurveyedFile>,
    /// The splits that the runs use.
    pub splits: Vec<SurveyedSplit>,
    /// Where the files hold other numbers of problems than the originals, and what else is odd.
    pub notes: Vec<String>,
    /// The problems of these splits whose reference is known to be wrong, or to look so.
    pub known_errors: Vec<KnownError>,
}

/// One file, or a folder as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SurveyedFile {
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
pub struct SurveyedSplit {
    /// The split.
    pub split: Split,
    /// Its problems.
    pub problems: usize,
    /// Characters of its longest question.
    pub longest: usize,
    /// The problem that asks it.
    pub longest_id: String,
    /// The fingerprint of its problems.
    pub fingerprint: Key,
    /// The fingerprint of each of them, by id, in order.
    pub prints: Vec<(String, Key)>,
}

/// Looks at the data behind some runs. Corpora that are generated are left out, since they are long
/// to make and hold nothing unexpected.
///
/// # Errors
/// If a base model is not there, or a file cannot be used at all.
pub fn survey<'a>(
    runs: impl IntoIterator<Item = &'a RunSpec>,
    models: &Models,
) -> Result<Survey, PlanError> {
    let mut survey = Survey::default();
    let mut drawn: Vec<Drawn> = Vec::new();
    let mut compared: Vec<Exposure> = Vec::new();
    let mut met: HashSet<Leak> = HashSet::new();
    for run in runs {
        let base = models.for_task(&run.base, &run.task)?;
        let exposure = Exposure::of(run, &base);
        for one in exposure.trained.iter().chain([&exposure.evaluated]) {
            draw(&mut drawn, one);
        }
        survey.check(models.check_data(run, &base))?;
        if !exposure.is_harmless() && !compared.contains(&exposure) {
            let found = exposure.leaks()?;
            survey
                .leaks
                .extend(found.into_iter().filter(|leak| met.insert(leak.clone())));
            compared.push(exposure);
        }
    }
    while let Some(first) = drawn.first().cloned() {
        let (own, others) = drawn.into_iter().partition(|one| one.task == first.task);
        survey.tasks.push(task(&first.task, own)?);
        drawn = others;
    }
    Ok(survey)
}

/// Notes a split, or more of one that is noted.
fn draw(drawn: &mut Vec<Drawn>, one: &Drawn) {
    let same = |other: &&mut Drawn| {
        (&other.task, other.split, other.seed) == (&one.task, one.split, one.seed)
    };
    match drawn.iter_mut().find(same) {
        Some(other) => other.count = other.count.max(one.count),
        None => drawn.push(one.clone()),
    }
}

impl Survey {
    /// Keeps the first complaint about questions that are asked twice; anything else ends the survey.
    fn check(&mut self, checked: Result<(), PlanError>) -> Result<(), PlanError> {
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

fn task(task: &TaskConfig, mut drawn: Vec<Drawn>) -> Result<Surveyed, DataError> {
    drawn.sort_by_key(|one| one.split);
    let parts: Vec<(Split, Part)> = drawn
        .iter()
        .map(|one| Ok((one.split, one.part()?)))
        .collect::<Result<_, DataError>>()?;
    let files: Vec<SurveyedFile> = task
        .files()?
        .into_iter()
        .map(|one| file(task, one))
        .collect();
    let mut notes: Vec<String> = task.counts()?.iter().filter_map(Count::deviation).collect();
    notes.extend(task.notes()?);
    let in_use = |known: &KnownError| {
        parts
            .iter()
            .any(|(_, part)| part.problems.iter().any(|problem| problem.id == known.id))
    };
    let known_errors = known_errors(task.kind())
        .into_iter()
        .filter(|known| is_about(&files, &known.id) && in_use(known))
        .collect();
    let splits = parts
        .iter()
        .map(|(split, part)| measured(*split, part))
        .collect();
    Ok(Surveyed {
        task: task.name().to_owned(),
        files,
        splits,
        notes,
        known_errors,
    })
}

fn file(task: &TaskConfig, file: DataFile) -> SurveyedFile {
    let official = is_official(task.kind(), file.name, &file.sha256);
    SurveyedFile {
        name: file.name.to_owned(),
        path: file.path,
        sha256: file.sha256,
        official,
    }
}

/// Whether the file that an id names is the official one: in another file, a row may be another problem.
fn is_about(files: &[SurveyedFile], id: &str) -> bool {
    let of = |file: &SurveyedFile| files.len() == 1 || id.split('/').any(|step| step == file.name);
    files
        .iter()
        .any(|file| file.official == Some(true) && of(file))
}

fn measured(split: Split, part: &Part) -> SurveyedSplit {
    let length = |question: &str| question.chars().count();
    let longest = part.problems.iter().max_by(|one, other| {
        let lengths = length(&one.question).cmp(&length(&other.question));
        lengths.then_with(|| other.id.cmp(&one.id))
    });
    SurveyedSplit {
        split,
        problems: part.problems.len(),
        longest: longest.map_or(0, |problem| length(&problem.question)),
        longest_id: longest
            .map(|problem| problem.id.clone())
            .unwrap_or_default(),
        fingerprint: problems_print(&part.problems),
        prints: part
            .problems
            .iter()
            .map(|problem| (problem.id.clone(), problem_print(problem)))
            .collect(),
    }
}
