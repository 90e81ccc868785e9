//! SVAMP (Patel et al. 2021), read from the official `SVAMP.json`.
//!
//! A row of the JSON array:
//!
//! ```text
//! { "ID": "chal-1",
//!   "Body": "Each pack of dvds costs 76 dollars. If there is a discount of 25 dollars on each pack",
//!   "Question": "How much do you have to pay to buy each pack?",
//!   "Equation": "( 76.0 - 25.0 )", "Answer": 51.0, "Type": "Subtraction" }
//! ```
//!
//! The question is body and question, with a space between. The reference solution is the
//! equation and its result, `76-25=51`. SVAMP is one set of 1,000 problems made for testing: a
//! test split alone may have all of them; where there are other splits, they share the rows as
//! in [`LAYOUT`], so do not compare such a test score with one on the full set. Known wrong
//! labels are kept as they are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::data::DataError;
use crate::data::fingerprint::{file_sha256, read_text};
use crate::data::numeric_answer::{ANSWER_MARKER, canonical_number};
use crate::data::split::{SeenQuestions, SplitSizes, TaskSplits};
use crate::data::split_assignment::{SplitLayout, assign_splits};
use crate::domain::{Key, Problem, Split};

use super::PartCount;
use super::file_task::RowLocation;

const EXPECTED: &str = "SVAMP.json, or the folder that holds it";
const FILE: &str = "SVAMP.json";

/// Test from the first row, validation from the middle, corpus from five eighths, train from the end.
const LAYOUT: SplitLayout = SplitLayout {
    forward: &[(Split::Test, 0), (Split::Validation, 4), (Split::Corpus, 5)],
    backward: Some(Split::Train),
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SvampRow {
    #[serde(rename = "ID")]
    id: Option<String>,
    body: Option<String>,
    question: Option<String>,
    equation: Option<String>,
    answer: Option<Value>,
}

/// The file, or the folder that holds it.
pub(in crate::data) struct SvampReader<'a>(pub(in crate::data) &'a Path);

impl SvampReader<'_> {
    /// Reads, checks and deals out the file.
    pub(in crate::data) fn load(&self, sizes: &SplitSizes) -> Result<TaskSplits, DataError> {
        let path = self.file();
        assign_splits(
            read_problems(&path, sizes)?,
            &LAYOUT,
            sizes,
            &path.display().to_string(),
        )
    }

    /// The file's usual name, its place and the SHA-256 of its bytes.
    pub(in crate::data) fn files(&self) -> Result<Vec<(&'static str, PathBuf, Key)>, DataError> {
        Ok(vec![(
            FILE,
            self.file(),
            file_sha256(&self.file(), EXPECTED)?,
        )])
    }

    /// The number of rows.
    pub(in crate::data) fn part_counts(&self) -> Result<Vec<PartCount>, DataError> {
        let allowed = SplitSizes {
            allow_leaks: true,
            ..SplitSizes::empty(0)
        };
        let found = read_problems(&self.file(), &allowed)?.len();
        Ok(vec![PartCount {
            part: FILE.to_owned(),
            found,
            official: 1000,
        }])
    }

    fn file(&self) -> PathBuf {
        if self.0.is_dir() {
            self.0.join(FILE)
        } else {
            self.0.to_owned()
        }
    }
}

/// All problems of the file.
fn read_problems(path: &Path, sizes: &SplitSizes) -> Result<Vec<Problem>, DataError> {
    let text = read_text(path, EXPECTED)?;
    let rows: Vec<Value> = serde_json::from_str(&text).map_err(|error| {
        RowLocation {
            path,
            unit: "line",
            number: error.line(),
        }
        .json_error(&error)
    })?;
    if rows.is_empty() {
        return Err(DataError::Empty {
            path: path.to_owned(),
        });
    }
    let mut questions = SeenQuestions::new(sizes);
    let mut ids = HashMap::new();
    rows.into_iter()
        .enumerate()
        .map(|(index, row)| {
            let location = RowLocation {
                path,
                unit: "row",
                number: index + 1,
            };
            let problem = parse_problem(row, location)?;
            questions.add(&problem.question, || location.describe())?;
            match ids.insert(problem.id.clone(), location.number) {
                None => Ok(problem),
                Some(row) => Err(location.row_error(format!(
                    "the ID of {} is that of row {row} too; give it another",
                    problem.id
                ))),
            }
        })
        .collect()
}

/// One row's problem.
fn parse_problem(row: Value, location: RowLocation<'_>) -> Result<Problem, DataError> {
    let row: SvampRow = serde_json::from_value(row).map_err(|error| location.json_error(&error))?;
    let id = location.required_text("ID", row.id)?;
    let body = location.required_text("Body", row.body)?;
    let question = location.required_text("Question", row.question)?;
    let stated = match row.answer {
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let stated = location.required_text("Answer", Some(stated))?;
    let answer = canonical_number(&stated).ok_or_else(|| {
        location.row_error(format!(
            "the answer {stated:?} is not a number; mend it, or take the row out"
        ))
    })?;
    let solution = row
        .equation
        .map(|equation| worked_solution(&equation, &answer));
    Ok(Problem {
        id: format!("svamp/{id}"),
        question: format!("{} {}", body.trim(), question.trim()),
        answer,
        solution,
    })
}

/// `( 76.0 - 25.0 )` as a worked solution; an equation that is one number has nothing to work.
fn worked_solution(equation: &str, answer: &str) -> String {
    let words: Vec<&str> = equation.split_whitespace().collect();
    let inner = match words.as_slice() {
        ["(", inner @ .., ")"] => inner,
        all => all,
    };
    if inner.len() < 2 {
        return format!("{ANSWER_MARKER} {answer}");
    }
    let terms = inner
        .iter()
        .map(|word| canonical_number(word).unwrap_or_else(|| (*word).to_owned()));
    format!(
        "{}={answer}\n{ANSWER_MARKER} {answer}",
        terms.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ROW: &str = r#"{"ID":"chal-1","Body":" Ann had 76 pens and lost 25 pens, ","Question":"How many are left?","Equation":"( 76.0 - 25.0 )","Answer":51.0,"Type":"Subtraction"}"#;
    const OTHER: &str =
        r#"{"ID":"chal-2","Body":"Ben has 3 cards.","Question":"How many cards?","Answer":"3"}"#;

    fn load(text: impl AsRef<[u8]>) -> Result<TaskSplits, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, text).unwrap();
        let sizes = SplitSizes {
            test: 1,
            ..SplitSizes::empty(0)
        };
        let message = |error: DataError| {
            error
                .to_string()
                .replace(&format!("{}/", folder.path().display()), "")
        };
        let from_folder = SvampReader(folder.path()).load(&sizes).map_err(message);
        assert_eq!(
            from_folder,
            SvampReader(&path).load(&sizes).map_err(message),
            "a file or its folder"
        );
        from_folder
    }

    fn fault(text: impl AsRef<[u8]>) -> String {
        load(text).unwrap_err()
    }

    #[test]
    fn a_row_becomes_a_problem() {
        assert_eq!(
            load(format!("[{ROW}]")).unwrap().test,
            [Problem {
                id: "svamp/chal-1".into(),
                question: "Ann had 76 pens and lost 25 pens, How many are left?".into(),
                answer: "51".into(),
                solution: Some("76-25=51\n#### 51".into()),
            }]
        );
        assert_eq!(load(format!("[{OTHER}]")).unwrap().test[0].solution, None);
    }

    #[test]
    fn equations_become_solutions() {
        assert_eq!(
            worked_solution("( ( 692.0 + 692.0 ) - 458.0 )", "926"),
            "(692+692)-458=926\n#### 926"
        );
        assert_eq!(
            worked_solution("( 43.5 / ( 2.0 + 1.0 ) )", "14.5"),
            "43.5/(2+1)=14.5\n#### 14.5"
        );
        assert_eq!(worked_solution("8.0", "8"), "#### 8");
    }

    #[test]
    fn faults_name_file_and_row() {
        insta::assert_snapshot!(fault(format!("[{ROW},\n{}", &OTHER[..30])), @"SVAMP.json, line 2: the text ends in the middle of a row; the file is cut, fetch it again");
        insta::assert_snapshot!(fault(format!("[{ROW},{}]", OTHER.replace(r#""3""#, "null"))), @"SVAMP.json, row 2: the row has no `Answer`; fill it in, or take the row out");
        insta::assert_snapshot!(fault(format!("[{}]", OTHER.replace(r#""3""#, r#""three""#))), @r#"SVAMP.json, row 1: the answer "three" is not a number; mend it, or take the row out"#);
        insta::assert_snapshot!(fault(format!("[{}]", OTHER.replace("Body", "Text"))), @"SVAMP.json, row 1: the row has no `Body`; fill it in, or take the row out");
        insta::assert_snapshot!(fault(OTHER), @"SVAMP.json, line 1: invalid type: map, expected a sequence; mend it, or fetch the file again");
        insta::assert_snapshot!(fault("[]"), @"SVAMP.json holds no row; fetch it again");
        insta::assert_snapshot!(fault(b"[\xff]"), @"SVAMP.json is not UTF-8 from byte 1 on; convert it, or fetch it again");
        insta::assert_snapshot!(fault(format!("[{ROW},{ROW}]")), @r#"SVAMP.json row 1 and SVAMP.json row 2 ask the same question, "Ann had 76 pens and lost 25 pens, How many are left?"; take one of them out"#);
        insta::assert_snapshot!(fault(format!("[{ROW},{}]", OTHER.replace("chal-2", "chal-1"))), @"SVAMP.json, row 2: the ID of svamp/chal-1 is that of row 1 too; give it another");
    }
}
