//! The same texts under other graders than the one that rewards and scores came from.

use super::super::Analysis;
use super::super::analysis::HeadlineGroup;
use super::super::format::slug;
use super::turns::group_checkpoints;
use super::{ReportSection, ReportTable, TableCell, TableRow};

/// Name and version of a grader.
type GraderVersion = (String, u64);

/// One table per headline group with a checkpoint in whose texts a further grader reads answers.
pub fn build(study: &Analysis<'_>) -> Vec<ReportTable> {
    study
        .headline_groups()
        .iter()
        .filter_map(|group| table(study, group))
        .collect()
}

/// The further graders that read no answer in any text behind the headline, as a sentence.
pub fn silent_graders_sentence(study: &Analysis<'_>) -> Option<String> {
    let silent = study
        .data
        .regraded
        .iter()
        .filter(|(_, under)| under.values().all(|o| o.scores.is_empty()));
    let names: Vec<String> = silent.map(|(grader, _)| grader_label(grader)).collect();
    let verb = if names.len() == 1 { "reads" } else { "read" };
    (!names.is_empty()).then(|| {
        format!(
            "{} {verb} no answer in any of these texts.",
            names.join(" and ")
        )
    })
}

fn grader_label((name, version): &GraderVersion) -> String {
    format!("{name} {version}")
}

fn table(study: &Analysis<'_>, group: &HeadlineGroup) -> Option<ReportTable> {
    let rows: Vec<TableRow> = group_checkpoints(study, group.condition?, group.sft_condition)
        .into_iter()
        .flat_map(|(setting, checkpoint)| rows(study, setting, checkpoint))
        .collect();
    if rows.is_empty() {
        return None;
    }
    let mut columns: Vec<String> = study
        .metric_columns
        .column_names()
        .map(str::to_owned)
        .to_vec();
    columns.push("disagreement".to_owned());
    Some(ReportTable {
        id: format!("graders-{}", slug(&group.title)),
        section: ReportSection::Diagnostics,
        title: format!("{}: the same texts under other graders", group.title),
        caption: "Percent of problems solved with 95 % interval, first under the grader behind rewards and scores; \
                  disagreement is the part of the attempts that one of the two takes for right and the other \
                  does not."
            .to_owned(),
        label_header: "grader".to_owned(),
        columns,
        rows,
    })
}

/// A checkpoint's own grader and then the further ones; none where no further one scores it.
fn rows(study: &Analysis<'_>, setting: usize, checkpoint: &str) -> Vec<TableRow> {
    let metrics = study.metric_columns.column_names();
    let under = |grader: &GraderVersion| {
        let estimates = metrics
            .map(|metric| study.estimate_under_grader(grader, (setting, checkpoint, metric)));
        let any = estimates.iter().any(Option::is_some);
        let mut cells: Vec<TableCell> = estimates
            .into_iter()
            .map(TableCell::from_fraction)
            .collect();
        cells.push(TableCell::Text {
            text: disagreement_text(study, grader, setting, checkpoint),
        });
        any.then(|| TableRow::new(grader_label(grader), cells))
    };
    let further: Vec<TableRow> = study.data.regraded.keys().filter_map(under).collect();
    if further.is_empty() {
        return further;
    }
    let mut cells: Vec<TableCell> = metrics
        .map(|metric| TableCell::from_fraction(study.estimate(setting, checkpoint, metric)))
        .to_vec();
    cells.push(TableCell::Text {
        text: "–".to_owned(),
    });
    let own = study
        .data
        .graders
        .iter()
        .map(grader_label)
        .collect::<Vec<_>>()
        .join(", ");
    let own = TableRow {
        heading: Some(checkpoint.to_owned()),
        ..TableRow::new(own, cells)
    };
    std::iter::once(own).chain(further).collect()
}

/// The part of the attempts, over all seeds, on which a grader and the own one disagree.
fn disagreement_text(
    study: &Analysis<'_>,
    grader: &GraderVersion,
    setting: usize,
    checkpoint: &str,
) -> String {
    let runs = study.conditions[setting].runs.iter();
    let mut evaluations: Vec<_> = runs
        .filter_map(|run| run.checkpoints.iter().find(|c| c.name == checkpoint))
        .map(|checkpoint| &checkpoint.evaluation)
        .collect();
    evaluations.sort_unstable();
    evaluations.dedup();
    let under = study.data.regraded.get(grader);
    let found = || {
        evaluations
            .iter()
            .filter_map(|evaluation| under?.get(*evaluation))
    };
    let (differ, attempts) = (
        found().map(|o| o.disagreements).sum::<u64>(),
        found().map(|o| o.attempts).sum::<u64>(),
    );
    if attempts == 0 {
        return "–".to_owned();
    }
    format!(
        "{:.1} % of {attempts} attempts",
        100.0 * differ as f64 / attempts as f64
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::*;

    #[test]
    fn every_headline_checkpoint_is_shown_under_both_graders() {
        let frame = fixtures::sample_data();
        let tables = build(&Analysis::new(&frame));
        assert_eq!(tables.len(), 2);
        let shown = |row: &TableRow| {
            let cells: Vec<String> = row.cells.iter().map(|cell| cell.render().main).collect();
            format!(
                "{} | {} | {}",
                row.heading.as_deref().unwrap_or_default(),
                row.label,
                cells.join(" | ")
            )
        };
        let rows: Vec<String> = tables[0].rows.iter().take(2).map(shown).collect();
        insta::assert_snapshot!(rows.join("\n"), @r"
        base | numeric 1 | 26.7 | 28.3 | 20.0 | 29.2 | –
         | rise-compat 1 | 0.0 | 0.0 | 0.0 | 0.0 | 25.0 % of 40 attempts
        ");
        assert_eq!(silent_graders_sentence(&Analysis::new(&frame)), None);
    }

    #[test]
    fn a_grader_that_reads_nothing_is_a_sentence_and_no_table() {
        let mut frame = fixtures::sample_data();
        for other in frame
            .regraded
            .values_mut()
            .flat_map(|under| under.values_mut())
        {
            other.scores.clear();
        }
        let study = Analysis::new(&frame);
        assert!(build(&study).is_empty());
        assert_eq!(
            silent_graders_sentence(&study).as_deref(),
            Some("rise-compat 1 reads no answer in any of these texts.")
        );
        frame.regraded.clear();
        assert_eq!(silent_graders_sentence(&Analysis::new(&frame)), None);
    }
}
