//! What became of claims, as plain data that can be written as JSON and read back.
//!
//! Holds no times, hosts or paths: the same database and the same file of claims give the same bytes.

use serde::{Deserialize, Serialize};

use crate::report::round_numbers;
use crate::stats::{Decision, EffectDirection, MeanEstimate, TestResult};

/// Raised when the meaning of a field changes.
pub(super) const FORMAT_VERSION: u32 = 1;

/// Every claim with its verdicts, by row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimsReport {
    /// Version of this form.
    pub version: u32,
    /// Every row, also those without claims.
    #[serde(rename = "rows")]
    pub groups: Vec<ClaimGroup>,
    /// The experiments that claims are about, by name.
    pub experiments: Vec<ExperimentRunCounts>,
}

/// One row of the reproduction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimGroup {
    /// `E1` to `E16`.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// Its claims in order of the file.
    pub claims: Vec<ClaimResult>,
}

/// An experiment that claims are about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExperimentRunCounts {
    /// Its name.
    pub name: String,
    /// Whether it is in the store.
    #[serde(rename = "known")]
    pub in_store: bool,
    /// Its finished runs.
    pub done: usize,
    /// Its failed runs.
    pub failed: usize,
    /// Its runs that are not there yet.
    pub missing: usize,
    /// Whether its verdicts are those of an earlier report, because it is not in the store.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[serde(rename = "kept")]
    pub carried_over: bool,
}

/// A claim with its verdicts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimResult {
    /// Its name.
    pub id: String,
    /// What is claimed.
    pub statement: String,
    /// Where it is claimed.
    pub source: String,
    /// On which problems.
    pub population: String,
    /// The experiment whose runs answer it.
    pub experiment: String,
    /// What is compared, in words.
    #[serde(rename = "compared")]
    pub comparison: String,
    /// Which way the difference lies.
    pub direction: EffectDirection,
    /// What the difference has to pass, in `unit`.
    pub margin: f64,
    /// The smallest effect of interest, in `unit`.
    #[serde(rename = "worth")]
    pub smallest_effect: f64,
    /// What differences are counted in: `points`, or a metric's own unit.
    pub unit: String,
    /// One per regime.
    pub outcomes: Vec<ClaimOutcome>,
}

/// One word for a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimVerdict {
    /// The data bear it out.
    Holds,
    /// The data speak against it.
    Fails,
    /// The data cannot tell.
    UnderPowered,
    /// There are no data.
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
}

impl ClaimVerdict {
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
    fn from(ruling: Decision) -> Self {
        match ruling {
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
    /// What it comes to.
    pub verdict: ClaimVerdict,
    /// The p value behind the verdict; none where it was not run.
    #[serde(rename = "p")]
    pub p_value: Option<f64>,
    /// The same after Holm's correction over all claims and regimes of the row.
    #[serde(rename = "corrected")]
    pub corrected_p_value: Option<f64>,
    /// The part that decides, by number.
    #[serde(rename = "decisive")]
    pub decisive_index: usize,
    /// One per thing that is compared with; all of them must hold.
    #[serde(rename = "parts")]
    pub comparisons: Vec<ClaimComparison>,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimComparison {
    /// What is compared.
    pub left: Operand,
    /// What it is compared with.
    pub right: ResolvedComparator,
    /// The paired difference and its test, in the unit of the scores.
    #[serde(rename = "tested")]
    pub test: Option<TestResult>,
    /// Why there is none.
    #[serde(rename = "missing")]
    pub missing_reason: Option<String>,
    /// What has to be known of one of the sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caution: Option<String>,
}

/// What something is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResolvedComparator {
    /// Something that was measured.
    Measured(Operand),
    /// A number, in points for fractions.
    Number(f64),
}

/// One side of a comparison, as it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operand {
    /// The values on all axes of the setting that was chosen; those asked for where there is none.
    #[serde(rename = "selection")]
    pub axis_values: Vec<(String, String)>,
    /// The checkpoint's name.
    pub checkpoint: String,
    /// The metric's name, with what was taken off it.
    pub metric: String,
    /// The metric there, in the unit of the scores.
    pub estimate: Option<MeanEstimate>,
    /// The setting's runs, one per seed.
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
    /// As pretty JSON, numbers rounded to nine decimals.
    ///
    /// # Panics
    /// Never: verdicts are plain data.
    #[must_use]
    pub fn to_json(&self) -> String {
        let value = round_numbers(serde_json::to_value(self).expect("verdicts are plain data"));
        let mut text = serde_json::to_string_pretty(&value).expect("plain data is valid JSON");
        text.push('\n');
        text
    }

    /// The same with the numbers that [`ClaimsReport::to_json`] writes, so that a page says what its file says: a
    /// half in the last place shown may be rounded either way.
    ///
    /// # Panics
    /// Never: what was written can be read.
    #[must_use]
    pub fn json_round_trip(&self) -> Self {
        serde_json::from_str(&self.to_json()).expect("verdicts are read as they were written")
    }

    /// A claim by its name.
    #[must_use]
    pub fn find_claim(&self, id: &str) -> Option<&ClaimResult> {
        self.groups
            .iter()
            .flat_map(|row| &row.claims)
            .find(|claim| claim.id == id)
    }

    /// How often each verdict was reached.
    #[must_use]
    pub fn count_verdict(&self, verdict: ClaimVerdict) -> usize {
        let outcomes = self
            .groups
            .iter()
            .flat_map(|row| &row.claims)
            .flat_map(|claim| &claim.outcomes);
        outcomes
            .filter(|outcome| outcome.verdict == verdict)
            .count()
    }

    /// Only the claims about some experiments; every row stays.
    #[must_use]
    pub fn for_experiments(&self, experiments: &[String]) -> Self {
        let mut part = self.clone();
        for row in &mut part.groups {
            row.claims
                .retain(|claim| experiments.contains(&claim.experiment));
        }
        part.experiments
            .retain(|experiment| experiments.contains(&experiment.name));
        part
    }
}

impl ClaimOutcome {
    /// The part that decides.
    #[must_use]
    pub fn decisive_comparison(&self) -> Option<&ClaimComparison> {
        self.comparisons.get(self.decisive_index)
    }

    /// The regime in words; empty where there is only one.
    #[must_use]
    pub fn regime_label(&self) -> String {
        let values = self
            .regime
            .iter()
            .map(|(axis, value)| match axis.rsplit('.').next() {
                Some("regime") | None => value.clone(),
                Some(last) => format!("{last} = {value}"),
            });
        values.collect::<Vec<_>>().join(", ")
    }
}

impl ClaimComparison {
    /// The runs of both sides, each once, in order.
    #[must_use]
    pub fn source_runs(&self) -> Vec<&SourceRun> {
        let mut runs: Vec<&SourceRun> = Vec::new();
        let right = match &self.right {
            ResolvedComparator::Measured(side) => side.runs.as_slice(),
            ResolvedComparator::Number(_) => &[],
        };
        for run in self.left.runs.iter().chain(right) {
            if !runs.iter().any(|known| known.key == run.key) {
                runs.push(run);
            }
        }
        runs
    }
}
