//! `rise-lab claims`: what the runs in the store say of the claims in a file.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use crate::claims::{
    ClaimError, ClaimsFile, Outcome, Settled, Verdict, Verdicts, earlier, runs, verdicts, words,
    write,
};
use crate::cli::args::ClaimsArguments;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Fault};
use crate::cli::experiment::check_writable;
use crate::cli::output::{Output, Style};
use crate::cli::table::Table;
use crate::spec::nearest;

use super::report::name;

/// Settles the claims, writes their report, and tells the verdicts.
///
/// # Errors
/// If the file of claims or an experiment's name cannot be used, the database cannot be read, or the
/// report cannot be written.
pub fn claims(arguments: &ClaimsArguments, environment: &Environment) -> Result<Exit, Fault> {
    let file = ClaimsFile::read(&arguments.file)?;
    let about = about(&arguments.experiments, &file)?;
    let reader = environment.reader()?;
    // Everything is settled, whatever is shown: p values are corrected over all claims of a row.
    let before = arguments.earlier.as_deref().map(earlier).transpose()?;
    let all = verdicts(&reader, &file, before.as_ref())?;
    check_writable(&arguments.out)?;
    let folder = write(&all, &arguments.out)?;
    let shown = if about.is_empty() {
        all
    } else {
        all.about(&about)
    };
    let document =
        json!({ "verdicts": shown, "folder": folder, "index": folder.join("index.html") });
    environment
        .output
        .answer(|| text(&shown, &folder, environment.output), &document)?;
    Ok(Exit::Fine)
}

/// The experiments that were given by name or file, each of which some claim is about.
fn about(given: &[String], file: &ClaimsFile) -> Result<Vec<String>, Fault> {
    let known: BTreeSet<&str> = file
        .claims
        .iter()
        .map(|claim| claim.experiment.as_str())
        .collect();
    let one = |given: &String| {
        let name = name(given)?;
        if known.contains(name.as_str()) {
            return Ok(name);
        }
        let nearest = nearest(&name, known.iter().copied()).map(str::to_owned);
        let known = known.iter().map(|&name| name.to_owned()).collect();
        Err(ClaimError::NoClaim {
            given: name,
            nearest,
            known,
        }
        .into())
    };
    given.iter().map(one).collect()
}

fn text(verdicts: &Verdicts, folder: &Path, output: Output) -> String {
    let index = folder.join("index.html");
    format!(
        "{}\n{}\nreport: {}\n",
        table(verdicts, output),
        summary(verdicts),
        index.display()
    )
}

fn table(verdicts: &Verdicts, output: Output) -> Table {
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
    let mut table = Table::new(columns);
    for row in &verdicts.rows {
        let mut group = row.id.as_str();
        if row.claims.is_empty() {
            table.row([group, "–", "", "no claim", "", "", "", "", ""]);
        }
        for claim in &row.claims {
            let mut id = claim.id.as_str();
            for outcome in &claim.outcomes {
                table.row(cells(group, id, claim, outcome, output));
                (group, id) = ("", "");
            }
        }
    }
    table
}

fn cells(row: &str, id: &str, claim: &Settled, outcome: &Outcome, output: Output) -> [String; 9] {
    let unit = words::unit(claim);
    let part = outcome.decisive();
    let tested = part.and_then(|part| part.tested.as_ref());
    let behind = part.map(|part| runs(part).join(" ")).unwrap_or_default();
    let remarks = words::remarks(outcome).join("; ");
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
        outcome.regime(),
        painted(outcome.verdict, output),
        part.map(|part| words::difference(part, unit))
            .unwrap_or_default()
            + &unit_name,
        words::p(outcome),
        tested
            .map(|tested| tested.difference.problems.to_string())
            .unwrap_or_default(),
        part.map(|part| words::seeds(part, unit))
            .unwrap_or_default(),
        format!("{behind}{gap}{remarks}"),
    ]
}

fn painted(verdict: Verdict, output: Output) -> String {
    let style = match verdict {
        Verdict::Holds => Style::Green,
        Verdict::Fails => Style::Red,
        Verdict::UnderPowered => Style::Yellow,
        Verdict::NotRun => Style::Dim,
    };
    output.styled(style, verdict.word())
}

/// How many of each.
fn summary(verdicts: &Verdicts) -> String {
    let counts = Verdict::ALL.map(|verdict| {
        let count = verdicts.count(verdict);
        format!("{count} {}", verdict.counted(count))
    });
    let idle: Vec<&str> = verdicts
        .rows
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
    use crate::claims::sample;
    use crate::cli::samples::plain;

    #[test]
    fn every_row_is_told_with_its_claims() {
        insta::assert_snapshot!(text(&sample::verdicts(), Path::new("reports/claims"), plain()), @"
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
