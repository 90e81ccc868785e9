//! One optimizer step: from a batch to new weights.
//!
//! Must not know where batches come from, nor how many steps there are.

use crate::model::{Decoder, Place, Weights};

use super::objective::batch_loss;
use super::{AdamW, Batch, TrainConfig};

/// What one step gives.
#[derive(Clone, Debug)]
pub struct Stepped {
    /// The weights after it.
    pub weights: Weights,
    /// The objective before it.
    pub loss: f64,
    /// The gradient's global norm before clipping.
    pub norm: f64,
}

/// Moves the weights of `decoder` one step down the objective of `batch`, at learning rate `rate`.
///
/// A loss that is not finite is returned like any other, with weights that mean nothing.
#[must_use]
pub fn step(
    decoder: &Decoder,
    batch: &Batch,
    adam: &mut AdamW,
    config: &TrainConfig,
    rate: f64,
    place: &Place,
) -> Stepped {
    let tracked = decoder.weights().clone().tracked();
    let loss = batch_loss(&decoder.with_weights(tracked.clone()), batch, place.kernels);
    let value = f64::from(loss.clone().into_scalar::<f32>());
    let gradients = loss.backward();
    let (weights, norm) = adam.step(tracked, &gradients, config, rate);
    Stepped { weights, loss: value, norm }
}
