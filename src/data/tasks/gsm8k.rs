//! GSM8K (Cobbe et al. 2021), read from the official `train.jsonl` and `test.jsonl`.
//!
//! A row, cut short (one JSON object a line):
//!
//! ```text
//! {"question": "A robe takes 2 bolts of blue fiber and half that much white fiber.  How many ...",
//!  "answer": "It takes 2/2=<<2/2=1>>1 bolt of white fiber\nSo the total ... is 2+1=<<2+1=3>>3 bolts of fabric\n#### 3"}
//! ```
//!
//! The calculator marks `<<...>>` are taken out of solutions, and the final answer loses its
//! thousands commas. `test.jsonl` gives the test split, `train.jsonl` all others. A problem's id
//! names its line, e.g. `gsm8k/train.jsonl/7`. Known wrong labels are kept as they are.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::data::DataError;
use crate::data::fingerprint::{file_sha256, read_text};
use crate::data::numeric_answer::{ANSWER_MARKER, canonical_number};
use crate::data::split::{SeenQuestions, SplitSizes, TaskSplits};
use crate::data::split_assignment::assign_splits;
use crate::domain::{Key, Problem};

use super::PartCount;
use super::file_task::{RowLocation, TEST_FILE_LAYOUT, TRAIN_FILE_LAYOUT, numbered_lines};

const EXPECTED: &str = "the folder that holds GSM8K's train.jsonl and test.jsonl";
const TRAIN: &str = "train.jsonl";
const TEST: &str = "test.jsonl";

#[derive(Deserialize)]
struct Gsm8kRow {
    question: Option<String>,
    answer: Option<String>,
}

/// The folder of the two files.
pub(in crate::data) struct Gsm8kReader<'a>(pub(in crate::data) &'a Path);

impl Gsm8kReader<'_> {
    /// Reads, checks and deals out both files.
    pub(in crate::data) fn load(&self, sizes: &SplitSizes) -> Result<TaskSplits, DataError> {
        let mut questions = SeenQuestions::new(sizes);
        let train = read_problems(&self.file(TRAIN), TRAIN, &mut questions)?;
        let test = read_problems(&self.file(TEST), TEST, &mut questions)?;
        let [train_file, test_file] =
            [TRAIN, TEST].map(|name| self.file(name).display().to_string());
        let mut splits = assign_splits(train, &TRAIN_FILE_LAYOUT, sizes, &train_file)?;
        splits.test = assign_splits(test, &TEST_FILE_LAYOUT, sizes, &test_file)?.test;
        Ok(splits)
    }

    /// Each file's name, place and the SHA-256 of its bytes.
    pub(in crate::data) fn files(&self) -> Result<Vec<(&'static str, PathBuf, Key)>, DataError> {
        [TRAIN, TEST]
            .into_iter()
            .map(|name| {
                let file = self.file(name);
                let key = file_sha256(&file, EXPECTED)?;
                Ok((name, file, key))
            })
            .collect()
    }

    /// The number of rows in each file.
    pub(in crate::data) fn part_counts(&self) -> Result<Vec<PartCount>, DataError> {
        [(TRAIN, 7473), (TEST, 1319)]
            .into_iter()
            .map(|(name, official): (&str, usize)| {
                let text = read_text(&self.file(name), EXPECTED)?;
                let found = text.lines().filter(|line| !line.trim().is_empty()).count();
                Ok(PartCount {
                    part: name.to_owned(),
                    found,
                    official,
                })
            })
            .collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// All problems of one file; `name` goes into their ids.
fn read_problems(
    path: &Path,
    name: &str,
    questions: &mut SeenQuestions,
) -> Result<Vec<Problem>, DataError> {
    let text = read_text(path, EXPECTED)?;
    numbered_lines(path, &text)
        .map(|(location, line)| {
            let problem =
                parse_problem(line, location, format!("gsm8k/{name}/{}", location.number))?;
            questions.add(&problem.question, || location.describe())?;
            Ok(problem)
        })
        .collect()
}

/// One line's problem.
fn parse_problem(line: &str, location: RowLocation<'_>, id: String) -> Result<Problem, DataError> {
    let row: Gsm8kRow = serde_json::from_str(line).map_err(|error| location.json_error(&error))?;
    let question = location.required_text("question", row.question)?;
    let text = location.required_text("answer", row.answer)?;
    let Some((working, stated)) = text.rsplit_once(ANSWER_MARKER) else {
        return Err(location
            .row_error("`answer` does not end with `#### number`; mend it, or take the row out"));
    };
    let answer = canonical_number(stated).ok_or_else(|| {
        location.row_error(format!(
            "the answer {:?} is not a number; mend it, or take the row out",
            stated.trim()
        ))
    })?;
    let solution = format!(
        "{}{ANSWER_MARKER} {answer}",
        without_calculator_marks(working)
    );
    Ok(Problem {
        id,
        question: question.trim().to_owned(),
        answer,
        solution: Some(solution),
    })
}

/// The text without `<<...>>`; a mark that is not closed stays.
fn without_calculator_marks(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, mark)) = rest.split_once("<<") {
        let Some((_, after)) = mark.split_once(">>") else {
            break;
        };
        kept.push_str(before);
        rest = after;
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ROW: &str =
        r#"{"question":"How many pens?","answer":"540*2=<<540*2=1080>>1,080 pens\n#### 1,080"}"#;
    const OTHER: &str = r#"{"question":"How many cards?","answer":"1+1=<<1+1=2>>2\n#### 2"}"#;

    /// Loads two files with these texts; errors name them without their folder.
    fn load(train: impl AsRef<[u8]>, test: impl AsRef<[u8]>) -> Result<TaskSplits, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(TRAIN), train).unwrap();
        fs::write(folder.path().join(TEST), test).unwrap();
        let sizes = SplitSizes {
            train: 1,
            test: 1,
            ..SplitSizes::empty(0)
        };
        let message = |error: DataError| {
            error
                .to_string()
                .replace(&format!("{}/", folder.path().display()), "")
        };
        Gsm8kReader(folder.path()).load(&sizes).map_err(message)
    }

    fn fault(train: impl AsRef<[u8]>, test: impl AsRef<[u8]>) -> String {
        load(train, test).unwrap_err()
    }

    #[test]
    fn a_row_becomes_a_problem() {
        let splits = load(ROW, format!("\n{OTHER}\r\n\n")).unwrap();
        assert_eq!(
            splits.train,
            [Problem {
                id: "gsm8k/train.jsonl/1".into(),
                question: "How many pens?".into(),
                answer: "1080".into(),
                solution: Some("540*2=1,080 pens\n#### 1080".into()),
            }]
        );
        assert_eq!(splits.test[0].id, "gsm8k/test.jsonl/2");
    }

    #[test]
    fn calculator_marks_go_and_everything_else_stays() {
        assert_eq!(
            without_calculator_marks("a $<<1+1=2>>2 b <<3>>3\n"),
            "a $2 b 3\n"
        );
        assert_eq!(without_calculator_marks("1 < 2 << 3"), "1 < 2 << 3");
        assert_eq!(without_calculator_marks("<<1>>1 << 3"), "1 << 3");
    }

    #[test]
    fn faults_name_file_and_line() {
        insta::assert_snapshot!(fault(format!("{ROW}\n{}", &OTHER[..40]), OTHER), @"train.jsonl, line 2: the text ends in the middle of a row; the file is cut, fetch it again");
        insta::assert_snapshot!(fault(ROW, r#"{"question":"How many?"}"#), @"test.jsonl, line 1: the row has no `answer`; fill it in, or take the row out");
        insta::assert_snapshot!(fault(r#"{"question":" ","answer":"5"}"#, OTHER), @"train.jsonl, line 1: the row has no `question`; fill it in, or take the row out");
        insta::assert_snapshot!(fault(r#"{"question":"How many?","answer":"5"}"#, OTHER), @"train.jsonl, line 1: `answer` does not end with `#### number`; mend it, or take the row out");
        insta::assert_snapshot!(fault(r#"{"question":"How many?","answer":"2+3\n#### five"}"#, OTHER), @r#"train.jsonl, line 1: the answer "five" is not a number; mend it, or take the row out"#);
        insta::assert_snapshot!(fault("question,answer", OTHER), @"train.jsonl, line 1: expected value at column 1; mend it, or fetch the file again");
        insta::assert_snapshot!(fault(ROW, ""), @"test.jsonl holds no row; fetch it again");
        insta::assert_snapshot!(fault(ROW, b"{\"question\":\"\xe9\"}"), @"test.jsonl is not UTF-8 from byte 13 on; convert it, or fetch it again");
    }

    #[test]
    fn a_question_in_both_files_is_named_twice() {
        let twice = ROW.replace("How many pens?", "how many PENS");
        insta::assert_snapshot!(fault(ROW, format!("{OTHER}\n{twice}")), @r#"train.jsonl line 1 and test.jsonl line 2 ask the same question, "how many PENS"; take one of them out"#);
        insta::assert_snapshot!(fault(format!("{ROW}\n\n{twice}"), OTHER), @r#"train.jsonl line 1 and train.jsonl line 3 ask the same question, "how many PENS"; take one of them out"#);
    }

    #[test]
    fn a_missing_file_says_what_the_folder_should_hold() {
        let folder = tempfile::tempdir().unwrap();
        let error = Gsm8kReader(folder.path())
            .load(&SplitSizes::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("cannot read") && error.ends_with(EXPECTED),
            "{error}"
        );
    }
}
