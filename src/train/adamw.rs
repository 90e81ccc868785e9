//! `AdamW` (Loshchilov and Hutter 2019) in one pass over each parameter, after clipping by the
//! global gradient norm.
//!
//! Weight decay applies to matrices only. Bias correction and the place of epsilon follow
//! `torch.optim.AdamW`; the clipping follows `torch.nn.utils.clip_grad_norm_`.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use multiversion::multiversion;

use crate::model::{Gradient, Gradients, ParameterVisitor, Threads, Weights};

use super::TrainConfig;

const EPSILON: f32 = 1e-8;

/// Values that one thread moves at a time.
const CHUNK_LEN: usize = 1 << 16;

/// The optimizer's state: two moments of every parameter, and the number of steps done.
#[derive(Clone, Debug, Default)]
pub struct AdamW {
    /// First and second moments by parameter name.
    pub moments: BTreeMap<String, AdamMoments>,
    /// Steps done.
    pub steps: u64,
}

/// First and second moment of one parameter, where its gradients are.
#[derive(Clone, Debug)]
pub enum AdamMoments {
    /// In host memory.
    Host([Vec<f32>; 2]),
    /// On the parameter's device, \[elements\] each.
    Device(Box<[Tensor<1>; 2]>),
}

impl AdamW {
    /// Moves `weights` one step along `gradients`; returns them with the gradients' global norm
    /// before clipping. Parameters without a gradient stay as they are.
    #[must_use]
    pub fn step(
        &mut self,
        weights: Weights,
        gradients: &Gradients,
        config: &TrainConfig,
        rate: f64,
        threads: &Threads,
    ) -> (Weights, f64) {
        let norm = gradients.norm();
        let clipped = if config.max_grad_norm > 0.0 {
            (config.max_grad_norm / (norm + 1e-6)).min(1.0)
        } else {
            1.0
        };
        self.steps += 1;
        let mut update = AdamUpdate {
            state: self,
            gradients,
            clip_scale: clipped as f32,
            config,
            rate,
            threads,
        };
        (weights.map_parameters(&mut update), norm)
    }
}

/// Moves every parameter that has a gradient.
struct AdamUpdate<'a> {
    state: &'a mut AdamW,
    gradients: &'a Gradients,
    clip_scale: f32,
    config: &'a TrainConfig,
    rate: f64,
    threads: &'a Threads,
}

impl AdamUpdate<'_> {
    fn coefficients(&self, rank: usize) -> AdamCoefficients {
        let decay = if rank > 1 {
            self.rate * self.config.weight_decay
        } else {
            0.0
        };
        let (beta1, beta2) = (self.config.beta1, self.config.beta2);
        let steps = self.state.steps as i32;
        AdamCoefficients {
            clip_scale: self.clip_scale,
            decay_factor: (1.0 - decay) as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            rate: (self.rate / (1.0 - beta1.powi(steps))) as f32,
            bias_correction: (1.0 - beta2.powi(steps)).sqrt() as f32,
        }
    }
}

impl ParameterVisitor for AdamUpdate<'_> {
    fn visit<const R: usize>(&mut self, name: &str, parameter: Tensor<R>) -> Tensor<R> {
        let Some(gradient) = self.gradients.gradient(name) else {
            return parameter;
        };
        let numbers = self.coefficients(R);
        match gradient {
            Gradient::Host(gradient) => self.update_on_host(name, parameter, gradient, &numbers),
            Gradient::Device(gradient) => {
                self.update_on_device(name, parameter, (**gradient).clone(), &numbers)
            }
        }
    }
}

impl AdamUpdate<'_> {
    fn update_on_host<const R: usize>(
        &mut self,
        name: &str,
        parameter: Tensor<R>,
        gradient: &[f32],
        numbers: &AdamCoefficients,
    ) -> Tensor<R> {
        let (device, shape) = (parameter.device(), parameter.shape());
        let mut values: Vec<f32> = parameter
            .into_data()
            .try_into_vec()
            .expect("parameters are f32");
        let kept = self.state.moments.remove(name).map(AdamMoments::into_host);
        let [mut first, mut second] =
            kept.unwrap_or_else(|| [(); 2].map(|()| vec![0.0; values.len()]));
        let moments = first
            .chunks_mut(CHUNK_LEN)
            .zip(second.chunks_mut(CHUNK_LEN));
        let pieces = values
            .chunks_mut(CHUNK_LEN)
            .zip(gradient.chunks(CHUNK_LEN))
            .zip(moments)
            .collect();
        self.threads
            .for_each(pieces, |((values, gradient), (first, second))| {
                advance(values, gradient, first, second, numbers);
            });
        self.state
            .moments
            .insert(name.to_owned(), AdamMoments::Host([first, second]));
        Tensor::from_data(TensorData::new(values, shape), &device)
    }
}

impl AdamUpdate<'_> {
    fn update_on_device<const R: usize>(
        &mut self,
        name: &str,
        parameter: Tensor<R>,
        gradient: Tensor<1>,
        n: &AdamCoefficients,
    ) -> Tensor<R> {
        let shape = parameter.shape();
        let kept = self
            .state
            .moments
            .remove(name)
            .map(|kept| kept.into_device(&gradient));
        let [first, second] =
            kept.unwrap_or_else(|| [gradient.zeros_like(), gradient.zeros_like()]);
        let g = gradient * n.clip_scale;
        let first = first * n.beta1 + g.clone() * (1.0 - n.beta1);
        let second = second * n.beta2 + g.square() * (1.0 - n.beta2);
        let step = first.clone() * n.rate / (second.clone().sqrt() / n.bias_correction + EPSILON);
        self.state.moments.insert(
            name.to_owned(),
            AdamMoments::Device(Box::new([first, second])),
        );
        (parameter.reshape([step.dims()[0]]) * n.decay_factor - step).reshape(shape)
    }
}

impl AdamMoments {
    /// Their values in host memory.
    #[must_use]
    pub fn into_host(self) -> [Vec<f32>; 2] {
        match self {
            Self::Host(values) => values,
            Self::Device(tensors) => {
                tensors.map(|tensor| tensor.into_data().try_into_vec().expect("moments are f32"))
            }
        }
    }

    fn into_device(self, like: &Tensor<1>) -> [Tensor<1>; 2] {
        match self {
            Self::Host(values) => values.map(|values| {
                Tensor::from_data(TensorData::from(values.as_slice()), &like.device())
            }),
            Self::Device(tensors) => *tensors,
        }
    }
}

struct AdamCoefficients {
    clip_scale: f32,
    decay_factor: f32,
    beta1: f32,
    beta2: f32,
    rate: f32,
    bias_correction: f32,
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn advance(
    values: &mut [f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    n: &AdamCoefficients,
) {
    for (((w, g), m), v) in values.iter_mut().zip(gradient).zip(first).zip(second) {
        let g = g * n.clip_scale;
        *m = n.beta1 * *m + (1.0 - n.beta1) * g;
        *v = n.beta2 * *v + (1.0 - n.beta2) * g * g;
        *w = *w * n.decay_factor - n.rate * *m / (v.sqrt() / n.bias_correction + EPSILON);
    }
}
