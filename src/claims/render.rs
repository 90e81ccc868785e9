//! The files of the claims' report: pages through the report's templates, figures, JSON.

use serde::Serialize;

use crate::domain::plural;
use crate::report::{
    Chart, DisplayUnit, Figure, ForestRow, ReportError, ReportFile, ReportSection, page,
    render_figure,
};
use crate::stats::MeanEstimate;

use super::file::Comparator;
use super::outcome::{
    ClaimComparison, ClaimGroup, ClaimOutcome, ClaimResult, ClaimVerdict, ClaimsReport,
    ExperimentRunCounts, Operand,
};

/// The file that marks a folder as the claims' report.
pub const SENTINEL: &str = "claims.json";

#[derive(Serialize)]
struct ClaimsPage<'r> {
    counts: Vec<(&'static str, usize)>,
    groups: Vec<ClaimGroupView<'r>>,
    figures: Vec<FigureView>,
    experiments: Vec<(&'r str, String)>,
}

#[derive(Serialize)]
struct ClaimGroupView<'r> {
    id: &'r str,
    title: &'r str,
    claims: Vec<ClaimView<'r>>,
}

#[derive(Serialize)]
struct ClaimView<'r> {
    id: &'r str,
    statement: &'r str,
    source: &'r str,
    population: &'r str,
    experiment: &'r str,
    comparison: &'r str,
    hypothesis: String,
    unit: &'r str,
    outcomes: Vec<OutcomeText>,
}

/// An outcome as the terminal and the pages show it.
#[derive(Serialize)]
pub struct OutcomeText {
    /// The regime; empty if there is only one.
    pub regime: String,
    /// The verdict.
    pub verdict: &'static str,
    /// The style class of the verdict.
    pub tone: &'static str,
    /// The difference with its interval.
    pub difference: String,
    /// The left side with its estimate.
    pub left: String,
    /// The right side with its estimate.
    pub right: String,
    /// The corrected p value.
    pub p_value: String,
    /// The number of problems; empty without a test.
    pub problems: String,
    /// The number of seeds with the sign of the mean, and the spread of all.
    pub seeds: String,
    /// The difference of each seed.
    pub by_seed: String,
    /// Short keys of the runs.
    pub runs: Vec<String>,
    /// Remarks to the verdict.
    pub remarks: Vec<String>,
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
pub fn render(report: &ClaimsReport) -> Result<Vec<ReportFile>, ReportError> {
    let mut files = vec![ReportFile {
        path: SENTINEL.to_owned(),
        bytes: report.to_json().into_bytes(),
    }];
    let mut figures = Vec::new();
    for figure in forest_figures(report) {
        let rendered = render_figure(&figure)?;
        files.extend(rendered.files);
        figures.push(FigureView {
            id: figure.id,
            title: figure.title,
            caption: figure.caption,
            svg: rendered.inline_svg,
        });
    }
    let view = ClaimsPage {
        counts: ClaimVerdict::ALL
            .into_iter()
            .map(|verdict| (verdict, report.count_verdict(verdict)))
            .map(|(verdict, count)| (verdict.verb(count), count))
            .collect(),
        groups: report.groups.iter().map(group_view).collect(),
        figures,
        experiments: report
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

fn run_counts_text(experiment: &ExperimentRunCounts) -> String {
    if !experiment.in_store && !experiment.carried_over {
        return "not in this store".to_owned();
    }
    let (done, failed, missing) = (experiment.done, experiment.failed, experiment.missing);
    let runs = plural(done + failed + missing, "run");
    let origin = if experiment.carried_over {
        "; not in this store, verdicts from an earlier report"
    } else {
        ""
    };
    format!("{runs}: {done} done, {failed} failed, {missing} missing{origin}")
}

fn group_view(group: &ClaimGroup) -> ClaimGroupView<'_> {
    ClaimGroupView {
        id: &group.id,
        title: &group.title,
        claims: group.claims.iter().map(claim_view).collect(),
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
        hypothesis: claim.hypothesis_text(),
        unit: &claim.unit,
        outcomes: claim
            .outcomes
            .iter()
            .map(|outcome| OutcomeText::new(claim, outcome))
            .collect(),
    }
}

impl OutcomeText {
    /// The texts of a claim's outcome.
    #[must_use]
    pub fn new(claim: &ClaimResult, outcome: &ClaimOutcome) -> Self {
        let unit = claim.display_unit();
        let text = |text: &dyn Fn(&ClaimComparison) -> String| {
            outcome.decisive_comparison().map_or(String::new(), text)
        };
        Self {
            regime: outcome.regime_label(),
            verdict: outcome.verdict.label(),
            tone: match outcome.verdict {
                ClaimVerdict::Holds => "better",
                ClaimVerdict::Fails => "worse",
                ClaimVerdict::UnderPowered | ClaimVerdict::NotRun => "missing",
            },
            difference: text(&|comparison| comparison.difference_text(unit)),
            left: text(&|comparison| operand_text(&comparison.left, unit)),
            right: text(&|comparison| match &comparison.right {
                Comparator::Measured(right) => operand_text(right, unit),
                Comparator::Number(number) => number.to_string(),
            }),
            p_value: outcome.p_value_text(),
            problems: text(&|comparison| {
                let test = comparison.test.as_ref();
                test.map_or(String::new(), |test| test.difference.problems.to_string())
            }),
            seeds: text(&|comparison| comparison.seeds_text(unit)),
            by_seed: text(&|comparison| comparison.by_seed_text(unit)),
            runs: outcome
                .decisive_comparison()
                .map(ClaimComparison::short_run_keys)
                .unwrap_or_default(),
            remarks: outcome.remarks(),
        }
    }
}

fn operand_text(operand: &Operand, unit: DisplayUnit) -> String {
    let value = operand.estimate.as_ref().map_or(String::new(), |estimate| {
        format!(": {}", unit.format_value(estimate.value))
    });
    format!("{} at {}{value}", operand.metric, operand.checkpoint)
}

/// One forest per unit of the claims, points first.
fn forest_figures(report: &ClaimsReport) -> Vec<Figure> {
    let mut units: Vec<&str> = vec!["points"];
    for claim in report.groups.iter().flat_map(|group| &group.claims) {
        if !units.contains(&claim.unit.as_str()) {
            units.push(&claim.unit);
        }
    }
    units
        .into_iter()
        .map(|unit| (unit, forest_rows(report, unit)))
        .filter(|(_, rows)| !rows.is_empty())
        .map(|(unit, rows)| Figure {
            id: if unit == "points" {
                "forest".to_owned()
            } else {
                format!("forest-{unit}")
            },
            section: ReportSection::Main,
            title: format!("Every claim that was run, in {unit}"),
            caption: format!(
                "Each row is a claim in a regime: the paired difference in {unit} with its 95 % \
                 interval, marked by its verdict. The line is the margin; the shaded band holds \
                 effects too small to matter."
            ),
            chart: Chart::Forest {
                x: format!("difference, {unit}"),
                rows,
            },
        })
        .collect()
}

fn forest_rows(report: &ClaimsReport, unit: &str) -> Vec<ForestRow> {
    let mut rows: Vec<ForestRow> = Vec::new();
    for group in &report.groups {
        let mut heading = Some(format!("{} {}", group.id, group.title));
        for claim in group.claims.iter().filter(|claim| claim.unit == unit) {
            for outcome in &claim.outcomes {
                if let Some(row) = forest_row(claim, outcome) {
                    rows.push(ForestRow {
                        heading: heading.take(),
                        ..row
                    });
                }
            }
        }
    }
    rows
}

/// The row of an outcome; none if it was not run.
fn forest_row(claim: &ClaimResult, outcome: &ClaimOutcome) -> Option<ForestRow> {
    let comparison = outcome
        .decisive_comparison()
        .filter(|_| outcome.verdict != ClaimVerdict::NotRun)?;
    let MeanEstimate {
        value, low, high, ..
    } = comparison.test.as_ref()?.difference;
    let scale = claim.display_unit().display_factor();
    let sign = claim.direction.sign();
    let regime = outcome.regime_label();
    Some(ForestRow {
        heading: None,
        label: if regime.is_empty() {
            claim.id.clone()
        } else {
            format!("{} · {regime}", claim.id)
        },
        estimate: [value, low, high].map(|end| end * scale).into(),
        margin: sign * claim.margin,
        effect_threshold: sign * (claim.margin + claim.smallest_effect),
        verdict: outcome.verdict.label().to_owned(),
    })
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
        // Groups without claims look alike.
        let (start, rest) = page.split_once("\n## E2").unwrap();
        let (_, end) = rest.split_once("\n## E16").unwrap();
        insta::assert_snapshot!(format!("{start}\n...\n## E16{end}"), @r#"
            # Claims

            The verdicts of the stored runs on the claims: 2 hold, 1 fails, 3 under-powered, 1 not run.

            A claim *holds* if the interval of the difference passes its margin. It *fails* if the interval excludes every effect that would matter. It is *under-powered* if the data allow both. Differences are paired by problem and seed. Intervals are 95 % percentile bootstrap intervals over problems, with seeds fixed. P values come from two-sided sign-flip tests over problems, corrected by Holm over all claims and regimes of a group; they must agree with the interval. *Seeds* counts the seeds whose difference has the sign of the mean, and gives the standard deviation between seeds.

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

            ![Every claim that was run, in points](figures/forest.svg)

            Each row is a claim in a regime: the paired difference in points with its 95 % interval, marked by its verdict. The line is the margin; the shaded band holds effects too small to matter.

            ## E1 Main result on a weak base

            ### E1-improves

            RISE improves over its own turns. (Table 1, caption.)

            m1@t5 of the last checkpoint where method = rise, above its m1@t1; smallest effect 2 points. Experiment ablations; 60 made-up problems.

            | regime | verdict | difference, points | p (Holm) | problems | seeds | by seed | compared | runs |
            |---|---|---:|---:|---:|---|---|---|---|
            | base = weak | **holds** | +25.8 [18.3, 34.2] | \< 0.001 | 60 | 2/2, sd 13.0 | +35.0 · +16.7 | m1@t5 at round 2: 76.7; m1@t1 at round 2: 50.8 | 77ff8202 c4530143 |
            | base = strong | **under-powered**: clear by its interval, not after correction over the group | +15.0 [3.3, 28.3] | 0.070 | 60 | 1/1 | +15.0 | m1@t5 at round 2: 86.7; m1@t1 at round 2: 71.7 | 1d7eefde |

            ### E1-base-does-not

            The base does not improve over its own turns. (Table 1, direction only.)

            m1@t5 of checkpoint base where method = rise, not above its m1@t1; smallest effect 2 points. Experiment ablations.

            | regime | verdict | difference, points | p (Holm) | problems | seeds | by seed | compared | runs |
            |---|---|---:|---:|---:|---|---|---|---|
            | base = weak | **holds** | −6.7 [−12.5, 0.0] | 0.023 | 60 | 2/2, sd 4.7 | −10.0 · −3.3 | m1@t5 at base: 20.0; m1@t1 at base: 26.7 | 77ff8202 c4530143 |
            | base = strong | **under-powered** | 0.0 [−6.0, 6.0] | 0.595 | 60 | 1/1 | 0.0 | m1@t5 at base: 70.0; m1@t1 at base: 70.0 | 1d7eefde |

            ...
            ## E16 The systems it is compared with

            ### E16-above-sft

            RISE is above SFT on \| any metric. (ours.)

            m1@t5 of the last checkpoint where base = weak, method = rise, weighting = exp(0.4), above each of m1@t1 of the last checkpoint where base = weak, method = sft; m5@t1 of the last checkpoint where base = weak, method = sft; smallest effect 2 points. Experiment ablations.

            | regime | verdict | difference, points | p (Holm) | problems | seeds | by seed | compared | runs |
            |---|---|---:|---:|---:|---|---|---|---|
            |  | **under-powered** | −3.3 [−15.0, 8.3] | 0.774 | 60 | 1/1 | −3.3 | m1@t5 at round 2: 76.7; m5@t1 at sft: 86.7 | 77ff8202 c4530143 56699860 |

            ## Experiments

            - ablations: 6 runs: 6 done, 0 failed, 0 missing
            - pass-at-b: not in this store

            `claims.json` has every number, with whole keys and exact selections.
        "#);
    }

    #[test]
    fn the_page_is_one_file_that_needs_no_network_and_shows_every_group() {
        let page = text("index.html");
        let outside = page.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !outside.contains("http") && !outside.contains("src=") && !outside.contains("@import")
        );
        for group in 1..=16 {
            assert!(page.contains(&format!("id=\"E{group}\"")), "E{group}");
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
        // 1 point to pass, the smallest effect ends at 3.
        assert_eq!((rows[4].margin, rows[4].effect_threshold), (1.0, 3.0));
        assert_eq!(rows.iter().filter(|row| row.heading.is_some()).count(), 3);
    }
}
