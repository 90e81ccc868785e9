//! Reading a data file as text, and its fingerprint.
//!
//! Hides what can go wrong before the first row is looked at. Must not know any format.

use std::fs;
use std::path::Path;

use crate::domain::Key;

use super::DataError;

/// The text of a file that must hold something; `expected` says what `path` should be.
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

#[cfg(test)]
mod tests {
    use super::*;

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
