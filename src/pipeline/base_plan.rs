//! The stages that a base model stands for: its corpus, its tokenizer, its weights.

use serde_json::{Value, json};

use crate::data::{Prompt, Sizes, TaskConfig};
use crate::domain::{Key, Split};
use crate::spec::{BaseSpec, canonical};

use super::estimate::Estimate;
use super::linked::{LinkJob, Linked};
use super::models::Base;
use super::{Graph, Job, Kind, Models, PlanError, Stage};

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
pub fn base_plan(
    base: &Base,
    backend: &str,
    models: &Models,
    graph: &mut Graph,
) -> Result<BasePlan, PlanError> {
    match base {
        Base::Recipe(base) => recipe(base, backend, models, graph),
        Base::Linked(linked) => Ok(link(linked, graph)),
    }
}

fn recipe(
    base: &BaseSpec,
    backend: &str,
    models: &Models,
    graph: &mut Graph,
) -> Result<BasePlan, PlanError> {
    let print = models.fingerprint(&base.task)?;
    let problems = graph.add(prepare(
        &base.task,
        &print,
        Split::Corpus,
        base.problems,
        base.seed,
    ));
    let tokenizer = graph.add(tokenizer(base, &problems));
    let content = json!({ "recipe": base.recipe(), "templates": base.wording().template_key() });
    let job = Job::Base {
        problems: problems.clone(),
        tokenizer: tokenizer.clone(),
        backend: backend.to_owned(),
        base: Box::new(base.clone()),
    };
    let inputs = vec![problems.clone(), tokenizer.clone()];
    let label = format!("base {}", base.name);
    let weights = graph.add(Stage::new(
        Kind::Base,
        label,
        job,
        inputs,
        &content,
        Estimate::base(base),
    ));
    Ok(BasePlan {
        stages: vec![problems, tokenizer, weights.clone()],
        weights,
    })
}

/// A checkpoint that was trained elsewhere is what its files hold, wherever they lie.
fn link(linked: &Linked, graph: &mut Graph) -> BasePlan {
    let Linked {
        checkpoint, files, ..
    } = linked;
    let content = json!({
        "files": files, "precision": checkpoint.precision, "positions": checkpoint.positions,
    });
    let job = Job::Link(Box::new(LinkJob {
        checkpoint: checkpoint.clone(),
        files: files.clone(),
    }));
    let label = format!("base {}", checkpoint.label());
    let weights = graph.add(Stage::new(Kind::Base, label, job, vec![], &content, 1.0));
    BasePlan {
        stages: vec![weights.clone()],
        weights,
    }
}

fn tokenizer(base: &BaseSpec, problems: &Key) -> Stage {
    let content = json!({
        "tokenizer": canonical(&base.tokenizer),
        "corpus": canonical(&base.corpus),
        "prompt": texts(base.wording()),
        "seed": base.seed,
    });
    let label = format!("tokenize {}", base.name);
    let job = Job::Tokenize {
        problems: problems.clone(),
        base: Box::new(base.clone()),
    };
    Stage::new(
        Kind::Tokenize,
        label,
        job,
        vec![problems.clone()],
        &content,
        3.0,
    )
}

/// The stage that loads one split of a task, whose fingerprint is `print`.
pub fn prepare(task: &TaskConfig, print: &Value, split: Split, count: usize, seed: u64) -> Stage {
    let sizes = Sizes::none(seed).with(split, count);
    let content = json!({ "task": print, "split": split, "count": count, "seed": seed });
    let label = format!("prepare {} {}", task.name(), split.name());
    let job = Job::Prepare {
        task: task.clone(),
        split,
        sizes,
    };
    Stage::new(Kind::Prepare, label, job, vec![], &content, 1.0)
}

/// The texts around attempts as part of a key: settings, and the templates behind them.
pub fn texts(prompt: Prompt) -> Value {
    json!({ "settings": prompt, "templates": prompt.template_key() })
}
