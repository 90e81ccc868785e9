//! Groups runs into conditions, regimes and headline groups, and answers questions about them.
//!
//! A *condition* is one choice of settings with a run per seed. A *regime* is the set of conditions
//! that can be compared: those of one base model and one task. `scores` has the measurements.
//! Hides how conditions are matched; knows nothing of pages.

mod scores;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::{CheckpointName, Key, MetricName};
use crate::stats::{MeanEstimate, PairedComparison};
use crate::store::Status;

use super::memo::Memo;
use super::metric_columns::MetricColumns;
use super::{EvaluatedCheckpoint, ReportData, ReportRun};

/// A condition, by its index in the expansion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConditionId(usize);

/// A checkpoint of a condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckpointId {
    /// The condition.
    pub condition: ConditionId,
    /// The checkpoint's name.
    pub name: CheckpointName,
}

impl CheckpointId {
    /// A checkpoint of a condition by its name.
    pub fn new(condition: ConditionId, name: impl Into<CheckpointName>) -> Self {
        let name = name.into();
        Self { condition, name }
    }

    /// A metric at this checkpoint.
    pub fn metric(&self, metric: impl Into<MetricName>) -> MeasurementId {
        MeasurementId {
            checkpoint: self.clone(),
            metric: metric.into(),
        }
    }
}

/// A metric at a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MeasurementId {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// The metric.
    pub metric: MetricName,
}

/// A headline group: a title, and the conditions whose checkpoints are the rows of its table.
#[derive(Clone, Debug)]
pub struct HeadlineGroup {
    /// Its title.
    pub title: String,
    /// The condition that represents the group, if any run belongs to it.
    pub condition: Option<ConditionId>,
    /// The supervised fine-tuning condition of the same regime, if there is one.
    pub sft_condition: Option<ConditionId>,
}

/// The data of a report with its runs grouped.
#[derive(Clone, Debug)]
pub struct Analysis<'f> {
    /// The data.
    pub data: &'f ReportData,
    /// The metrics of the main columns.
    pub metric_columns: MetricColumns,
    /// Axis paths in order of first appearance.
    pub axes: Vec<String>,
    /// The value label that others are compared with, for each axis.
    pub baseline: BTreeMap<String, String>,
    /// Axis paths that define a regime.
    pub regime_axes: Vec<String>,
    /// The runs of every condition, one per seed, in order of the expansion.
    conditions: Vec<Vec<&'f ReportRun>>,
    estimates: Memo<MeasurementId, Option<MeanEstimate>>,
    comparisons: Memo<(MeasurementId, MeasurementId), Option<PairedComparison>>,
}

impl<'f> Analysis<'f> {
    /// Groups the runs of an experiment.
    #[must_use]
    pub fn new(data: &'f ReportData) -> Self {
        let mut conditions: Vec<Vec<&'f ReportRun>> = Vec::new();
        let mut axes: Vec<String> = Vec::new();
        for run in &data.runs {
            match conditions.iter_mut().find(|runs| runs[0].axes == run.axes) {
                Some(runs) => runs.push(run),
                None => conditions.push(vec![run]),
            }
            for (path, _) in &run.axes {
                if !axes.contains(path) {
                    axes.push(path.clone());
                }
            }
        }
        let mut analysis = Self {
            data,
            metric_columns: MetricColumns::from_names(
                data.scores.values().flat_map(BTreeMap::keys),
            ),
            axes,
            baseline: BTreeMap::new(),
            regime_axes: Vec::new(),
            conditions,
            estimates: Memo::default(),
            comparisons: Memo::default(),
        };
        let regimes = data.options.regimes.clone();
        analysis.regime_axes = regimes.unwrap_or_else(|| analysis.regime_defining_axes());
        let axes = analysis.axes.iter();
        analysis.baseline = axes
            .map(|path| (path.clone(), analysis.most_common_value(path)))
            .chain(data.options.baseline.clone())
            .collect();
        analysis
    }

    /// Every condition, in order of the expansion.
    pub fn conditions(&self) -> impl DoubleEndedIterator<Item = ConditionId> + Clone + use<> {
        (0..self.conditions.len()).map(ConditionId)
    }

    /// The runs of a condition, one per seed.
    #[must_use]
    pub fn runs(&self, condition: ConditionId) -> &[&'f ReportRun] {
        &self.conditions[condition.0]
    }

    /// The names of all metrics with scores, some of them more than once.
    pub fn metric_names(&self) -> impl Iterator<Item = &'f MetricName> {
        self.data.scores.values().flat_map(BTreeMap::keys)
    }

    /// The axes that change the base model or the task: by their name, or because two conditions
    /// that differ in this axis alone differ in that part of their specification.
    fn regime_defining_axes(&self) -> Vec<String> {
        let axes = self.axes.iter().filter(|path| {
            let named = *path == "base" || *path == "task" || path.starts_with("task.");
            named || self.changes_base_or_task(path)
        });
        axes.cloned().collect()
    }

    fn changes_base_or_task(&self, path: &str) -> bool {
        let mut pairs = self
            .conditions()
            .flat_map(|a| self.conditions().take(a.0).map(move |b| (a, b)));
        pairs.any(|(a, b)| {
            let alone = self.axis_value(a, path) != self.axis_value(b, path)
                && self.count_equal_axes(a, b) + 1 == self.axes.len();
            let (a, b) = (&self.runs(a)[0].spec, &self.runs(b)[0].spec);
            alone
                && ["base", "task"]
                    .iter()
                    .any(|part| a.get(part) != b.get(part))
        })
    }

    /// The most common value of an axis over conditions trained by RISE; the earliest of equals.
    fn most_common_value(&self, path: &str) -> String {
        let rise = self.conditions().filter(|&id| !self.is_sft(id));
        let mut among: Vec<ConditionId> = rise.collect();
        if among.is_empty() {
            among.extend(self.conditions());
        }
        let mut counts: Vec<(String, usize)> = Vec::new();
        for value in among.iter().filter_map(|&id| self.axis_value(id, path)) {
            match counts.iter_mut().find(|(known, _)| *known == value) {
                Some((_, count)) => *count += 1,
                None => counts.push((value, 1)),
            }
        }
        // `max_by_key` returns the last of equals, hence the reversal.
        let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
        most.map(|(value, _)| value).unwrap_or_default()
    }

    /// The value label of a condition on an axis, or its setting of that path.
    #[must_use]
    pub fn axis_value(&self, condition: ConditionId, path: &str) -> Option<String> {
        let run = self.runs(condition)[0];
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

    /// `axis = value` for the axes on which a condition has a value.
    pub fn named_axis_values<'p>(
        &self,
        condition: ConditionId,
        paths: impl IntoIterator<Item = &'p String>,
    ) -> Vec<String> {
        let named = paths.into_iter().filter_map(|path| {
            let value = self.axis_value(condition, path)?;
            Some(format!("{} = {value}", axis_short_name(path)))
        });
        named.collect()
    }

    /// The axes that do not define a regime.
    pub fn free_axes(&self) -> impl Iterator<Item = &String> {
        self.axes
            .iter()
            .filter(|path| !self.regime_axes.contains(path))
    }

    /// Whether a condition has another value than the baseline on an axis.
    #[must_use]
    pub fn differs_from_baseline(&self, condition: ConditionId, path: &str) -> bool {
        self.axis_value(condition, path).as_ref() != self.baseline.get(path)
    }

    /// Whether a condition is supervised fine-tuning rather than RISE.
    #[must_use]
    pub fn is_sft(&self, condition: ConditionId) -> bool {
        let run = self.runs(condition)[0];
        match run.spec.get("method").and_then(Value::as_str) {
            Some(method) => method == CheckpointName::SFT,
            None => run
                .checkpoints
                .iter()
                .any(|checkpoint| checkpoint.name == CheckpointName::SFT),
        }
    }

    /// The values that define a condition's regime.
    #[must_use]
    pub fn regime_values(&self, condition: ConditionId) -> Vec<Option<String>> {
        self.regime_axes
            .iter()
            .map(|path| self.axis_value(condition, path))
            .collect()
    }

    /// The name of a condition's regime; empty where the experiment has only one.
    #[must_use]
    pub fn regime_name(&self, condition: ConditionId) -> String {
        self.named_axis_values(condition, &self.regime_axes)
            .join(", ")
    }

    /// Whether a condition has the baseline's value on every axis but the excepted ones.
    #[must_use]
    pub fn matches_baseline(&self, condition: ConditionId, except: &[&str]) -> bool {
        let mut axes = self
            .axes
            .iter()
            .filter(|path| !except.contains(&path.as_str()));
        axes.all(|path| {
            self.axis_value(condition, path).is_none()
                || !self.differs_from_baseline(condition, path)
        })
    }

    /// On how many axes two conditions agree.
    fn count_equal_axes(&self, a: ConditionId, b: ConditionId) -> usize {
        self.axes
            .iter()
            .filter(|path| self.axis_value(a, path) == self.axis_value(b, path))
            .count()
    }

    /// The condition that represents a regime: RISE at the baseline, or the nearest to it.
    #[must_use]
    pub fn representative(&self, candidates: &[ConditionId]) -> Option<ConditionId> {
        candidates.iter().copied().min_by_key(|&id| {
            let free = self.free_axes();
            let distance = free
                .filter(|path| self.differs_from_baseline(id, path))
                .count();
            (self.is_sft(id), distance, id)
        })
    }

    /// The supervised fine-tuning condition of the same regime that is most like this one.
    #[must_use]
    pub fn matching_sft(&self, condition: ConditionId) -> Option<ConditionId> {
        let others = self.conditions().filter(|&id| {
            self.is_sft(id)
                && self.regime_values(id) == self.regime_values(condition)
                && id != condition
        });
        others.max_by_key(|&id| (self.count_equal_axes(id, condition), Reverse(id)))
    }

    /// The conditions of every regime, in order of the expansion.
    #[must_use]
    pub fn conditions_by_regime(&self) -> Vec<Vec<ConditionId>> {
        let mut regimes: Vec<Vec<ConditionId>> = Vec::new();
        for id in self.conditions() {
            let values = self.regime_values(id);
            match regimes
                .iter_mut()
                .find(|members| self.regime_values(members[0]) == values)
            {
                Some(members) => members.push(id),
                None => regimes.push(vec![id]),
            }
        }
        regimes
    }

    /// The headline groups of the `[report]` table, or one per regime.
    #[must_use]
    pub fn headline_groups(&self) -> Vec<HeadlineGroup> {
        let headline = &self.data.options.headline;
        if headline.is_empty() {
            let regimes = self.conditions_by_regime().into_iter();
            let groups = regimes.map(|members| {
                let name = self.regime_name(members[0]);
                let title = if name.is_empty() {
                    "All problems".to_owned()
                } else {
                    name
                };
                self.headline_group(title, &members)
            });
            return groups.collect();
        }
        let groups = headline.iter().map(|group| {
            let members = self.conditions().filter(|&id| {
                let mut values = group.selector.iter();
                values.all(|(path, label)| self.axis_value(id, path).as_ref() == Some(label))
            });
            self.headline_group(group.title_or_values(), &members.collect::<Vec<_>>())
        });
        groups.collect()
    }

    fn headline_group(&self, title: String, members: &[ConditionId]) -> HeadlineGroup {
        let condition = self.representative(members);
        HeadlineGroup {
            title,
            condition,
            sft_condition: condition
                .filter(|&id| !self.is_sft(id))
                .and_then(|id| self.matching_sft(id)),
        }
    }

    /// The scored checkpoints of a headline group; that of supervised fine-tuning comes last.
    #[must_use]
    pub fn group_checkpoints(&self, group: &HeadlineGroup) -> Vec<CheckpointId> {
        let Some(condition) = group.condition else {
            return Vec::new();
        };
        let mut checkpoints = self.scored_checkpoints(condition);
        checkpoints.extend(group.sft_condition.and_then(|id| self.sft_checkpoint(id)));
        checkpoints
    }

    /// The supervised fine-tuning of a condition, if it has scores.
    #[must_use]
    pub fn sft_checkpoint(&self, condition: ConditionId) -> Option<CheckpointId> {
        self.scored_checkpoint(condition, CheckpointName::SFT)
    }

    /// A condition's checkpoint of this name, if it has scores.
    #[must_use]
    pub fn scored_checkpoint(&self, condition: ConditionId, name: &str) -> Option<CheckpointId> {
        let checkpoints = self.scored_checkpoints(condition);
        checkpoints.into_iter().find(|known| known.name == name)
    }

    /// A condition's checkpoints that have scores for at least one seed, in order.
    #[must_use]
    pub fn scored_checkpoints(&self, condition: ConditionId) -> Vec<CheckpointId> {
        let mut found: Vec<CheckpointId> = Vec::new();
        for checkpoint in self.evaluated_checkpoints(condition) {
            if self.has_scores(checkpoint)
                && found.iter().all(|known| known.name != checkpoint.name)
            {
                found.push(CheckpointId::new(condition, &checkpoint.name));
            }
        }
        found
    }

    /// The evaluated checkpoints of all runs of a condition.
    pub fn evaluated_checkpoints(
        &self,
        condition: ConditionId,
    ) -> impl Iterator<Item = &'f EvaluatedCheckpoint> {
        self.runs(condition).iter().flat_map(|run| &run.checkpoints)
    }

    fn has_scores(&self, checkpoint: &EvaluatedCheckpoint) -> bool {
        let scores = self.data.scores.get(&checkpoint.evaluation);
        scores.is_some_and(|scores| !scores.is_empty())
    }

    /// The last checkpoint of a condition, once some seed of it is finished.
    #[must_use]
    pub fn last_checkpoint(&self, condition: ConditionId) -> Option<CheckpointId> {
        let mut complete = self
            .runs(condition)
            .iter()
            .filter(|run| run.status == Status::Done);
        let last = complete.find_map(|run| run.checkpoints.iter().rfind(|c| self.has_scores(c)))?;
        Some(CheckpointId::new(condition, &last.name))
    }

    /// The finished evaluations of the checkpoints in headline tables, each once.
    #[must_use]
    pub fn headline_evaluations(&self) -> Vec<Key> {
        let groups = self.headline_groups().into_iter();
        let conditions = groups.flat_map(|group| [group.condition, group.sft_condition]);
        let mut evaluations: Vec<Key> = conditions
            .flatten()
            .flat_map(|condition| self.evaluated_checkpoints(condition))
            .filter(|checkpoint| self.has_scores(checkpoint))
            .map(|checkpoint| checkpoint.evaluation.clone())
            .collect();
        evaluations.sort_unstable();
        evaluations.dedup();
        evaluations
    }

    /// A condition's axis values, without the seed.
    #[must_use]
    pub fn condition_name(&self, condition: ConditionId) -> String {
        let axes = self.runs(condition)[0].axes.iter();
        axes.map(|(path, label)| format!("{path}={label}"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The evaluations with dialogues to show: the last checkpoint of each headline group at its
    /// first finished seed.
    #[must_use]
    pub fn dialogue_sources(&self) -> Vec<Key> {
        self.headline_groups()
            .iter()
            .filter_map(|group| self.dialogue_source(group.condition?))
            .collect()
    }

    /// The evaluation whose episodes represent a condition.
    #[must_use]
    pub fn dialogue_source(&self, condition: ConditionId) -> Option<Key> {
        let last = self.last_checkpoint(condition)?;
        self.evaluated_checkpoints(condition)
            .find(|c| c.name == last.name && self.has_scores(c))
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
        let data = fixtures::sample_data();
        let analysis = Analysis::new(&data);
        assert_eq!(analysis.conditions().count(), 5);
        assert_eq!(analysis.runs(ConditionId(0)).len(), 2);
        let regimes = [vec![0, 1, 2], vec![3, 4]];
        assert_eq!(
            analysis.conditions_by_regime(),
            regimes.map(|ids| ids.into_iter().map(ConditionId).collect::<Vec<_>>())
        );
        assert_eq!(analysis.regime_name(ConditionId(3)), "base = strong");
    }

    #[test]
    fn a_group_is_its_regimes_baseline_beside_its_sft_row() {
        let data = fixtures::sample_data();
        let analysis = Analysis::new(&data);
        assert_eq!(analysis.baseline["weighting"], "exp(0.4)");
        let groups = analysis.headline_groups();
        assert_eq!(
            (groups[0].condition, groups[0].sft_condition),
            (Some(ConditionId(0)), Some(ConditionId(2)))
        );
        assert_eq!(
            (groups[1].condition, groups[1].sft_condition),
            (Some(ConditionId(3)), Some(ConditionId(4)))
        );
        assert_eq!(
            analysis.last_checkpoint(ConditionId(0)).unwrap().name,
            "round 2"
        );
    }

    #[test]
    fn wishes_choose_groups_and_a_group_without_runs_stays_visible() {
        let mut data = fixtures::sample_data();
        data.options = serde_json::from_value(serde_json::json!({ "headline": [
                { "title": "Uniform", "where": { "weighting": "uniform" } },
                { "title": "Nothing", "where": { "base": "huge" } },
            ] }))
        .unwrap();
        let analysis = Analysis::new(&data);
        let groups = analysis.headline_groups();
        assert_eq!(groups[0].condition, Some(ConditionId(1)));
        assert_eq!(
            (groups[1].condition, groups[1].title.as_str()),
            (None, "Nothing")
        );
    }

    #[test]
    fn an_axis_of_any_name_that_changes_the_base_or_the_task_makes_regimes() {
        let mut data = fixtures::sample_data();
        for run in &mut data.runs {
            run.axes[0].0 = "regime".to_owned();
        }
        assert_eq!(Analysis::new(&data).regime_axes, ["regime"]);
        data.options.regimes = Some(vec!["method".to_owned()]);
        assert_eq!(Analysis::new(&data).regime_axes, ["method"]);
    }

    #[test]
    fn a_run_without_scores_is_missing_not_zero() {
        let mut data = fixtures::sample_data();
        data.scores.clear();
        let analysis = Analysis::new(&data);
        assert!(analysis.scored_checkpoints(ConditionId(0)).is_empty());
        let round = CheckpointId::new(ConditionId(0), "round 2");
        assert_eq!(analysis.estimate(&round.metric("m1@t5")), None);
    }
}
