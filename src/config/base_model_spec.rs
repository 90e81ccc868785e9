//! Base models: how one is pre-trained, and the checkpoint that comes with it, if any.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::{CorpusConfig, PromptConfig, TaskConfig};
use crate::domain::Key;
use crate::model::ModelConfig;

use super::canonical::canonical_json;
use super::deserialize::deserialize_all;
use super::diagnostic::{ConfigError, Diagnostic};
use super::experiment::read_text_file;
use super::nearest_name;
use super::spanned_value::SpannedValue;
use super::validate::{
    below_zero, field_diagnostic, not_a_decay, not_a_part, not_above_zero, wrong,
};

/// A base model's recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseModelSpec {
    /// Its name; that of its file.
    #[serde(default)]
    pub name: String,
    /// One sentence for people.
    #[serde(default)]
    pub description: String,
    /// Where the problems of the corpus come from.
    pub task: TaskConfig,
    /// How many problems the corpus is made of.
    pub problems: usize,
    /// The form of the documents.
    #[serde(default)]
    pub corpus: CorpusConfig,
    /// The wording of the dialogues in the corpus.
    #[serde(default)]
    pub prompt: PromptConfig,
    /// How texts become tokens.
    #[serde(default)]
    pub tokenizer: TokenizerConfig,
    /// Sizes of the decoder.
    #[serde(default)]
    pub model: ModelConfig,
    /// How it is pre-trained.
    pub train: PretrainConfig,
    /// Root of all its random numbers.
    #[serde(default)]
    pub seed: u64,
    /// The checkpoint that comes with the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<BundledCheckpoint>,
}

/// How texts become tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenizerConfig {
    /// The most tokens, bytes and control tokens included.
    pub vocabulary: usize,
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        Self { vocabulary: 512 }
    }
}

/// Pre-training in slices of documents; the rate falls along a cosine within each slice, and the
/// slice's peak falls from one slice to the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PretrainConfig {
    /// Number of slices; more of them make a stronger model.
    pub slices: u32,
    /// Documents in a slice.
    pub documents_per_slice: usize,
    /// Documents per optimizer step.
    pub batch: usize,
    /// Peak learning rate of the first slice.
    pub learning_rate: f64,
    /// Factor on the peak from slice to slice.
    pub decay: f64,
    /// Part of a slice's steps over which the rate rises from 0; in the first slice only.
    pub warmup: f64,
    /// The rate at the end of a slice, as a part of its peak.
    pub final_rate: f64,
    /// `AdamW` weight decay, on matrices only.
    pub weight_decay: f64,
    /// `AdamW` beta 1.
    pub beta1: f64,
    /// `AdamW` beta 2.
    pub beta2: f64,
    /// Global gradient norm is clipped to this; 0 switches clipping off.
    pub clip: f64,
}

impl Default for PretrainConfig {
    fn default() -> Self {
        Self {
            slices: 5,
            documents_per_slice: 10_000,
            batch: 64,
            learning_rate: 2e-3,
            decay: 0.85,
            warmup: 0.05,
            final_rate: 0.1,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.98,
            clip: 1.0,
        }
    }
}

/// A checkpoint that was made from the recipe and lies next to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundledCheckpoint {
    /// The weights, relative to the folder of base models.
    pub file: PathBuf,
    /// The tokenizer, relative to the folder of base models.
    pub tokenizer: PathBuf,
    /// SHA-256 of the weights' file, in hexadecimal.
    pub sha256: String,
    /// The instruction set on which it was made; elsewhere the same recipe gives other last digits.
    pub instruction_set: String,
    /// The key of the recipe from which it was made.
    pub recipe: String,
}

impl BaseModelSpec {
    /// The identity of the recipe: everything that can change the weights but the contents of data
    /// files, defaults left out.
    #[must_use]
    pub fn recipe_key(&self) -> Key {
        let plain = Self {
            name: String::new(),
            description: String::new(),
            checkpoint: None,
            task: self.task.without_path(),
            ..self.clone()
        };
        Key::from_value(&canonical_json(&plain))
    }

    /// The wording of the corpus, with its task's sentence about the form of answers.
    #[must_use]
    pub fn corpus_prompt(&self) -> PromptConfig {
        let form = self
            .prompt
            .answer_form
            .or_else(|| self.task.answer_form(self.task.grader()));
        PromptConfig {
            answer_form: form,
            ..self.prompt
        }
    }

    /// All faults of the recipe.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        let (train, vocabulary) = (&self.train, self.tokenizer.vocabulary);
        let (documents, batch) = (train.documents_per_slice, train.batch);
        let small = "256 bytes and 4 control tokens need at least 260";
        let task = self.task.validate().err();
        let diagnostics = [
            wrong(self.problems == 0, "problems", "0 problems make no corpus"),
            wrong(vocabulary < 260, "tokenizer.vocabulary", small),
            wrong(train.slices == 0, "train.slices", "0 slices train nothing"),
            wrong(
                documents == 0,
                "train.documents_per_slice",
                "0 documents train nothing",
            ),
            wrong(batch == 0, "train.batch", "a batch has at least 1 document"),
            not_above_zero("train.learning_rate", train.learning_rate),
            not_above_zero("train.decay", train.decay),
            not_a_part("train.warmup", train.warmup),
            not_a_part("train.final_rate", train.final_rate),
            not_a_decay("train.beta1", train.beta1),
            not_a_decay("train.beta2", train.beta2),
            below_zero("train.weight_decay", train.weight_decay),
            below_zero("train.clip", train.clip),
            field_diagnostic("model", self.model.first_error()),
            field_diagnostic("corpus", self.corpus.first_error()),
            task.map(|error| Diagnostic::new("task", error.to_string())),
        ];
        diagnostics.into_iter().flatten().collect()
    }
}

/// Reads a base model's recipe: `models_folder/<name>.toml`, or a path that ends in `.toml`,
/// relative to the folder that holds `models_folder`.
///
/// # Errors
/// If there is no such file (with the nearest name that there is), or anything in it is wrong.
pub fn read_base_model_spec(
    models_folder: &Path,
    name: &str,
) -> Result<BaseModelSpec, ConfigError> {
    let (file, tree) = (
        model_file_path(models_folder, name),
        read_model_file(models_folder, name)?,
    );
    let mut base: BaseModelSpec = deserialize_all(&tree, "").map_err(ConfigError::Invalid)?;
    let stem = file
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut diagnostics = base.diagnostics();
    if base.name.is_empty() {
        base.name = stem;
    } else if base.name != stem {
        diagnostics.push(Diagnostic::new(
            "name",
            format!("is \"{}\" in a file called {stem}.toml", base.name),
        ));
    }
    let placed = diagnostics.into_iter().map(|diagnostic| {
        let span = tree.innermost_span(&diagnostic.path);
        diagnostic.with_span(span)
    });
    let diagnostics: Vec<_> = placed.collect();
    if diagnostics.is_empty() {
        Ok(base)
    } else {
        Err(ConfigError::Invalid(diagnostics))
    }
}

/// The file of a base model as a tree of values.
pub(super) fn read_model_file(
    models_folder: &Path,
    name: &str,
) -> Result<SpannedValue, ConfigError> {
    let file = model_file_path(models_folder, name);
    let text = read_text_file(&file, &missing_model_advice(models_folder, name))?;
    Ok(SpannedValue::parse(&file.display().to_string(), &text)?)
}

/// The file of a base model.
pub(super) fn model_file_path(models_folder: &Path, name: &str) -> PathBuf {
    if Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        return models_folder
            .parent()
            .unwrap_or_else(|| Path::new(""))
            .join(name);
    }
    models_folder.join(format!("{name}.toml"))
}

/// Advice about a base model that is missing.
fn missing_model_advice(models_folder: &Path, name: &str) -> String {
    let entries = std::fs::read_dir(models_folder)
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    if names.is_empty() {
        return format!("put the recipe of base model `{name}` there");
    }
    let meant = nearest_name(name, names.iter().map(String::as_str));
    let meant = meant
        .map(|meant| format!("did you mean `{meant}`? "))
        .unwrap_or_default();
    format!("{meant}base models there: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = "description = \"d\"\nproblems = 80000\ntask = { word-problems = {} }\n[train]\nslices = 5\n";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn message(files: &[(&str, &str)], name: &str) -> String {
        let folder = folder(files);
        let text = read_base_model_spec(folder.path(), name)
            .unwrap_err()
            .to_string();
        text.replace(&folder.path().display().to_string(), "models")
    }

    #[test]
    fn a_recipe_takes_its_name_from_its_file() {
        let folder = folder(&[("weak.toml", RECIPE)]);
        let base = read_base_model_spec(folder.path(), "weak").unwrap();
        assert_eq!(
            (base.name.as_str(), base.train.decay, base.model.width),
            ("weak", 0.85, 96)
        );
    }

    #[test]
    fn name_description_and_checkpoint_are_not_part_of_the_recipe() {
        let folder = folder(&[("weak.toml", RECIPE)]);
        let base = read_base_model_spec(folder.path(), "weak").unwrap();
        let shipped = BundledCheckpoint {
            file: "weak.safetensors".into(),
            tokenizer: "weak.json".into(),
            sha256: String::new(),
            instruction_set: "avx512".to_owned(),
            recipe: String::new(),
        };
        let same = BaseModelSpec {
            name: "x".to_owned(),
            checkpoint: Some(shipped),
            ..base.clone()
        };
        assert_eq!(base.recipe_key(), same.recipe_key());
        assert_ne!(
            base.recipe_key(),
            BaseModelSpec {
                seed: 1,
                ..base.clone()
            }
            .recipe_key()
        );
    }

    #[test]
    fn a_missing_base_model_names_the_nearest_one() {
        let files = [("weak.toml", RECIPE), ("strong.toml", RECIPE)];
        insta::assert_snapshot!(message(&files, "strnog"), @"models/strnog.toml: No such file or directory (os error 2); did you mean `strong`? base models there: strong, weak");
        insta::assert_snapshot!(message(&[], "weak"), @"models/weak.toml: No such file or directory (os error 2); put the recipe of base model `weak` there");
    }

    #[test]
    fn faults_of_a_recipe_point_into_its_file() {
        let wrong = RECIPE.replace("slices = 5", "slices = 0\nbatch = 0\n[model]\nheads = 5");
        insta::assert_snapshot!(message(&[("weak.toml", &wrong)], "weak"), @r"
        models/weak.toml:5:10: `train.slices`: 0 slices train nothing
          |
        5 | slices = 0
          |          ^
        models/weak.toml:6:9: `train.batch`: a batch has at least 1 document
          |
        6 | batch = 0
          |         ^
        models/weak.toml:8:9: `model.heads`: width 96 / 5 heads is not an even head size
          |
        8 | heads = 5
          |         ^
        ");
        let misspelt = RECIPE.replace("slices", "slcies");
        insta::assert_snapshot!(message(&[("weak.toml", &misspelt)], "weak"), @r"
        models/weak.toml:5:1: `train.slcies`: unknown field
          |
        5 | slcies = 5
          | ^^^^^^
          = did you mean `slices`?
          = valid here: `slices`, `documents_per_slice`, `batch`, `learning_rate`, `decay`, `warmup`, `final_rate`, `weight_decay`, `beta1`, `beta2`, `clip`.
        ");
    }
}
