//! `rise-lab rescore`: graders and metrics over texts that are in the store already.

use std::collections::BTreeMap;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::args::RescoreArguments;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Fault};
use crate::cli::output::Output;
use crate::cli::quantity::counted;
use crate::cli::table::Table;
use crate::pipeline::GraderConfig;
use crate::store::{Reader, StoreError};
use crate::sweep::{Lack, Rescoring, Sum};

use super::report::name;

type Sums = BTreeMap<(String, u32), Sum>;

/// Adds grades and scores that are missing.
///
/// # Errors
/// If there is no such grader or experiment, or the store cannot be written.
pub fn rescore(arguments: &RescoreArguments, environment: &Environment) -> Result<Exit, Fault> {
    let grader = arguments
        .grader
        .as_deref()
        .map(str::parse::<GraderConfig>)
        .transpose();
    let grader = grader.map_err(Fault::usage)?;
    if arguments.dry_run {
        let reader = environment.reader()?;
        let rescoring = Rescoring::of(&reader, &names(arguments, &reader)?, grader)?;
        return tell(&rescoring, None, environment.output);
    }
    // A store that is not there is a slip of the pen; it would be made otherwise.
    if let Err(error @ StoreError::Missing { .. }) = Reader::open(&environment.store) {
        return Err(error.into());
    }
    let mut store = environment.writer()?;
    let rescoring = Rescoring::of(&store, &names(arguments, &store)?, grader)?;
    let bar = bar(rescoring.lacks.len(), environment.output);
    let sums = rescoring.perform(&mut store, &mut |number, lack| {
        bar.set_position(number as u64);
        bar.set_message(lack.label.clone());
    });
    bar.finish_and_clear();
    tell(&rescoring, Some(&sums?), environment.output)
}

/// The experiments that are meant; all of them if none is named.
fn names(arguments: &RescoreArguments, reader: &Reader) -> Result<Vec<String>, Fault> {
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
        .map(|given| name(given))
        .collect()
}

fn bar(stages: usize, output: Output) -> ProgressBar {
    if !output.is_live() || stages == 0 {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{elapsed_precise} {bar:30.green/dim} {pos}/{len} {wide_msg}");
    ProgressBar::new(stages as u64).with_style(style.expect("the template is well formed"))
}

fn tell(rescoring: &Rescoring, sums: Option<&Sums>, output: Output) -> Result<Exit, Fault> {
    output.answer(|| text(rescoring, sums), &document(rescoring, sums))?;
    Ok(Exit::Fine)
}

fn text(rescoring: &Rescoring, sums: Option<&Sums>) -> String {
    let looked = counted(rescoring.stages, "finished stage");
    if rescoring.lacks.is_empty() {
        return format!("{looked} with texts; every grade and score is there\n");
    }
    let lacking = format!(
        "{looked} with texts, {} of them lacking something",
        rescoring.lacks.len()
    );
    let table = match sums {
        None => {
            let mut table = Table::new(["grader", "#version", "#stages"]);
            for ((name, version), stages) in stages_by_grader(rescoring) {
                table.row([name, version.to_string(), stages.to_string()]);
            }
            table
        }
        Some(sums) => {
            let mut table = Table::new([
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
                table.row(
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

fn stages_by_grader(rescoring: &Rescoring) -> BTreeMap<(String, u32), u64> {
    let mut stages = BTreeMap::new();
    for grader in rescoring.lacks.iter().flat_map(Lack::graders) {
        *stages.entry(grader).or_default() += 1;
    }
    stages
}

fn document(rescoring: &Rescoring, sums: Option<&Sums>) -> Value {
    let lacking = stages_by_grader(rescoring).into_iter().map(
        |((name, version), stages)| json!({ "grader": name, "version": version, "stages": stages }),
    );
    let added = sums.map(|sums| {
        let line = |((name, version), sum): (&(String, u32), &Sum)| {
            json!({ "grader": name, "version": version, "stages": sum.stages, "grades": sum.grades,
                    "scores": sum.scores, "unread": sum.unread })
        };
        sums.iter().map(line).collect::<Vec<_>>()
    });
    json!({ "stages": rescoring.stages, "lacking": lacking.collect::<Vec<_>>(), "added": added })
}
