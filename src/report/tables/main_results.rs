//! The main table in the paper's layout, one per headline group.

use crate::domain::{CheckpointName, plural};

use super::super::Analysis;
use super::super::analysis::{CheckpointId, ConditionId, HeadlineGroup, MeasurementId};
use super::super::format::{DisplayUnit, slug};
use super::{ReportSection, ReportTable, TableCell, TableRow, tables_by_group};

/// One table per headline group: a row per checkpoint, the four metrics with the gain over the row's
/// own first turn in parentheses, and the two differences the paper is about.
pub fn build(analysis: &Analysis<'_>) -> Vec<ReportTable> {
    tables_by_group(analysis, |analysis, group| Some(table(analysis, group)))
}

fn table(analysis: &Analysis<'_>, group: &HeadlineGroup) -> ReportTable {
    let metrics = &analysis.metric_columns;
    let mut columns = metrics.headers();
    columns.push(format!("{} − {}", metrics.sequential, metrics.first));
    columns.push(format!("{} − {}", metrics.sequential, metrics.parallel));
    ReportTable {
        id: format!("main-{}", slug(&group.title)),
        section: ReportSection::Main,
        title: group.title.clone(),
        caption: caption(analysis, group),
        label_header: "checkpoint".to_owned(),
        columns,
        rows: rows(analysis, group),
    }
}

/// Checkpoints of the group's own condition, the supervised row between the base and the rounds.
fn rows(analysis: &Analysis<'_>, group: &HeadlineGroup) -> Vec<TableRow> {
    let Some(condition) = group.condition else {
        return vec![missing_row("no run matches")];
    };
    let mut checkpoints = expected_checkpoints(analysis, condition);
    if let Some(sft) = group.sft_condition {
        let mut names = checkpoints.iter().map(|checkpoint| &checkpoint.name);
        let place = names.position(|name| name.starts_with("round"));
        let place = place.unwrap_or(checkpoints.len());
        checkpoints.insert(place, CheckpointId::new(sft, CheckpointName::SFT));
    }
    if checkpoints.is_empty() {
        return vec![missing_row("nothing evaluated yet")];
    }
    let rows = checkpoints.iter();
    rows.map(|checkpoint| row(analysis, checkpoint)).collect()
}

/// The checkpoints a condition has or will have: those known for any seed, scored or not.
fn expected_checkpoints(analysis: &Analysis<'_>, condition: ConditionId) -> Vec<CheckpointId> {
    let mut expected: Vec<CheckpointId> = Vec::new();
    for checkpoint in analysis.evaluated_checkpoints(condition) {
        let id = CheckpointId::new(condition, &checkpoint.name);
        if !expected.contains(&id) {
            expected.push(id);
        }
    }
    expected
}

fn missing_row(label: &str) -> TableRow {
    TableRow::new(label, vec![TableCell::Missing; 6])
}

fn row(analysis: &Analysis<'_>, checkpoint: &CheckpointId) -> TableRow {
    let columns = &analysis.metric_columns;
    let [first, parallel, sequential, oracle] =
        columns.metrics().map(|metric| checkpoint.metric(metric));
    let gain = |own: &MeasurementId, other: &MeasurementId| {
        let comparison = analysis.compare(own, other);
        comparison.map(|comparison| comparison.difference)
    };
    let mut cells = vec![TableCell::from_fraction(analysis.estimate(&first))];
    for metric in [&parallel, &sequential, &oracle] {
        cells.push(TableCell::from_metric(
            analysis.estimate(metric),
            DisplayUnit::Fraction,
            gain(metric, &first),
        ));
    }
    cells.extend([&first, &parallel].map(|other| TableCell::from_gain(gain(&sequential, other))));
    TableRow::new(&*checkpoint.name, cells)
}

fn caption(analysis: &Analysis<'_>, group: &HeadlineGroup) -> String {
    let columns = &analysis.metric_columns;
    let last = group
        .condition
        .and_then(|condition| analysis.last_checkpoint(condition));
    let estimate = last.and_then(|last| analysis.estimate(&last.metric(&columns.sequential)));
    let sizes = estimate.map(|estimate| {
        let problems = plural(estimate.problems, "problem");
        let seeds = plural(estimate.seeds, "seed");
        format!(" ({problems}, {seeds} in the last row)")
    });
    format!(
        "Percent of problems solved, with the 95 % interval below and the paired gain over the row's \
         own {} in parentheses{}. {} votes over {} turns of one dialogue, and {} votes over {} \
         independent first turns. {} counts a problem as solved if any turn is right.",
        columns.first,
        sizes.unwrap_or_default(),
        columns.sequential,
        columns.turns,
        columns.parallel,
        columns.samples,
        columns.oracle,
    )
}
