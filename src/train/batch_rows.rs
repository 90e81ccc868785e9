//! Examples one after the other in one batch, and which of its rows belong to which target.
//!
//! Responsible for the shift by one: the row of a token predicts the token after it. Must not know
//! how much a target counts.

use std::ops::Range;
use std::sync::Arc;

use crate::model::{LossTargets, RaggedBatch};

use super::{Batch, EncodedExample};

/// Some examples as the rows of one batch.
#[derive(Clone, Debug)]
pub struct BatchRows {
    /// Inputs: every token but each example's last.
    pub inputs: RaggedBatch,
    /// The token after each input.
    pub target_ids: Arc<[u32]>,
    /// The examples' targets, in order.
    pub spans: Vec<TargetSpan>,
}

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSpan {
    /// Index of its example.
    pub example: usize,
    /// Its index among the targets of its example.
    pub target: usize,
    /// The rows that predict its tokens.
    pub rows: Range<usize>,
}

impl BatchRows {
    /// Puts examples together.
    #[must_use]
    pub fn new(examples: &[&EncodedExample]) -> Self {
        let lengths = examples
            .iter()
            .map(|example| example.tokens.len() - 1)
            .collect();
        let (mut tokens, mut ids, mut spans) = (Vec::new(), Vec::new(), Vec::new());
        for (number, example) in examples.iter().enumerate() {
            let first = tokens.len();
            tokens.extend(&example.tokens[..example.tokens.len() - 1]);
            ids.extend(&example.tokens[1..]);
            spans.extend(
                example
                    .targets
                    .iter()
                    .enumerate()
                    .map(|(target, &(from, to, _))| TargetSpan {
                        example: number,
                        target,
                        rows: first + from - 1..first + to - 1,
                    }),
            );
        }
        Self {
            inputs: RaggedBatch { tokens, lengths },
            target_ids: Arc::from(ids),
            spans,
        }
    }

    /// Every token of every target, for its log-probability.
    #[must_use]
    pub fn loss_targets(&self) -> LossTargets {
        let mut weights = vec![0.0; self.target_ids.len()];
        for span in &self.spans {
            weights[span.rows.clone()].fill(1.0);
        }
        LossTargets {
            ids: Arc::clone(&self.target_ids),
            weights: Arc::from(weights),
        }
    }

    /// A batch of the same rows with these weights, \[N\].
    #[must_use]
    pub fn with_weights(&self, weights: Vec<f32>) -> Batch {
        Batch {
            inputs: self.inputs.clone(),
            target_tokens: weights.iter().filter(|&&weight| weight != 0.0).count(),
            targets: LossTargets {
                ids: Arc::clone(&self.target_ids),
                weights: Arc::from(weights),
            },
        }
    }

    /// Tokens that pass through the network.
    #[must_use]
    pub fn input_tokens(&self) -> u64 {
        self.inputs.tokens.len() as u64
    }
}
