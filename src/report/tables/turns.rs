//! Changes from one turn to the next: corrections, losses, repetitions.

use crate::domain::MetricName;

use super::super::Analysis;
use super::super::analysis::{CheckpointId, HeadlineGroup};
use super::super::format::slug;
use super::{ReportSection, ReportTable, TableCell, TableRow, tables_by_group, text_columns};

/// One table per headline group: a row per checkpoint and turn.
pub fn build(analysis: &Analysis<'_>) -> Vec<ReportTable> {
    tables_by_group(analysis, table)
}

fn table(analysis: &Analysis<'_>, group: &HeadlineGroup) -> Option<ReportTable> {
    Some(ReportTable {
        rows: rows_by_turn(analysis, group, row)?,
        id: format!("turns-{}", slug(&group.title)),
        section: ReportSection::Turns,
        title: format!("{}: changes by turn", group.title),
        caption:
            "Percent of all problems with 95 % interval. wrong → right: wrong one turn earlier \
                  and right now; right → wrong: the reverse; unchanged: the same answer again."
                .to_owned(),
        label_header: "turn".to_owned(),
        columns: text_columns(["accuracy", "wrong → right", "right → wrong", "unchanged"]),
    })
}

/// A row per checkpoint of a group and turn behind the first, under the checkpoint's name.
pub fn rows_by_turn<'f>(
    analysis: &Analysis<'f>,
    group: &HeadlineGroup,
    row: impl Fn(&Analysis<'f>, &CheckpointId, u32) -> Option<TableRow>,
) -> Option<Vec<TableRow>> {
    let turns = 2..=analysis.metric_columns.turns;
    rows_by_checkpoint(analysis, group, |checkpoint| {
        turns
            .clone()
            .filter_map(|turn| row(analysis, checkpoint, turn))
            .collect()
    })
}

/// The rows of every checkpoint of a group under its name; none where there is no row.
pub fn rows_by_checkpoint(
    analysis: &Analysis<'_>,
    group: &HeadlineGroup,
    rows_of: impl Fn(&CheckpointId) -> Vec<TableRow>,
) -> Option<Vec<TableRow>> {
    let mut rows = Vec::new();
    for checkpoint in analysis.group_checkpoints(group) {
        let first = rows.len();
        rows.extend(rows_of(&checkpoint));
        if let Some(row) = rows.get_mut(first) {
            row.heading = Some(checkpoint.name.into());
        }
    }
    (!rows.is_empty()).then_some(rows)
}

fn row(analysis: &Analysis<'_>, checkpoint: &CheckpointId, turn: u32) -> Option<TableRow> {
    let cells = ["accuracy", "wrong-to-right", "right-to-wrong", "unchanged"].map(|quantity| {
        let metric = checkpoint.metric(MetricName::at_turn(quantity, turn));
        TableCell::from_fraction(analysis.estimate(&metric))
    });
    let any = cells.iter().any(|cell| *cell != TableCell::Missing);
    any.then(|| TableRow::new(turn.to_string(), cells.to_vec()))
}
