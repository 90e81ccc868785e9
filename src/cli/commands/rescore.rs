//! `rise-lab rescore`: graders and metrics over texts that are in the store already.

use std::collections::BTreeMap;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::args::RescoreArguments;
use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::format::plural;
use crate::cli::output::CliOutput;
use crate::cli::table::TextTable;
use crate::data::GraderConfig;
use crate::store::{StoreError, StoreReader};
use crate::sweep::{MissingScores, RescorePlan, RescoreTotals};

use super::report::experiment_name;

type TotalsByGrader = BTreeMap<(String, u32), RescoreTotals>;

/// Adds grades and scores that are missing.
///
/// # Errors
/// If there is no such grader or experiment, or the store cannot be written.
pub fn rescore(
    arguments: &RescoreArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let grader = arguments
        .grader
        .as_deref()
        .map(str::parse::<GraderConfig>)
        .transpose();
    let grader = grader.map_err(CliError::usage)?;
    if arguments.dry_run {
        let reader = environment.open_reader()?;
        let rescoring =
            RescorePlan::for_experiments(&reader, &experiment_names(arguments, &reader)?, grader)?;
        return print_rescoring(&rescoring, None, environment.output);
    }
    // A store that is not there is a slip of the pen; it would be made otherwise.
    if let Err(error @ StoreError::Missing { .. }) = StoreReader::open(&environment.store_dir) {
        return Err(error.into());
    }
    let mut store = environment.open_store()?;
    let rescoring =
        RescorePlan::for_experiments(&store, &experiment_names(arguments, &store)?, grader)?;
    let bar = progress_bar(rescoring.missing.len(), environment.output);
    let sums = rescoring.execute(&mut store, &mut |number, lack| {
        bar.set_position(number as u64);
        bar.set_message(lack.label.clone());
    });
    bar.finish_and_clear();
    print_rescoring(&rescoring, Some(&sums?), environment.output)
}

/// The experiments that are meant; all of them if none is named.
fn experiment_names(
    arguments: &RescoreArguments,
    reader: &StoreReader,
) -> Result<Vec<String>, CliError> {
    if arguments.experiments.is_empty() {
        return Ok(reader
            .experiments()?
            .into_iter()
            .map(|row| row.name)
            .collect());
    }
    arguments
        .experiments
        .iter()
        .map(|given| experiment_name(given))
        .collect()
}

fn progress_bar(stages: usize, output: CliOutput) -> ProgressBar {
    if !output.can_draw_progress() || stages == 0 {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{elapsed_precise} {bar:30.green/dim} {pos}/{len} {wide_msg}");
    ProgressBar::new(stages as u64).with_style(style.expect("the template is well formed"))
}

fn print_rescoring(
    rescoring: &RescorePlan,
    sums: Option<&TotalsByGrader>,
    output: CliOutput,
) -> Result<ExitReason, CliError> {
    output.print_result(|| text(rescoring, sums), &document(rescoring, sums))?;
    Ok(ExitReason::Success)
}

fn text(rescoring: &RescorePlan, sums: Option<&TotalsByGrader>) -> String {
    let looked = plural(rescoring.stages, "finished stage");
    if rescoring.missing.is_empty() {
        return format!("{looked} with texts; every grade and score is there\n");
    }
    let lacking = format!(
        "{looked} with texts, {} of them lacking something",
        rescoring.missing.len()
    );
    let table = match sums {
        None => {
            let mut table = TextTable::new(["grader", "#version", "#stages"]);
            for ((name, version), stages) in stages_by_grader(rescoring) {
                table.add_row([name, version.to_string(), stages.to_string()]);
            }
            table
        }
        Some(sums) => {
            let mut table = TextTable::new([
                "grader",
                "#version",
                "#stages",
                "#new grades",
                "#new scores",
                "#without any answer",
            ]);
            for ((name, version), sum) in sums {
                let counts =
                    [sum.stages, sum.grades, sum.scores, sum.unread].map(|count| count.to_string());
                table.add_row(
                    [name.clone(), version.to_string()]
                        .into_iter()
                        .chain(counts),
                );
            }
            table
        }
    };
    format!("{lacking}\n\n{table}")
}

fn stages_by_grader(rescoring: &RescorePlan) -> BTreeMap<(String, u32), u64> {
    let mut stages = BTreeMap::new();
    for grader in rescoring.missing.iter().flat_map(MissingScores::graders) {
        *stages.entry(grader).or_default() += 1;
    }
    stages
}

fn document(rescoring: &RescorePlan, sums: Option<&TotalsByGrader>) -> Value {
    let lacking = stages_by_grader(rescoring).into_iter().map(
        |((name, version), stages)| json!({ "grader": name, "version": version, "stages": stages }),
    );
    let added = sums.map(|sums| {
        let line = |((name, version), sum): (&(String, u32), &RescoreTotals)| {
            json!({ "grader": name, "version": version, "stages": sum.stages, "grades": sum.grades,
                    "scores": sum.scores, "unread": sum.unread })
        };
        sums.iter().map(line).collect::<Vec<_>>()
    });
    json!({ "stages": rescoring.stages, "lacking": lacking.collect::<Vec<_>>(), "added": added })
}
