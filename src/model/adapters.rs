//! Low-rank adapters (`LoRA`, Hu et al. 2021): small trained matrices that are added to frozen ones.
//!
//! A matrix `W` \[in, out\] with an adapter multiplies as `x W + alpha / rank (x A) B`; the product
//! `A B` is never formed. Hides which columns of a packed matrix belong to which projection. Must
//! not know how they are trained.

use std::collections::BTreeSet;
use std::ops::Range;

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::domain::Seed;

use super::ModelConfig;
use super::weights::{ParameterVisitor, Weights};

/// A projection that can have an adapter, by its name in Hugging Face's checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Projection {
    /// Queries.
    #[serde(rename = "q_proj")]
    Queries,
    /// Keys.
    #[serde(rename = "k_proj")]
    Keys,
    /// Values.
    #[serde(rename = "v_proj")]
    Values,
    /// Attention output.
    #[serde(rename = "o_proj")]
    Output,
    /// Gates of the SwiGLU layer.
    #[serde(rename = "gate_proj")]
    Gates,
    /// Ups of the SwiGLU layer.
    #[serde(rename = "up_proj")]
    Ups,
    /// SwiGLU output.
    #[serde(rename = "down_proj")]
    Down,
}

/// A matrix of a block as it lies in memory; several projections may share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockMatrix {
    /// Queries, keys and values.
    Qkv,
    /// Attention output.
    Output,
    /// Gates and ups.
    GateUp,
    /// SwiGLU output.
    Down,
}

impl BlockMatrix {
    /// Its name among a block's parameters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qkv => "packed",
            Self::Output => "output",
            Self::GateUp => "gate_up",
            Self::Down => "down",
        }
    }
}

impl Projection {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Queries,
        Self::Keys,
        Self::Values,
        Self::Output,
        Self::Gates,
        Self::Ups,
        Self::Down,
    ];

    /// Its name in Hugging Face's checkpoints.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queries => "q_proj",
            Self::Keys => "k_proj",
            Self::Values => "v_proj",
            Self::Output => "o_proj",
            Self::Gates => "gate_proj",
            Self::Ups => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// The part of a block that it belongs to, by its name there.
    #[must_use]
    pub const fn module_name(self) -> &'static str {
        match self {
            Self::Queries | Self::Keys | Self::Values | Self::Output => "self_attn",
            Self::Gates | Self::Ups | Self::Down => "mlp",
        }
    }

    /// The matrix that holds it, its rows there, and its columns.
    #[must_use]
    pub fn location(self, config: &ModelConfig) -> (BlockMatrix, usize, Range<usize>) {
        let (q, kv, f) = (config.query_width(), config.key_width(), config.hidden);
        match self {
            Self::Queries => (BlockMatrix::Qkv, config.width, 0..q),
            Self::Keys => (BlockMatrix::Qkv, config.width, q..q + kv),
            Self::Values => (BlockMatrix::Qkv, config.width, q + kv..q + 2 * kv),
            Self::Output => (BlockMatrix::Output, q, 0..config.width),
            Self::Gates => (BlockMatrix::GateUp, config.width, 0..f),
            Self::Ups => (BlockMatrix::GateUp, config.width, f..2 * f),
            Self::Down => (BlockMatrix::Down, f, 0..config.width),
        }
    }
}

/// Sizes of adapters, and which projections have one; defaults as in PEFT, but for the targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Inner width.
    pub rank: usize,
    /// Scale of the adapter times the rank.
    pub alpha: f64,
    /// Part of an adapter's inputs that is left out while it is trained.
    #[serde(skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// Projections that have an adapter.
    pub targets: BTreeSet<Projection>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            rank: 16,
            alpha: 32.0,
            dropout: 0.0,
            targets: Projection::ALL.into(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(part: &f64) -> bool {
    *part == 0.0
}

impl LoraConfig {
    /// Number of values in the adapters of a decoder of these sizes.
    #[must_use]
    pub fn parameter_count(&self, config: &ModelConfig) -> usize {
        let halves = self.targets.iter().map(|projection| {
            let (_, rows, columns) = projection.location(config);
            (rows + columns.len()) * self.rank
        });
        config.layers * halves.sum::<usize>()
    }

    /// The first invalid setting, as (field, complaint).
    #[must_use]
    pub fn first_error(&self) -> Option<(&'static str, String)> {
        if self.rank == 0 {
            return Some(("rank", "an adapter has at least rank 1".to_owned()));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Some(("alpha", format!("{} is not above 0", self.alpha)));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Some(("dropout", format!("{} is not in [0, 1)", self.dropout)));
        }
        self.targets.is_empty().then(|| {
            (
                "targets",
                "without a projection nothing is trained".to_owned(),
            )
        })
    }
}

/// The adapter of one projection.
#[derive(Clone, Debug)]
pub struct LoraAdapter {
    /// Which projection.
    pub projection: Projection,
    /// Columns of the packed matrix that it adds to.
    pub columns: Range<usize>,
    /// A: \[in, rank\].
    pub down: Tensor<2>,
    /// B: \[rank, out\].
    pub up: Tensor<2>,
}

impl LoraAdapter {
    /// Makes one projection's adapter, which changes nothing yet.
    fn init(
        projection: Projection,
        rank: usize,
        config: &ModelConfig,
        seed: Seed,
        device: &Device,
    ) -> Self {
        let (_, rows, columns) = projection.location(config);
        let bound = (rows as f64).sqrt().recip();
        let mut draws = seed.rng();
        let down: Vec<f32> = (0..rows * rank)
            .map(|_| ((2.0 * draws.uniform() - 1.0) * bound) as f32)
            .collect();
        let down = Tensor::from_data(TensorData::new(down, [rows, rank]), device);
        let up = Tensor::zeros([rank, columns.len()], device);
        Self {
            projection,
            columns,
            down,
            up,
        }
    }
}

/// All adapters of a decoder.
#[derive(Clone, Debug)]
pub struct LoraAdapters {
    /// Their sizes.
    pub lora: LoraConfig,
    /// One list a block.
    pub blocks: Vec<Vec<LoraAdapter>>,
}

impl LoraAdapters {
    /// Adapters that change nothing yet: A uniform within `1 / sqrt(in)` as in PEFT, B of 0.
    #[must_use]
    pub fn init(lora: &LoraConfig, config: &ModelConfig, seed: Seed, device: &Device) -> Self {
        let blocks = (0..config.layers)
            .map(|layer| {
                lora.targets
                    .iter()
                    .map(|&projection| {
                        let seed = seed.derive(&format!("{layer}.{}", projection.name()));
                        LoraAdapter::init(projection, lora.rank, config, seed, device)
                    })
                    .collect()
            })
            .collect();
        Self {
            lora: lora.clone(),
            blocks,
        }
    }

    /// Whether a parameter's name is that of one half of an adapter.
    #[must_use]
    pub fn is_parameter_name(name: &str) -> bool {
        name.contains("_proj.")
    }

    /// Scale of their product: `alpha / rank`.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.lora.alpha / self.lora.rank as f64
    }

    /// The adapters of one matrix of one block.
    pub(super) fn for_matrix<'a>(
        &'a self,
        layer: usize,
        packed: BlockMatrix,
        config: &'a ModelConfig,
    ) -> impl Iterator<Item = &'a LoraAdapter> {
        self.blocks[layer]
            .iter()
            .filter(move |adapter| adapter.projection.location(config).0 == packed)
    }

    /// Passes every parameter through `visitor`, under the names `LAYER.PROJECTION.down` and `.up`.
    #[must_use]
    pub fn map_parameters(self, visitor: &mut impl ParameterVisitor) -> Self {
        let mut layer = 0;
        let blocks = self.blocks.into_iter().map(|block| {
            let block = block.into_iter().map(|adapter| {
                let LoraAdapter {
                    projection,
                    columns,
                    down,
                    up,
                } = adapter;
                let down = visitor.visit(&parameter_name(layer, projection, "down"), down);
                let up = visitor.visit(&parameter_name(layer, projection, "up"), up);
                LoraAdapter {
                    projection,
                    columns,
                    down,
                    up,
                }
            });
            let block = block.collect();
            layer += 1;
            block
        });
        Self {
            lora: self.lora,
            blocks: blocks.collect(),
        }
    }
}

impl LoraAdapter {
    /// The packed matrix with the adapter merged into its columns, in 32 bits.
    fn merge_into(&self, matrix: Tensor<2>, scale: f64) -> Tensor<2> {
        let matrix = matrix.cast(FloatDType::F32);
        let place = [0..matrix.dims()[0], self.columns.clone()];
        let added = self.down.clone().matmul(self.up.clone()) * scale;
        let sum = matrix.clone().slice(place.clone()) + added;
        matrix.slice_assign(place, sum)
    }
}

impl Weights {
    /// The same model without adapters: each matrix with `alpha / rank A B` added to it, in 32 bits.
    #[must_use]
    pub fn merge_adapters(mut self, config: &ModelConfig) -> Self {
        let Some(adapters) = self.adapters.take() else {
            return self;
        };
        let (scale, blocks) = (adapters.scale(), adapters.blocks);
        for (block, adapters) in self.blocks.iter_mut().zip(blocks) {
            for adapter in adapters {
                let matrix = match adapter.projection.location(config).0 {
                    BlockMatrix::Qkv => &mut block.qkv,
                    BlockMatrix::Output => &mut block.output,
                    BlockMatrix::GateUp => &mut block.gate_up,
                    BlockMatrix::Down => &mut block.down,
                };
                *matrix = adapter.merge_into(matrix.clone(), scale);
            }
        }
        self
    }
}

/// The name of one half of an adapter.
pub(super) fn parameter_name(layer: usize, projection: Projection, half: &str) -> String {
    format!("{layer}.{}.{half}", projection.name())
}
