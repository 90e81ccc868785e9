//! A whole decoder block as one operation of the `flex` backend, with its backward pass.
#![allow(
    clippy::too_many_arguments,
    reason = "the backend extension takes tensors one by one"
)]

use std::sync::Arc;

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

use crate::model::cpu::Call;
use crate::model::cpu::batch_shards::{BatchShard, shard_groups};
use crate::model::cpu::block::{
    self, BlockBackward, BlockParams, SavedActivations, TransposedWeights,
};
use crate::model::cpu::buffer::PooledBuffer;

use super::{Primitive, flat, tensor, values};

#[backend_extension(Flex, Autodiff)]
pub trait FusedBlock: Backend {
    fn fused_block(
        x: FloatTensor<Self>,
        attention_norm: FloatTensor<Self>,
        packed: FloatTensor<Self>,
        output: FloatTensor<Self>,
        mlp_norm: FloatTensor<Self>,
        gate_up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self>;
}

/// The fused form of [`Engine::block`](crate::model::Kernels::block).
pub fn block(
    x: Tensor<2>,
    gains: [Tensor<1>; 2],
    matrices: [Tensor<2>; 4],
    call: &Call,
) -> Tensor<2> {
    let [attention_norm, mlp_norm] = gains.map(Tensor::into_dispatch);
    let [packed, output, gate_up, down] = matrices.map(Tensor::into_dispatch);
    let (x, call) = (x.into_dispatch(), call.clone());
    let y = Dispatch::fused_block(
        x,
        attention_norm,
        packed,
        output,
        mlp_norm,
        gate_up,
        down,
        call,
    );
    Tensor::from_dispatch(y)
}

impl FusedBlock for Flex {
    fn fused_block(
        x: Primitive,
        attention_norm: Primitive,
        packed: Primitive,
        output: Primitive,
        mlp_norm: Primitive,
        gate_up: Primitive,
        down: Primitive,
        call: Call,
    ) -> Primitive {
        let weights = BlockParams::from_array(
            [attention_norm, packed, output, mlp_norm, gate_up, down].map(flat),
        );
        call.forward(flat(x), &weights).0
    }
}

impl<C: CheckpointStrategy> FusedBlock for Autodiff<Flex, C> {
    fn fused_block(
        x: FloatTensor<Self>,
        attention_norm: FloatTensor<Self>,
        packed: FloatTensor<Self>,
        output: FloatTensor<Self>,
        mlp_norm: FloatTensor<Self>,
        gate_up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        let inner = |tensor: &FloatTensor<Self>| flat(tensor.primitive().clone());
        let all = [
            &attention_norm,
            &packed,
            &output,
            &mlp_norm,
            &gate_up,
            &down,
        ];
        let weights = BlockParams::from_array(all.map(inner));
        let input = inner(&x);
        let (y, kept) = call.forward(input.clone(), &weights);
        let all = [
            &x,
            &attention_norm,
            &packed,
            &output,
            &mlp_norm,
            &gate_up,
            &down,
        ];
        match Block
            .prepare::<C>(all.map(FloatTensor::<Self>::node))
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(
                State {
                    call,
                    input,
                    weights,
                    kept: Arc::new(kept),
                },
                y,
            ),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

impl Call {
    /// Passes every shard through the block.
    fn forward(
        &self,
        mut x: Primitive,
        weights: &BlockParams<Primitive>,
    ) -> (Primitive, Vec<Vec<SavedActivations>>) {
        let (groups, size) = (shard_groups(&self.lengths, 0), x.shape().num_elements());
        let weights = slices(weights);
        let mut kept: Vec<Vec<Option<SavedActivations>>> = groups
            .iter()
            .map(|group| group.iter().map(|_| None).collect())
            .collect();
        let mut rest = &mut x.storage_mut::<f32>()[..size];
        let mut tasks = Vec::new();
        for (shard, kept) in groups.iter().flatten().zip(kept.iter_mut().flatten()) {
            let (rows, after) = rest.split_at_mut(shard.rows.len() * self.shape.width);
            tasks.push((shard, rows, kept));
            rest = after;
        }
        self.threads.for_each(tasks, |(shard, rows, kept)| {
            *kept = Some(block::forward(
                rows,
                &weights,
                &self.shape,
                self.lengths(shard),
            ));
        });
        (
            x,
            kept.into_iter()
                .map(|group| group.into_iter().flatten().collect())
                .collect(),
        )
    }

    /// Gradients of the input and of the weights.
    fn backward(&self, mut dx: Primitive, state: &State) -> (Primitive, BlockParams<Vec<f32>>) {
        let (cut, size) = (shard_groups(&self.lengths, 0), dx.shape().num_elements());
        let (weights, mut x) = (slices(&state.weights), values(&state.input));
        let mut rest = &mut dx.storage_mut::<f32>()[..size];
        let mut groups = Vec::new();
        for (shards, kept) in cut.iter().zip(&*state.kept) {
            let size =
                shards.iter().map(|shard| shard.rows.len()).sum::<usize>() * self.shape.width;
            let ((x_here, x_after), (dx, after)) = (x.split_at(size), rest.split_at_mut(size));
            groups.push(Group {
                shards,
                kept,
                x: x_here,
                dx,
                gradients: BlockParams::gradient_buffers(&self.shape),
            });
            (x, rest) = (x_after, after);
        }
        let turned = TransposedWeights::new(&weights, &self.shape);
        self.threads.for_each(groups.iter_mut().collect(), |group| {
            group.run(&weights, &turned, self)
        });
        let mut sums = groups.into_iter().map(|group| group.gradients);
        let mut total = sums
            .next()
            .unwrap_or_else(|| BlockParams::gradient_buffers(&self.shape));
        for sum in sums {
            total.add(&sum);
        }
        let total = total.into_array().map(|part| part.to_vec());
        (dx, BlockParams::from_array(total))
    }

    fn lengths(&self, shard: &BatchShard) -> &[usize] {
        &self.lengths[shard.sequences.clone()]
    }
}

fn slices(weights: &BlockParams<Primitive>) -> BlockParams<&[f32]> {
    let BlockParams {
        attention_norm,
        qkv: packed,
        output,
        mlp_norm,
        gate_up,
        down,
    } = weights;
    BlockParams::from_array([attention_norm, packed, output, mlp_norm, gate_up, down].map(values))
}

/// A group of shards and the gradients that it adds up.
struct Group<'a> {
    shards: &'a [BatchShard],
    kept: &'a [SavedActivations],
    x: &'a [f32],
    dx: &'a mut [f32],
    gradients: BlockParams<PooledBuffer>,
}

impl Group<'_> {
    fn run(&mut self, weights: &BlockParams<&[f32]>, turned: &TransposedWeights, call: &Call) {
        let mut first = 0;
        for (number, (shard, kept)) in self.shards.iter().zip(self.kept).enumerate() {
            let values = first..first + shard.rows.len() * call.shape.width;
            first = values.end;
            let (x, shape, lengths) = (&self.x[values.clone()], &*call.shape, call.lengths(shard));
            let passed = BlockBackward {
                weights,
                transposed: turned,
                shape,
                x,
                saved: kept,
                lengths,
            };
            block::backward(
                &passed,
                &mut self.dx[values],
                &mut self.gradients,
                number > 0,
            );
        }
    }
}

#[derive(Debug)]
struct Block;

#[derive(Clone, Debug)]
struct State {
    call: Call,
    input: Primitive,
    weights: BlockParams<Primitive>,
    kept: Arc<Vec<Vec<SavedActivations>>>,
}

impl Backward<Flex, 7> for Block {
    type State = State;

    fn backward(self, ops: Ops<State, 7>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = flat(grads.consume::<Flex>(&ops.node));
        let (dx, gradients) = ops.state.call.backward(dy, &ops.state);
        let [x, parents @ ..] = ops.parents;
        if let Some(node) = x {
            grads.register::<Flex>(node.id, dx);
        }
        let weights = ops.state.weights.into_array();
        for ((node, gradient), weight) in parents
            .into_iter()
            .zip(gradients.into_array())
            .zip(&weights)
        {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, tensor(gradient, weight.shape()));
            }
        }
    }
}
