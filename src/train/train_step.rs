//! One optimizer step: from a batch to new weights.
//!
//! Must not know where batches come from, nor how many steps there are.

use crate::model::Decoder;

use super::{AdamW, Batch, TrainConfig};

/// What one step gives.
#[derive(Debug)]
pub struct StepResult {
    /// The decoder after it.
    pub decoder: Decoder,
    /// The objective before it.
    pub loss: f64,
    /// The gradient's global norm before clipping.
    pub grad_norm: f64,
}

/// Moves the weights of `decoder` one step down the objective of `batch`, at learning rate `rate`.
///
/// A loss that is not finite is returned like any other, with weights that mean nothing. Weights
/// that nobody else holds are moved in place.
#[must_use]
pub fn train_step(
    decoder: Decoder,
    batch: &Batch,
    adam: &mut AdamW,
    config: &TrainConfig,
    rate: f64,
) -> StepResult {
    let (loss, gradients) = decoder.loss_and_gradients(&batch.inputs, &batch.targets);
    let mut norm = 0.0;
    let decoder = decoder.map_weights(|weights, threads| {
        let (weights, before) = adam.step(weights, &gradients, config, rate, threads);
        norm = before;
        weights
    });
    StepResult {
        decoder,
        loss,
        grad_norm: norm,
    }
}
