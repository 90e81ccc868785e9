//! The progress of a training on disk: weights, moments and position.
//!
//! The tensors go into a new file before a rename replaces the small record that names it, so a kill
//! leaves the older record with its file or the newer one with its file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::domain::{Key, MetricPoint};
use crate::model::{LoraAdapters, ParameterVisitor, Weights};

use super::{AdamMoments, AdamW};

const STATE_FILE: &str = "progress.json";

/// The position of a training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// The current phase.
    pub phase: usize,
    /// Steps done in it.
    pub step: usize,
    /// Sum of the losses since the last point.
    #[serde(rename = "pending")]
    pub loss_sum: f64,
    /// Sums of the objective's metrics since the last point.
    #[serde(default)]
    #[serde(rename = "readings")]
    pub metric_sums: BTreeMap<String, f64>,
    /// Counts of the objective so far.
    #[serde(default)]
    pub counts: BTreeMap<String, u64>,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// Seconds of work so far, in all processes.
    pub seconds: f64,
    /// The curve so far.
    #[serde(rename = "points")]
    pub curve: Vec<MetricPoint>,
}

#[derive(Serialize, Deserialize)]
struct StateRecord {
    #[serde(rename = "place")]
    state: TrainerState,
    #[serde(rename = "steps")]
    optimizer_steps: u64,
    #[serde(rename = "tensors")]
    tensor_file: String,
    sha256: Key,
}

/// Why progress could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the training's progress in {}: {reason}", path.display())]
pub struct TrainerStateError {
    action: &'static str,
    path: PathBuf,
    reason: String,
}

fn state_error(
    action: &'static str,
    path: &Path,
    reason: &dyn std::fmt::Display,
) -> TrainerStateError {
    TrainerStateError {
        action,
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// Writes weights, moments and position into `folder`.
///
/// # Errors
/// If the disk fails.
pub fn save(
    folder: &Path,
    weights: &Weights,
    adam: &AdamW,
    state: &TrainerState,
) -> Result<(), TrainerStateError> {
    let mut trained = TrainableCollector {
        adapters_only: weights.adapters.is_some(),
        values: NamedTensors::default(),
    };
    let _ = weights.clone().map_parameters(&mut trained);
    let mut values = trained.values;
    for (name, moments) in &adam.moments {
        let [first, second] = moments.clone().into_host();
        values.0.insert(format!("first/{name}"), first);
        values.0.insert(format!("second/{name}"), second);
    }
    let bytes = values.encode();
    let tensors = format!("progress-{}-{}.safetensors", state.phase, state.step);
    let path = folder.join(&tensors);
    fs::write(&path, &bytes).map_err(|error| state_error("keep", &path, &error))?;
    let record = StateRecord {
        state: state.clone(),
        optimizer_steps: adam.steps,
        tensor_file: tensors,
        sha256: Key::from_bytes(&bytes),
    };
    let before = read_record(folder).map(|record| record.tensor_file);
    let (path, temporary) = (folder.join(STATE_FILE), folder.join("progress.tmp"));
    let text = serde_json::to_string(&record).expect("a record is plain data");
    fs::write(&temporary, text).map_err(|error| state_error("keep", &temporary, &error))?;
    fs::rename(&temporary, &path).map_err(|error| state_error("keep", &path, &error))?;
    if let Some(old) = before.filter(|old| *old != record.tensor_file) {
        // Only space is lost if the old file stays.
        let _ = fs::remove_file(folder.join(old));
    }
    Ok(())
}

/// Reads the progress in `folder`; none if there is none or it is damaged, and the training starts
/// from the beginning.
///
/// # Errors
/// If the file exists and cannot be read.
pub fn load(
    folder: &Path,
    weights: &Weights,
) -> Result<Option<(Weights, AdamW, TrainerState)>, TrainerStateError> {
    let Some(record) = read_record(folder) else {
        return Ok(None);
    };
    let path = folder.join(&record.tensor_file);
    let Ok(bytes) = fs::read(&path) else {
        return Ok(None);
    };
    if Key::from_bytes(&bytes) != record.sha256 {
        return Ok(None);
    }
    let file =
        SafeTensors::deserialize(&bytes).map_err(|error| state_error("read", &path, &error))?;
    let mut restorer = TrainableRestorer {
        adapters_only: weights.adapters.is_some(),
        file: &file,
        missing: false,
    };
    let restored = weights.clone().map_parameters(&mut restorer);
    if restorer.missing {
        return Ok(None);
    }
    let names = file
        .names()
        .into_iter()
        .filter_map(|name| name.strip_prefix("first/"));
    let moments = names
        .filter_map(|name| {
            let pair = [
                read_floats(&file, &format!("first/{name}"))?,
                read_floats(&file, &format!("second/{name}"))?,
            ];
            Some((name.to_owned(), AdamMoments::Host(pair)))
        })
        .collect();
    Ok(Some((
        restored,
        AdamW {
            moments,
            steps: record.optimizer_steps,
        },
        record.state,
    )))
}

fn read_floats(file: &SafeTensors<'_>, name: &str) -> Option<Vec<f32>> {
    let (values, _) = file.tensor(name).ok()?.data().as_chunks::<4>();
    Some(
        values
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect(),
    )
}

/// Removes the progress in `folder`.
pub fn remove(folder: &Path) {
    if let Some(record) = read_record(folder) {
        // Leftovers cost space only: the stage's manifest does not name them.
        let _ = fs::remove_file(folder.join(record.tensor_file));
        let _ = fs::remove_file(folder.join(STATE_FILE));
    }
}

fn read_record(folder: &Path) -> Option<StateRecord> {
    serde_json::from_str(&fs::read_to_string(folder.join(STATE_FILE)).ok()?).ok()
}

#[derive(Default)]
struct NamedTensors(BTreeMap<String, Vec<f32>>);

impl NamedTensors {
    fn encode(&self) -> Vec<u8> {
        let bytes: BTreeMap<&String, Vec<u8>> = self
            .0
            .iter()
            .map(|(name, values)| {
                (
                    name,
                    values
                        .iter()
                        .flat_map(|value| value.to_le_bytes())
                        .collect(),
                )
            })
            .collect();
        let views = bytes.iter().map(|(name, bytes)| {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
            (name, view.expect("four bytes a value"))
        });
        safetensors::serialize(views, None).expect("names are distinct")
    }
}

impl ParameterVisitor for TrainableCollector {
    fn visit<const R: usize>(&mut self, name: &str, parameter: Tensor<R>) -> Tensor<R> {
        if self.adapters_only && !LoraAdapters::is_parameter_name(name) {
            return parameter;
        }
        let values = parameter
            .clone()
            .into_data()
            .try_into_vec()
            .expect("parameters are f32");
        self.values.0.insert(format!("weights/{name}"), values);
        parameter
    }
}

/// Collects the trained values: those of the adapters alone if there are any.
struct TrainableCollector {
    adapters_only: bool,
    values: NamedTensors,
}

struct TrainableRestorer<'a> {
    adapters_only: bool,
    file: &'a SafeTensors<'a>,
    missing: bool,
}

impl ParameterVisitor for TrainableRestorer<'_> {
    fn visit<const R: usize>(&mut self, name: &str, parameter: Tensor<R>) -> Tensor<R> {
        if self.adapters_only && !LoraAdapters::is_parameter_name(name) {
            return parameter;
        }
        let (device, shape): (Device, _) = (parameter.device(), parameter.shape());
        match read_floats(self.file, &format!("weights/{name}")) {
            Some(values) if values.len() == shape.num_elements() => {
                Tensor::from_data(TensorData::new(values, shape), &device)
            }
            _ => {
                self.missing = true;
                parameter
            }
        }
    }
}
