//! From claims and the runs of their experiments to verdicts.
//!
//! Responsible for the family over which p values are corrected (all claims and regimes of a row). Must not
//! know how a comparison is made (`case`) or kept (`kept`).

use std::collections::{BTreeMap, BTreeSet};

use crate::report::{Frame, Study};
use crate::spec::{Fault, SpecError};
use crate::stats::holm;

use super::case::{Case, state};
use super::choice;
use super::claim::Claim;
use super::draft::{Drafted, absent, untested, whole};
use super::kept;
use super::matrix::ROWS;
use super::outcome::{Experiment, Row, VERSION, Verdicts};

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
    let studies: BTreeMap<&str, Study<'_>> = frames
        .iter()
        .map(|(name, frame)| (name.as_str(), Study::of(frame)))
        .collect();
    let (mut settled, mut faults): (Vec<(&Claim, Drafted)>, Vec<Fault>) = (Vec::new(), Vec::new());
    for claim in claims {
        let kept = || earlier.and_then(|earlier| kept::kept(claim, earlier));
        let study = studies.get(claim.experiment.as_str());
        match drafted(claim, study, &|| {
            kept().unwrap_or_else(|| absent(claim, frames))
        }) {
            Ok(draft) => settled.push((claim, draft)),
            Err(more) => faults.extend(more),
        }
    }
    if !faults.is_empty() {
        return Err(SpecError::Faulty(faults));
    }
    let row = |(id, title): (&str, &str)| {
        let mut claims: Vec<Drafted> = settled
            .iter()
            .filter(|(claim, _)| claim.row == id)
            .map(|(_, draft)| draft.clone())
            .collect();
        correct(&mut claims);
        let claims = claims.into_iter().map(|draft| draft.settled).collect();
        Row {
            id: id.to_owned(),
            title: title.to_owned(),
            claims,
        }
    };
    let names: BTreeSet<&str> = claims
        .iter()
        .map(|claim| claim.experiment.as_str())
        .collect();
    Ok(Verdicts {
        version: VERSION,
        rows: ROWS.into_iter().map(row).collect(),
        experiments: names
            .into_iter()
            .map(|name| experiment(name, frames.get(name), earlier))
            .collect(),
    })
}

fn experiment(name: &str, frame: Option<&Frame>, earlier: Option<&Verdicts>) -> Experiment {
    if let Some(before) = earlier
        .filter(|_| frame.is_none())
        .and_then(|earlier| kept::experiment(name, earlier))
    {
        return before;
    }
    let count = |wanted: &str| {
        frame.map_or(0, |frame| {
            frame
                .runs
                .iter()
                .filter(|run| state(run.status) == wanted)
                .count()
        })
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

/// Corrects the p values of a row, and gives the verdicts that hold with them.
fn correct(claims: &mut [Drafted]) {
    let wholes = claims.iter().flat_map(|claim| &claim.wholes).flatten();
    let mut corrected = holm(&wholes.map(|whole| whole.p).collect::<Vec<_>>()).into_iter();
    for Drafted { settled, wholes } in claims {
        for (outcome, whole) in settled.outcomes.iter_mut().zip(wholes) {
            let Some((whole, corrected)) = whole.and_then(|whole| Some((whole, corrected.next()?)))
            else {
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
    let Some(study) = study else {
        return Ok(otherwise());
    };
    let faults = choice::faults(claim, study);
    if !faults.is_empty() {
        return Err(faults);
    }
    let case = Case::of(claim, study).map_err(|fault| vec![fault])?;
    let (mut outcomes, mut wholes) = (Vec::new(), Vec::new());
    for regime in choice::regimes(claim, study) {
        let parts = (0..claim.right.len())
            .map(|at| case.part(&regime, at))
            .collect::<Result<Vec<_>, _>>();
        let parts = parts.map_err(|fault| vec![fault])?;
        wholes.push(whole(&parts, &case.stakes));
        outcomes.push(untested(regime, parts));
    }
    Ok(Drafted {
        settled: case.settled(outcomes),
        wholes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::outcome::Verdict;
    use crate::claims::render::{render, runs};
    use crate::claims::sample::{ONE as CLAIM, first, settled_on, told};
    use crate::claims::words;
    use crate::domain::Key;
    use crate::report::{Unit, sample};
    use crate::store::{StageRow, Status};

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
        assert!(
            part.left
                .selection
                .contains(&("weighting".to_owned(), "exp(0.4)".to_owned()))
        );
        assert_eq!(
            (part.left.checkpoint.as_str(), runs(part).len()),
            ("round 2", 2)
        );
        assert_eq!(words::seeds(part, unit), "2/2, sd 13.0");
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.corrected >= outcome.p)
        );
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
        let uniform = CLAIM.replace(
            "method = \"rise\"",
            "weighting = \"uniform\", method = \"sft\"",
        );
        let verdicts = settled_on(sample::frame(), &uniform);
        assert_eq!(first(&verdicts).verdict, Verdict::NotRun);
        let why = words::remarks(first(&verdicts)).concat();
        assert_eq!(
            why,
            "left: no run has method = sft, weighting = uniform, base = weak"
        );
        let mut frame = sample::frame();
        for run in frame.runs.iter_mut().filter(|run| run.axes[0].1 == "weak") {
            run.status = Status::Failed;
            run.error = Some("no space left".to_owned());
        }
        let verdicts = settled_on(frame, CLAIM);
        assert_eq!(first(&verdicts).verdict, Verdict::NotRun);
        let why = words::remarks(first(&verdicts)).concat();
        assert!(
            why.starts_with("left: no run is finished; base=weak")
                && why.contains("failed: no space left"),
            "{why}"
        );
        let verdicts = settled_on(
            sample::frame(),
            &CLAIM.replace("\"ablations\"", "\"ablation\""),
        );
        let why = words::remarks(first(&verdicts)).concat();
        assert_eq!(
            why,
            "experiment `ablation` is not in this store (did you mean `ablations`?)"
        );
    }

    #[test]
    fn a_failed_seed_is_named_beside_the_verdict() {
        let mut frame = sample::frame();
        let evaluations: Vec<Key> = frame.runs[1]
            .checkpoints
            .iter()
            .map(|c| c.evaluation.clone())
            .collect();
        frame.scores.retain(|key, _| !evaluations.contains(key));
        frame.runs[1].status = Status::Failed;
        frame.runs[1].error = Some("no space left".to_owned());
        let verdicts = settled_on(frame, CLAIM);
        let outcome = first(&verdicts);
        assert_eq!(
            outcome
                .decisive()
                .unwrap()
                .tested
                .as_ref()
                .unwrap()
                .difference
                .seeds,
            1
        );
        assert!(
            words::remarks(outcome).concat().contains("seed=1"),
            "{:?}",
            words::remarks(outcome)
        );
    }

    #[test]
    fn several_rivals_all_have_to_be_beaten_and_the_worst_one_decides() {
        let both = CLAIM.replace(
            "right = { metric",
            "right = [{ metric = \"m1@t1\" }, { checkpoint = \"base\" }] # {",
        );
        let verdicts = settled_on(sample::frame(), &both);
        let outcome = first(&verdicts);
        assert_eq!(
            (outcome.verdict, outcome.parts.len(), outcome.decisive),
            (Verdict::Holds, 2, 0)
        );
        // One that is missing leaves the whole open, unless another one fails.
        let gone = CLAIM.replace(
            "right = { metric",
            "right = [{ metric = \"m1@t1\" }, { checkpoint = \"sft\" }] # {",
        );
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
        assert_eq!(
            first(&settled_on(sample::frame_of(500), &failing)).verdict,
            Verdict::Fails
        );
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
            .replace(
                "right = { metric = \"m1@t1\" }",
                "right = { checkpoint = \"base\" }",
            );
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
        let sft: Vec<Key> = frame.runs[3]
            .checkpoints
            .iter()
            .map(|c| c.evaluation.clone())
            .collect();
        let stage = |name: &str| StageRow {
            key: Key::of(name),
            kind: "prepare".to_owned(),
            ..frame.stages[0].clone()
        };
        frame.stages.extend(["one", "other"].map(stage));
        for evaluation in frame.scores.keys() {
            let name = if sft.contains(evaluation) {
                "other"
            } else {
                "one"
            };
            frame.inputs.insert(evaluation.clone(), vec![Key::of(name)]);
        }
        let other = CLAIM.replace(
            "right = {",
            "right = { where = { base = \"weak\", method = \"sft\" },",
        );
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
        frame
            .metrics
            .iter_mut()
            .for_each(|metric| metric.unit = "nats".to_owned());
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
