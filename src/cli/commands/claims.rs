//! `rise-lab claims`: what the runs in the store say of the claims in a file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::claims::{
    ClaimError, ClaimOutcome, ClaimResult, ClaimVerdict, ClaimsFile, ClaimsReport, evaluate_file,
    format, read_earlier_report, short_run_keys, write_report,
};
use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::experiment::check_writable;
use crate::cli::output::{CliOutput, TextStyle};
use crate::cli::table::TextTable;
use crate::config::nearest_name;

use super::report::experiment_name;

/// `rise-lab claims`.
#[derive(Debug, Args)]
pub struct ClaimsArguments {
    /// Show only claims about these experiments [default: all]
    #[arg(value_name = "EXPERIMENT")]
    pub experiments: Vec<String>,
    /// The claims file
    #[arg(long, value_name = "FILE", default_value = "experiments/claims.toml")]
    pub file: PathBuf,
    /// Reuse this claims.json for experiments the store lacks
    #[arg(long, value_name = "FILE")]
    pub earlier: Option<PathBuf>,
    /// Write the report of all claims into DIR/claims
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub out: PathBuf,
}

/// Settles the claims, writes their report, and tells the verdicts.
///
/// # Errors
/// If the file of claims or an experiment's name cannot be used, the database cannot be read, or the
/// report cannot be written.
pub fn claims(
    arguments: &ClaimsArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let file = ClaimsFile::read(&arguments.file)?;
    let about = selected_experiments(&arguments.experiments, &file)?;
    let reader = environment.open_reader()?;
    // Everything is settled, whatever is shown: p values are corrected over all claims of a row.
    let before = arguments
        .earlier
        .as_deref()
        .map(read_earlier_report)
        .transpose()?;
    let all = evaluate_file(&reader, &file, before.as_ref())?;
    check_writable(&arguments.out)?;
    let folder = write_report(&all, &arguments.out)?;
    let shown = if about.is_empty() {
        all
    } else {
        all.for_experiments(&about)
    };
    let document =
        json!({ "verdicts": shown, "folder": folder, "index": folder.join("index.html") });
    environment
        .output
        .print_result(|| text(&shown, &folder, environment.output), &document)?;
    Ok(ExitReason::Success)
}

/// The experiments that were given by name or file, each of which some claim is about.
fn selected_experiments(given: &[String], file: &ClaimsFile) -> Result<Vec<String>, CliError> {
    let known: BTreeSet<&str> = file
        .claims
        .iter()
        .map(|claim| claim.experiment.as_str())
        .collect();
    let one = |given: &String| {
        let name = experiment_name(given)?;
        if known.contains(name.as_str()) {
            return Ok(name);
        }
        let nearest = nearest_name(&name, known.iter().copied()).map(str::to_owned);
        let known = known.iter().map(|&name| name.to_owned()).collect();
        Err(ClaimError::UnknownExperiment {
            given: name,
            nearest,
            known,
        }
        .into())
    };
    given.iter().map(one).collect()
}

fn text(verdicts: &ClaimsReport, folder: &Path, output: CliOutput) -> String {
    let index = folder.join("index.html");
    format!(
        "{}\n{}\nreport: {}\n",
        verdict_table(verdicts, output),
        verdict_counts(verdicts),
        index.display()
    )
}

fn verdict_table(verdicts: &ClaimsReport, output: CliOutput) -> TextTable {
    let columns = [
        "row",
        "claim",
        "regime",
        "verdict",
        "#difference",
        "#p (Holm)",
        "#problems",
        "seeds",
        "runs",
    ];
    let mut table = TextTable::new(columns);
    for row in &verdicts.groups {
        let mut group = row.id.as_str();
        if row.claims.is_empty() {
            table.add_row([group, "–", "", "no claim", "", "", "", "", ""]);
        }
        for claim in &row.claims {
            let mut id = claim.id.as_str();
            for outcome in &claim.outcomes {
                table.add_row(verdict_cells(group, id, claim, outcome, output));
                (group, id) = ("", "");
            }
        }
    }
    table
}

fn verdict_cells(
    row: &str,
    id: &str,
    claim: &ClaimResult,
    outcome: &ClaimOutcome,
    output: CliOutput,
) -> [String; 9] {
    let unit = format::claim_unit(claim);
    let part = outcome.decisive_comparison();
    let tested = part.and_then(|part| part.test.as_ref());
    let behind = part
        .map(|part| short_run_keys(part).join(" "))
        .unwrap_or_default();
    let remarks = format::remarks(outcome).join("; ");
    let gap = if behind.is_empty() || remarks.is_empty() {
        ""
    } else {
        "; "
    };
    let unit_name = if claim.unit == "points" || tested.is_none() {
        String::new()
    } else {
        format!(" {}", claim.unit)
    };
    [
        row.to_owned(),
        id.to_owned(),
        outcome.regime_label(),
        styled_verdict(outcome.verdict, output),
        part.map(|part| format::difference_text(part, unit))
            .unwrap_or_default()
            + &unit_name,
        format::p_value_text(outcome),
        tested
            .map(|tested| tested.difference.problems.to_string())
            .unwrap_or_default(),
        part.map(|part| format::seeds_text(part, unit))
            .unwrap_or_default(),
        format!("{behind}{gap}{remarks}"),
    ]
}

fn styled_verdict(verdict: ClaimVerdict, output: CliOutput) -> String {
    let style = match verdict {
        ClaimVerdict::Holds => TextStyle::Green,
        ClaimVerdict::Fails => TextStyle::Red,
        ClaimVerdict::UnderPowered => TextStyle::Yellow,
        ClaimVerdict::NotRun => TextStyle::Dim,
    };
    output.style_stdout(style, verdict.label())
}

/// How many of each.
fn verdict_counts(verdicts: &ClaimsReport) -> String {
    let counts = ClaimVerdict::ALL.map(|verdict| {
        let count = verdicts.count_verdict(verdict);
        format!("{count} {}", verdict.verb(count))
    });
    let idle: Vec<&str> = verdicts
        .groups
        .iter()
        .filter(|row| row.claims.is_empty())
        .map(|row| row.id.as_str())
        .collect();
    let idle = if idle.is_empty() {
        String::new()
    } else {
        format!("; no claim: {}", idle.join(", "))
    };
    format!("{}{idle}", counts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::fixtures;
    use crate::cli::fixtures::plain_output;

    #[test]
    fn every_row_is_told_with_its_claims() {
        insta::assert_snapshot!(text(&fixtures::sample_report(), Path::new("reports/claims"), plain_output()), @"
            row  claim                      regime         verdict                  difference  p (Holm)  problems  seeds         runs
            ---  -------------------------  -------------  -------------  --------------------  --------  --------  ------------  ------------------------------------------------------------------
            E1   E1-improves                base = weak    holds            +25.8 [18.3, 34.2]   < 0.001        60  2/2, sd 13.0  77ff8202 c4530143
                                            base = strong  under-powered     +15.0 [3.3, 28.3]     0.070        60  1/1           1d7eefde; clear by its interval, not after correction over the row
                 E1-base-does-not           base = weak    holds             −6.7 [−12.5, 0.0]     0.023        60  2/2, sd 4.7   77ff8202 c4530143
                                            base = strong  under-powered       0.0 [−6.0, 6.0]     0.595        60  1/1           1d7eefde
            E2   –                                         no claim
            E3   –                                         no claim
            E4   –                                         no claim
            E5   E5-uniform-above-weighted                 fails          −28.3 [−43.3, −13.3]   < 0.001        60  1/1           a068de97 77ff8202 c4530143
            E6   –                                         no claim
            E7   –                                         no claim
            E8   –                                         no claim
            E9   –                                         no claim
            E10  –                                         no claim
            E11  –                                         no claim
            E12  E12-solved                                not run                           –         –            –             experiment `pass-at-b` is not in this store
            E13  –                                         no claim
            E14  –                                         no claim
            E15  –                                         no claim
            E16  E16-above-sft                             under-powered     −3.3 [−15.0, 8.3]     0.774        60  1/1           77ff8202 c4530143 56699860

            2 hold, 1 fails, 3 under-powered, 1 not run; no claim: E2, E3, E4, E6, E7, E8, E9, E10, E11, E13, E14, E15
            report: reports/claims/index.html
        ");
    }
}
