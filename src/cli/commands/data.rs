//! `rise-lab data` checks the data of an experiment.

use serde_json::{Value, json};

use crate::cli::args::ExperimentArguments;
use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::experiment::read_experiment;
use crate::cli::format::plural;
use crate::cli::output::{CliOutput, TextStyle};
use crate::cli::table::TextTable;
use crate::pipeline::{
    BaseModelRegistry, DataReport, TaskFileReport, TaskReport, build_data_report,
};
use crate::sweep::{SweepError, expand_experiment};

/// Leaks, known errors and notes to list of each kind; JSON holds all of them.
const MAX_LISTED: usize = 12;

/// Shows the data of every task of an experiment; exits as for an unusable file if a sweep would
/// refuse the data.
///
/// # Errors
/// If the experiment is wrong, or a file cannot be read.
pub fn data(
    arguments: &ExperimentArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let experiment = read_experiment(arguments)?;
    let models =
        BaseModelRegistry::new(experiment.models_folder()).with_hash_cache(&environment.store_dir);
    let cells = expand_experiment(&experiment)?;
    let report =
        build_data_report(cells.iter().map(|cell| &cell.spec), &models).map_err(|source| {
            SweepError::Plan {
                label: experiment.name.clone(),
                source: Box::new(source),
            }
        })?;
    let output = environment.output;
    output.print_result(
        || text(&experiment.name, &report, output),
        &document(&experiment.name, &report),
    )?;
    Ok(if report.refusal.is_some() {
        ExitReason::Usage
    } else {
        ExitReason::Success
    })
}

fn document(name: &str, report: &DataReport) -> Value {
    json!({ "experiment": name, "tasks": report.tasks, "leaks": report.leaks, "refusal": report.refusal })
}

fn text(name: &str, report: &DataReport, output: CliOutput) -> String {
    let mut parts = vec![format!("{name}: {}\n", plural(report.tasks.len(), "task"))];
    parts.extend(report.tasks.iter().map(|task| task_section(task, output)));
    parts.push(leak_section(report, output));
    parts.join("\n")
}

fn task_section(task: &TaskReport, output: CliOutput) -> String {
    let mut parts = vec![format!(
        "{}\n\n",
        output.style_stdout(TextStyle::Bold, &format!("task {}", task.task))
    )];
    if !task.files.is_empty() {
        parts.push(format!("{}\n", file_table(&task.files, output)));
    }
    let mut table = TextTable::new([
        "split",
        "#problems",
        "#longest question",
        "characters, in",
        "fingerprint",
    ]);
    for split in &task.splits {
        let [problems, longest] =
            [split.problems, split.longest_question].map(|count| count.to_string());
        table.add_row([
            split.split.name(),
            &problems,
            &longest,
            &split.longest_id,
            split.fingerprint.as_str(),
        ]);
    }
    parts.push(table.to_string());
    parts.push(list_section("Notes", &task.notes));
    let known: Vec<String> = task
        .known_errors
        .iter()
        .map(|error| format!("{}: {}, {}", error.id, error.kind.name(), error.about))
        .collect();
    parts.push(list_section(
        "Known errors of references in these splits (listed, not changed)",
        &known,
    ));
    parts.concat()
}

fn file_table(files: &[TaskFileReport], output: CliOutput) -> TextTable {
    let mut table = TextTable::new(["file", "SHA-256", "official"]);
    for file in files {
        let official = match file.official {
            Some(true) => output.style_stdout(TextStyle::Green, "yes"),
            Some(false) => output.style_stdout(TextStyle::Yellow, "no"),
            None => "unknown".to_owned(),
        };
        table.add_row([
            file.path.display().to_string(),
            file.sha256.to_string(),
            official,
        ]);
    }
    table
}

/// A heading with the first of its lines; nothing without lines.
fn list_section(heading: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let shown = lines
        .iter()
        .take(MAX_LISTED)
        .map(|line| format!("  {line}\n"));
    let mut parts: Vec<String> = [format!("\n{heading}:\n")]
        .into_iter()
        .chain(shown)
        .collect();
    if lines.len() > MAX_LISTED {
        parts.push(format!(
            "  and {} more; `--format json` lists all\n",
            lines.len() - MAX_LISTED
        ));
    }
    parts.concat()
}

fn leak_section(report: &DataReport, output: CliOutput) -> String {
    let DataReport { leaks, refusal, .. } = report;
    if leaks.is_empty() && refusal.is_none() {
        return "No training question is also an evaluation question.\n".to_owned();
    }
    let lines: Vec<String> = leaks
        .iter()
        .map(|leak| {
            let (trained, evaluated) = (&leak.trained, &leak.evaluated);
            format!(
                "{} in {trained} is {} in {evaluated}",
                leak.trained_id, leak.evaluated_id
            )
        })
        .collect();
    let heading = format!(
        "{} from training into evaluation",
        plural(leaks.len(), "leak")
    );
    let mut text = list_section(&heading, &lines)
        .trim_start_matches('\n')
        .to_owned();
    if let Some(refusal) = refusal {
        let error = output.style_stdout(TextStyle::Red, "error:");
        text = format!("{text}{error} a sweep refuses this: {refusal}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures::{key_for, plain_output};
    use crate::data::{KnownError, KnownErrorKind, LeakedQuestion};
    use crate::domain::Split;
    use crate::pipeline::TaskSplitReport;

    fn file(name: &str, official: bool) -> TaskFileReport {
        TaskFileReport {
            name: name.to_owned(),
            path: format!("data/{name}").into(),
            sha256: key_for(name),
            official: Some(official),
        }
    }

    fn split(split: Split, problems: usize, longest_question: usize) -> TaskSplitReport {
        TaskSplitReport {
            split,
            problems,
            longest_question,
            longest_id: "gsm8k/train.jsonl/7".to_owned(),
            fingerprint: key_for("fingerprint"),
            fingerprints: vec![("gsm8k/train.jsonl/7".to_owned(), key_for("7"))],
        }
    }

    fn sample() -> DataReport {
        let task = TaskReport {
            task: "gsm8k".to_owned(),
            files: vec![file("train.jsonl", true), file("test.jsonl", false)],
            splits: vec![split(Split::Train, 3000, 985), split(Split::Test, 500, 80)],
            notes: vec!["test.jsonl holds 20 problems, the original 1319".to_owned()],
            known_errors: vec![KnownError {
                id: "gsm8k/train.jsonl/357".to_owned(),
                kind: KnownErrorKind::Label,
                about: "the final answer is 66, the working gives 64".to_owned(),
            }],
        };
        let leaks = (1..=13).map(|number| LeakedQuestion {
            trained: "the train split of gsm8k".to_owned(),
            trained_id: format!("gsm8k/train.jsonl/{number}"),
            evaluated: "the test split of mine".to_owned(),
            evaluated_id: format!("mine/test/{number}"),
            question: "How many?".to_owned(),
        });
        DataReport {
            tasks: vec![task],
            leaks: leaks.collect(),
            refusal: Some("two places ask the same question".to_owned()),
        }
    }

    #[test]
    fn a_data_report_is_one_screen() {
        insta::assert_snapshot!(text("study", &sample(), plain_output()), @"
        study: 1 task

        task gsm8k

        file              SHA-256                                                           official
        ----------------  ----------------------------------------------------------------  --------
        data/train.jsonl  6a6a3d795e973e2e6650d30b243cb5c9dc36576a12fe1575e98d481a4260dc36  yes
        data/test.jsonl   389a16963e9cc6830535a9c83b4dc33ac6f8c6cb2067b9f9886fd3600d892590  no

        split  problems  longest question  characters, in       fingerprint
        -----  --------  ----------------  -------------------  ----------------------------------------------------------------
        train      3000               985  gsm8k/train.jsonl/7  44863b03e9909b7100e05b02526909a346fd7455183f6619e0fe6198c89981e0
        test        500                80  gsm8k/train.jsonl/7  44863b03e9909b7100e05b02526909a346fd7455183f6619e0fe6198c89981e0

        Notes:
          test.jsonl holds 20 problems, the original 1319

        Known errors of references in these splits (listed, not changed):
          gsm8k/train.jsonl/357: wrong answer, the final answer is 66, the working gives 64

        13 leaks from training into evaluation:
          gsm8k/train.jsonl/1 in the train split of gsm8k is mine/test/1 in the test split of mine
          gsm8k/train.jsonl/2 in the train split of gsm8k is mine/test/2 in the test split of mine
          gsm8k/train.jsonl/3 in the train split of gsm8k is mine/test/3 in the test split of mine
          gsm8k/train.jsonl/4 in the train split of gsm8k is mine/test/4 in the test split of mine
          gsm8k/train.jsonl/5 in the train split of gsm8k is mine/test/5 in the test split of mine
          gsm8k/train.jsonl/6 in the train split of gsm8k is mine/test/6 in the test split of mine
          gsm8k/train.jsonl/7 in the train split of gsm8k is mine/test/7 in the test split of mine
          gsm8k/train.jsonl/8 in the train split of gsm8k is mine/test/8 in the test split of mine
          gsm8k/train.jsonl/9 in the train split of gsm8k is mine/test/9 in the test split of mine
          gsm8k/train.jsonl/10 in the train split of gsm8k is mine/test/10 in the test split of mine
          gsm8k/train.jsonl/11 in the train split of gsm8k is mine/test/11 in the test split of mine
          gsm8k/train.jsonl/12 in the train split of gsm8k is mine/test/12 in the test split of mine
          and 1 more; `--format json` lists all
        error: a sweep refuses this: two places ask the same question
        ");
        let fine = DataReport {
            leaks: vec![],
            refusal: None,
            ..sample()
        };
        assert!(
            text("study", &fine, plain_output())
                .ends_with("\n\nNo training question is also an evaluation question.\n")
        );
    }

    #[test]
    fn machines_get_everything() {
        let document = document("study", &sample());
        assert_eq!(document["leaks"].as_array().unwrap().len(), 13);
        assert_eq!(document["tasks"][0]["files"][1]["official"], false);
        assert_eq!(document["tasks"][0]["splits"][0]["split"], "train");
        let prints = &document["tasks"][0]["splits"][0]["prints"];
        assert_eq!(prints, &json!([["gsm8k/train.jsonl/7", key_for("7")]]));
        assert_eq!(document["tasks"][0]["known_errors"][0]["kind"], "label");
    }
}
