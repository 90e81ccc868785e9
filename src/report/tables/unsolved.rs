//! What turns solve among the problems that parallel samples leave unsolved (the paper's figure 5).

use super::super::Study;
use super::super::format::slug;
use super::super::study::Group;
use super::turns::by_checkpoint;
use super::{Cell, Section, Table, TableRow};

/// One table per headline group that was analysed.
pub fn build(study: &Study<'_>) -> Vec<Table> {
    study
        .groups()
        .iter()
        .filter_map(|group| table(study, group))
        .collect()
}

/// The budgets of first attempts at which a checkpoint was analysed, rising.
#[must_use]
pub fn budgets(study: &Study<'_>) -> Vec<u32> {
    let names = study.frame.scores.values().flat_map(|scores| scores.keys());
    let mut budgets: Vec<u32> = names
        .filter_map(|name| name.strip_prefix("unsolved@")?.parse().ok())
        .collect();
    budgets.sort_unstable();
    budgets.dedup();
    budgets
}

fn table(study: &Study<'_>, group: &Group) -> Option<Table> {
    let rows = by_checkpoint(study, group, |setting, name| {
        budgets(study)
            .into_iter()
            .filter_map(|budget| row(study, setting, name, budget))
            .collect()
    })?;
    Some(Table {
        id: format!("unsolved-{}", slug(&group.title)),
        section: Section::Analyses,
        title: format!("{}: beyond parallel samples", group.title),
        reading: format!(
            "Of all problems, the percent that B first attempts leave unsolved; of those alone, the percent that B \
             attempts in sequences of {0} solve with an oracle, the percent that B further first attempts solve with \
             one, the paired difference of the two, and what a vote over one sequence and over {0} further first \
             attempts solves without oracle.",
            study.measures.turns
        ),
        head: "B".to_owned(),
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

fn row(study: &Study<'_>, setting: usize, checkpoint: &str, budget: u32) -> Option<TableRow> {
    let name = |what: &str| format!("unsolved{what}@{budget}");
    let fraction = |what: &str| Cell::fraction(study.estimate(setting, checkpoint, &name(what)));
    study.estimate(setting, checkpoint, &name(""))?;
    let (turns, more) = (name("-any"), name("-more"));
    let difference = study.compare((setting, checkpoint, &turns), (setting, checkpoint, &more));
    let cells = vec![
        fraction(""),
        fraction("-any"),
        fraction("-more"),
        Cell::gain(difference.map(|comparison| comparison.difference)),
        fraction("-vote"),
        fraction("-more-vote"),
    ];
    Some(TableRow::new(budget.to_string(), cells))
}
