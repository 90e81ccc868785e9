//! Turns the database into pages, tables and figures that a stranger can read.
//!
//! `report_data` reads; `analysis` groups runs and answers questions in estimates; `tables`, `figures`
//! and `findings` choose the contents of a page; `context` holds all of it as one JSON value;
//! `render` turns that value alone into files; `publish` writes them. Must not know how runs are
//! made. The same database content gives the same bytes.

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
mod provenance;
mod publish;
mod render;
mod report_data;
mod tables;

#[cfg(test)]
pub(crate) mod fixtures;

use std::path::{Path, PathBuf};

use crate::store::StoreReader;

pub use analysis::{Analysis, CheckpointId, ConditionId, MeasurementId};
pub use compute_account::{CheckpointUsage, ComputeAccount, ComputeUsage};
pub use context::{ReportContext, round_numbers};
pub use error::ReportError;
pub use figures::{Chart, FIGURES, Figure, ForestRow, ValueInterval};
pub use format::{DisplayUnit, format_amount, format_money, format_p_value};
pub use provenance::run_state;
use publish::write_files;
pub use publish::{SENTINEL, publish, report_folder};
pub use render::{FigureFiles, ReportFile, page, render, render_figure};
pub use report_data::{
    EvaluatedCheckpoint, GraderVersion, MetricScores, RegradedEvaluation, ReportData, ReportRun,
    read_measurements, read_report_data,
};
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
    /// The headline sentences.
    pub headline: Vec<String>,
}

impl PublishedReport {
    fn new(folder: PathBuf, files: &[ReportFile], context: &ReportContext) -> Self {
        let answers = context.answers.iter();
        Self {
            index: folder.join("index.html"),
            folder,
            files: files.len(),
            headline: answers
                .flat_map(|answer| answer.sentences.clone())
                .collect(),
        }
    }
}

/// Writes the report of an experiment into `out/<experiment>/` instead of an earlier one.
///
/// A crash never leaves half a report: the files are written to another folder and swapped in.
///
/// # Errors
/// If the experiment is unknown, its `[report]` table is invalid, the store cannot be read, or the
/// folder cannot be written or holds something that is not a report.
pub fn write_report(
    reader: &StoreReader,
    experiment: &str,
    out: &Path,
) -> Result<PublishedReport, ReportError> {
    let context = ReportContext::from_data(&read_report_data(reader, experiment)?);
    let files = render(&context)?;
    let folder = publish(&files, experiment, out, SENTINEL)?;
    Ok(PublishedReport::new(folder, &files, &context))
}

/// Renders a report from its `context.json` into `out`, or into the folder of that file.
///
/// # Errors
/// If the file is no context of this version, or the folder cannot be written or holds something
/// that is not a report.
pub fn write_report_from(
    context: &Path,
    out: Option<&Path>,
) -> Result<PublishedReport, ReportError> {
    let beside = context.parent().filter(|folder| *folder != Path::new(""));
    let folder = out.or(beside).unwrap_or(Path::new("."));
    let context = ReportContext::read(context)?;
    let files = render(&context)?;
    write_files(&files, folder)?;
    Ok(PublishedReport::new(folder.to_owned(), &files, &context))
}
