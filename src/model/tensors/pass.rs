//! A whole batch through the network and back, in pieces of whole sequences that fit the memory.
//!
//! On the way there a block's input is kept, or all that its way back needs if there is room; what
//! was not kept is computed once more on the way back.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{FloatDType, IndexingUpdateOp, Tensor};

use super::attention::Attention;
use super::block::{Kept, Layer, Parts};
use super::dropout::Dropout;
use super::head::{Head, Wanted};
use super::layout::Layout;
use super::linear::Trained;
use super::{cast, floats, integers};
use crate::model::adapters::{self, Adapter, Adapters};
use crate::model::backprop::{Gradient, Gradients};
use crate::model::memory::kept_by_a_block;
use crate::model::{Decoder, Ragged, Targets, Visit, Weights};

/// What one block keeps.
enum Passed {
    Input(Box<Tensor<2>>),
    All(Box<Kept>),
}

/// Gradients that are added up, by the parameter's name.
#[derive(Default)]
struct Sums(BTreeMap<String, Tensor<1>>);

/// A batch's sequences from one to another, with their rows.
struct Piece {
    sequences: Range<usize>,
    rows: Range<usize>,
}

impl Decoder {
    /// As [`Decoder::loss_and_gradients`], on the device.
    pub(in crate::model) fn tensor_loss_and_gradients(
        &self,
        batch: &Ragged,
        targets: &Targets,
    ) -> (f64, Gradients) {
        let mut sums = Sums::default();
        let mut losses = Vec::new();
        for piece in self.pieces(batch) {
            losses.extend(self.there_and_back(batch, targets, &piece, &mut sums));
        }
        let mut fill = Fill {
            sums: &mut sums,
            frozen: self.weights.adapters.is_some(),
        };
        let _ = self.weights.clone().map(&mut fill);
        let loss = losses
            .into_iter()
            .map(|loss| f64::from(floats(loss)[0]))
            .sum();
        (
            loss,
            Gradients::new(
                sums.0
                    .into_iter()
                    .map(|(name, sum)| (name, Gradient::Device(Box::new(sum)))),
            ),
        )
    }

    /// As [`Decoder::log_probabilities`], on the device.
    pub(in crate::model) fn tensor_log_probabilities(
        &self,
        batch: &Ragged,
        targets: &Targets,
    ) -> Vec<f32> {
        let mut all = vec![0.0; targets.weights.len()];
        for piece in self.pieces(batch) {
            let layout = self.layout(batch, &piece);
            let attention = self.attention(&layout);
            let mut x = self.embedded(&batch.tokens[piece.rows.clone()]);
            let Some(wanted) = Wanted::new(targets, piece.rows.clone(), &x) else {
                continue;
            };
            for (number, block) in self.resident().blocks.iter().enumerate() {
                x = self
                    .layer(number, block)
                    .apply(&x, |packed| attention.forward(packed).0);
            }
            let mut values = floats(
                self.tensor_head(self.resident())
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
    fn there_and_back(
        &self,
        batch: &Ragged,
        targets: &Targets,
        piece: &Piece,
        sums: &mut Sums,
    ) -> Option<Tensor<1>> {
        let layout = self.layout(batch, piece);
        let attention = self.attention(&layout);
        let tokens = &batch.tokens[piece.rows.clone()];
        let mut x = self.embedded(tokens);
        let wanted = Wanted::new(targets, piece.rows.clone(), &x)?;
        let keep = self.fits(&layout, tokens.len());
        let precision = self.precision.float();
        let dropout = self.dropout(piece);
        let mut passed = Vec::with_capacity(self.weights.blocks.len());
        for (number, block) in self.weights.blocks.iter().enumerate() {
            let block = cast(block, precision);
            let layer = self.noisy_layer(number, &block, dropout.as_ref());
            let (y, kept) = layer.forward(&x, |packed| attention.forward(packed));
            passed.push(if keep {
                Passed::All(Box::new(kept))
            } else {
                Passed::Input(Box::new(x))
            });
            x = y;
        }
        let frozen = self.weights.adapters.is_some();
        let head = self
            .tensor_head(&self.weights)
            .backward(&x, &wanted, frozen);
        let mut dx = head.dx;
        if let Some((dgain, dmatrix)) = head.trained {
            sums.add("norm", dgain);
            match &self.weights.head {
                Some(_) => sums.add("head", dmatrix),
                None => sums.add("embedding", dmatrix.transpose()),
            }
        }
        for (number, (block, passed)) in self.weights.blocks.iter().zip(passed).enumerate().rev() {
            let block = cast(block, precision);
            let layer = self.noisy_layer(number, &block, dropout.as_ref());
            let kept = match passed {
                Passed::Input(x) => layer.forward(&x, |packed| attention.forward(packed)).1,
                Passed::All(kept) => *kept,
            };
            let (before, parts) = layer.backward(kept, &attention, dx);
            sums.add_block(number, &layer, parts);
            dx = before;
        }
        if !frozen {
            self.embedding_back(tokens, dx, sums);
        }
        Some(head.loss)
    }

    /// What the adapters do not see of a piece in this step, if they are to miss anything.
    fn dropout(&self, piece: &Piece) -> Option<Dropout> {
        let part = self.weights.adapters.as_ref()?.lora.dropout;
        (part > 0.0).then(|| Dropout {
            part,
            seed: self.noise,
            rows: piece.rows.clone(),
        })
    }

    fn embedding_back(&self, tokens: &[u32], dx: Tensor<2>, sums: &mut Sums) {
        let ids = integers(tokens.iter().map(|&token| token as usize), &self.device());
        let zeros = Tensor::<2>::zeros(self.weights.embedding.dims(), &self.device());
        let dx = dx.cast(FloatDType::F32);
        sums.add(
            "embedding",
            zeros.select_assign(0, ids, dx, IndexingUpdateOp::Add),
        );
    }

    /// The tokens' embeddings, \[N, D\], in the precision of products.
    pub(super) fn embedded(&self, tokens: &[u32]) -> Tensor<2> {
        let ids = integers(tokens.iter().map(|&token| token as usize), &self.device());
        self.weights
            .embedding
            .clone()
            .select(0, ids)
            .cast(self.precision.float())
    }

    /// The head of `weights`, which are this decoder's in any precision.
    pub(super) fn tensor_head<'a>(&self, weights: &'a Weights) -> Head<'a> {
        let matrix = match &weights.head {
            Some(head) => head.clone(),
            None => weights.embedding.clone().transpose(),
        };
        let matrix = matrix.cast(self.precision.float());
        Head {
            gain: &weights.norm,
            matrix,
            epsilon: self.config.norm_epsilon,
        }
    }

    fn layout(&self, batch: &Ragged, piece: &Piece) -> Layout {
        let lengths = &batch.lengths[piece.sequences.clone()];
        Layout::new(
            lengths,
            self.config.window,
            self.precision.float(),
            &self.device(),
        )
    }

    fn attention<'a>(&'a self, layout: &'a Layout) -> Attention<'a> {
        Attention {
            heads: &self.shape.heads,
            tables: self.tables(),
            layout,
        }
    }

    /// Whether all that the way back needs of all blocks has room in the memory for activations.
    fn fits(&self, layout: &Layout, rows: usize) -> bool {
        let heads = &self.shape.heads;
        let scores: usize = layout
            .squares
            .iter()
            .map(|s| s.sequences * s.length * s.length * heads.queries)
            .sum();
        let numbers = kept_by_a_block(&self.config, rows, scores) * self.config.layers;
        !self.halved && numbers * self.precision.bytes() <= self.activations
    }
}

impl Sums {
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
    fn add_block(&mut self, number: usize, layer: &Layer<'_>, parts: Parts) {
        let Parts {
            attention_norm,
            packed,
            inputs,
            output,
            mlp_norm,
            gate_up,
            down,
        } = parts;
        if !layer.frozen {
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
        self.add_linear(number, "packed", &layer.packed.adapters, packed);
        self.add_linear(number, "output", &layer.output.adapters, output);
        self.add_linear(number, "gate_up", &layer.gate_up.adapters, gate_up);
        self.add_linear(number, "down", &layer.down.adapters, down);
    }

    fn add_linear(&mut self, number: usize, name: &str, adapters: &[&Adapter], trained: Trained) {
        if let Some(matrix) = trained.matrix {
            self.add(&format!("{number}.{name}"), matrix);
        }
        for (adapter, [down, up]) in adapters.iter().zip(trained.adapters) {
            self.add(&adapters::name(number, adapter.projection, "down"), down);
            self.add(&adapters::name(number, adapter.projection, "up"), up);
        }
    }
}

/// Gives every parameter that is trained a gradient, of 0 where no target had a part in it.
struct Fill<'a> {
    sums: &'a mut Sums,
    frozen: bool,
}

impl Visit for Fill<'_> {
    fn visit<const R: usize>(&mut self, name: &str, parameter: Tensor<R>) -> Tensor<R> {
        let is_adapter = Adapters::is_name(name);
        if is_adapter == self.frozen && !self.sums.0.contains_key(name) {
            let zeros = Tensor::zeros([parameter.shape().num_elements()], &parameter.device());
            self.sums.0.insert(name.to_owned(), zeros);
        }
        parameter
    }
}

impl Decoder {
    /// The batch in the pieces that pass through the network together.
    fn pieces(&self, batch: &Ragged) -> Vec<Piece> {
        let rows = batch.tokens.len();
        pieces(
            &batch.lengths,
            if self.halved {
                self.rows.min(rows).div_ceil(2)
            } else {
                self.rows
            },
        )
    }
}

/// The batch in pieces of about so many rows; a longer sequence is a piece of its own.
fn pieces(lengths: &[usize], most: usize) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut row = 0;
    for (sequence, &length) in lengths.iter().enumerate() {
        match pieces.last_mut() {
            Some(piece) if piece.rows.len() + length <= most => {
                piece.sequences.end += 1;
                piece.rows.end += length;
            }
            _ => pieces.push(Piece {
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
    use crate::model::testing::decoder;

    #[test]
    fn half_of_a_batch_is_half_of_the_batch_that_there_is() {
        let pieces = |rows: usize, halved: bool, lengths: &[usize]| -> Vec<usize> {
            let mut decoder = decoder();
            (decoder.rows, decoder.halved) = (rows, halved);
            let batch = Ragged {
                tokens: vec![0; lengths.iter().sum()],
                lengths: lengths.into(),
            };
            decoder
                .pieces(&batch)
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
