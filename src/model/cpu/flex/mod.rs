//! How the fused operations reach the `flex` backend and its gradients: burn's backend extension.
//!
//! Each operation has a body for `Flex` and one for `Autodiff<Flex>` that keeps what its backward
//! pass needs. Computes nothing itself.

use std::sync::Arc;

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor, TensorData};

use super::buffer::PooledBuffer;
use super::{
    AttentionHeads, LossTargets, RotaryTables, attention as attend, cross_entropy as entropy,
    rms_norm as rms,
};

mod block;

pub use block::block;

type Primitive = FloatTensor<Flex>;

/// What an attention call needs beside its tensor.
#[derive(Clone, Debug)]
pub struct Attended {
    heads: AttentionHeads,
    lengths: Arc<[usize]>,
    rotary: RotaryTables,
}

#[backend_extension(Flex, Autodiff)]
pub trait Fused: Backend {
    fn fused_rms_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;
    fn fused_attention(packed: FloatTensor<Self>, call: Attended) -> FloatTensor<Self>;
    fn fused_swiglu(packed: FloatTensor<Self>) -> FloatTensor<Self>;
    fn fused_cross_entropy(logits: FloatTensor<Self>, targets: LossTargets) -> FloatTensor<Self>;
}

pub fn rms_norm(x: Tensor<2>, gain: Tensor<1>, epsilon: f64) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::fused_rms_norm(
        x.into_dispatch(),
        gain.into_dispatch(),
        epsilon,
    ))
}

pub fn attention(
    packed: Tensor<2>,
    heads: &AttentionHeads,
    lengths: &Arc<[usize]>,
    rotary: &RotaryTables,
) -> Tensor<2> {
    let call = Attended {
        heads: heads.clone(),
        lengths: Arc::clone(lengths),
        rotary: rotary.clone(),
    };
    Tensor::from_dispatch(Dispatch::fused_attention(packed.into_dispatch(), call))
}

pub fn swiglu(packed: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::fused_swiglu(packed.into_dispatch()))
}

pub fn cross_entropy(logits: Tensor<2>, targets: &LossTargets) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::fused_cross_entropy(
        logits.into_dispatch(),
        targets.clone(),
    ))
}

impl Fused for Flex {
    fn fused_rms_norm(x: Primitive, gain: Primitive, epsilon: f64) -> Primitive {
        run_rms_norm(&flat(x), &flat(gain), epsilon).0
    }

    fn fused_attention(packed: Primitive, call: Attended) -> Primitive {
        run_attention(&flat(packed), &call).0
    }

    fn fused_swiglu(packed: Primitive) -> Primitive {
        run_swiglu(&flat(packed))
    }

    fn fused_cross_entropy(logits: Primitive, targets: LossTargets) -> Primitive {
        run_cross_entropy(&flat(logits), &targets).0
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn fused_rms_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let (inner, scale) = (flat(x.primitive().clone()), flat(gain.primitive().clone()));
        let (y, inverse) = run_rms_norm(&inner, &scale, epsilon);
        match RmsNorm
            .prepare::<C>([x.node(), gain.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((inner, scale, inverse), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn fused_attention(packed: FloatTensor<Self>, call: Attended) -> FloatTensor<Self> {
        let (y, saved) = run_attention(&flat(packed.primitive().clone()), &call);
        match Attention
            .prepare::<C>([packed.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((saved, call), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn fused_swiglu(packed: FloatTensor<Self>) -> FloatTensor<Self> {
        let inner = flat(packed.primitive().clone());
        let y = run_swiglu(&inner);
        match SwiGlu
            .prepare::<C>([packed.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(inner, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn fused_cross_entropy(logits: FloatTensor<Self>, targets: LossTargets) -> FloatTensor<Self> {
        let (loss, gradient) = run_cross_entropy(&flat(logits.primitive().clone()), &targets);
        match CrossEntropy
            .prepare::<C>([logits.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(gradient, loss),
            OpsKind::UnTracked(prep) => prep.finish(loss),
        }
    }
}

fn run_rms_norm(x: &Primitive, gain: &Primitive, epsilon: f64) -> (Primitive, Vec<f32>) {
    let (mut y, mut inverse) = (vec![0.0; values(x).len()], vec![0.0; x.shape()[0]]);
    rms::forward(
        values(x),
        values(gain),
        epsilon as f32,
        &mut y,
        &mut inverse,
    );
    (tensor(y, x.shape()), inverse)
}

/// Rotated rows and attention probabilities.
type Saved = (Vec<f32>, Vec<f32>);

fn run_attention(packed: &Primitive, call: &Attended) -> (Primitive, Saved) {
    let Attended {
        heads,
        lengths,
        rotary,
    } = call;
    let mut rotated = values(packed).to_vec();
    attend::rotate(&mut rotated, heads, lengths, rotary, false);
    let rows = packed.shape()[0];
    let (mut p, mut y) = (
        vec![0.0; attend::probability_count(lengths, heads)],
        vec![0.0; rows * heads.query_width()],
    );
    attend::forward(&rotated, heads, lengths, &mut p, &mut y);
    (
        tensor(y, Shape::new([rows, heads.query_width()])),
        (rotated, p),
    )
}

fn run_swiglu(packed: &Primitive) -> Primitive {
    let [rows, width] = [packed.shape()[0], packed.shape()[1] / 2];
    let mut y = vec![0.0; rows * width];
    super::swiglu::forward(values(packed), width, &mut y);
    tensor(y, Shape::new([rows, width]))
}

fn run_cross_entropy(logits: &Primitive, targets: &LossTargets) -> (Primitive, Primitive) {
    let mut gradient = values(logits).to_vec();
    let loss = entropy::loss_and_gradient_in_place(
        &mut gradient,
        logits.shape()[1],
        &targets.ids,
        &targets.weights,
    );
    (
        tensor(vec![loss as f32], Shape::new([1])),
        tensor(gradient, logits.shape()),
    )
}

#[derive(Debug)]
struct RmsNorm;

impl Backward<Flex, 2> for RmsNorm {
    type State = (Primitive, Primitive, Vec<f32>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = flat(grads.consume::<Flex>(&ops.node));
        let (x, gain, inverse) = ops.state;
        let (mut dx, mut dgain) = (vec![0.0; values(&x).len()], vec![0.0; values(&gain).len()]);
        rms::backward(
            values(&x),
            values(&gain),
            &inverse,
            values(&dy),
            &mut dx,
            &mut dgain,
        );
        let [x_node, gain_node] = ops.parents;
        if let Some(node) = x_node {
            grads.register::<Flex>(node.id, tensor(dx, x.shape()));
        }
        if let Some(node) = gain_node {
            grads.register::<Flex>(node.id, tensor(dgain, gain.shape()));
        }
    }
}

#[derive(Debug)]
struct Attention;

impl Backward<Flex, 1> for Attention {
    type State = (Saved, Attended);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = flat(grads.consume::<Flex>(&ops.node));
        let (
            (rotated, p),
            Attended {
                heads,
                lengths,
                rotary,
            },
        ) = ops.state;
        let [node] = ops.parents;
        if let Some(node) = node {
            let mut gradient = vec![0.0; rotated.len()];
            attend::backward(&rotated, &p, &heads, &lengths, values(&dy), &mut gradient);
            attend::rotate(&mut gradient, &heads, &lengths, &rotary, true);
            let shape = Shape::new([dy.shape()[0], heads.qkv_width()]);
            grads.register::<Flex>(node.id, tensor(gradient, shape));
        }
    }
}

#[derive(Debug)]
struct SwiGlu;

impl Backward<Flex, 1> for SwiGlu {
    type State = Primitive;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = flat(grads.consume::<Flex>(&ops.node));
        let (packed, [node]) = (ops.state, ops.parents);
        if let Some(node) = node {
            let (mut gradient, width) = (vec![0.0; values(&packed).len()], packed.shape()[1] / 2);
            let mut again = PooledBuffer::acquire(values(&dy).len());
            super::swiglu::backward(
                values(&packed),
                width,
                values(&dy),
                &mut again,
                &mut gradient,
            );
            grads.register::<Flex>(node.id, tensor(gradient, packed.shape()));
        }
    }
}

#[derive(Debug)]
struct CrossEntropy;

impl Backward<Flex, 1> for CrossEntropy {
    type State = Primitive;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = values(&flat(grads.consume::<Flex>(&ops.node)))[0];
        let (mut gradient, [node]) = (ops.state, ops.parents);
        for value in gradient.storage_mut::<f32>() {
            *value *= upstream;
        }
        if let Some(node) = node {
            grads.register::<Flex>(node.id, gradient);
        }
    }
}

/// The same tensor with its values one after the other from the start of its storage.
fn flat(x: Primitive) -> Primitive {
    if x.is_contiguous() && x.layout().start_offset() == 0 {
        x
    } else {
        x.to_contiguous()
    }
}

fn values(x: &Primitive) -> &[f32] {
    &x.storage::<f32>()[..x.shape().num_elements()]
}

fn tensor(values: Vec<f32>, shape: Shape) -> Primitive {
    Primitive::from_data(TensorData::new(values, shape))
}
