//! `rise-lab show`: everything about one run.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::args::ShowArguments;
use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::format::{ProportionEstimate, format_bytes, format_duration, wilson_interval};
use crate::cli::output::{CliOutput, TextStyle};
use crate::cli::table::TextTable;
use crate::domain::Key;
use crate::report::{
    CheckpointUsage, ComputeAccount, EvaluatedCheckpoint as Evaluated, format_amount, format_money,
};
use crate::store::{
    CheckpointRow, GraderCoverage, RunRow, ScoreRow, StageRow, StoreError, StoreReader,
};

use super::status::styled_status;

/// The metrics of the paper's main table, in its order, for so many turns and samples.
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

/// The same for a run, by its own settings.
fn run_metrics(run: &RunRow) -> Vec<String> {
    let setting = |name: &str| run.spec["evaluate"][name].as_u64().unwrap_or(5);
    paper_metrics(setting("turns"), setting("samples"))
}

/// Shows a run.
///
/// # Errors
/// If no run, or more than one, is meant.
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

/// The run that is meant by a label, a key's first digits, or `experiment/` and one of these.
///
/// # Errors
/// If no run, or more than one, is meant.
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
    let by_key = |run: &&RunRow| rest.len() >= 4 && run.key.as_str().starts_with(rest);
    match exact.or_else(|| runs.iter().find(by_key)) {
        Some(run) => Ok(run.clone()),
        None => Ok(reader.find_run(given)?),
    }
}

struct CheckpointScores {
    row: CheckpointRow,
    metrics: BTreeMap<String, ProportionEstimate>,
    /// The same texts under other graders.
    other_graders: Vec<OtherGraderScores>,
    /// What it took; none before all of its stages are done.
    cost: Option<CheckpointUsage>,
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
    let ledger = ComputeAccount::new(stages, &inputs);
    let rows = reader
        .checkpoints(&run.experiment)?
        .into_iter()
        .filter(|row| row.run == run.key);
    let names = run_metrics(run);
    rows.map(|row| {
        let metrics = metric_estimates(&names, &reader.scores(&row.evaluation)?);
        let further = reader
            .grader_coverage(&row.evaluation)?
            .into_iter()
            .filter(|rows| !rows.is_stage_grader);
        let other = |rows: GraderCoverage| {
            let metrics = metric_estimates(
                &names,
                &reader.scores_by_grader(&row.evaluation, &rows.grader)?,
            );
            let (grader, version) = rows.grader;
            Ok(OtherGraderScores {
                grader,
                version,
                unread: rows.reads_nothing,
                metrics,
            })
        };
        let others = further.map(other).collect::<Result<_, CliError>>()?;
        let (name, weights, evaluation) = (
            row.name.clone(),
            row.weights.clone(),
            row.evaluation.clone(),
        );
        let cost = ledger.checkpoint_usage(&Evaluated {
            name: name.into(),
            weights,
            evaluation,
        });
        Ok(CheckpointScores {
            row,
            metrics,
            other_graders: others,
            cost,
        })
    })
    .collect()
}

fn metric_estimates(names: &[String], scores: &[ScoreRow]) -> BTreeMap<String, ProportionEstimate> {
    let metric = |name: &String| {
        let values: Vec<f64> = scores
            .iter()
            .filter(|score| score.metric == *name)
            .map(|score| score.value)
            .collect();
        wilson_interval(&values).map(|proportion| (name.clone(), proportion))
    };
    names.iter().filter_map(metric).collect()
}

fn text(
    run: &RunRow,
    stages: &[StageRow],
    checkpoints: &[CheckpointScores],
    output: CliOutput,
) -> String {
    let heading = |text: &str| output.style_stdout(TextStyle::Bold, text);
    let error = run
        .error
        .as_deref()
        .map(|error| format!(": {error}"))
        .unwrap_or_default();
    let mut parts = vec![
        heading(&run.label),
        format!("experiment {}, key {}", run.experiment, run.key),
        format!("{}{error}\n", styled_status(run.status, output)),
        heading("Scores, % [95 % interval]"),
        score_table(&run_metrics(run), checkpoints),
    ];
    parts.extend(other_grader_table(&run_metrics(run), checkpoints, output));
    parts.extend([
        heading("Compute, from the base model on"),
        compute_table(checkpoints),
        heading("Stages"),
        stage_table(stages, output),
        heading("Settings"),
        format_settings(&run.spec),
        String::new(),
    ]);
    parts.join("\n")
}

/// The same texts under other graders; nothing where there are none.
fn other_grader_table(
    metrics: &[String],
    checkpoints: &[CheckpointScores],
    output: CliOutput,
) -> Option<String> {
    let columns = metrics.iter().map(|metric| format!("#{metric}"));
    let mut table = TextTable::new(
        ["checkpoint", "grader"]
            .map(str::to_owned)
            .into_iter()
            .chain(columns)
            .chain(["note".to_owned()]),
    );
    let rows = || {
        checkpoints.iter().flat_map(|checkpoint| {
            checkpoint
                .other_graders
                .iter()
                .map(move |o| (checkpoint, o))
        })
    };
    for (checkpoint, other) in rows() {
        let cells = metrics.iter().map(|metric| {
            other
                .metrics
                .get(metric)
                .map_or_else(|| "-".to_owned(), ToString::to_string)
        });
        let note = if other.unread { "reads no answer" } else { "" };
        let name = format!("{} {}", other.grader, other.version);
        table.add_row(
            [checkpoint.row.name.clone(), name]
                .into_iter()
                .chain(cells)
                .chain([note.to_owned()]),
        );
    }
    let title = output.style_stdout(TextStyle::Bold, "The same texts under other graders");
    rows().next().map(|_| format!("{title}\n{table}"))
}

fn score_table(metrics: &[String], checkpoints: &[CheckpointScores]) -> String {
    let columns = metrics.iter().map(|metric| format!("#{metric}"));
    let mut table = TextTable::new(
        ["checkpoint".to_owned()]
            .into_iter()
            .chain(columns)
            .chain(["#problems".to_owned()]),
    );
    for checkpoint in checkpoints {
        let cells = metrics.iter().map(|metric| {
            checkpoint
                .metrics
                .get(metric)
                .map_or_else(|| "-".to_owned(), ToString::to_string)
        });
        let problems = checkpoint
            .metrics
            .values()
            .next()
            .map_or_else(String::new, |first| first.n.to_string());
        table.add_row(
            [checkpoint.row.name.clone()]
                .into_iter()
                .chain(cells)
                .chain([problems]),
        );
    }
    table.to_string()
}

/// What each checkpoint took to make, and to evaluate.
fn compute_table(checkpoints: &[CheckpointScores]) -> String {
    let columns = [
        "#tokens trained",
        "#sampled",
        "#teacher calls",
        "#FLOPs",
        "#time",
    ];
    let costs = || checkpoints.iter().filter_map(|checkpoint| checkpoint.cost);
    // Only some runs ask a model behind an API.
    let asked = costs().any(|cost| cost.training.api_tokens > 0.0);
    let remote: &[&str] = if asked {
        &["#API tokens", "#API price"]
    } else {
        &[]
    };
    let mut table = TextTable::new(
        ["checkpoint", "to"]
            .into_iter()
            .chain(columns)
            .chain(remote.iter().copied()),
    );
    for CheckpointScores { row, cost, .. } in checkpoints {
        let Some(CheckpointUsage {
            training,
            evaluation,
        }) = cost
        else {
            continue;
        };
        for (name, to, spent) in [
            (row.name.as_str(), "train", training),
            ("", "evaluate", evaluation),
        ] {
            let cells = [
                name.to_owned(),
                to.to_owned(),
                format_amount(spent.trained_tokens),
                format_amount(spent.sampled_tokens),
                format_amount(spent.teacher_calls),
                spent.flops.map_or_else(|| "-".to_owned(), format_amount),
                format_duration(spent.seconds),
            ];
            let price = if spent.api_price > 0.0 {
                format_money(spent.api_price)
            } else {
                "-".to_owned()
            };
            let remote = [format_amount(spent.api_tokens), price];
            table.add_row(
                cells
                    .into_iter()
                    .chain(remote.into_iter().filter(|_| asked)),
            );
        }
    }
    table.to_string()
}

fn stage_table(stages: &[StageRow], output: CliOutput) -> String {
    let mut table = TextTable::new([
        "stage", "kind", "key", "#time", "#memory", "#begun", "counts", "status",
    ]);
    for stage in stages {
        let error = stage
            .error
            .as_deref()
            .map(|error| format!(": {error}"))
            .unwrap_or_default();
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
            format!("{}{error}", styled_status(stage.status, output)),
        ]);
    }
    table.to_string()
}

/// Counts on one line, e.g. `episodes 500, tokens_sampled 61200`.
fn format_counts(counts: &Value) -> String {
    let counts = counts
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, count)| count.is_number());
    counts
        .map(|(name, count)| format!("{name} {}", format_count(count)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A count as it is; a sum of weights to one place, and less than one to four, as prices are.
fn format_count(count: &Value) -> String {
    match count.as_f64() {
        Some(number) if count.is_f64() && number.abs() < 1.0 && number != 0.0 => {
            format!("{number:.4}")
        }
        Some(number) if count.is_f64() => format!("{number:.1}"),
        _ => count.to_string(),
    }
}

/// Settings by path, one per line, as an experiment file would address them.
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
        .map(
            |CheckpointScores {
                 row,
                 metrics,
                 other_graders: others,
                 cost,
             }| {
                json!({ "checkpoint": row, "metrics": metrics, "others": others, "cost": cost })
            },
        )
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
        stage          kind      key                 time  memory  begun  counts                status
        -------------  --------  ------------  ----------  ------  -----  --------------------  ------
        base weak      base      cae662172fd4  1 min 23 s  412 MB      1  tokens_trained 61200  done
        evaluate weak  evaluate  10aca1d8b724  1 min 23 s  412 MB      1  tokens_trained 61200  done

        Settings
          base = "weak"
          rounds.count = 2
        "#);
    }

    #[test]
    fn other_graders_are_shown_beside_the_runs_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let score = |problem: u32| ScoreRow {
            metric: "m1@t1".to_owned(),
            problem: format!("p{problem}"),
            value: f64::from(u8::from(problem < 2)),
        };
        let scores = (0..10).map(score).collect();
        let under = RegradeResults {
            grader: ("rise-compat".to_owned(), 1),
            grades: Vec::new(),
            scores,
        };
        store
            .add_regrade(&key_for("evaluate"), &[], &under)
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
