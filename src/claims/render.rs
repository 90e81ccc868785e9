//! From verdicts, and nothing else, to files: pages through the report's templates, figures, JSON.

use serde::Serialize;

use crate::domain::plural;
use crate::report::{
    Chart, Figure, ForestRow, ReportError, ReportFile, ReportSection, page, render_figure,
};
use crate::stats::MeanEstimate;

use super::format;
use super::outcome::{
    ClaimComparison, ClaimGroup, ClaimOutcome, ClaimResult, ClaimVerdict, ClaimsReport, Operand,
    ResolvedComparator,
};

/// The file that tells the claims' report from any other folder.
pub const SENTINEL: &str = "claims.json";

#[derive(Serialize)]
struct ClaimsPage<'v> {
    counts: Vec<(&'static str, usize)>,
    #[serde(rename = "rows")]
    groups: Vec<ClaimGroupView<'v>>,
    figures: Vec<FigureView>,
    experiments: Vec<(&'v str, String)>,
}

#[derive(Serialize)]
struct ClaimGroupView<'v> {
    id: &'v str,
    title: &'v str,
    claims: Vec<ClaimView<'v>>,
}

#[derive(Serialize)]
struct ClaimView<'v> {
    id: &'v str,
    statement: &'v str,
    source: &'v str,
    population: &'v str,
    experiment: &'v str,
    #[serde(rename = "compared")]
    comparison: &'v str,
    #[serde(rename = "stakes")]
    hypothesis: String,
    unit: &'v str,
    outcomes: Vec<OutcomeView>,
}

#[derive(Serialize)]
struct OutcomeView {
    regime: String,
    verdict: &'static str,
    tone: &'static str,
    difference: String,
    left: String,
    right: String,
    #[serde(rename = "p")]
    p_value: String,
    problems: String,
    seeds: String,
    by_seed: String,
    runs: Vec<String>,
    remarks: Vec<String>,
}

#[derive(Serialize)]
struct FigureView {
    id: String,
    title: String,
    #[serde(rename = "reading")]
    caption: String,
    svg: String,
}

/// All files of the claims' report.
///
/// # Errors
/// If a figure cannot be drawn or a template is broken.
pub fn render(verdicts: &ClaimsReport) -> Result<Vec<ReportFile>, ReportError> {
    let mut files = vec![ReportFile {
        path: SENTINEL.to_owned(),
        bytes: verdicts.to_json().into_bytes(),
    }];
    let mut figures = Vec::new();
    for figure in forest_figures(verdicts) {
        let made = render_figure(&figure)?;
        files.extend(made.files);
        figures.push(FigureView {
            id: figure.id,
            title: figure.title,
            caption: figure.caption,
            svg: made.inline_svg,
        });
    }
    let view = ClaimsPage {
        counts: ClaimVerdict::ALL
            .map(|verdict| {
                (
                    verdict.verb(verdicts.count_verdict(verdict)),
                    verdicts.count_verdict(verdict),
                )
            })
            .to_vec(),
        groups: verdicts.groups.iter().map(group_view).collect(),
        figures,
        experiments: verdicts
            .experiments
            .iter()
            .map(|experiment| (experiment.name.as_str(), run_counts_text(experiment)))
            .collect(),
    };
    for name in ["index.md", "index.html"] {
        files.push(page(name, &view)?);
    }
    Ok(files)
}

fn run_counts_text(experiment: &super::ExperimentRunCounts) -> String {
    if !experiment.in_store && !experiment.carried_over {
        return "not in this store".to_owned();
    }
    let runs = plural(
        experiment.done + experiment.failed + experiment.missing,
        "run",
    );
    let kept = if experiment.carried_over {
        "; not in this store, verdicts as in the report before"
    } else {
        ""
    };
    let (done, failed, missing) = (experiment.done, experiment.failed, experiment.missing);
    format!("{runs}: {done} done, {failed} failed, {missing} missing{kept}")
}

fn group_view(row: &ClaimGroup) -> ClaimGroupView<'_> {
    ClaimGroupView {
        id: &row.id,
        title: &row.title,
        claims: row.claims.iter().map(claim_view).collect(),
    }
}

fn claim_view(claim: &ClaimResult) -> ClaimView<'_> {
    ClaimView {
        id: &claim.id,
        statement: &claim.statement,
        source: &claim.source,
        population: &claim.population,
        experiment: &claim.experiment,
        comparison: &claim.comparison,
        hypothesis: format::hypothesis_text(claim),
        unit: &claim.unit,
        outcomes: claim
            .outcomes
            .iter()
            .map(|outcome| outcome_view(claim, outcome))
            .collect(),
    }
}

fn outcome_view(claim: &ClaimResult, outcome: &ClaimOutcome) -> OutcomeView {
    let unit = format::claim_unit(claim);
    let part = outcome.decisive_comparison();
    let told = |tell: &dyn Fn(&ClaimComparison) -> String| part.map(tell).unwrap_or_default();
    let value = |estimate: &Option<MeanEstimate>| {
        estimate
            .as_ref()
            .map(|e| format!(": {}", unit.format_value(e.value)))
            .unwrap_or_default()
    };
    let side = |side: &Operand| {
        format!(
            "{} at {}{}",
            side.metric,
            side.checkpoint,
            value(&side.estimate)
        )
    };
    let tested = part.and_then(|part| part.test.as_ref());
    OutcomeView {
        regime: outcome.regime_label(),
        verdict: outcome.verdict.label(),
        tone: match outcome.verdict {
            ClaimVerdict::Holds => "better",
            ClaimVerdict::Fails => "worse",
            ClaimVerdict::UnderPowered | ClaimVerdict::NotRun => "missing",
        },
        difference: told(&|part| format::difference_text(part, unit)),
        left: told(&|part| side(&part.left)),
        right: told(&|part| match &part.right {
            ResolvedComparator::Measured(other) => side(other),
            ResolvedComparator::Number(number) => number.to_string(),
        }),
        p_value: format::p_value_text(outcome),
        problems: tested
            .map(|tested| tested.difference.problems.to_string())
            .unwrap_or_default(),
        seeds: told(&|part| format::seeds_text(part, unit)),
        by_seed: told(&|part| format::by_seed_text(part, unit)),
        runs: part.map(short_run_keys).unwrap_or_default(),
        remarks: format::remarks(outcome),
    }
}

/// Short keys of the runs behind a comparison; none where there is no comparison.
pub fn short_run_keys(part: &ClaimComparison) -> Vec<String> {
    if part.test.is_none() {
        return Vec::new();
    }
    part.source_runs()
        .into_iter()
        .filter(|run| run.scored)
        .map(|run| format::short_key(&run.key).to_owned())
        .collect()
}

/// One forest per unit that claims are counted in, points first.
fn forest_figures(verdicts: &ClaimsReport) -> Vec<Figure> {
    let mut units: Vec<&str> = vec!["points"];
    for claim in verdicts.groups.iter().flat_map(|row| &row.claims) {
        if !units.contains(&claim.unit.as_str()) {
            units.push(&claim.unit);
        }
    }
    let figure = |unit: &str| {
        let rows = forest_rows(verdicts, unit);
        (!rows.is_empty()).then(|| Figure {
            id: if unit == "points" { "forest".to_owned() } else { format!("forest-{unit}") },
            section: ReportSection::Main,
            title: format!("Every claim that was run, in {unit}"),
            caption: format!(
                "Each row is a claim in a regime: the paired difference in {unit} with its 95 % interval, the mark by \
                 the verdict; the bar is the claim's margin, the veil beside it what would be too small to matter."
            ),
            chart: Chart::Forest { x: format!("difference, {unit}"), rows },
        })
    };
    units.into_iter().filter_map(figure).collect()
}

fn forest_rows(verdicts: &ClaimsReport, unit: &str) -> Vec<ForestRow> {
    let mut rows: Vec<ForestRow> = Vec::new();
    for row in &verdicts.groups {
        let mut heading = Some(format!("{} {}", row.id, row.title));
        for claim in row.claims.iter().filter(|claim| claim.unit == unit) {
            let (scale, sign) = (
                format::claim_unit(claim).display_factor(),
                claim.direction.sign(),
            );
            for outcome in &claim.outcomes {
                let tested = outcome
                    .decisive_comparison()
                    .and_then(|part| part.test.as_ref());
                let Some(tested) = tested.filter(|_| outcome.verdict != ClaimVerdict::NotRun)
                else {
                    continue;
                };
                let MeanEstimate {
                    value, low, high, ..
                } = tested.difference;
                let regime = outcome.regime_label();
                rows.push(ForestRow {
                    heading: heading.take(),
                    label: if regime.is_empty() {
                        claim.id.clone()
                    } else {
                        format!("{} · {regime}", claim.id)
                    },
                    estimate: [value, low, high].map(|end| end * scale).into(),
                    margin: sign * claim.margin,
                    effect_threshold: sign * (claim.margin + claim.smallest_effect),
                    verdict: outcome.verdict.label().to_owned(),
                });
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::fixtures;

    fn text(path: &str) -> String {
        let files = render(&fixtures::sample_report()).unwrap();
        let file = files
            .into_iter()
            .find(|file| file.path == path)
            .expect("the file is rendered");
        String::from_utf8(file.bytes).unwrap()
    }

    #[test]
    fn the_page_as_markdown() {
        let page = text("index.md");
        // Rows without claims look alike.
        let (start, rest) = page.split_once("\n## E2").unwrap();
        let (_, end) = rest.split_once("\n## E16").unwrap();
        insta::assert_snapshot!(format!("{start}\n...\n## E16{end}"), @r#"
            # Claims

            What the runs in the store say of the claims that were stated: 2 hold, 1 fails, 3 under-powered, 1 not run.

            A claim *holds* where the interval of the difference passes its margin, *fails* where the interval leaves no room for a difference of interest, and is *under-powered* where the data cannot tell. Differences are paired by problem and seed; intervals are 95 % percentile bootstrap intervals over problems with seeds held fixed; p values come from two-sided sign-flip tests over problems, are corrected by Holm over all claims and regimes of a row, and must agree with the interval. *Seeds* says how many seeds have a difference of the same sign as all together, and the standard deviation between them.

            - E1 Main result on a weak base: E1-improves (holds, under-powered); E1-base-does-not (holds, under-powered)
            - E2 Main result on a strong base: no claim
            - E3 Main result on a harder task: no claim
            - E4 Self-distillation: no claim
            - E5 Weighting: E5-uniform-above-weighted (fails)
            - E6 Which attempts become targets: no claim
            - E7 Turns in the training data: no claim
            - E8 Whose rollouts are trained on: no claim
            - E9 Restart or continue, union or latest: no claim
            - E10 History window: no claim
            - E11 Other tasks than the one trained on: no claim
            - E12 Problems that pass@B leaves unsolved: E12-solved (not run)
            - E13 Likelihood of the reference answer: no claim
            - E14 With and without oracle: no claim
            - E15 Retry texts: no claim
            - E16 The systems it is compared with: E16-above-sft (under-powered)

            ![Every claim that was run, in points](figures/forest.png)

            Each row is a claim in a regime: the paired difference in points with its 95 % interval, the mark by the verdict; the bar is the claim's margin, the veil beside it what would be too small to matter.

            ## E1 Main result on a weak base

            ### E1-improves

            RISE improves over its own turns. (Table 1, caption.)

            m1@t5 of the last checkpoint where method = rise, above its m1@t1; of interest from 2 points on. Experiment ablations; 60 made-up problems.

            | regime | verdict | difference, points | p (Holm) | problems | seeds | by seed | compared | runs |
            |---|---|---:|---:|---:|---|---|---|---|
            | base = weak | **holds** | +25.8 [18.3, 34.2] | \< 0.001 | 60 | 2/2, sd 13.0 | +35.0 · +16.7 | m1@t5 at round 2: 76.7; m1@t1 at round 2: 50.8 | 77ff8202 c4530143 |
            | base = strong | **under-powered**: clear by its interval, not after correction over the row | +15.0 [3.3, 28.3] | 0.070 | 60 | 1/1 | +15.0 | m1@t5 at round 2: 86.7; m1@t1 at round 2: 71.7 | 1d7eefde |

            ### E1-base-does-not

            The base does not improve over its own turns. (Table 1, direction only.)

            m1@t5 of checkpoint base where method = rise, not above its m1@t1; of interest from 2 points on. Experiment ablations.

            | regime | verdict | difference, points | p (Holm) | problems | seeds | by seed | compared | runs |
            |---|---|---:|---:|---:|---|---|---|---|
            | base = weak | **holds** | −6.7 [−12.5, 0.0] | 0.023 | 60 | 2/2, sd 4.7 | −10.0 · −3.3 | m1@t5 at base: 20.0; m1@t1 at base: 26.7 | 77ff8202 c4530143 |
            | base = strong | **under-powered** | 0.0 [−6.0, 6.0] | 0.595 | 60 | 1/1 | 0.0 | m1@t5 at base: 70.0; m1@t1 at base: 70.0 | 1d7eefde |

            ...
            ## E16 The systems it is compared with

            ### E16-above-sft

            RISE is above SFT on \| any metric. (ours.)

            m1@t5 of the last checkpoint where base = weak, method = rise, weighting = exp(0.4), above each of m1@t1 of the last checkpoint where base = weak, method = sft; m5@t1 of the last checkpoint where base = weak, method = sft; of interest from 2 points on. Experiment ablations.

            | regime | verdict | difference, points | p (Holm) | problems | seeds | by seed | compared | runs |
            |---|---|---:|---:|---:|---|---|---|---|
            |  | **under-powered** | −3.3 [−15.0, 8.3] | 0.774 | 60 | 1/1 | −3.3 | m1@t5 at round 2: 76.7; m5@t1 at sft: 86.7 | 77ff8202 c4530143 56699860 |

            ## Where it comes from

            - ablations: 6 runs: 6 done, 0 failed, 0 missing
            - pass-at-b: not in this store

            Every number with its whole keys and selections is in `claims.json`.
        "#);
    }

    #[test]
    fn the_page_is_one_file_that_needs_no_network_and_shows_every_row() {
        let page = text("index.html");
        let outside = page.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !outside.contains("http") && !outside.contains("src=") && !outside.contains("@import")
        );
        for row in 1..=16 {
            assert!(page.contains(&format!("id=\"E{row}\"")), "E{row}");
        }
        assert!(page.contains("<svg class=\"figure\"") && page.contains("under-powered"));
    }

    #[test]
    fn the_forest_has_a_row_per_claim_and_regime_that_was_run() {
        let forests = forest_figures(&fixtures::sample_report());
        assert_eq!(forests.len(), 1);
        let Chart::Forest { rows, .. } = &forests[0].chart else {
            panic!("{:?}", forests[0].chart)
        };
        let labels: Vec<&str> = rows.iter().map(|row| row.label.as_str()).collect();
        assert_eq!(
            labels[..2],
            ["E1-improves · base = weak", "E1-improves · base = strong"]
        );
        assert_eq!(rows.len(), 6);
        // 1 point to pass, of interest from 3 on.
        assert_eq!((rows[4].margin, rows[4].effect_threshold), (1.0, 3.0));
        assert_eq!(rows.iter().filter(|row| row.heading.is_some()).count(), 3);
    }
}
