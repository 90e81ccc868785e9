//! What was measured of a study's settings: scores by seed and problem, estimates, comparisons.
//!
//! Hides that an estimate is made once however often it is asked for. Must not know how settings are grouped.

use crate::stats::{Comparison, Estimate, Panel, Row, compare};

use super::{Asked, Measured, Study};
use crate::report::Run;
use crate::report::format::Unit;

impl Study<'_> {
    /// Scores of a metric at a checkpoint by seed and problem.
    #[must_use]
    pub fn panel(&self, setting: usize, checkpoint: &str, metric: &str) -> Panel {
        let row = |run: &&Run| {
            // A checkpoint has an entry for its evaluation, and one for each analysis of it.
            let mut found = run.checkpoints.iter().filter(|c| c.name == checkpoint);
            found.find_map(|c| {
                let scores = self.frame.scores.get(&c.evaluation)?.get(metric)?.clone();
                Some(Row {
                    seed: run.seed,
                    source: c.evaluation.as_str().to_owned(),
                    scores,
                })
            })
        };
        Panel(self.settings[setting].runs.iter().filter_map(row).collect())
    }

    /// The same panel under a further grader.
    #[must_use]
    pub fn panel_under(&self, grader: &(String, u64), measured: Measured<'_>) -> Panel {
        let (setting, checkpoint, metric) = measured;
        let row = |run: &&Run| {
            let found = run.checkpoints.iter().find(|c| c.name == checkpoint)?;
            let other = self.frame.others.get(grader)?.get(&found.evaluation)?;
            let (source, scores) = (
                found.evaluation.as_str().to_owned(),
                other.scores.get(metric)?.clone(),
            );
            Some(Row {
                seed: run.seed,
                source,
                scores,
            })
        };
        Panel(self.settings[setting].runs.iter().filter_map(row).collect())
    }

    /// A metric at a checkpoint under a further grader; none where nothing was scored.
    #[must_use]
    pub fn estimate_under(
        &self,
        grader: &(String, u64),
        measured: Measured<'_>,
    ) -> Option<Estimate> {
        Estimate::of_fraction(&self.panel_under(grader, measured))
    }

    /// A metric at a checkpoint; none where nothing was measured.
    #[must_use]
    pub fn estimate(&self, setting: usize, checkpoint: &str, metric: &str) -> Option<Estimate> {
        self.estimates.or(owned((setting, checkpoint, metric)), || {
            let panel = self.panel(setting, checkpoint, metric);
            // Only a fraction can be told to be certain too early.
            if self.unit(metric) == Unit::Fraction {
                Estimate::of_fraction(&panel)
            } else {
                Estimate::of(&panel)
            }
        })
    }

    /// What a metric is measured in.
    #[must_use]
    pub fn unit(&self, metric: &str) -> Unit {
        let known = self.frame.metrics.iter().rfind(|row| row.name == metric);
        known.map_or_else(|| Unit::of_metric(metric), |row| Unit::named(&row.unit))
    }

    /// What one (setting, checkpoint, metric) has above another, on the problems and seeds both have.
    #[must_use]
    pub fn compare(&self, of: Measured<'_>, to: Measured<'_>) -> Option<Comparison> {
        self.comparisons.or((owned(of), owned(to)), || {
            compare(&self.panel(of.0, of.1, of.2), &self.panel(to.0, to.1, to.2))
        })
    }
}

fn owned(measured: Measured<'_>) -> Asked {
    (measured.0, measured.1.to_owned(), measured.2.to_owned())
}
