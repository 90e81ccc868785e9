//! The metrics of the paper's four columns, at the turns and samples that were measured.

use serde::{Deserialize, Serialize};

use crate::domain::MetricName;

/// The metrics behind the paper's four columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricColumns {
    /// One sample, one turn.
    pub first: MetricName,
    /// The vote over parallel first turns, without oracle.
    pub parallel: MetricName,
    /// The vote over sequential turns, without oracle.
    pub sequential: MetricName,
    /// Right at any turn, with oracle.
    pub oracle: MetricName,
    /// Turns of the sequential log.
    pub turns: u32,
    /// Parallel samples.
    pub samples: u32,
}

impl MetricColumns {
    /// The columns for these metrics; the paper's five turns and samples where a vote is missing.
    #[must_use]
    pub fn from_names<'n>(names: impl IntoIterator<Item = &'n MetricName>) -> Self {
        let votes = names.into_iter().filter_map(MetricName::vote_shape);
        let votes: Vec<(u32, u32)> = votes.collect();
        let sequential = votes.iter().filter(|(samples, _)| *samples == 1);
        let turns = sequential.map(|vote| vote.1).filter(|&turns| turns > 1);
        let turns = turns.max().unwrap_or(5);
        let parallel = votes.iter().filter(|(_, turns)| *turns == 1);
        let parallel = parallel.map(|vote| vote.0).filter(|&samples| samples > 1);
        // As many samples as turns is the fair baseline; there may be more for other purposes.
        let samples = parallel.max_by_key(|&samples| (samples == turns, samples));
        let samples = samples.unwrap_or(turns);
        Self {
            first: MetricName::vote(1, 1),
            parallel: MetricName::vote(samples, 1),
            sequential: MetricName::vote(1, turns),
            oracle: MetricName::any_turn(turns),
            turns,
            samples,
        }
    }

    /// The four metrics in the paper's order.
    #[must_use]
    pub const fn metrics(&self) -> [&MetricName; 4] {
        [&self.first, &self.parallel, &self.sequential, &self.oracle]
    }

    /// The names of the four metrics as column headers.
    #[must_use]
    pub fn headers(&self) -> Vec<String> {
        self.metrics().map(ToString::to_string).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_off_the_names() {
        let names =
            |names: &[&str]| -> Vec<MetricName> { names.iter().map(|&name| name.into()).collect() };
        let known = names(&[
            "m1@t1",
            "m8@t1",
            "m1@t3",
            "m1@t3-low",
            "p1@t3",
            "accuracy@t10",
            "tokens",
        ]);
        let columns = MetricColumns::from_names(&known);
        assert_eq!(columns.headers(), ["m1@t1", "m8@t1", "m1@t3", "p1@t3"]);
        let known = names(&["m1@t1", "m1@t3", "m3@t1", "m8@t1"]);
        assert_eq!(MetricColumns::from_names(&known).parallel, "m3@t1");
        assert_eq!(
            MetricColumns::from_names([]).headers(),
            ["m1@t1", "m5@t1", "m1@t5", "p1@t5"]
        );
    }
}
