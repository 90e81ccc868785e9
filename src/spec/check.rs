//! Whether the settings of a run fit together, and what its identity is.

use std::collections::BTreeSet;

use crate::data::{DataError, TaskConfig, TrainDraw};
use crate::domain::Key;
use crate::model::LoraConfig;
use crate::rollout::{OwnTurns, Rollouts, Teacher, Window};

use super::canonical::canonical;
use super::{Fault, Method, PreferenceConfig, RunSpec};

/// More turns than this are a slip of the pen: no model here is trained on such histories.
const MOST_TURNS: u32 = 20;

impl RunSpec {
    /// Looks for settings that contradict each other or cannot be carried out.
    ///
    /// # Errors
    /// The first fault, with the path of its field.
    pub fn check(&self) -> Result<(), Fault> {
        self.faults().into_iter().next().map_or(Ok(()), Err)
    }

    /// All that is wrong with these settings.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
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
        let (collect, boost) = (self.collect.essence(), self.boost.essence());
        let mut value = canonical(&Self {
            task,
            boost,
            collect,
            grader,
            ..self.clone()
        });
        if let Some(members) = value.as_object_mut() {
            members.remove("backend");
        }
        Key::of(&value)
    }

    fn check_data(&self, faults: &mut Vec<Fault>) {
        refuse(
            faults,
            self.base.is_empty(),
            "base",
            "no base model is named",
        );
        refuse(
            faults,
            self.data.train == 0,
            "data.train",
            "0 leaves nothing to train on",
        );
        refuse(
            faults,
            self.data.test == 0,
            "data.test",
            "0 leaves nothing to evaluate on",
        );
        check_task(&self.task, "task", faults);
        let read = self.data.train_draw != TrainDraw::Shared && !self.task.is_generated();
        refuse(
            faults,
            read,
            "data.train_draw",
            same_for_every_seed(&self.task),
        );
        let (boost, train) = (self.boost.problems, self.data.train);
        refuse(
            faults,
            boost > train,
            "boost.problems",
            format!("{boost} is more than `data.train`, {train}"),
        );
    }

    fn check_rounds(&self, faults: &mut Vec<Fault>) {
        let idle =
            self.rounds.count == 0 && self.boost.problems == 0 && self.method.goes_in_rounds();
        let method = serde_json::to_value(self.method).unwrap_or_default();
        let method = method.as_str().unwrap_or_default();
        refuse(
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
            refuse(faults, capable && boost.problems == 0, path, complaint);
        }
        let both = boost.model.is_some() && boost.openai.is_some();
        refuse(
            faults,
            both,
            "boost.openai",
            "`boost.model` is given too; leave one of them out",
        );
        refuse(
            faults,
            self.boost.turns > MOST_TURNS,
            "boost.turns",
            too_many(self.boost.turns),
        );
        refuse(
            faults,
            self.candidates == 0,
            "candidates",
            "0 samples leave nothing to choose from",
        );
        let verifier = self.verifier.samples;
        refuse(
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
            refuse(faults, size == 0, path, "0 of them leave no step to judge");
        }
        let untaught = self.method == Method::VStar && self.rounds.count == 0;
        refuse(
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
            refuse(faults, !usable, path, format!("{value} is not above 0"));
        }
        refuse(
            faults,
            epochs == 0,
            "preference.epochs",
            "0 epochs train nothing",
        );
        if let Some((field, complaint)) = self.weighting.fault() {
            let rule = serde_json::to_value(self.weighting).expect("settings are plain data");
            let rule = rule
                .as_object()
                .and_then(|rule| rule.keys().next().cloned())
                .unwrap_or_default();
            faults.push(Fault::new(format!("weighting.{rule}.{field}"), complaint));
        }
    }

    fn check_collect(&self, faults: &mut Vec<Fault>) {
        let idle = self.collect.trajectories == 0;
        refuse(
            faults,
            idle,
            "collect.trajectories",
            "0 trajectories leave nothing to train on",
        );
        let none = self.collect.own_turns == OwnTurns::Fixed(0);
        refuse(
            faults,
            none,
            "collect.own_turns",
            "0 own turns leave nothing to improve",
        );
        if let OwnTurns::Fixed(turns) = self.collect.own_turns {
            refuse(
                faults,
                turns > MOST_TURNS,
                "collect.own_turns",
                too_many(turns),
            );
        }
        if let Teacher::Oneself { best_of } = self.collect.teacher {
            refuse(
                faults,
                best_of == 0,
                "collect.teacher.self.best_of",
                "0 samples have no best one",
            );
        }
        if let Teacher::Model(name) = &self.collect.teacher {
            refuse(
                faults,
                name.is_empty(),
                "collect.teacher.model",
                "no base model is named",
            );
        }
        if let Rollouts::Model(name) = &self.collect.rollouts {
            refuse(
                faults,
                name.is_empty(),
                "collect.rollouts.model",
                "no base model is named",
            );
        }
        sampling(faults, "collect.sampling", self.collect.sampling.fault());
        self.check_endpoints(faults);
    }

    /// Models behind an API, whose settings are checked without asking them.
    fn check_endpoints(&self, faults: &mut Vec<Fault>) {
        let boost = self
            .boost
            .openai
            .as_deref()
            .map(|endpoint| ("boost.openai", endpoint));
        // Those of a method that does not unroll are checked as well: an axis may choose another one.
        for (path, endpoint) in self.collect.endpoints().chain(boost) {
            sampling(faults, path, endpoint.fault());
            let shut = self.collect.sampling.top_k > 0;
            let complaint = "the API of a server has no `top_k`; leave it at 0, or choose another teacher or rollouts";
            refuse(faults, shut, "collect.sampling.top_k", complaint);
        }
        let rollouts = self
            .collect
            .endpoints()
            .filter(|(path, _)| path.starts_with("collect.rollouts"));
        for (path, endpoint) in rollouts.chain(boost) {
            let complaint =
                "rollouts are always shown their own dialogue; only a teacher has `sees`";
            refuse(
                faults,
                endpoint.sees.is_some(),
                &format!("{path}.sees"),
                complaint,
            );
        }
    }

    fn check_train(&self, faults: &mut Vec<Fault>) {
        let train = &self.train;
        if let Some((field, complaint)) = train.lora.as_ref().and_then(LoraConfig::fault) {
            faults.push(Fault::new(format!("train.lora.{field}"), complaint));
        }
        refuse(
            faults,
            train.epochs == 0,
            "train.epochs",
            "0 epochs train nothing",
        );
        refuse(
            faults,
            train.batch == 0,
            "train.batch",
            "a batch has at least 1 target",
        );
        let rate = train.learning_rate;
        refuse(
            faults,
            !(rate.is_finite() && rate > 0.0),
            "train.learning_rate",
            format!("{rate} is not above 0"),
        );
        let parts = [
            ("train.warmup", train.warmup),
            ("train.final_rate", train.final_rate),
        ];
        for (path, part) in parts {
            refuse(
                faults,
                !(0.0..=1.0).contains(&part),
                path,
                format!("{part} is not between 0 and 1"),
            );
        }
        for (path, beta) in [("train.beta1", train.beta1), ("train.beta2", train.beta2)] {
            refuse(
                faults,
                !(0.0..1.0).contains(&beta),
                path,
                format!("{beta} is not in [0, 1)"),
            );
        }
        for (path, size) in [
            ("train.weight_decay", train.weight_decay),
            ("train.clip", train.clip),
        ] {
            refuse(
                faults,
                !(size.is_finite() && size >= 0.0),
                path,
                format!("{size} is not a number of at least 0"),
            );
        }
    }

    fn check_online(&self, faults: &mut Vec<Fault>) {
        let (grpo, score) = (&self.grpo, &self.score);
        let stages = [
            ("grpo", grpo.stage(), grpo.learning_rate),
            ("score", score.second(), score.learning_rate),
        ];
        for (table, stage, rate) in stages {
            let at = |field: &str| format!("{table}.{field}");
            refuse(
                faults,
                stage.problems == 0,
                &at("problems"),
                "0 problems leave nothing to answer",
            );
            refuse(
                faults,
                stage.samples < 2,
                &at("samples"),
                "an advantage needs at least 2 episodes to compare",
            );
            let usable = rate.is_finite() && rate > 0.0;
            refuse(
                faults,
                !usable,
                &at("learning_rate"),
                format!("{rate} is not above 0"),
            );
            let discount = stage.discount;
            let outside = !(0.0..=1.0).contains(&discount);
            refuse(
                faults,
                outside,
                &at("discount"),
                format!("{discount} is not between 0 and 1"),
            );
            let unreadable = stage.unreadable;
            refuse(
                faults,
                !unreadable.is_finite(),
                &at("unreadable"),
                format!("{unreadable} is not a number"),
            );
        }
        refuse(
            faults,
            grpo.iterations == 0,
            "grpo.iterations",
            "0 iterations train nothing",
        );
        refuse(
            faults,
            grpo.turns == 0,
            "grpo.turns",
            "an episode has at least 1 turn",
        );
        refuse(
            faults,
            grpo.turns > MOST_TURNS,
            "grpo.turns",
            too_many(grpo.turns),
        );
        refuse(
            faults,
            grpo.passes == 0,
            "grpo.passes",
            "0 passes train nothing",
        );
        let idle = score.stage_one == 0 && score.stage_two == 0;
        refuse(
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
            refuse(
                faults,
                !usable,
                path,
                format!("{size} is not a number of at least 0"),
            );
        }
    }

    fn check_evaluate(&self, faults: &mut Vec<Fault>) {
        if let Some(task) = &self.evaluate.task {
            check_task(task, "evaluate.task", faults);
        }
        let evaluate = &self.evaluate;
        let read = evaluate.data_seed.is_some() && !self.evaluated_task().is_generated();
        refuse(
            faults,
            read,
            "evaluate.data_seed",
            same_for_every_seed(self.evaluated_task()),
        );
        refuse(
            faults,
            evaluate.turns == 0,
            "evaluate.turns",
            "an evaluation has at least 1 turn",
        );
        refuse(
            faults,
            evaluate.turns > MOST_TURNS,
            "evaluate.turns",
            too_many(evaluate.turns),
        );
        refuse(
            faults,
            evaluate.samples == 0,
            "evaluate.samples",
            "an evaluation has at least 1 sample",
        );
        let blind = evaluate.window == Window::Last(0);
        refuse(
            faults,
            blind,
            "evaluate.window",
            "a window of 0 shows the model no attempt to improve on",
        );
        sampling(faults, "evaluate.sampling", evaluate.sampling.fault());
        sampling(faults, "analyses", self.analyses.fault());
    }
}

fn refuse(faults: &mut Vec<Fault>, wrong: bool, path: &str, complaint: impl Into<String>) {
    if wrong {
        faults.push(Fault::new(path, complaint));
    }
}

fn sampling(faults: &mut Vec<Fault>, path: &str, fault: Option<(&'static str, String)>) {
    faults.extend(fault.map(|(field, complaint)| Fault::new(format!("{path}.{field}"), complaint)));
}

fn same_for_every_seed(task: &TaskConfig) -> String {
    let name = task.name();
    format!(
        "the problems of `{name}` are read from files and are the same for every seed; leave it out"
    )
}

fn too_many(turns: u32) -> String {
    format!("{turns} turns are more than {MOST_TURNS}, the most that are possible")
}

/// The base models that a run needs, by name: its own, its teacher, and whose rollouts it uses.
#[must_use]
pub fn models_of(run: &RunSpec) -> BTreeSet<String> {
    let mut models = BTreeSet::from([run.base.to_string()]);
    models.extend(run.boost.model.clone());
    if run.method.unrolls() {
        if let Teacher::Model(name) = &run.collect.teacher {
            models.insert(name.clone());
        }
        if let Rollouts::Model(name) = &run.collect.rollouts {
            models.insert(name.clone());
        }
    }
    models
}

/// What is wrong with a task's settings.
fn check_task(task: &TaskConfig, path: &str, faults: &mut Vec<Fault>) {
    match task.check() {
        Ok(()) => {}
        Err(DataError::Setting { task, field, fault }) => {
            faults.push(Fault::new(
                format!("{path}.{task}.{field}"),
                fault.trim_start_matches("= "),
            ));
        }
        Err(other) => faults.push(Fault::new(path, other.to_string())),
    }
}
