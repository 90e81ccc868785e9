//! What is in a checkpoint's folder, and what is wrong with it, without reading a weight.
//!
//! Headers of safetensors files say types and shapes; these are compared with what the sizes ask
//! for. Everything that is wrong is collected, so that one look tells all of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::Dtype;
use serde::Serialize;

use super::safetensors_files::TensorInventory;
use super::{
    Architecture, CONFIG_FILE, CheckpointConfig, CheckpointLink, TOKENIZER_FILE, WEIGHTS_FILE,
    adapter_base, embedding_rows, read_checkpoint_config,
};
use crate::model::{ModelConfig, Tokenizer, TokenizerError};

/// What was found.
#[derive(Debug, Serialize)]
pub struct CheckpointReport {
    /// The architecture, by the name in Hugging Face's configurations.
    pub architecture: Option<&'static str>,
    /// The sizes; none where they cannot be read.
    pub config: Option<ModelConfig>,
    /// Rows of the embedding.
    pub vocabulary: Option<usize>,
    /// Number of parameters that the sizes ask for.
    pub parameters: Option<usize>,
    /// Tensors by the type of their numbers.
    #[serde(rename = "kinds")]
    pub dtypes: Vec<DtypeCount>,
    /// The files of weights.
    pub shards: Vec<WeightFile>,
    /// The tokenizer; none where it cannot be read.
    pub tokenizer: Option<TokenizerSummary>,
    /// What is wrong, one sentence each.
    #[serde(rename = "faults")]
    pub errors: Vec<String>,
    /// What is worth knowing and no fault.
    pub remarks: Vec<String>,
}

/// Tensors whose numbers are of one type.
#[derive(Debug, Serialize)]
pub struct DtypeCount {
    /// The type, as safetensors calls it.
    pub dtype: String,
    /// How many tensors.
    pub tensors: usize,
    /// How many values they have together.
    pub values: usize,
}

/// A file of weights.
#[derive(Debug, Serialize)]
pub struct WeightFile {
    /// Where it is, or should be.
    pub path: PathBuf,
    /// Its length; none where it is missing.
    pub bytes: Option<u64>,
}

/// What a tokenizer is.
#[derive(Debug, Serialize)]
pub struct TokenizerSummary {
    /// Number of tokens.
    pub tokens: usize,
    /// The chat template's file; none where dialogues are written with this program's control tokens.
    pub template: Option<PathBuf>,
    /// Tokens that end an answer.
    #[serde(rename = "ends")]
    pub end_tokens: Vec<String>,
    /// Whether a message of the system is written.
    #[serde(rename = "system")]
    pub supports_system: bool,
}

/// Looks into a checkpoint's folder.
#[must_use]
pub fn inspect(folder: &Path) -> CheckpointReport {
    let mut faults = Vec::new();
    let link = resolve_link(folder, &mut faults);
    inspect_link_target(&link, faults)
}

/// Looks into the folder that a link leads to, used in the way that it says.
#[must_use]
pub fn inspect_linked(link: &CheckpointLink) -> CheckpointReport {
    inspect_link_target(link, Vec::new())
}

fn inspect_link_target(link: &CheckpointLink, mut faults: Vec<String>) -> CheckpointReport {
    let path = link.folder.join(CONFIG_FILE);
    let mut sizes = read_checkpoint_config(&path)
        .map_err(|error| faults.push(error.to_string()))
        .ok();
    if let (Some(CheckpointConfig { config, .. }), Some(most)) = (&mut sizes, link.positions) {
        config.positions = config.positions.min(most);
    }
    let (weights, tokenizer) = (
        link.folder.join(WEIGHTS_FILE),
        link.folder.join(TOKENIZER_FILE),
    );
    let files = CheckpointPaths {
        sizes: &path,
        weights: &weights,
        tokenizer: &tokenizer,
    };
    inspect_files(sizes, &files, link.chat_template.as_deref(), faults)
}

/// Where the parts of a checkpoint are.
struct CheckpointPaths<'a> {
    sizes: &'a Path,
    weights: &'a Path,
    tokenizer: &'a Path,
}

/// The folder that holds whole weights: that of the base behind adapters, or where a link leads.
fn resolve_link(folder: &Path, faults: &mut Vec<String>) -> CheckpointLink {
    let base = adapter_base(folder).unwrap_or_else(|error| {
        faults.push(error.to_string());
        None
    });
    let folder = base.unwrap_or_else(|| folder.to_owned());
    match CheckpointLink::read(&folder) {
        Ok(Some(link)) => link,
        Ok(None) => CheckpointLink::to_folder(&folder),
        Err(error) => {
            faults.push(error.to_string());
            CheckpointLink::to_folder(&folder)
        }
    }
}

impl CheckpointReport {
    /// Looks at a checkpoint whose sizes are known and whose files lie wherever they lie.
    #[must_use]
    pub fn from_files(config: &ModelConfig, weights: &Path, tokenizer: &Path) -> Self {
        let sizes = CheckpointConfig {
            config: config.clone(),
            vocabulary: None,
            precision: None,
            architecture: None,
        };
        inspect_files(
            Some(sizes),
            &CheckpointPaths {
                sizes: weights,
                weights,
                tokenizer,
            },
            None,
            Vec::new(),
        )
    }
}

/// A tokenizer, or what is wrong or worth knowing where it cannot write dialogues; and the rows that it
/// needs.
fn load_tokenizer(
    path: &Path,
    chat_template: Option<&Path>,
    faults: &mut Vec<String>,
    remarks: &mut Vec<String>,
) -> (Option<Tokenizer>, Option<usize>) {
    match Tokenizer::load_with(path, chat_template) {
        Ok(tokenizer) => {
            let rows = tokenizer.embedding_rows();
            remarks.extend(
                tokenizer
                    .check_dialogues()
                    .err()
                    .map(|error| error.to_string()),
            );
            (Some(tokenizer), Some(rows))
        }
        // A base model before any instruction has none.
        Err(error @ TokenizerError::NoTemplate { rows, .. }) => {
            remarks.push(error.to_string());
            (None, Some(rows))
        }
        Err(error) => {
            faults.push(error.to_string());
            (None, None)
        }
    }
}

fn inspect_files(
    sizes: Option<CheckpointConfig>,
    &CheckpointPaths {
        sizes: path,
        weights,
        tokenizer,
    }: &CheckpointPaths<'_>,
    chat_template: Option<&Path>,
    mut faults: Vec<String>,
) -> CheckpointReport {
    let named = sizes.as_ref().and_then(|sizes| sizes.architecture);
    let (config, rows) = sizes.map_or((None, None), |sizes| (Some(sizes.config), sizes.vocabulary));
    let mut remarks = Vec::new();
    if let Some((field, complaint)) = config.as_ref().and_then(ModelConfig::first_error) {
        faults.push(format!("{}: `{field}`: {complaint}", path.display()));
    }
    let (tokenizer, needed) = load_tokenizer(tokenizer, chat_template, &mut faults, &mut remarks);
    let vocabulary = needed.map_or(rows, |needed| {
        embedding_rows(rows, needed)
            .map_err(|reason| faults.push(format!("{}: {reason}", path.display())))
            .ok()
            .or(rows)
    });
    let known = config.as_ref().zip(vocabulary);
    let survey = survey_weights(weights, known, &mut faults);
    CheckpointReport {
        architecture: named
            .or_else(|| config.as_ref().and_then(Architecture::for_config))
            .map(Architecture::name),
        parameters: known.map(|(config, rows)| config.parameter_count(rows)),
        vocabulary,
        dtypes: count_dtypes(&survey),
        shards: weight_files(survey),
        tokenizer: tokenizer.as_ref().map(tokenizer_summary),
        config,
        errors: faults,
        remarks,
    }
}

/// Looks at the weights' headers, and tells what is wrong with them; tensors are compared with what the
/// sizes ask for where these are known.
fn survey_weights(
    weights: &Path,
    sizes: Option<(&ModelConfig, usize)>,
    faults: &mut Vec<String>,
) -> TensorInventory {
    let mut survey = TensorInventory::read(weights);
    faults.append(&mut survey.errors);
    faults.extend(unsupported_weights(weights, &survey));
    // Tensors of a file that is not there are missing for a reason that was told.
    let whole = survey.files.iter().all(|(_, bytes)| bytes.is_some()) && !survey.tensors.is_empty();
    if let (Some((config, vocabulary)), true) = (sizes, whole) {
        faults.extend(tensor_errors(config, vocabulary, &survey, weights));
    }
    survey
}

fn tokenizer_summary(tokenizer: &Tokenizer) -> TokenizerSummary {
    let template = tokenizer.chat_template();
    TokenizerSummary {
        tokens: tokenizer.vocabulary_size(),
        template: template.map(|template| template.path().to_owned()),
        end_tokens: tokenizer.end_token_names(),
        supports_system: template.is_some_and(crate::model::ChatTemplate::supports_system),
    }
}

fn weight_files(survey: TensorInventory) -> Vec<WeightFile> {
    survey
        .files
        .into_iter()
        .map(|(path, bytes)| WeightFile { path, bytes })
        .collect()
}

fn count_dtypes(survey: &TensorInventory) -> Vec<DtypeCount> {
    let mut kinds: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (dtype, shape) in survey.tensors.values() {
        let (tensors, values) = kinds.entry(format!("{dtype:?}")).or_default();
        *tensors += 1;
        *values += shape.iter().product::<usize>();
    }
    kinds
        .into_iter()
        .map(|(dtype, (tensors, values))| DtypeCount {
            dtype,
            tensors,
            values,
        })
        .collect()
}

/// Weights in a form that is not read, where there are none in the one that is.
fn unsupported_weights(weights: &Path, survey: &TensorInventory) -> Option<String> {
    if survey.files.iter().any(|(_, bytes)| bytes.is_some()) {
        return None;
    }
    let entries = fs::read_dir(weights.parent()?).ok()?.flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let found = names.iter().find(|name| {
        [".bin", ".pt", ".pth", ".gguf"]
            .iter()
            .any(|end| name.ends_with(end))
            || name.starts_with("adapter_")
    })?;
    Some(format!(
        "there is `{found}`, and only safetensors files of whole weights are read; convert it"
    ))
}

/// The first few tensors that are missing, of another shape, or no floats.
fn tensor_errors(
    config: &ModelConfig,
    vocabulary: usize,
    survey: &TensorInventory,
    path: &Path,
) -> Vec<String> {
    const SHOWN: usize = 5;
    let all: Vec<String> = expected_tensors(config, vocabulary)
        .iter()
        .filter_map(|(name, shape)| tensor_fault(name, shape, survey))
        .collect();
    let more = all.len().saturating_sub(SHOWN);
    let told = all
        .iter()
        .take(SHOWN)
        .map(|fault| format!("{}: {fault}", path.display()));
    let rest = match more {
        0 => None,
        1 => Some(format!("{}: 1 more tensor does not fit", path.display())),
        more => Some(format!(
            "{}: {more} more tensors do not fit",
            path.display()
        )),
    };
    told.chain(rest).collect()
}

/// What is wrong with one tensor, if anything.
fn tensor_fault(name: &str, shape: &[usize], survey: &TensorInventory) -> Option<String> {
    match survey.tensors.get(name) {
        None => Some(format!("tensor `{name}` is missing")),
        Some((_, found)) if *found != shape => Some(format!(
            "tensor `{name}` has shape {found:?}, expected {shape:?}"
        )),
        Some((Dtype::F32 | Dtype::F16 | Dtype::BF16, _)) => None,
        Some((other, _)) => Some(format!(
            "tensor `{name}` has type {other:?}, expected F32, F16 or BF16"
        )),
    }
}

/// Every tensor that sizes ask for, in the order of the layers, with its shape on disk.
pub fn expected_tensors(config: &ModelConfig, vocabulary: usize) -> Vec<(String, Vec<usize>)> {
    let block = expected_block_tensors(config);
    let layers = (0..config.layers).flat_map(|layer| {
        block
            .iter()
            .map(move |(name, shape)| (format!("model.layers.{layer}.{name}"), shape.clone()))
    });
    let first = (
        "model.embed_tokens.weight".to_owned(),
        vec![vocabulary, config.width],
    );
    let head =
        (!config.tied).then(|| ("lm_head.weight".to_owned(), vec![vocabulary, config.width]));
    let last = ("model.norm.weight".to_owned(), vec![config.width]);
    std::iter::once(first)
        .chain(layers)
        .chain([last])
        .chain(head)
        .collect()
}

/// Every tensor of one block, without the layer's number in its name, with its shape on disk.
fn expected_block_tensors(config: &ModelConfig) -> Vec<(&'static str, Vec<usize>)> {
    let ModelConfig {
        width: d,
        hidden: f,
        ..
    } = *config;
    let (q, kv, s) = (config.query_width(), config.key_width(), config.head_size());
    let mut block = vec![
        ("input_layernorm.weight", vec![d]),
        ("self_attn.q_proj.weight", vec![q, d]),
        ("self_attn.k_proj.weight", vec![kv, d]),
        ("self_attn.v_proj.weight", vec![kv, d]),
        ("self_attn.o_proj.weight", vec![d, q]),
        ("post_attention_layernorm.weight", vec![d]),
        ("mlp.gate_proj.weight", vec![f, d]),
        ("mlp.up_proj.weight", vec![f, d]),
        ("mlp.down_proj.weight", vec![d, f]),
    ];
    if config.qkv_bias {
        block.extend([
            ("self_attn.q_proj.bias", vec![q]),
            ("self_attn.k_proj.bias", vec![kv]),
            ("self_attn.v_proj.bias", vec![kv]),
        ]);
    }
    if config.qk_norm {
        block.extend([
            ("self_attn.q_norm.weight", vec![s]),
            ("self_attn.k_norm.weight", vec![s]),
        ]);
    }
    block
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;
    use crate::domain::Seed;
    use crate::model::checkpoint::encode_weights;
    use crate::model::{Decoder, ExecutionContext, Weights};

    #[test]
    fn what_is_expected_is_what_is_written() {
        let place = ExecutionContext::open("flex").unwrap();
        let plain = ModelConfig {
            width: 16,
            layers: 2,
            hidden: 24,
            ..ModelConfig::default()
        };
        let more = ModelConfig {
            qkv_bias: true,
            qk_norm: true,
            tied: true,
            kv_heads: 2,
            ..plain.clone()
        };
        for config in [plain, more] {
            let weights = Weights::init_random(&config, 11, Seed(1), &place.device);
            let bytes = encode_weights(&Decoder::new(config.clone(), weights, &place));
            let written = SafeTensors::deserialize(&bytes).unwrap();
            let mut found: Vec<(String, Vec<usize>)> = written
                .tensors()
                .into_iter()
                .map(|(name, view)| (name, view.shape().to_vec()))
                .collect();
            let mut expected = expected_tensors(&config, 11);
            let values: usize = expected
                .iter()
                .map(|(_, shape)| shape.iter().product::<usize>())
                .sum();
            assert_eq!(values, config.parameter_count(11));
            found.sort();
            expected.sort();
            assert_eq!(found, expected);
        }
    }
}
