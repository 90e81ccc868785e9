//! From tensors on disk to weights on a device, one matrix at a time.

use burn::tensor::{Tensor, TensorData};

use super::CheckpointError;
use super::safetensors_files::SafetensorsFiles;
use crate::model::weights::BlockWeights;
use crate::model::{ExecutionContext, ModelConfig, Weights};

/// Takes tensors out of files by name, checking their shapes and values.
pub struct WeightReader<'a> {
    pub tensors: &'a SafetensorsFiles,
    pub config: &'a ModelConfig,
    pub context: &'a ExecutionContext,
}

impl WeightReader<'_> {
    /// All weights.
    pub fn read_all(&self, vocabulary: usize) -> Result<Weights, CheckpointError> {
        let width = self.config.width;
        let blocks = (0..self.config.layers)
            .map(|i| self.read_block(i))
            .collect::<Result<_, _>>()?;
        let head = if self.config.tied {
            None
        } else {
            Some(self.read_matrix("lm_head", width, vocabulary)?)
        };
        Ok(Weights {
            embedding: self.cast_to_storage(
                self.read_tensor("model.embed_tokens.weight", [vocabulary, width])?,
            ),
            blocks,
            norm: self.read_tensor("model.norm.weight", [width])?,
            head,
            adapters: None,
        })
    }

    fn read_block(&self, i: usize) -> Result<BlockWeights, CheckpointError> {
        let config = self.config;
        let (d, f, q) = (config.width, config.hidden, config.query_width());
        let layer = format!("model.layers.{i}");
        let qkv = self.read_qkv(&layer)?;
        let packed_bias = if config.qkv_bias {
            Some(self.read_qkv_bias(&layer)?)
        } else {
            None
        };
        let head_norms = if config.qk_norm {
            let size = config.head_size();
            Some([
                self.read_gain(&format!("{layer}.self_attn.q_norm"), size)?,
                self.read_gain(&format!("{layer}.self_attn.k_norm"), size)?,
            ])
        } else {
            None
        };
        Ok(BlockWeights {
            attention_norm: self.read_gain(&format!("{layer}.input_layernorm"), d)?,
            qkv,
            qkv_bias: packed_bias,
            head_norms,
            output: self.read_matrix(&format!("{layer}.self_attn.o_proj"), q, d)?,
            mlp_norm: self.read_gain(&format!("{layer}.post_attention_layernorm"), d)?,
            gate_up: Tensor::cat(
                vec![
                    self.read_matrix(&format!("{layer}.mlp.gate_proj"), d, f)?,
                    self.read_matrix(&format!("{layer}.mlp.up_proj"), d, f)?,
                ],
                1,
            ),
            down: self.read_matrix(&format!("{layer}.mlp.down_proj"), f, d)?,
        })
    }

    /// The projections of a block's queries, keys and values, with the number of their columns.
    fn qkv_widths(&self) -> [(&'static str, usize); 3] {
        let (q, kv) = (self.config.query_width(), self.config.key_width());
        [("q_proj", q), ("k_proj", kv), ("v_proj", kv)]
    }

    /// Reads a block's query, key and value matrices and packs them into one.
    fn read_qkv(&self, layer: &str) -> Result<Tensor<2>, CheckpointError> {
        let parts = self.qkv_widths().into_iter().map(|(name, width)| {
            self.read_matrix(
                &format!("{layer}.self_attn.{name}"),
                self.config.width,
                width,
            )
        });
        Ok(Tensor::cat(parts.collect::<Result<_, _>>()?, 1))
    }

    /// Reads a block's query, key and value biases and packs them into one.
    fn read_qkv_bias(&self, layer: &str) -> Result<Tensor<1>, CheckpointError> {
        let parts = self.qkv_widths().into_iter().map(|(name, width)| {
            self.read_tensor(&format!("{layer}.self_attn.{name}.bias"), [width])
        });
        Ok(Tensor::cat(parts.collect::<Result<_, _>>()?, 0))
    }

    /// Reads the gain of one normalisation.
    fn read_gain(&self, name: &str, size: usize) -> Result<Tensor<1>, CheckpointError> {
        self.read_tensor(&format!("{name}.weight"), [size])
    }

    /// A linear layer's matrix, turned to \[in, out\].
    fn read_matrix(
        &self,
        name: &str,
        from: usize,
        to: usize,
    ) -> Result<Tensor<2>, CheckpointError> {
        let name = format!("{name}.weight");
        let values = self.read_values(&name, &[to, from])?;
        // Turned on the host, so that the matrix lies in memory the way it is read.
        let mut turned = vec![0.0; values.len()];
        for (row, values) in values.chunks_exact(from).enumerate() {
            for (column, &value) in values.iter().enumerate() {
                turned[column * to + row] = value;
            }
        }
        let data = TensorData::new(turned, [from, to]);
        Ok(self.cast_to_storage(Tensor::from_data(data, &self.context.device)))
    }

    /// In the type that matrices are kept in.
    fn cast_to_storage(&self, matrix: Tensor<2>) -> Tensor<2> {
        matrix.cast(self.context.storage.float_dtype())
    }

    fn read_tensor<const R: usize>(
        &self,
        name: &str,
        shape: [usize; R],
    ) -> Result<Tensor<R>, CheckpointError> {
        let values = self.read_values(name, &shape)?;
        Ok(Tensor::from_data(
            TensorData::new(values, shape),
            &self.context.device,
        ))
    }

    fn read_values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        self.tensors.values(name, shape)
    }
}
