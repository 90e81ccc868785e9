//! How much of an attempt the next one keeps: collapse, small edits and new beginnings.

use super::super::Study;
use super::super::format::slug;
use super::super::study::Group;
use super::turns::by_checkpoint;
use super::{Cell, Section, Table, TableRow};

/// One table per headline group: a row per checkpoint and turn.
pub fn build(study: &Study<'_>) -> Vec<Table> {
    study
        .groups()
        .iter()
        .filter_map(|group| table(study, group))
        .collect()
}

fn table(study: &Study<'_>, group: &Group) -> Option<Table> {
    let rows = by_checkpoint(study, group, |setting, name| {
        (2..=study.measures.turns)
            .filter_map(|turn| row(study, setting, name, turn))
            .collect()
    })?;
    Some(Table {
        id: format!("edits-{}", slug(&group.title)),
        section: Section::Analyses,
        title: format!("{}: how much a turn rewrites", group.title),
        reading: "Percent with 95 % interval: attempts that repeat the one before word for word; the edit distance to it \
                  as a part of the longer text; problems corrected at this turn, by whatever edit, and by an edit of at \
                  most 30 %; problems whose right answer stays right."
            .to_owned(),
        head: "turn".to_owned(),
        columns: ["repeated", "rewritten part", "corrected", "of these by a small edit", "right → right"]
            .map(str::to_owned)
            .to_vec(),
        rows,
    })
}

fn row(study: &Study<'_>, setting: usize, checkpoint: &str, turn: u32) -> Option<TableRow> {
    study.estimate(setting, checkpoint, &format!("edit@t{turn}"))?;
    let cells = [
        "same",
        "edit",
        "wrong-to-right",
        "corrected-small",
        "right-to-right",
    ]
    .map(|metric| {
        Cell::fraction(study.estimate(setting, checkpoint, &format!("{metric}@t{turn}")))
    });
    Some(TableRow::new(turn.to_string(), cells.to_vec()))
}
