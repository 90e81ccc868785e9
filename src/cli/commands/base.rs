//! `rise-lab base`: a base model from its recipe, by the stages that a sweep would use.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use toml_edit::{DocumentMut, Item, Table, value};

use crate::cli::args::BaseArguments;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Fault};
use crate::cli::interrupt::Interrupt;
use crate::cli::watcher::Watcher;
use crate::domain::Key;
use crate::pipeline::{BasePlan, Graph, Manifest, TOKENIZER, WEIGHTS, Workspace, base_plan};
use crate::spec::{BaseSpec, Shipped, resolve};
use crate::sweep::{SweepError, WorkerCommand, build};

/// Builds a base model and compares it with the one that is shipped.
///
/// # Errors
/// If the recipe is wrong, a stage fails, or a file cannot be written.
pub fn base(arguments: &BaseArguments, environment: &Environment) -> Result<Exit, Fault> {
    let spec = recipe(&arguments.file)?;
    // Held while stages are executed: nobody else may work on them.
    let _store = environment.writer()?;
    // A model trained anew has the key of the shipped one, so it needs a place of its own.
    let anew = arguments.rebuild || arguments.ship;
    let place = if anew { environment.store.join("rebuild") } else { environment.store.clone() };
    let workspace = Workspace::new(&place);
    let asked = if anew { BaseSpec { checkpoint: None, ..spec.clone() } } else { spec.clone() };
    let mut graph = Graph::default();
    let plan = base_plan(&asked, &mut graph).map_err(|error| Fault::new(Exit::Usage, error))?;
    if anew {
        forget(&workspace, &plan.weights)?;
    }
    if let Some(exit) = execute(&graph, &workspace, environment)? {
        return Ok(exit);
    }
    let built = Built::read(&workspace, plan)?;
    if arguments.ship {
        built.ship(&workspace, &spec, &arguments.file)?;
    } else if let Some(folder) = &arguments.out {
        built.copy(&workspace, folder, &spec.name)?;
    }
    environment.output.answer(|| built.text(&spec), &built.document(&spec))?;
    Ok(Exit::Fine)
}

fn recipe(file: &Path) -> Result<BaseSpec, Fault> {
    let folder = file.parent().unwrap_or_else(|| Path::new(""));
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Ok(resolve(folder, &name.ok_or_else(|| Fault::usage(format!("{} is no file", file.display())))?)?)
}

/// Removes finished weights, so that they are made once more; half-done ones are gone on with.
fn forget(workspace: &Workspace, weights: &Key) -> Result<(), Fault> {
    let folder = workspace.folder(weights);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| Fault::write(&folder, error))?;
    }
    Ok(())
}

/// Executes what is not finished; gives the exit code if it did not come to its end.
fn execute(graph: &Graph, workspace: &Workspace, environment: &Environment) -> Result<Option<Exit>, Fault> {
    let interrupt = Interrupt::listen()?;
    let command = WorkerCommand::this_program(workspace.root()).map_err(SweepError::Worker)?;
    let mut watcher = Watcher::new(environment.output);
    let outcome = build(graph, workspace, command, interrupt.stop(), &mut |news| watcher.hear(&news));
    interrupt.release();
    watcher.end()?;
    let outcome = outcome?;
    if outcome.interrupted {
        environment.output.say("stopped; the same command goes on where this one stopped");
        return Ok(Some(Exit::Interrupted));
    }
    match outcome.failed.into_values().next() {
        Some(reason) => Err(Fault::new(Exit::Failed, anyhow::anyhow!("{reason}"))),
        None => Ok(None),
    }
}

/// A base model in a workspace.
struct Built {
    plan: BasePlan,
    manifest: Manifest,
    sha256: Key,
}

impl Built {
    fn read(workspace: &Workspace, plan: BasePlan) -> Result<Self, Fault> {
        let lost = || Fault::new(Exit::Bug, anyhow::anyhow!("the stage of the weights left no weights"));
        let manifest = workspace.finished(&plan.weights)?.ok_or_else(lost)?;
        let weights = manifest.artifacts.iter().find(|artifact| artifact.name == WEIGHTS).ok_or_else(lost)?;
        let sha256 = weights.sha256.clone();
        Ok(Self { plan, manifest, sha256 })
    }

    fn instruction_set(&self) -> &str {
        self.manifest.origin.get("instruction_set").and_then(Value::as_str).unwrap_or("unknown")
    }

    /// Whether it has the bytes of the shipped one; none if nothing is shipped.
    fn equals(&self, spec: &BaseSpec) -> Option<bool> {
        spec.checkpoint.as_ref().map(|shipped| shipped.sha256 == self.sha256.as_str())
    }

    /// Copies weights and tokenizer into a folder under the model's name.
    fn copy(&self, workspace: &Workspace, folder: &Path, name: &str) -> Result<(PathBuf, PathBuf), Fault> {
        fs::create_dir_all(folder).map_err(|error| Fault::write(folder, error))?;
        let files = (PathBuf::from(format!("{name}.{WEIGHTS}")), PathBuf::from(format!("{name}.{TOKENIZER}")));
        let pairs = [
            (workspace.file(&self.plan.weights, WEIGHTS), &files.0),
            (workspace.file(&self.plan.tokenizer, TOKENIZER), &files.1),
        ];
        for (from, to) in pairs {
            let to = folder.join(to);
            fs::copy(from, &to).map_err(|error| Fault::write(&to, error))?;
        }
        Ok(files)
    }

    /// Puts weights and tokenizer beside the recipe and their hash into it.
    fn ship(&self, workspace: &Workspace, spec: &BaseSpec, file: &Path) -> Result<(), Fault> {
        let folder = file.parent().unwrap_or_else(|| Path::new(""));
        let (weights, tokenizer) = self.copy(workspace, folder, &spec.name)?;
        let shipped = Shipped {
            file: weights,
            tokenizer,
            sha256: self.sha256.to_string(),
            instruction_set: self.instruction_set().to_owned(),
            recipe: spec.recipe().to_string(),
        };
        let text = fs::read_to_string(file).map_err(|error| Fault::write(file, error))?;
        fs::write(file, with_checkpoint(&text, &shipped)?).map_err(|error| Fault::write(file, error))
    }

    fn text(&self, spec: &BaseSpec) -> String {
        let verdict = match (&spec.checkpoint, self.equals(spec)) {
            (Some(_), Some(true)) => "the same bytes as the shipped checkpoint".to_owned(),
            (Some(shipped), _) => format!(
                "other bytes than the shipped checkpoint ({}, made on {}), which is to be expected on another \
                 instruction set alone",
                shipped.sha256, shipped.instruction_set
            ),
            (None, _) => "no checkpoint is shipped with this recipe".to_owned(),
        };
        let counts = self.manifest.counts.as_object().into_iter().flatten();
        let counts: String = counts.map(|(name, count)| format!("  {name}: {count}\n")).collect();
        let made_on = self.instruction_set();
        format!("{}\n  sha256: {}\n  made on: {made_on}\n{counts}{verdict}\n", spec.name, self.sha256)
    }

    fn document(&self, spec: &BaseSpec) -> Value {
        json!({
            "name": spec.name,
            "recipe": spec.recipe(),
            "sha256": self.sha256,
            "origin": self.manifest.origin,
            "counts": self.manifest.counts,
            "seconds": self.manifest.seconds,
            "shipped": spec.checkpoint,
            "equal": self.equals(spec),
        })
    }
}

/// A recipe's text with its `[checkpoint]` replaced; comments and order stay.
fn with_checkpoint(text: &str, shipped: &Shipped) -> Result<String, Fault> {
    let mut document: DocumentMut = text.parse().map_err(|error| Fault::new(Exit::Usage, anyhow::Error::new(error)))?;
    let mut table = Table::new();
    table["file"] = value(shipped.file.to_string_lossy().as_ref());
    table["tokenizer"] = value(shipped.tokenizer.to_string_lossy().as_ref());
    table["sha256"] = value(&shipped.sha256);
    table["instruction_set"] = value(&shipped.instruction_set);
    table["recipe"] = value(&shipped.recipe);
    document["checkpoint"] = Item::Table(table);
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_keeps_its_comments_when_a_checkpoint_is_shipped() {
        let shipped = Shipped {
            file: "weak.safetensors".into(),
            tokenizer: "weak.tokenizer.json".into(),
            sha256: "ab".to_owned(),
            instruction_set: "avx2".to_owned(),
            recipe: "cd".to_owned(),
        };
        let text = "# A weak one.\nproblems = 3 # few\n\n[checkpoint]\nfile = \"old\"\n";
        insta::assert_snapshot!(with_checkpoint(text, &shipped).unwrap(), @r#"
        # A weak one.
        problems = 3 # few

        [checkpoint]
        file = "weak.safetensors"
        tokenizer = "weak.tokenizer.json"
        sha256 = "ab"
        instruction_set = "avx2"
        recipe = "cd"
        "#);
    }
}
