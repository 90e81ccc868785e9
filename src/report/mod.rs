//! From the database to pages, tables and figures that can be shown to a stranger.
//!
//! `frame` reads; `study` groups runs and answers questions in estimates; `tables`, `figures` and
//! `findings` say what is worth showing; `context` is all of it as one JSON value; `render` turns that
//! value, and nothing else, into files; `publish` puts them in place. Must not know how runs are made.
//! The same database content gives the same bytes.

mod analysis;
mod compute_account;
mod context;
mod dialogues;
mod error;
mod figures;
mod findings;
mod format;
mod memo;
mod metric_columns;
mod page;
mod provenance;
mod publish;
mod render;
mod report_data;
mod report_options;
mod tables;

#[cfg(test)]
pub(crate) mod fixtures;

use std::path::{Path, PathBuf};

use crate::store::StoreReader;

pub use analysis::{Analysis, Condition};
pub use compute_account::{CheckpointUsage, ComputeAccount, ComputeUsage};
pub use context::{ReportContext, round_numbers};
pub use error::ReportError;
pub use figures::{Chart, FIGURES, Figure, ForestRow};
pub use format::{DisplayUnit, count_noun, format_amount, format_money, format_p_value};
pub use metric_columns::{EQUAL_TOKENS, EQUAL_TOKENS_SHORTAGE};
pub use page::{FigureFiles, page, render_figure};
pub use provenance::run_state;
pub use publish::{SENTINEL, publish, report_folder};
pub use render::{ReportFile, render};
pub use report_data::{
    EvaluatedCheckpoint, MetricScores, RegradedEvaluation, ReportData, ReportRun,
    read_measurements, read_report_data,
};
pub use report_options::{HeadlineSelector, StoredReportOptions};
pub use tables::{ReportSection, ReportTable, TABLES, TableCell};

/// A report on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedReport {
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
pub fn write_report(
    reader: &StoreReader,
    experiment: &str,
    out: &Path,
) -> Result<PublishedReport, ReportError> {
    let context = ReportContext::from_data(&read_report_data(reader, experiment)?);
    let files = render(&context)?;
    let folder = publish(&files, experiment, out, SENTINEL)?;
    let headline = context
        .answers
        .iter()
        .flat_map(|answer| answer.sentences.clone())
        .collect();
    Ok(PublishedReport {
        index: folder.join("index.html"),
        folder,
        files: files.len(),
        headline,
    })
}
