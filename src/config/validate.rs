//! Checks that the settings of a run fit together, and the run's identity.

use std::collections::BTreeSet;

use crate::data::{DataError, TaskConfig, TrainDraw};
use crate::domain::Key;
use crate::model::LoraConfig;
use crate::rollout::{HistoryWindow, OwnTurns, RolloutSource, TeacherConfig};
use crate::train::OnlineConfig;

use super::canonical::canonical_json;
use super::{Diagnostic, Method, RunSpec};

/// More turns than this are a typing error: no model here is trained on such histories.
const MAX_TURNS: u32 = 20;

impl RunSpec {
    /// Looks for settings that contradict each other or that no run can follow.
    ///
    /// # Errors
    /// The first fault, with the path of its field.
    pub fn validate(&self) -> Result<(), Diagnostic> {
        self.diagnostics().into_iter().next().map_or(Ok(()), Err)
    }

    /// All faults of these settings.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        [
            self.data_diagnostics(),
            self.round_diagnostics(),
            self.boost_diagnostics(),
            self.method_diagnostics(),
            self.collect_diagnostics(),
            self.endpoint_diagnostics(),
            self.train_diagnostics(),
            self.grpo_diagnostics(),
            self.score_diagnostics(),
            self.evaluate_diagnostics(),
        ]
        .concat()
    }

    /// The run's identity: everything that can change its numbers, defaults left out. Each stage
    /// records the backend, and the stages' keys hold the contents of data files, so neither the
    /// backend nor the place of data files is part of it.
    #[must_use]
    pub fn key(&self) -> Key {
        // The task's own grader is the same run whether or not the file names it.
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

    fn data_diagnostics(&self) -> Vec<Diagnostic> {
        let (data, boost) = (&self.data, self.boost.problems);
        let fixed = data.train_draw != TrainDraw::Shared && !self.task.is_generated();
        let diagnostics = [
            wrong(self.base.is_empty(), "base", "no base model is named"),
            wrong(
                data.train == 0,
                "data.train",
                "0 leaves nothing to train on",
            ),
            wrong(
                data.test == 0,
                "data.test",
                "0 leaves nothing to evaluate on",
            ),
            task_diagnostic(&self.task, "task"),
            wrong(fixed, "data.train_draw", seed_has_no_effect(&self.task)),
            wrong(
                boost > data.train,
                "boost.problems",
                format!("{boost} is more than `data.train`, {}", data.train),
            ),
        ];
        diagnostics.into_iter().flatten().collect()
    }

    fn round_diagnostics(&self) -> Vec<Diagnostic> {
        let none = self.rounds.count == 0;
        let complaint = if none && self.boost.problems == 0 && self.method.is_iterative() {
            let method = serde_json::to_value(self.method).expect("a method is a name");
            let method = method.as_str().unwrap_or_default();
            format!("0 rounds leave the method `{method}` nothing to do")
        } else if none && self.method == Method::VStar {
            "0 rounds leave the verifier nothing to learn from".to_owned()
        } else {
            return Vec::new();
        };
        vec![Diagnostic::new("rounds.count", complaint)]
    }

    fn boost_diagnostics(&self) -> Vec<Diagnostic> {
        let boost = &self.boost;
        let (model, openai) = (boost.model.is_some(), boost.openai.is_some());
        let idle = "with `boost.problems` = 0 there is no boost to take part in";
        let both = "`boost.model` is given too; leave one of them out";
        let diagnostics = [
            wrong(model && boost.problems == 0, "boost.model", idle),
            wrong(openai && boost.problems == 0, "boost.openai", idle),
            wrong(model && openai, "boost.openai", both),
            turns_diagnostic("boost.turns", boost.turns),
        ];
        diagnostics.into_iter().flatten().collect()
    }

    fn method_diagnostics(&self) -> Vec<Diagnostic> {
        let (verifier, glore, preference) = (self.verifier, self.glore, &self.preference);
        let (no_choice, no_rank) = (
            "0 samples leave nothing to choose from",
            "0 samples leave nothing to rank",
        );
        let no_step = "0 of them leave no step to judge";
        let diagnostics = [
            wrong(self.samples_per_problem == 0, "candidates", no_choice),
            wrong(verifier.samples == 0, "verifier.samples", no_rank),
            wrong(glore.attempts == 0, "glore.attempts", no_step),
            wrong(glore.rollouts == 0, "glore.rollouts", no_step),
            not_above_zero("preference.beta", preference.beta),
            not_above_zero("preference.learning_rate", preference.learning_rate),
            wrong(
                preference.epochs == 0,
                "preference.epochs",
                "0 epochs train nothing",
            ),
            self.weighting_diagnostic(),
        ];
        diagnostics.into_iter().flatten().collect()
    }

    fn weighting_diagnostic(&self) -> Option<Diagnostic> {
        let (field, complaint) = self.weighting.first_error()?;
        let rule = serde_json::to_value(self.weighting).expect("settings are plain data");
        let rule = rule
            .as_object()
            .and_then(|rule| rule.keys().next().cloned());
        let rule = rule.unwrap_or_default();
        Some(Diagnostic::new(
            format!("weighting.{rule}.{field}"),
            complaint,
        ))
    }

    fn collect_diagnostics(&self) -> Vec<Diagnostic> {
        let collect = &self.collect;
        let own_turns = match collect.own_turns {
            OwnTurns::Fixed(turns) => Some(turns),
            OwnTurns::Round => None,
        };
        let best_of = match collect.teacher {
            TeacherConfig::OwnPolicy { best_of } => Some(best_of),
            _ => None,
        };
        let nameless_teacher =
            matches!(&collect.teacher, TeacherConfig::Model(name) if name.is_empty());
        let nameless_policy =
            matches!(&collect.rollouts, RolloutSource::Model(name) if name.is_empty());
        let (idle, no_turns) = (
            "0 trajectories leave nothing to train on",
            "0 own turns leave nothing to improve",
        );
        let no_best = "0 samples have no best one";
        let unnamed = "no base model is named";
        let diagnostics = [
            wrong(collect.trajectories == 0, "collect.trajectories", idle),
            wrong(own_turns == Some(0), "collect.own_turns", no_turns),
            turns_diagnostic("collect.own_turns", own_turns.unwrap_or_default()),
            wrong(best_of == Some(0), "collect.teacher.self.best_of", no_best),
            wrong(nameless_teacher, "collect.teacher.model", unnamed),
            wrong(nameless_policy, "collect.rollouts.model", unnamed),
            field_diagnostic("collect.sampling", collect.sampling.first_error()),
        ];
        diagnostics.into_iter().flatten().collect()
    }

    /// Faults of the models behind an API, found without a request. Those of a method that collects
    /// no trajectories count as well, since an axis may choose another method.
    fn endpoint_diagnostics(&self) -> Vec<Diagnostic> {
        let boost = self.boost.openai.as_deref();
        let boost = boost.map(|endpoint| ("boost.openai", endpoint));
        let top_k = "the API of a server has no `top_k`; leave it at 0, or choose another teacher or rollouts";
        let sees = "rollouts are always shown their own dialogue; only a teacher has `sees`";
        let endpoints = self.collect.endpoints().chain(boost);
        let limits = endpoints.flat_map(|(path, endpoint)| {
            let limited = self.collect.sampling.top_k > 0;
            [
                field_diagnostic(path, endpoint.first_error()),
                wrong(limited, "collect.sampling.top_k", top_k),
            ]
        });
        let rollouts = self.collect.endpoints().chain(boost);
        let views = rollouts
            .filter(|(path, _)| !path.starts_with("collect.teacher"))
            .map(|(path, endpoint)| wrong(endpoint.view.is_some(), &format!("{path}.sees"), sees));
        limits.chain(views).flatten().collect()
    }

    fn train_diagnostics(&self) -> Vec<Diagnostic> {
        let train = &self.train;
        let lora = train.lora.as_ref().and_then(LoraConfig::first_error);
        let diagnostics = [
            field_diagnostic("train.lora", lora),
            wrong(train.epochs == 0, "train.epochs", "0 epochs train nothing"),
            wrong(
                train.batch_size == 0,
                "train.batch",
                "a batch has at least 1 target",
            ),
            not_above_zero("train.learning_rate", train.learning_rate),
            not_a_part("train.warmup", train.warmup_ratio),
            not_a_part("train.final_rate", train.final_rate),
            not_a_decay("train.beta1", train.beta1),
            not_a_decay("train.beta2", train.beta2),
            below_zero("train.weight_decay", train.weight_decay),
            below_zero("train.clip", train.max_grad_norm),
        ];
        diagnostics.into_iter().flatten().collect()
    }

    fn grpo_diagnostics(&self) -> Vec<Diagnostic> {
        let grpo = &self.grpo;
        let (no_turn, no_pass) = ("an episode has at least 1 turn", "0 passes train nothing");
        let diagnostics = [
            wrong(
                grpo.iterations == 0,
                "grpo.iterations",
                "0 iterations train nothing",
            ),
            wrong(grpo.turns == 0, "grpo.turns", no_turn),
            turns_diagnostic("grpo.turns", grpo.turns),
            wrong(grpo.updates_per_batch == 0, "grpo.passes", no_pass),
            below_zero("grpo.clip", grpo.clip),
            below_zero("grpo.kl", grpo.kl),
            below_zero("grpo.shaping", grpo.shaping),
        ];
        let shared = online_diagnostics("grpo", &grpo.online_stage(), grpo.learning_rate);
        shared.into_iter().chain(diagnostics).flatten().collect()
    }

    fn score_diagnostics(&self) -> Vec<Diagnostic> {
        let score = &self.score;
        let idle = score.stage_one == 0 && score.stage_two == 0;
        let complaint = "0 iterations in both stages train nothing";
        let diagnostics = [
            wrong(idle, "score.stage_one", complaint),
            below_zero("score.kl", score.kl),
            below_zero("score.kl_first", score.kl_first),
            below_zero("score.shaping", score.shaping),
        ];
        let shared = online_diagnostics("score", &score.second_stage(), score.learning_rate);
        shared.into_iter().chain(diagnostics).flatten().collect()
    }

    fn evaluate_diagnostics(&self) -> Vec<Diagnostic> {
        let (evaluate, task) = (&self.evaluate, self.eval_task());
        let fixed = evaluate.data_seed.is_some() && !task.is_generated();
        let own_task = evaluate.task.as_ref();
        let (no_turn, no_sample) = (
            "an evaluation has at least 1 turn",
            "an evaluation has at least 1 sample",
        );
        let blind = "a window of 0 shows the model no attempt to improve on";
        let diagnostics = [
            own_task.and_then(|task| task_diagnostic(task, "evaluate.task")),
            wrong(fixed, "evaluate.data_seed", seed_has_no_effect(task)),
            wrong(evaluate.turns == 0, "evaluate.turns", no_turn),
            turns_diagnostic("evaluate.turns", evaluate.turns),
            wrong(evaluate.samples == 0, "evaluate.samples", no_sample),
            wrong(
                evaluate.window == HistoryWindow::Last(0),
                "evaluate.window",
                blind,
            ),
            field_diagnostic("evaluate.sampling", evaluate.sampling.first_error()),
            field_diagnostic("analyses", self.analyses.first_error()),
        ];
        diagnostics.into_iter().flatten().collect()
    }
}

/// Faults of the settings that all online methods have, in the table of one.
fn online_diagnostics(table: &str, stage: &OnlineConfig, rate: f64) -> [Option<Diagnostic>; 5] {
    let at = |field: &str| format!("{table}.{field}");
    let (no_problem, no_group) = (
        "0 problems leave nothing to answer",
        "an advantage needs at least 2 episodes to compare",
    );
    let reward = stage.unreadable_reward;
    let not_a_number = format!("{reward} is not a number");
    [
        wrong(stage.batch_problems == 0, &at("problems"), no_problem),
        wrong(stage.group_size < 2, &at("samples"), no_group),
        not_above_zero(&at("learning_rate"), rate),
        not_a_part(&at("discount"), stage.discount),
        wrong(!reward.is_finite(), &at("unreadable"), not_a_number),
    ]
}

/// A fault of the field at `path`, if it is wrong.
pub(super) fn wrong(
    is_wrong: bool,
    path: &str,
    complaint: impl Into<String>,
) -> Option<Diagnostic> {
    is_wrong.then(|| Diagnostic::new(path, complaint))
}

/// A fault within the table at `path`, given the field and the complaint.
pub(super) fn field_diagnostic(
    path: &str,
    diagnostic: Option<(&'static str, String)>,
) -> Option<Diagnostic> {
    diagnostic.map(|(field, complaint)| Diagnostic::new(format!("{path}.{field}"), complaint))
}

pub(super) fn not_above_zero(path: &str, value: f64) -> Option<Diagnostic> {
    let usable = value.is_finite() && value > 0.0;
    wrong(!usable, path, format!("{value} is not above 0"))
}

pub(super) fn below_zero(path: &str, value: f64) -> Option<Diagnostic> {
    let usable = value.is_finite() && value >= 0.0;
    wrong(
        !usable,
        path,
        format!("{value} is not a number of at least 0"),
    )
}

pub(super) fn not_a_part(path: &str, value: f64) -> Option<Diagnostic> {
    let usable = (0.0..=1.0).contains(&value);
    wrong(!usable, path, format!("{value} is not between 0 and 1"))
}

/// A decay of a running mean is below 1: at 1 the mean would never move.
pub(super) fn not_a_decay(path: &str, value: f64) -> Option<Diagnostic> {
    let usable = (0.0..1.0).contains(&value);
    wrong(!usable, path, format!("{value} is not in [0, 1)"))
}

fn turns_diagnostic(path: &str, turns: u32) -> Option<Diagnostic> {
    let complaint = format!("{turns} turns are more than {MAX_TURNS}, the most that are possible");
    wrong(turns > MAX_TURNS, path, complaint)
}

fn seed_has_no_effect(task: &TaskConfig) -> String {
    let name = task.name();
    format!(
        "the problems of `{name}` are read from files and are the same for every seed; leave it out"
    )
}

/// The fault of a task's settings, if there is one.
fn task_diagnostic(task: &TaskConfig, path: &str) -> Option<Diagnostic> {
    Some(match task.validate().err()? {
        DataError::Setting {
            task,
            field,
            fault: complaint,
        } => Diagnostic::new(
            format!("{path}.{task}.{field}"),
            complaint.trim_start_matches("= "),
        ),
        other => Diagnostic::new(path, other.to_string()),
    })
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
