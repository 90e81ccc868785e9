//! Names of checkpoints and metrics, as the database, experiment files and reports write them.

use std::borrow::Borrow;
use std::fmt::{self, Display, Formatter};
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// A name that reads as text.
macro_rules! text_name {
    ($name:ident) => {
        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Display for $name {
            fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(name)
            }
        }

        impl From<&$name> for $name {
            fn from(name: &$name) -> Self {
                name.clone()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }
    };
}

/// The name of an evaluated checkpoint: `base`, `boost`, `sft`, `round 1`, ...
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CheckpointName(String);

text_name!(CheckpointName);

impl CheckpointName {
    /// The untrained base model.
    pub const BASE: &'static str = "base";
    /// The first fine-tuning, which makes a base model answer in two turns.
    pub const BOOST: &'static str = "boost";
    /// Supervised fine-tuning.
    pub const SFT: &'static str = "sft";

    /// `round 2`.
    #[must_use]
    pub fn round(number: impl Display) -> Self {
        Self(format!("round {number}"))
    }

    /// The number of a round; none for other checkpoints.
    #[must_use]
    pub fn round_number(&self) -> Option<u32> {
        self.strip_prefix("round ")?.parse().ok()
    }

    /// Whether this is the untrained base model.
    #[must_use]
    pub fn is_base(&self) -> bool {
        self == Self::BASE
    }
}

/// The name of a metric, in the paper's pattern where it has one: `m1@t5` is the (m)ajority of one
/// sample over five (t)urns, `p1@t5` a (p)ass at any of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetricName(String);

text_name!(MetricName);

impl MetricName {
    /// The parallel vote over as many first attempts as the turns cost in tokens.
    pub const EQUAL_TOKENS: &'static str = "equal-tokens@t1";
    /// The part of the problems on which that vote has fewer attempts than it could afford.
    pub const EQUAL_TOKENS_SHORTAGE: &'static str = "equal-tokens-short";
    /// Tokens per attempt.
    pub const TOKENS: &'static str = "tokens";
    /// Attempts without a readable answer.
    pub const UNREADABLE: &'static str = "unreadable";
    /// The best of a draft, its global and its local refinement, as a verifier ranks them.
    pub const RERANKED: &'static str = "reranked-of-3";

    /// `m5@t1`: a vote over `samples` parallel attempts at each of `turns` turns.
    #[must_use]
    pub fn vote(samples: impl Display, turns: impl Display) -> Self {
        Self(format!("m{samples}@t{turns}"))
    }

    /// Samples and turns of a vote; none for other metrics.
    #[must_use]
    pub fn vote_shape(&self) -> Option<(u32, u32)> {
        let (samples, turns) = self.strip_prefix('m')?.split_once("@t")?;
        Some((samples.parse().ok()?, turns.parse().ok()?))
    }

    /// `p1@t5`: right at any of `turns` turns, by an oracle.
    #[must_use]
    pub fn any_turn(turns: impl Display) -> Self {
        Self(format!("p1@t{turns}"))
    }

    /// `m1@t5-low`: the vote over turns if every tie is lost.
    #[must_use]
    pub fn ties_lost(turns: impl Display) -> Self {
        Self(format!("m1@t{turns}-low"))
    }

    /// `m1@t5-high`: the vote over turns if every tie is won.
    #[must_use]
    pub fn ties_won(turns: impl Display) -> Self {
        Self(format!("m1@t{turns}-high"))
    }

    /// `accuracy@t3`: a quantity at one turn.
    #[must_use]
    pub fn at_turn(quantity: &str, turn: impl Display) -> Self {
        Self(format!("{quantity}@t{turn}"))
    }

    /// `nll@t1`: negative log-likelihood of the reference solution at a turn.
    #[must_use]
    pub fn nll(turn: impl Display) -> Self {
        Self::at_turn("nll", turn)
    }

    /// The turn of a likelihood; none for other metrics.
    #[must_use]
    pub fn nll_turn(&self) -> Option<u32> {
        self.strip_prefix("nll@t")?.parse().ok()
    }

    /// `best-of-4`: the attempt that a verifier ranks first among `samples`.
    #[must_use]
    pub fn best_of(samples: impl Display) -> Self {
        Self(format!("best-of-{samples}"))
    }

    /// The samples of a [`MetricName::best_of`]; none for other metrics.
    #[must_use]
    pub fn best_of_samples(&self) -> Option<u32> {
        self.strip_prefix("best-of-")?.parse().ok()
    }

    /// `unsolved-any@5`: a quantity of the problems that `budget` parallel attempts leave unsolved;
    /// the empty quantity is their share.
    #[must_use]
    pub fn unsolved(quantity: &str, budget: impl Display) -> Self {
        let dash = if quantity.is_empty() { "" } else { "-" };
        Self(format!("unsolved{dash}{quantity}@{budget}"))
    }

    /// The budget of the share of unsolved problems; none for other metrics.
    #[must_use]
    pub fn unsolved_budget(&self) -> Option<u32> {
        self.strip_prefix("unsolved@")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_as_they_are_printed() {
        assert_eq!(CheckpointName::round(2).round_number(), Some(2));
        assert_eq!(CheckpointName::from("sft").round_number(), None);
        assert_eq!(MetricName::vote(5, 1).vote_shape(), Some((5, 1)));
        assert_eq!(MetricName::from("m1@t5-low").vote_shape(), None);
        assert_eq!(MetricName::nll(3).nll_turn(), Some(3));
        assert_eq!(MetricName::best_of(4).best_of_samples(), Some(4));
        assert_eq!(MetricName::unsolved("", 5).unsolved_budget(), Some(5));
        assert_eq!(MetricName::unsolved("any", 5).unsolved_budget(), None);
        assert_eq!(MetricName::unsolved("any", 5), "unsolved-any@5");
    }
}
