//! The decoder's parameters by name, with their shapes and initial values.

use burn::tensor::{Device, Tensor, TensorData};

use crate::domain::Seed;

use super::{LoraAdapters, ModelConfig};

/// All parameters of a decoder. Matrices are \[in, out\]: rows of activations multiply from the left.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Token embedding, \[V, D\].
    pub embedding: Tensor<2>,
    /// The decoder blocks.
    pub blocks: Vec<BlockWeights>,
    /// Gain of the last normalisation, \[D\].
    pub norm: Tensor<1>,
    /// Output head, \[D, V\]; none if it shares the embedding.
    pub head: Option<Tensor<2>>,
    /// Adapters of the blocks' matrices; where there are some, they alone are trained.
    pub adapters: Option<LoraAdapters>,
}

/// Parameters of one decoder block.
#[derive(Clone, Debug)]
pub struct BlockWeights {
    /// Gain before attention, \[D\].
    pub attention_norm: Tensor<1>,
    /// Queries, keys and values in one product, \[D, (H + 2 K) S\].
    pub qkv: Tensor<2>,
    /// Bias of queries, keys and values, \[(H + 2 K) S\].
    pub qkv_bias: Option<Tensor<1>>,
    /// Gains of the norms of each query head and each key head, \[S\] each.
    pub head_norms: Option<[Tensor<1>; 2]>,
    /// Attention output, \[H S, D\].
    pub output: Tensor<2>,
    /// Gain before the SwiGLU layer, \[D\].
    pub mlp_norm: Tensor<1>,
    /// Gates and ups in one product, \[D, 2 F\].
    pub gate_up: Tensor<2>,
    /// SwiGLU output, \[F, D\].
    pub down: Tensor<2>,
}

/// Something that is done to every parameter, in a fixed order.
pub trait ParameterVisitor {
    /// Takes a parameter and gives the one to put in its place.
    fn visit<const R: usize>(&mut self, name: &str, parameter: Tensor<R>) -> Tensor<R>;
}

impl Weights {
    /// Random weights: normal with standard deviation `0.02` for the embedding and
    /// `1 / sqrt(3 in)` elsewhere (the spread of `PyTorch`'s default for linear layers), gains 1.
    #[must_use]
    pub fn init_random(
        config: &ModelConfig,
        vocabulary: usize,
        seed: Seed,
        device: &Device,
    ) -> Self {
        let initial = InitialTensors { seed, device };
        let (width, hidden) = (config.width, config.hidden);
        let packed = config.query_width() + 2 * config.key_width();
        let head_size = config.head_size();
        let blocks = (0..config.layers)
            .map(|layer| BlockWeights {
                attention_norm: initial.gain(width),
                qkv: initial.linear(&format!("{layer}.packed"), width, packed),
                qkv_bias: config.qkv_bias.then(|| Tensor::zeros([packed], device)),
                head_norms: config
                    .qk_norm
                    .then(|| [initial.gain(head_size), initial.gain(head_size)]),
                output: initial.linear(&format!("{layer}.output"), config.query_width(), width),
                mlp_norm: initial.gain(width),
                gate_up: initial.linear(&format!("{layer}.gate_up"), width, 2 * hidden),
                down: initial.linear(&format!("{layer}.down"), hidden, width),
            })
            .collect();
        Self {
            embedding: initial.matrix("embedding", [vocabulary, width], 0.02),
            blocks,
            norm: initial.gain(width),
            head: (!config.tied).then(|| initial.linear("head", width, vocabulary)),
            adapters: None,
        }
    }

    /// Passes every parameter through `visitor`.
    #[must_use]
    pub fn map_parameters(self, visitor: &mut impl ParameterVisitor) -> Self {
        let embedding = visitor.visit("embedding", self.embedding);
        let blocks = self
            .blocks
            .into_iter()
            .enumerate()
            .map(|(layer, block)| BlockWeights {
                attention_norm: visitor
                    .visit(&format!("{layer}.attention_norm"), block.attention_norm),
                qkv: visitor.visit(&format!("{layer}.packed"), block.qkv),
                qkv_bias: block
                    .qkv_bias
                    .map(|bias| visitor.visit(&format!("{layer}.packed_bias"), bias)),
                head_norms: block.head_norms.map(|[query, key]| {
                    [
                        visitor.visit(&format!("{layer}.query_norm"), query),
                        visitor.visit(&format!("{layer}.key_norm"), key),
                    ]
                }),
                output: visitor.visit(&format!("{layer}.output"), block.output),
                mlp_norm: visitor.visit(&format!("{layer}.mlp_norm"), block.mlp_norm),
                gate_up: visitor.visit(&format!("{layer}.gate_up"), block.gate_up),
                down: visitor.visit(&format!("{layer}.down"), block.down),
            })
            .collect();
        let norm = visitor.visit("norm", self.norm);
        let head = self.head.map(|head| visitor.visit("head", head));
        let adapters = self
            .adapters
            .map(|adapters| adapters.map_parameters(visitor));
        Self {
            embedding,
            blocks,
            norm,
            head,
            adapters,
        }
    }

    /// Number of parameters.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        struct ParameterCounter(usize);
        impl ParameterVisitor for ParameterCounter {
            fn visit<const R: usize>(&mut self, _: &str, parameter: Tensor<R>) -> Tensor<R> {
                self.0 += parameter.shape().num_elements();
                parameter
            }
        }
        let mut count = ParameterCounter(0);
        let _ = self.clone().map_parameters(&mut count);
        count.0
    }
}

/// Makes the tensors that training starts from, each drawn by its own name.
struct InitialTensors<'a> {
    seed: Seed,
    device: &'a Device,
}

impl InitialTensors<'_> {
    /// Draws a normal matrix with this standard deviation.
    fn matrix(&self, name: &str, shape: [usize; 2], spread: f64) -> Tensor<2> {
        let mut draws = self.seed.derive(name).rng();
        let values = (0..shape[0] * shape[1])
            .map(|_| (draws.normal() * spread) as f32)
            .collect();
        Tensor::from_data(TensorData::new::<f32, _>(values, shape), self.device)
    }

    /// Draws the matrix of a linear layer.
    fn linear(&self, name: &str, rows: usize, columns: usize) -> Tensor<2> {
        let spread = (3.0 * rows as f64).sqrt().recip();
        self.matrix(name, [rows, columns], spread)
    }

    /// Makes a normalisation's gain of ones.
    fn gain(&self, size: usize) -> Tensor<1> {
        Tensor::ones([size], self.device)
    }
}
