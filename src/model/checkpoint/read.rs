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
        let (d, f, q, kv) = (
            config.width,
            config.hidden,
            config.query_width(),
            config.key_width(),
        );
        let named = |name: &str| format!("model.layers.{i}.{name}");
        let matrix = |name: &str, from, to| self.read_matrix(&named(name), from, to);
        let gain = |name: &str, size| self.read_tensor(&named(&format!("{name}.weight")), [size]);
        let bias = |name: &str, size| {
            self.read_tensor::<1>(&named(&format!("self_attn.{name}.bias")), [size])
        };
        let query = matrix("self_attn.q_proj", d, q)?;
        let (key, value) = (
            matrix("self_attn.k_proj", d, kv)?,
            matrix("self_attn.v_proj", d, kv)?,
        );
        let packed_bias = if config.qkv_bias {
            let parts = vec![bias("q_proj", q)?, bias("k_proj", kv)?, bias("v_proj", kv)?];
            Some(Tensor::cat(parts, 0))
        } else {
            None
        };
        let head_norms = if config.qk_norm {
            let size = config.head_size();
            Some([
                gain("self_attn.q_norm", size)?,
                gain("self_attn.k_norm", size)?,
            ])
        } else {
            None
        };
        Ok(BlockWeights {
            attention_norm: gain("input_layernorm", d)?,
            qkv: Tensor::cat(vec![query, key, value], 1),
            qkv_bias: packed_bias,
            head_norms,
            output: matrix("self_attn.o_proj", q, d)?,
            mlp_norm: gain("post_attention_layernorm", d)?,
            gate_up: Tensor::cat(
                vec![matrix("mlp.gate_proj", d, f)?, matrix("mlp.up_proj", d, f)?],
                1,
            ),
            down: matrix("mlp.down_proj", f, d)?,
        })
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
