//! The files of a checkpoint's weights, mapped into memory.
//!
//! Nothing is read before it is asked for, so a checkpoint larger than the memory can be read
//! tensor by tensor. Hides whether there is one file or an index of several.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Deserialize;

use super::{CheckpointError, file_error};

/// What an index file is called after the file that it stands for.
const INDEX: &str = "index.json";

/// Where each tensor is.
#[derive(Debug)]
pub struct SafetensorsFiles {
    files: Vec<(PathBuf, Mmap)>,
    /// The file of each tensor, by number.
    tensors: BTreeMap<String, usize>,
    /// What stands for all of it in messages.
    pub path: PathBuf,
}

/// What a checkpoint's files hold, as their headers say.
#[derive(Debug, Default)]
pub struct TensorInventory {
    /// Files of weights with their bytes; none where the file is missing.
    pub files: Vec<(PathBuf, Option<u64>)>,
    /// Type and shape of each tensor.
    pub tensors: BTreeMap<String, (Dtype, Vec<usize>)>,
    /// What is wrong with the files.
    pub errors: Vec<String>,
}

impl TensorInventory {
    /// The file at `path`, or the shards of the index beside it if there is no such file.
    pub fn read(path: &Path) -> Self {
        let index = PathBuf::from(format!("{}.{INDEX}", path.display()));
        let mut survey = Self::default();
        if path.exists() || !index.exists() {
            survey.add_file(path, None);
            return survey;
        }
        let read = fs::read_to_string(&index).map_err(|error| error.to_string());
        let parsed =
            read.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
        match parsed {
            Ok(ShardIndex { weight_map }) => survey.add_shards(path, &weight_map),
            Err(reason) => survey
                .errors
                .push(file_error("read", &index, &reason).to_string()),
        }
        survey
    }

    fn add_shards(&mut self, path: &Path, places: &BTreeMap<String, String>) {
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut shards: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (tensor, shard) in places {
            shards.entry(shard).or_default().push(tensor);
        }
        for (shard, wanted) in shards {
            self.add_file(&folder.join(shard), Some(&wanted));
        }
    }

    /// Notes what one file holds; of all that it holds, what is wanted of it if that is known.
    fn add_file(&mut self, path: &Path, wanted: Option<&[&str]>) {
        let Ok(about) = fs::metadata(path) else {
            let of = wanted.map_or_else(String::new, |wanted| match wanted.len() {
                1 => " (1 tensor)".to_owned(),
                count => format!(" ({count} tensors)"),
            });
            self.files.push((path.to_owned(), None));
            self.errors
                .push(format!("{} is missing{of}; fetch it again", path.display()));
            return;
        };
        self.files.push((path.to_owned(), Some(about.len())));
        let held = map_file(path).and_then(|map| {
            Ok(parse_safetensors(path, &map)?
                .tensors()
                .into_iter()
                .map(|(name, view)| (name, (view.dtype(), view.shape().to_vec())))
                .collect::<BTreeMap<_, _>>())
        });
        match held {
            Ok(mut held) => {
                if let Some(wanted) = wanted {
                    held.retain(|name, _| wanted.contains(&name.as_str()));
                }
                self.tensors.extend(held);
            }
            Err(error) => self.errors.push(error.to_string()),
        }
    }
}

/// `model.safetensors.index.json`.
#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

impl SafetensorsFiles {
    /// Opens the file at `path`, or the shards of the index beside it if there is no such file.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let index = PathBuf::from(format!("{}.{INDEX}", path.display()));
        if !path.exists() && index.exists() {
            return Self::open_index(&index);
        }
        let map = map_file(path)?;
        let tensors = parse_safetensors(path, &map)?
            .names()
            .into_iter()
            .map(|name| (name.to_owned(), 0))
            .collect();
        Ok(Self {
            tensors,
            files: vec![(path.to_owned(), map)],
            path: path.to_owned(),
        })
    }

    fn open_index(path: &Path) -> Result<Self, CheckpointError> {
        let text = fs::read_to_string(path).map_err(|error| file_error("read", path, &error))?;
        let index: ShardIndex =
            serde_json::from_str(&text).map_err(|error| file_error("read", path, &error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut files = Vec::new();
        let mut tensors = BTreeMap::new();
        for (tensor, shard) in &index.weight_map {
            if !numbers.contains_key(shard.as_str()) {
                let path = folder.join(shard);
                let map = map_file(&path)?;
                parse_safetensors(&path, &map)?;
                numbers.insert(shard, files.len());
                files.push((path, map));
            }
            tensors.insert(tensor.clone(), numbers[shard.as_str()]);
        }
        Ok(Self {
            files,
            tensors,
            path: path.to_owned(),
        })
    }

    /// Names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The file that holds a tensor, and the tensor; none if there is no such tensor.
    pub fn get(&self, name: &str) -> Option<(&Path, TensorView<'_>)> {
        let (path, map) = &self.files[*self.tensors.get(name)?];
        let file = SafeTensors::deserialize(map).ok()?;
        Some((path, file.tensor(name).ok()?))
    }
}

impl SafetensorsFiles {
    /// A tensor of floats in this shape, not read yet.
    ///
    /// # Errors
    /// If it is missing, of another shape, or of a type that is no float.
    pub fn view(
        &self,
        name: &str,
        shape: &[usize],
    ) -> Result<(&Path, TensorView<'_>), CheckpointError> {
        let Some((path, view)) = self.get(name) else {
            return Err(tensor_error(&self.path, name, self.missing_message(name)));
        };
        if view.shape() != shape {
            return Err(tensor_error(
                path,
                name,
                format!("has shape {:?}, expected {shape:?}", view.shape()),
            ));
        }
        if !matches!(view.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            let problem = format!("has type {:?}, expected F32, F16 or BF16", view.dtype());
            return Err(tensor_error(path, name, problem));
        }
        Ok((path, view))
    }

    /// A tensor's values.
    ///
    /// # Errors
    /// As [`SafetensorsFiles::view`], or if a value is no number.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let (path, view) = self.view(name, shape)?;
        let values = to_f32_values(&view);
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => {
                let problem = format!(
                    "holds {} at place {at}; the file is damaged, or the training that wrote it went wrong: fetch it again and compare its SHA-256 with its source's, or take an earlier checkpoint",
                    values[at]
                );
                Err(tensor_error(path, name, problem))
            }
            None => Ok(values),
        }
    }

    fn missing_message(&self, name: &str) -> String {
        let some = self.names().next().unwrap_or("none");
        let quantised = self
            .names()
            .any(|other| other.ends_with("_scales") || other.contains("qweight"));
        let more = if quantised {
            "; the file looks quantised: use the checkpoint that it was made from"
        } else {
            ""
        };
        let foreign = name.starts_with("model.")
            && !some.starts_with("model.")
            && !some.starts_with("lm_head");
        let of = if foreign {
            format!(" (the first tensor there is `{some}`)")
        } else {
            String::new()
        };
        format!("is missing{of}{more}")
    }
}

fn tensor_error(path: &Path, name: &str, problem: String) -> CheckpointError {
    CheckpointError::Tensor {
        path: path.to_owned(),
        name: name.to_owned(),
        problem,
    }
}

#[expect(
    unsafe_code,
    reason = "a file that another process cuts while it is mapped cannot be guarded against"
)]
fn map_file(path: &Path) -> Result<Mmap, CheckpointError> {
    let opened = File::open(path).map_err(|error| file_error("read", path, &error))?;
    // SAFETY: the map is only read, and checkpoints are not written to once they are published.
    unsafe { Mmap::map(&opened) }.map_err(|error| file_error("read", path, &error))
}

/// The tensors of a mapped file.
fn parse_safetensors<'a>(path: &Path, map: &'a Mmap) -> Result<SafeTensors<'a>, CheckpointError> {
    SafeTensors::deserialize(map).map_err(|error| {
        let damaged = format!("{error}; the file is cut or damaged, fetch it again");
        file_error("read", path, &damaged)
    })
}

/// A tensor's values as 32-bit floats; nothing of a type that is no float.
fn to_f32_values(view: &TensorView<'_>) -> Vec<f32> {
    let bytes = view.data();
    let (pairs, fours) = (bytes.as_chunks::<2>().0, bytes.as_chunks::<4>().0);
    match view.dtype() {
        Dtype::F32 => fours
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect(),
        Dtype::F16 => pairs
            .iter()
            .map(|bytes| half::f16::from_le_bytes(*bytes).to_f32())
            .collect(),
        Dtype::BF16 => pairs
            .iter()
            .map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32())
            .collect(),
        _ => Vec::new(),
    }
}
