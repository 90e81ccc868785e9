//! The same texts under other graders than the one behind rewards and scores.

use super::super::Analysis;
use super::super::analysis::{CheckpointId, HeadlineGroup};
use super::super::format::slug;
use super::super::report_data::GraderVersion;
use super::{ReportSection, ReportTable, TableCell, TableRow, tables_by_group};

/// One table per headline group that a further grader reads answers of.
pub fn build(analysis: &Analysis<'_>) -> Vec<ReportTable> {
    tables_by_group(analysis, table)
}

/// The further graders that read no answer in any text behind the headline, as a sentence.
pub fn silent_graders_sentence(analysis: &Analysis<'_>) -> Option<String> {
    let graders = analysis.data.regraded.iter();
    let silent = graders.filter(|(_, under)| under.values().all(|other| other.scores.is_empty()));
    let names: Vec<String> = silent.map(|(grader, _)| grader.to_string()).collect();
    let verb = if names.len() == 1 { "reads" } else { "read" };
    (!names.is_empty()).then(|| {
        format!(
            "{} {verb} no answer in any of these texts.",
            names.join(" and ")
        )
    })
}

fn table(analysis: &Analysis<'_>, group: &HeadlineGroup) -> Option<ReportTable> {
    let checkpoints = analysis.group_checkpoints(group);
    let rows: Vec<TableRow> = checkpoints
        .iter()
        .flat_map(|checkpoint| rows(analysis, checkpoint))
        .collect();
    let mut columns = analysis.metric_columns.headers();
    columns.push("disagreement".to_owned());
    (!rows.is_empty()).then(|| ReportTable {
        id: format!("graders-{}", slug(&group.title)),
        section: ReportSection::Diagnostics,
        title: format!("{}: the same texts under other graders", group.title),
        caption: "Percent of problems solved with 95 % interval; the grader of rewards and scores \
                  comes first. Disagreement is the share of attempts that only one of the two \
                  graders accepts."
            .to_owned(),
        label_header: "grader".to_owned(),
        columns,
        rows,
    })
}

/// A checkpoint's own grader and then the further ones; none where no further one scores it.
fn rows(analysis: &Analysis<'_>, checkpoint: &CheckpointId) -> Vec<TableRow> {
    let graders = analysis.data.regraded.keys();
    let further: Vec<TableRow> = graders
        .filter_map(|grader| further_row(analysis, grader, checkpoint))
        .collect();
    if further.is_empty() {
        return further;
    }
    let metrics = analysis.metric_columns.metrics();
    let mut cells = metrics
        .map(|metric| TableCell::from_fraction(analysis.estimate(&checkpoint.metric(metric))))
        .to_vec();
    cells.push(TableCell::dash());
    let graders = analysis.data.graders.iter();
    let label = graders.map(ToString::to_string).collect::<Vec<_>>();
    let own = TableRow {
        heading: Some(checkpoint.name.to_string()),
        ..TableRow::new(label.join(", "), cells)
    };
    std::iter::once(own).chain(further).collect()
}

fn further_row(
    analysis: &Analysis<'_>,
    grader: &GraderVersion,
    checkpoint: &CheckpointId,
) -> Option<TableRow> {
    let estimates = analysis
        .metric_columns
        .metrics()
        .map(|metric| analysis.estimate_under_grader(grader, &checkpoint.metric(metric)));
    let any = estimates.iter().any(Option::is_some);
    let mut cells = estimates.map(TableCell::from_fraction).to_vec();
    cells.push(disagreement(analysis, grader, checkpoint));
    any.then(|| TableRow::new(grader.to_string(), cells))
}

/// The share of the attempts, over all seeds, on which a grader and the own one disagree.
fn disagreement(
    analysis: &Analysis<'_>,
    grader: &GraderVersion,
    checkpoint: &CheckpointId,
) -> TableCell {
    let runs = analysis.runs(checkpoint.condition).iter();
    let mut evaluations: Vec<_> = runs
        .filter_map(|run| run.checkpoints.iter().find(|c| c.name == checkpoint.name))
        .map(|checkpoint| &checkpoint.evaluation)
        .collect();
    evaluations.sort_unstable();
    evaluations.dedup();
    let under = analysis.data.regraded.get(grader);
    let (mut disagreements, mut attempts) = (0, 0);
    for other in evaluations.iter().filter_map(|key| under?.get(*key)) {
        disagreements += other.disagreements;
        attempts += other.attempts;
    }
    if attempts == 0 {
        return TableCell::dash();
    }
    let percent = 100.0 * disagreements as f64 / attempts as f64;
    TableCell::text(format!("{percent:.1} % of {attempts} attempts"))
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::*;

    #[test]
    fn every_headline_checkpoint_is_shown_under_both_graders() {
        let data = fixtures::sample_data();
        let tables = build(&Analysis::new(&data));
        assert_eq!(tables.len(), 2);
        let row_text = |row: &TableRow| {
            let cells: Vec<String> = row.cells.iter().map(|cell| cell.render().main).collect();
            format!(
                "{} | {} | {}",
                row.heading.as_deref().unwrap_or_default(),
                row.label,
                cells.join(" | ")
            )
        };
        let rows: Vec<String> = tables[0].rows.iter().take(2).map(row_text).collect();
        insta::assert_snapshot!(rows.join("\n"), @r"
        base | numeric 1 | 26.7 | 28.3 | 20.0 | 29.2 | –
         | rise-compat 1 | 0.0 | 0.0 | 0.0 | 0.0 | 25.0 % of 40 attempts
        ");
        assert_eq!(silent_graders_sentence(&Analysis::new(&data)), None);
    }

    #[test]
    fn a_grader_that_reads_nothing_is_a_sentence_and_no_table() {
        let mut data = fixtures::sample_data();
        for other in data
            .regraded
            .values_mut()
            .flat_map(|under| under.values_mut())
        {
            other.scores.clear();
        }
        let analysis = Analysis::new(&data);
        assert!(build(&analysis).is_empty());
        assert_eq!(
            silent_graders_sentence(&analysis).as_deref(),
            Some("rise-compat 1 reads no answer in any of these texts.")
        );
        data.regraded.clear();
        assert_eq!(silent_graders_sentence(&Analysis::new(&data)), None);
    }
}
