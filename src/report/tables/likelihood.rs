//! The likelihood of the reference solution, at once and after own attempts (the paper's figure 4).

use crate::domain::MetricName;

use super::super::Analysis;
use super::super::analysis::{CheckpointId, ConditionId};
use super::super::format::DisplayUnit;
use super::{ReportSection, ReportTable, TableCell, TableRow, rows_by_regime};

/// One table with a row per analysed condition, at its last checkpoint.
pub fn build(analysis: &Analysis<'_>) -> Vec<ReportTable> {
    let turns = turns(analysis);
    if turns == 0 {
        return Vec::new();
    }
    let rows = rows_by_regime(analysis, |members| {
        let base = analysis.scored_checkpoints(members[0]).into_iter().next();
        let last = members.iter();
        let last = last.filter_map(|&id| analysis.last_checkpoint(id));
        base.into_iter()
            .chain(last)
            .filter_map(|checkpoint| row(analysis, &checkpoint, turns))
            .collect()
    });
    let mut columns = vec!["condition".to_owned(), "at once".to_owned()];
    columns.extend((2..=turns).map(|turn| format!("after {}", turn - 1)));
    vec![ReportTable {
        id: "likelihood".to_owned(),
        section: ReportSection::Analyses,
        title: "Likelihood of the reference solution".to_owned(),
        caption: "Negative log-likelihood of the reference solution in nats per token, with the \
                  95 % interval: as the first answer, and after the model's own attempts, averaged \
                  over rollouts. Lower is more likely."
            .to_owned(),
        label_header: "checkpoint".to_owned(),
        columns,
        rows,
    }]
}

/// Turns up to which the likelihood was measured; 0 where it was not.
#[must_use]
pub fn turns(analysis: &Analysis<'_>) -> u32 {
    let turns = analysis.metric_names().filter_map(MetricName::nll_turn);
    turns.max().unwrap_or(0)
}

fn row(analysis: &Analysis<'_>, checkpoint: &CheckpointId, turns: u32) -> Option<TableRow> {
    analysis.estimate(&checkpoint.metric(MetricName::nll(1)))?;
    let condition = if checkpoint.name.is_base() {
        String::new()
    } else {
        free_axis_values(analysis, checkpoint.condition)
    };
    let nats = (1..=turns).map(|turn| {
        let estimate = analysis.estimate(&checkpoint.metric(MetricName::nll(turn)));
        TableCell::from_metric(estimate, DisplayUnit::Nats, None)
    });
    let cells = std::iter::once(TableCell::text(condition)).chain(nats);
    Some(TableRow::new(&*checkpoint.name, cells.collect()))
}

fn free_axis_values(analysis: &Analysis<'_>, condition: ConditionId) -> String {
    let axes = analysis.free_axes();
    let values = axes.filter_map(|path| analysis.axis_value(condition, path));
    values.collect::<Vec<_>>().join(", ")
}
