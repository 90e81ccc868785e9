//! One decoder block on ragged rows, and the way back.

use burn::tensor::Tensor;
use burn::tensor::activation::{sigmoid, silu};

use super::attention::{self, Attention};
use super::inputs::{self, Inputs};
use super::linear::{Linear, Trained};
use super::norm;

/// A block's parameters, its matrices in the precision of products.
pub struct Layer<'a> {
    pub attention_norm: &'a Tensor<1>,
    pub packed: Linear<'a>,
    pub inputs: Inputs<'a>,
    pub output: Linear<'a>,
    pub mlp_norm: &'a Tensor<1>,
    pub gate_up: Linear<'a>,
    pub down: Linear<'a>,
    pub epsilon: f64,
    /// Whether adapters alone are trained.
    pub frozen: bool,
}

/// What a block keeps for the way back.
pub struct Kept {
    x: Tensor<2>,
    normed: Tensor<2>,
    inputs: inputs::Kept,
    attention: Vec<attention::Kept>,
    mixed: Tensor<2>,
    between: Tensor<2>,
    between_normed: Tensor<2>,
    gate_up: Tensor<2>,
}

/// Gradients of a block's parameters.
pub struct Parts {
    pub attention_norm: Tensor<1>,
    pub packed: Trained,
    pub inputs: inputs::Parts,
    pub output: Trained,
    pub mlp_norm: Tensor<1>,
    pub gate_up: Trained,
    pub down: Trained,
}

impl Layer<'_> {
    /// The block on `x` \[N, D\], with an attention that takes packed rows to mixed ones.
    pub fn apply(
        &self,
        x: &Tensor<2>,
        attention: impl FnOnce(&Tensor<2>) -> Tensor<2>,
    ) -> Tensor<2> {
        self.forward(x, |packed| (attention(packed), Vec::new())).0
    }

    /// The same, with what the way back needs; the attention keeps its own part.
    pub fn forward(
        &self,
        x: &Tensor<2>,
        attention: impl FnOnce(&Tensor<2>) -> (Tensor<2>, Vec<attention::Kept>),
    ) -> (Tensor<2>, Kept) {
        let normed = norm::forward(x, self.attention_norm, self.epsilon);
        let (packed, inputs) = self.inputs.forward(self.packed.forward(&normed));
        let (mixed, kept) = attention(&packed);
        let between = x.clone() + self.output.forward(&mixed);
        let between_normed = norm::forward(&between, self.mlp_norm, self.epsilon);
        let gate_up = self.gate_up.forward(&between_normed);
        let y = between.clone() + self.down.forward(&gated(gate_up.clone()));
        (
            y,
            Kept {
                x: x.clone(),
                normed,
                inputs,
                attention: kept,
                mixed,
                between,
                between_normed,
                gate_up,
            },
        )
    }

    /// Gradients of the block's input and parameters from that of its output.
    pub fn backward(
        &self,
        kept: Kept,
        attention: &Attention<'_>,
        dy: Tensor<2>,
    ) -> (Tensor<2>, Parts) {
        let Kept {
            x,
            normed,
            inputs,
            attention: attended,
            mixed,
            between,
            between_normed,
            gate_up,
        } = kept;
        let (dgated, down) = self
            .down
            .backward(&gated(gate_up.clone()), &dy, self.frozen);
        let dgate_up = ungated(gate_up, dgated);
        let (dnormed, gate_up) = self
            .gate_up
            .backward(&between_normed, &dgate_up, self.frozen);
        let (dbetween, mlp_norm) = norm::backward(&between, self.mlp_norm, self.epsilon, dnormed);
        let dbetween = dy + dbetween;
        let (dmixed, output) = self.output.backward(&mixed, &dbetween, self.frozen);
        let dpacked = attention.backward(attended, &dmixed);
        let (dpacked, inputs) = self.inputs.backward(inputs, dpacked);
        let (dnormed, packed) = self.packed.backward(&normed, &dpacked, self.frozen);
        let (dx, attention_norm) = norm::backward(&x, self.attention_norm, self.epsilon, dnormed);
        (
            dbetween + dx,
            Parts {
                attention_norm,
                packed,
                inputs,
                output,
                mlp_norm,
                gate_up,
                down,
            },
        )
    }
}

/// `silu(gate) * up` from packed gates and ups \[N, 2 F\].
fn gated(packed: Tensor<2>) -> Tensor<2> {
    let [gate, up] = halves(packed);
    silu(gate) * up
}

/// Gradient of the packed gates and ups; the derivative of `silu(g)` is `s (1 + g (1 - s))`.
fn ungated(packed: Tensor<2>, dy: Tensor<2>) -> Tensor<2> {
    let [gate, up] = halves(packed);
    let s = sigmoid(gate.clone());
    let soft = gate * s.clone();
    let slope = s.clone() + soft.clone() * (s.neg() + 1.0);
    Tensor::cat(vec![dy.clone() * up * slope, dy * soft], 1)
}

fn halves(packed: Tensor<2>) -> [Tensor<2>; 2] {
    let width = packed.dims()[1];
    [
        packed.clone().slice_dim(1, 0..width / 2),
        packed.slice_dim(1, width / 2..width),
    ]
}
