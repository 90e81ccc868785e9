//! What could be wrong with the numbers: ties in votes, unreadable answers, cost.

use super::super::Analysis;
use super::super::analysis::HeadlineGroup;
use super::super::format::{DisplayUnit, slug};
use super::graders::silent_graders_sentence;
use super::turns::group_checkpoints;
use super::{ReportSection, ReportTable, TableCell, TableRow};

/// One table per headline group.
pub fn build(study: &Analysis<'_>) -> Vec<ReportTable> {
    study
        .headline_groups()
        .iter()
        .filter_map(|group| table(study, group))
        .collect()
}

fn table(study: &Analysis<'_>, group: &HeadlineGroup) -> Option<ReportTable> {
    let sequential = &study.metric_columns.sequential;
    let rows = group_checkpoints(study, group.condition?, group.sft_condition)
        .into_iter()
        .map(|(setting, name)| {
            let fraction =
                |metric: &str| TableCell::from_fraction(study.estimate(setting, name, metric));
            let cells = vec![
                fraction(&format!("tie@t{}", study.metric_columns.turns)),
                fraction(&format!("{sequential}-low")),
                fraction(sequential),
                fraction(&format!("{sequential}-high")),
                fraction("unreadable"),
                TableCell::from_metric(
                    study.estimate(setting, name, "tokens"),
                    DisplayUnit::Count,
                    None,
                ),
            ];
            TableRow::new(name, cells)
        });
    let rows: Vec<TableRow> = rows.collect();
    if rows.is_empty() {
        return None;
    }
    Some(ReportTable {
        id: format!("diagnostics-{}", slug(&group.title)),
        section: ReportSection::Diagnostics,
        title: group.title.clone(),
        caption: format!(
            "Percent of problems with 95 % interval; ties lost and ties won bound {sequential} by deciding every tied \
             vote against or for the model, and tokens are per attempt.{}",
            silent_graders_sentence(study)
                .map(|sentence| format!(" {sentence}"))
                .unwrap_or_default()
        ),
        label_header: "checkpoint".to_owned(),
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
