//! Whether the settings of a run fit together, and what its identity is.

use std::collections::BTreeSet;

use crate::data::{DataError, TaskConfig, TrainDraw};
use crate::domain::Key;
use crate::model::LoraConfig;
use crate::rollout::{HistoryWindow, OwnTurns, RolloutSource, TeacherConfig};

use super::canonical::canonical_json;
use super::{Diagnostic, Method, PreferenceConfig, RunSpec};

/// More turns than this are a slip of the pen: no model here is trained on such histories.
const MAX_TURNS: u32 = 20;

impl RunSpec {
    /// Looks for settings that contradict each other or cannot be carried out.
    ///
    /// # Errors
    /// The first fault, with the path of its field.
    pub fn validate(&self) -> Result<(), Diagnostic> {
        self.diagnostics().into_iter().next().map_or(Ok(()), Err)
    }

    /// All that is wrong with these settings.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        let mut faults = vec![];
        self.check_data(&mut faults);
        self.check_rounds(&mut faults);
        self.check_collect(&mut faults);
        self.check_train(&mut faults);
        self.check_online(&mut faults);
        self.check_evaluate(&mut faults);
        faults
    }

    /// The run's identity: everything that can change its numbers, defaults left out. The
    /// backend and the place of data files are not part of it: the one is recorded with each
    /// stage, the contents of the others are part of the stages' keys.
    #[must_use]
    pub fn key(&self) -> Key {
        // The task's own grader is the same run whether or not it is named.
        let grader = self.grader.filter(|grader| *grader != self.task.grader());
        let task = self.task.without_path();
        let (collect, boost) = (self.collect.result_relevant(), self.boost.result_relevant());
        let mut value = canonical_json(&Self {
            task,
            boost,
            collect,
            grader,
            ..self.clone()
        });
        if let Some(members) = value.as_object_mut() {
            members.remove("backend");
        }
        Key::from_value(&value)
    }

    fn check_data(&self, faults: &mut Vec<Diagnostic>) {
        push_if(
            faults,
            self.base.is_empty(),
            "base",
            "no base model is named",
        );
        push_if(
            faults,
            self.data.train == 0,
            "data.train",
            "0 leaves nothing to train on",
        );
        push_if(
            faults,
            self.data.test == 0,
            "data.test",
            "0 leaves nothing to evaluate on",
        );
        check_task(&self.task, "task", faults);
        let read = self.data.train_draw != TrainDraw::Shared && !self.task.is_generated();
        push_if(
            faults,
            read,
            "data.train_draw",
            seed_has_no_effect(&self.task),
        );
        let (boost, train) = (self.boost.problems, self.data.train);
        push_if(
            faults,
            boost > train,
            "boost.problems",
            format!("{boost} is more than `data.train`, {train}"),
        );
    }

    fn check_rounds(&self, faults: &mut Vec<Diagnostic>) {
        let idle = self.rounds.count == 0 && self.boost.problems == 0 && self.method.is_iterative();
        let method = serde_json::to_value(self.method).unwrap_or_default();
        let method = method.as_str().unwrap_or_default();
        push_if(
            faults,
            idle,
            "rounds.count",
            format!("0 rounds leave the method `{method}` nothing to do"),
        );
        let Self { boost, .. } = self;
        for (path, capable) in [
            ("boost.model", boost.model.is_some()),
            ("boost.openai", boost.openai.is_some()),
        ] {
            let complaint = "with `boost.problems` = 0 there is no boost to take part in";
            push_if(faults, capable && boost.problems == 0, path, complaint);
        }
        let both = boost.model.is_some() && boost.openai.is_some();
        push_if(
            faults,
            both,
            "boost.openai",
            "`boost.model` is given too; leave one of them out",
        );
        push_if(
            faults,
            self.boost.turns > MAX_TURNS,
            "boost.turns",
            too_many_turns(self.boost.turns),
        );
        push_if(
            faults,
            self.samples_per_problem == 0,
            "candidates",
            "0 samples leave nothing to choose from",
        );
        let verifier = self.verifier.samples;
        push_if(
            faults,
            verifier == 0,
            "verifier.samples",
            "0 samples leave nothing to rank",
        );
        let sizes = [
            ("glore.attempts", self.glore.attempts),
            ("glore.rollouts", self.glore.rollouts),
        ];
        for (path, size) in sizes {
            push_if(faults, size == 0, path, "0 of them leave no step to judge");
        }
        let untaught = self.method == Method::VStar && self.rounds.count == 0;
        push_if(
            faults,
            untaught && !idle,
            "rounds.count",
            "0 rounds leave the verifier nothing to learn from",
        );
        let PreferenceConfig {
            beta,
            epochs,
            learning_rate,
        } = self.preference;
        for (path, value) in [
            ("preference.beta", beta),
            ("preference.learning_rate", learning_rate),
        ] {
            let usable = value.is_finite() && value > 0.0;
            push_if(faults, !usable, path, format!("{value} is not above 0"));
        }
        push_if(
            faults,
            epochs == 0,
            "preference.epochs",
            "0 epochs train nothing",
        );
        if let Some((field, complaint)) = self.weighting.first_error() {
            let rule = serde_json::to_value(self.weighting).expect("settings are plain data");
            let rule = rule
                .as_object()
                .and_then(|rule| rule.keys().next().cloned())
                .unwrap_or_default();
            faults.push(Diagnostic::new(
                format!("weighting.{rule}.{field}"),
                complaint,
            ));
        }
    }

    fn check_collect(&self, faults: &mut Vec<Diagnostic>) {
        let idle = self.collect.trajectories == 0;
        push_if(
            faults,
            idle,
            "collect.trajectories",
            "0 trajectories leave nothing to train on",
        );
        let none = self.collect.own_turns == OwnTurns::Fixed(0);
        push_if(
            faults,
            none,
            "collect.own_turns",
            "0 own turns leave nothing to improve",
        );
        if let OwnTurns::Fixed(turns) = self.collect.own_turns {
            push_if(
                faults,
                turns > MAX_TURNS,
                "collect.own_turns",
                too_many_turns(turns),
            );
        }
        if let TeacherConfig::OwnPolicy { best_of } = self.collect.teacher {
            push_if(
                faults,
                best_of == 0,
                "collect.teacher.self.best_of",
                "0 samples have no best one",
            );
        }
        if let TeacherConfig::Model(name) = &self.collect.teacher {
            push_if(
                faults,
                name.is_empty(),
                "collect.teacher.model",
                "no base model is named",
            );
        }
        if let RolloutSource::Model(name) = &self.collect.rollouts {
            push_if(
                faults,
                name.is_empty(),
                "collect.rollouts.model",
                "no base model is named",
            );
        }
        push_first_error(
            faults,
            "collect.sampling",
            self.collect.sampling.first_error(),
        );
        self.check_endpoints(faults);
    }

    /// Models behind an API, whose settings are checked without asking them.
    fn check_endpoints(&self, faults: &mut Vec<Diagnostic>) {
        let boost = self
            .boost
            .openai
            .as_deref()
            .map(|endpoint| ("boost.openai", endpoint));
        // Those of a method that does not unroll are checked as well: an axis may choose another one.
        for (path, endpoint) in self.collect.endpoints().chain(boost) {
            push_first_error(faults, path, endpoint.first_error());
            let shut = self.collect.sampling.top_k > 0;
            let complaint = "the API of a server has no `top_k`; leave it at 0, or choose another teacher or rollouts";
            push_if(faults, shut, "collect.sampling.top_k", complaint);
        }
        let rollouts = self
            .collect
            .endpoints()
            .filter(|(path, _)| path.starts_with("collect.rollouts"));
        for (path, endpoint) in rollouts.chain(boost) {
            let complaint =
                "rollouts are always shown their own dialogue; only a teacher has `sees`";
            push_if(
                faults,
                endpoint.view.is_some(),
                &format!("{path}.sees"),
                complaint,
            );
        }
    }

    fn check_train(&self, faults: &mut Vec<Diagnostic>) {
        let train = &self.train;
        if let Some((field, complaint)) = train.lora.as_ref().and_then(LoraConfig::first_error) {
            faults.push(Diagnostic::new(format!("train.lora.{field}"), complaint));
        }
        push_if(
            faults,
            train.epochs == 0,
            "train.epochs",
            "0 epochs train nothing",
        );
        push_if(
            faults,
            train.batch_size == 0,
            "train.batch",
            "a batch has at least 1 target",
        );
        let rate = train.learning_rate;
        push_if(
            faults,
            !(rate.is_finite() && rate > 0.0),
            "train.learning_rate",
            format!("{rate} is not above 0"),
        );
        let parts = [
            ("train.warmup", train.warmup_ratio),
            ("train.final_rate", train.final_rate),
        ];
        for (path, part) in parts {
            push_if(
                faults,
                !(0.0..=1.0).contains(&part),
                path,
                format!("{part} is not between 0 and 1"),
            );
        }
        for (path, beta) in [("train.beta1", train.beta1), ("train.beta2", train.beta2)] {
            push_if(
                faults,
                !(0.0..1.0).contains(&beta),
                path,
                format!("{beta} is not in [0, 1)"),
            );
        }
        for (path, size) in [
            ("train.weight_decay", train.weight_decay),
            ("train.clip", train.max_grad_norm),
        ] {
            push_if(
                faults,
                !(size.is_finite() && size >= 0.0),
                path,
                format!("{size} is not a number of at least 0"),
            );
        }
    }

    fn check_online(&self, faults: &mut Vec<Diagnostic>) {
        let (grpo, score) = (&self.grpo, &self.score);
        let stages = [
            ("grpo", grpo.online_stage(), grpo.learning_rate),
            ("score", score.second_stage(), score.learning_rate),
        ];
        for (table, stage, rate) in stages {
            let at = |field: &str| format!("{table}.{field}");
            push_if(
                faults,
                stage.batch_problems == 0,
                &at("problems"),
                "0 problems leave nothing to answer",
            );
            push_if(
                faults,
                stage.group_size < 2,
                &at("samples"),
                "an advantage needs at least 2 episodes to compare",
            );
            let usable = rate.is_finite() && rate > 0.0;
            push_if(
                faults,
                !usable,
                &at("learning_rate"),
                format!("{rate} is not above 0"),
            );
            let discount = stage.discount;
            let outside = !(0.0..=1.0).contains(&discount);
            push_if(
                faults,
                outside,
                &at("discount"),
                format!("{discount} is not between 0 and 1"),
            );
            let unreadable = stage.unreadable_reward;
            push_if(
                faults,
                !unreadable.is_finite(),
                &at("unreadable"),
                format!("{unreadable} is not a number"),
            );
        }
        push_if(
            faults,
            grpo.iterations == 0,
            "grpo.iterations",
            "0 iterations train nothing",
        );
        push_if(
            faults,
            grpo.turns == 0,
            "grpo.turns",
            "an episode has at least 1 turn",
        );
        push_if(
            faults,
            grpo.turns > MAX_TURNS,
            "grpo.turns",
            too_many_turns(grpo.turns),
        );
        push_if(
            faults,
            grpo.updates_per_batch == 0,
            "grpo.passes",
            "0 passes train nothing",
        );
        let idle = score.stage_one == 0 && score.stage_two == 0;
        push_if(
            faults,
            idle,
            "score.stage_one",
            "0 iterations in both stages train nothing",
        );
        let sizes = [
            ("grpo.clip", grpo.clip),
            ("grpo.kl", grpo.kl),
            ("grpo.shaping", grpo.shaping),
            ("score.kl", score.kl),
            ("score.kl_first", score.kl_first),
            ("score.shaping", score.shaping),
        ];
        for (path, size) in sizes {
            let usable = size.is_finite() && size >= 0.0;
            push_if(
                faults,
                !usable,
                path,
                format!("{size} is not a number of at least 0"),
            );
        }
    }

    fn check_evaluate(&self, faults: &mut Vec<Diagnostic>) {
        if let Some(task) = &self.evaluate.task {
            check_task(task, "evaluate.task", faults);
        }
        let evaluate = &self.evaluate;
        let read = evaluate.data_seed.is_some() && !self.eval_task().is_generated();
        push_if(
            faults,
            read,
            "evaluate.data_seed",
            seed_has_no_effect(self.eval_task()),
        );
        push_if(
            faults,
            evaluate.turns == 0,
            "evaluate.turns",
            "an evaluation has at least 1 turn",
        );
        push_if(
            faults,
            evaluate.turns > MAX_TURNS,
            "evaluate.turns",
            too_many_turns(evaluate.turns),
        );
        push_if(
            faults,
            evaluate.samples == 0,
            "evaluate.samples",
            "an evaluation has at least 1 sample",
        );
        let blind = evaluate.window == HistoryWindow::Last(0);
        push_if(
            faults,
            blind,
            "evaluate.window",
            "a window of 0 shows the model no attempt to improve on",
        );
        push_first_error(faults, "evaluate.sampling", evaluate.sampling.first_error());
        push_first_error(faults, "analyses", self.analyses.first_error());
    }
}

fn push_if(faults: &mut Vec<Diagnostic>, wrong: bool, path: &str, complaint: impl Into<String>) {
    if wrong {
        faults.push(Diagnostic::new(path, complaint));
    }
}

fn push_first_error(
    faults: &mut Vec<Diagnostic>,
    path: &str,
    fault: Option<(&'static str, String)>,
) {
    faults.extend(
        fault.map(|(field, complaint)| Diagnostic::new(format!("{path}.{field}"), complaint)),
    );
}

fn seed_has_no_effect(task: &TaskConfig) -> String {
    let name = task.name();
    format!(
        "the problems of `{name}` are read from files and are the same for every seed; leave it out"
    )
}

fn too_many_turns(turns: u32) -> String {
    format!("{turns} turns are more than {MAX_TURNS}, the most that are possible")
}

/// The base models that a run needs, by name: its own, its teacher, and whose rollouts it uses.
#[must_use]
pub fn required_models(run: &RunSpec) -> BTreeSet<String> {
    let mut models = BTreeSet::from([run.base.to_string()]);
    models.extend(run.boost.model.clone());
    if run.method.collects_trajectories() {
        if let TeacherConfig::Model(name) = &run.collect.teacher {
            models.insert(name.clone());
        }
        if let RolloutSource::Model(name) = &run.collect.rollouts {
            models.insert(name.clone());
        }
    }
    models
}

/// What is wrong with a task's settings.
fn check_task(task: &TaskConfig, path: &str, faults: &mut Vec<Diagnostic>) {
    match task.validate() {
        Ok(()) => {}
        Err(DataError::Setting { task, field, fault }) => {
            faults.push(Diagnostic::new(
                format!("{path}.{task}.{field}"),
                fault.trim_start_matches("= "),
            ));
        }
        Err(other) => faults.push(Diagnostic::new(path, other.to_string())),
    }
}
