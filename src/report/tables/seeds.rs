//! The spread between training seeds, kept apart from the intervals over problems.

use super::super::Study;
use super::super::format::slug;
use super::super::study::Group;
use super::{Cell, Section, Table, TableRow};

/// One table per headline group: each seed's value and their standard deviation.
pub fn build(study: &Study<'_>) -> Vec<Table> {
    study
        .groups()
        .iter()
        .filter_map(|group| table(study, group))
        .collect()
}

fn table(study: &Study<'_>, group: &Group) -> Option<Table> {
    let setting = group.setting?;
    let columns = study.measures.columns().map(str::to_owned).to_vec();
    let row = |(setting, name): (usize, &str)| {
        let cell = |metric: &String| {
            study
                .estimate(setting, name, metric)
                .map_or(Cell::Missing, |estimate| Cell::Seeds { estimate })
        };
        TableRow::new(name, columns.iter().map(cell).collect())
    };
    let own = study
        .checkpoints(setting)
        .into_iter()
        .map(|name| (setting, name));
    let sft = group
        .sft
        .filter(|&sft| study.checkpoints(sft).contains(&"sft"))
        .map(|sft| (sft, "sft"));
    let rows: Vec<TableRow> = own.chain(sft).map(row).collect();
    if rows.is_empty() {
        return None;
    }
    Some(Table {
        id: format!("seeds-{}", slug(&group.title)),
        section: Section::Main,
        title: format!("{}: seed by seed", group.title),
        reading: "Percent of problems solved by each independently trained seed, in order of the seeds, with the \
                  standard deviation between them; the intervals elsewhere cover the choice of problems, not this \
                  spread."
            .to_owned(),
        head: "checkpoint".to_owned(),
        columns,
        rows,
    })
}
