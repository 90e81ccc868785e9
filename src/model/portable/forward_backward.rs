//! A whole batch through the network and back, in pieces of whole sequences that fit the memory.
//!
//! On the way there a block's input is kept, or all that its way back needs if there is room; what
//! was not kept is computed once more on the way back.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{FloatDType, IndexingUpdateOp, Tensor};

use super::attention::PaddedAttention;
use super::block::{DecoderLayer, LayerActivations, LayerGradients};
use super::dropout::AdapterDropout;
use super::head::{PortableHead, TargetRows};
use super::lora_linear::LinearGradients;
use super::padded_layout::PaddedLayout;
use super::{cast_matrices, int_tensor, to_f32_vec};
use crate::model::adapters::{self, LoraAdapter, LoraAdapters};
use crate::model::footprint::saved_values_per_block;
use crate::model::forward_backward::{Gradient, Gradients};
use crate::model::{Decoder, LossTargets, ParameterVisitor, RaggedBatch, Weights};

/// The tape of one block.
enum LayerTape {
    Input(Box<Tensor<2>>),
    Activations(Box<LayerActivations>),
}

/// Gradients that are added up, by the parameter's name.
#[derive(Default)]
struct GradientSums(BTreeMap<String, Tensor<1>>);

/// A batch's sequences from one to another, with their rows.
struct MicroBatch {
    sequences: Range<usize>,
    rows: Range<usize>,
}

impl Decoder {
    /// As [`Decoder::loss_and_gradients`], on the device.
    pub(in crate::model) fn portable_loss_and_gradients(
        &self,
        batch: &RaggedBatch,
        targets: &LossTargets,
    ) -> (f64, Gradients) {
        let mut sums = GradientSums::default();
        let mut losses = Vec::new();
        for piece in self.micro_batches(batch) {
            losses.extend(self.forward_backward(batch, targets, &piece, &mut sums));
        }
        let mut fill = ZeroFill {
            sums: &mut sums,
            is_frozen: self.weights.adapters.is_some(),
        };
        let _ = self.weights.clone().map_parameters(&mut fill);
        let loss = losses
            .into_iter()
            .map(|loss| f64::from(to_f32_vec(loss)[0]))
            .sum();
        (
            loss,
            Gradients::from_named(
                sums.0
                    .into_iter()
                    .map(|(name, sum)| (name, Gradient::Device(Box::new(sum)))),
            ),
        )
    }

    /// As [`Decoder::log_probabilities`], on the device.
    pub(in crate::model) fn portable_log_probabilities(
        &self,
        batch: &RaggedBatch,
        targets: &LossTargets,
    ) -> Vec<f32> {
        let mut all = vec![0.0; targets.weights.len()];
        for piece in self.micro_batches(batch) {
            let layout = self.padded_layout(batch, &piece);
            let attention = self.padded_attention(&layout);
            let mut x = self.embed_tokens(&batch.tokens[piece.rows.clone()]);
            let Some(wanted) = TargetRows::new(targets, piece.rows.clone(), &x) else {
                continue;
            };
            for (number, block) in self.device_weights().blocks.iter().enumerate() {
                x = self
                    .layer(number, block)
                    .forward_without_saving(&x, |packed| attention.forward(packed).0);
            }
            let mut values = to_f32_vec(
                self.portable_head(self.device_weights())
                    .log_probabilities(&x, &wanted),
            )
            .into_iter();
            let rows = all[piece.rows.clone()]
                .iter_mut()
                .zip(&targets.weights[piece.rows]);
            for (value, _) in rows.filter(|(_, weight)| **weight != 0.0) {
                *value = values.next().expect("one value for each wanted row");
            }
        }
        all
    }

    /// Adds one piece's gradients to `sums`; returns its loss, \[1\], if it has a target.
    fn forward_backward(
        &self,
        batch: &RaggedBatch,
        targets: &LossTargets,
        piece: &MicroBatch,
        sums: &mut GradientSums,
    ) -> Option<Tensor<1>> {
        let layout = self.padded_layout(batch, piece);
        let attention = self.padded_attention(&layout);
        let tokens = &batch.tokens[piece.rows.clone()];
        let mut x = self.embed_tokens(tokens);
        let wanted = TargetRows::new(targets, piece.rows.clone(), &x)?;
        let keep = self.fits_activations(&layout, tokens.len());
        let precision = self.precision.float_dtype();
        let dropout = self.adapter_dropout(piece);
        let mut passed = Vec::with_capacity(self.weights.blocks.len());
        for (number, block) in self.weights.blocks.iter().enumerate() {
            let block = cast_matrices(block, precision);
            let layer = self.layer_with_dropout(number, &block, dropout.as_ref());
            let (y, kept) = layer.forward(&x, |packed| attention.forward(packed));
            passed.push(if keep {
                LayerTape::Activations(Box::new(kept))
            } else {
                LayerTape::Input(Box::new(x))
            });
            x = y;
        }
        let frozen = self.weights.adapters.is_some();
        let head = self
            .portable_head(&self.weights)
            .backward(&x, &wanted, frozen);
        let mut dx = head.dx;
        if let Some((dgain, dmatrix)) = head.params {
            sums.add("norm", dgain);
            match &self.weights.head {
                Some(_) => sums.add("head", dmatrix),
                None => sums.add("embedding", dmatrix.transpose()),
            }
        }
        for (number, (block, passed)) in self.weights.blocks.iter().zip(passed).enumerate().rev() {
            let block = cast_matrices(block, precision);
            let layer = self.layer_with_dropout(number, &block, dropout.as_ref());
            let kept = match passed {
                LayerTape::Input(x) => layer.forward(&x, |packed| attention.forward(packed)).1,
                LayerTape::Activations(kept) => *kept,
            };
            let (before, parts) = layer.backward(kept, &attention, dx);
            sums.add_block(number, &layer, parts);
            dx = before;
        }
        if !frozen {
            self.embedding_backward(tokens, dx, sums);
        }
        Some(head.loss)
    }

    /// Dropout of the adapters on a piece in this step; none without dropout.
    fn adapter_dropout(&self, piece: &MicroBatch) -> Option<AdapterDropout> {
        let part = self.weights.adapters.as_ref()?.lora.dropout;
        (part > 0.0).then(|| AdapterDropout {
            probability: part,
            seed: self.dropout_seed,
            rows: piece.rows.clone(),
        })
    }

    fn embedding_backward(&self, tokens: &[u32], dx: Tensor<2>, sums: &mut GradientSums) {
        let ids = int_tensor(tokens.iter().map(|&token| token as usize), &self.device());
        let zeros = Tensor::<2>::zeros(self.weights.embedding.dims(), &self.device());
        let dx = dx.cast(FloatDType::F32);
        sums.add(
            "embedding",
            zeros.select_assign(0, ids, dx, IndexingUpdateOp::Add),
        );
    }

    /// The tokens' embeddings, \[N, D\], in the precision of products.
    pub(super) fn embed_tokens(&self, tokens: &[u32]) -> Tensor<2> {
        let ids = int_tensor(tokens.iter().map(|&token| token as usize), &self.device());
        self.weights
            .embedding
            .clone()
            .select(0, ids)
            .cast(self.precision.float_dtype())
    }

    /// The head of `weights`, which are this decoder's in any precision.
    pub(super) fn portable_head<'a>(&self, weights: &'a Weights) -> PortableHead<'a> {
        let matrix = match &weights.head {
            Some(head) => head.clone(),
            None => weights.embedding.clone().transpose(),
        };
        let matrix = matrix.cast(self.precision.float_dtype());
        PortableHead {
            gain: &weights.norm,
            matrix,
            epsilon: self.config.norm_epsilon,
        }
    }

    fn padded_layout(&self, batch: &RaggedBatch, piece: &MicroBatch) -> PaddedLayout {
        let lengths = &batch.lengths[piece.sequences.clone()];
        PaddedLayout::new(
            lengths,
            self.config.window,
            self.precision.float_dtype(),
            &self.device(),
        )
    }

    fn padded_attention<'a>(&'a self, layout: &'a PaddedLayout) -> PaddedAttention<'a> {
        PaddedAttention {
            heads: &self.shape.heads,
            rotary_tables: self.rotary_tables(),
            layout,
        }
    }

    /// Whether all that the way back needs of all blocks has room in the memory for activations.
    fn fits_activations(&self, layout: &PaddedLayout, rows: usize) -> bool {
        let heads = &self.shape.heads;
        let scores: usize = layout
            .batches
            .iter()
            .map(|s| s.sequences * s.length * s.length * heads.query_heads)
            .sum();
        let numbers = saved_values_per_block(&self.config, rows, scores) * self.config.layers;
        !self.half_batch && numbers * self.precision.bytes() <= self.activation_budget
    }
}

impl GradientSums {
    fn add<const R: usize>(&mut self, name: &str, gradient: Tensor<R>) {
        let count = gradient.shape().num_elements();
        let gradient = gradient.cast(FloatDType::F32).reshape([count]);
        let sum = match self.0.remove(name) {
            Some(sum) => sum + gradient,
            None => gradient,
        };
        self.0.insert(name.to_owned(), sum);
    }

    /// Adds one block's gradients.
    fn add_block(&mut self, number: usize, layer: &DecoderLayer<'_>, parts: LayerGradients) {
        let LayerGradients {
            attention_norm,
            qkv: packed,
            qkv_bias_norm: inputs,
            output,
            mlp_norm,
            gate_up,
            down,
        } = parts;
        if !layer.is_frozen {
            self.add(&format!("{number}.attention_norm"), attention_norm);
            self.add(&format!("{number}.mlp_norm"), mlp_norm);
            inputs
                .bias
                .into_iter()
                .for_each(|bias| self.add(&format!("{number}.packed_bias"), bias));
            if let Some([query, key]) = inputs.norms {
                self.add(&format!("{number}.query_norm"), query);
                self.add(&format!("{number}.key_norm"), key);
            }
        }
        self.add_linear(number, "packed", &layer.qkv.adapters, packed);
        self.add_linear(number, "output", &layer.output.adapters, output);
        self.add_linear(number, "gate_up", &layer.gate_up.adapters, gate_up);
        self.add_linear(number, "down", &layer.down.adapters, down);
    }

    fn add_linear(
        &mut self,
        number: usize,
        name: &str,
        adapters: &[&LoraAdapter],
        trained: LinearGradients,
    ) {
        if let Some(matrix) = trained.matrix {
            self.add(&format!("{number}.{name}"), matrix);
        }
        for (adapter, [down, up]) in adapters.iter().zip(trained.adapters) {
            self.add(
                &adapters::parameter_name(number, adapter.projection, "down"),
                down,
            );
            self.add(
                &adapters::parameter_name(number, adapter.projection, "up"),
                up,
            );
        }
    }
}

/// Gives every parameter that is trained a gradient, of 0 where no target had a part in it.
struct ZeroFill<'a> {
    sums: &'a mut GradientSums,
    is_frozen: bool,
}

impl ParameterVisitor for ZeroFill<'_> {
    fn visit<const R: usize>(&mut self, name: &str, parameter: Tensor<R>) -> Tensor<R> {
        let is_adapter = LoraAdapters::is_parameter_name(name);
        if is_adapter == self.is_frozen && !self.sums.0.contains_key(name) {
            let zeros = Tensor::zeros([parameter.shape().num_elements()], &parameter.device());
            self.sums.0.insert(name.to_owned(), zeros);
        }
        parameter
    }
}

impl Decoder {
    /// The batch in the pieces that pass through the network together.
    fn micro_batches(&self, batch: &RaggedBatch) -> Vec<MicroBatch> {
        let rows = batch.tokens.len();
        split_micro_batches(
            &batch.lengths,
            if self.half_batch {
                self.micro_batch_tokens.min(rows).div_ceil(2)
            } else {
                self.micro_batch_tokens
            },
        )
    }
}

/// The batch in pieces of at most `most` rows; a longer sequence is one piece.
fn split_micro_batches(lengths: &[usize], most: usize) -> Vec<MicroBatch> {
    let mut pieces: Vec<MicroBatch> = Vec::new();
    let mut row = 0;
    for (sequence, &length) in lengths.iter().enumerate() {
        match pieces.last_mut() {
            Some(piece) if piece.rows.len() + length <= most => {
                piece.sequences.end += 1;
                piece.rows.end += length;
            }
            _ => pieces.push(MicroBatch {
                sequences: sequence..sequence + 1,
                rows: row..row + length,
            }),
        }
        row += length;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::decoder;

    #[test]
    fn half_of_a_batch_is_half_of_the_batch_that_there_is() {
        let pieces = |rows: usize, halved: bool, lengths: &[usize]| -> Vec<usize> {
            let mut decoder = decoder();
            (decoder.micro_batch_tokens, decoder.half_batch) = (rows, halved);
            let batch = RaggedBatch {
                tokens: vec![0; lengths.iter().sum()],
                lengths: lengths.into(),
            };
            decoder
                .micro_batches(&batch)
                .iter()
                .map(|piece| piece.rows.len())
                .collect()
        };
        assert_eq!(pieces(8192, false, &[10; 8]), [80]);
        assert_eq!(pieces(8192, true, &[10; 8]), [40, 40]);
        assert_eq!(pieces(40, false, &[10; 8]), [40, 40]);
        assert_eq!(pieces(40, true, &[10; 8]), [20; 4]);
        assert_eq!(pieces(8192, true, &[30, 10]), [30, 10]);
    }
}
