//! `AdamW` (Loshchilov and Hutter 2019) in one pass over each parameter, after clipping by the
//! global gradient norm.
//!
//! Weight decay applies to matrices only. Bias correction and the place of epsilon follow
//! `torch.optim.AdamW`; the clipping follows `torch.nn.utils.clip_grad_norm_`.

use std::collections::BTreeMap;

use burn::tensor::{Gradients, Tensor, TensorData};
use multiversion::multiversion;

use crate::model::{Visit, Weights};

use super::TrainConfig;

const EPSILON: f32 = 1e-8;

/// The optimizer's state: two moments of every parameter, and the number of steps done.
#[derive(Clone, Debug, Default)]
pub struct AdamW {
    /// First and second moments by parameter name.
    pub moments: BTreeMap<String, [Vec<f32>; 2]>,
    /// Steps done.
    pub steps: u64,
}

impl AdamW {
    /// Replaces tracked `weights` by plain ones, one step further along `gradients`; returns them
    /// with the gradients' global norm before clipping.
    #[must_use]
    pub fn step(
        &mut self,
        weights: Weights,
        gradients: &Gradients,
        config: &TrainConfig,
        rate: f64,
    ) -> (Weights, f64) {
        let mut collect = Collect { gradients, values: BTreeMap::new() };
        let weights = weights.map(&mut collect);
        let squares: f64 = collect.values.values().flatten().map(|&g| f64::from(g).powi(2)).sum();
        let norm = squares.sqrt();
        let clipped = if config.clip > 0.0 { (config.clip / (norm + 1e-6)).min(1.0) } else { 1.0 };
        self.steps += 1;
        let gradients = collect.values;
        let mut update = Update { state: self, gradients, scale: clipped as f32, config, rate };
        (weights.map(&mut update), norm)
    }
}

/// Takes the gradient of every parameter to the host.
struct Collect<'a> {
    gradients: &'a Gradients,
    values: BTreeMap<String, Vec<f32>>,
}

impl Visit for Collect<'_> {
    fn visit<const R: usize>(&mut self, name: &str, parameter: Tensor<R>) -> Tensor<R> {
        if let Some(gradient) = parameter.grad(self.gradients) {
            let values = gradient.into_data().try_into_vec().expect("gradients are f32");
            self.values.insert(name.to_owned(), values);
        }
        parameter.inner()
    }
}

/// Moves every parameter that has a gradient.
struct Update<'a> {
    state: &'a mut AdamW,
    gradients: BTreeMap<String, Vec<f32>>,
    scale: f32,
    config: &'a TrainConfig,
    rate: f64,
}

impl Visit for Update<'_> {
    fn visit<const R: usize>(&mut self, name: &str, parameter: Tensor<R>) -> Tensor<R> {
        let Some(gradient) = self.gradients.get(name) else { return parameter };
        let (device, shape) = (parameter.device(), parameter.shape());
        let mut values: Vec<f32> = parameter.into_data().try_into_vec().expect("parameters are f32");
        let zeros = || vec![0.0; values.len()];
        let [first, second] = self.state.moments.entry(name.to_owned()).or_insert_with(|| [zeros(), zeros()]);
        let decay = if R > 1 { self.rate * self.config.weight_decay } else { 0.0 };
        let (beta1, beta2) = (self.config.beta1, self.config.beta2);
        let steps = self.state.steps as i32;
        let numbers = Numbers {
            scale: self.scale,
            keep: (1.0 - decay) as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            rate: (self.rate / (1.0 - beta1.powi(steps))) as f32,
            correction: (1.0 - beta2.powi(steps)).sqrt() as f32,
        };
        advance(&mut values, gradient, first, second, &numbers);
        Tensor::from_data(TensorData::new(values, shape), &device)
    }
}

struct Numbers {
    scale: f32,
    keep: f32,
    beta1: f32,
    beta2: f32,
    rate: f32,
    correction: f32,
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn advance(values: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], n: &Numbers) {
    for (((w, g), m), v) in values.iter_mut().zip(gradient).zip(first).zip(second) {
        let g = g * n.scale;
        *m = n.beta1 * *m + (1.0 - n.beta1) * g;
        *v = n.beta2 * *v + (1.0 - n.beta2) * g * g;
        *w = *w * n.keep - n.rate * *m / (v.sqrt() / n.correction + EPSILON);
    }
}
