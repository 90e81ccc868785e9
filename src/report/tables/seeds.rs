//! The spread between training seeds, apart from the intervals over problems.

use super::super::Analysis;
use super::super::analysis::{CheckpointId, HeadlineGroup};
use super::super::format::slug;
use super::{ReportSection, ReportTable, TableCell, TableRow, tables_by_group};

/// One table per headline group: each seed's value and their standard deviation.
pub fn build(analysis: &Analysis<'_>) -> Vec<ReportTable> {
    tables_by_group(analysis, table)
}

fn table(analysis: &Analysis<'_>, group: &HeadlineGroup) -> Option<ReportTable> {
    let checkpoints = analysis.group_checkpoints(group);
    let rows: Vec<TableRow> = checkpoints.iter().map(|at| row(analysis, at)).collect();
    (!rows.is_empty()).then(|| ReportTable {
        id: format!("seeds-{}", slug(&group.title)),
        section: ReportSection::Main,
        title: format!("{}: seed by seed", group.title),
        caption: "Percent of problems solved by each independently trained seed, and the standard \
                  deviation between seeds. Intervals elsewhere cover the choice of problems, not \
                  this spread."
            .to_owned(),
        label_header: "checkpoint".to_owned(),
        columns: analysis.metric_columns.headers(),
        rows,
    })
}

fn row(analysis: &Analysis<'_>, checkpoint: &CheckpointId) -> TableRow {
    let cells = analysis.metric_columns.metrics().map(|metric| {
        let estimate = analysis.estimate(&checkpoint.metric(metric));
        estimate.map_or(TableCell::Missing, |estimate| TableCell::Seeds { estimate })
    });
    TableRow::new(&*checkpoint.name, cells.to_vec())
}
