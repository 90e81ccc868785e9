//! How much of an attempt the next one keeps: repetitions, small edits and new beginnings.

use crate::domain::MetricName;

use super::super::Analysis;
use super::super::analysis::{CheckpointId, HeadlineGroup};
use super::super::format::slug;
use super::turns::rows_by_turn;
use super::{ReportSection, ReportTable, TableCell, TableRow, tables_by_group, text_columns};

/// One table per headline group: a row per checkpoint and turn.
pub fn build(analysis: &Analysis<'_>) -> Vec<ReportTable> {
    tables_by_group(analysis, table)
}

fn table(analysis: &Analysis<'_>, group: &HeadlineGroup) -> Option<ReportTable> {
    Some(ReportTable {
        rows: rows_by_turn(analysis, group, row)?,
        id: format!("edits-{}", slug(&group.title)),
        section: ReportSection::Analyses,
        title: format!("{}: edits by turn", group.title),
        caption: "Percent with 95 % interval: attempts that repeat the one before word for word; \
                  the edit distance to it, relative to the longer text; problems corrected at this \
                  turn, by any edit and by an edit of at most 30 %; problems that stay right."
            .to_owned(),
        label_header: "turn".to_owned(),
        columns: text_columns([
            "repeated",
            "rewritten part",
            "corrected",
            "of these by a small edit",
            "right → right",
        ]),
    })
}

fn row(analysis: &Analysis<'_>, checkpoint: &CheckpointId, turn: u32) -> Option<TableRow> {
    analysis.estimate(&checkpoint.metric(MetricName::at_turn("edit", turn)))?;
    let cells = [
        "same",
        "edit",
        "wrong-to-right",
        "corrected-small",
        "right-to-right",
    ];
    let cells = cells.map(|quantity| {
        let metric = checkpoint.metric(MetricName::at_turn(quantity, turn));
        TableCell::from_fraction(analysis.estimate(&metric))
    });
    Some(TableRow::new(turn.to_string(), cells.to_vec()))
}
