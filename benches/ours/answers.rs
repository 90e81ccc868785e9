//! Problems put to a shipped base model: prompts for one turn, and dialogues of several.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use rise_lab::data::{PromptConfig, SplitSizes, TaskConfig, WordProblems};
use rise_lab::domain::{Policy, PolicyRequest, Problem, SamplingConfig, Seed};
use rise_lab::model::{
    CheckpointFolder, Decoder, LanguageModel, ModelConfig, Tokenizer, checkpoint,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::inputs::{BenchmarkData, BenchmarkSetting, context};
use crate::player::BenchmarkPlayer;

/// The part of a base model's recipe that is needed here.
#[derive(Deserialize)]
struct BaseRecipe {
    model: ModelConfig,
    prompt: PromptConfig,
    checkpoint: RecipeFiles,
}

#[derive(Deserialize)]
struct RecipeFiles {
    file: String,
    tokenizer: String,
}

impl BaseRecipe {
    fn from_setting(setting: &BenchmarkSetting) -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(&setting.base)
            .map_err(|error| format!("{}: {error}", setting.base.display()))?;
        Ok(toml::from_str(&text)?)
    }
}

/// Copies the base model into the setting's folder, and returns the prompts of its problems.
pub fn prepare(setting: &BenchmarkSetting) -> Result<BenchmarkData, Box<dyn Error>> {
    let recipe = BaseRecipe::from_setting(setting)?;
    let from = setting.base.parent().unwrap_or(Path::new("."));
    let place = context(1)?;
    let tokenizer = Tokenizer::load(&from.join(&recipe.checkpoint.tokenizer))?;
    let file = from.join(&recipe.checkpoint.file);
    let weights =
        checkpoint::read_weights(&file, &recipe.model, tokenizer.vocabulary_size(), &place)?;
    CheckpointFolder::save(
        &Decoder::new(recipe.model, weights, &place),
        &setting.folder,
    )?;
    tokenizer.save(&setting.folder.join(checkpoint::TOKENIZER_FILE))?;
    let dialogue = |problem: &Problem| recipe.prompt.dialogue(&problem.question, &[]);
    let prompts = problems(setting)?
        .iter()
        .map(|problem| {
            tokenizer
                .encode_prompt(&dialogue(problem))
                .expect("its own format")
        })
        .collect();
    let stops = tokenizer.stop_tokens();
    Ok(BenchmarkData {
        prompts,
        stops,
        vocabulary: tokenizer.vocabulary_size(),
        ..BenchmarkData::default()
    })
}

fn problems(setting: &BenchmarkSetting) -> Result<Vec<Problem>, Box<dyn Error>> {
    let sizes = SplitSizes {
        train: setting.batch,
        ..SplitSizes::empty(0)
    };
    Ok(TaskConfig::WordProblems(WordProblems::default())
        .load(&sizes)?
        .train)
}

/// Dialogues in which every attempt is followed by a request to try again.
pub struct TurnsBenchmark {
    model: LanguageModel,
    problems: Vec<Problem>,
    prompt: PromptConfig,
    sampling: SamplingConfig,
    count: usize,
}

impl TurnsBenchmark {
    /// Loads the base model and its problems.
    pub fn open(setting: &BenchmarkSetting, threads: usize) -> Result<Self, Box<dyn Error>> {
        let model = CheckpointFolder::load(&setting.folder, &context(threads)?)?;
        let sampling = SamplingConfig {
            max_tokens: setting.tokens,
            ..SamplingConfig::default()
        };
        let (problems, prompt) = (
            problems(setting)?,
            BaseRecipe::from_setting(setting)?.prompt,
        );
        Ok(Self {
            model,
            problems,
            prompt,
            sampling,
            count: setting.turns,
        })
    }

    /// The answers to every dialogue so far, added to its attempts; returns their tokens.
    fn turn(&mut self, number: usize, attempts: &mut [Vec<String>]) -> u32 {
        let request = |(problem, attempts): (&Problem, &Vec<String>)| {
            let shown: Vec<&str> = attempts.iter().map(String::as_str).collect();
            let dialogue = self.prompt.dialogue(&problem.question, &shown);
            PolicyRequest::new(
                dialogue,
                vec![Seed(0).derive(&problem.id).derive_indexed(number as u64)],
            )
        };
        let requests: Vec<PolicyRequest> = self
            .problems
            .iter()
            .zip(attempts.iter())
            .map(request)
            .collect();
        let answers = self
            .model
            .respond(&requests, &self.sampling)
            .expect("five turns fit the model");
        let mut tokens = 0;
        for (attempts, mut answer) in attempts.iter_mut().zip(answers) {
            let answer = answer.pop().expect("one seed gives one answer");
            tokens += answer.tokens;
            attempts.push(answer.text);
        }
        tokens
    }
}

impl BenchmarkPlayer for TurnsBenchmark {
    fn check(&mut self) -> Value {
        Value::Null
    }

    fn run(&mut self) -> (usize, Value) {
        let mut attempts = vec![Vec::new(); self.problems.len()];
        let mut all = 0;
        let turns: Vec<Value> = (0..self.count)
            .map(|number| {
                let began = Instant::now();
                let tokens = self.turn(number, &mut attempts);
                all += tokens as usize;
                json!({ "turn": number + 1, "tokens": tokens, "seconds": began.elapsed().as_secs_f64() })
            })
            .collect();
        (all, json!(turns))
    }
}
