//! The main table in the paper's layout, one per headline group.

use super::super::Analysis;
use super::super::analysis::HeadlineGroup;
use super::super::format::{DisplayUnit, count_noun, slug};
use super::{ReportSection, ReportTable, TableCell, TableRow};

/// One table per headline group: a row per checkpoint, the four metrics with the gain over the row's
/// own first turn in parentheses, and the two differences the paper is about.
pub fn build(study: &Analysis<'_>) -> Vec<ReportTable> {
    study
        .headline_groups()
        .iter()
        .map(|group| table(study, group))
        .collect()
}

fn table(study: &Analysis<'_>, group: &HeadlineGroup) -> ReportTable {
    let measures = &study.metric_columns;
    let mut columns: Vec<String> = measures.column_names().map(str::to_owned).to_vec();
    columns.push(format!("{} − {}", measures.sequential, measures.first));
    columns.push(format!("{} − {}", measures.sequential, measures.parallel));
    ReportTable {
        id: format!("main-{}", slug(&group.title)),
        section: ReportSection::Main,
        title: group.title.clone(),
        caption: caption(study, group),
        label_header: "checkpoint".to_owned(),
        columns,
        rows: rows(study, group),
    }
}

/// Checkpoints of the group's own setting, the supervised row between the base and the rounds.
fn rows(study: &Analysis<'_>, group: &HeadlineGroup) -> Vec<TableRow> {
    let Some(setting) = group.condition else {
        return vec![missing_row("no run matches")];
    };
    let mut rows: Vec<TableRow> = expected_checkpoints(study, setting)
        .into_iter()
        .map(|name| row(study, setting, &name))
        .collect();
    if let Some(sft) = group.sft_condition {
        let place = rows
            .iter()
            .position(|row| row.label.starts_with("round"))
            .unwrap_or(rows.len());
        rows.insert(place, row(study, sft, "sft"));
    }
    if rows.is_empty() {
        vec![missing_row("nothing evaluated yet")]
    } else {
        rows
    }
}

/// The checkpoints a setting has or will have: those known for any seed, scored or not.
fn expected_checkpoints(study: &Analysis<'_>, setting: usize) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for checkpoint in study.conditions[setting]
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

fn missing_row(label: &str) -> TableRow {
    TableRow::new(label, vec![TableCell::Missing; 6])
}

fn row(study: &Analysis<'_>, setting: usize, checkpoint: &str) -> TableRow {
    let measures = &study.metric_columns;
    let gain = |metric: &str, over: &str| {
        let comparison = study.compare((setting, checkpoint, metric), (setting, checkpoint, over));
        comparison.map(|comparison| comparison.difference)
    };
    let mut cells: Vec<TableCell> = Vec::new();
    for metric in measures.column_names() {
        let delta = if metric == measures.first {
            None
        } else {
            gain(metric, &measures.first)
        };
        cells.push(TableCell::from_metric(
            study.estimate(setting, checkpoint, metric),
            DisplayUnit::Fraction,
            delta,
        ));
    }
    cells.push(TableCell::from_gain(gain(
        &measures.sequential,
        &measures.first,
    )));
    cells.push(TableCell::from_gain(gain(
        &measures.sequential,
        &measures.parallel,
    )));
    TableRow::new(checkpoint, cells)
}

fn caption(study: &Analysis<'_>, group: &HeadlineGroup) -> String {
    let measures = &study.metric_columns;
    let behind = group.condition.and_then(|setting| {
        let estimate = study.estimate(
            setting,
            study.last_checkpoint(setting)?,
            &measures.sequential,
        )?;
        let (problems, seeds) = (
            count_noun(estimate.problems, "problem"),
            count_noun(estimate.seeds, "seed"),
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
