//! How much of an attempt the next one keeps: collapse, small edits and new beginnings.

use super::super::Analysis;
use super::super::analysis::HeadlineGroup;
use super::super::format::slug;
use super::turns::rows_by_checkpoint;
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
    let rows = rows_by_checkpoint(study, group, |setting, name| {
        (2..=study.metric_columns.turns)
            .filter_map(|turn| row(study, setting, name, turn))
            .collect()
    })?;
    Some(ReportTable {
        id: format!("edits-{}", slug(&group.title)),
        section: ReportSection::Analyses,
        title: format!("{}: how much a turn rewrites", group.title),
        caption: "Percent with 95 % interval: attempts that repeat the one before word for word; the edit distance to it \
                  as a part of the longer text; problems corrected at this turn, by whatever edit, and by an edit of at \
                  most 30 %; problems whose right answer stays right."
            .to_owned(),
        label_header: "turn".to_owned(),
        columns: ["repeated", "rewritten part", "corrected", "of these by a small edit", "right → right"]
            .map(str::to_owned)
            .to_vec(),
        rows,
    })
}

fn row(study: &Analysis<'_>, setting: usize, checkpoint: &str, turn: u32) -> Option<TableRow> {
    study.estimate(setting, checkpoint, &format!("edit@t{turn}"))?;
    let cells = [
        "same",
        "edit",
        "wrong-to-right",
        "corrected-small",
        "right-to-right",
    ]
    .map(|metric| {
        TableCell::from_fraction(study.estimate(setting, checkpoint, &format!("{metric}@t{turn}")))
    });
    Some(TableRow::new(turn.to_string(), cells.to_vec()))
}
