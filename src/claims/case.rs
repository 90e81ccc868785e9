//! A claim beside the runs of its experiment: both sides, paired on the same problems.
//!
//! Responsible for finding runs, checkpoints and scores, and for telling what is missing. Hides panels; the
//! arithmetic is `stats::claim`.

use std::collections::BTreeSet;

use crate::domain::Key;
use crate::report::{EQUAL_TOKENS, Run, SHORT, Study, Unit};
use crate::spec::Fault;
use crate::stats::{Estimate, Panel, Row as Scores, Stakes, Tested};
use crate::store::Status;

use super::choice::{self, Regime};
use super::claim::{Claim, Quantity, Rival};
use super::draft::{self, WORTH, stakes};
use super::outcome::{Opposite, Outcome, Part, RunBehind, Settled, Side};
use super::words;

const AMBIGUOUS: &str = "name a value in `where`, or settle the claim `per` that axis.";
const NO_COMMON: &str = "left and right have scores of no problem in common";

/// A claim beside the runs of its experiment.
pub(super) struct Case<'c> {
    claim: &'c Claim,
    study: &'c Study<'c>,
    unit: Unit,
    worth: f64,
    pub stakes: Stakes,
}

/// A side that was looked for.
struct Found {
    side: Side,
    setting: Option<usize>,
    panel: Panel,
    missing: Option<String>,
}

impl<'c> Case<'c> {
    pub fn of(claim: &'c Claim, study: &'c Study<'c>) -> Result<Self, Fault> {
        let unit = study.unit(&claim.left.metric);
        let other = |metric: &&String| study.unit(metric) != unit;
        let complaint = |metric: &String| {
            let (own, other) = (unit.words(), study.unit(metric).words());
            format!(
                "`{}` is counted in {own} and `{metric}` in {other}",
                claim.left.metric
            )
        };
        if let Some(over) = claim.left.over.as_ref().filter(other) {
            return Err(claim.written.fault(&["left", "over"], complaint(over)));
        }
        for (at, right) in claim.right.iter().enumerate() {
            let Rival::Quantity(right) = right else {
                continue;
            };
            if let Some(metric) = [&right.metric].into_iter().chain(&right.over).find(other) {
                return Err(fault_at(claim, at, complaint(metric)));
            }
        }
        let Some(worth) = claim.worth.or((unit == Unit::Fraction).then_some(WORTH)) else {
            let complaint = format!(
                "`{}` is counted in {}, for which nothing is of interest by itself",
                claim.left.metric,
                unit.words()
            );
            return Err(claim
                .written
                .fault(&["left", "metric"], complaint)
                .hint("write worth = ..., in that unit."));
        };
        Ok(Self {
            claim,
            study,
            unit,
            worth,
            stakes: stakes(claim, unit, worth),
        })
    }

    pub fn settled(&self, outcomes: Vec<Outcome>) -> Settled {
        draft::settled(self.claim, self.unit, self.worth, outcomes)
    }

    /// The comparison with the `at`-th thing on the right.
    pub fn part(&self, regime: &Regime, at: usize) -> Result<Part, Fault> {
        let claim = self.claim;
        let left = self
            .found(&claim.left, regime, None)
            .map_err(|fault| claim.written.fault(&["left"], fault).hint(AMBIGUOUS))?;
        let rival = match &claim.right[at] {
            Rival::Number(number) => return Ok(self.beside_number(left, *number)),
            Rival::Quantity(quantity) => quantity,
        };
        let right = self
            .found(rival, regime, left.setting)
            .map_err(|fault| fault_at(claim, at, fault).hint(AMBIGUOUS))?;
        let missing = [("left", &left), ("right", &right)]
            .into_iter()
            .find_map(|(name, found)| Some(format!("{name}: {}", found.missing.as_ref()?)));
        if missing.is_none() && !self.same_problems(&left, &right) {
            let complaint =
                "left and right were measured on different problems, so nothing can be paired";
            return Err(fault_at(claim, at, complaint)
                .hint("compare what has the same `task`, `data` and `evaluate` settings."));
        }
        let differences = left.panel.minus(&right.panel);
        let reach = if claim.left.over.is_some() || rival.over.is_some() {
            2.0
        } else {
            1.0
        };
        let tested = missing
            .is_none()
            .then(|| self.tested(&differences, (-reach, reach)));
        let tested = tested.flatten();
        let missing = missing.or_else(|| tested.is_none().then(|| NO_COMMON.to_owned()));
        let caution = self
            .cut_short(&right, rival)
            .or_else(|| self.cut_short(&left, &claim.left));
        Ok(Part {
            left: left.side,
            right: Opposite::Measured(right.side),
            tested,
            missing,
            caution,
        })
    }

    /// On how many problems a vote at equal tokens could have had more samples than were drawn.
    fn cut_short(&self, found: &Found, quantity: &Quantity) -> Option<String> {
        let at = found.setting.filter(|_| quantity.metric == EQUAL_TOKENS)?;
        let short = self
            .study
            .estimate(at, &found.side.checkpoint, SHORT)?
            .value;
        (short > 0.0).then(|| {
            let share = Unit::Fraction.number(short);
            format!("`{EQUAL_TOKENS}` has fewer samples than it could afford on {share} % of the problems")
        })
    }

    fn beside_number(&self, left: Found, number: f64) -> Part {
        let scaled = number / self.unit.scale();
        let least = if self.claim.left.over.is_some() {
            -1.0
        } else {
            0.0
        };
        let above = |row: &Scores| Scores {
            scores: row
                .scores
                .iter()
                .map(|(problem, score)| (*problem, score - scaled))
                .collect(),
            ..row.clone()
        };
        let differences = Panel(left.panel.0.iter().map(above).collect());
        let tested = self.tested(&differences, (least - scaled, 1.0 - scaled));
        Part {
            left: left.side,
            right: Opposite::Number(number),
            tested,
            missing: left.missing,
            caution: None,
        }
    }

    fn tested(&self, differences: &Panel, bounds: (f64, f64)) -> Option<Tested> {
        Tested::of(
            differences,
            &self.stakes,
            (self.unit == Unit::Fraction).then_some(bounds),
        )
    }

    /// The runs, checkpoint and scores that a quantity means; the complaint where several settings fit.
    fn found(
        &self,
        quantity: &Quantity,
        regime: &Regime,
        beside: Option<usize>,
    ) -> Result<Found, String> {
        let mut side = draft::asked(quantity, regime);
        let none = |side, missing| Found {
            side,
            setting: None,
            panel: Panel::default(),
            missing: Some(missing),
        };
        let Some(at) = choice::setting(self.study, &quantity.cells, regime, beside)? else {
            let wanted = words::values(&side.selection);
            return Ok(none(side, format!("no run has {wanted}")));
        };
        let runs = &self.study.settings[at].runs;
        side.selection.clone_from(&runs[0].axes);
        let checkpoint = choice::checkpoint(self.study, at, &quantity.checkpoint);
        if let Ok(name) = &checkpoint {
            side.checkpoint.clone_from(name);
        }
        let panel = checkpoint
            .as_ref()
            .map_or_else(|_| Panel::default(), |name| self.panel(at, name, quantity));
        side.runs = runs.iter().map(|run| behind(run, &panel)).collect();
        let scored = panel.0.iter().any(|row| !row.scores.is_empty());
        let broken = words::broken(&side.runs);
        let missing = match checkpoint {
            Err(why) if broken.is_empty() => Some(why),
            Err(why) => Some(format!("{why}; {broken}")),
            Ok(_) if scored => None,
            Ok(_) if broken.is_empty() => Some(format!(
                "no scores of `{}` at `{}`",
                side.metric, side.checkpoint
            )),
            Ok(_) => Some(broken),
        };
        side.estimate = match &quantity.over {
            None => self.study.estimate(at, &side.checkpoint, &quantity.metric),
            Some(_) => Estimate::of(&panel),
        };
        Ok(Found {
            side,
            setting: Some(at),
            panel,
            missing,
        })
    }

    /// A metric by seed and problem, or what it gains over another one.
    fn panel(&self, setting: usize, checkpoint: &str, quantity: &Quantity) -> Panel {
        let of = |metric: &String| self.study.panel(setting, checkpoint, metric);
        let panel = of(&quantity.metric);
        quantity
            .over
            .as_ref()
            .map_or_else(|| panel.clone(), |over| panel.minus(&of(over)))
    }

    /// Whether both sides were asked the same problems: those of the same prepared stage, where the
    /// evaluations say so, and else any that have the same id.
    fn same_problems(&self, left: &Found, right: &Found) -> bool {
        let (a, b) = (self.prepared(left), self.prepared(right));
        if !a.is_empty() && !b.is_empty() {
            return !a.is_disjoint(&b);
        }
        let (a, b) = (self.asked(left), self.asked(right));
        !a.is_disjoint(&b)
    }

    fn evaluations<'a>(&'a self, found: &'a Found) -> impl Iterator<Item = &'a Key> {
        let runs = found
            .setting
            .into_iter()
            .flat_map(|at| &self.study.settings[at].runs);
        let checkpoints = runs.flat_map(|run| &run.checkpoints);
        checkpoints
            .filter(|c| c.name == found.side.checkpoint)
            .map(|c| &c.evaluation)
    }

    fn prepared(&self, found: &Found) -> BTreeSet<&Key> {
        let frame = self.study.frame;
        let prepared = |key: &&Key| {
            frame
                .stages
                .iter()
                .any(|stage| stage.key == **key && stage.kind == "prepare")
        };
        let inputs = self
            .evaluations(found)
            .filter_map(|evaluation| frame.inputs.get(evaluation));
        inputs.flatten().filter(prepared).collect()
    }

    fn asked(&self, found: &Found) -> BTreeSet<u32> {
        let scores = self
            .evaluations(found)
            .filter_map(|evaluation| self.study.frame.scores.get(evaluation));
        scores
            .flat_map(|scores| scores.values())
            .flatten()
            .map(|(problem, _)| *problem)
            .collect()
    }
}

fn fault_at(claim: &Claim, at: usize, complaint: impl Into<String>) -> Fault {
    let steps = claim.right_steps(at);
    claim.written.fault(
        &steps.iter().map(String::as_str).collect::<Vec<_>>(),
        complaint,
    )
}

fn behind(run: &Run, panel: &Panel) -> RunBehind {
    RunBehind {
        key: run.key.as_str().to_owned(),
        label: run.label.clone(),
        seed: run.seed,
        state: state(run.status).to_owned(),
        scored: panel
            .0
            .iter()
            .any(|row| row.seed == run.seed && !row.scores.is_empty()),
        error: run.error.clone().filter(|_| run.status == Status::Failed),
    }
}

/// A run's state as a report sees it.
pub(super) const fn state(status: Status) -> &'static str {
    match status {
        Status::Done => "done",
        Status::Failed => "failed",
        Status::Queued | Status::Running | Status::Interrupted => "missing",
    }
}
