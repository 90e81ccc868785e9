//! The spread between training seeds, kept apart from the intervals over problems.

use super::super::Analysis;
use super::super::analysis::HeadlineGroup;
use super::super::format::slug;
use super::{ReportSection, ReportTable, TableCell, TableRow};

/// One table per headline group: each seed's value and their standard deviation.
pub fn build(study: &Analysis<'_>) -> Vec<ReportTable> {
    study
        .headline_groups()
        .iter()
        .filter_map(|group| table(study, group))
        .collect()
}

fn table(study: &Analysis<'_>, group: &HeadlineGroup) -> Option<ReportTable> {
    let setting = group.condition?;
    let columns = study
        .metric_columns
        .column_names()
        .map(str::to_owned)
        .to_vec();
    let row = |(setting, name): (usize, &str)| {
        let cell = |metric: &String| {
            study
                .estimate(setting, name, metric)
                .map_or(TableCell::Missing, |estimate| TableCell::Seeds { estimate })
        };
        TableRow::new(name, columns.iter().map(cell).collect())
    };
    let own = study
        .scored_checkpoints(setting)
        .into_iter()
        .map(|name| (setting, name));
    let sft = group
        .sft_condition
        .filter(|&sft| study.scored_checkpoints(sft).contains(&"sft"))
        .map(|sft| (sft, "sft"));
    let rows: Vec<TableRow> = own.chain(sft).map(row).collect();
    if rows.is_empty() {
        return None;
    }
    Some(ReportTable {
        id: format!("seeds-{}", slug(&group.title)),
        section: ReportSection::Main,
        title: format!("{}: seed by seed", group.title),
        caption: "Percent of problems solved by each independently trained seed, in order of the seeds, with the \
                  standard deviation between them; the intervals elsewhere cover the choice of problems, not this \
                  spread."
            .to_owned(),
        label_header: "checkpoint".to_owned(),
        columns,
        rows,
    })
}
