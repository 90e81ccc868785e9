//! Adapters on disk, in PEFT's names and layout.
//!
//! `adapter_model.safetensors` has A as \[rank, in\] and B as \[out, rank\]; `adapter_config.json` names
//! sizes and targets, and the checkpoint that the adapters belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::model::{
    Decoder, ExecutionContext, LoraAdapter, LoraAdapters, LoraConfig, ModelConfig, Projection,
};

use super::safetensors_files::SafetensorsFiles;
use super::{CheckpointError, file_error, write_file};

/// The adapters.
pub const ADAPTER_WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// Their sizes.
pub const ADAPTER_CONFIG_FILE: &str = "adapter_config.json";

/// The fields that are read.
#[derive(Deserialize)]
struct PeftConfig {
    peft_type: String,
    base_model_name_or_path: String,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f64,
    target_modules: Vec<Projection>,
    /// Everything else, of which nothing may be asked for.
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

impl PeftConfig {
    /// Keeps the sizes alone, in this program's names.
    fn into_lora(self) -> LoraConfig {
        LoraConfig {
            rank: self.r,
            alpha: self.lora_alpha,
            dropout: self.lora_dropout,
            targets: self.target_modules.into_iter().collect(),
        }
    }
}

/// What changes the arithmetic of adapters, with what it says where it changes nothing.
const UNSUPPORTED_OPTIONS: [(&str, &str); 9] = [
    ("use_rslora", "false"),
    ("use_dora", "false"),
    ("rank_pattern", "{}"),
    ("alpha_pattern", "{}"),
    ("bias", "\"none\""),
    ("lora_bias", "false"),
    ("modules_to_save", "[]"),
    ("fan_in_fan_out", "false"),
    ("layers_to_transform", "[]"),
];

/// The checkpoint that the adapters in `folder` belong to; none if it holds no adapters.
///
/// # Errors
/// If their configuration cannot be read.
pub fn adapter_base(folder: &Path) -> Result<Option<PathBuf>, CheckpointError> {
    Ok(read_peft_config(folder)?.map(|config| folder.join(config.base_model_name_or_path)))
}

fn read_peft_config(folder: &Path) -> Result<Option<PeftConfig>, CheckpointError> {
    let path = folder.join(ADAPTER_CONFIG_FILE);
    let Ok(text) = fs::read_to_string(&path) else {
        return Ok(None);
    };
    let config: PeftConfig =
        serde_json::from_str(&text).map_err(|error| file_error("read", &path, &error))?;
    match unsupported_option(&config) {
        Some((name, value)) => Err(file_error(
            "use",
            &path,
            &unsupported_message(&format!("`{name}` is `{value}`")),
        )),
        None => Ok(Some(config)),
    }
}

/// The first field that asks for something else than plain adapters.
fn unsupported_option(config: &PeftConfig) -> Option<(&str, String)> {
    if config.peft_type != "LORA" {
        return Some(("peft_type", config.peft_type.clone()));
    }
    UNSUPPORTED_OPTIONS.iter().find_map(|&(name, plain)| {
        let value = config
            .more
            .get(name)
            .filter(|value| !value.is_null())?
            .to_string();
        (value != plain).then_some((name, value))
    })
}

fn unsupported_message(found: &str) -> String {
    format!(
        "{found}, and only plain LoRA with one rank is known; merge the adapters into their base with PEFT \
         (`merge_and_unload`) and use what comes out"
    )
}

/// Writes a decoder's adapters into `folder`; `base` is their checkpoint, relative to it.
///
/// # Errors
/// If a file cannot be written.
///
/// # Panics
/// If the decoder has no adapters.
pub fn save(decoder: &Decoder, base: &str, folder: &Path) -> Result<(), CheckpointError> {
    let adapters = decoder
        .weights()
        .adapters
        .as_ref()
        .expect("the caller asked for adapters");
    write_file(
        &folder.join(ADAPTER_WEIGHTS_FILE),
        &encode_adapters(adapters),
    )?;
    let LoraConfig {
        rank,
        alpha,
        dropout,
        targets,
    } = &adapters.lora;
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
    write_file(&folder.join(ADAPTER_CONFIG_FILE), text.as_bytes())
}

/// The bytes of `adapter_model.safetensors`.
fn encode_adapters(adapters: &LoraAdapters) -> Vec<u8> {
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (layer, block) in adapters.blocks.iter().enumerate() {
        for LoraAdapter {
            projection,
            down,
            up,
            ..
        } in block
        {
            for (half, matrix) in [("A", down), ("B", up)] {
                let turned = matrix.clone().transpose();
                let shape = turned.dims().to_vec();
                let values: Vec<f32> = turned.into_data().try_into_vec().expect("adapters are f32");
                let bytes = values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect();
                tensors.insert(tensor_name(layer, *projection, half), (shape, bytes));
            }
        }
    }
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (
            name,
            TensorView::new(Dtype::F32, shape.clone(), bytes)
                .expect("shapes come with their values"),
        )
    });
    safetensors::serialize(views, None).expect("names are distinct")
}

fn tensor_name(layer: usize, projection: Projection, half: &str) -> String {
    let (part, projection) = (projection.module_name(), projection.name());
    format!("base_model.model.model.layers.{layer}.{part}.{projection}.lora_{half}.weight")
}

/// The adapters in `folder`, for a decoder of these sizes.
///
/// # Errors
/// If a file is missing or damaged, or a tensor does not fit.
pub fn read_adapters(
    folder: &Path,
    sizes: &ModelConfig,
    place: &ExecutionContext,
) -> Result<LoraAdapters, CheckpointError> {
    let Some(config) = read_peft_config(folder)? else {
        return Err(file_error(
            "read",
            &folder.join(ADAPTER_CONFIG_FILE),
            &"there is no such file",
        ));
    };
    let shards = SafetensorsFiles::open(&folder.join(ADAPTER_WEIGHTS_FILE))?;
    let lora = config.into_lora();
    let reader = AdapterReader {
        shards: &shards,
        sizes,
        lora: &lora,
        place,
    };
    let blocks = (0..sizes.layers)
        .map(|layer| reader.read_block(layer))
        .collect::<Result<_, _>>()?;
    if let Some(other) = reader.unknown_tensor() {
        return Err(file_error(
            "use",
            &folder.join(ADAPTER_WEIGHTS_FILE),
            &unsupported_message(&format!("it has a tensor `{other}`")),
        ));
    }
    Ok(LoraAdapters { lora, blocks })
}

/// Takes adapters out of their file, checking their shapes and values.
struct AdapterReader<'a> {
    shards: &'a SafetensorsFiles,
    sizes: &'a ModelConfig,
    lora: &'a LoraConfig,
    place: &'a ExecutionContext,
}

impl AdapterReader<'_> {
    /// Reads the adapters of one block.
    fn read_block(&self, layer: usize) -> Result<Vec<LoraAdapter>, CheckpointError> {
        self.lora
            .targets
            .iter()
            .map(|&projection| self.read_adapter(layer, projection))
            .collect()
    }

    /// Reads both halves of one projection's adapter.
    fn read_adapter(
        &self,
        layer: usize,
        projection: Projection,
    ) -> Result<LoraAdapter, CheckpointError> {
        let (rank, (_, rows, columns)) = (self.lora.rank, projection.location(self.sizes));
        let down = self.read_half(&tensor_name(layer, projection, "A"), [rank, rows])?;
        let up = self.read_half(&tensor_name(layer, projection, "B"), [columns.len(), rank])?;
        Ok(LoraAdapter {
            projection,
            columns,
            down,
            up,
        })
    }

    /// Reads one matrix and turns it to \[in, out\].
    fn read_half(&self, name: &str, shape: [usize; 2]) -> Result<Tensor<2>, CheckpointError> {
        let values = self.shards.values(name, &shape)?;
        let data = TensorData::new(values, shape);
        Ok(Tensor::<2>::from_data(data, &self.place.device).transpose())
    }

    /// Finds the first tensor in the file that no adapter is made of.
    fn unknown_tensor(&self) -> Option<&str> {
        let known: BTreeSet<String> = (0..self.sizes.layers)
            .flat_map(|layer| {
                self.lora
                    .targets
                    .iter()
                    .map(move |&projection| (layer, projection))
            })
            .flat_map(|(layer, projection)| {
                ["A", "B"].map(|half| tensor_name(layer, projection, half))
            })
            .collect();
        self.shards.names().find(|name| !known.contains(*name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Seed;
    use crate::model::fixtures::decoder;

    fn complaint(folder: &Path, change: impl FnOnce(&mut Value)) -> String {
        let path = folder.join(ADAPTER_CONFIG_FILE);
        let mut json: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        change(&mut json);
        fs::write(&path, json.to_string()).unwrap();
        adapter_base(folder)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn what_is_more_than_plain_adapters_is_refused_by_name() {
        for (field, value) in [
            ("alpha_pattern", json!({ "q_proj": 3 })),
            ("rank_pattern", json!({ "q_proj": 3 })),
            ("bias", json!("all")),
            ("modules_to_save", json!(["lm_head"])),
            ("fan_in_fan_out", json!(true)),
            ("use_dora", json!(true)),
            ("use_rslora", json!(true)),
            ("peft_type", json!("IA3")),
        ] {
            let (folder, _) = saved();
            let said = complaint(folder.path(), |json| json[field] = value.clone());
            assert!(
                said.contains(&format!("`{field}` is `")) && said.contains("only plain LoRA"),
                "{said}"
            );
        }
        let (folder, _) = saved();
        let plain =
            json!({ "alpha_pattern": {}, "modules_to_save": [], "layers_to_transform": null });
        let said = complaint(folder.path(), |json| {
            json.as_object_mut()
                .unwrap()
                .extend(plain.as_object().unwrap().clone());
        });
        assert_eq!(said, "");
    }

    #[test]
    fn a_tensor_that_nothing_reads_is_refused() {
        let (folder, decoder) = saved();
        let place = ExecutionContext::open("flex").unwrap();
        assert!(read_adapters(folder.path(), decoder.config(), &place).is_ok());
        let whole = fs::read(folder.path().join(ADAPTER_WEIGHTS_FILE)).unwrap();
        let parsed = safetensors::SafeTensors::deserialize(&whole).unwrap();
        let more = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
        let name = "base_model.model.lm_head.weight".to_owned();
        let tensors = parsed.tensors().into_iter().chain([(name, more)]);
        fs::write(
            folder.path().join(ADAPTER_WEIGHTS_FILE),
            safetensors::serialize(tensors, None).unwrap(),
        )
        .unwrap();
        let said = read_adapters(folder.path(), decoder.config(), &place)
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("it has a tensor `base_model.model.lm_head.weight`"),
            "{said}"
        );
    }

    /// Adapters of a small decoder in a folder.
    fn saved() -> (tempfile::TempDir, Decoder) {
        let folder = tempfile::tempdir().unwrap();
        let decoder = decoder();
        let lora = LoraConfig {
            rank: 2,
            ..LoraConfig::default()
        };
        let adapters = LoraAdapters::init(&lora, decoder.config(), Seed(1), &decoder.device());
        let decoder = decoder.with_adapters(adapters);
        save(&decoder, "../base", folder.path()).unwrap();
        (folder, decoder)
    }
}
