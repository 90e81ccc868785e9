//! Doubts about the numbers: ties in votes, unreadable answers, tokens.

use crate::domain::MetricName;

use super::super::Analysis;
use super::super::analysis::{CheckpointId, HeadlineGroup};
use super::super::format::{DisplayUnit, slug};
use super::graders::silent_graders_sentence;
use super::{ReportSection, ReportTable, TableCell, TableRow, tables_by_group, text_columns};

/// One table per headline group.
pub fn build(analysis: &Analysis<'_>) -> Vec<ReportTable> {
    tables_by_group(analysis, table)
}

fn table(analysis: &Analysis<'_>, group: &HeadlineGroup) -> Option<ReportTable> {
    let sequential = &analysis.metric_columns.sequential;
    let checkpoints = analysis.group_checkpoints(group);
    let rows: Vec<TableRow> = checkpoints.iter().map(|at| row(analysis, at)).collect();
    let silent = silent_graders_sentence(analysis).map(|sentence| format!(" {sentence}"));
    (!rows.is_empty()).then(|| ReportTable {
        id: format!("diagnostics-{}", slug(&group.title)),
        section: ReportSection::Diagnostics,
        title: group.title.clone(),
        caption: format!(
            "Percent of problems with 95 % interval. Ties lost and ties won decide every tied vote \
             against or for the model, which bounds {sequential}. Tokens are per attempt.{}",
            silent.unwrap_or_default()
        ),
        label_header: "checkpoint".to_owned(),
        columns: text_columns([
            "tied votes",
            &format!("{sequential}, ties lost"),
            sequential,
            &format!("{sequential}, ties won"),
            "unreadable",
            "tokens",
        ]),
        rows,
    })
}

fn row(analysis: &Analysis<'_>, checkpoint: &CheckpointId) -> TableRow {
    let columns = &analysis.metric_columns;
    let fractions = [
        MetricName::at_turn("tie", columns.turns),
        MetricName::ties_lost(columns.turns),
        columns.sequential.clone(),
        MetricName::ties_won(columns.turns),
        MetricName::UNREADABLE.into(),
    ];
    let mut cells = fractions
        .map(|metric| TableCell::from_fraction(analysis.estimate(&checkpoint.metric(metric))))
        .to_vec();
    cells.push(TableCell::from_metric(
        analysis.estimate(&checkpoint.metric(MetricName::TOKENS)),
        DisplayUnit::Count,
        None,
    ));
    TableRow::new(&*checkpoint.name, cells)
}
