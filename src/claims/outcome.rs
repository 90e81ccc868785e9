//! The verdicts on claims as plain data, and their texts in the terminal and on the page.

use serde::{Deserialize, Serialize};

use crate::report::{DisplayUnit, format_p_value, round_numbers};
use crate::stats::{Decision, EffectDirection, Hypothesis, MeanEstimate, TestResult};

use super::file::{Claim, Comparator};

/// Version of the file; raised when the meaning of a field changes.
pub(super) const FORMAT_VERSION: u32 = 1;

/// Every claim with its verdicts, by group.
///
/// It holds no times, hosts or paths, so the same database and claims give the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimsReport {
    /// Version of the file.
    pub version: u32,
    /// Every group, also those without claims.
    #[serde(rename = "rows")]
    pub groups: Vec<ClaimGroup>,
    /// The experiments of the claims, by name.
    pub experiments: Vec<ExperimentRunCounts>,
}

/// The claims of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimGroup {
    /// `E1` to `E16`.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its claims in order of the file.
    pub claims: Vec<ClaimResult>,
}

/// The runs of an experiment of the claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExperimentRunCounts {
    /// Its name.
    pub name: String,
    /// Whether the store has it.
    #[serde(rename = "known")]
    pub in_store: bool,
    /// Number of finished runs.
    pub done: usize,
    /// Number of failed runs.
    pub failed: usize,
    /// Number of runs that are not finished.
    pub missing: usize,
    /// Whether the store of an earlier report gave its verdicts; only published files say so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[serde(rename = "kept")]
    pub carried_over: bool,
}

/// A claim with its verdicts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimResult {
    /// Its name.
    pub id: String,
    /// The claim in one sentence.
    pub statement: String,
    /// Where the claim is made.
    pub source: String,
    /// The problems that it is about.
    pub population: String,
    /// The experiment whose runs answer it.
    pub experiment: String,
    /// The comparison in words.
    #[serde(rename = "compared")]
    pub comparison: String,
    /// The side on which the difference lies.
    pub direction: EffectDirection,
    /// The value that the difference must pass, in `unit`.
    pub margin: f64,
    /// The smallest effect of interest, in `unit`.
    #[serde(rename = "worth")]
    pub smallest_effect: f64,
    /// The unit of differences: `points`, or the metric's own.
    pub unit: String,
    /// One per regime.
    pub outcomes: Vec<ClaimOutcome>,
}

/// The verdict on a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimVerdict {
    /// The data confirm it.
    Holds,
    /// The data contradict it.
    Fails,
    /// The data allow both.
    UnderPowered,
    /// The store lacks the data.
    NotRun,
}

impl ClaimVerdict {
    /// Every verdict.
    pub const ALL: [Self; 4] = [Self::Holds, Self::Fails, Self::UnderPowered, Self::NotRun];

    /// The word as printed.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::UnderPowered => "under-powered",
            Self::NotRun => "not run",
        }
    }

    /// The word after a number of claims.
    #[must_use]
    pub const fn verb(self, count: usize) -> &'static str {
        match self {
            Self::Holds if count != 1 => "hold",
            Self::Fails if count != 1 => "fail",
            other => other.label(),
        }
    }
}

impl From<Decision> for ClaimVerdict {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Holds => Self::Holds,
            Decision::Fails => Self::Fails,
            Decision::UnderPowered => Self::UnderPowered,
        }
    }
}

/// A claim in one regime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimOutcome {
    /// The regime: axis and value.
    pub regime: Vec<(String, String)>,
    /// The verdict.
    pub verdict: ClaimVerdict,
    /// The p value behind the verdict; none if the claim was not run.
    #[serde(rename = "p")]
    pub p_value: Option<f64>,
    /// The same after Holm's correction over all claims and regimes of the group.
    #[serde(rename = "corrected")]
    pub corrected_p_value: Option<f64>,
    /// Index of the comparison that decides.
    #[serde(rename = "decisive")]
    pub decisive_index: usize,
    /// One per right side; all of them must hold.
    #[serde(rename = "parts")]
    pub comparisons: Vec<ClaimComparison>,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimComparison {
    /// The left side.
    pub left: Operand,
    /// The right side.
    pub right: Comparator<Operand>,
    /// The paired difference and its test, in the unit of the scores.
    #[serde(rename = "tested")]
    pub test: Option<TestResult>,
    /// Why there is no test.
    #[serde(rename = "missing")]
    pub missing_reason: Option<String>,
    /// A limit of one of the sides that a reader should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caution: Option<String>,
}

/// One side of a comparison, as the runs answer it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operand {
    /// The condition's values on all axes; the claim's own values if no run has them.
    #[serde(rename = "selection")]
    pub axis_values: Vec<(String, String)>,
    /// The checkpoint's name.
    pub checkpoint: String,
    /// The metric's name, with the subtracted one.
    pub metric: String,
    /// The metric there, in the unit of the scores.
    pub estimate: Option<MeanEstimate>,
    /// The condition's runs, one per seed.
    pub runs: Vec<SourceRun>,
}

/// A run behind a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRun {
    /// Its whole key.
    pub key: String,
    /// Its readable name.
    pub label: String,
    /// Its seed.
    pub seed: u64,
    /// `done`, `failed` or `missing`.
    pub state: String,
    /// Whether it has scores here.
    pub scored: bool,
    /// Why it failed.
    pub error: Option<String>,
}

impl ClaimsReport {
    /// As indented JSON, numbers rounded to nine decimals.
    ///
    /// # Panics
    /// Never: the report is plain data.
    #[must_use]
    pub fn to_json(&self) -> String {
        let value = round_numbers(serde_json::to_value(self).expect("verdicts are plain data"));
        let mut text = serde_json::to_string_pretty(&value).expect("plain data is valid JSON");
        text.push('\n');
        text
    }

    /// The report with the rounded numbers of its file, so that a page and its file always agree.
    ///
    /// # Panics
    /// Never: it reads its own JSON.
    #[must_use]
    pub fn json_round_trip(&self) -> Self {
        serde_json::from_str(&self.to_json()).expect("verdicts are read as they were written")
    }

    /// Number of outcomes with a verdict.
    #[must_use]
    pub fn count_verdict(&self, verdict: ClaimVerdict) -> usize {
        let claims = self.groups.iter().flat_map(|group| &group.claims);
        claims
            .flat_map(|claim| &claim.outcomes)
            .filter(|outcome| outcome.verdict == verdict)
            .count()
    }

    /// The report with only the claims of some experiments; every group stays.
    #[must_use]
    pub fn for_experiments(&self, experiments: &[String]) -> Self {
        let mut report = self.clone();
        for group in &mut report.groups {
            group
                .claims
                .retain(|claim| experiments.contains(&claim.experiment));
        }
        report
            .experiments
            .retain(|experiment| experiments.contains(&experiment.name));
        report
    }
}

impl ClaimResult {
    /// A claim with its outcomes.
    pub(super) fn new(
        claim: &Claim,
        unit: DisplayUnit,
        smallest_effect: f64,
        outcomes: Vec<ClaimOutcome>,
    ) -> Self {
        Self {
            id: claim.id.clone(),
            statement: claim.statement.clone(),
            source: claim.source.clone(),
            population: claim.population.clone(),
            experiment: claim.experiment.clone(),
            comparison: claim.comparison_text(unit),
            direction: claim.direction,
            margin: claim.margin,
            smallest_effect,
            unit: unit.difference_unit().to_owned(),
            outcomes,
        }
    }

    /// The unit of the claim's numbers.
    #[must_use]
    pub fn display_unit(&self) -> DisplayUnit {
        match self.unit.as_str() {
            "points" => DisplayUnit::Fraction,
            "nats" => DisplayUnit::Nats,
            _ => DisplayUnit::Count,
        }
    }

    /// The hypothesis in the unit of the scores.
    pub(super) fn hypothesis(&self) -> Hypothesis {
        let factor = self.display_unit().display_factor();
        Hypothesis {
            direction: self.direction,
            margin: self.margin / factor,
            smallest_effect: self.smallest_effect / factor,
        }
    }

    /// The margin and the smallest effect in words.
    pub(super) fn hypothesis_text(&self) -> String {
        let (margin, unit) = (self.margin, &self.unit);
        let margin = match self.direction {
            _ if margin == 0.0 => String::new(),
            EffectDirection::Above | EffectDirection::Below => {
                format!("by more than {margin} {unit}; ")
            }
            EffectDirection::NotAbove | EffectDirection::NotBelow => {
                format!("beyond {margin} {unit}; ")
            }
        };
        format!("{margin}smallest effect {} {unit}", self.smallest_effect)
    }
}

impl ClaimOutcome {
    /// An outcome without verdict; a comparison that lacks data decides.
    pub(super) fn not_run(
        regime: Vec<(String, String)>,
        comparisons: Vec<ClaimComparison>,
    ) -> Self {
        let incomplete = comparisons
            .iter()
            .position(|comparison| comparison.missing_reason.is_some());
        Self {
            regime,
            verdict: ClaimVerdict::NotRun,
            p_value: None,
            corrected_p_value: None,
            decisive_index: incomplete.unwrap_or(0),
            comparisons,
        }
    }

    /// The comparison that decides.
    #[must_use]
    pub fn decisive_comparison(&self) -> Option<&ClaimComparison> {
        self.comparisons.get(self.decisive_index)
    }

    /// The regime in words; empty if there is only one.
    #[must_use]
    pub fn regime_label(&self) -> String {
        self.regime
            .iter()
            .map(|(axis, value)| match axis.rsplit('.').next() {
                Some("regime") | None => value.clone(),
                Some(last) => format!("{last} = {value}"),
            })
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The corrected p value as text.
    pub(super) fn p_value_text(&self) -> String {
        let Some(p) = self.corrected_p_value else {
            return "–".to_owned();
        };
        let text = format_p_value(p);
        text.trim_start_matches("p ")
            .trim_start_matches("= ")
            .to_owned()
    }

    /// Remarks to the verdict.
    pub(super) fn remarks(&self) -> Vec<String> {
        let Some(comparison) = self.decisive_comparison() else {
            return Vec::new();
        };
        if self.verdict == ClaimVerdict::NotRun {
            return comparison.missing_reason.clone().into_iter().collect();
        }
        let mut remarks = Vec::new();
        if let Some(test) = &comparison.test {
            if test.negligible {
                remarks.push("certain, but too small to matter".to_owned());
            }
            if self.verdict == ClaimVerdict::UnderPowered
                && test.by_interval != Decision::UnderPowered
            {
                remarks
                    .push("clear by its interval, not after correction over the group".to_owned());
            }
        }
        remarks.extend(comparison.caution.clone());
        let unfinished = unfinished_runs_text(comparison.source_runs());
        remarks.extend(Some(unfinished).filter(|text| !text.is_empty()));
        remarks
    }
}

impl ClaimComparison {
    /// The runs of both sides, each once, in order.
    #[must_use]
    pub fn source_runs(&self) -> Vec<&SourceRun> {
        let right = match &self.right {
            Comparator::Measured(side) => side.runs.as_slice(),
            Comparator::Number(_) => &[],
        };
        let mut runs: Vec<&SourceRun> = Vec::new();
        for run in self.left.runs.iter().chain(right) {
            if !runs.iter().any(|known| known.key == run.key) {
                runs.push(run);
            }
        }
        runs
    }

    /// Short keys of the runs behind the comparison; none without a test.
    pub(super) fn short_run_keys(&self) -> Vec<String> {
        if self.test.is_none() {
            return Vec::new();
        }
        let runs = self.source_runs().into_iter().filter(|run| run.scored);
        runs.map(|run| short_key(&run.key).to_owned()).collect()
    }

    /// `+16.8 [13.1, 20.6]`.
    pub(super) fn difference_text(&self, unit: DisplayUnit) -> String {
        self.test.as_ref().map_or("–".to_owned(), |test| {
            format!(
                "{} {}",
                unit.format_signed(test.difference.value),
                unit.format_interval(&test.difference)
            )
        })
    }

    /// The number of seeds with the sign of the mean, and the spread of all.
    pub(super) fn seeds_text(&self, unit: DisplayUnit) -> String {
        let Some(test) = &self.test else {
            return "–".to_owned();
        };
        let spread = test.difference.std_between_seeds();
        let spread = spread.map_or(String::new(), |std| {
            format!(", sd {}", unit.format_value(std))
        });
        format!(
            "{}/{}{spread}",
            test.agreeing_seeds(),
            test.difference.seeds
        )
    }

    /// The difference of each seed.
    pub(super) fn by_seed_text(&self, unit: DisplayUnit) -> String {
        let seeds = self.test.iter().flat_map(|test| &test.difference.by_seed);
        seeds
            .map(|&value| unit.format_signed(value))
            .collect::<Vec<_>>()
            .join(" · ")
    }
}

/// The failed and missing runs by label and key.
pub(super) fn unfinished_runs_text<'r>(runs: impl IntoIterator<Item = &'r SourceRun>) -> String {
    runs.into_iter()
        .filter(|run| run.state != "done")
        .map(|run| {
            let error = run.error.as_ref();
            let error = error.map_or(String::new(), |error| format!(": {error}"));
            let (label, key, state) = (&run.label, short_key(&run.key), &run.state);
            format!("{label} ({key}) {state}{error}")
        })
        .collect::<Vec<_>>()
        .join("; ")
}

/// The first digits of a key, enough for `rise-lab show`.
fn short_key(key: &str) -> &str {
    &key[..key.len().min(8)]
}
