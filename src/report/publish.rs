//! Puts a report in place: written beside it first, then swapped in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{File, ReportError};

/// The file that tells an experiment's report from any other folder.
pub const MARK: &str = "context.json";

/// The place of a report, `out/<experiment>/`, which holds an earlier one or nothing.
///
/// # Errors
/// If the name is no folder name, or the place holds something else.
pub fn place(experiment: &str, out: &Path) -> Result<PathBuf, ReportError> {
    place_of(experiment, out, MARK)
}

/// The same for a report that is told by another file.
fn place_of(experiment: &str, out: &Path, mark: &str) -> Result<PathBuf, ReportError> {
    let plain = !experiment.is_empty()
        && !experiment.starts_with('.')
        && !experiment.contains(['/', '\\', '\0']);
    if !plain {
        return Err(ReportError::Name(experiment.to_owned()));
    }
    let place = out.join(experiment);
    if place.exists() && !place.join(mark).exists() && !is_empty(&place) {
        return Err(ReportError::Taken {
            place,
            mark: mark.to_owned(),
        });
    }
    Ok(place)
}

/// Writes the files into `out/<experiment>/`, in place of an earlier report, which is told from other
/// folders by the file `mark`, one of `files`.
///
/// # Errors
/// If there is no [`place`] for it, or a file cannot be written.
pub fn publish(
    files: &[File],
    experiment: &str,
    out: &Path,
    mark: &str,
) -> Result<PathBuf, ReportError> {
    let place = place_of(experiment, out, mark)?;
    let (fresh, old) = (
        out.join(format!(".{experiment}.new")),
        out.join(format!(".{experiment}.old")),
    );
    if !place.exists() && old.join(mark).exists() {
        // A crash between the two renames below left the earlier report aside.
        tried(fs::rename(&old, &place), &place)?;
    }
    remove(&fresh)?;
    for file in files {
        let path = fresh.join(&file.path);
        let folder = path.parent().unwrap_or(&fresh);
        tried(fs::create_dir_all(folder), folder)?;
        tried(fs::write(&path, &file.bytes), &path)?;
    }
    remove(&old)?;
    if place.exists() {
        tried(fs::rename(&place, &old), &old)?;
    }
    tried(fs::rename(&fresh, &place), &place)?;
    remove(&old)?;
    Ok(place)
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn remove(folder: &Path) -> Result<(), ReportError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => tried(Err(error), folder),
        _ => Ok(()),
    }
}

fn tried<T>(result: io::Result<T>, path: &Path) -> Result<T, ReportError> {
    result.map_err(|source| ReportError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            bytes: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_new_report_replaces_the_whole_old_one() {
        let out = tempfile::tempdir().unwrap();
        let first = [file(MARK, "1"), file("tables/old.csv", "x")];
        publish(&first, "quickstart", out.path(), MARK).unwrap();
        let place = publish(&[file(MARK, "2")], "quickstart", out.path(), MARK).unwrap();
        assert_eq!(fs::read_to_string(place.join(MARK)).unwrap(), "2");
        assert!(!place.join("tables").exists());
        let left: Vec<_> = fs::read_dir(out.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["quickstart"]);
    }

    #[test]
    fn a_crash_between_the_renames_is_mended() {
        let out = tempfile::tempdir().unwrap();
        let old = out.path().join(".x.old");
        fs::create_dir_all(&old).unwrap();
        fs::write(old.join(MARK), "1").unwrap();
        fs::create_dir_all(out.path().join(".x.new/half")).unwrap();
        let place = publish(&[file(MARK, "2")], "x", out.path(), MARK).unwrap();
        assert_eq!(fs::read_to_string(place.join(MARK)).unwrap(), "2");
        assert!(!old.exists() && !place.join("half").exists());
    }

    #[test]
    fn other_peoples_folders_are_left_alone() {
        let out = tempfile::tempdir().unwrap();
        fs::create_dir_all(out.path().join("x")).unwrap();
        fs::write(out.path().join("x/thesis.tex"), "precious").unwrap();
        let error = publish(&[file(MARK, "1")], "x", out.path(), MARK).unwrap_err();
        assert!(matches!(error, ReportError::Taken { .. }), "{error}");
        assert!(matches!(
            publish(&[], "../x", out.path(), MARK),
            Err(ReportError::Name(_))
        ));
    }
}
