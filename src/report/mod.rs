//! From the database to pages, tables and figures that can be shown to a stranger.
//!
//! `frame` reads; `study` groups runs and answers questions in estimates; `tables`, `figures` and
//! `findings` say what is worth showing; `context` is all of it as one JSON value; `render` turns that
//! value, and nothing else, into files; `publish` puts them in place. Must not know how runs are made.
//! The same database content gives the same bytes.

mod context;
mod dialogues;
mod error;
mod figures;
mod findings;
mod format;
mod frame;
mod known;
mod ledger;
mod measures;
mod page;
mod provenance;
mod publish;
mod render;
mod study;
mod tables;
mod wishes;

#[cfg(test)]
pub(crate) mod sample;

use std::path::{Path, PathBuf};

use crate::store::Reader;

pub use context::{Context, rounded};
pub use error::ReportError;
pub use figures::{Chart, FIGURES, Figure, ForestRow};
pub use format::{Unit, amount, counted, money, p_value};
pub use frame::{Checkpoint, Frame, Other, Run, Scores, measured, read};
pub use ledger::{Cost, Ledger, Spent};
pub use measures::{EQUAL_TOKENS, SHORT};
pub use page::{Drawn, drawn, page};
pub use publish::{MARK, place, publish};
pub use render::{File, render};
pub use study::{Setting, Study};
pub use tables::{Cell, Section, TABLES, Table};
pub use wishes::{Headline, Wishes};

/// A report on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The folder of the report.
    pub folder: PathBuf,
    /// The page to open.
    pub index: PathBuf,
    /// How many files the folder holds.
    pub files: usize,
    /// The headline sentences, for whoever waits at the terminal.
    pub headline: Vec<String>,
}

/// Writes the report of an experiment into `out/<experiment>/`, in place of an earlier one.
///
/// The files are written beside the place and swapped in, so a crash never leaves half a report.
///
/// # Errors
/// If the experiment is unknown, its report wishes cannot be understood, the database cannot be read,
/// or the place cannot be written or holds something that is not a report.
pub fn write(reader: &Reader, experiment: &str, out: &Path) -> Result<Written, ReportError> {
    let context = Context::of(&read(reader, experiment)?);
    let files = render(&context)?;
    let folder = publish(&files, experiment, out, MARK)?;
    let headline = context
        .answers
        .iter()
        .flat_map(|answer| answer.sentences.clone())
        .collect();
    Ok(Written {
        index: folder.join("index.html"),
        folder,
        files: files.len(),
        headline,
    })
}
