//! Which base model a run starts from: a recipe by name, or a checkpoint in Hugging Face's layout.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::Precision;

use super::base_model_spec::{
    BaseModelSpec, model_file_path, read_base_model_spec, read_model_file,
};
use super::deserialize::deserialize_all;
use super::diagnostic::{ConfigError, Diagnostic};

/// The base model of a run, as experiments name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseModelRef {
    /// The name of a file in the folder of base models.
    Named(String),
    /// A checkpoint in Hugging Face's layout.
    Checkpoint(HfCheckpoint),
}

/// A checkpoint in Hugging Face's layout, and how it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HfCheckpoint {
    /// Its name in reports; the folder's name by default.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// One sentence for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its folder.
    pub hf: PathBuf,
    /// The numbers that products are computed in, and that frozen matrices are kept in.
    #[serde(skip_serializing_if = "is_full")]
    pub precision: Precision,
    /// A Jinja file that writes dialogues, in place of the template that comes with the checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<PathBuf>,
    /// Longest sequence in tokens, where it is to be less than the checkpoint allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positions: Option<usize>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_full(precision: &Precision) -> bool {
    *precision == Precision::F32
}

/// A base model that was found.
#[derive(Clone, Debug, PartialEq)]
pub enum BaseModel {
    /// One that is pre-trained here, or comes with its recipe.
    Recipe(Box<BaseModelSpec>),
    /// One that was trained elsewhere.
    Checkpoint(HfCheckpoint),
}

impl HfCheckpoint {
    /// The first fault of these settings, as field and complaint.
    #[must_use]
    pub fn first_error(&self) -> Option<(&'static str, &'static str)> {
        if self.hf.as_os_str().is_empty() {
            return Some((
                "hf",
                "is empty: give the folder of a checkpoint in Hugging Face's layout",
            ));
        }
        (self.positions == Some(0)).then_some(("positions", "a sequence has at least 1 token"))
    }

    /// Its name in reports.
    #[must_use]
    pub fn label(&self) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        let last = self
            .hf
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        last.unwrap_or_else(|| self.hf.display().to_string())
    }
}

impl BaseModelRef {
    /// Whether no base model is named at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Named(name) => name.is_empty(),
            Self::Checkpoint(checkpoint) => checkpoint.hf.as_os_str().is_empty(),
        }
    }
}

impl fmt::Display for BaseModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Checkpoint(checkpoint) => f.write_str(&checkpoint.label()),
        }
    }
}

impl From<&str> for BaseModelRef {
    fn from(name: &str) -> Self {
        Self::Named(name.to_owned())
    }
}

impl Serialize for BaseModelRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Named(name) => serializer.serialize_str(name),
            Self::Checkpoint(checkpoint) => checkpoint.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for BaseModelRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BaseModelRefVisitor)
    }
}

/// Reads either form.
struct BaseModelRefVisitor;

impl<'de> Visitor<'de> for BaseModelRefVisitor {
    type Value = BaseModelRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a base model, or { hf = \"FOLDER\" }")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<BaseModelRef, E> {
        Ok(name.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BaseModelRef, A::Error> {
        let checkpoint = HfCheckpoint::deserialize(MapAccessDeserializer::new(map))?;
        // Without a folder it is no checkpoint, so that a table is never laid over a name in part.
        match checkpoint.first_error() {
            Some((field, complaint)) => Err(A::Error::custom(format!("`{field}` {complaint}"))),
            None => Ok(BaseModelRef::Checkpoint(checkpoint)),
        }
    }
}

/// Reads the file of a base model: a recipe, or one that says where a checkpoint lies (`hf = "..."`).
///
/// # Errors
/// If the file cannot be read, or is no recipe and names no checkpoint.
pub fn read_base_model(models_folder: &Path, name: &str) -> Result<BaseModel, ConfigError> {
    let tree = read_model_file(models_folder, name)?;
    if tree.find("hf").is_none() {
        return read_base_model_spec(models_folder, name)
            .map(|spec| BaseModel::Recipe(Box::new(spec)));
    }
    let mut checkpoint: HfCheckpoint = deserialize_all(&tree, "").map_err(ConfigError::Invalid)?;
    if let Some((field, complaint)) = checkpoint.first_error() {
        let diagnostic = Diagnostic::new(field, complaint).with_span(tree.innermost_span(field));
        return Err(ConfigError::Invalid(vec![diagnostic]));
    }
    if checkpoint.name.is_empty() {
        let file = model_file_path(models_folder, name);
        checkpoint.name = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
    }
    Ok(BaseModel::Checkpoint(checkpoint))
}
