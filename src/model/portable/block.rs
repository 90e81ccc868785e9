//! One decoder block on ragged rows, forward and backward.

use burn::tensor::Tensor;
use burn::tensor::activation::{sigmoid, silu};

use super::attention::{self, PaddedAttention};
use super::lora_linear::{LinearGradients, LoraLinear};
use super::qkv_bias_norm::{self, QkvBiasNorm};
use super::rms_norm;

/// A block's parameters, its matrices in the precision of products.
pub struct DecoderLayer<'a> {
    pub attention_norm: &'a Tensor<1>,
    pub qkv: LoraLinear<'a>,
    pub qkv_bias_norm: QkvBiasNorm<'a>,
    pub output: LoraLinear<'a>,
    pub mlp_norm: &'a Tensor<1>,
    pub gate_up: LoraLinear<'a>,
    pub down: LoraLinear<'a>,
    pub epsilon: f64,
    /// Whether adapters alone are trained.
    pub is_frozen: bool,
}

/// Activations of a block that the backward pass reads.
pub struct LayerActivations {
    x: Tensor<2>,
    normed: Tensor<2>,
    qkv_bias_norm: qkv_bias_norm::QkvActivations,
    attention: Vec<attention::AttentionActivations>,
    mixed: Tensor<2>,
    between: Tensor<2>,
    between_normed: Tensor<2>,
    gate_up: Tensor<2>,
}

/// Gradients of a block's parameters.
pub struct LayerGradients {
    pub attention_norm: Tensor<1>,
    pub qkv: LinearGradients,
    pub qkv_bias_norm: qkv_bias_norm::QkvGradients,
    pub output: LinearGradients,
    pub mlp_norm: Tensor<1>,
    pub gate_up: LinearGradients,
    pub down: LinearGradients,
}

impl DecoderLayer<'_> {
    /// The block on `x` \[N, D\], with an attention that takes packed rows to mixed ones.
    pub fn forward_without_saving(
        &self,
        x: &Tensor<2>,
        attention: impl FnOnce(&Tensor<2>) -> Tensor<2>,
    ) -> Tensor<2> {
        self.forward(x, |packed| (attention(packed), Vec::new())).0
    }

    /// The same, with the activations for the backward pass; the attention keeps its own part.
    pub fn forward(
        &self,
        x: &Tensor<2>,
        attention: impl FnOnce(&Tensor<2>) -> (Tensor<2>, Vec<attention::AttentionActivations>),
    ) -> (Tensor<2>, LayerActivations) {
        let normed = rms_norm::forward(x, self.attention_norm, self.epsilon);
        let (packed, inputs) = self.qkv_bias_norm.forward(self.qkv.forward(&normed));
        let (mixed, kept) = attention(&packed);
        let between = x.clone() + self.output.forward(&mixed);
        let between_normed = rms_norm::forward(&between, self.mlp_norm, self.epsilon);
        let gate_up = self.gate_up.forward(&between_normed);
        let y = between.clone() + self.down.forward(&swiglu(gate_up.clone()));
        (
            y,
            LayerActivations {
                x: x.clone(),
                normed,
                qkv_bias_norm: inputs,
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
        kept: LayerActivations,
        attention: &PaddedAttention<'_>,
        dy: Tensor<2>,
    ) -> (Tensor<2>, LayerGradients) {
        let LayerActivations {
            x,
            normed,
            qkv_bias_norm: inputs,
            attention: attended,
            mixed,
            between,
            between_normed,
            gate_up,
        } = kept;
        let (dgated, down) = self
            .down
            .backward(&swiglu(gate_up.clone()), &dy, self.is_frozen);
        let dgate_up = swiglu_backward(gate_up, dgated);
        let (dnormed, gate_up) = self
            .gate_up
            .backward(&between_normed, &dgate_up, self.is_frozen);
        let (dbetween, mlp_norm) =
            rms_norm::backward(&between, self.mlp_norm, self.epsilon, dnormed);
        let dbetween = dy + dbetween;
        let (dmixed, output) = self.output.backward(&mixed, &dbetween, self.is_frozen);
        let dpacked = attention.backward(attended, &dmixed);
        let (dpacked, inputs) = self.qkv_bias_norm.backward(inputs, dpacked);
        let (dnormed, packed) = self.qkv.backward(&normed, &dpacked, self.is_frozen);
        let (dx, attention_norm) =
            rms_norm::backward(&x, self.attention_norm, self.epsilon, dnormed);
        (
            dbetween + dx,
            LayerGradients {
                attention_norm,
                qkv: packed,
                qkv_bias_norm: inputs,
                output,
                mlp_norm,
                gate_up,
                down,
            },
        )
    }
}

/// `silu(gate) * up` from packed gates and ups \[N, 2 F\].
fn swiglu(packed: Tensor<2>) -> Tensor<2> {
    let [gate, up] = split_halves(packed);
    silu(gate) * up
}

/// Gradient of the packed gates and ups; the derivative of `silu(g)` is `s (1 + g (1 - s))`.
fn swiglu_backward(packed: Tensor<2>, dy: Tensor<2>) -> Tensor<2> {
    let [gate, up] = split_halves(packed);
    let s = sigmoid(gate.clone());
    let soft = gate * s.clone();
    let slope = s.clone() + soft.clone() * (s.neg() + 1.0);
    Tensor::cat(vec![dy.clone() * up * slope, dy * soft], 1)
}

fn split_halves(packed: Tensor<2>) -> [Tensor<2>; 2] {
    let width = packed.dims()[1];
    [
        packed.clone().slice_dim(1, 0..width / 2),
        packed.slice_dim(1, width / 2..width),
    ]
}
