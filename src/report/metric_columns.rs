//! Which metrics there are, by name: turn and sample counts are read off the names.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The parallel vote that costs what the sequential turns cost.
pub const EQUAL_TOKENS: &str = "equal-tokens@t1";
/// On what share of the problems that vote has fewer samples than it could afford.
pub const EQUAL_TOKENS_SHORTAGE: &str = "equal-tokens-short";

/// The names of the metrics behind the paper's four columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricColumns {
    /// One sample, one turn.
    pub first: String,
    /// The vote over parallel first turns, without oracle.
    pub parallel: String,
    /// The vote over sequential turns, without oracle.
    pub sequential: String,
    /// Right at any turn, with oracle.
    pub oracle: String,
    /// Turns of the sequential log.
    pub turns: u32,
    /// Parallel samples.
    pub samples: u32,
}

impl MetricColumns {
    /// The measures that these metric names contain; the paper's five turns and samples where a
    /// name is missing.
    #[must_use]
    pub fn from_names<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let shapes: BTreeSet<(char, u32, u32)> =
            names.into_iter().filter_map(parse_metric_name).collect();
        let votes = || shapes.iter().filter(|(kind, _, _)| *kind == 'm');
        let turns = votes()
            .filter(|vote| vote.1 == 1 && vote.2 > 1)
            .map(|vote| vote.2)
            .max();
        let turns = turns.unwrap_or(5);
        // As many samples as turns is the fair baseline; there may be more for other purposes.
        let parallel = || {
            votes()
                .filter(|vote| vote.1 > 1 && vote.2 == 1)
                .map(|vote| vote.1)
        };
        let samples = parallel()
            .find(|&samples| samples == turns)
            .or_else(|| parallel().max())
            .unwrap_or(turns);
        Self {
            first: "m1@t1".to_owned(),
            parallel: format!("m{samples}@t1"),
            sequential: format!("m1@t{turns}"),
            oracle: format!("p1@t{turns}"),
            turns,
            samples,
        }
    }

    /// The four columns in the paper's order.
    #[must_use]
    pub fn column_names(&self) -> [&str; 4] {
        [&self.first, &self.parallel, &self.sequential, &self.oracle]
    }
}

/// `m5@t1` as (m, 5, 1); none for any other name.
fn parse_metric_name(name: &str) -> Option<(char, u32, u32)> {
    let kind = name.chars().next().filter(|kind| "mp".contains(*kind))?;
    let (samples, turns) = name[1..].split_once("@t")?;
    Some((kind, samples.parse().ok()?, turns.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_off_the_names() {
        let names = [
            "m1@t1",
            "m8@t1",
            "m1@t3",
            "m1@t3-low",
            "p1@t3",
            "accuracy@t10",
            "tokens",
        ];
        let measures = MetricColumns::from_names(names);
        assert_eq!(
            measures.column_names(),
            ["m1@t1", "m8@t1", "m1@t3", "p1@t3"]
        );
        let names = ["m1@t1", "m1@t3", "m3@t1", "m8@t1"];
        assert_eq!(MetricColumns::from_names(names).parallel, "m3@t1");
        assert_eq!(
            MetricColumns::from_names([]).column_names(),
            ["m1@t1", "m5@t1", "m1@t5", "p1@t5"]
        );
    }
}
