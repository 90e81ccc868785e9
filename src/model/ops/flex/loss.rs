//! Last normalisation, output head and weighted negative log-likelihood as one operation of the
//! `flex` backend.
//!
//! The gradients are made together with the loss, while the logits are at hand; the backward pass
//! only scales them.

use std::sync::Arc;

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};

use crate::model::Threads;
use crate::model::ops::Targets;
use crate::model::ops::head::{Gradients as HeadGradients, Head};

use super::{Primitive, flat, tensor, values};

/// What the loss needs beside its tensors.
#[derive(Clone, Debug)]
pub struct LossCall {
    targets: Targets,
    tied: bool,
    epsilon: f32,
    threads: Threads,
}

#[backend_extension(Flex, Autodiff)]
pub trait FusedLoss: Backend {
    fn fused_loss(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        call: LossCall,
    ) -> FloatTensor<Self>;
}

/// The fused form of [`Kernels::loss`](crate::model::Kernels::loss).
pub fn loss(
    x: Tensor<2>,
    gain: Tensor<1>,
    weights: Tensor<2>,
    tied: bool,
    targets: &Targets,
    epsilon: f64,
    threads: &Threads,
) -> Tensor<1> {
    let (targets, threads) = (targets.clone(), threads.clone());
    let call = LossCall { targets, tied, epsilon: epsilon as f32, threads };
    let (x, gain, weights) = (x.into_dispatch(), gain.into_dispatch(), weights.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_loss(x, gain, weights, call))
}

impl LossCall {
    fn run(&self, [x, gain, weights]: &[Primitive; 3], tracked: bool) -> (Primitive, Option<HeadGradients>) {
        let (gain, weights) = (values(gain), values(weights));
        let head = Head { gain, weights, tied: self.tied, epsilon: self.epsilon };
        let (loss, gradients) = head.loss(values(x), &self.targets, tracked, &self.threads);
        (tensor(vec![loss], Shape::new([1])), gradients)
    }
}

impl FusedLoss for Flex {
    fn fused_loss(x: Primitive, gain: Primitive, weights: Primitive, call: LossCall) -> Primitive {
        call.run(&[x, gain, weights].map(flat), false).0
    }
}

impl<C: CheckpointStrategy> FusedLoss for Autodiff<Flex, C> {
    fn fused_loss(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        call: LossCall,
    ) -> FloatTensor<Self> {
        let inner = [&x, &gain, &weights].map(|tensor| flat(tensor.primitive().clone()));
        let shapes = inner.each_ref().map(TensorMetadata::shape);
        match Loss.prepare::<C>([x.node(), gain.node(), weights.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (loss, gradients) = call.run(&inner, true);
                prep.finish((Arc::new(gradients), shapes), loss)
            }
            OpsKind::UnTracked(prep) => prep.finish(call.run(&inner, false).0),
        }
    }
}

#[derive(Debug)]
struct Loss;

impl Backward<Flex, 3> for Loss {
    type State = (Arc<Option<HeadGradients>>, [Shape; 3]);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = values(&flat(grads.consume::<Flex>(&ops.node)))[0];
        let (gradients, shapes) = ops.state;
        let Some(Some(HeadGradients { dx, dgain, dweights })) = Arc::into_inner(gradients) else { return };
        for ((node, mut gradient), shape) in ops.parents.into_iter().zip([dx, dgain, dweights]).zip(shapes) {
            let Some(node) = node else { continue };
            #[expect(clippy::float_cmp, reason = "multiplying by exactly one changes nothing")]
            if upstream != 1.0 {
                gradient.iter_mut().for_each(|value| *value *= upstream);
            }
            grads.register::<Flex>(node.id, tensor(gradient, shape));
        }
    }
}
