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

use super::{CheckpointError, file};

/// What an index file is called after the file that it stands for.
const INDEX: &str = "index.json";

/// Where each tensor is.
#[derive(Debug)]
pub struct Shards {
    files: Vec<(PathBuf, Mmap)>,
    /// The file of each tensor, by number.
    tensors: BTreeMap<String, usize>,
    /// What stands for all of it in messages.
    pub path: PathBuf,
}

/// `model.safetensors.index.json`.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Shards {
    /// Opens the file at `path`, or the shards of the index beside it if there is no such file.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let index = PathBuf::from(format!("{}.{INDEX}", path.display()));
        if !path.exists() && index.exists() {
            return Self::indexed(&index);
        }
        let map = map(path)?;
        let names = SafeTensors::deserialize(&map).map_err(|error| file("read", path, &error))?;
        let tensors = names.names().into_iter().map(|name| (name.to_owned(), 0)).collect();
        Ok(Self { tensors, files: vec![(path.to_owned(), map)], path: path.to_owned() })
    }

    fn indexed(path: &Path) -> Result<Self, CheckpointError> {
        let text = fs::read_to_string(path).map_err(|error| file("read", path, &error))?;
        let index: Index = serde_json::from_str(&text).map_err(|error| file("read", path, &error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut files = Vec::new();
        let mut tensors = BTreeMap::new();
        for (tensor, shard) in &index.weight_map {
            if !numbers.contains_key(shard.as_str()) {
                let path = folder.join(shard);
                let map = map(&path)?;
                SafeTensors::deserialize(&map).map_err(|error| file("read", &path, &error))?;
                numbers.insert(shard, files.len());
                files.push((path, map));
            }
            tensors.insert(tensor.clone(), numbers[shard.as_str()]);
        }
        Ok(Self { files, tensors, path: path.to_owned() })
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

#[expect(
    unsafe_code,
    reason = "a file that another process cuts while it is mapped cannot be guarded against"
)]
fn map(path: &Path) -> Result<Mmap, CheckpointError> {
    let opened = File::open(path).map_err(|error| file("read", path, &error))?;
    // SAFETY: the map is only read, and checkpoints are not written to once they are published.
    unsafe { Mmap::map(&opened) }.map_err(|error| file("read", path, &error))
}

/// A tensor's values as 32-bit floats; none if they are not floats.
pub fn floats(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = view.data();
    Some(match view.dtype() {
        Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::F16 => {
            bytes.as_chunks::<2>().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()).collect()
        }
        Dtype::BF16 => {
            bytes.as_chunks::<2>().0.iter().map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32()).collect()
        }
        _ => return None,
    })
}
