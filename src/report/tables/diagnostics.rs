//! What could be wrong with the numbers: ties in votes, unreadable answers, cost.

use super::super::Study;
use super::super::format::{Unit, slug};
use super::super::study::Group;
use super::graders::unread;
use super::turns::checkpoints;
use super::{Cell, Section, Table, TableRow};

/// One table per headline group.
pub fn build(study: &Study<'_>) -> Vec<Table> {
    study
        .groups()
        .iter()
        .filter_map(|group| table(study, group))
        .collect()
}

fn table(study: &Study<'_>, group: &Group) -> Option<Table> {
    let sequential = &study.measures.sequential;
    let rows = checkpoints(study, group.setting?, group.sft)
        .into_iter()
        .map(|(setting, name)| {
            let fraction = |metric: &str| Cell::fraction(study.estimate(setting, name, metric));
            let cells = vec![
                fraction(&format!("tie@t{}", study.measures.turns)),
                fraction(&format!("{sequential}-low")),
                fraction(sequential),
                fraction(&format!("{sequential}-high")),
                fraction("unreadable"),
                Cell::measured(study.estimate(setting, name, "tokens"), Unit::Count, None),
            ];
            TableRow::new(name, cells)
        });
    let rows: Vec<TableRow> = rows.collect();
    if rows.is_empty() {
        return None;
    }
    Some(Table {
        id: format!("diagnostics-{}", slug(&group.title)),
        section: Section::Diagnostics,
        title: group.title.clone(),
        reading: format!(
            "Percent of problems with 95 % interval; ties lost and ties won bound {sequential} by deciding every tied \
             vote against or for the model, and tokens are per attempt.{}",
            unread(study)
                .map(|sentence| format!(" {sentence}"))
                .unwrap_or_default()
        ),
        head: "checkpoint".to_owned(),
        columns: vec![
            "tied votes".to_owned(),
            format!("{sequential}, ties lost"),
            sequential.clone(),
            format!("{sequential}, ties won"),
            "unreadable".to_owned(),
            "tokens".to_owned(),
        ],
        rows,
    })
}
