//! The stages that a base model stands for: its corpus, its tokenizer, its weights.

use serde_json::{Value, json};

use crate::config::{BaseModelSpec, canonical_json};
use crate::data::{PromptConfig, SplitSizes, TaskConfig};
use crate::domain::{Key, Split};

use super::base_models::ResolvedBaseModel;
use super::external_checkpoint::{ExternalCheckpoint, LinkCheckpoint};
use super::time_estimate::TimeEstimator;
use super::{BaseModelRegistry, PlanError, StageGraph, StageKind, StageNode, StageSpec};

/// The stages of one base model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasePlan {
    /// All of them, in the order in which they are executed.
    pub stages: Vec<Key>,
    /// The one that gives its weights.
    pub weights: Key,
}

/// Adds the stages of a base model to a graph.
///
/// # Errors
/// If the data of its corpus cannot be used.
pub fn plan_base_model(
    base: &ResolvedBaseModel,
    backend: &str,
    models: &BaseModelRegistry,
    graph: &mut StageGraph,
) -> Result<BasePlan, PlanError> {
    match base {
        ResolvedBaseModel::Recipe(base) => plan_recipe(base, backend, models, graph),
        ResolvedBaseModel::External(linked) => Ok(plan_external_checkpoint(linked, graph)),
    }
}

fn plan_recipe(
    base: &BaseModelSpec,
    backend: &str,
    models: &BaseModelRegistry,
    graph: &mut StageGraph,
) -> Result<BasePlan, PlanError> {
    let print = models.fingerprint(&base.task)?;
    let problems = graph.add(prepare_stage(
        &base.task,
        &print,
        Split::Corpus,
        base.problems,
        base.seed,
    ));
    let tokenizer = graph.add(tokenize_stage(base, &problems));
    let content =
        json!({ "recipe": base.recipe_key(), "templates": base.corpus_prompt().template_key() });
    let job = StageSpec::Base {
        problems: problems.clone(),
        tokenizer: tokenizer.clone(),
        backend: backend.to_owned(),
        base: Box::new(base.clone()),
    };
    let inputs = vec![problems.clone(), tokenizer.clone()];
    let label = format!("base {}", base.name);
    let weights = graph.add(StageNode::new(
        StageKind::Base,
        label,
        job,
        inputs,
        &content,
        TimeEstimator::pretraining_seconds(base),
    ));
    Ok(BasePlan {
        stages: vec![problems, tokenizer, weights.clone()],
        weights,
    })
}

/// A checkpoint that was trained elsewhere is what its files hold, wherever they lie.
fn plan_external_checkpoint(linked: &ExternalCheckpoint, graph: &mut StageGraph) -> BasePlan {
    let ExternalCheckpoint {
        checkpoint, files, ..
    } = linked;
    let content = json!({
        "files": files, "precision": checkpoint.precision, "positions": checkpoint.positions,
    });
    let job = StageSpec::Link(Box::new(LinkCheckpoint {
        checkpoint: checkpoint.clone(),
        files: files.clone(),
    }));
    let label = format!("base {}", checkpoint.label());
    let weights = graph.add(StageNode::new(
        StageKind::Base,
        label,
        job,
        vec![],
        &content,
        1.0,
    ));
    BasePlan {
        stages: vec![weights.clone()],
        weights,
    }
}

fn tokenize_stage(base: &BaseModelSpec, problems: &Key) -> StageNode {
    let content = json!({
        "tokenizer": canonical_json(&base.tokenizer),
        "corpus": canonical_json(&base.corpus),
        "prompt": prompt_key_content(base.corpus_prompt()),
        "seed": base.seed,
    });
    let label = format!("tokenize {}", base.name);
    let job = StageSpec::Tokenize {
        problems: problems.clone(),
        base: Box::new(base.clone()),
    };
    StageNode::new(
        StageKind::Tokenize,
        label,
        job,
        vec![problems.clone()],
        &content,
        3.0,
    )
}

/// The stage that loads one split of a task, whose fingerprint is `print`.
pub fn prepare_stage(
    task: &TaskConfig,
    print: &Value,
    split: Split,
    count: usize,
    seed: u64,
) -> StageNode {
    let sizes = SplitSizes::empty(seed).with_split(split, count);
    let content = json!({ "task": print, "split": split, "count": count, "seed": seed });
    let label = format!("prepare {} {}", task.name(), split.name());
    let job = StageSpec::Prepare {
        task: task.clone(),
        split,
        sizes,
    };
    StageNode::new(StageKind::Prepare, label, job, vec![], &content, 1.0)
}

/// The texts around attempts as part of a key: settings, and the templates behind them.
pub fn prompt_key_content(prompt: PromptConfig) -> Value {
    json!({ "settings": prompt, "templates": prompt.template_key() })
}
