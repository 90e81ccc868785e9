//! Every condition's last checkpoint side by side: the systems that an experiment compares.

use crate::domain::MetricName;
use crate::stats::MeanEstimate;

use super::super::Analysis;
use super::super::analysis::{CheckpointId, ConditionId};
use super::{ReportSection, ReportTable, TableCell, TableRow, rows_by_regime};

/// The column of methods with a verifier that chooses the answer.
const CHOSEN: &str = "chosen";
/// More conditions than this are a search, not a comparison.
const MAX_CONDITIONS: usize = 40;

/// One table with a row per condition, grouped by regime; none where there is nothing to compare.
pub fn build(analysis: &Analysis<'_>) -> Vec<ReportTable> {
    if !(2..=MAX_CONDITIONS).contains(&analysis.conditions().count()) {
        return Vec::new();
    }
    let columns = column_names(analysis);
    let rows = rows_by_regime(analysis, |members| {
        let rows = members.iter();
        rows.filter_map(|&id| row(analysis, id, &columns)).collect()
    });
    if rows.is_empty() {
        return Vec::new();
    }
    vec![ReportTable {
        id: "settings".to_owned(),
        section: ReportSection::Main,
        title: "Every condition".to_owned(),
        caption: caption(analysis, &columns),
        label_header: "condition".to_owned(),
        columns: std::iter::once("checkpoint".to_owned())
            .chain(columns)
            .collect(),
        rows,
    }]
}

/// The meaning of the columns that are there.
fn caption(analysis: &Analysis<'_>, columns: &[String]) -> String {
    let mut caption =
        "Percent of problems solved by the last checkpoint of every condition, with the \
                       95 % interval."
            .to_owned();
    if columns
        .iter()
        .any(|column| column == MetricName::EQUAL_TOKENS)
    {
        caption += &format!(
            " {} votes over the first attempts that cost the tokens of {} turns{}.",
            MetricName::EQUAL_TOKENS,
            analysis.metric_columns.turns,
            shortage_note(analysis)
        );
    }
    if columns.iter().any(|column| column == CHOSEN) {
        caption += &format!(
            " {CHOSEN} is a verifier's pick among all samples, or among a draft and its refinements."
        );
    }
    caption + " A dash marks a metric that the method does not have."
}

/// How often the vote at equal tokens had fewer attempts than it could afford, where that is known.
fn shortage_note(analysis: &Analysis<'_>) -> String {
    let shares: Option<Vec<f64>> = analysis
        .conditions()
        .filter_map(|id| analysis.last_checkpoint(id))
        .filter(|last| {
            let measured = last.metric(MetricName::EQUAL_TOKENS);
            analysis.estimate(&measured).is_some()
        })
        .map(|last| {
            let shortage = last.metric(MetricName::EQUAL_TOKENS_SHORTAGE);
            Some(analysis.estimate(&shortage)?.value)
        })
        .collect();
    let note = ", or over all samples if those cost less";
    match shares.map(|shares| shares.into_iter().fold(0.0, f64::max)) {
        None => note.to_owned(),
        Some(most) if most > 0.0 => {
            format!("{note} (on up to {:.1} % of the problems)", most * 100.0)
        }
        Some(_) => String::new(),
    }
}

/// The paper's columns, the baseline at equal tokens, and a verifier's choice.
fn column_names(analysis: &Analysis<'_>) -> Vec<String> {
    let known = |metric: &str| analysis.metric_names().any(|name| *name == metric);
    let mut columns = analysis.metric_columns.headers();
    if known(MetricName::EQUAL_TOKENS) {
        columns.push(MetricName::EQUAL_TOKENS.to_owned());
    }
    if known(&MetricName::best_of(1)) || known(MetricName::RERANKED) {
        columns.push(CHOSEN.to_owned());
    }
    columns
}

fn row(analysis: &Analysis<'_>, condition: ConditionId, columns: &[String]) -> Option<TableRow> {
    let last = analysis.last_checkpoint(condition)?;
    let mut cells = vec![TableCell::text(&*last.name)];
    for column in columns {
        let estimate = if column == CHOSEN {
            verifier_choice(analysis, &last)
        } else {
            analysis.estimate(&last.metric(column.as_str()))
        };
        cells.push(match estimate {
            None => TableCell::dash(),
            estimate => TableCell::from_fraction(estimate),
        });
    }
    Some(TableRow::new(condition_label(analysis, condition), cells))
}

/// The values of a condition that differ from the baseline's; the baseline is called by its value
/// where there is one such axis.
fn condition_label(analysis: &Analysis<'_>, condition: ConditionId) -> String {
    let free: Vec<&String> = analysis.free_axes().collect();
    let differing = free
        .iter()
        .copied()
        .filter(|path| analysis.differs_from_baseline(condition, path));
    let values = analysis.named_axis_values(condition, differing);
    if !values.is_empty() {
        return values.join(", ");
    }
    match free[..] {
        [only] => match &analysis.named_axis_values(condition, [only])[..] {
            [name] => format!("{name} (baseline)"),
            _ => "baseline".to_owned(),
        },
        _ => "baseline".to_owned(),
    }
}

/// A verifier's choice at a checkpoint: among most samples, or a draft and its refinements.
fn verifier_choice(analysis: &Analysis<'_>, last: &CheckpointId) -> Option<MeanEstimate> {
    let most = analysis
        .metric_names()
        .filter_map(MetricName::best_of_samples)
        .max();
    let best = most.and_then(|most| analysis.estimate(&last.metric(MetricName::best_of(most))));
    best.or_else(|| analysis.estimate(&last.metric(MetricName::RERANKED)))
}
