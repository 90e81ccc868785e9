//! From claims and the runs of their experiments to verdicts.
//!
//! Responsible for pairing both sides on the same problems, for the family over which p values are
//! corrected (all claims and regimes of a row), and for telling what is missing. The arithmetic is
//! `stats::claim`.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::Key;
use crate::report::{EQUAL_TOKENS, Frame, Run, SHORT, Study, Unit};
use crate::spec::{Fault, SpecError};
use crate::stats::{Estimate, Panel, Row as Scores, Ruling, Stakes, Tested, Whole, holm};
use crate::store::Status;

use super::choice::{self, Regime};
use super::claim::{Claim, Quantity, Rival};
use super::matrix::ROWS;
use super::outcome::{
    Experiment, Opposite, Outcome, Part, Row, RunBehind, Settled, Side, VERSION, Verdict, Verdicts,
};
use super::words;

/// What is of interest where a claim about fractions does not say: two points.
const WORTH: f64 = 2.0;

/// Settles every claim; `frames` holds the experiments that are in the store, by name. Claims about others
/// are as in the `earlier` report, if it has settled the same comparison; p values are corrected anew.
///
/// # Errors
/// If a claim names an axis, a value, a checkpoint or a metric that its experiment does not have, means
/// several settings, or compares different problems: all such faults, with their places.
pub fn settle(
    claims: &[Claim],
    frames: &BTreeMap<String, Frame>,
    earlier: Option<&Verdicts>,
) -> Result<Verdicts, SpecError> {
    let studies: BTreeMap<&str, Study<'_>> =
        frames.iter().map(|(name, frame)| (name.as_str(), Study::of(frame))).collect();
    let (mut settled, mut faults): (Vec<(&Claim, Drafted)>, Vec<Fault>) = (Vec::new(), Vec::new());
    for claim in claims {
        let kept = || earlier.and_then(|earlier| kept(claim, earlier));
        let study = studies.get(claim.experiment.as_str());
        match drafted(claim, study, &|| kept().unwrap_or_else(|| absent(claim, frames))) {
            Ok(draft) => settled.push((claim, draft)),
            Err(more) => faults.extend(more),
        }
    }
    if !faults.is_empty() {
        return Err(SpecError::Faulty(faults));
    }
    let row = |(id, title): (&str, &str)| {
        let mut claims: Vec<Drafted> =
            settled.iter().filter(|(claim, _)| claim.row == id).map(|(_, draft)| draft.clone()).collect();
        correct(&mut claims);
        let claims = claims.into_iter().map(|draft| draft.settled).collect();
        Row { id: id.to_owned(), title: title.to_owned(), claims }
    };
    let names: BTreeSet<&str> = claims.iter().map(|claim| claim.experiment.as_str()).collect();
    Ok(Verdicts {
        version: VERSION,
        rows: ROWS.into_iter().map(row).collect(),
        experiments: names.into_iter().map(|name| experiment(name, frames.get(name), earlier)).collect(),
    })
}

fn experiment(name: &str, frame: Option<&Frame>, earlier: Option<&Verdicts>) -> Experiment {
    let before = earlier.into_iter().flat_map(|earlier| &earlier.experiments);
    let before =
        before.filter(|known| known.name == name && (known.known || known.kept)).find(|_| frame.is_none());
    if let Some(before) = before {
        return Experiment { known: false, kept: true, ..before.clone() };
    }
    let count = |wanted: &str| {
        frame.map_or(0, |frame| frame.runs.iter().filter(|run| state(run.status) == wanted).count())
    };
    Experiment {
        name: name.to_owned(),
        known: frame.is_some(),
        done: count("done"),
        failed: count("failed"),
        missing: count("missing"),
        kept: false,
    }
}

/// A claim before p values are corrected over its row: with each outcome goes what it comes to.
#[derive(Clone)]
struct Drafted {
    settled: Settled,
    wholes: Vec<Option<Whole>>,
}

/// Corrects the p values of a row, and gives the verdicts that hold with them.
fn correct(claims: &mut [Drafted]) {
    let wholes = claims.iter().flat_map(|claim| &claim.wholes).flatten();
    let mut corrected = holm(&wholes.map(|whole| whole.p).collect::<Vec<_>>()).into_iter();
    for Drafted { settled, wholes } in claims {
        for (outcome, whole) in settled.outcomes.iter_mut().zip(wholes) {
            let Some((whole, corrected)) = whole.and_then(|whole| Some((whole, corrected.next()?))) else {
                continue;
            };
            outcome.verdict = whole.ruling(corrected).into();
            (outcome.p, outcome.corrected) = (Some(whole.p), Some(corrected));
            outcome.decisive = whole.decisive;
        }
    }
}

fn drafted(
    claim: &Claim,
    study: Option<&Study<'_>>,
    otherwise: &dyn Fn() -> Drafted,
) -> Result<Drafted, Vec<Fault>> {
    let Some(study) = study else { return Ok(otherwise()) };
    let faults = choice::faults(claim, study);
    if !faults.is_empty() {
        return Err(faults);
    }
    let case = Case::of(claim, study).map_err(|fault| vec![fault])?;
    let (mut outcomes, mut wholes) = (Vec::new(), Vec::new());
    for regime in choice::regimes(claim, study) {
        let parts = (0..claim.right.len()).map(|at| case.part(&regime, at)).collect::<Result<Vec<_>, _>>();
        let parts = parts.map_err(|fault| vec![fault])?;
        wholes.push(whole(&parts, &case.stakes));
        outcomes.push(untested(regime, parts));
    }
    Ok(Drafted { settled: case.settled(outcomes), wholes })
}

/// An outcome of which nothing is known yet; the first part that lacks something speaks for it.
fn untested(regime: Regime, parts: Vec<Part>) -> Outcome {
    let decisive = parts.iter().position(|part| part.missing.is_some()).unwrap_or(0);
    Outcome { regime, verdict: Verdict::NotRun, p: None, corrected: None, decisive, parts }
}

/// What the parts come to; none where one that was not run could change it.
fn whole(parts: &[Part], stakes: &Stakes) -> Option<Whole> {
    let (places, tested): (Vec<usize>, Vec<Tested>) =
        parts.iter().enumerate().filter_map(|(at, part)| Some((at, part.tested.clone()?))).unzip();
    let whole = Whole::of(&tested, stakes)?;
    let complete = tested.len() == parts.len() || whole.by_interval == Ruling::Fails;
    complete.then(|| Whole { decisive: places[whole.decisive], ..whole })
}

/// A claim as an earlier report settled it, if it was the same comparison for the same stakes.
fn kept(claim: &Claim, earlier: &Verdicts) -> Option<Drafted> {
    let before = earlier.claim(&claim.id)?;
    let unit = words::unit(before);
    let worth = claim.worth.unwrap_or(WORTH);
    let now = settled(claim, unit, worth, before.outcomes.clone());
    let asked = |claim: &Settled| (claim.compared.clone(), claim.experiment.clone(), claim.unit.clone());
    let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
    let same = asked(&now) == asked(before) && now.direction == before.direction;
    if !same || !close(now.margin, before.margin) || !close(now.worth, before.worth) {
        return None;
    }
    let stakes = stakes(claim, unit, worth);
    let wholes = before.outcomes.iter().map(|outcome| whole(&outcome.parts, &stakes)).collect();
    Some(Drafted { settled: now, wholes })
}

/// A claim's stakes in the unit of the scores.
fn stakes(claim: &Claim, unit: Unit, worth: f64) -> Stakes {
    let scaled = |number: f64| number / unit.scale();
    Stakes { direction: claim.direction, margin: scaled(claim.margin), worth: scaled(worth) }
}

/// A claim whose experiment is not in the store.
fn absent(claim: &Claim, frames: &BTreeMap<String, Frame>) -> Drafted {
    let meant = crate::spec::nearest(&claim.experiment, frames.keys().map(String::as_str));
    let hint = meant.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
    let why = format!("experiment `{}` is not in this store{hint}", claim.experiment);
    let part = |right: &Rival| Part {
        left: asked(&claim.left, &Vec::new()),
        right: match right {
            Rival::Number(number) => Opposite::Number(*number),
            Rival::Quantity(quantity) => Opposite::Measured(asked(quantity, &Vec::new())),
        },
        tested: None,
        missing: Some(why.clone()),
        caution: None,
    };
    let outcome = untested(Vec::new(), claim.right.iter().map(part).collect());
    let settled =
        settled(claim, Unit::of_metric(&claim.left.metric), claim.worth.unwrap_or(WORTH), vec![outcome]);
    Drafted { settled, wholes: vec![None] }
}

fn asked(quantity: &Quantity, regime: &Regime) -> Side {
    let own = quantity.cells.iter().map(|(axis, value)| (axis.clone(), value.clone()));
    let regime = regime.iter().filter(|(axis, _)| !quantity.cells.contains_key(axis)).cloned();
    Side {
        selection: own.chain(regime).collect(),
        checkpoint: quantity.checkpoint.clone(),
        metric: words::metric(quantity),
        estimate: None,
        runs: Vec::new(),
    }
}

fn settled(claim: &Claim, unit: Unit, worth: f64, outcomes: Vec<Outcome>) -> Settled {
    Settled {
        id: claim.id.clone(),
        statement: claim.statement.clone(),
        source: claim.source.clone(),
        population: claim.population.clone(),
        experiment: claim.experiment.clone(),
        compared: words::compared(claim, unit),
        direction: claim.direction,
        margin: claim.margin,
        worth,
        unit: unit.words().to_owned(),
        outcomes,
    }
}

/// A claim beside the runs of its experiment.
struct Case<'c> {
    claim: &'c Claim,
    study: &'c Study<'c>,
    unit: Unit,
    worth: f64,
    stakes: Stakes,
}

/// A side that was looked for.
struct Found {
    side: Side,
    setting: Option<usize>,
    panel: Panel,
    missing: Option<String>,
}

impl<'c> Case<'c> {
    fn of(claim: &'c Claim, study: &'c Study<'c>) -> Result<Self, Fault> {
        let unit = study.unit(&claim.left.metric);
        let other = |metric: &&String| study.unit(metric) != unit;
        let complaint = |metric: &String| {
            let (own, other) = (unit.words(), study.unit(metric).words());
            format!("`{}` is counted in {own} and `{metric}` in {other}", claim.left.metric)
        };
        if let Some(over) = claim.left.over.as_ref().filter(other) {
            return Err(claim.written.fault(&["left", "over"], complaint(over)));
        }
        for (at, right) in claim.right.iter().enumerate() {
            let Rival::Quantity(right) = right else { continue };
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
        Ok(Self { claim, study, unit, worth, stakes: stakes(claim, unit, worth) })
    }

    fn settled(&self, outcomes: Vec<Outcome>) -> Settled {
        settled(self.claim, self.unit, self.worth, outcomes)
    }

    /// The comparison with the `at`-th thing on the right.
    fn part(&self, regime: &Regime, at: usize) -> Result<Part, Fault> {
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
            let complaint = "left and right were measured on different problems, so nothing can be paired";
            return Err(fault_at(claim, at, complaint)
                .hint("compare what has the same `task`, `data` and `evaluate` settings."));
        }
        let differences = left.panel.minus(&right.panel);
        let reach = if claim.left.over.is_some() || rival.over.is_some() { 2.0 } else { 1.0 };
        let tested = missing.is_none().then(|| self.tested(&differences, (-reach, reach)));
        let tested = tested.flatten();
        let missing = missing.or_else(|| tested.is_none().then(|| NO_COMMON.to_owned()));
        let caution = self.cut_short(&right, rival).or_else(|| self.cut_short(&left, &claim.left));
        Ok(Part { left: left.side, right: Opposite::Measured(right.side), tested, missing, caution })
    }

    /// On how many problems a vote at equal tokens could have had more samples than were drawn.
    fn cut_short(&self, found: &Found, quantity: &Quantity) -> Option<String> {
        let at = found.setting.filter(|_| quantity.metric == EQUAL_TOKENS)?;
        let short = self.study.estimate(at, &found.side.checkpoint, SHORT)?.value;
        (short > 0.0).then(|| {
            let share = Unit::Fraction.number(short);
            format!("`{EQUAL_TOKENS}` has fewer samples than it could afford on {share} % of the problems")
        })
    }

    fn beside_number(&self, left: Found, number: f64) -> Part {
        let scaled = number / self.unit.scale();
        let least = if self.claim.left.over.is_some() { -1.0 } else { 0.0 };
        let above = |row: &Scores| Scores {
            scores: row.scores.iter().map(|(problem, score)| (*problem, score - scaled)).collect(),
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
        Tested::of(differences, &self.stakes, (self.unit == Unit::Fraction).then_some(bounds))
    }

    /// The runs, checkpoint and scores that a quantity means; the complaint where several settings fit.
    fn found(&self, quantity: &Quantity, regime: &Regime, beside: Option<usize>) -> Result<Found, String> {
        let mut side = asked(quantity, regime);
        let none =
            |side, missing| Found { side, setting: None, panel: Panel::default(), missing: Some(missing) };
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
        let panel =
            checkpoint.as_ref().map_or_else(|_| Panel::default(), |name| self.panel(at, name, quantity));
        side.runs = runs.iter().map(|run| behind(run, &panel)).collect();
        let scored = panel.0.iter().any(|row| !row.scores.is_empty());
        let broken = words::broken(&side.runs);
        let missing = match checkpoint {
            Err(why) if broken.is_empty() => Some(why),
            Err(why) => Some(format!("{why}; {broken}")),
            Ok(_) if scored => None,
            Ok(_) if broken.is_empty() => {
                Some(format!("no scores of `{}` at `{}`", side.metric, side.checkpoint))
            }
            Ok(_) => Some(broken),
        };
        side.estimate = match &quantity.over {
            None => self.study.estimate(at, &side.checkpoint, &quantity.metric),
            Some(_) => Estimate::of(&panel),
        };
        Ok(Found { side, setting: Some(at), panel, missing })
    }

    /// A metric by seed and problem, or what it gains over another one.
    fn panel(&self, setting: usize, checkpoint: &str, quantity: &Quantity) -> Panel {
        let of = |metric: &String| self.study.panel(setting, checkpoint, metric);
        let panel = of(&quantity.metric);
        quantity.over.as_ref().map_or_else(|| panel.clone(), |over| panel.minus(&of(over)))
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
        let runs = found.setting.into_iter().flat_map(|at| &self.study.settings[at].runs);
        let checkpoints = runs.flat_map(|run| &run.checkpoints);
        checkpoints.filter(|c| c.name == found.side.checkpoint).map(|c| &c.evaluation)
    }

    fn prepared(&self, found: &Found) -> BTreeSet<&Key> {
        let frame = self.study.frame;
        let prepared =
            |key: &&Key| frame.stages.iter().any(|stage| stage.key == **key && stage.kind == "prepare");
        let inputs = self.evaluations(found).filter_map(|evaluation| frame.inputs.get(evaluation));
        inputs.flatten().filter(prepared).collect()
    }

    fn asked(&self, found: &Found) -> BTreeSet<u32> {
        let scores = self.evaluations(found).filter_map(|evaluation| self.study.frame.scores.get(evaluation));
        scores.flat_map(|scores| scores.values()).flatten().map(|(problem, _)| *problem).collect()
    }
}

const AMBIGUOUS: &str = "name a value in `where`, or settle the claim `per` that axis.";
const NO_COMMON: &str = "left and right have scores of no problem in common";

fn fault_at(claim: &Claim, at: usize, complaint: impl Into<String>) -> Fault {
    let steps = claim.right_steps(at);
    claim.written.fault(&steps.iter().map(String::as_str).collect::<Vec<_>>(), complaint)
}

fn behind(run: &Run, panel: &Panel) -> RunBehind {
    RunBehind {
        key: run.key.as_str().to_owned(),
        label: run.label.clone(),
        seed: run.seed,
        state: state(run.status).to_owned(),
        scored: panel.0.iter().any(|row| row.seed == run.seed && !row.scores.is_empty()),
        error: run.error.clone().filter(|_| run.status == Status::Failed),
    }
}

/// A run's state as a report sees it.
const fn state(status: Status) -> &'static str {
    match status {
        Status::Done => "done",
        Status::Failed => "failed",
        Status::Queued | Status::Running | Status::Interrupted => "missing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::ClaimsFile;
    use crate::claims::render::{render, runs};
    use crate::report::sample;
    use crate::spec::Located;
    use crate::store::StageRow;

    const CLAIM: &str = r#"
[[claim]]
id = "improves"
row = "E1"
statement = "RISE improves over its own turns."
source = "Table 1, caption"
experiment = "ablations"
left = { where = { method = "rise" }, metric = "m1@t5" }
right = { metric = "m1@t1" }
per = ["base"]
"#;

    fn claims(text: &str) -> Vec<Claim> {
        ClaimsFile::of(&Located::text("claims.toml", text).unwrap()).unwrap().claims
    }

    fn frames(frame: Frame) -> BTreeMap<String, Frame> {
        BTreeMap::from([(frame.name.clone(), frame)])
    }

    fn settled_on(frame: Frame, text: &str) -> Verdicts {
        settle(&claims(text), &frames(frame), None).unwrap()
    }

    fn told(frame: Frame, text: &str) -> String {
        settle(&claims(text), &frames(frame), None).unwrap_err().to_string()
    }

    #[test]
    fn an_experiment_that_is_no_longer_in_the_store_keeps_its_verdicts() {
        let before = settled_on(sample::frame(), CLAIM);
        let read: Verdicts = serde_json::from_str(&before.json()).unwrap();
        let kept = settle(&claims(CLAIM), &BTreeMap::new(), Some(&read)).unwrap();
        let words = |verdicts: &Verdicts| -> Vec<Verdict> {
            verdicts.rows[0].claims[0].outcomes.iter().map(|outcome| outcome.verdict).collect()
        };
        assert_eq!(words(&kept), words(&before));
        assert!(words(&kept).iter().all(|&verdict| verdict != Verdict::NotRun));
        assert_eq!(read.as_written(), read, "what is written and read stays as it is");
        let standing = &kept.experiments[0];
        assert_eq!((standing.known, standing.kept, standing.done), (false, true, before.experiments[0].done));
        // What stands in the store is settled by the store, and kept verdicts can be kept again.
        let again = settle(&claims(CLAIM), &frames(sample::frame()), Some(&kept)).unwrap();
        assert_eq!(again, before);
        assert_eq!(settle(&claims(CLAIM), &BTreeMap::new(), Some(&kept)).unwrap(), kept);
    }

    #[test]
    fn a_claim_that_reads_otherwise_than_before_is_not_run() {
        let before = settled_on(sample::frame(), CLAIM);
        for other in [
            CLAIM.replace("m1@t1", "m5@t1"),
            format!("{CLAIM}margin = 1\n"),
            format!("{CLAIM}worth = 3\n"),
            format!("{CLAIM}direction = \"below\"\n"),
            CLAIM.replace("ablations", "others"),
        ] {
            let now = settle(&claims(&other), &BTreeMap::new(), Some(&before)).unwrap();
            assert_eq!(first(&now).verdict, Verdict::NotRun, "{other}");
        }
    }

    #[test]
    fn more_claims_in_a_row_correct_what_was_kept_anew() {
        let before = settled_on(sample::frame(), CLAIM);
        let two = format!("{CLAIM}{}", CLAIM.replace("improves\"", "improves-more\""));
        let both: Verdicts = settle(&claims(&two), &frames(sample::frame()), None).unwrap();
        let kept = settle(&claims(&two), &BTreeMap::new(), Some(&both)).unwrap();
        let corrected = |verdicts: &Verdicts| first(verdicts).corrected.unwrap();
        assert!((corrected(&kept) - corrected(&both)).abs() < 1e-9);
        assert!(corrected(&kept) >= corrected(&before));
    }

    fn first(verdicts: &Verdicts) -> &Outcome {
        let claims = verdicts.rows.iter().flat_map(|row| &row.claims);
        &claims.into_iter().next().expect("there is a claim").outcomes[0]
    }

    #[test]
    fn a_claim_is_settled_per_regime_with_the_numbers_of_the_report() {
        let verdicts = settled_on(sample::frame(), CLAIM);
        let outcomes = &verdicts.rows[0].claims[0].outcomes;
        let words: Vec<String> = outcomes
            .iter()
            .map(|outcome| format!("{}: {}", outcome.regime(), outcome.verdict.word()))
            .collect();
        assert_eq!(words, ["base = weak: holds", "base = strong: holds"]);
        // The sample's report says: 25.8 points [18.3, 34.2] above the same model's first turn.
        let part = outcomes[0].decisive().unwrap();
        let unit = Unit::Fraction;
        assert_eq!(words::difference(part, unit), "+25.8 [18.3, 34.2]");
        // The axis that is named nowhere is at the baseline, and both seeds are behind the number.
        assert!(part.left.selection.contains(&("weighting".to_owned(), "exp(0.4)".to_owned())));
        assert_eq!((part.left.checkpoint.as_str(), runs(part).len()), ("round 2", 2));
        assert_eq!(words::seeds(part, unit), "2/2, sd 13.0");
        assert!(outcomes.iter().all(|outcome| outcome.corrected >= outcome.p));
    }

    #[test]
    fn every_row_is_there_and_the_whole_survives_its_file() {
        let verdicts = settled_on(sample::frame(), CLAIM);
        assert_eq!(verdicts.rows.len(), 16);
        let back: Verdicts = serde_json::from_str(&verdicts.json()).unwrap();
        assert_eq!(back.json(), verdicts.json());
        assert_eq!(render(&back).unwrap(), render(&verdicts).unwrap());
    }

    #[test]
    fn an_unseen_setting_a_failed_run_and_an_unknown_experiment_were_not_run() {
        let uniform = CLAIM.replace("method = \"rise\"", "weighting = \"uniform\", method = \"sft\"");
        let verdicts = settled_on(sample::frame(), &uniform);
        assert_eq!(first(&verdicts).verdict, Verdict::NotRun);
        let why = words::remarks(first(&verdicts)).concat();
        assert_eq!(why, "left: no run has method = sft, weighting = uniform, base = weak");
        let mut frame = sample::frame();
        for run in frame.runs.iter_mut().filter(|run| run.axes[0].1 == "weak") {
            run.status = Status::Failed;
            run.error = Some("no space left".to_owned());
        }
        let verdicts = settled_on(frame, CLAIM);
        assert_eq!(first(&verdicts).verdict, Verdict::NotRun);
        let why = words::remarks(first(&verdicts)).concat();
        assert!(
            why.starts_with("left: no run is finished; base=weak") && why.contains("failed: no space left"),
            "{why}"
        );
        let verdicts = settled_on(sample::frame(), &CLAIM.replace("\"ablations\"", "\"ablation\""));
        let why = words::remarks(first(&verdicts)).concat();
        assert_eq!(why, "experiment `ablation` is not in this store (did you mean `ablations`?)");
    }

    #[test]
    fn a_failed_seed_is_named_beside_the_verdict() {
        let mut frame = sample::frame();
        let evaluations: Vec<Key> = frame.runs[1].checkpoints.iter().map(|c| c.evaluation.clone()).collect();
        frame.scores.retain(|key, _| !evaluations.contains(key));
        frame.runs[1].status = Status::Failed;
        frame.runs[1].error = Some("no space left".to_owned());
        let verdicts = settled_on(frame, CLAIM);
        let outcome = first(&verdicts);
        assert_eq!(outcome.decisive().unwrap().tested.as_ref().unwrap().difference.seeds, 1);
        assert!(words::remarks(outcome).concat().contains("seed=1"), "{:?}", words::remarks(outcome));
    }

    #[test]
    fn several_rivals_all_have_to_be_beaten_and_the_worst_one_decides() {
        let both = CLAIM
            .replace("right = { metric", "right = [{ metric = \"m1@t1\" }, { checkpoint = \"base\" }] # {");
        let verdicts = settled_on(sample::frame(), &both);
        let outcome = first(&verdicts);
        assert_eq!((outcome.verdict, outcome.parts.len(), outcome.decisive), (Verdict::Holds, 2, 0));
        // One that is missing leaves the whole open, unless another one fails.
        let gone = CLAIM
            .replace("right = { metric", "right = [{ metric = \"m1@t1\" }, { checkpoint = \"sft\" }] # {");
        let verdicts = settled_on(sample::frame(), &gone);
        assert_eq!(first(&verdicts).verdict, Verdict::NotRun);
        assert!(
            words::remarks(first(&verdicts))
                .concat()
                .contains("no checkpoint `sft` (they have base, round 1, round 2)")
        );
        let failing = gone
            .replace("\"m1@t1\" }, {", "\"m1@t5\", checkpoint = \"last\" }, {")
            .replace("per =", "direction = \"below\"\nmargin = 5\nper =");
        assert_eq!(first(&settled_on(sample::frame_of(500), &failing)).verdict, Verdict::Fails);
    }

    #[test]
    fn a_number_may_stand_on_the_right() {
        let above = CLAIM.replace("right = { metric = \"m1@t1\" }", "right = 50");
        let verdicts = settled_on(sample::frame(), &above);
        // 76.7 % [69.2, 83.3] in the sample's report.
        assert_eq!(
            words::difference(first(&verdicts).decisive().unwrap(), Unit::Fraction),
            "+26.7 [19.2, 33.3]"
        );
        assert_eq!(first(&verdicts).verdict, Verdict::Holds);
    }

    #[test]
    fn gains_may_be_compared_with_gains() {
        let gain = CLAIM
            .replace("metric = \"m1@t5\"", "metric = \"m1@t5\", over = \"m1@t1\"")
            .replace("right = { metric = \"m1@t1\" }", "right = { checkpoint = \"base\" }");
        let verdicts = settled_on(sample::frame(), &gain);
        let part = first(&verdicts).decisive().unwrap();
        // +25.8 after round 2 and −6.7 of the base, in the sample's report.
        assert_eq!(part.left.metric, "m1@t5 − m1@t1");
        assert!(
            words::difference(part, Unit::Fraction).starts_with("+32.5 ["),
            "{}",
            words::difference(part, Unit::Fraction)
        );
    }

    #[test]
    fn names_that_do_not_exist_are_shown_where_they_are_written() {
        let change = |from: &str, to: &str| told(sample::frame(), &CLAIM.replace(from, to));
        insta::assert_snapshot!(change("{ method =", "{ metod ="), @r#"
        claims.toml:8:20: `claim[0].left.where.metod`: no run of `ablations` has an axis `metod`
          |
        8 | left = { where = { metod = "rise" }, metric = "m1@t5" }
          |                    ^^^^^
          = did you mean `method`?
          = valid here: `base`, `weighting`, `method`.
        "#);
        insta::assert_snapshot!(change("\"rise\"", "\"rice\""), @r#"
        claims.toml:8:29: `claim[0].left.where.method`: no run of `ablations` has `method` = `rice`
          |
        8 | left = { where = { method = "rice" }, metric = "m1@t5" }
          |                             ^^^^^^
          = did you mean `rise`?
          = valid here: `rise`, `sft`.
        "#);
        insta::assert_snapshot!(change("right = { metric = \"m1@t1\"", "right = { checkpoint = \"rond 2\""), @r#"
        claims.toml:9:24: `claim[0].right.checkpoint`: no run of `ablations` has a checkpoint `rond 2`
          |
        9 | right = { checkpoint = "rond 2" }
          |                        ^^^^^^^^
          = did you mean `round 2`?
          = valid here: `first`, `last`, `base`, `round 1`, `round 2`, `sft`.
        "#);
        insta::assert_snapshot!(change("\"m1@t1\"", "\"m1@t11\""), @r#"
            claims.toml:9:20: `claim[0].right.metric`: there is no metric `m1@t11` in this store
              |
            9 | right = { metric = "m1@t11" }
              |                    ^^^^^^^^
              = did you mean `m1@t1`?
              = valid here: `m1@t1`, `m1@t5`, `nll@t1`, `nll@t2`, `nll@t3`.
        "#);
        insta::assert_snapshot!(change("[\"base\"]", "[\"bas\"]"), @r#"
        claims.toml:10:8: `claim[0].per[0]`: no run of `ablations` has an axis `bas`
           |
        10 | per = ["bas"]
           |        ^^^^^
           = did you mean `base`?
           = valid here: `base`, `weighting`, `method`.
        "#);
        insta::assert_snapshot!(change("per = [\"base\"]", ""), @r#"
        claims.toml:8:8: `claim[0].left`: 3 settings fit, which differ in `base` (strong, weak) and `weighting` (exp(0.4), uniform)
          |
        8 | left = { where = { method = "rise" }, metric = "m1@t5" }
          |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = name a value in `where`, or settle the claim `per` that axis.
        "#);
    }

    #[test]
    fn different_problems_are_refused() {
        let mut frame = sample::frame();
        let sft: Vec<Key> = frame.runs[3].checkpoints.iter().map(|c| c.evaluation.clone()).collect();
        let stage = |name: &str| StageRow {
            key: Key::of(name),
            kind: "prepare".to_owned(),
            ..frame.stages[0].clone()
        };
        frame.stages.extend(["one", "other"].map(stage));
        for evaluation in frame.scores.keys() {
            let name = if sft.contains(evaluation) { "other" } else { "one" };
            frame.inputs.insert(evaluation.clone(), vec![Key::of(name)]);
        }
        let other = CLAIM.replace("right = {", "right = { where = { base = \"weak\", method = \"sft\" },");
        insta::assert_snapshot!(told(frame, &other), @r#"
        claims.toml:9:9: `claim[0].right`: left and right were measured on different problems, so nothing can be paired
          |
        9 | right = { where = { base = "weak", method = "sft" }, metric = "m1@t1" }
          |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = compare what has the same `task`, `data` and `evaluate` settings.
        "#);
    }

    #[test]
    fn a_unit_without_a_natural_size_needs_one() {
        let mut frame = sample::frame();
        frame.metrics.iter_mut().for_each(|metric| metric.unit = "nats".to_owned());
        insta::assert_snapshot!(told(frame.clone(), CLAIM), @r#"
        claims.toml:8:48: `claim[0].left.metric`: `m1@t5` is counted in nats, for which nothing is of interest by itself
          |
        8 | left = { where = { method = "rise" }, metric = "m1@t5" }
          |                                                ^^^^^^^
          = write worth = ..., in that unit.
        "#);
        frame.metrics[0].unit = "fraction".to_owned();
        insta::assert_snapshot!(told(frame, CLAIM), @r#"
        claims.toml:9:9: `claim[0].right`: `m1@t5` is counted in nats and `m1@t1` in points
          |
        9 | right = { metric = "m1@t1" }
          |         ^^^^^^^^^^^^^^^^^^^^
        "#);
    }
}
