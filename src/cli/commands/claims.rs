//! `rise-lab claims`: the verdicts of the stored runs on the claims in a file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::claims::{
    ClaimError, ClaimOutcome, ClaimResult, ClaimVerdict, ClaimsFile, ClaimsReport, OutcomeText,
    evaluate_file, write_report,
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
    /// Write the report of all claims into DIR/claims
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub out: PathBuf,
}

/// Evaluates the claims, writes their report, and prints the verdicts.
///
/// # Errors
/// If the file of claims or an experiment's name cannot be used, the database cannot be read, or the
/// report cannot be written.
pub fn claims(
    arguments: &ClaimsArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let file = ClaimsFile::read(&arguments.file)?;
    let experiments = selected_experiments(&arguments.experiments, &file)?;
    let reader = environment.open_reader()?;
    // It evaluates claims that it does not show too, since Holm's correction needs the whole group.
    let mut report = evaluate_file(&reader, &file)?;
    check_writable(&arguments.out)?;
    let folder = write_report(&report, &arguments.out)?;
    if !experiments.is_empty() {
        report = report.for_experiments(&experiments);
    }
    let document =
        json!({ "verdicts": report, "folder": folder, "index": folder.join("index.html") });
    environment
        .output
        .print_result(|| text(&report, &folder, environment.output), &document)?;
    Ok(ExitReason::Success)
}

/// The experiments given by name or file; each must have a claim.
fn selected_experiments(given: &[String], file: &ClaimsFile) -> Result<Vec<String>, CliError> {
    let known: BTreeSet<&str> = file
        .claims
        .iter()
        .map(|claim| claim.experiment.as_str())
        .collect();
    let mut names = Vec::new();
    for given in given {
        let name = experiment_name(given)?;
        if !known.contains(name.as_str()) {
            return Err(ClaimError::UnknownExperiment {
                nearest: nearest_name(&name, known.iter().copied()).map(str::to_owned),
                given: name,
                known: known.into_iter().map(str::to_owned).collect(),
            }
            .into());
        }
        names.push(name);
    }
    Ok(names)
}

fn text(report: &ClaimsReport, folder: &Path, output: CliOutput) -> String {
    let (table, counts) = (verdict_table(report, output), verdict_counts(report));
    let index = folder.join("index.html");
    format!("{table}\n{counts}\nreport: {}\n", index.display())
}

fn verdict_table(report: &ClaimsReport, output: CliOutput) -> TextTable {
    let columns = [
        "group",
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
    for group in &report.groups {
        let mut group_id = group.id.as_str();
        if group.claims.is_empty() {
            table.add_row([group_id, "–", "", "no claim", "", "", "", "", ""]);
        }
        for claim in &group.claims {
            let mut claim_id = claim.id.as_str();
            for outcome in &claim.outcomes {
                let cells = verdict_cells(claim, outcome, output);
                let ids = [group_id, claim_id].map(str::to_owned);
                table.add_row(ids.into_iter().chain(cells));
                (group_id, claim_id) = ("", "");
            }
        }
    }
    table
}

/// The cells behind the ids of group and claim.
fn verdict_cells(claim: &ClaimResult, outcome: &ClaimOutcome, output: CliOutput) -> [String; 7] {
    let mut text = OutcomeText::new(claim, outcome);
    let has_test = !text.problems.is_empty();
    if claim.unit != "points" && has_test {
        text.difference = format!("{} {}", text.difference, claim.unit);
    }
    let mut notes = vec![text.runs.join(" ")];
    notes.extend(text.remarks);
    notes.retain(|note| !note.is_empty());
    [
        text.regime,
        styled_verdict(outcome.verdict, output),
        text.difference,
        text.p_value,
        text.problems,
        text.seeds,
        notes.join("; "),
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

/// The number of claims with each verdict, and the groups without claims.
fn verdict_counts(report: &ClaimsReport) -> String {
    let counts = ClaimVerdict::ALL.map(|verdict| {
        let count = report.count_verdict(verdict);
        format!("{count} {}", verdict.verb(count))
    });
    let empty: Vec<&str> = report
        .groups
        .iter()
        .filter(|group| group.claims.is_empty())
        .map(|group| group.id.as_str())
        .collect();
    if empty.is_empty() {
        counts.join(", ")
    } else {
        format!("{}; no claim: {}", counts.join(", "), empty.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::fixtures;
    use crate::cli::fixtures::plain_output;

    #[test]
    fn the_table_shows_every_group_with_its_claims() {
        insta::assert_snapshot!(text(&fixtures::sample_report(), Path::new("reports/claims"), plain_output()), @"
            group  claim                      regime         verdict                  difference  p (Holm)  problems  seeds         runs
            -----  -------------------------  -------------  -------------  --------------------  --------  --------  ------------  --------------------------------------------------------------------
            E1     E1-improves                base = weak    holds            +25.8 [18.3, 34.2]   < 0.001        60  2/2, sd 13.0  77ff8202 c4530143
                                              base = strong  under-powered     +15.0 [3.3, 28.3]     0.070        60  1/1           1d7eefde; clear by its interval, not after correction over the group
                   E1-base-does-not           base = weak    holds             −6.7 [−12.5, 0.0]     0.023        60  2/2, sd 4.7   77ff8202 c4530143
                                              base = strong  under-powered       0.0 [−6.0, 6.0]     0.595        60  1/1           1d7eefde
            E2     –                                         no claim
            E3     –                                         no claim
            E4     –                                         no claim
            E5     E5-uniform-above-weighted                 fails          −28.3 [−43.3, −13.3]   < 0.001        60  1/1           a068de97 77ff8202 c4530143
            E6     –                                         no claim
            E7     –                                         no claim
            E8     –                                         no claim
            E9     –                                         no claim
            E10    –                                         no claim
            E11    –                                         no claim
            E12    E12-solved                                not run                           –         –            –             experiment `pass-at-b` is not in this store
            E13    –                                         no claim
            E14    –                                         no claim
            E15    –                                         no claim
            E16    E16-above-sft                             under-powered     −3.3 [−15.0, 8.3]     0.774        60  1/1           77ff8202 c4530143 56699860

            2 hold, 1 fails, 3 under-powered, 1 not run; no claim: E2, E3, E4, E6, E7, E8, E9, E10, E11, E13, E14, E15
            report: reports/claims/index.html
        ");
    }
}
