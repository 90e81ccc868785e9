//! What became of claims, as plain data that can be written as JSON and read back.
//!
//! Holds no times, hosts or paths: the same database and the same file of claims give the same bytes.

use serde::{Deserialize, Serialize};

use crate::report::rounded;
use crate::stats::{Direction, Estimate, Ruling, Tested};

/// Raised when the meaning of a field changes.
pub(super) const VERSION: u32 = 1;

/// Every claim with its verdicts, by row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdicts {
    /// Version of this form.
    pub version: u32,
    /// Every row, also those without claims.
    pub rows: Vec<Row>,
    /// The experiments that claims are about, by name.
    pub experiments: Vec<Experiment>,
}

/// One row of the reproduction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `E1` to `E16`.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// Its claims in order of the file.
    pub claims: Vec<Settled>,
}

/// An experiment that claims are about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experiment {
    /// Its name.
    pub name: String,
    /// Whether it is in the store.
    pub known: bool,
    /// Its finished runs.
    pub done: usize,
    /// Its failed runs.
    pub failed: usize,
    /// Its runs that are not there yet.
    pub missing: usize,
    /// Whether its verdicts are those of an earlier report, because it is not in the store.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
}

/// A claim with its verdicts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settled {
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
    pub compared: String,
    /// Which way the difference lies.
    pub direction: Direction,
    /// What the difference has to pass, in `unit`.
    pub margin: f64,
    /// The smallest effect of interest, in `unit`.
    pub worth: f64,
    /// What differences are counted in: `points`, or a metric's own unit.
    pub unit: String,
    /// One per regime.
    pub outcomes: Vec<Outcome>,
}

/// One word for a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The data bear it out.
    Holds,
    /// The data speak against it.
    Fails,
    /// The data cannot tell.
    UnderPowered,
    /// There are no data.
    NotRun,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 4] = [Self::Holds, Self::Fails, Self::UnderPowered, Self::NotRun];

    /// The word as printed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::UnderPowered => "under-powered",
            Self::NotRun => "not run",
        }
    }
}

impl Verdict {
    /// The word after a number of claims.
    #[must_use]
    pub const fn counted(self, count: usize) -> &'static str {
        match self {
            Self::Holds if count != 1 => "hold",
            Self::Fails if count != 1 => "fail",
            other => other.word(),
        }
    }
}

impl From<Ruling> for Verdict {
    fn from(ruling: Ruling) -> Self {
        match ruling {
            Ruling::Holds => Self::Holds,
            Ruling::Fails => Self::Fails,
            Ruling::UnderPowered => Self::UnderPowered,
        }
    }
}

/// A claim in one regime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The regime: axis and value.
    pub regime: Vec<(String, String)>,
    /// What it comes to.
    pub verdict: Verdict,
    /// The p value behind the verdict; none where it was not run.
    pub p: Option<f64>,
    /// The same after Holm's correction over all claims and regimes of the row.
    pub corrected: Option<f64>,
    /// The part that decides, by number.
    pub decisive: usize,
    /// One per thing that is compared with; all of them must hold.
    pub parts: Vec<Part>,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What is compared.
    pub left: Side,
    /// What it is compared with.
    pub right: Opposite,
    /// The paired difference and its test, in the unit of the scores.
    pub tested: Option<Tested>,
    /// Why there is none.
    pub missing: Option<String>,
    /// What has to be known of one of the sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caution: Option<String>,
}

/// What something is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Opposite {
    /// Something that was measured.
    Measured(Side),
    /// A number, in points for fractions.
    Number(f64),
}

/// One side of a comparison, as it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The values on all axes of the setting that was chosen; those asked for where there is none.
    pub selection: Vec<(String, String)>,
    /// The checkpoint's name.
    pub checkpoint: String,
    /// The metric's name, with what was taken off it.
    pub metric: String,
    /// The metric there, in the unit of the scores.
    pub estimate: Option<Estimate>,
    /// The setting's runs, one per seed.
    pub runs: Vec<RunBehind>,
}

/// A run behind a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunBehind {
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

impl Verdicts {
    /// As pretty JSON, numbers rounded to nine decimals.
    ///
    /// # Panics
    /// Never: verdicts are plain data.
    #[must_use]
    pub fn json(&self) -> String {
        let value = rounded(serde_json::to_value(self).expect("verdicts are plain data"));
        let mut text = serde_json::to_string_pretty(&value).expect("plain data is valid JSON");
        text.push('\n');
        text
    }

    /// The same with the numbers that [`Verdicts::json`] writes, so that a page says what its file says: a
    /// half in the last place shown may be rounded either way.
    ///
    /// # Panics
    /// Never: what was written can be read.
    #[must_use]
    pub fn as_written(&self) -> Self {
        serde_json::from_str(&self.json()).expect("verdicts are read as they were written")
    }

    /// A claim by its name.
    #[must_use]
    pub fn claim(&self, id: &str) -> Option<&Settled> {
        self.rows
            .iter()
            .flat_map(|row| &row.claims)
            .find(|claim| claim.id == id)
    }

    /// How often each verdict was reached.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        let outcomes = self
            .rows
            .iter()
            .flat_map(|row| &row.claims)
            .flat_map(|claim| &claim.outcomes);
        outcomes
            .filter(|outcome| outcome.verdict == verdict)
            .count()
    }

    /// Only the claims about some experiments; every row stays.
    #[must_use]
    pub fn about(&self, experiments: &[String]) -> Self {
        let mut part = self.clone();
        for row in &mut part.rows {
            row.claims
                .retain(|claim| experiments.contains(&claim.experiment));
        }
        part.experiments
            .retain(|experiment| experiments.contains(&experiment.name));
        part
    }
}

impl Outcome {
    /// The part that decides.
    #[must_use]
    pub fn decisive(&self) -> Option<&Part> {
        self.parts.get(self.decisive)
    }

    /// The regime in words; empty where there is only one.
    #[must_use]
    pub fn regime(&self) -> String {
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

impl Part {
    /// The runs of both sides, each once, in order.
    #[must_use]
    pub fn runs(&self) -> Vec<&RunBehind> {
        let mut runs: Vec<&RunBehind> = Vec::new();
        let right = match &self.right {
            Opposite::Measured(side) => side.runs.as_slice(),
            Opposite::Number(_) => &[],
        };
        for run in self.left.runs.iter().chain(right) {
            if !runs.iter().any(|known| known.key == run.key) {
                runs.push(run);
            }
        }
        runs
    }
}
