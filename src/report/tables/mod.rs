//! Tables as plain data, and the registry of those a report has.
//!
//! A table holds numbers; the renderer decides how they look on paper, on a page or in a file.
//! To add one: a file here with a `build` function, and a line in [`TABLES`].

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

use crate::stats::{ComparisonVerdict, PairedComparison, holm_correction};

use super::Analysis;
use super::analysis::{ConditionId, HeadlineGroup};
use super::format::deduplicate_names;

pub use ablations::{AblationValue, ablation_values, varied_axes};
pub use cell::{CSV_COLUMNS, CorrectedComparison, RenderedCell, TableCell};
pub use likelihood::turns as likelihood_turns;
pub use regimes::{HeadlineComparison, headline_comparisons};
pub use unsolved::sample_budgets;

/// The section of the page that a table or a figure belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportSection {
    /// The paper's main table.
    Main,
    /// Changes from turn to turn.
    Turns,
    /// One axis at a time.
    Ablations,
    /// Where RISE wins and where it does not.
    Regimes,
    /// Analyses behind the accuracies.
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
    /// Its section.
    pub section: ReportSection,
    /// Its title.
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
    /// Its label.
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

/// Builds the tables of one kind; none where there is nothing to show.
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

/// Every table of a report.
#[must_use]
pub fn build_tables(analysis: &Analysis<'_>) -> Vec<ReportTable> {
    let mut tables: Vec<ReportTable> = TABLES
        .iter()
        .flat_map(|(_, build)| build(analysis))
        .collect();
    deduplicate_names(tables.iter_mut().map(|table| &mut table.id));
    tables
}

/// The table of every headline group that has one.
fn tables_by_group<'f>(
    analysis: &Analysis<'f>,
    table: impl Fn(&Analysis<'f>, &HeadlineGroup) -> Option<ReportTable>,
) -> Vec<ReportTable> {
    let groups = analysis.headline_groups();
    let tables = groups.iter();
    tables.filter_map(|group| table(analysis, group)).collect()
}

/// The rows of every regime under the regime's name.
fn rows_by_regime(
    analysis: &Analysis<'_>,
    rows_of: impl Fn(&[ConditionId]) -> Vec<TableRow>,
) -> Vec<TableRow> {
    let mut rows = Vec::new();
    for members in analysis.conditions_by_regime() {
        let first = rows.len();
        rows.extend(rows_of(&members));
        let name = analysis.regime_name(members[0]);
        if let Some(row) = rows.get_mut(first).filter(|_| !name.is_empty()) {
            row.heading = Some(name);
        }
    }
    rows
}

/// Comparisons with p values after Holm's correction over all of them, and verdicts.
fn correct_comparisons(comparisons: Vec<PairedComparison>) -> Vec<CorrectedComparison> {
    let p_values: Vec<f64> = comparisons.iter().map(|comparison| comparison.p).collect();
    let corrected = holm_correction(&p_values);
    let comparisons = comparisons.into_iter().zip(corrected);
    comparisons
        .map(|(comparison, corrected)| CorrectedComparison {
            verdict: ComparisonVerdict::from_estimate(&comparison.difference, Some(corrected)),
            difference: comparison.difference,
            p_value: comparison.p,
            corrected_p_value: corrected,
            min_detectable_effect: comparison.min_detectable_effect,
        })
        .collect()
}

fn text_columns<const N: usize>(columns: [&str; N]) -> Vec<String> {
    columns.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn every_table_is_rectangular_named_once_and_explained() {
        let data = fixtures::sample_data();
        let tables = build_tables(&Analysis::new(&data));
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
                !build(&Analysis::new(&data)).is_empty(),
                "{kind} shows nothing of the sample"
            );
        }
    }
}
