//! The cost of making and evaluating every checkpoint.

use super::super::Analysis;
use super::super::analysis::CheckpointId;
use super::super::compute_account::{CheckpointUsage, ComputeAccount, ComputeUsage};
use super::super::format::format_money;
use super::{ReportSection, ReportTable, TableCell, TableRow, text_columns};

const CAPTION: &str = "The cost of making each checkpoint from its base model and of evaluating it, \
     as the mean over seeds; a shared stage counts once. FLOPs are 2 per parameter and token read or \
     sampled, and 6 per parameter and token trained. Pre-training the base model is not counted.";

const API_CAPTION: &str = " Tokens of API models, prompts and answers, have their own column, with \
     their cost at the experiment's prices (– if it names none). Their FLOPs are unknown and not \
     counted.";

/// One table of all conditions and their evaluated checkpoints.
pub fn build(analysis: &Analysis<'_>) -> Vec<ReportTable> {
    let (mut rows, training) = usage_rows(analysis);
    if rows.is_empty() {
        return Vec::new();
    }
    let mut columns = text_columns([
        "tokens trained",
        "tokens sampled",
        "teacher calls",
        "FLOPs",
        "evaluation: tokens sampled",
        "evaluation: FLOPs",
    ]);
    let mut caption = CAPTION.to_owned();
    if training.iter().any(|usage| usage.api_tokens > 0.0) {
        columns.extend(text_columns(["API: tokens", "API: price"]));
        caption += API_CAPTION;
        for (row, usage) in rows.iter_mut().zip(training) {
            row.cells.extend(api_cells(&usage));
        }
    }
    vec![ReportTable {
        id: "compute".to_owned(),
        section: ReportSection::Diagnostics,
        title: "Compute".to_owned(),
        caption,
        label_header: "checkpoint".to_owned(),
        columns,
        rows,
    }]
}

/// The rows without columns of API models, and the usage of each row's training.
fn usage_rows(analysis: &Analysis<'_>) -> (Vec<TableRow>, Vec<ComputeUsage>) {
    let account = ComputeAccount::new(&analysis.data.stages, &analysis.data.inputs);
    let (mut rows, mut training) = (Vec::new(), Vec::new());
    for condition in analysis.conditions() {
        let mut heading = Some(analysis.condition_name(condition)).filter(|name| !name.is_empty());
        for checkpoint in analysis.scored_checkpoints(condition) {
            if let Some(usage) = mean_usage(analysis, &account, &checkpoint) {
                let cells = usage_cells(&usage);
                rows.push(TableRow {
                    heading: heading.take(),
                    ..TableRow::new(&*checkpoint.name, cells)
                });
                training.push(usage.training);
            }
        }
    }
    (rows, training)
}

/// The usage of a checkpoint as the mean over its seeds; none before a seed is finished.
fn mean_usage(
    analysis: &Analysis<'_>,
    account: &ComputeAccount<'_>,
    checkpoint: &CheckpointId,
) -> Option<CheckpointUsage> {
    let (training, evaluation): (Vec<_>, Vec<_>) = analysis
        .evaluated_checkpoints(checkpoint.condition)
        .filter(|evaluated| evaluated.name == checkpoint.name)
        .filter_map(|evaluated| account.checkpoint_usage(evaluated))
        .map(|usage| (usage.training, usage.evaluation))
        .unzip();
    Some(CheckpointUsage {
        training: ComputeUsage::mean(&training)?,
        evaluation: ComputeUsage::mean(&evaluation)?,
    })
}

fn usage_cells(usage: &CheckpointUsage) -> Vec<TableCell> {
    let CheckpointUsage {
        training,
        evaluation,
    } = usage;
    let amounts = [
        Some(training.trained_tokens),
        Some(training.sampled_tokens),
        Some(training.teacher_calls),
        training.flops,
        Some(evaluation.sampled_tokens),
        evaluation.flops,
    ];
    let cells = amounts.map(|amount| match amount {
        Some(amount) => TableCell::Amount { amount },
        None => TableCell::dash(),
    });
    cells.to_vec()
}

fn api_cells(training: &ComputeUsage) -> [TableCell; 2] {
    let price = if training.api_price > 0.0 {
        TableCell::text(format_money(training.api_price))
    } else {
        TableCell::dash()
    };
    let amount = training.api_tokens;
    [TableCell::Amount { amount }, price]
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::*;

    #[test]
    fn every_checkpoint_has_its_cost_as_the_mean_over_seeds() {
        let data = fixtures::sample_data();
        let table = build(&Analysis::new(&data)).remove(0);
        let row_text = |at: usize| {
            let row: &TableRow = &table.rows[at];
            let cells: Vec<String> = row.cells.iter().map(|cell| cell.render().main).collect();
            format!("{}: {}", row.label, cells.join(" | "))
        };
        // In the sample every training takes 61,200 tokens, every evaluation 9,300; 450,000 parameters.
        assert_eq!(row_text(0), "base: 0 | 0 | 0 | 0 | 9.3 k | 8.37 G");
        assert_eq!(
            row_text(2),
            "round 2: 61.2 k | 0 | 0 | 165 G | 9.3 k | 8.37 G"
        );
        assert_eq!(
            table.rows[0].heading.as_deref(),
            Some("base=weak weighting=exp(0.4) method=rise")
        );
        assert_eq!(table.columns.len(), 6, "nobody was asked behind an API");
        let mut unknown = data.clone();
        unknown
            .stages
            .iter_mut()
            .for_each(|stage| stage.counts["parameters"] = serde_json::Value::Null);
        let table = build(&Analysis::new(&unknown)).remove(0);
        assert_eq!(table.rows[2].cells[3].render().main, "–");
    }

    #[test]
    fn what_an_api_took_has_columns_of_its_own() {
        let mut data = fixtures::sample_data();
        let trained = data.stages.iter_mut().filter(|stage| stage.kind == "train");
        trained.for_each(|stage| {
            stage.counts["remote_prompt_tokens"] = serde_json::json!(1_500);
            stage.counts["remote_completion_tokens"] = serde_json::json!(500);
            stage.counts["remote_price"] = serde_json::json!(0.0042);
        });
        let table = build(&Analysis::new(&data)).remove(0);
        assert_eq!(table.columns[6..], ["API: tokens", "API: price"]);
        assert!(table.caption.ends_with(API_CAPTION));
        let row_text = |at: usize| -> Vec<String> {
            table.rows[at].cells[6..]
                .iter()
                .map(|cell| cell.render().main)
                .collect()
        };
        assert_eq!(row_text(0), ["0", "–"]);
        assert_eq!(row_text(2), ["2 k", "0.00420"]);
    }
}
