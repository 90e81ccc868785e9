//! What changes from one turn to the next: corrections, losses, repetitions.

use super::super::Analysis;
use super::super::analysis::HeadlineGroup;
use super::super::format::slug;
use super::{ReportSection, ReportTable, TableCell, TableRow};

/// One table per headline group: a row per checkpoint and turn.
pub fn build(study: &Analysis<'_>) -> Vec<ReportTable> {
    study
        .headline_groups()
        .iter()
        .filter_map(|group| table(study, group))
        .collect()
}

fn table(study: &Analysis<'_>, group: &HeadlineGroup) -> Option<ReportTable> {
    let turns = 2..=study.metric_columns.turns;
    let rows = rows_by_checkpoint(study, group, |setting, name| {
        turns
            .clone()
            .filter_map(|turn| row(study, setting, name, turn))
            .collect()
    })?;
    Some(ReportTable {
        id: format!("turns-{}", slug(&group.title)),
        section: ReportSection::Turns,
        title: format!("{}: what a turn changes", group.title),
        caption:
            "Percent of all problems with 95 % interval: wrong → right were wrong one turn earlier and are \
                  right now, right → wrong the other way round, unchanged gave the same answer again."
                .to_owned(),
        label_header: "turn".to_owned(),
        columns: ["accuracy", "wrong → right", "right → wrong", "unchanged"].map(str::to_owned).to_vec(),
        rows,
    })
}

/// The rows of every checkpoint of a group, headed by its name; none where there is no row.
pub fn rows_by_checkpoint(
    study: &Analysis<'_>,
    group: &HeadlineGroup,
    of: impl Fn(usize, &str) -> Vec<TableRow>,
) -> Option<Vec<TableRow>> {
    let mut rows = Vec::new();
    for (setting, name) in group_checkpoints(study, group.condition?, group.sft_condition) {
        let first = rows.len();
        rows.extend(of(setting, name));
        if let Some(row) = rows.get_mut(first) {
            row.heading = Some(name.to_owned());
        }
    }
    (!rows.is_empty()).then_some(rows)
}

/// (setting, checkpoint) of a group with the supervised row last.
pub fn group_checkpoints<'f>(
    study: &Analysis<'f>,
    setting: usize,
    sft: Option<usize>,
) -> Vec<(usize, &'f str)> {
    let own = study
        .scored_checkpoints(setting)
        .into_iter()
        .map(|name| (setting, name));
    let sft = sft.into_iter().flat_map(|sft| {
        study
            .scored_checkpoints(sft)
            .into_iter()
            .map(move |name| (sft, name))
    });
    own.chain(sft.filter(|(_, name)| *name == "sft")).collect()
}

fn row(study: &Analysis<'_>, setting: usize, checkpoint: &str, turn: u32) -> Option<TableRow> {
    let cells = ["accuracy", "wrong-to-right", "right-to-wrong", "unchanged"].map(|metric| {
        TableCell::from_fraction(study.estimate(setting, checkpoint, &format!("{metric}@t{turn}")))
    });
    let any = cells.iter().any(|cell| *cell != TableCell::Missing);
    any.then(|| TableRow::new(turn.to_string(), cells.to_vec()))
}
