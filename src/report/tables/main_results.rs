//! The main table in the paper's layout, one per headline group.

use super::super::Study;
use super::super::format::{Unit, counted, slug};
use super::super::study::Group;
use super::{Cell, Section, Table, TableRow};

/// One table per headline group: a row per checkpoint, the four metrics with the gain over the row's
/// own first turn in parentheses, and the two differences the paper is about.
pub fn build(study: &Study<'_>) -> Vec<Table> {
    study
        .groups()
        .iter()
        .map(|group| table(study, group))
        .collect()
}

fn table(study: &Study<'_>, group: &Group) -> Table {
    let measures = &study.measures;
    let mut columns: Vec<String> = measures.columns().map(str::to_owned).to_vec();
    columns.push(format!("{} − {}", measures.sequential, measures.first));
    columns.push(format!("{} − {}", measures.sequential, measures.parallel));
    Table {
        id: format!("main-{}", slug(&group.title)),
        section: Section::Main,
        title: group.title.clone(),
        reading: reading(study, group),
        head: "checkpoint".to_owned(),
        columns,
        rows: rows(study, group),
    }
}

/// Checkpoints of the group's own setting, the supervised row between the base and the rounds.
fn rows(study: &Study<'_>, group: &Group) -> Vec<TableRow> {
    let Some(setting) = group.setting else {
        return vec![missing("no run matches")];
    };
    let mut rows: Vec<TableRow> = expected(study, setting)
        .into_iter()
        .map(|name| row(study, setting, &name))
        .collect();
    if let Some(sft) = group.sft {
        let place = rows
            .iter()
            .position(|row| row.label.starts_with("round"))
            .unwrap_or(rows.len());
        rows.insert(place, row(study, sft, "sft"));
    }
    if rows.is_empty() {
        vec![missing("nothing evaluated yet")]
    } else {
        rows
    }
}

/// The checkpoints a setting has or will have: those known for any seed, scored or not.
fn expected(study: &Study<'_>, setting: usize) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for checkpoint in study.settings[setting]
        .runs
        .iter()
        .flat_map(|run| &run.checkpoints)
    {
        if !names.contains(&checkpoint.name) {
            names.push(checkpoint.name.clone());
        }
    }
    names
}

fn missing(label: &str) -> TableRow {
    TableRow::new(label, vec![Cell::Missing; 6])
}

fn row(study: &Study<'_>, setting: usize, checkpoint: &str) -> TableRow {
    let measures = &study.measures;
    let gain = |metric: &str, over: &str| {
        let comparison = study.compare((setting, checkpoint, metric), (setting, checkpoint, over));
        comparison.map(|comparison| comparison.difference)
    };
    let mut cells: Vec<Cell> = Vec::new();
    for metric in measures.columns() {
        let delta = if metric == measures.first {
            None
        } else {
            gain(metric, &measures.first)
        };
        cells.push(Cell::measured(
            study.estimate(setting, checkpoint, metric),
            Unit::Fraction,
            delta,
        ));
    }
    cells.push(Cell::gain(gain(&measures.sequential, &measures.first)));
    cells.push(Cell::gain(gain(&measures.sequential, &measures.parallel)));
    TableRow::new(checkpoint, cells)
}

fn reading(study: &Study<'_>, group: &Group) -> String {
    let measures = &study.measures;
    let behind = group.setting.and_then(|setting| {
        let estimate = study.estimate(setting, study.last(setting)?, &measures.sequential)?;
        let (problems, seeds) = (
            counted(estimate.problems, "problem"),
            counted(estimate.seeds, "seed"),
        );
        Some(format!(" ({problems}, {seeds} in the last row)"))
    });
    format!(
        "Percent of problems solved, with the 95 % interval below and the paired gain over the row's own {} in \
         parentheses{}; {} votes over {} turns of one dialogue, {} over {} independent first turns, and {} counts a \
         problem as solved if any turn is right.",
        measures.first,
        behind.unwrap_or_default(),
        measures.sequential,
        measures.turns,
        measures.parallel,
        measures.samples,
        measures.oracle,
    )
}
