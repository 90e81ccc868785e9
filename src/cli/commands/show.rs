//! `rise-lab show` shows one run: scores, compute, stages and settings.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::format::{ProportionEstimate, format_bytes, format_duration, wilson_interval};
use crate::cli::output::{CliOutput, TextStyle};
use crate::cli::table::TextTable;
use crate::domain::Key;
use crate::report::{
    CheckpointUsage, ComputeAccount, ComputeUsage, EvaluatedCheckpoint, format_amount, format_money,
};
use crate::store::{CheckpointRow, RunRow, ScoreRow, StageRow, StoreError, StoreReader};

use super::status::{error_suffix, styled_status};

/// `rise-lab show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// A run's label, its key's first digits, or experiment/label
    #[arg(value_name = "RUN")]
    pub run: String,
}

/// The metrics of the paper's main table, in its order.
pub fn paper_metrics(turns: u64, samples: u64) -> Vec<String> {
    let mut names = vec![
        "m1@t1".to_owned(),
        format!("m{samples}@t1"),
        format!("m1@t{turns}"),
        format!("p1@t{turns}"),
    ];
    names.dedup();
    names
}

/// The metrics of the paper's main table for a run's settings.
fn run_metrics(run: &RunRow) -> Vec<String> {
    let [turns, samples] =
        ["turns", "samples"].map(|name| run.spec["evaluate"][name].as_u64().unwrap_or(5));
    paper_metrics(turns, samples)
}

/// Shows a run.
///
/// # Errors
/// If `RUN` names no run, or more than one.
pub fn show(
    arguments: &ShowArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let reader = environment.open_reader()?;
    let run = find_run(&reader, &arguments.run)?;
    let stages = reader.run_stages(&run.experiment, &run.key)?;
    let checkpoints = load_checkpoints(&reader, &run, &stages)?;
    let document = document(&run, &stages, &checkpoints);
    environment.output.print_result(
        || text(&run, &stages, &checkpoints, environment.output),
        &document,
    )?;
    Ok(ExitReason::Success)
}

/// The run with a label, a key's first digits, or `experiment/` and one of these.
///
/// # Errors
/// If `RUN` names no run, or more than one.
pub fn find_run(reader: &StoreReader, given: &str) -> Result<RunRow, CliError> {
    let scoped = given
        .split_once('/')
        .map(|(experiment, rest)| Ok((reader.runs(experiment)?, rest)));
    let Some((runs, rest)) = scoped
        .transpose()
        .map_err(|error: StoreError| CliError::from(error))?
    else {
        return Ok(reader.find_run(given)?);
    };
    let exact = runs
        .iter()
        .find(|run| run.label == rest || run.key.as_str() == rest);
    let found = exact.or_else(|| {
        runs.iter()
            .find(|run| rest.len() >= 4 && run.key.as_str().starts_with(rest))
    });
    match found {
        Some(run) => Ok(run.clone()),
        None => Ok(reader.find_run(given)?),
    }
}

struct CheckpointScores {
    row: CheckpointRow,
    metrics: BTreeMap<String, ProportionEstimate>,
    /// The same texts under other graders.
    other_graders: Vec<OtherGraderScores>,
    /// Its compute; none before all of its stages are done.
    usage: Option<CheckpointUsage>,
}

/// A checkpoint under a grader that it was not evaluated with.
#[derive(Serialize)]
struct OtherGraderScores {
    grader: String,
    version: u32,
    /// Whether the grader reads no answer in any text.
    unread: bool,
    metrics: BTreeMap<String, ProportionEstimate>,
}

fn load_checkpoints(
    reader: &StoreReader,
    run: &RunRow,
    stages: &[StageRow],
) -> Result<Vec<CheckpointScores>, CliError> {
    let mut inputs: BTreeMap<Key, Vec<Key>> = BTreeMap::new();
    for stage in stages {
        inputs.insert(stage.key.clone(), reader.stage_inputs(&stage.key)?);
    }
    let account = ComputeAccount::new(stages, &inputs);
    let names = run_metrics(run);
    let mut checkpoints = Vec::new();
    for row in reader.checkpoints(&run.experiment)? {
        if row.run != run.key {
            continue;
        }
        let usage = account.checkpoint_usage(&EvaluatedCheckpoint {
            name: row.name.clone().into(),
            weights: row.weights.clone(),
            evaluation: row.evaluation.clone(),
        });
        checkpoints.push(CheckpointScores {
            metrics: metric_estimates(&names, &reader.scores(&row.evaluation)?),
            other_graders: load_other_graders(reader, &row.evaluation, &names)?,
            usage,
            row,
        });
    }
    Ok(checkpoints)
}

/// The scores of an evaluation under all graders but its own.
fn load_other_graders(
    reader: &StoreReader,
    evaluation: &Key,
    names: &[String],
) -> Result<Vec<OtherGraderScores>, CliError> {
    let mut others = Vec::new();
    for rows in reader.grader_coverage(evaluation)? {
        if rows.is_stage_grader {
            continue;
        }
        let scores = reader.scores_by_grader(evaluation, &rows.grader)?;
        let (grader, version) = rows.grader;
        others.push(OtherGraderScores {
            grader,
            version,
            unread: rows.reads_nothing,
            metrics: metric_estimates(names, &scores),
        });
    }
    Ok(others)
}

fn metric_estimates(names: &[String], scores: &[ScoreRow]) -> BTreeMap<String, ProportionEstimate> {
    names
        .iter()
        .filter_map(|name| {
            let values: Vec<f64> = scores
                .iter()
                .filter(|score| score.metric == *name)
                .map(|score| score.value)
                .collect();
            Some((name.clone(), wilson_interval(&values)?))
        })
        .collect()
}

fn text(
    run: &RunRow,
    stages: &[StageRow],
    checkpoints: &[CheckpointScores],
    output: CliOutput,
) -> String {
    let metrics = run_metrics(run);
    let status = styled_status(run.status, output);
    let mut parts = vec![
        output.style_stdout(TextStyle::Bold, &run.label),
        format!("experiment {}, key {}", run.experiment, run.key),
        format!("{status}{}\n", error_suffix(run.error.as_deref())),
        output.style_stdout(TextStyle::Bold, "Scores, % [95 % interval]"),
        score_table(&metrics, checkpoints),
    ];
    parts.extend(other_grader_table(&metrics, checkpoints, output));
    parts.extend([
        output.style_stdout(TextStyle::Bold, "Compute, from the base model on"),
        compute_table(checkpoints),
        output.style_stdout(TextStyle::Bold, "Stages"),
        stage_table(stages, output),
        output.style_stdout(TextStyle::Bold, "Settings"),
        format_settings(&run.spec),
        String::new(),
    ]);
    parts.join("\n")
}

/// The same outputs under other graders; none without other graders.
fn other_grader_table(
    metrics: &[String],
    checkpoints: &[CheckpointScores],
    output: CliOutput,
) -> Option<String> {
    let mut columns = vec!["checkpoint".to_owned(), "grader".to_owned()];
    columns.extend(metrics.iter().map(|metric| format!("#{metric}")));
    columns.push("note".to_owned());
    let mut table = TextTable::new(columns);
    let mut is_empty = true;
    for checkpoint in checkpoints {
        for other in &checkpoint.other_graders {
            is_empty = false;
            let mut cells = vec![
                checkpoint.row.name.clone(),
                format!("{} {}", other.grader, other.version),
            ];
            cells.extend(metric_cells(metrics, &other.metrics));
            cells.push(if other.unread { "reads no answer" } else { "" }.to_owned());
            table.add_row(cells);
        }
    }
    let title = output.style_stdout(TextStyle::Bold, "The same texts under other graders");
    (!is_empty).then(|| format!("{title}\n{table}"))
}

fn score_table(metrics: &[String], checkpoints: &[CheckpointScores]) -> String {
    let mut columns = vec!["checkpoint".to_owned()];
    columns.extend(metrics.iter().map(|metric| format!("#{metric}")));
    columns.push("#problems".to_owned());
    let mut table = TextTable::new(columns);
    for checkpoint in checkpoints {
        let problems = checkpoint.metrics.values().next();
        let mut cells = vec![checkpoint.row.name.clone()];
        cells.extend(metric_cells(metrics, &checkpoint.metrics));
        cells.push(problems.map_or_else(String::new, |first| first.n.to_string()));
        table.add_row(cells);
    }
    table.to_string()
}

fn metric_cells(
    metrics: &[String],
    estimates: &BTreeMap<String, ProportionEstimate>,
) -> impl Iterator<Item = String> {
    metrics.iter().map(|metric| {
        estimates
            .get(metric)
            .map_or_else(|| "-".to_owned(), ToString::to_string)
    })
}

/// The compute of each checkpoint's training and evaluation.
fn compute_table(checkpoints: &[CheckpointScores]) -> String {
    let mut columns = vec![
        "checkpoint",
        "to",
        "#tokens trained",
        "#sampled",
        "#teacher calls",
        "#FLOPs",
        "#time",
    ];
    // Only some runs use an API model.
    let has_api = checkpoints
        .iter()
        .filter_map(|checkpoint| checkpoint.usage)
        .any(|usage| usage.training.api_tokens > 0.0);
    if has_api {
        columns.extend(["#API tokens", "#API price"]);
    }
    let mut table = TextTable::new(columns);
    for checkpoint in checkpoints {
        let Some(usage) = checkpoint.usage else {
            continue;
        };
        let name = checkpoint.row.name.as_str();
        for (name, to, usage) in [
            (name, "train", usage.training),
            ("", "evaluate", usage.evaluation),
        ] {
            let mut cells = vec![name.to_owned(), to.to_owned()];
            cells.extend(usage_cells(&usage, has_api));
            table.add_row(cells);
        }
    }
    table.to_string()
}

fn usage_cells(usage: &ComputeUsage, has_api: bool) -> Vec<String> {
    let mut cells = vec![
        format_amount(usage.trained_tokens),
        format_amount(usage.sampled_tokens),
        format_amount(usage.teacher_calls),
        usage.flops.map_or_else(|| "-".to_owned(), format_amount),
        format_duration(usage.seconds),
    ];
    if has_api {
        cells.push(format_amount(usage.api_tokens));
        cells.push(if usage.api_price > 0.0 {
            format_money(usage.api_price)
        } else {
            "-".to_owned()
        });
    }
    cells
}

fn stage_table(stages: &[StageRow], output: CliOutput) -> String {
    let mut table = TextTable::new([
        "stage",
        "kind",
        "key",
        "#time",
        "#memory",
        "#attempts",
        "counts",
        "status",
    ]);
    for stage in stages {
        let status = styled_status(stage.status, output);
        let error = error_suffix(stage.error.as_deref());
        table.add_row([
            stage.label.clone(),
            stage.kind.clone(),
            stage.key.short().to_owned(),
            stage
                .seconds
                .map_or_else(|| "-".to_owned(), format_duration),
            stage
                .peak_bytes
                .map_or_else(|| "-".to_owned(), format_bytes),
            stage.attempts.to_string(),
            format_counts(&stage.counts),
            format!("{status}{error}"),
        ]);
    }
    table.to_string()
}

/// Counts on one line, e.g. `episodes 500, tokens_sampled 61200`.
fn format_counts(counts: &Value) -> String {
    counts
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, count)| count.is_number())
        .map(|(name, count)| format!("{name} {}", format_count(count)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A whole count as it is, a sum of weights to one place, and a price below one to four.
fn format_count(count: &Value) -> String {
    match count.as_f64() {
        Some(number) if count.is_f64() && number.abs() < 1.0 && number != 0.0 => {
            format!("{number:.4}")
        }
        Some(number) if count.is_f64() => format!("{number:.1}"),
        _ => count.to_string(),
    }
}

/// Settings by path, one per line, as in an experiment file.
pub fn format_settings(spec: &Value) -> String {
    fn walk(above: &str, value: &Value, lines: &mut Vec<String>) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (name, member) in members {
                    let joint = if above.is_empty() { "" } else { "." };
                    walk(&format!("{above}{joint}{name}"), member, lines);
                }
            }
            plain => lines.push(format!("  {above} = {plain}\n")),
        }
    }
    let mut lines = Vec::new();
    walk("", spec, &mut lines);
    lines.concat().trim_end().to_owned()
}

fn document(run: &RunRow, stages: &[StageRow], checkpoints: &[CheckpointScores]) -> Value {
    let checkpoints: Vec<Value> = checkpoints
        .iter()
        .map(|checkpoint| {
            json!({
                "checkpoint": checkpoint.row, "metrics": checkpoint.metrics,
                "others": checkpoint.other_graders, "cost": checkpoint.usage,
            })
        })
        .collect();
    json!({ "run": run, "stages": stages, "checkpoints": checkpoints })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures::{key_for, plain_output, store};
    use crate::store::RegradeResults;

    #[test]
    fn a_run_is_shown_with_scores_stages_and_settings() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let run = find_run(&store, "weights/weighting=uniform seed=0").unwrap();
        let stages = store.run_stages(&run.experiment, &run.key).unwrap();
        let checkpoints = load_checkpoints(&store, &run, &stages).unwrap();
        insta::assert_snapshot!(text(&run, &stages, &checkpoints, plain_output()), @r#"
        weighting=uniform seed=0
        experiment weights, key ef379363dd0cb7be66638cf7f8726872c8f9f6f2b41ad218192c763c062d310a
        done

        Scores, % [95 % interval]
        checkpoint              m1@t1  m5@t1  m1@t5  p1@t5  problems
        ----------  -----------------  -----  -----  -----  --------
        base        80.0 [49.0, 94.3]      -      -      -        10

        Compute, from the base model on
        checkpoint  to        tokens trained  sampled  teacher calls  FLOPs        time
        ----------  --------  --------------  -------  -------------  -----  ----------
        base        train                  0        0              0      0         0 s
                    evaluate               0        0              0      0  1 min 23 s

        Stages
        stage          kind      key                 time  memory  attempts  counts                status
        -------------  --------  ------------  ----------  ------  --------  --------------------  ------
        base weak      base      cae662172fd4  1 min 23 s  412 MB         1  tokens_trained 61200  done
        evaluate weak  evaluate  10aca1d8b724  1 min 23 s  412 MB         1  tokens_trained 61200  done

        Settings
          base = "weak"
          rounds.count = 2
        "#);
    }

    #[test]
    fn other_graders_have_their_own_table() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let scores = (0..10).map(|problem| ScoreRow {
            metric: "m1@t1".to_owned(),
            problem: format!("p{problem}"),
            value: f64::from(u8::from(problem < 2)),
        });
        let results = RegradeResults {
            grader: ("rise-compat".to_owned(), 1),
            grades: Vec::new(),
            scores: scores.collect(),
        };
        store
            .add_regrade(&key_for("evaluate"), &[], &results)
            .unwrap();
        let run = find_run(&store, "weights/weighting=uniform seed=0").unwrap();
        let checkpoints = load_checkpoints(&store, &run, &[]).unwrap();
        insta::assert_snapshot!(other_grader_table(&run_metrics(&run), &checkpoints, plain_output()).unwrap(), @"
            The same texts under other graders
            checkpoint  grader                    m1@t1  m5@t1  m1@t5  p1@t5  note
            ----------  -------------  ----------------  -----  -----  -----  ----
            base        rise-compat 1  20.0 [5.7, 51.0]      -      -      -
        ");
    }

    #[test]
    fn a_run_is_found_by_label_and_by_the_first_digits_of_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let wanted = key_for("exp(0.4)");
        let (short, scoped) = (
            wanted.short().to_owned(),
            format!("weights/{}", wanted.short()),
        );
        for given in ["weighting=exp(0.4) seed=0", &short, &scoped] {
            assert_eq!(find_run(&store, given).unwrap().key, wanted, "{given}");
        }
        assert_eq!(
            find_run(&store, "weights/weighting=unifrom")
                .unwrap_err()
                .exit,
            ExitReason::Usage
        );
    }

    #[test]
    fn settings_are_listed_by_path() {
        let spec = json!({ "base": "weak", "collect": { "teacher": { "self": { "best_of": 16 } } }, "seed": 0 });
        insta::assert_snapshot!(format_settings(&spec), @r#"
        base = "weak"
        collect.teacher.self.best_of = 16
        seed = 0
        "#);
    }

    #[test]
    fn counts_fit_on_a_line() {
        assert_eq!(
            format_counts(&json!({ "episodes": 3, "nested": {}, "tokens": 70 })),
            "episodes 3, tokens 70"
        );
        assert_eq!(format_counts(&Value::Null), "");
    }
}
