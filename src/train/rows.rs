//! Examples one after the other in one batch, and which of its rows belong to which target.
//!
//! Responsible for the shift by one: the row of a token predicts the token after it. Must not know
//! how much a target counts.

use std::ops::Range;
use std::sync::Arc;

use crate::model::{Ragged, Targets};

use super::{Batch, Encoded};

/// Some examples as the rows of one batch.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Inputs: every token but each example's last.
    pub inputs: Ragged,
    /// The token after each input.
    pub ids: Arc<[u32]>,
    /// The examples' targets, in order.
    pub spans: Vec<Span>,
}

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index of its example.
    pub example: usize,
    /// Its index among the targets of its example.
    pub target: usize,
    /// The rows that predict its tokens.
    pub rows: Range<usize>,
}

impl Rows {
    /// Puts examples together.
    #[must_use]
    pub fn new(examples: &[&Encoded]) -> Self {
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
                    .map(|(target, &(from, to, _))| Span {
                        example: number,
                        target,
                        rows: first + from - 1..first + to - 1,
                    }),
            );
        }
        Self {
            inputs: Ragged { tokens, lengths },
            ids: Arc::from(ids),
            spans,
        }
    }

    /// Every token of every target, for its log-probability.
    #[must_use]
    pub fn targets(&self) -> Targets {
        let mut weights = vec![0.0; self.ids.len()];
        for span in &self.spans {
            weights[span.rows.clone()].fill(1.0);
        }
        Targets {
            ids: Arc::clone(&self.ids),
            weights: Arc::from(weights),
        }
    }

    /// A batch of the same rows with these weights, \[N\].
    #[must_use]
    pub fn weighed(&self, weights: Vec<f32>) -> Batch {
        Batch {
            inputs: self.inputs.clone(),
            target_tokens: weights.iter().filter(|&&weight| weight != 0.0).count(),
            targets: Targets {
                ids: Arc::clone(&self.ids),
                weights: Arc::from(weights),
            },
        }
    }

    /// Tokens that pass through the network.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.inputs.tokens.len() as u64
    }
}
