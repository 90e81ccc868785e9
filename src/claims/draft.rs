//! A claim's outcomes before p values are corrected over its row.
//!
//! Responsible for what is common to claims that are settled now, were settled earlier, or cannot be.

use std::collections::BTreeMap;

use crate::report::{Frame, Unit};
use crate::stats::{Ruling, Stakes, Tested, Whole};

use super::choice::Regime;
use super::claim::{Claim, Quantity, Rival};
use super::outcome::{Opposite, Outcome, Part, Settled, Side, Verdict};
use super::words;

/// What is of interest where a claim about fractions does not say: two points.
pub(super) const WORTH: f64 = 2.0;

/// A claim before p values are corrected over its row: with each outcome goes what it comes to.
#[derive(Clone)]
pub(super) struct Drafted {
    pub settled: Settled,
    /// What each outcome comes to; none where that is not known.
    pub wholes: Vec<Option<Whole>>,
}

/// An outcome of which nothing is known yet; the first part that lacks something speaks for it.
pub(super) fn untested(regime: Regime, parts: Vec<Part>) -> Outcome {
    let decisive = parts
        .iter()
        .position(|part| part.missing.is_some())
        .unwrap_or(0);
    Outcome {
        regime,
        verdict: Verdict::NotRun,
        p: None,
        corrected: None,
        decisive,
        parts,
    }
}

/// What the parts come to; none where one that was not run could change it.
pub(super) fn whole(parts: &[Part], stakes: &Stakes) -> Option<Whole> {
    let (places, tested): (Vec<usize>, Vec<Tested>) = parts
        .iter()
        .enumerate()
        .filter_map(|(at, part)| Some((at, part.tested.clone()?)))
        .unzip();
    let whole = Whole::of(&tested, stakes)?;
    let complete = tested.len() == parts.len() || whole.by_interval == Ruling::Fails;
    complete.then(|| Whole {
        decisive: places[whole.decisive],
        ..whole
    })
}

/// A claim's stakes in the unit of the scores.
pub(super) fn stakes(claim: &Claim, unit: Unit, worth: f64) -> Stakes {
    let scaled = |number: f64| number / unit.scale();
    Stakes {
        direction: claim.direction,
        margin: scaled(claim.margin),
        worth: scaled(worth),
    }
}

/// What a quantity means before any run of it is found.
pub(super) fn asked(quantity: &Quantity, regime: &Regime) -> Side {
    let own = quantity
        .cells
        .iter()
        .map(|(axis, value)| (axis.clone(), value.clone()));
    let regime = regime
        .iter()
        .filter(|(axis, _)| !quantity.cells.contains_key(axis))
        .cloned();
    Side {
        selection: own.chain(regime).collect(),
        checkpoint: quantity.checkpoint.clone(),
        metric: words::metric(quantity),
        estimate: None,
        runs: Vec::new(),
    }
}

/// A claim in its own words, with its outcomes.
pub(super) fn settled(claim: &Claim, unit: Unit, worth: f64, outcomes: Vec<Outcome>) -> Settled {
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

/// A claim whose experiment is not in the store.
pub(super) fn absent(claim: &Claim, frames: &BTreeMap<String, Frame>) -> Drafted {
    let meant = crate::spec::nearest(&claim.experiment, frames.keys().map(String::as_str));
    let hint = meant
        .map(|name| format!(" (did you mean `{name}`?)"))
        .unwrap_or_default();
    let why = format!(
        "experiment `{}` is not in this store{hint}",
        claim.experiment
    );
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
    let settled = settled(
        claim,
        Unit::of_metric(&claim.left.metric),
        claim.worth.unwrap_or(WORTH),
        vec![outcome],
    );
    Drafted {
        settled,
        wholes: vec![None],
    }
}
