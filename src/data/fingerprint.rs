//! Data files as text, and the fingerprints of files and problems, which show whether two people have
//! the same ones.
//!
//! A problem's fingerprint is the SHA-256 of one line: a JSON array of its id, its normalised question
//! and its answer, with a line's end. That of several problems is the SHA-256 of their lines in order.
//! Nothing that is reused depends on them.

use std::fs;
use std::path::Path;

use crate::domain::{Key, Problem};

use super::DataError;
use super::split::normalize_question;

/// The text of a file that must not be empty; `expected` is the meaning of `path`.
pub(super) fn read_text(path: &Path, expected: &'static str) -> Result<String, DataError> {
    let text =
        String::from_utf8(read_bytes(path, expected)?).map_err(|error| DataError::NotUtf8 {
            path: path.to_owned(),
            offset: error.utf8_error().valid_up_to(),
        })?;
    if text.trim_start_matches(BOM).trim().is_empty() {
        return Err(DataError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(text.strip_prefix(BOM).map(str::to_owned).unwrap_or(text))
}

/// The SHA-256 of a file's bytes.
pub(super) fn file_sha256(path: &Path, expected: &'static str) -> Result<Key, DataError> {
    read_bytes(path, expected).map(|bytes| Key::from_bytes(&bytes))
}

/// The byte order mark that some editors put in front.
const BOM: char = '\u{feff}';

fn read_bytes(path: &Path, expected: &'static str) -> Result<Vec<u8>, DataError> {
    fs::read(path).map_err(|source| DataError::Read {
        path: path.to_owned(),
        expected,
        source,
    })
}

/// The fingerprint of one problem.
#[must_use]
pub fn problem_fingerprint(problem: &Problem) -> Key {
    Key::from_bytes(canonical_line(problem).as_bytes())
}

/// The fingerprint of problems in their order.
#[must_use]
pub fn problems_fingerprint(problems: &[Problem]) -> Key {
    Key::from_bytes(
        problems
            .iter()
            .map(canonical_line)
            .collect::<String>()
            .as_bytes(),
    )
}

fn canonical_line(problem: &Problem) -> String {
    let parts = [
        &problem.id,
        &normalize_question(&problem.question),
        &problem.answer,
    ];
    serde_json::to_string(&parts).expect("texts are plain data") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(id: &str, question: &str, answer: &str) -> Problem {
        let [id, question, answer] = [id, question, answer].map(str::to_owned);
        Problem {
            id,
            question,
            answer,
            solution: None,
        }
    }

    /// `printf '["a/1","how many","3"]\n' | sha256sum`, and the same with a second line.
    #[test]
    fn fingerprints_are_those_of_sha256sum() {
        let (one, two) = (
            problem("a/1", " How  many?", "3"),
            problem("a/2", "Who?", "4"),
        );
        let print = problem_fingerprint(&one);
        assert_eq!(
            print.as_str(),
            "3563c6fe23bf9c902682129f8ca4896cbe96ccddde4680c0bca918c89ad08769"
        );
        assert_eq!(
            problems_fingerprint(&[one.clone(), two.clone()]).as_str(),
            "a84c13b38964d388b806e6df115d4b7213a62c2e4c009c52b656af72e8ce3ae9"
        );
        assert_eq!(problems_fingerprint(std::slice::from_ref(&one)), print);
        assert_ne!(problems_fingerprint(&[two, one]), problems_fingerprint(&[]));
        for other in [
            problem("a/2", "How many?", "3"),
            problem("a/1", "How much?", "3"),
            problem("a/1", "How many?", "4"),
        ] {
            assert_ne!(problem_fingerprint(&other), print);
        }
    }

    fn text_of(bytes: &[u8]) -> Result<String, DataError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        read_text(file.path(), "a file")
    }

    #[test]
    fn text_is_checked_before_anything_reads_it() {
        assert_eq!(text_of("\u{feff}a\u{e9}".as_bytes()).unwrap(), "aé");
        assert!(matches!(text_of(b""), Err(DataError::Empty { .. })));
        assert!(matches!(text_of(b" \n\n"), Err(DataError::Empty { .. })));
        assert!(matches!(
            text_of(b"abc\xffdef"),
            Err(DataError::NotUtf8 { offset: 3, .. })
        ));
        assert!(matches!(
            text_of("abc\u{e9}".as_bytes()[..4].as_ref()),
            Err(DataError::NotUtf8 { offset: 3, .. })
        ));
    }

    #[test]
    fn a_missing_file_says_what_was_expected() {
        let error = read_text(
            Path::new("nowhere/train.jsonl"),
            "the folder of train.jsonl",
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read nowhere/train.jsonl: No such file or directory (os error 2); `path` must be the folder of train.jsonl"
        );
    }
}
