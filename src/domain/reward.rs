//! The reward of an attempt, and the one mapping between verdicts and rewards.

use serde::{Deserialize, Serialize};

/// A grader's judgement of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GradeVerdict {
    /// No answer could be read from the text.
    Unreadable,
    /// An answer was read and it is not the reference.
    Wrong,
    /// The answer read equals the reference.
    Right,
}

impl GradeVerdict {
    /// Whether the attempt is right.
    #[must_use]
    pub const fn is_right(self) -> bool {
        matches!(self, Self::Right)
    }

    /// The reward: 1 right, 0 wrong, -1 unreadable (as in the official code).
    #[must_use]
    pub const fn reward(self) -> Reward {
        Reward(match self {
            Self::Unreadable => -1.0,
            Self::Wrong => 0.0,
            Self::Right => 1.0,
        })
    }

    /// The name as written in files and the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Wrong => "wrong",
            Self::Right => "right",
        }
    }
}

/// The reward `r(s_t, y_t)` of one attempt; not a weight and not a mask.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reward(pub f64);
