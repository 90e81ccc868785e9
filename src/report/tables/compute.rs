//! What every checkpoint cost to make and to evaluate.

use super::super::Analysis;
use super::super::compute_account::{ComputeAccount, ComputeUsage};
use super::super::format::format_money;
use super::{ReportSection, ReportTable, TableCell, TableRow};

const CAPTION: &str = "What it took to make each checkpoint from its base model, and to evaluate it: the counts of all \
     stages that it descends from, each once, as the mean over its seeds. FLOPs are 2 per parameter and token read \
     or sampled and 6 per parameter and token trained; the base model's own pre-training is not counted.";

const API_CAPTION: &str = " Models behind an API have their tokens, shown and answered, in a column of their own, with what \
     they cost at the prices that the experiment names (– where it names none); their operations are not known and \
     not counted.";

/// One table of all settings and their evaluated checkpoints.
pub fn build(study: &Analysis<'_>) -> Vec<ReportTable> {
    let ledger = ComputeAccount::new(&study.data.stages, &study.data.inputs);
    let mut rows: Vec<TableRow> = Vec::new();
    let mut asked = Vec::new();
    for setting in 0..study.conditions.len() {
        let mut heading = Some(study.condition_name(setting)).filter(|name| !name.is_empty());
        for name in study.scored_checkpoints(setting) {
            let Some((training, row)) = row(study, &ledger, setting, name) else {
                continue;
            };
            rows.push(TableRow {
                heading: heading.take(),
                ..row
            });
            asked.push((training.api_tokens, training.api_price));
        }
    }
    if rows.is_empty() {
        return Vec::new();
    }
    let mut columns = vec![
        "tokens trained",
        "tokens sampled",
        "teacher calls",
        "FLOPs",
        "evaluation: tokens sampled",
        "evaluation: FLOPs",
    ];
    let mut reading = CAPTION.to_owned();
    if asked.iter().any(|(remote, _)| *remote > 0.0) {
        columns.extend(["API: tokens", "API: price"]);
        reading += API_CAPTION;
        for (row, (remote, price)) in rows.iter_mut().zip(asked) {
            let price = if price > 0.0 {
                format_money(price)
            } else {
                "–".to_owned()
            };
            row.cells.extend([
                TableCell::Amount { amount: remote },
                TableCell::Text { text: price },
            ]);
        }
    }
    vec![ReportTable {
        id: "compute".to_owned(),
        section: ReportSection::Diagnostics,
        title: "Compute".to_owned(),
        caption: reading,
        label_header: "checkpoint".to_owned(),
        columns: columns.into_iter().map(str::to_owned).collect(),
        rows,
    }]
}

fn row(
    study: &Analysis<'_>,
    ledger: &ComputeAccount<'_>,
    setting: usize,
    name: &str,
) -> Option<(ComputeUsage, TableRow)> {
    let checkpoints = study.conditions[setting]
        .runs
        .iter()
        .flat_map(|run| &run.checkpoints);
    let costs: Vec<_> = checkpoints
        .filter(|c| c.name == name)
        .filter_map(|checkpoint| ledger.checkpoint_usage(checkpoint))
        .collect();
    let training = ComputeUsage::mean(&costs.iter().map(|cost| cost.training).collect::<Vec<_>>())?;
    let evaluation =
        ComputeUsage::mean(&costs.iter().map(|cost| cost.evaluation).collect::<Vec<_>>())?;
    let amounts = [
        Some(training.trained_tokens),
        Some(training.sampled_tokens),
        Some(training.teacher_calls),
        training.flops,
        Some(evaluation.sampled_tokens),
        evaluation.flops,
    ];
    let cell = |amount: Option<f64>| {
        amount.map_or_else(
            || TableCell::Text {
                text: "–".to_owned(),
            },
            |amount| TableCell::Amount { amount },
        )
    };
    Some((training, TableRow::new(name, amounts.map(cell).to_vec())))
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::*;

    #[test]
    fn every_checkpoint_has_its_cost_as_the_mean_over_seeds() {
        let frame = fixtures::sample_data();
        let table = build(&Analysis::new(&frame)).remove(0);
        let shown = |at: usize| {
            let row: &TableRow = &table.rows[at];
            let cells: Vec<String> = row.cells.iter().map(|cell| cell.render().main).collect();
            format!("{}: {}", row.label, cells.join(" | "))
        };
        // In the sample every training takes 61,200 tokens and every evaluation 9,300, with 450,000 parameters.
        assert_eq!(shown(0), "base: 0 | 0 | 0 | 0 | 9.3 k | 8.37 G");
        assert_eq!(shown(2), "round 2: 61.2 k | 0 | 0 | 165 G | 9.3 k | 8.37 G");
        assert_eq!(
            table.rows[0].heading.as_deref(),
            Some("base=weak weighting=exp(0.4) method=rise")
        );
        assert_eq!(table.columns.len(), 6, "nobody was asked behind an API");
        let mut unknown = frame.clone();
        unknown
            .stages
            .iter_mut()
            .for_each(|stage| stage.counts["parameters"] = serde_json::Value::Null);
        let table = build(&Analysis::new(&unknown)).remove(0);
        assert_eq!(table.rows[2].cells[3].render().main, "–");
    }

    #[test]
    fn what_an_api_took_has_columns_of_its_own() {
        let mut frame = fixtures::sample_data();
        let trained = frame
            .stages
            .iter_mut()
            .filter(|stage| stage.kind == "train");
        trained.for_each(|stage| {
            stage.counts["remote_prompt_tokens"] = serde_json::json!(1_500);
            stage.counts["remote_completion_tokens"] = serde_json::json!(500);
            stage.counts["remote_price"] = serde_json::json!(0.0042);
        });
        let table = build(&Analysis::new(&frame)).remove(0);
        assert_eq!(table.columns[6..], ["API: tokens", "API: price"]);
        assert!(table.caption.ends_with(API_CAPTION));
        let shown = |at: usize| -> Vec<String> {
            table.rows[at].cells[6..]
                .iter()
                .map(|cell| cell.render().main)
                .collect()
        };
        assert_eq!(shown(0), ["0", "–"]);
        assert_eq!(shown(2), ["2 k", "0.00420"]);
    }
}
