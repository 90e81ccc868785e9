//! MATH (Hendrycks et al. 2021), read from the user's own copy of the folder `MATH`.
//!
//! One problem a file, `MATH/{train,test}/<subject>/<n>.json`:
//!
//! ```text
//! { "problem": "What is $1+1$?", "level": "Level 1", "type": "Algebra", "solution": "It is $\\boxed{2}$." }
//! ```
//!
//! The answer is the content of the solution's last box, braces balanced. A problem's id names
//! its file, e.g. `math/test/algebra/7.json`. The test split is MATH-500, the 1,000 of the official
//! RISE code, or all of `test`; all other splits come from `train`, or from everything that is not
//! tested on. Among these, a question that was met before is left out; `rise-lab data` lists it.

mod folder;
mod settings;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use serde::Deserialize;

use crate::data::DataError;
use crate::data::fingerprint::read_text;
use crate::data::graders::last_boxed;
use crate::data::split::{SplitSizes, TaskSplits, question_identity};
use crate::data::split_assignment::assign_splits;
use crate::domain::{Key, Problem};

use self::folder::{EXPECTED, MathEntry, MathHalf, MathListing, digest, list_files};
pub use self::settings::{MathSubject, MathTaskConfig, MathTestSet, MathTrainSet};

use super::PartCount;
use super::file_task::{RowLocation, TEST_FILE_LAYOUT, TRAIN_FILE_LAYOUT};

#[derive(Deserialize)]
struct MathRow {
    problem: Option<String>,
    level: Option<String>,
    solution: Option<String>,
}

/// MATH with these settings.
pub(in crate::data) struct MathReader<'a>(pub(in crate::data) &'a MathTaskConfig);

impl MathReader<'_> {
    /// Reads the files behind the splits in use, and deals them out.
    pub(in crate::data) fn load(&self, sizes: &SplitSizes) -> Result<TaskSplits, DataError> {
        let (train, test) = self.select_entries(&self.listing()?)?;
        let location = |what: &str| format!("{} ({what})", self.0.path.display());
        let mut splits = TaskSplits::default();
        if sizes.corpus + sizes.train + sizes.validation > 0 {
            let (train, _) = without_repeats(self.read_problems(&train)?);
            splits = assign_splits(
                train,
                &TRAIN_FILE_LAYOUT,
                sizes,
                &location("training problems"),
            )?;
        }
        if sizes.test > 0 {
            let test = self.read_problems(&test)?;
            splits.test = assign_splits(
                test,
                &TEST_FILE_LAYOUT,
                sizes,
                &location(self.0.test.name()),
            )?
            .test;
        }
        Ok(splits)
    }

    /// The folder's name and the SHA-256 of the lines that `sha256sum` prints for its files.
    pub(in crate::data) fn files(&self) -> Result<Vec<(&'static str, PathBuf, Key)>, DataError> {
        let key = digest(&self.0.path, &self.listing()?)?;
        Ok(vec![("MATH", self.0.path.clone(), key)])
    }

    /// The number of files in each subject of each half.
    pub(in crate::data) fn part_counts(&self) -> Result<Vec<PartCount>, DataError> {
        let listing = self.listing()?;
        let subjects = self.0.selected_subjects();
        let parts = MathHalf::ALL
            .into_iter()
            .flat_map(|half| subjects.iter().map(move |&subject| (half, subject)));
        let counts = parts.map(|(half, subject)| {
            let (train, test) = subject.official_counts();
            let entries = listing.entries.iter();
            PartCount {
                part: format!("{}/{}", half.folder(), subject.folder()),
                found: entries
                    .filter(|entry| (entry.half, entry.subject) == (half, subject))
                    .count(),
                official: if half == MathHalf::Train { train } else { test },
            }
        });
        Ok(counts.collect())
    }

    /// Notes on the folder for people: files that nobody reads, and repeated questions.
    pub(in crate::data) fn notes(&self) -> Result<Vec<String>, DataError> {
        let listing = self.listing()?;
        let (train, _) = self.select_entries(&listing)?;
        let (_, mut notes) = without_repeats(self.read_problems(&train)?);
        notes.extend(
            listing
                .others
                .into_iter()
                .map(|name| format!("{name} is passed over, since it is not called <number>.json")),
        );
        Ok(notes)
    }

    fn listing(&self) -> Result<MathListing, DataError> {
        list_files(&self.0.path, &self.0.selected_subjects())
    }

    /// The files of training problems and of test problems.
    fn select_entries(
        &self,
        listing: &MathListing,
    ) -> Result<(Vec<MathEntry>, Vec<MathEntry>), DataError> {
        let test = self.test_entries(listing)?;
        let is_tested: BTreeSet<MathEntry> = test.iter().copied().collect();
        Ok((
            listing
                .entries
                .iter()
                .filter(|entry: &&MathEntry| match self.0.train {
                    MathTrainSet::Official => entry.half == MathHalf::Train,
                    MathTrainSet::Rest => !is_tested.contains(entry),
                })
                .copied()
                .collect(),
            test,
        ))
    }

    /// The files of test problems.
    fn test_entries(&self, listing: &MathListing) -> Result<Vec<MathEntry>, DataError> {
        let tests = listing
            .entries
            .iter()
            .filter(|entry| entry.half == MathHalf::Test)
            .copied();
        let Some(names) = self.0.test.file_names() else {
            return Ok(tests.collect());
        };
        let by_name: HashMap<String, MathEntry> =
            tests.map(|entry| (entry.name(), entry)).collect();
        let subjects = self.0.selected_subjects();
        let wanted = |name: &&str| {
            subjects
                .iter()
                .any(|subject| name.split('/').nth(1) == Some(subject.folder()))
        };
        let wanted: Vec<&str> = names.into_iter().filter(wanted).collect();
        let missing: Vec<&str> = wanted
            .iter()
            .filter(|name| !by_name.contains_key(**name))
            .copied()
            .collect();
        if let Some(first) = missing.first() {
            let fault = format!(
                "{} of the {} problems of `{}` are missing, the first of them {first}; fetch MATH again, or take `test = \"all\"`",
                missing.len(),
                wanted.len(),
                self.0.test.name()
            );
            return Err(DataError::Layout {
                path: self.0.path.clone(),
                fault,
            });
        }
        Ok(wanted.iter().map(|name| by_name[*name]).collect())
    }

    /// The problems of some files, those of other levels left out.
    fn read_problems(&self, entries: &[MathEntry]) -> Result<Vec<Problem>, DataError> {
        let problems = entries.iter().map(|entry| self.read_problem(*entry));
        problems.filter_map(Result::transpose).collect()
    }

    /// One file's problem, if it is of a level in use.
    fn read_problem(&self, entry: MathEntry) -> Result<Option<Problem>, DataError> {
        let name = entry.name();
        let path = self.0.path.join(&name);
        let text = read_text(&path, EXPECTED)?;
        let location = |line| RowLocation {
            path: &path,
            unit: "line",
            number: line,
        };
        let row: MathRow = serde_json::from_str(&text)
            .map_err(|error| location(error.line()).json_error(&error))?;
        let location = location(1);
        // Two training problems of the original have the level `Level ?`.
        let level = row
            .level
            .as_deref()
            .and_then(|level| level.rsplit(' ').next()?.parse::<u8>().ok());
        if !self.0.levels.is_empty() && level.is_none_or(|level| !self.0.levels.contains(&level)) {
            return Ok(None);
        }
        let question = location
            .required_text("problem", row.problem)?
            .trim()
            .to_owned();
        let solution = location.required_text("solution", row.solution)?;
        let answer = last_boxed(&solution).map(str::trim).filter(|answer| !answer.is_empty()).ok_or_else(|| {
            location.row_error("`solution` has no complete `\\boxed{...}` to take the answer from; mend it, or take the file out")
        })?;
        let answer = answer.to_owned();
        Ok(Some(Problem {
            id: format!("math/{name}"),
            question,
            answer,
            solution: Some(solution),
        }))
    }
}

/// The problems that ask something new, and a sentence about each of the others.
fn without_repeats(problems: Vec<Problem>) -> (Vec<Problem>, Vec<String>) {
    let mut met: HashMap<String, String> = HashMap::new();
    let mut repeats = Vec::new();
    let mut kept = Vec::with_capacity(problems.len());
    for problem in problems {
        if let Some(first) = met.get(&question_identity(&problem.question)) {
            repeats.push(format!(
                "{} asks the same as {first} and is left out",
                problem.id
            ));
            continue;
        }
        met.insert(question_identity(&problem.question), problem.id.clone());
        kept.push(problem);
    }
    (kept, repeats)
}

#[cfg(test)]
mod tests;
