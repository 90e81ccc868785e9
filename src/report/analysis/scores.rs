//! What was measured of a study's settings: scores by seed and problem, estimates, comparisons.
//!
//! Hides that an estimate is made once however often it is asked for. Must not know how settings are grouped.

use crate::stats::{MeanEstimate, PairedComparison, ScorePanel, SeedScores, compare_paired};

use super::{Analysis, MeasurementKey, MeasurementRef};
use crate::report::ReportRun;
use crate::report::format::DisplayUnit;

impl Analysis<'_> {
    /// Scores of a metric at a checkpoint by seed and problem.
    #[must_use]
    pub fn score_panel(&self, setting: usize, checkpoint: &str, metric: &str) -> ScorePanel {
        let row = |run: &&ReportRun| {
            // A checkpoint has an entry for its evaluation, and one for each analysis of it.
            let mut found = run.checkpoints.iter().filter(|c| c.name == checkpoint);
            found.find_map(|c| {
                let scores = self.data.scores.get(&c.evaluation)?.get(metric)?.clone();
                Some(SeedScores {
                    seed: run.seed,
                    source: c.evaluation.as_str().to_owned(),
                    scores,
                })
            })
        };
        ScorePanel(
            self.conditions[setting]
                .runs
                .iter()
                .filter_map(row)
                .collect(),
        )
    }

    /// The same panel under a further grader.
    #[must_use]
    pub fn score_panel_under_grader(
        &self,
        grader: &(String, u64),
        measured: MeasurementRef<'_>,
    ) -> ScorePanel {
        let (setting, checkpoint, metric) = measured;
        let row = |run: &&ReportRun| {
            let found = run.checkpoints.iter().find(|c| c.name == checkpoint)?;
            let other = self.data.regraded.get(grader)?.get(&found.evaluation)?;
            let (source, scores) = (
                found.evaluation.as_str().to_owned(),
                other.scores.get(metric)?.clone(),
            );
            Some(SeedScores {
                seed: run.seed,
                source,
                scores,
            })
        };
        ScorePanel(
            self.conditions[setting]
                .runs
                .iter()
                .filter_map(row)
                .collect(),
        )
    }

    /// A metric at a checkpoint under a further grader; none where nothing was scored.
    #[must_use]
    pub fn estimate_under_grader(
        &self,
        grader: &(String, u64),
        measured: MeasurementRef<'_>,
    ) -> Option<MeanEstimate> {
        MeanEstimate::from_fractions(&self.score_panel_under_grader(grader, measured))
    }

    /// A metric at a checkpoint; none where nothing was measured.
    #[must_use]
    pub fn estimate(&self, setting: usize, checkpoint: &str, metric: &str) -> Option<MeanEstimate> {
        self.estimates
            .get_or_compute(measurement_key((setting, checkpoint, metric)), || {
                let panel = self.score_panel(setting, checkpoint, metric);
                // Only a fraction can be told to be certain too early.
                if self.metric_unit(metric) == DisplayUnit::Fraction {
                    MeanEstimate::from_fractions(&panel)
                } else {
                    MeanEstimate::from_panel(&panel)
                }
            })
    }

    /// What a metric is measured in.
    #[must_use]
    pub fn metric_unit(&self, metric: &str) -> DisplayUnit {
        let known = self.data.metrics.iter().rfind(|row| row.name == metric);
        known.map_or_else(
            || DisplayUnit::for_metric(metric),
            |row| DisplayUnit::from_label(&row.unit),
        )
    }

    /// What one (setting, checkpoint, metric) has above another, on the problems and seeds both have.
    #[must_use]
    pub fn compare(
        &self,
        of: MeasurementRef<'_>,
        to: MeasurementRef<'_>,
    ) -> Option<PairedComparison> {
        self.comparisons
            .get_or_compute((measurement_key(of), measurement_key(to)), || {
                compare_paired(
                    &self.score_panel(of.0, of.1, of.2),
                    &self.score_panel(to.0, to.1, to.2),
                )
            })
    }
}

fn measurement_key(measured: MeasurementRef<'_>) -> MeasurementKey {
    (measured.0, measured.1.to_owned(), measured.2.to_owned())
}
