//! What turns solve among the problems that parallel samples leave unsolved (the paper's figure 5).

use super::super::Analysis;
use super::super::analysis::HeadlineGroup;
use super::super::format::slug;
use super::turns::rows_by_checkpoint;
use super::{ReportSection, ReportTable, TableCell, TableRow};

/// One table per headline group that was analysed.
pub fn build(study: &Analysis<'_>) -> Vec<ReportTable> {
    study
        .headline_groups()
        .iter()
        .filter_map(|group| table(study, group))
        .collect()
}

/// The budgets of first attempts at which a checkpoint was analysed, rising.
#[must_use]
pub fn sample_budgets(study: &Analysis<'_>) -> Vec<u32> {
    let names = study.data.scores.values().flat_map(|scores| scores.keys());
    let mut budgets: Vec<u32> = names
        .filter_map(|name| name.strip_prefix("unsolved@")?.parse().ok())
        .collect();
    budgets.sort_unstable();
    budgets.dedup();
    budgets
}

fn table(study: &Analysis<'_>, group: &HeadlineGroup) -> Option<ReportTable> {
    let rows = rows_by_checkpoint(study, group, |setting, name| {
        sample_budgets(study)
            .into_iter()
            .filter_map(|budget| row(study, setting, name, budget))
            .collect()
    })?;
    Some(ReportTable {
        id: format!("unsolved-{}", slug(&group.title)),
        section: ReportSection::Analyses,
        title: format!("{}: beyond parallel samples", group.title),
        caption: format!(
            "Of all problems, the percent that B first attempts leave unsolved; of those alone, the percent that B \
             attempts in sequences of {0} solve with an oracle, the percent that B further first attempts solve with \
             one, the paired difference of the two, and what a vote over one sequence and over {0} further first \
             attempts solves without oracle.",
            study.metric_columns.turns
        ),
        label_header: "B".to_owned(),
        columns: [
            "unsolved",
            "sequences",
            "further samples",
            "sequences − further samples",
            "vote over one sequence",
            "vote over further samples",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows,
    })
}

fn row(study: &Analysis<'_>, setting: usize, checkpoint: &str, budget: u32) -> Option<TableRow> {
    let name = |what: &str| format!("unsolved{what}@{budget}");
    let fraction =
        |what: &str| TableCell::from_fraction(study.estimate(setting, checkpoint, &name(what)));
    study.estimate(setting, checkpoint, &name(""))?;
    let (turns, more) = (name("-any"), name("-more"));
    let difference = study.compare((setting, checkpoint, &turns), (setting, checkpoint, &more));
    let cells = vec![
        fraction(""),
        fraction("-any"),
        fraction("-more"),
        TableCell::from_gain(difference.map(|comparison| comparison.difference)),
        fraction("-vote"),
        fraction("-more-vote"),
    ];
    Some(TableRow::new(budget.to_string(), cells))
}
