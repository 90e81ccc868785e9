//! Tables as plain data, and the registry of those a report has.
//!
//! A table says what its numbers are; how they look on paper, on a page or in a file is the renderer's
//! business. To add one: a file here with a `build` function, and a line in [`TABLES`].

mod ablations;
mod cell;
mod compute;
mod conditions;
mod diagnostics;
mod edits;
mod graders;
mod likelihood;
mod main_results;
mod regimes;
mod seeds;
mod turns;
mod unsolved;

use serde::{Deserialize, Serialize};

use super::Analysis;
use super::format::deduplicate_names;

pub use cell::{CSV_COLUMNS, CorrectedComparison, RenderedCell, TableCell};
pub use likelihood::turns as likelihood_turns;
pub use unsolved::sample_budgets;

/// Where on the page a table or a figure belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportSection {
    /// The paper's main table.
    Main,
    /// What happens from turn to turn.
    Turns,
    /// One axis at a time.
    Ablations,
    /// Where RISE wins and where it does not.
    Regimes,
    /// What goes on behind the accuracies.
    Analyses,
    /// Training curves.
    Training,
    /// Ties, unreadable answers, tokens.
    Diagnostics,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportTable {
    /// Name of its files.
    pub id: String,
    /// Where it belongs.
    pub section: ReportSection,
    /// What it shows.
    pub title: String,
    /// One sentence on how to read it.
    #[serde(rename = "reading")]
    pub caption: String,
    /// Header of the row labels.
    #[serde(rename = "head")]
    pub label_header: String,
    /// Headers of the other columns.
    pub columns: Vec<String>,
    /// The rows in order.
    pub rows: Vec<TableRow>,
}

/// One row of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableRow {
    /// A heading above this row, where a new group of rows begins.
    pub heading: Option<String>,
    /// What the row is about.
    pub label: String,
    /// One cell per column.
    pub cells: Vec<TableCell>,
}

impl TableRow {
    /// A row without a heading.
    #[must_use]
    pub fn new(label: impl Into<String>, cells: Vec<TableCell>) -> Self {
        Self {
            heading: None,
            label: label.into(),
            cells,
        }
    }
}

/// Builds tables of one kind from a study: none where there is nothing to show.
pub type TableBuilder = fn(&Analysis<'_>) -> Vec<ReportTable>;

/// Every kind of table, in the order of the page.
pub const TABLES: &[(&str, TableBuilder)] = &[
    ("main", main_results::build),
    ("settings", conditions::build),
    ("seeds", seeds::build),
    ("turns", turns::build),
    ("ablations", ablations::build),
    ("regimes", regimes::build),
    ("unsolved", unsolved::build),
    ("likelihood", likelihood::build),
    ("edits", edits::build),
    ("diagnostics", diagnostics::build),
    ("graders", graders::build),
    ("compute", compute::build),
];

/// Every table of a study.
#[must_use]
pub fn build_tables(study: &Analysis<'_>) -> Vec<ReportTable> {
    let mut tables: Vec<ReportTable> = TABLES.iter().flat_map(|(_, build)| build(study)).collect();
    deduplicate_names(tables.iter_mut().map(|table| &mut table.id));
    tables
}

pub use ablations::{AblationValue, ablation_values, varied_axes};
pub use regimes::{HeadlineComparison, headline_comparisons};
pub use turns::group_checkpoints;

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn every_table_is_rectangular_named_once_and_explained() {
        let frame = fixtures::sample_data();
        let tables = build_tables(&Analysis::new(&frame));
        let mut ids: Vec<&str> = tables.iter().map(|table| table.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), tables.len());
        for table in &tables {
            assert!(table.caption.ends_with('.'), "{}", table.id);
            assert!(
                table
                    .rows
                    .iter()
                    .all(|row| row.cells.len() == table.columns.len()),
                "{}",
                table.id
            );
        }
        for (kind, build) in TABLES {
            assert!(
                !build(&Analysis::new(&frame)).is_empty(),
                "{kind} shows nothing of the sample"
            );
        }
    }
}
