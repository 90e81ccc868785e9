//! Problems that turns solve and parallel samples leave unsolved (the paper's figure 5).

use crate::domain::MetricName;

use super::super::Analysis;
use super::super::analysis::{CheckpointId, HeadlineGroup};
use super::super::format::slug;
use super::turns::rows_by_checkpoint;
use super::{ReportSection, ReportTable, TableCell, TableRow, tables_by_group, text_columns};

/// One table per headline group that was analysed.
pub fn build(analysis: &Analysis<'_>) -> Vec<ReportTable> {
    tables_by_group(analysis, table)
}

/// The budgets of first attempts at which a checkpoint was analysed, rising.
#[must_use]
pub fn sample_budgets(analysis: &Analysis<'_>) -> Vec<u32> {
    let budgets = analysis.metric_names();
    let mut budgets: Vec<u32> = budgets.filter_map(MetricName::unsolved_budget).collect();
    budgets.sort_unstable();
    budgets.dedup();
    budgets
}

fn table(analysis: &Analysis<'_>, group: &HeadlineGroup) -> Option<ReportTable> {
    let budgets = sample_budgets(analysis);
    let rows = rows_by_checkpoint(analysis, group, |checkpoint| {
        let rows = budgets.iter();
        rows.filter_map(|&budget| row(analysis, checkpoint, budget))
            .collect()
    })?;
    Some(ReportTable {
        id: format!("unsolved-{}", slug(&group.title)),
        section: ReportSection::Analyses,
        title: format!("{}: beyond parallel samples", group.title),
        caption: format!(
            "The percent of all problems that B first attempts leave unsolved. Of those alone, the \
             percent that an oracle finds solved: by B attempts in sequences of {0} turns, and by B \
             further first attempts; then their paired difference. The votes, without oracle, are \
             over one sequence and over {0} further first attempts.",
            analysis.metric_columns.turns
        ),
        label_header: "B".to_owned(),
        columns: text_columns([
            "unsolved",
            "sequences",
            "further samples",
            "sequences − further samples",
            "vote over one sequence",
            "vote over further samples",
        ]),
        rows,
    })
}

fn row(analysis: &Analysis<'_>, checkpoint: &CheckpointId, budget: u32) -> Option<TableRow> {
    let [unsolved, any, more, vote, more_vote] = ["", "any", "more", "vote", "more-vote"]
        .map(|quantity| checkpoint.metric(MetricName::unsolved(quantity, budget)));
    analysis.estimate(&unsolved)?;
    let difference = analysis.compare(&any, &more);
    let [unsolved, any, more, vote, more_vote] = [unsolved, any, more, vote, more_vote]
        .map(|metric| TableCell::from_fraction(analysis.estimate(&metric)));
    let gain = TableCell::from_gain(difference.map(|comparison| comparison.difference));
    Some(TableRow::new(
        budget.to_string(),
        vec![unsolved, any, more, gain, vote, more_vote],
    ))
}
