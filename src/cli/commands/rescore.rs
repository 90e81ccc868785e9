//! `rise-lab rescore` adds missing grades and scores to stored outputs.

use std::collections::BTreeMap;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::format::plural;
use crate::cli::output::CliOutput;
use crate::cli::table::TextTable;
use crate::data::GraderConfig;
use crate::store::{StoreError, StoreReader};
use crate::sweep::{MissingScores, RescorePlan, RescoreTotals};

use super::report::experiment_name;

/// `rise-lab rescore`.
#[derive(Debug, Args)]
pub struct RescoreArguments {
    /// Experiment files or names [default: all in the store]
    #[arg(value_name = "EXPERIMENT")]
    pub experiments: Vec<String>,
    /// Use only this grader, e.g. rise-compat [default: all]
    #[arg(long, value_name = "NAME")]
    pub grader: Option<String>,
    /// Show the missing rows, but add nothing
    #[arg(long)]
    pub dry_run: bool,
}

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
        let names = experiment_names(arguments, &reader)?;
        let plan = RescorePlan::for_experiments(&reader, &names, grader)?;
        return print_rescoring(&plan, None, environment.output);
    }
    // A missing store is probably a typo, and opening it for writing would create it.
    if let Err(error @ StoreError::Missing { .. }) = StoreReader::open(&environment.store_dir) {
        return Err(error.into());
    }
    let mut store = environment.open_store()?;
    let names = experiment_names(arguments, &store)?;
    let plan = RescorePlan::for_experiments(&store, &names, grader)?;
    let bar = progress_bar(plan.missing.len(), environment.output);
    let totals = plan.execute(&mut store, &mut |number, missing| {
        bar.set_position(number as u64);
        bar.set_message(missing.label.clone());
    });
    bar.finish_and_clear();
    print_rescoring(&plan, Some(&totals?), environment.output)
}

/// The named experiments, or all of them.
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
    plan: &RescorePlan,
    totals: Option<&TotalsByGrader>,
    output: CliOutput,
) -> Result<ExitReason, CliError> {
    output.print_result(|| text(plan, totals), &document(plan, totals))?;
    Ok(ExitReason::Success)
}

fn text(plan: &RescorePlan, totals: Option<&TotalsByGrader>) -> String {
    let stages = plural(plan.stages, "finished stage");
    if plan.missing.is_empty() {
        return format!("{stages} with texts; no grade or score is missing\n");
    }
    let table = match totals {
        None => missing_table(plan),
        Some(totals) => totals_table(totals),
    };
    let incomplete = plan.missing.len();
    format!("{stages} with texts, {incomplete} of them incomplete\n\n{table}")
}

fn missing_table(plan: &RescorePlan) -> TextTable {
    let mut table = TextTable::new(["grader", "#version", "#stages"]);
    for ((name, version), stages) in stages_by_grader(plan) {
        table.add_row([name, version.to_string(), stages.to_string()]);
    }
    table
}

fn totals_table(totals: &TotalsByGrader) -> TextTable {
    let mut table = TextTable::new([
        "grader",
        "#version",
        "#stages",
        "#new grades",
        "#new scores",
        "#without any answer",
    ]);
    for ((name, version), total) in totals {
        let counts = [total.stages, total.grades, total.scores, total.unread];
        table.add_row(
            [name.clone(), version.to_string()]
                .into_iter()
                .chain(counts.map(|count| count.to_string())),
        );
    }
    table
}

fn stages_by_grader(plan: &RescorePlan) -> BTreeMap<(String, u32), u64> {
    let mut stages = BTreeMap::new();
    for grader in plan.missing.iter().flat_map(MissingScores::graders) {
        *stages.entry(grader).or_default() += 1;
    }
    stages
}

fn document(plan: &RescorePlan, totals: Option<&TotalsByGrader>) -> Value {
    let missing: Vec<Value> = stages_by_grader(plan)
        .into_iter()
        .map(|((name, version), stages)| {
            json!({ "grader": name, "version": version, "stages": stages })
        })
        .collect();
    let added: Option<Vec<Value>> = totals.map(|totals| {
        totals
            .iter()
            .map(|((name, version), total)| {
                json!({
                    "grader": name, "version": version, "stages": total.stages,
                    "grades": total.grades, "scores": total.scores, "unread": total.unread,
                })
            })
            .collect()
    });
    json!({ "stages": plan.stages, "lacking": missing, "added": added })
}
