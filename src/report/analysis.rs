//! Groups runs into cells, regimes and headline groups; `study/scores.rs` answers what was measured of them.
//!
//! A *cell* is one setting with all its seeds. A *regime* is what makes cells comparable in the first
//! place: the same base model and task. Hides how cells are matched; knows nothing of pages.

mod scores;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::Key;
use crate::stats::{MeanEstimate, PairedComparison};
use crate::store::Status;

use super::memo::Memo;
use super::metric_columns::MetricColumns;
use super::{EvaluatedCheckpoint, ReportData, ReportRun};

/// One setting, with a run per seed.
#[derive(Clone, Debug)]
pub struct Condition<'f> {
    /// The runs, one per seed, in order of the expansion.
    pub runs: Vec<&'f ReportRun>,
}

/// A headline group: a title and the settings whose rows form its table.
#[derive(Clone, Debug)]
pub struct HeadlineGroup {
    /// What it is called.
    pub title: String,
    /// Number of the setting, if any run belongs to the group.
    pub condition: Option<usize>,
    /// Number of the supervised fine-tuning setting of the same regime, if there is one.
    pub sft_condition: Option<usize>,
}

/// What is measured: a setting by number, a checkpoint by name, a metric by name.
pub type MeasurementRef<'a> = (usize, &'a str, &'a str);

/// The same with owned names, to look up what is known.
type MeasurementKey = (usize, String, String);

/// A frame with its runs grouped.
#[derive(Clone, Debug)]
pub struct Analysis<'f> {
    /// The data.
    pub data: &'f ReportData,
    /// Every setting, in order of the expansion.
    pub conditions: Vec<Condition<'f>>,
    /// Which metrics there are.
    pub metric_columns: MetricColumns,
    /// Axis paths in order of first appearance.
    pub axes: Vec<String>,
    /// The value label that others are compared with, for each axis.
    pub baseline: BTreeMap<String, String>,
    /// Axis paths that define a regime.
    pub regime_axes: Vec<String>,
    estimates: Memo<MeasurementKey, Option<MeanEstimate>>,
    comparisons: Memo<(MeasurementKey, MeasurementKey), Option<PairedComparison>>,
}

impl<'f> Analysis<'f> {
    /// Groups the runs of a frame.
    #[must_use]
    pub fn new(frame: &'f ReportData) -> Self {
        let mut settings: Vec<Condition<'f>> = Vec::new();
        for run in &frame.runs {
            match settings
                .iter_mut()
                .find(|setting| setting.runs[0].axes == run.axes)
            {
                Some(setting) => setting.runs.push(run),
                None => settings.push(Condition { runs: vec![run] }),
            }
        }
        let mut axes: Vec<String> = Vec::new();
        for (path, _) in frame.runs.iter().flat_map(|run| &run.axes) {
            if !axes.contains(path) {
                axes.push(path.clone());
            }
        }
        let measures = MetricColumns::from_names(
            frame
                .scores
                .values()
                .flat_map(|scores| scores.keys().map(String::as_str)),
        );
        let (baseline, regimes) = (BTreeMap::new(), Vec::new());
        let (estimates, comparisons) = (Memo::default(), Memo::default());
        let mut study = Self {
            data: frame,
            conditions: settings,
            metric_columns: measures,
            axes,
            baseline,
            regime_axes: regimes,
            estimates,
            comparisons,
        };
        study.regime_axes = frame
            .options
            .regimes
            .clone()
            .unwrap_or_else(|| study.regime_defining_axes());
        study.baseline = study
            .axes
            .iter()
            .map(|path| (path.clone(), study.most_common_value(path)))
            .collect();
        study.baseline.extend(frame.options.baseline.clone());
        study
    }

    /// The axes that change the base model or the task: two settings that differ in such an axis alone
    /// differ in one of those parts of their specification.
    fn regime_defining_axes(&self) -> Vec<String> {
        let part = |setting: usize, field: &str| self.conditions[setting].runs[0].spec.get(field);
        let alone = |path: &str, a: usize, b: usize| {
            self.axis_value(a, path) != self.axis_value(b, path)
                && self.count_equal_axes(a, b) + 1 == self.axes.len()
        };
        let separates = |path: &&String| {
            let named = *path == "base" || *path == "task" || path.starts_with("task.");
            let pairs = (0..self.conditions.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
            named
                || pairs.into_iter().any(|(a, b)| {
                    alone(path, a, b)
                        && ["base", "task"]
                            .iter()
                            .any(|field| part(a, field) != part(b, field))
                })
        };
        self.axes.iter().filter(separates).cloned().collect()
    }

    /// The most common value label of an axis over settings trained by RISE; the earliest of equals.
    fn most_common_value(&self, path: &str) -> String {
        let all: Vec<usize> = (0..self.conditions.len()).collect();
        let rise: Vec<usize> = all.iter().copied().filter(|&at| !self.is_sft(at)).collect();
        let among = if rise.is_empty() { all } else { rise };
        let mut counts: Vec<(String, usize)> = Vec::new();
        for value in among.iter().filter_map(|&at| self.axis_value(at, path)) {
            match counts.iter_mut().find(|(known, _)| *known == value) {
                Some((_, count)) => *count += 1,
                None => counts.push((value, 1)),
            }
        }
        // `max_by_key` returns the last of equals, hence the reversal.
        counts
            .into_iter()
            .rev()
            .max_by_key(|(_, count)| *count)
            .map(|(value, _)| value)
            .unwrap_or_default()
    }

    /// A setting's value label on an axis; for a path that is no axis of it, what its specification says.
    #[must_use]
    pub fn axis_value(&self, setting: usize, path: &str) -> Option<String> {
        let run = self.conditions[setting].runs[0];
        if let Some((_, label)) = run.axes.iter().find(|(axis, _)| axis == path) {
            return Some(label.clone());
        }
        let pointer = format!("/{}", path.replace('.', "/"));
        match run.spec.pointer(&pointer)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// Whether a setting is supervised fine-tuning rather than RISE.
    #[must_use]
    pub fn is_sft(&self, setting: usize) -> bool {
        let run = self.conditions[setting].runs[0];
        match run.spec.get("method").and_then(Value::as_str) {
            Some(method) => method == "sft",
            None => run
                .checkpoints
                .iter()
                .any(|checkpoint| checkpoint.name == "sft"),
        }
    }

    /// The values that define a setting's regime.
    #[must_use]
    pub fn regime_values(&self, setting: usize) -> Vec<Option<String>> {
        self.regime_axes
            .iter()
            .map(|path| self.axis_value(setting, path))
            .collect()
    }

    /// A regime's name; empty where the experiment has only one.
    #[must_use]
    pub fn regime_name(&self, setting: usize) -> String {
        let named: Vec<String> = self
            .regime_axes
            .iter()
            .filter_map(|path| {
                Some(format!(
                    "{} = {}",
                    axis_short_name(path),
                    self.axis_value(setting, path)?
                ))
            })
            .collect();
        named.join(", ")
    }

    /// Whether a setting has the baseline's value on every axis but the excepted ones.
    #[must_use]
    pub fn matches_baseline(&self, setting: usize, except: &[&str]) -> bool {
        let axes = self
            .axes
            .iter()
            .filter(|path| !except.contains(&path.as_str()));
        axes.into_iter()
            .all(|path| match self.axis_value(setting, path) {
                Some(value) => self.baseline.get(path) == Some(&value),
                None => true,
            })
    }

    /// On how many axes two settings agree.
    fn count_equal_axes(&self, a: usize, b: usize) -> usize {
        self.axes
            .iter()
            .filter(|path| self.axis_value(a, path) == self.axis_value(b, path))
            .count()
    }

    /// The setting that speaks for a regime: RISE with the baseline's values, else the nearest to it.
    #[must_use]
    pub fn representative(&self, candidates: &[usize]) -> Option<usize> {
        let distance = |setting: usize| {
            let off = |path: &&String| {
                self.axis_value(setting, path).as_ref() != self.baseline.get(*path)
            };
            self.axes
                .iter()
                .filter(|path| !self.regime_axes.contains(path))
                .filter(off)
                .count()
        };
        candidates
            .iter()
            .copied()
            .min_by_key(|&at| (self.is_sft(at), distance(at), at))
    }

    /// The supervised fine-tuning setting of the same regime that is otherwise most like this one.
    #[must_use]
    pub fn matching_sft(&self, setting: usize) -> Option<usize> {
        let same = |&at: &usize| {
            self.is_sft(at)
                && self.regime_values(at) == self.regime_values(setting)
                && at != setting
        };
        let others = (0..self.conditions.len()).filter(same);
        others.max_by_key(|&at| (self.count_equal_axes(at, setting), std::cmp::Reverse(at)))
    }

    /// Every regime as the settings in it, in order of the expansion.
    #[must_use]
    pub fn conditions_by_regime(&self) -> Vec<Vec<usize>> {
        let mut regimes: Vec<Vec<usize>> = Vec::new();
        for setting in 0..self.conditions.len() {
            match regimes
                .iter_mut()
                .find(|members| self.regime_values(members[0]) == self.regime_values(setting))
            {
                Some(members) => members.push(setting),
                None => regimes.push(vec![setting]),
            }
        }
        regimes
    }

    /// The headline groups: those wished for, else one per regime.
    #[must_use]
    pub fn headline_groups(&self) -> Vec<HeadlineGroup> {
        let group = |title: String, members: &[usize]| {
            let setting = self.representative(members);
            HeadlineGroup {
                title,
                condition: setting,
                sft_condition: setting
                    .filter(|&at| !self.is_sft(at))
                    .and_then(|at| self.matching_sft(at)),
            }
        };
        if self.data.options.headline.is_empty() {
            let named = |members: &Vec<usize>| {
                let name = self.regime_name(members[0]);
                group(
                    if name.is_empty() {
                        "All problems".to_owned()
                    } else {
                        name
                    },
                    members,
                )
            };
            return self.conditions_by_regime().iter().map(named).collect();
        }
        let wished = self.data.options.headline.iter().map(|headline| {
            let belongs = |&at: &usize| {
                headline
                    .selector
                    .iter()
                    .all(|(path, label)| self.axis_value(at, path).as_ref() == Some(label))
            };
            let members: Vec<usize> = (0..self.conditions.len()).filter(belongs).collect();
            group(headline.title_or_values(), &members)
        });
        wished.collect()
    }

    /// Names of a setting's checkpoints that have scores for at least one seed, in order.
    #[must_use]
    pub fn scored_checkpoints(&self, setting: usize) -> Vec<&'f str> {
        let mut names: Vec<&'f str> = Vec::new();
        for run in &self.conditions[setting].runs {
            for checkpoint in run.checkpoints.iter().filter(|c| self.has_scores(c)) {
                if !names.contains(&checkpoint.name.as_str()) {
                    names.push(&checkpoint.name);
                }
            }
        }
        names
    }

    fn has_scores(&self, checkpoint: &EvaluatedCheckpoint) -> bool {
        self.data
            .scores
            .get(&checkpoint.evaluation)
            .is_some_and(|scores| !scores.is_empty())
    }

    /// The checkpoint that a setting ends with, once every round of it has been evaluated for some seed.
    #[must_use]
    pub fn last_checkpoint(&self, setting: usize) -> Option<&'f str> {
        let complete = self.conditions[setting]
            .runs
            .iter()
            .filter(|run| run.status == Status::Done);
        let last = complete.filter_map(|run| run.checkpoints.iter().rfind(|c| self.has_scores(c)));
        last.map(|checkpoint| checkpoint.name.as_str()).next()
    }

    /// The finished evaluations of the checkpoints that headline tables have rows for, each once.
    #[must_use]
    pub fn headline_evaluations(&self) -> Vec<Key> {
        let mut evaluations = Vec::new();
        for group in self.headline_groups() {
            for setting in group.condition.into_iter().chain(group.sft_condition) {
                let checkpoints = self.conditions[setting]
                    .runs
                    .iter()
                    .flat_map(|run| &run.checkpoints);
                evaluations.extend(
                    checkpoints
                        .filter(|c| self.has_scores(c))
                        .map(|c| c.evaluation.clone()),
                );
            }
        }
        evaluations.sort_unstable();
        evaluations.dedup();
        evaluations
    }

    /// A setting's axis values in words, without the seed.
    #[must_use]
    pub fn condition_name(&self, setting: usize) -> String {
        let axes = &self.conditions[setting].runs[0].axes;
        axes.iter()
            .map(|(path, label)| format!("{path}={label}"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Evaluations whose episodes are shown as dialogues: the last checkpoint of each headline group
    /// at its first finished seed.
    #[must_use]
    pub fn dialogue_sources(&self) -> Vec<Key> {
        self.headline_groups()
            .iter()
            .filter_map(|group| self.dialogue_source(group.condition?))
            .collect()
    }

    /// The evaluation whose episodes speak for a setting.
    #[must_use]
    pub fn dialogue_source(&self, setting: usize) -> Option<Key> {
        let last = self.last_checkpoint(setting)?;
        let checkpoints = self.conditions[setting]
            .runs
            .iter()
            .flat_map(|run| &run.checkpoints);
        checkpoints
            .into_iter()
            .find(|c| c.name == last && self.has_scores(c))
            .map(|c| c.evaluation.clone())
    }
}

/// The last part of an axis path: `stop_on_success` of `collect.stop_on_success`.
#[must_use]
pub fn axis_short_name(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn seeds_of_one_setting_share_a_cell_and_regimes_keep_bases_apart() {
        let frame = fixtures::sample_data();
        let study = Analysis::new(&frame);
        assert_eq!(study.conditions.len(), 5);
        assert_eq!(study.conditions[0].runs.len(), 2);
        assert_eq!(study.conditions_by_regime(), [vec![0, 1, 2], vec![3, 4]]);
        assert_eq!(study.regime_name(3), "base = strong");
    }

    #[test]
    fn a_group_is_its_regimes_baseline_beside_its_sft_row() {
        let frame = fixtures::sample_data();
        let study = Analysis::new(&frame);
        assert_eq!(study.baseline["weighting"], "exp(0.4)");
        let groups = study.headline_groups();
        assert_eq!(
            (groups[0].condition, groups[0].sft_condition),
            (Some(0), Some(2))
        );
        assert_eq!(
            (groups[1].condition, groups[1].sft_condition),
            (Some(3), Some(4))
        );
        assert_eq!(study.last_checkpoint(0), Some("round 2"));
    }

    #[test]
    fn wishes_choose_groups_and_a_group_without_runs_stays_visible() {
        let mut frame = fixtures::sample_data();
        frame.options = super::super::StoredReportOptions::from_json(
            "x",
            &serde_json::json!({ "headline": [
                { "title": "Uniform", "where": { "weighting": "uniform" } },
                { "title": "Nothing", "where": { "base": "huge" } },
            ] }),
        )
        .unwrap();
        let study = Analysis::new(&frame);
        let groups = study.headline_groups();
        assert_eq!(groups[0].condition, Some(1));
        assert_eq!(
            (groups[1].condition, groups[1].title.as_str()),
            (None, "Nothing")
        );
    }

    #[test]
    fn an_axis_of_any_name_that_changes_the_base_or_the_task_makes_regimes() {
        let mut frame = fixtures::sample_data();
        for run in &mut frame.runs {
            run.axes[0].0 = "regime".to_owned();
        }
        assert_eq!(Analysis::new(&frame).regime_axes, ["regime"]);
        frame.options.regimes = Some(vec!["method".to_owned()]);
        assert_eq!(Analysis::new(&frame).regime_axes, ["method"]);
    }

    #[test]
    fn a_run_without_scores_is_missing_not_zero() {
        let mut frame = fixtures::sample_data();
        frame.scores.clear();
        let study = Analysis::new(&frame);
        assert!(study.scored_checkpoints(0).is_empty());
        assert_eq!(study.estimate(0, "round 2", "m1@t5"), None);
    }
}
