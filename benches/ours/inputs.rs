//! What both sides of a comparison read: a folder with `setting.json` from the driver, and the
//! model and data that are made here, from fixed seeds, to fit it.
//!
//! The model is a checkpoint in Hugging Face's names and layout.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use rise_lab::domain::{Seed, SeededRng};
use rise_lab::model::{
    CheckpointFolder, Decoder, ExecutionContext, ModelConfig, Weights, checkpoint,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::answers;

/// What is measured on a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BenchmarkKind {
    /// Optimizer steps on whole sequences.
    Training,
    /// Continuations of random prompts, all of the same length.
    Generation,
    /// Answers of a shipped base model to problems, as long as it likes.
    Answers,
    /// The same over several turns.
    Turns,
}

/// One setting, as the driver wrote it.
#[derive(Clone, Debug, Deserialize)]
pub struct BenchmarkSetting {
    /// Its folder.
    #[serde(skip)]
    pub folder: PathBuf,
    /// What is measured.
    pub kind: BenchmarkKind,
    /// Sizes of the model; those of the base model where one is used.
    #[serde(default)]
    pub model: ModelConfig,
    /// V, where the model is random.
    #[serde(default)]
    pub vocabulary: usize,
    /// Sequences of a batch, or prompts.
    pub batch: usize,
    /// Tokens of a sequence, or of the longest prompt.
    #[serde(default)]
    pub length: usize,
    /// Tokens of the shortest prompt.
    #[serde(default)]
    pub shortest: usize,
    /// The most tokens of a continuation.
    #[serde(default)]
    pub tokens: usize,
    /// How often the policy answers.
    #[serde(default)]
    pub turns: usize,
    /// The base model's recipe.
    #[serde(default)]
    pub base: PathBuf,
}

/// Token ids of one setting.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BenchmarkData {
    /// Batches of sequences, each one token longer than what is predicted.
    pub batches: Vec<Vec<Vec<u32>>>,
    /// Prompts.
    pub prompts: Vec<Vec<u32>>,
    /// Tokens that end a continuation.
    pub stops: Vec<u32>,
    /// V.
    pub vocabulary: usize,
}

/// Batches that a training goes through in turn.
const BATCHES: usize = 4;

impl BenchmarkSetting {
    /// Reads a folder's setting.
    pub fn read(folder: &Path) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            folder: folder.to_owned(),
            ..json(&folder.join("setting.json"))?
        })
    }

    /// Reads the folder's token ids.
    pub fn data(&self) -> Result<BenchmarkData, Box<dyn Error>> {
        json(&self.folder.join("data.json"))
    }

    /// Reads the folder's model, for a number of threads.
    pub fn decoder(
        &self,
        vocabulary: usize,
        threads: usize,
    ) -> Result<(Decoder, ExecutionContext), Box<dyn Error>> {
        let place = context(threads)?;
        let config = checkpoint::read_config(&self.folder.join(checkpoint::CONFIG_FILE))?;
        let file = self.folder.join(checkpoint::WEIGHTS_FILE);
        let weights = checkpoint::read_weights(&file, &config, vocabulary, &place)?;
        Ok((Decoder::new(config, weights, &place), place))
    }
}

/// The default backend with a number of threads.
pub fn context(threads: usize) -> Result<ExecutionContext, String> {
    let place = ExecutionContext::open("flex")?;
    place.threads.set_count(threads);
    Ok(place)
}

/// Makes the model and the data of a folder's setting.
pub fn prepare(folder: &Path) -> Result<(), Box<dyn Error>> {
    let setting = BenchmarkSetting::read(folder)?;
    let data = match setting.kind {
        BenchmarkKind::Answers | BenchmarkKind::Turns => answers::prepare(&setting)?,
        BenchmarkKind::Training => BenchmarkData {
            batches: batches(&setting),
            ..random(&setting)?
        },
        BenchmarkKind::Generation => BenchmarkData {
            prompts: prompts(&setting),
            ..random(&setting)?
        },
    };
    Ok(fs::write(
        folder.join("data.json"),
        serde_json::to_string(&data)?,
    )?)
}

/// Random weights; data without any token yet.
fn random(setting: &BenchmarkSetting) -> Result<BenchmarkData, Box<dyn Error>> {
    let place = context(1)?;
    let seed = Seed(1).derive("weights");
    let weights = Weights::init_random(&setting.model, setting.vocabulary, seed, &place.device);
    CheckpointFolder::save(
        &Decoder::new(setting.model.clone(), weights, &place),
        &setting.folder,
    )?;
    Ok(BenchmarkData {
        vocabulary: setting.vocabulary,
        ..BenchmarkData::default()
    })
}

fn batches(setting: &BenchmarkSetting) -> Vec<Vec<Vec<u32>>> {
    let mut draws = Seed(1).derive("batches").rng();
    let mut sequence = || tokens(setting.length + 1, setting.vocabulary, &mut draws);
    (0..BATCHES)
        .map(|_| (0..setting.batch).map(|_| sequence()).collect())
        .collect()
}

/// Prompts with lengths spread evenly from the shortest to the longest, in a random order.
fn prompts(setting: &BenchmarkSetting) -> Vec<Vec<u32>> {
    let mut draws = Seed(1).derive("prompts").rng();
    let spread = setting.length - setting.shortest;
    let gaps = (setting.batch - 1).max(1);
    let mut lengths: Vec<usize> = (0..setting.batch)
        .map(|i| setting.shortest + (spread * i + gaps / 2) / gaps)
        .collect();
    draws.shuffle(&mut lengths);
    lengths
        .into_iter()
        .map(|length| tokens(length, setting.vocabulary, &mut draws))
        .collect()
}

fn tokens(count: usize, vocabulary: usize, draws: &mut SeededRng) -> Vec<u32> {
    (0..count)
        .map(|_| draws.int_between(0, vocabulary as i64 - 1) as u32)
        .collect()
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?)
}
