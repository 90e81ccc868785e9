//! The size and protocol of an evaluation.

/// Turns, samples and protocol of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvalShape {
    /// Turns of the sequential log.
    pub turns: usize,
    /// First-turn samples, the log's own included.
    pub samples: usize,
    /// Whether a log may end early; its last attempt then counts for the turns that are left.
    pub may_stop_early: bool,
    /// Whether the policy verifies its own attempts.
    pub self_verifies: bool,
}
