//! Scores of a condition by seed and problem, estimates and comparisons; each is computed once.

use crate::domain::Key;
use crate::report::format::DisplayUnit;
use crate::report::{GraderVersion, MetricScores};
use crate::stats::{MeanEstimate, PairedComparison, ScorePanel, SeedScores, compare_paired};

use super::{Analysis, MeasurementId};

impl<'f> Analysis<'f> {
    /// Scores of a metric at a checkpoint by seed and problem.
    #[must_use]
    pub fn score_panel(&self, measured: &MeasurementId) -> ScorePanel {
        self.score_panel_from(measured, |evaluation| self.data.scores.get(evaluation))
    }

    fn score_panel_from(
        &self,
        measured: &MeasurementId,
        scores_of: impl Fn(&Key) -> Option<&'f MetricScores>,
    ) -> ScorePanel {
        let MeasurementId { checkpoint, metric } = measured;
        let seeds = self.runs(checkpoint.condition).iter().filter_map(|run| {
            // A checkpoint has an entry for its evaluation, and one for each analysis of it.
            let mut entries = run.checkpoints.iter().filter(|c| c.name == checkpoint.name);
            entries.find_map(|entry| {
                Some(SeedScores {
                    seed: run.seed,
                    source: entry.evaluation.as_str().to_owned(),
                    scores: scores_of(&entry.evaluation)?.get(metric)?.clone(),
                })
            })
        });
        ScorePanel(seeds.collect())
    }

    /// A metric at a checkpoint under a further grader; none where nothing was scored.
    #[must_use]
    pub fn estimate_under_grader(
        &self,
        grader: &GraderVersion,
        measured: &MeasurementId,
    ) -> Option<MeanEstimate> {
        let regraded = self.data.regraded.get(grader)?;
        let panel = self.score_panel_from(measured, |evaluation| {
            Some(&regraded.get(evaluation)?.scores)
        });
        MeanEstimate::from_fractions(&panel)
    }

    /// A metric at a checkpoint; none where nothing was measured.
    #[must_use]
    pub fn estimate(&self, measured: &MeasurementId) -> Option<MeanEstimate> {
        self.estimates.get_or_compute(measured.clone(), || {
            let panel = self.score_panel(measured);
            // Only fractions need the correction for scores that are all 0 or all 1.
            if self.metric_unit(&measured.metric) == DisplayUnit::Fraction {
                MeanEstimate::from_fractions(&panel)
            } else {
                MeanEstimate::from_panel(&panel)
            }
        })
    }

    /// The unit of a metric.
    #[must_use]
    pub fn metric_unit(&self, metric: &str) -> DisplayUnit {
        let known = self.data.metrics.iter().rfind(|row| row.name == metric);
        known.map_or_else(
            || DisplayUnit::for_metric(metric),
            |row| DisplayUnit::from_label(&row.unit),
        )
    }

    /// The difference of two measurements, on the problems and seeds that both have.
    #[must_use]
    pub fn compare(&self, own: &MeasurementId, other: &MeasurementId) -> Option<PairedComparison> {
        self.comparisons
            .get_or_compute((own.clone(), other.clone()), || {
                compare_paired(&self.score_panel(own), &self.score_panel(other))
            })
    }
}
