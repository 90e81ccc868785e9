//! Checkpoints on disk: `model.safetensors` in Hugging Face's names and layout, `config.json`, and
//! `tokenizer.json` beside them.
//!
//! Hides that queries, keys and values (and gates and ups) are one matrix in memory, and that
//! matrices are \[in, out\] there and \[out, in\] on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::domain::Key;

use super::weights::Block;
use super::{Decoder, LanguageModel, ModelConfig, Place, Tokenizer, TokenizerError, Weights};

/// Names of a checkpoint's files.
pub const FILES: [&str; 3] = [WEIGHTS, CONFIG, TOKENIZER];
/// The weights.
pub const WEIGHTS: &str = "model.safetensors";
/// The sizes.
pub const CONFIG: &str = "config.json";
/// The tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";

/// Reads and writes checkpoint folders.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint;

/// Why a checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file could not be read or written.
    #[error("cannot {action} {}: {reason}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor is missing or has another shape than the configuration says.
    #[error("{}: tensor `{name}` {problem}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The tokenizer does not fit.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl Checkpoint {
    /// Writes weights and sizes into `folder`, and returns the hash of the weights' file.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(decoder: &Decoder, folder: &Path) -> Result<Key, CheckpointError> {
        let bytes = encode(decoder);
        write(&folder.join(WEIGHTS), &bytes)?;
        let config = serde_json::to_string_pretty(decoder.config()).expect("sizes are plain data");
        write(&folder.join(CONFIG), config.as_bytes())?;
        Ok(Key::of_bytes(&bytes))
    }

    /// Reads a whole checkpoint folder.
    ///
    /// # Errors
    /// If a file is missing or damaged, or the parts do not fit each other.
    pub fn load(folder: &Path, place: &Place) -> Result<LanguageModel, CheckpointError> {
        let path = folder.join(CONFIG);
        let text = fs::read_to_string(&path).map_err(|error| file("read", &path, &error))?;
        let config: ModelConfig = serde_json::from_str(&text).map_err(|error| file("read", &path, &error))?;
        let tokenizer = Tokenizer::load(&folder.join(TOKENIZER))?;
        let weights = read_weights(&folder.join(WEIGHTS), &config, tokenizer.vocabulary(), place)?;
        Ok(LanguageModel { decoder: Decoder::new(config, weights, place), tokenizer })
    }
}

/// Reads weights of the given sizes from a safetensors file.
///
/// # Errors
/// If the file is missing or damaged, or a tensor is missing or of another shape.
pub fn read_weights(
    path: &Path,
    config: &ModelConfig,
    vocabulary: usize,
    place: &Place,
) -> Result<Weights, CheckpointError> {
    let bytes = fs::read(path).map_err(|error| file("read", path, &error))?;
    Reader::new(path, &bytes, &place.device)?.weights(config, vocabulary)
}

/// The bytes of `model.safetensors`.
///
/// # Panics
/// If the device cannot give its values back.
#[must_use]
pub fn encode(decoder: &Decoder) -> Vec<u8> {
    let tensors = named(decoder);
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("shapes come with their values"))
    });
    safetensors::serialize(views, None).expect("names are distinct")
}

type Named = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

fn named(decoder: &Decoder) -> Named {
    let (config, weights) = (decoder.config(), decoder.weights());
    let (q, kv, f) = (config.width, config.kv_heads * config.head_size(), config.hidden);
    let mut out = Named::new();
    put(&mut out, "model.embed_tokens.weight", weights.embedding.clone());
    put(&mut out, "model.norm.weight", weights.norm.clone());
    if let Some(head) = &weights.head {
        put(&mut out, "lm_head.weight", head.clone().transpose());
    }
    for (i, block) in weights.blocks.iter().enumerate() {
        let columns = |m: &Tensor<2>, from: usize, to: usize| m.clone().slice_dim(1, from..to).transpose();
        let mut matrix =
            |name: &str, m: Tensor<2>| put(&mut out, &format!("model.layers.{i}.{name}.weight"), m);
        matrix("self_attn.q_proj", columns(&block.packed, 0, q));
        matrix("self_attn.k_proj", columns(&block.packed, q, q + kv));
        matrix("self_attn.v_proj", columns(&block.packed, q + kv, q + 2 * kv));
        matrix("self_attn.o_proj", block.output.clone().transpose());
        matrix("mlp.gate_proj", columns(&block.gate_up, 0, f));
        matrix("mlp.up_proj", columns(&block.gate_up, f, 2 * f));
        matrix("mlp.down_proj", block.down.clone().transpose());
        put(&mut out, &format!("model.layers.{i}.input_layernorm.weight"), block.attention_norm.clone());
        put(&mut out, &format!("model.layers.{i}.post_attention_layernorm.weight"), block.mlp_norm.clone());
    }
    out
}

fn put<const R: usize>(out: &mut Named, name: &str, tensor: Tensor<R>) {
    let shape = tensor.dims().to_vec();
    let values: Vec<f32> = tensor.into_data().try_into_vec().expect("parameters are f32");
    out.insert(name.to_owned(), (shape, values.iter().flat_map(|value| value.to_le_bytes()).collect()));
}

/// Takes tensors out of a file by name, checking their shapes.
struct Reader<'a> {
    path: &'a Path,
    file: SafeTensors<'a>,
    device: &'a Device,
}

impl<'a> Reader<'a> {
    fn new(path: &'a Path, bytes: &'a [u8], device: &'a Device) -> Result<Self, CheckpointError> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| file("read", path, &error))?;
        Ok(Self { path, file, device })
    }

    fn weights(&self, config: &ModelConfig, vocabulary: usize) -> Result<Weights, CheckpointError> {
        let width = config.width;
        let blocks = (0..config.layers).map(|i| self.block(config, i)).collect::<Result<_, _>>()?;
        let head = if config.tied { None } else { Some(self.matrix("lm_head", width, vocabulary)?) };
        Ok(Weights {
            embedding: self.tensor("model.embed_tokens.weight", [vocabulary, width])?,
            blocks,
            norm: self.tensor("model.norm.weight", [width])?,
            head,
            adapters: None,
        })
    }

    fn block(&self, config: &ModelConfig, i: usize) -> Result<Block, CheckpointError> {
        let (d, f, kv) = (config.width, config.hidden, config.kv_heads * config.head_size());
        let matrix = |name: &str, from, to| self.matrix(&format!("model.layers.{i}.{name}"), from, to);
        let gain = |name: &str| self.tensor(&format!("model.layers.{i}.{name}.weight"), [d]);
        let query = matrix("self_attn.q_proj", d, d)?;
        let (key, value) = (matrix("self_attn.k_proj", d, kv)?, matrix("self_attn.v_proj", d, kv)?);
        Ok(Block {
            attention_norm: gain("input_layernorm")?,
            packed: Tensor::cat(vec![query, key, value], 1),
            output: matrix("self_attn.o_proj", d, d)?,
            mlp_norm: gain("post_attention_layernorm")?,
            gate_up: Tensor::cat(vec![matrix("mlp.gate_proj", d, f)?, matrix("mlp.up_proj", d, f)?], 1),
            down: matrix("mlp.down_proj", f, d)?,
        })
    }

    /// A linear layer's matrix, turned to \[in, out\].
    fn matrix(&self, name: &str, from: usize, to: usize) -> Result<Tensor<2>, CheckpointError> {
        let stored = self.tensor(&format!("{name}.weight"), [to, from])?;
        // Through the host, so that the matrix lies in memory the way it is read.
        let data = stored.transpose().into_data();
        Ok(Tensor::from_data(data, self.device))
    }

    fn tensor<const R: usize>(&self, name: &str, shape: [usize; R]) -> Result<Tensor<R>, CheckpointError> {
        let wrong = |problem: String| CheckpointError::Tensor {
            path: self.path.to_owned(),
            name: name.to_owned(),
            problem,
        };
        let view = self.file.tensor(name).map_err(|_| wrong("is missing".to_owned()))?;
        if view.dtype() != Dtype::F32 {
            return Err(wrong(format!("has type {:?}, expected F32", view.dtype())));
        }
        if view.shape() != shape {
            return Err(wrong(format!("has shape {:?}, expected {shape:?}", view.shape())));
        }
        let (values, _) = view.data().as_chunks::<4>();
        let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(Tensor::from_data(TensorData::new(values, shape), self.device))
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    fs::write(path, bytes).map_err(|error| file("write", path, &error))
}

fn file(action: &'static str, path: &Path, reason: &dyn std::fmt::Display) -> CheckpointError {
    CheckpointError::File { action, path: path.to_owned(), reason: reason.to_string() }
}
