//! A training that can be taken up again: weights, moments and place on disk.
//!
//! The tensors go to a file of their own before the small record that names it is replaced, so a
//! kill leaves the older record with its older file, or the newer with the newer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::domain::{Key, Point};
use crate::model::{Adapters, Visit, Weights};

use super::{AdamW, Moments};

const RECORD: &str = "progress.json";

/// Where a training stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The current phase.
    pub phase: usize,
    /// Steps done in it.
    pub step: usize,
    /// Sum of the losses since the last point.
    pub pending: f64,
    /// Sums of the objective's readings since the last point.
    #[serde(default)]
    pub readings: BTreeMap<String, f64>,
    /// What the objective counted so far.
    #[serde(default)]
    pub counts: BTreeMap<String, u64>,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// Seconds of work so far, in all processes.
    pub seconds: f64,
    /// The curve so far.
    pub points: Vec<Point>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    place: Place,
    steps: u64,
    tensors: String,
    sha256: Key,
}

/// Why progress could not be kept or taken up.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the training's progress in {}: {reason}", path.display())]
pub struct ProgressError {
    action: &'static str,
    path: PathBuf,
    reason: String,
}

fn failure(action: &'static str, path: &Path, reason: &dyn std::fmt::Display) -> ProgressError {
    ProgressError {
        action,
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// Keeps weights, moments and place in `folder`.
///
/// # Errors
/// If the disk refuses.
pub fn keep(
    folder: &Path,
    weights: &Weights,
    adam: &AdamW,
    place: &Place,
) -> Result<(), ProgressError> {
    let mut trained = Trained {
        adapters: weights.adapters.is_some(),
        values: Values::default(),
    };
    let _ = weights.clone().map(&mut trained);
    let mut values = trained.values;
    for (name, moments) in &adam.moments {
        let [first, second] = moments.clone().into_host();
        values.0.insert(format!("first/{name}"), first);
        values.0.insert(format!("second/{name}"), second);
    }
    let bytes = values.encode();
    let tensors = format!("progress-{}-{}.safetensors", place.phase, place.step);
    let path = folder.join(&tensors);
    fs::write(&path, &bytes).map_err(|error| failure("keep", &path, &error))?;
    let record = Record {
        place: place.clone(),
        steps: adam.steps,
        tensors,
        sha256: Key::of_bytes(&bytes),
    };
    let before = read(folder).map(|record| record.tensors);
    let (path, temporary) = (folder.join(RECORD), folder.join("progress.tmp"));
    let text = serde_json::to_string(&record).expect("a record is plain data");
    fs::write(&temporary, text).map_err(|error| failure("keep", &temporary, &error))?;
    fs::rename(&temporary, &path).map_err(|error| failure("keep", &path, &error))?;
    if let Some(old) = before.filter(|old| *old != record.tensors) {
        // Only space is lost if the old file stays.
        let _ = fs::remove_file(folder.join(old));
    }
    Ok(())
}

/// Takes up what `folder` holds, if it holds a whole progress; a damaged one counts as none, and
/// the training begins again.
///
/// # Errors
/// If the file is there and cannot be read.
pub fn take_up(
    folder: &Path,
    weights: &Weights,
) -> Result<Option<(Weights, AdamW, Place)>, ProgressError> {
    let Some(record) = read(folder) else {
        return Ok(None);
    };
    let path = folder.join(&record.tensors);
    let Ok(bytes) = fs::read(&path) else {
        return Ok(None);
    };
    if Key::of_bytes(&bytes) != record.sha256 {
        return Ok(None);
    }
    let file = SafeTensors::deserialize(&bytes).map_err(|error| failure("read", &path, &error))?;
    let floats = |name: &str| -> Option<Vec<f32>> {
        let (values, _) = file.tensor(name).ok()?.data().as_chunks::<4>();
        Some(
            values
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect(),
        )
    };
    let mut replace = Replace {
        adapters: weights.adapters.is_some(),
        floats: &floats,
        missing: false,
    };
    let restored = weights.clone().map(&mut replace);
    if replace.missing {
        return Ok(None);
    }
    let names = file
        .names()
        .into_iter()
        .filter_map(|name| name.strip_prefix("first/"));
    let moments = names
        .filter_map(|name| {
            let pair = [
                floats(&format!("first/{name}"))?,
                floats(&format!("second/{name}"))?,
            ];
            Some((name.to_owned(), Moments::Host(pair)))
        })
        .collect();
    Ok(Some((
        restored,
        AdamW {
            moments,
            steps: record.steps,
        },
        record.place,
    )))
}

/// Removes whatever progress `folder` holds.
pub fn forget(folder: &Path) {
    if let Some(record) = read(folder) {
        // Leftovers cost space only: the stage's manifest does not name them.
        let _ = fs::remove_file(folder.join(record.tensors));
        let _ = fs::remove_file(folder.join(RECORD));
    }
}

fn read(folder: &Path) -> Option<Record> {
    serde_json::from_str(&fs::read_to_string(folder.join(RECORD)).ok()?).ok()
}

#[derive(Default)]
struct Values(BTreeMap<String, Vec<f32>>);

impl Values {
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

impl Visit for Trained {
    fn visit<const R: usize>(&mut self, name: &str, parameter: Tensor<R>) -> Tensor<R> {
        if self.adapters && !Adapters::is_name(name) {
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

/// Takes the values of what is trained: of adapters alone where there are some.
struct Trained {
    adapters: bool,
    values: Values,
}

struct Replace<'a> {
    adapters: bool,
    floats: &'a dyn Fn(&str) -> Option<Vec<f32>>,
    missing: bool,
}

impl Visit for Replace<'_> {
    fn visit<const R: usize>(&mut self, name: &str, parameter: Tensor<R>) -> Tensor<R> {
        if self.adapters && !Adapters::is_name(name) {
            return parameter;
        }
        let (device, shape): (Device, _) = (parameter.device(), parameter.shape());
        match (self.floats)(&format!("weights/{name}")) {
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
