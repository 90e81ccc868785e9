//! Adapters on disk, in PEFT's names and layout.
//!
//! `adapter_model.safetensors` has A as \[rank, in\] and B as \[out, rank\]; `adapter_config.json` names
//! sizes and targets, and the checkpoint that the adapters belong to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::model::{Adapter, Adapters, Decoder, LoraConfig, ModelConfig, Place, Projection};

use super::shards::Shards;
use super::{CheckpointError, file, write};

/// The adapters.
pub const ADAPTERS: &str = "adapter_model.safetensors";
/// Their sizes.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";

/// The fields that are read.
#[derive(Deserialize)]
struct Config {
    peft_type: String,
    base_model_name_or_path: String,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f64,
    target_modules: Vec<Projection>,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    rank_pattern: Value,
}

/// The checkpoint that the adapters in `folder` belong to; none if it holds no adapters.
///
/// # Errors
/// If their configuration cannot be read.
pub fn base_of(folder: &Path) -> Result<Option<PathBuf>, CheckpointError> {
    Ok(config(folder)?.map(|config| folder.join(config.base_model_name_or_path)))
}

fn config(folder: &Path) -> Result<Option<Config>, CheckpointError> {
    let path = folder.join(ADAPTER_CONFIG);
    let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
    let config: Config = serde_json::from_str(&text).map_err(|error| file("read", &path, &error))?;
    let special = config.use_rslora || config.use_dora || !is_empty(&config.rank_pattern);
    if config.peft_type != "LORA" || special {
        let reason = "only plain LoRA with one rank is known (no rsLoRA, no DoRA, no `rank_pattern`)";
        return Err(file("use", &path, &reason));
    }
    Ok(Some(config))
}

fn is_empty(pattern: &Value) -> bool {
    pattern.as_object().is_none_or(serde_json::Map::is_empty)
}

/// Writes a decoder's adapters into `folder`; `base` is their checkpoint, relative to it.
///
/// # Errors
/// If a file cannot be written.
///
/// # Panics
/// If the decoder has no adapters.
pub fn save(decoder: &Decoder, base: &str, folder: &Path) -> Result<(), CheckpointError> {
    let adapters = decoder.weights().adapters.as_ref().expect("the caller asked for adapters");
    write(&folder.join(ADAPTERS), &encode(adapters))?;
    let LoraConfig { rank, alpha, dropout, targets } = &adapters.lora;
    let config = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "target_modules": targets,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "modules_to_save": null,
    });
    let text = serde_json::to_string_pretty(&config).expect("sizes are plain data");
    write(&folder.join(ADAPTER_CONFIG), text.as_bytes())
}

/// The bytes of `adapter_model.safetensors`.
fn encode(adapters: &Adapters) -> Vec<u8> {
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (layer, block) in adapters.blocks.iter().enumerate() {
        for Adapter { projection, down, up, .. } in block {
            for (half, matrix) in [("A", down), ("B", up)] {
                let turned = matrix.clone().transpose();
                let shape = turned.dims().to_vec();
                let values: Vec<f32> = turned.into_data().try_into_vec().expect("adapters are f32");
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                tensors.insert(name(layer, *projection, half), (shape, bytes));
            }
        }
    }
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("shapes come with their values"))
    });
    safetensors::serialize(views, None).expect("names are distinct")
}

fn name(layer: usize, projection: Projection, half: &str) -> String {
    let (part, projection) = (projection.part(), projection.name());
    format!("base_model.model.model.layers.{layer}.{part}.{projection}.lora_{half}.weight")
}

/// The adapters in `folder`, for a decoder of these sizes.
///
/// # Errors
/// If a file is missing or damaged, or a tensor does not fit.
pub fn read(folder: &Path, sizes: &ModelConfig, place: &Place) -> Result<Adapters, CheckpointError> {
    let Some(config) = config(folder)? else {
        return Err(file("read", &folder.join(ADAPTER_CONFIG), &"there is no such file"));
    };
    let shards = Shards::open(&folder.join(ADAPTERS))?;
    let targets = config.target_modules.into_iter().collect();
    let lora = LoraConfig { rank: config.r, alpha: config.lora_alpha, dropout: config.lora_dropout, targets };
    let half = |name: &str, [rows, columns]: [usize; 2]| {
        let values = shards.values(name, &[rows, columns])?;
        let data = TensorData::new(values, [rows, columns]);
        Ok::<_, CheckpointError>(Tensor::<2>::from_data(data, &place.device).transpose())
    };
    let adapter = |layer: usize, projection: Projection| {
        let (_, rows, columns) = projection.place(sizes);
        let down = half(&name(layer, projection, "A"), [lora.rank, rows])?;
        let up = half(&name(layer, projection, "B"), [columns.len(), lora.rank])?;
        Ok::<_, CheckpointError>(Adapter { projection, columns, down, up })
    };
    let block = |layer| lora.targets.iter().map(|&projection| adapter(layer, projection)).collect();
    let blocks = (0..sizes.layers).map(block).collect::<Result<_, _>>()?;
    Ok(Adapters { lora: lora.clone(), blocks })
}
